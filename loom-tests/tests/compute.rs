//! Is a value decided on the entry that it takes the place of? (`src/store/compute`)
//!
//! M3: the canaries, and the share by which `compute` keeps the entry that it has seen while nothing is
//! protected; that it must be confirmed is shown by the seed `UnconfirmedShare` in `refresh`, whose share is
//! taken in the same place. M1, M8: `settle`.

use std::sync::Arc;

use hotset::Compute;
use hotset_loom_tests::{
    Cache, Canary, Job, adaptive, fill, insert_and_look, job, keys, race, remove, settle, suite,
};

suite! {
    sound: compute_against_remove, compute_against_insert,
        two_computes;
    wide:;
    widest:;
    campaign: compute_against_eviction, compute_against_successor;
    seeded:
        ignore_hazards = IgnoreHazards in compute_against_remove => "Causality violation",
}

fn one() -> (Arc<Cache>, u64, u64) {
    let cache = adaptive(4);
    cache.set_max_entries(1).expect("a bound in range");
    let [key, other] = keys(&cache, 0);
    fill(&cache, [key]);
    (cache, key, other)
}

/// Gives `key` a new value, whatever it has.
fn compute(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        let done = cache.compute(key, |now| {
            if let Some(canary) = now {
                assert_eq!(canary.read(), key);
            }
            Compute::Insert(Canary::new(key))
        });
        drop(done);
    })
}

/// The entry leaves before its share is confirmed, or after.
fn compute_against_remove() {
    let (cache, key, _) = one();
    race(&cache, [compute(key), remove(key)]);
    assert!(settle(&cache).len() <= 1);
}

/// The entry leaves, is freed, and another one of the key gets its block.
fn compute_against_successor() {
    let (cache, key, _) = one();
    let again = job(move |cache: &Cache| {
        drop(cache.remove(&key));
        cache.maintain();
        drop(cache.insert(key, Canary::new(key)));
    });
    race(&cache, [compute(key), again]);
    assert!(settle(&cache).len() <= 1); // each may find no room while the other has it
}

/// Another value comes meanwhile.
fn compute_against_insert() {
    let (cache, key, _) = one();
    race(&cache, [compute(key), insert_and_look(key)]);
    assert_eq!(settle(&cache), [key]);
}

/// The entry is evicted meanwhile.
fn compute_against_eviction() {
    let (cache, key, other) = one();
    let insert = job(move |cache: &Cache| drop(cache.insert(other, Canary::new(other))));
    race(&cache, [compute(key), insert]);
    assert!(settle(&cache).len() <= 1);
}

/// Two decide at a time: both values were in, one after the other.
fn two_computes() {
    let (cache, key, _) = one();
    race(&cache, [compute(key), compute(key)]);
    assert_eq!(settle(&cache), [key]);
}
