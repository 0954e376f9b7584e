//! Which cache, and which keys? A cache of canaries whose keys can be chosen by their bucket.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hotset::__model::tag_of;
use hotset::Policy;

use crate::{Canary, Job, job};

/// The cache under test.
pub type Cache = hotset::Cache<u64, Canary, Identity>;

/// Hashes a `u64` to itself, so that a model is the same in each of its executions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl BuildHasher for Identity {
    type Hasher = Itself;

    fn build_hasher(&self) -> Itself {
        Itself(0)
    }
}

/// The hasher of [`Identity`].
#[derive(Debug)]
pub struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// An empty cache with this bound and `Policy::Clock`, which needs fewer steps than the other one. In
/// the model build it has `max_entries / 2` buckets, rounded up, of two slots each, and every thread
/// collects after each retirement.
pub fn cache(max_entries: usize) -> Arc<Cache> {
    cache_of(max_entries, Policy::Clock)
}

/// The same with `Policy::Adaptive`. Its queues and its memory of who left are invisible to loom.
pub fn adaptive(max_entries: usize) -> Arc<Cache> {
    cache_of(max_entries, Policy::Adaptive)
}

fn cache_of(max_entries: usize, policy: Policy) -> Arc<Cache> {
    let builder = hotset::Cache::<u64, Canary>::builder().hasher(Identity).policy(policy);
    Arc::new(builder.max_entries(max_entries).build().expect("a bound of 1 or more"))
}

/// A cache whose first segment has slots for so many entries, each of which weighs 1, and grows when there are more.
pub fn weighed(max_weight: u64, entries: usize, policy: Policy) -> Arc<Cache> {
    let builder = hotset::Cache::builder()
        .hasher(Identity)
        .policy(policy)
        .max_weight(max_weight)
        .weigher(|_: &u64, _: &Canary| 1)
        .expected_entries(entries);
    Arc::new(builder.build().expect("a bound, and a weigher"))
}

/// These in the order in which [`settle`] says them.
pub fn sorted<const N: usize>(mut keys: [u64; N]) -> [u64; N] {
    keys.sort_unstable();
    keys
}

/// Inserts each key with a canary of the same number.
pub fn fill<const N: usize>(cache: &Cache, keys: [u64; N]) {
    for key in keys {
        assert!(cache.insert(key, Canary::new(key)).is_admitted());
    }
}

/// `N` keys whose home is bucket `home` of `cache` and whose tags all differ.
pub fn keys<const N: usize>(cache: &Cache, home: usize) -> [u64; N] {
    let mut tags = Vec::new();
    let mut found = (1..).filter(|key| {
        let tag = tag_of(&Identity, key);
        let fits = cache.clock_home(key).1 == home && !tags.contains(&tag);
        if fits {
            tags.push(tag);
        }
        fits
    });
    std::array::from_fn(|_| found.next().expect("keys without end"))
}

/// Whether a home that says "beyond" for one of two keys says so for the other, too.
pub fn akin(one: u64, other: u64) -> bool {
    let bit = |key: u64| tag_of(&Identity, &key) % 8;
    bit(one) == bit(other)
}

/// Entries that are certainly in the table at one time: what a pinned thread sees in two looks one
/// after the other was there between the two, since under a pin no node comes back.
pub fn crowd(cache: &Cache) -> usize {
    let pin = cache.pin();
    let look = || pin.iter().map(|(key, canary)| (*key, std::ptr::from_ref(canary)));
    let first: Vec<_> = look().collect();
    look().filter(|entry| first.contains(entry)).count()
}

/// M5.
///
/// # Panics
/// If there are more entries than the bound allows.
pub fn keeps_the_bound(cache: &Cache) {
    let crowd = crowd(cache);
    assert!(crowd <= cache.capacity(), "{crowd} entries at one time, {}", cache.capacity());
    assert!(cache.len() <= cache.capacity(), "{} entries counted", cache.len());
}

/// What must hold of a cache that nobody uses any more: M8 (`validate`), M1 and M8 (each entry is
/// found by its key, and is in the table once), M5 (the bound). Gives the keys, in order.
pub fn settle(cache: &Cache) -> Vec<u64> {
    cache.validate().unwrap_or_else(|broken| panic!("validate: {broken}"));
    let mut keys: Vec<u64> = cache.pin().iter().map(|(&key, _)| key).collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key is in two slots: {keys:?}");
    assert!(keys.len() <= cache.capacity(), "{keys:?} in a cache for {}", cache.capacity());
    for key in &keys {
        assert!(cache.contains_key(key), "key {key} is in the table and is not found");
    }
    keys
}

/// Inserts a key, or is refused, and looks around.
pub fn insert_and_look(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        cache.insert(key, Canary::new(key));
        keeps_the_bound(cache);
    })
}

/// Removes a key, and looks at what it was.
pub fn remove(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        if let Some(old) = cache.remove(&key) {
            assert_eq!((*old.key(), old.read()), (key, key));
        }
    })
}
