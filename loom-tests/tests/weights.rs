//! Is the bound on weight kept at every step? (`src/weights`, `src/store/room`) And does a table that
//! grows lose no key and double none? (`src/table/grown`)
//!
//! M5: `burden` adds up what is in the table *at one time*, whatever the books say. M1, M3, M8:
//! `settle`, which compares the books with the table, and the canaries.
//!
//! A value weighs its number modulo 8.

use std::sync::Arc;

use hotset::__model::Step;
use hotset_loom_tests::{
    Cache, Canary, Identity, Job, akin, at_once, at_once_but, at_once_from, at_once_until, job,
    keys, race, settle, suite,
};

suite! {
    sound: remove_makes_room, heavier_against_remove, reader_while_it_grows, several_leave_for_one,
        lower_bound_against_insert, raised_bound_against_insert, two_meet_for_room,
        lighter_meets_newcomer, two_make_it_grow;
    wide: two_newcomers, heavier_against_newcomer, lighter_against_newcomer, two_inserters_beyond,
        two_inserters_while_it_grows;
    widest: heavier_against_evictor, insert_and_remove_while_it_grows, two_heavy_ones;
    campaign:;
    seeded:
        newest_only = NewestOnly in reader_while_it_grows => "is missed",
        silent_beyond = SilentBeyond in reader_while_it_grows => "is missed",
        no_rescan_grown = NoRescan in two_inserters_while_it_grows => "a key has two entries",
        torn_weight = TornWeight in two_newcomers => "at one time",
        torn_weight_late = TornWeight in two_meet_for_room => "counted",
        room_before_slot = RoomBeforeSlot in remove_makes_room => "at one time",
        heavier_first = HeavierFirst in heavier_against_newcomer => "at one time",
        heavier_first_evicted = HeavierFirst in heavier_against_evictor => "in slots",
        torn_weight_removed = TornWeight in heavier_against_remove => "counted",
        torn_weight_lowered = TornWeight in lower_bound_against_insert => "counted",
        torn_weight_raised = TornWeight in raised_bound_against_insert => "counted",
        torn_weight_grown = TornWeight in insert_and_remove_while_it_grows => "counted",
        torn_eviction = TornUnlink in several_leave_for_one => "dies twice",
        torn_lighter = TornUnlink in lighter_against_newcomer => "counted",
        torn_lighter_late = TornUnlink in lighter_meets_newcomer => "counted",
        no_rescan_beyond = NoRescan in two_inserters_beyond => "a key has two entries",
        silent_beyond_by_two = SilentBeyond in two_make_it_grow => "does not say so",
        silent_beyond_heavy = SilentBeyond in two_heavy_ones => "does not say so",
}

fn cache(max_weight: u64) -> Arc<Cache> {
    cache_for(max_weight, 2)
}

/// A cache whose first segment has so many slots, in buckets of two.
fn cache_for(max_weight: u64, entries: usize) -> Arc<Cache> {
    let builder = hotset::Cache::builder()
        .hasher(Identity)
        .policy(hotset::Policy::Clock)
        .max_weight(max_weight)
        .weigher(|_: &u64, value: &Canary| value.read() % 8)
        .expected_entries(entries);
    Arc::new(builder.build().expect("a bound, and a weigher"))
}

fn put(cache: &Cache, key: u64, weight: u64) -> bool {
    cache.insert(key, Canary::new(weight)).is_admitted()
}

/// What is certainly in the table at one time weighs: see `crowd`.
fn burden(cache: &Cache) -> u64 {
    let pin = cache.pin();
    let first: Vec<_> =
        pin.iter().map(|(key, canary)| (*key, std::ptr::from_ref(canary))).collect();
    let still =
        |(key, canary): &(&u64, &Canary)| first.contains(&(**key, std::ptr::from_ref(*canary)));
    pin.iter().filter(still).map(|(_, canary)| canary.read() % 8).sum()
}

fn keeps_the_bound(cache: &Cache, max: u64) {
    let burden = burden(cache);
    assert!(burden <= max, "weight {burden} at one time, of {max}");
    assert!(cache.weight() <= max, "weight {} counted, of {max}", cache.weight());
}

