//! What everybody writes first: an exact LRU in a mutex.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::{Cache, Hasher, Reader};

pub struct MutexLru(Mutex<LruCache<u64, u64, Hasher>>);

impl MutexLru {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, LruCache<u64, u64, Hasher>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for MutexLru {
    const NAME: &'static str = "mutex-lru";

    fn with_capacity(entries: usize) -> Self {
        let capacity = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::with_hasher(capacity, Hasher::default())))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.lock().get(&key).copied()
    }
}

impl Cache for MutexLru {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.lock().put(key, value);
        true
    }

    fn len(&self) -> usize {
        self.lock().len()
    }
}
