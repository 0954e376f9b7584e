//! Least recently used, by the `lru` crate.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::Simulator;
use crate::peers::Hasher;

pub struct Lru(LruCache<u64, (), Hasher>);

impl Simulator for Lru {
    fn with_capacity(entries: usize) -> Self {
        let capacity = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self(LruCache::with_hasher(capacity, Hasher::default()))
    }

    fn request(&mut self, key: u64) -> bool {
        self.0.put(key, ()).is_some()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::hits;
    use super::*;

    #[test]
    fn a_hit_saves_a_key_from_leaving() {
        // 1 2 | 1 hits | 3 puts out 2 | 1 hits | 2 puts out 3 | 3 misses
        assert_eq!(hits::<Lru>(2, &[1, 2, 1, 3, 1, 2, 3]), 2);
    }

    #[test]
    fn a_loop_one_longer_than_the_cache_never_hits() {
        let keys: Vec<u64> = (0..100).map(|i| i % 5).collect();
        assert_eq!(hits::<Lru>(4, &keys), 0);
        assert_eq!(hits::<Lru>(5, &keys), 95);
    }
}
