//! Is the bound kept at every step, and is what leaves still whole for who reads it? (`src/budget`,
//! `src/table/sweep`, `src/store`)
//!
//! M5: `crowd` counts the entries that are in the table *at one time*, whatever the counters say.
//! M1, M3, M8: `settle` and the canaries.

use std::sync::Arc;

use hotset_loom_tests::{
    Cache, Canary, Job, cache, crowd, fill, insert_and_look, job, keeps_the_bound, keys, race,
    remove, settle, suite,
};

suite! {
    sound: hit_against_evict, pinned_hit_against_evict, remove_makes_room, insert_against_clear,
        two_newcomers, lower_bound_against_insert, evict_against_remove, evict_against_replace,
        two_hands;
    wide:;
    widest: two_evictors, watched_newcomers, evict_against_insert_and_remove;
    campaign:;
    seeded:
        torn_room = TornRoom in two_newcomers => "at one time",
        room_before_slot = RoomBeforeSlot in remove_makes_room => "at one time",
        ignore_hazards = IgnoreHazards in hit_against_evict => "Causality violation",
        ignore_pins = IgnorePins in pinned_hit_against_evict => "Causality violation",
        no_hazard_fence = NoHazardFence in hit_against_evict => "Causality violation",
        no_validation = NoValidation in hit_against_evict => "read after its death",
        torn_room_watched = TornRoom in watched_newcomers at Widest => "1 counted",
        uncounted_bound = UncountedBound in lower_bound_against_insert => "2 entries, 1 allowed",
        hand_decides = HandDecides in evict_against_remove => "dies twice",
        hand_decides_by_two = HandDecides in two_hands => "dies twice",
        hand_decides_in_one_bucket = HandDecides in two_evictors => "dies twice",
        hand_decides_of_replaced = HandDecides in evict_against_replace => "dies twice",
        torn_replace = TornExchange in evict_against_replace => "dies twice",
        torn_hand = TornUnlink in evict_against_remove => "dies twice",
        torn_hands = TornUnlink in two_hands => "dies twice",
}

/// Inserts a key, or is refused.
fn insert(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| drop(cache.insert(key, Canary::new(key))))
}

/// A full cache for one: its first key, and others of the same home.
fn full<const N: usize>() -> (Arc<Cache>, u64, [u64; N]) {
    let cache = cache(2);
    cache.set_max_entries(1).expect("a bound in range");
    let [first] = keys(&cache, 0);
    let others = keys::<8>(&cache, 0);
    fill(&cache, [first]);
    (cache, first, std::array::from_fn(|n| others[n + 1]))
}

/// M3, M6: an entry is evicted under its reader.
fn hit_against_evict() {
    let (cache, a, [b]) = full();
    let reader = job(move |cache: &Cache| {
        cache.with(&a, |_, canary| assert_eq!(canary.read(), a));
    });
    let evictor = job(move |cache: &Cache| fill(cache, [b]));
    race(&cache, [reader, evictor]);
    assert_eq!(settle(&cache), [b]);
}

/// M3, M6: as above, and it stays readable.
fn pinned_hit_against_evict() {
    let (cache, a, [b]) = full();
    let reader = job(move |cache: &Cache| {
        let pin = cache.pin();
        let (first, other) = (pin.get(&a), pin.get(&b));
        assert!(first.is_none_or(|canary| canary.read() == a));
        assert!(other.is_none_or(|canary| canary.read() == b));
    });
    let evictor = job(move |cache: &Cache| fill(cache, [b]));
    race(&cache, [reader, evictor]);
    assert_eq!(settle(&cache), [b]);
}

/// M5: a newcomer takes the room of one who leaves.
fn remove_makes_room() {
    let (cache, a, [b]) = full();
    race(&cache, [remove(a), insert_and_look(b)]);
    assert!(settle(&cache).iter().all(|&key| key == b));
}

/// M5, M8: as above, by `clear`. (The bug is planted above, too.)
fn insert_against_clear() {
    let (cache, _, [b]) = full();
    let clear = job(|cache: &Cache| cache.clear());
    race(&cache, [clear, insert_and_look(b)]);
    assert!(settle(&cache).iter().all(|&key| key == b));
}

/// M5: there is room for one of two.
fn two_newcomers() {
    let cache = cache(1);
    let [a, b] = keys(&cache, 0);
    race(&cache, [insert_and_look(a), insert_and_look(b)]);
    assert!(settle(&cache).len() <= 1);
}

/// M5: with a third who only looks.
fn watched_newcomers() {
    let cache = cache(1);
    let [a, b] = keys(&cache, 0);
    let watcher = job(keeps_the_bound);
    race(&cache, [insert(a), insert(b), watcher]);
    assert!(settle(&cache).len() <= 1);
}

/// M5: once the lower bound is in force nothing is above it.
fn lower_bound_against_insert() {
    let cache = cache(2);
    let [a, b] = keys(&cache, 0);
    fill(&cache, [a]);
    let lower = job(|cache: &Cache| {
        cache.set_max_entries(1).expect("a bound in range");
        assert!(crowd(cache) <= 1);
    });
    race(&cache, [lower, insert(b)]);
    assert!(settle(&cache).len() <= 1);
}

/// M3, M8: two want to unlink one entry.
fn evict_against_remove() {
    let (cache, a, [b]) = full();
    race(&cache, [insert(b), remove(a)]);
    assert!(settle(&cache).iter().all(|&key| key == b));
}

/// M3, M8: one wants to unlink what the other replaces.
fn evict_against_replace() {
    let (cache, a, [b]) = full();
    let replacer = job(move |cache: &Cache| {
        if let Ok(old) = cache.replace(a, Canary::new(a)) {
            assert_eq!((*old.key(), old.read()), (a, a));
        }
    });
    race(&cache, [insert(b), replacer]);
    assert_eq!(settle(&cache).len(), 1);
}

/// M3, M5: two hands, and one entry. It is aged and the next that a hand will come to, and the
/// newcomers have buckets of their own, so that they meet where they evict and nowhere else.
fn two_hands() {
    let cache = cache(6);
    let ([a], [old], [b]) = (keys(&cache, 0), keys(&cache, 1), keys(&cache, 2));
    fill(&cache, [a, old]);
    cache.set_max_entries(1).expect("a bound in range");
    assert!(cache.contains_key(&old));
    race(&cache, [insert(a), insert(b)]);
    assert!(settle(&cache).len() <= 1);
}

/// M3, M5: as above, where all share a bucket.
fn two_evictors() {
    let (cache, _, [b, c]) = full();
    race(&cache, [insert(b), insert(c)]);
    assert!(settle(&cache).len() <= 1);
}

/// M1, M3, M5, M8: all at once. (The bugs are planted where two of them meet: `evict_against_remove`,
/// `evict_against_replace`, `insert::insert_against_remove`.)
fn evict_against_insert_and_remove() {
    let (cache, a, [b]) = full();
    race(&cache, [insert(b), insert(a), remove(a)]);
    assert!(settle(&cache).len() <= 1);
}
