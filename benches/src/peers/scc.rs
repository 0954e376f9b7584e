//! scc::HashCache: buckets of 32, each with its own LRU and lock; no global order.
//!
//! It rounds its capacity up to a power of two, so in a table of hit ratios it may hold more than
//! it was given; the tables say so.

use scc::HashCache;

use super::{Cache, Hasher, Reader};

pub struct Scc(HashCache<u64, u64, Hasher>);

impl Reader for Scc {
    const NAME: &'static str = "scc";

    fn with_capacity(entries: usize) -> Self {
        // All room from the start: while it grows, it evicts from full buckets of a small table.
        Self(HashCache::with_capacity_and_hasher(entries, entries, Hasher::default()))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    // `get_sync` locks the bucket for writing and records the use; its `read_sync` is cheaper,
    // but then a hit does not protect the entry, and what is measured is not a cache.
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get_sync(&key).map(|entry| *entry.get())
    }
}

impl Cache for Scc {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        // `Err` means that another thread put the key in between: it is present, not refused.
        let _present = self.0.put_sync(key, value);
        true
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
