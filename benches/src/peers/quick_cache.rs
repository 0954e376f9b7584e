//! quick_cache: sharded CLOCK-Pro behind read-write locks, with our hasher and with its own.
//!
//! And with a single shard: nobody would use it so among threads, but it shows what its policy
//! hits when nothing is lost to shards that fill unevenly.

use quick_cache::sync::{Cache as Inner, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter, Weighter};

use super::{Cache, Hasher, Reader};

pub struct QuickCache<W = UnitWeighter>(Inner<u64, u64, W, Hasher>);

impl<W: Weighter<u64, u64> + Clone> QuickCache<W> {
    /// For about so many entries, of this weight in all.
    pub(super) fn built(entries: usize, weight: u64, weighter: W) -> Self {
        let lifecycle = DefaultLifecycle::default();
        Self(Inner::with(entries, weight, weighter, Hasher::default(), lifecycle))
    }
}

impl<W: Weighter<u64, u64> + Clone + Default + Send + Sync + 'static> Reader for QuickCache<W> {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(entries: usize) -> Self {
        Self::built(entries, entries as u64, W::default())
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl<W: Weighter<u64, u64> + Clone + Default + Send + Sync + 'static> Cache for QuickCache<W> {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value);
        true
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// As it ships: `Cache::new`.
pub struct QuickCacheOwnHasher(Inner<u64, u64, UnitWeighter, DefaultHashBuilder>);

impl Reader for QuickCacheOwnHasher {
    const NAME: &'static str = "quick_cache-own-hasher";

    fn with_capacity(entries: usize) -> Self {
        Self(Inner::new(entries))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl Cache for QuickCacheOwnHasher {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value);
        true
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// One shard.
pub struct QuickCacheOneShard(QuickCache);

impl Reader for QuickCacheOneShard {
    const NAME: &'static str = "quick_cache 1s";

    fn with_capacity(entries: usize) -> Self {
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(entries).weight_capacity(entries as u64).shards(1);
        let options = options.build().expect("both capacities are given");
        let hasher = Hasher::default();
        let lifecycle = DefaultLifecycle::default();
        Self(QuickCache(Inner::with_options(options, UnitWeighter, hasher, lifecycle)))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.put(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }
}

impl Cache for QuickCacheOneShard {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
