//! quick_cache: sharded CLOCK-Pro behind read-write locks, with our hasher and with its own.

use quick_cache::sync::{Cache as Inner, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, UnitWeighter};

use super::{Cache, Hasher, Reader};

pub struct QuickCache(Inner<u64, u64, UnitWeighter, Hasher>);

impl Reader for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(entries: usize) -> Self {
        Self(Inner::with(
            entries,
            entries as u64,
            UnitWeighter,
            Hasher::default(),
            DefaultLifecycle::default(),
        ))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl Cache for QuickCache {
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
