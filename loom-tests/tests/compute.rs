//! Is a value decided on the entry that it takes the place of? (`src/store/compute`)
//!
//! M3: the canaries, and the share by which `compute` keeps the entry that it has seen while nothing is
//! protected; that it must be confirmed is shown by the seed `UnconfirmedShare` in `refresh`, whose share is
//! taken in the same place. M1, M8: `settle`. That no update is lost: `compute` counts.

use std::sync::Arc;

use hotset::Compute;
use hotset_loom_tests::{
    Cache, Canary, Job, adaptive, fill, job, keeps_the_bound, keys, race, settle, suite,
};

suite! {
    sound: compute_against_remove, compute_against_insert,
        two_computes;
    wide: compute_against_eviction, compute_against_successor;
    widest:;
    campaign:;
    seeded:
        ignore_hazards = IgnoreHazards in compute_against_remove => "Causality violation",
        takes_any = ComputeTakesAny in two_computes => "one of two is lost",
        takes_any_written = ComputeTakesAny in compute_against_insert => "the write is undone",
        torn = TornExchange in compute_against_remove => "created and dropped",
        torn_by_successor = TornExchange in compute_against_successor => "created and dropped",
        hand_decides = HandDecides in compute_against_eviction => "dies twice",
}

fn one() -> (Arc<Cache>, u64, u64) {
    let cache = adaptive(4);
    cache.set_max_entries(1).expect("a bound in range");
    let [key, other] = keys(&cache, 0);
    fill(&cache, [key]);
    (cache, key, other)
}

/// What somebody writes who does not look.
const WRITTEN: u64 = 1000;

/// Adds one to the number of `key`, which is the key itself where it has none.
fn compute(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        let done = cache.compute(key, |now| {
            Compute::Insert(Canary::new(now.map_or(key, |canary| canary.read() + 1)))
        });
        drop(done);
    })
}

/// The number of `key`, which has one.
fn number(cache: &Cache, key: u64) -> u64 {
    cache.with(&key, |_, canary| canary.read()).expect("it has a value")
}

/// The entry leaves before its share is confirmed, or after.
fn compute_against_remove() {
    let (cache, key, _) = one();
    let remove = job(move |cache: &Cache| {
        if let Some(old) = cache.remove(&key) {
            assert!(old.read() >= key, "a value of the key");
        }
        cache.maintain();
    });
    race(&cache, [compute(key), remove]);
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

/// Another value comes meanwhile, and stays, or is what is decided on.
fn compute_against_insert() {
    let (cache, key, _) = one();
    let insert = job(move |cache: &Cache| {
        assert!(cache.insert(key, Canary::new(WRITTEN)).is_admitted());
        keeps_the_bound(cache);
    });
    race(&cache, [compute(key), insert]);
    assert_eq!(settle(&cache), [key]);
    let left = number(&cache, key);
    assert!(left == WRITTEN || left == WRITTEN + 1, "the write is undone: {left}");
}

/// The entry is evicted meanwhile.
fn compute_against_eviction() {
    let (cache, key, other) = one();
    let insert = job(move |cache: &Cache| drop(cache.insert(other, Canary::new(other))));
    race(&cache, [compute(key), insert]);
    assert!(settle(&cache).len() <= 1);
}

/// Two decide at a time: both values were in, one after the other, and the later one was decided on the
/// earlier one.
fn two_computes() {
    let (cache, key, _) = one();
    race(&cache, [compute(key), compute(key)]);
    assert_eq!(settle(&cache), [key]);
    assert_eq!(number(&cache, key), key + 2, "one of two is lost");
}
