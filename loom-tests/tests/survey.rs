//! Is a key found wherever it is, though a look-up may end at the newest segment? (`src/table/survey`)
//!
//! In the model build a bucket has two slots and a probe visits two buckets of each segment.

use std::sync::Arc;

use hotset::__model::{Step, next_home};
use hotset::Policy;
use hotset_loom_tests::{
    Cache, Identity, Job, akin, at_once_until, fill, job, keys, race, settle, sorted, suite,
    weighed,
};

suite! {
    sound: reader_while_it_is_surveyed, at_home_while_it_is_surveyed, remover_while_it_is_surveyed,
        newcomer_with_an_old_view, replaced_while_it_is_surveyed, two_survey, surveyed_while_it_is_taken_back,
        two_newcomers_and_one_hole, two_newcomers_of_one_home, reader_while_it_is_taken_back;
    wide:;
    widest:;
    campaign:;
    seeded:
        known_too_soon = KnownTooSoon in reader_while_it_is_surveyed => "was there",
        known_too_soon_at_home = KnownTooSoon in at_home_while_it_is_surveyed => "was there",
        known_to_removers = KnownTooSoon in remover_while_it_is_surveyed => "was there",
        known_to_two = KnownTooSoon in two_survey => "was there",
        taken_back = IgnoreWalkers in surveyed_while_it_is_taken_back => "Causality violation",
        taken_from_readers = IgnoreWalkers in reader_while_it_is_taken_back => "Causality violation",
        stamp_for_place = StampForPlace in replaced_while_it_is_surveyed => "was there",
        none_passed = NonePassed in two_newcomers_of_one_home => "a key has two entries",
        late_mark = LateMark in two_newcomers_and_one_hole => "a key has two entries",
        unmarked = Unmarked in newcomer_with_an_old_view => "was there",
        no_tell_fence = NoTellFence in newcomer_with_an_old_view => "was there",
}

fn cache(entries: usize) -> Arc<Cache> {
    weighed(100, entries, Policy::Clock)
}

fn put(cache: &Cache, key: u64) {
    fill(cache, [key]);
}

/// What is there is found.
fn look(cache: &Cache, key: u64) {
    assert_eq!(cache.with(&key, |_, v| v.read()), Some(key), "it was there");
}

/// Surveys.
fn survey() -> Job<Cache> {
    job(hotset::__model::survey)
}

/// A cache whose first segment is full and that has one entry in the next; and one in the first that is not at home, and
/// whose home in the next is not that of the others, nor of a key
/// whose place is the first stamp, 0. The last one says beyond for it.
fn outgrown() -> (Arc<Cache>, [u64; 5], u64) {
    let cache = cache(4);
    let home = |key: u64, buckets| next_home(&Identity, key, buckets);
    let (apart, others): (Vec<u64>, Vec<u64>) =
        keys::<24>(&cache, 0).into_iter().partition(|&key| home(key, 2) == 1 && home(key, 3) == 2);
    let near = others.into_iter().filter(|&key| home(key, 2) == 0 && home(key, 3) != 2);
    let (like, unlike): (Vec<u64>, Vec<u64>) = near.partition(|&key| akin(key, apart[0]));
    // The last to be surveyed: what follows its mark is the word that says so.
    let all = [unlike[0], unlike[1], unlike[2], apart[0], like[0]];
    fill(&cache, all);
    (cache, all, apart[0])
}

/// M6: an entry is found while it becomes known in the next segment.
fn reader_while_it_is_surveyed() {
    let (cache, all, c) = outgrown();
    race(&cache, [job(move |cache: &Cache| look(cache, c)), survey()]);
    assert_eq!(settle(&cache), sorted(all));
}

/// The same of one that is at home in the first segment, at which look-ups do not begin any more then.
fn at_home_while_it_is_surveyed() {
    let cache = cache(4);
    let home = |key: u64, buckets| next_home(&Identity, key, buckets);
    let (apart, others): (Vec<u64>, Vec<u64>) =
        keys::<24>(&cache, 1).into_iter().partition(|&key| home(key, 2) == 1 && home(key, 3) == 2);
    let mut near = others.into_iter().filter(|&key| home(key, 2) == 0 && home(key, 3) != 2);
    let ([a, b], [Some(d), Some(e)]) = (keys(&cache, 0), [near.next(), near.next()]) else {
        unreachable!("two of twenty-four");
    };
    let all = [a, b, d, apart[0], e];
    fill(&cache, all);
    race(&cache, [job(move |cache: &Cache| look(cache, apart[0])), survey()]);
    assert_eq!(settle(&cache), sorted(all));
}

/// The same, by a writer.
fn remover_while_it_is_surveyed() {
    let (cache, [a, b, d, _, e], c) = outgrown();
    let remover = job(move |cache: &Cache| assert!(cache.remove(&c).is_some(), "it was there"));
    race(&cache, [remover, survey()]);
    assert_eq!(settle(&cache), sorted([a, b, d, e]));
}

