//! Is a segment that a table takes back empty, and freed when nobody looks at it any more?
//! (`src/table/segment`, `src/table/grown`, `src/reclaim/protect`)
//!
//! The first segment has one bucket of two slots, so that whoever comes next makes the table grow. The end of a
//! segment is a write of the model's, and each look at it a read: loom reports two that are not ordered.

use std::sync::Arc;

use hotset::__model::Step;
use hotset::Policy;
use hotset_loom_tests::{
    Cache, Canary, Job, at_once_from, at_once_until, job, keys, live, race, remove, settle, sorted,
    suite, weighed,
};

suite! {
    sound: reader_while_it_shrinks, pinned_reader_while_it_shrinks, newcomer_while_it_shrinks,
        newcomer_appends_while_it_shrinks, two_shrink, load_while_it_shrinks,
        removal_while_it_shrinks, shrunk_and_grown_under_a_reader, victim_while_it_shrinks;
    wide:;
    widest: two_newcomers_while_it_shrinks;
    campaign:;
    seeded:
        ignore_walkers = IgnoreWalkers in reader_while_it_shrinks => "Causality violation",
        ignore_walkers_pinned = IgnoreWalkers in pinned_reader_while_it_shrinks => "Causality violation",
        no_walk_fence = NoPinFence in reader_while_it_shrinks => "Causality violation",
        stamp_first = StampFirst in reader_while_it_shrinks => "Causality violation",
        open_segment = OpenSegment in newcomer_while_it_shrinks => "counted",
        claim_and_go = ClaimAndGo in newcomer_while_it_shrinks => "counted",
        stay_and_look = StayAndLook in victim_while_it_shrinks => "Causality violation",
        known_to_walkers = IgnoreWalkers in victim_while_it_shrinks => "Causality violation",
        ignore_walkers_shrinking = IgnoreWalkers in two_shrink => "Causality violation",
        ignore_walkers_removing = IgnoreWalkers in removal_while_it_shrinks => "Causality violation",
        ignore_walkers_regrown =
            IgnoreWalkers in shrunk_and_grown_under_a_reader => "Causality violation",
        claim_and_go_appending = ClaimAndGo in newcomer_appends_while_it_shrinks => "counted",
        claim_and_go_loading = ClaimAndGo in load_while_it_shrinks => "created and dropped",
        no_rescan = NoRescan in two_newcomers_while_it_shrinks => "a key has two entries",
}

fn put(cache: &Cache, key: u64) -> bool {
    cache.insert(key, Canary::new(key)).is_admitted()
}

/// A cache with two entries in its first segment, and one, the third key, in an appended one. Keys of one home.
fn grown<const N: usize>() -> (Arc<Cache>, [u64; N]) {
    grown_of(Policy::Clock, 100)
}

fn grown_of<const N: usize>(policy: Policy, max_weight: u64) -> (Arc<Cache>, [u64; N]) {
    let cache = weighed(max_weight, 2, policy);
    let all = keys::<N>(&cache, 0);
    assert!(all[..3].iter().all(|&key| put(&cache, key)));
    (cache, all)
}

/// The same, with the appended segment empty.
fn outgrown<const N: usize>() -> (Arc<Cache>, [u64; N]) {
    let (cache, all) = grown();
    drop(cache.remove(&all[2]));
    (cache, all)
}

fn shrink() -> Job<Cache> {
    job(Cache::maintain)
}

fn write(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| assert!(put(cache, key)))
}

/// Takes a key out, and takes back what it was in.
fn empty(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        drop(cache.remove(&key));
        cache.maintain();
    })
}

/// M3, M6: an entry of the appended segment is found, or not, while it is taken out and the segment goes; the
/// entry stays while it is read, though its segment does not.
fn reader_while_it_shrinks() {
    let (cache, [a, b, c]) = grown();
    let reader = job(move |cache: &Cache| {
        let read = cache.with(&c, |_, v| v.read());
        assert!(read.is_none_or(|read| read == c));
    });
    race(&cache, [reader, empty(c)]);
    cache.maintain();
    assert_eq!(settle(&cache), sorted([a, b]));
    assert_eq!(live(), 2);
}

