//! Does whoever sees a value see all of it, and is what is seen a value? (`src/slot`)
//!
//! M6: publication, by each of the arrows that publish: swap, insert, replace, load. M7: the bits
//! that say who is used (`touch`, the hand) and in which state a slot is never get into a pointer.
//!
//! An insert or a replacement publishes twice, by the tag word and by the slot, or fences on its
//! way, so `RelaxedSlot` is harmless there, and no bug is planted in `hit_sees_the_inserted_value`. The arrows that rest on the slot alone are those of
//! `pinned_reader_sees_the_swap` (a reader that has fenced *before* the publication; one that
//! fences after it is joined by loom with the writer's later fences, which hides the fault) and of
//! `hit_sees_the_loaded_value`.

use std::sync::Arc;

use hotset::__model::Swapped;
use hotset_loom_tests::{Cache, Canary, Job, cache, fill, job, keys, race, settle, suite};

suite! {
    sound: pinned_reader_sees_the_swap, hit_sees_the_inserted_value, hit_sees_the_replacement,
        hit_sees_the_loaded_value, hit_against_hand, replacement_against_hand;
    wide:;
    widest:;
    campaign:;
    seeded:
        relaxed_slot = RelaxedSlot in pinned_reader_sees_the_swap => "Causality violation",
        relaxed_slot_of_a_load = RelaxedSlot in hit_sees_the_loaded_value => "Causality violation",
        no_validation = NoValidation in hit_sees_the_replacement => "read after its death",
        age_in_slot = AgeInSlot in hit_against_hand => "not settled",
        age_in_slot_of_replaced = AgeInSlot in replacement_against_hand => "counted",
}

/// M6 on a slot alone.
fn pinned_reader_sees_the_swap() {
    let slot = Arc::new(Swapped::new(Canary::new(0), 8));
    let reader = job(|slot: &Swapped<Canary>| slot.read_pinned(|c| assert!(c.read() < 2)));
    let writer = job(|slot: &Swapped<Canary>| assert!(slot.swap(Canary::new(1))));
    race(&slot, [reader, writer]);
}

/// Reads the key twice; the second look is by a thread that has fenced.
fn reader(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        for _ in 0..2 {
            cache.with(&key, |_, canary| assert!(canary.read() >= key));
        }
    })
}

/// M6 for EMPTY -> CLAIMED -> READY.
fn hit_sees_the_inserted_value() {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    let writer = job(move |cache: &Cache| fill(cache, [key]));
    race(&cache, [reader(key), writer]);
    assert_eq!(settle(&cache), [key]);
}

/// M6, M3 for READY -> READY.
fn hit_sees_the_replacement() {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    let writer = job(move |cache: &Cache| {
        let old = cache.replace(key, Canary::new(key + 1)).expect("the key has an entry");
        assert_eq!(old.read(), key);
    });
    race(&cache, [reader(key), writer]);
    assert_eq!(settle(&cache), [key]);
    assert_eq!(cache.get(&key).expect("replaced").read(), key + 1);
}

/// M6 for LOADING -> READY.
fn hit_sees_the_loaded_value() {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    let writer = job(move |cache: &Cache| {
        assert_eq!(cache.get_or_insert_with(key, || Canary::new(key)).read(), key);
    });
    race(&cache, [reader(key), writer]);
    assert_eq!(settle(&cache), [key]);
}

/// Inserts a third key into a cache for two, and looks at what is left.
fn against_hand(other: impl FnOnce([u64; 2]) -> Job<Cache>) {
    let cache = cache(2);
    let [a, b, c] = keys(&cache, 0);
    fill(&cache, [a, b]);
    race(&cache, [other([a, b]), job(move |cache: &Cache| fill(cache, [c]))]);
    let keys = settle(&cache);
    assert!(keys.len() == 2, "{keys:?}");
    for key in keys {
        assert_eq!(cache.with(&key, |_, canary| canary.read() % 1000), Some(key));
    }
}

/// M3, M7: hits clear the bits that the hand sets, in one bucket.
fn hit_against_hand() {
    against_hand(|keys| {
        job(move |cache: &Cache| {
            for key in keys {
                cache.with(&key, |&found, canary| assert_eq!((found, canary.read()), (key, key)));
            }
        })
    });
}

/// M3, M7: a replacement keeps a slot's bits while the hand changes others.
fn replacement_against_hand() {
    against_hand(|[a, _]| {
        job(move |cache: &Cache| {
            if let Ok(old) = cache.replace(a, Canary::new(a + 1000)) {
                assert_eq!(old.read(), a);
            }
        })
    });
}