/// Writes, or is refused, and looks around.
fn insert(key: u64, weight: u64, max: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        put(cache, key, weight);
        keeps_the_bound(cache, max);
    })
}

/// Writes, or is refused.
fn write(key: u64, weight: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        put(cache, key, weight);
    })
}

fn remove(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| drop(cache.remove(&key)))
}

/// [`insert`] in which the others meet what comes when the key is unique: room, and the slot.
fn late(key: u64, weight: u64, max: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        at_once_but(Step::Announced, Step::Finalised, || put(cache, key, weight));
        at_once(|| keeps_the_bound(cache, max));
    })
}

/// [`write()`] of another value, up to when it is there.
fn over(key: u64, weight: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        at_once_from(Step::BeforeRetire, || put(cache, key, weight));
    })
}

/// There is room for one of two.
fn two_newcomers() {
    for_one_room(|a| insert(a, 2, 3), |b| insert(b, 2, 3));
}

/// The same, at the full bound, from where they want room.
fn two_meet_for_room() {
    let first = |key| {
        job(move |cache: &Cache| {
            at_once_until(Step::Announced, || put(cache, key, 2));
        })
    };
    for_one_room(first, |b| late(b, 2, 3));
}

fn for_one_room(first: fn(u64) -> Job<Cache>, second: fn(u64) -> Job<Cache>) {
    let cache = cache(3);
    let [a, b] = keys(&cache, 0);
    race(&cache, [first(a), second(b)]);
    assert!(settle(&cache).len() <= 1);
}

/// A newcomer takes the room of one who leaves.
fn remove_makes_room() {
    let cache = cache(3);
    let [a, b] = keys(&cache, 0);
    assert!(put(&cache, a, 3));
    race(&cache, [remove(a), insert(b, 2, 3)]);
    assert!(settle(&cache).iter().all(|&key| key == b));
}

/// What a value needs more than the one before it, somebody else would like to have.
fn heavier_against_newcomer() {
    let cache = cache(3);
    let [a, b] = keys(&cache, 0);
    assert!(put(&cache, a, 1));
    race(&cache, [insert(a, 3, 3), insert(b, 2, 3)]);
    settle(&cache);
}

/// What a value needs less is given back once it is in its slot.
fn lighter_against_newcomer() {
    against_lighter(|a| insert(a, 1, 3), |b| insert(b, 2, 3));
}

/// The same, at the full bound, from where the newcomer wants room.
fn lighter_meets_newcomer() {
    against_lighter(|a| over(a, 1), |b| late(b, 2, 3));
}

fn against_lighter(lighter: fn(u64) -> Job<Cache>, newcomer: fn(u64) -> Job<Cache>) {
    let cache = cache(3);
    let [a, b] = keys(&cache, 0);
    assert!(put(&cache, a, 3));
    race(&cache, [lighter(a), newcomer(b)]);
    settle(&cache);
}

/// The entry leaves while its heavier value is on its way.
fn heavier_against_remove() {
    let cache = cache(3);
    let [a] = keys(&cache, 0);
    assert!(put(&cache, a, 1));
    race(&cache, [insert(a, 3, 3), remove(a)]);
    assert!(settle(&cache).len() <= 1);
}

/// Two light ones leave for a heavy one, and one of them by itself.
fn several_leave_for_one() {
    let cache = cache(2);
    let [a, b, c] = keys(&cache, 0);
    assert!(put(&cache, a, 1) && put(&cache, b, 1));
    race(&cache, [insert(c, 2, 2), remove(a)]);
    assert!(settle(&cache).iter().all(|&key| key != a));
}

/// Once the lower bound is in force nothing is above it.
fn lower_bound_against_insert() {
    let cache = cache(4);
    let [a, b] = keys(&cache, 0);
    assert!(put(&cache, a, 2));
    let lower = job(|cache: &Cache| {
        cache.set_max_weight(2).expect("a bound in range");
        keeps_the_bound(cache, 2);
    });
    race(&cache, [lower, write(b, 2)]);
    assert!(settle(&cache).len() <= 1);
}

/// A bound that is raised and lowered again leaves the books right.
fn raised_bound_against_insert() {
    let cache = cache(1);
    let [a] = keys(&cache, 0);
    let change = job(|cache: &Cache| {
        cache.set_max_weight(3).expect("a bound in range");
        cache.set_max_weight(2).expect("a bound in range");
        keeps_the_bound(cache, 2);
    });
    race(&cache, [change, write(a, 2)]);
    settle(&cache);
}