/// The same under a pin.
fn pinned_reader_while_it_shrinks() {
    let (cache, [a, b, c]) = grown();
    let reader = job(move |cache: &Cache| {
        let pin = cache.pin();
        let read = pin.get(&c).map(Canary::read);
        assert!(read.is_none_or(|read| read == c));
    });
    race(&cache, [reader, empty(c)]);
    assert_eq!(settle(&cache), sorted([a, b]));
}

/// M1, M8: a newcomer comes into a segment that stays, or goes elsewhere.
fn newcomer_while_it_shrinks() {
    let (cache, [a, b, _, d]) = outgrown();
    race(&cache, [write(d), shrink()]);
    assert_eq!(settle(&cache), sorted([a, b, d]));
}

/// The same where it would append another segment.
fn newcomer_appends_while_it_shrinks() {
    let (cache, [a, b, c, d, e]) = grown();
    assert!(put(&cache, d));
    let emptier = job(move |cache: &Cache| {
        drop(cache.remove(&c));
        drop(cache.remove(&d));
        cache.maintain();
    });
    race(&cache, [write(e), emptier]);
    assert_eq!(settle(&cache), sorted([a, b, e]));
}

/// Of two that would take a segment back one does.
fn two_shrink() {
    let (cache, [a, b, _]) = outgrown();
    race(&cache, [shrink(), shrink()]);
    assert_eq!(settle(&cache), sorted([a, b]));
}

/// A load whose slot is in the segment is detached, and the segment goes before the load ends.
fn load_while_it_shrinks() {
    let (cache, [a, b, _, d]) = outgrown();
    let loader = job(move |cache: &Cache| {
        let loaded = cache.get_or_insert_with(d, || Canary::new(d));
        assert_eq!(loaded.read(), d);
    });
    race(&cache, [loader, empty(d)]);
    let left = settle(&cache);
    assert!(left == sorted([a, b]) || left == sorted([a, b, d]));
}

/// What was counted for an entry of the segment is taken back, or goes with it.
fn removal_while_it_shrinks() {
    let (cache, [a, b, c]) = grown();
    race(&cache, [remove(c), shrink()]);
    cache.maintain();
    assert_eq!(settle(&cache), sorted([a, b]));
}

/// M1: two come with one key, while the segment goes that one of them may have found.
fn two_newcomers_while_it_shrinks() {
    let (cache, [a, b, _, d]) = outgrown();
    race(&cache, [write(d), write(d), shrink()]);
    assert_eq!(settle(&cache), sorted([a, b, d]));
}

/// A segment goes and another one comes, under the eyes of one who reads.
fn shrunk_and_grown_under_a_reader() {
    let (cache, [a, b, c, d]) = grown();
    let reader = job(move |cache: &Cache| {
        let read = cache.with(&c, |_, v| v.read());
        assert!(read.is_none_or(|read| read == c));
    });
    let other = job(move |cache: &Cache| {
        drop(cache.remove(&c));
        cache.maintain();
        assert!(put(cache, d));
    });
    race(&cache, [reader, other]);
    assert_eq!(settle(&cache), sorted([a, b, d]));
}

/// M3, M5: who leaves for a lower bound is found in the queue and written down as gone, in arrays that are as large
/// as the table was. For these alone it walks, and they go back under its hands. (The two meet from when the segment
/// is gone to when the victim is.)
fn victim_while_it_shrinks() {
    let (cache, [_, _, c]) = grown_of(Policy::Adaptive, 3);
    drop(cache.remove(&c));
    let lower = job(|cache: &Cache| {
        at_once_from(Step::BeforeRetire, || cache.set_max_weight(1).expect("entries are weighed"));
    });
    let shrink = job(|cache: &Cache| at_once_until(Step::TakenBack, || cache.maintain()));
    race(&cache, [lower, shrink]);
    cache.maintain();
    assert!(settle(&cache).len() == 1 && cache.weight() == 1);
}
