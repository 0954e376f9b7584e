//! moka's synchronous cache: W-TinyLFU, records of hits and writes in queues.

use moka::sync::{Cache as Inner, CacheBuilder};

use super::{Cache, Hasher, Reader};

type Builder = CacheBuilder<u64, u64, Inner<u64, u64>>;

pub struct Moka(Inner<u64, u64, Hasher>);

impl Moka {
    /// Built as by default, but for what `change` says.
    pub(super) fn built(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self(change(Inner::builder()).build_with_hasher(Hasher::default()))
    }
}

impl Reader for Moka {
    const NAME: &'static str = "moka";

    fn with_capacity(entries: usize) -> Self {
        Self::built(|builder| builder.max_capacity(entries as u64))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

impl Cache for Moka {
    // Its admission filter may drop the newcomer later, unseen by the caller.
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value);
        true
    }

    // As of its last maintenance.
    fn len(&self) -> usize {
        self.0.entry_count() as usize
    }

    // Writes wait in a queue while their entries can be read already: up to some hundred entries
    // too many, which is nothing in a large cache and multiplies a small one.
    fn held(&self) -> usize {
        let count = self.len();
        if count < 20_000 { self.0.iter().count() } else { count }
    }
}