/// Each of two would put out whoever is there, the other one too.
fn two_heavy_ones() {
    let cache = cache(2);
    let [a, b, c] = keys(&cache, 0);
    assert!(put(&cache, a, 1));
    race(&cache, [insert(b, 2, 2), insert(c, 2, 2)]);
    assert!(settle(&cache).len() <= 1);
}

/// The entry is evicted while its heavier value is on its way.
fn heavier_against_evictor() {
    let cache = cache(3);
    let [a, b] = keys(&cache, 0);
    assert!(put(&cache, a, 1));
    race(&cache, [insert(a, 2, 3), insert(b, 3, 3)]);
    settle(&cache);
}

// ---- growth -----------------------------------------------------------------------------------
//
// The first segment has a bucket or two of two slots, so that whoever comes next makes it grow.

/// A cache without a bound in sight, and with two entries in its only bucket.
fn crowded<const N: usize>() -> (Arc<Cache>, [u64; 2], [u64; N]) {
    let cache = cache(100);
    let all = keys::<16>(&cache, 0);
    assert!(put(&cache, all[0], 1) && put(&cache, all[1], 1));
    (cache, [all[0], all[1]], std::array::from_fn(|n| all[n + 2]))
}

/// M6: entries of the first segment, those that are not at home there, too, are found while the second
/// one comes, and those in it from the return of their insert on.
fn reader_while_it_grows() {
    let cache = cache_for(100, 4);
    let [a, b, others @ ..] = keys::<32>(&cache, 0);
    let mut of_a_kind = others.into_iter().filter(|&key| akin(key, others[0]));
    let [c, d, e] = std::array::from_fn(|_| of_a_kind.next().expect("three of thirty"));
    for key in [a, b, c, d] {
        assert!(put(&cache, key, 1));
    }
    let reader = job(move |cache: &Cache| {
        assert!(cache.with(&d, |_, v| v.read()) == Some(1), "{d} is missed");
    });
    let grower = job(move |cache: &Cache| {
        assert!(put(cache, e, 2));
        assert!(cache.with(&e, |_, v| v.read()) == Some(2), "{e} is missed");
        // A writer finds the others as well.
        assert!(cache.remove(&c).is_some(), "{c} is missed");
        assert!(cache.get(&c).is_none());
    });
    race(&cache, [reader, grower]);
    let mut left = [a, b, d, e];
    left.sort_unstable();
    assert_eq!(settle(&cache), left);
}

/// M1, M8: two need a segment for keys of their own.
fn two_make_it_grow() {
    let (cache, [a, b], [c, d]) = crowded();
    race(&cache, [write(c, 2), write(d, 3)]);
    let mut all = [a, b, c, d];
    all.sort_unstable();
    assert_eq!(settle(&cache), all);
}

/// M1: two need a segment for the same key.
fn two_inserters_while_it_grows() {
    let (cache, [a, b], [c]) = crowded();
    race(&cache, [write(c, 2), write(c, 3)]);
    let mut all = [a, b, c];
    all.sort_unstable();
    assert_eq!(settle(&cache), all);
}

/// M1: the same key again, whose home has said before that keys went beyond. They meet there nevertheless:
/// one may find room in the last segment and the other append a further one.
fn two_inserters_beyond() {
    let (cache, [a, b], [c, others @ ..]) = crowded::<14>();
    let d = others.into_iter().find(|&key| akin(key, c)).expect("one of eight");
    assert!(put(&cache, c, 1));
    race(&cache, [write(d, 2), write(d, 3)]);
    let mut all = [a, b, c, d];
    all.sort_unstable();
    assert_eq!(settle(&cache), all);
}

/// M1, M3: one needs a segment for a key, while another one makes room before it and takes it out.
fn insert_and_remove_while_it_grows() {
    let (cache, [a, _], [c]) = crowded();
    let other = job(move |cache: &Cache| {
        cache.remove(&a);
        put(cache, c, 3);
        cache.remove(&c);
    });
    race(&cache, [write(c, 2), other]);
    settle(&cache);
}