/// M1, M6: one goes into the first segment, since it has seen no other; one finds no room there, and what it appends
/// becomes known.
fn newcomer_with_an_old_view() {
    let (cache, all, x, f) = with_a_hole();
    let other = job(move |cache: &Cache| {
        put(cache, f);
        cache.maintain();
    });
    race(&cache, [newcomer(x), other]);
    assert_eq!(settle(&cache), sorted(all));
}

/// One puts a key; how a slot is claimed for it, and that a segment comes, has models of its own.
fn put_once_claimed(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| at_once_until(Step::Claimed, || put(cache, key)))
}

/// A cache whose first segment has four slots, a key, and others whose homes are the same in the first segment and the
/// next: those for which a home says beyond if it says so for the key, and those for which it does not.
fn of_one_home() -> (Arc<Cache>, u64, Vec<u64>, Vec<u64>) {
    let cache = cache(4);
    let near = |key: &u64| [2, 3].iter().all(|&n| next_home(&Identity, *key, n) == 0);
    let mut there = keys::<48>(&cache, 0).into_iter().filter(near);
    let x = there.next().expect("one of many");
    let (like, unlike): (Vec<u64>, Vec<u64>) = there.partition(|&key| akin(key, x));
    (cache, x, like, unlike)
}

/// M1: two put the same key. There is room for one of them at home in the next segment, which is known, and for the
/// other one behind it.
fn two_newcomers_of_one_home() {
    let (cache, x, like, unlike) = of_one_home();
    let ([a, b, c, d], e) = ([0, 1, 2, 3].map(|n| unlike[n]), like[0]);
    fill(&cache, [a, b, c, d, e]);
    cache.maintain();
    race(&cache, [put_once_claimed(x), put_once_claimed(x)]);
    assert_eq!(settle(&cache), sorted([a, b, c, d, e, x]));
}

/// M1: two put the same key. There is room for one in the first segment, and for nobody in the next, which is known to be
/// the last for it: so the other one appends a third, which the first one need not see.
fn two_newcomers_and_one_hole() {
    let (cache, x, like, unlike) = of_one_home();
    let ([a, b, c, d], [f, g, h]) = ([0, 1, 2, 3].map(|n| unlike[n]), [4, 5, 6].map(|n| unlike[n]));
    let e = like[0];
    fill(&cache, [a, b, c, d, e, f, g, h]);
    drop(cache.remove(&a));
    cache.maintain();
    race(&cache, [put_once_claimed(x), put_once_claimed(x)]);
    assert_eq!(settle(&cache), sorted([b, c, d, e, f, g, h, x]));
}

/// One puts a key, and finds it.
fn newcomer(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        put(cache, key);
        look(cache, key);
    })
}

/// A cache whose first segment has one slot left; all keys in the end; one of these for that slot, where it is not at home, and
/// one that finds no room.
fn with_a_hole() -> (Arc<Cache>, [u64; 7], u64, u64) {
    let cache = cache(6);
    let ([a, b], [c], [d, e, f]) = (keys(&cache, 0), keys(&cache, 1), keys(&cache, 2));
    let there = [a, b, c, d, e];
    fill(&cache, there);
    // Not at home in the first segment, where there is no room, and in the next where none of the others are.
    let alone = |key: u64| {
        let home = |key, buckets| next_home(&Identity, key, buckets);
        (3..=4).all(|n| there.iter().all(|&other| home(other, n) != home(key, n)))
    };
    let x = keys::<20>(&cache, 0).into_iter().find(|&key| alone(key)).expect("one of twenty");
    (cache, [a, b, c, d, e, f, x], x, f)
}

/// M6: an entry is replaced where it is, and what it was before is retired, while its place is read.
fn replaced_while_it_is_surveyed() {
    let (cache, all, c) = outgrown();
    race(&cache, [job(move |cache: &Cache| put(cache, c)), survey()]);
    look(&cache, c);
    assert_eq!(settle(&cache), sorted(all));
}

/// Of two that survey the same part one goes on; what neither has looked at is not known.
fn two_survey() {
    let (cache, all, c) = outgrown();
    let surveyor = || {
        job(move |cache: &Cache| {
            hotset::__model::survey(cache);
            look(cache, c);
        })
    };
    race(&cache, [surveyor(), surveyor()]);
    assert_eq!(settle(&cache), sorted(all));
}

/// One begins at a segment that is known, and that another one empties and takes back.
fn reader_while_it_is_taken_back() {
    let (cache, [a, b, c, d, e], there) = outgrown();
    cache.maintain();
    let other = job(move |cache: &Cache| {
        drop(cache.remove(&e));
        cache.maintain();
    });
    race(&cache, [job(move |cache: &Cache| look(cache, there)), other]);
    assert_eq!(settle(&cache), sorted([a, b, c, d]));
}

/// One surveys for a segment that another one empties and takes back.
fn surveyed_while_it_is_taken_back() {
    let (cache, [a, b, c, d, e], _) = outgrown();
    let other = job(move |cache: &Cache| {
        drop(cache.remove(&e));
        cache.maintain();
    });
    race(&cache, [other, survey()]);
    assert_eq!(settle(&cache), sorted([a, b, c, d]));
}
