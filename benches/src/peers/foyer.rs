//! foyer's memory tier, with its default policy (LRU), and with S3-FIFO for hit ratios.

use foyer_memory::{Cache as Inner, CacheBuilder, CacheProperties, EvictionConfig, S3FifoConfig};

use super::{Cache, Hasher, Reader};

pub struct Foyer(Inner<u64, u64, Hasher, CacheProperties>);

impl Reader for Foyer {
    const NAME: &'static str = "foyer";

    fn with_capacity(entries: usize) -> Self {
        Self(CacheBuilder::new(entries).with_hash_builder(Hasher::default()).build())
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key).map(|entry| *entry.value())
    }
}

impl Cache for Foyer {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value);
        true
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

/// The same with S3-FIFO, the policy that its authors compare with moka's.
pub struct FoyerS3Fifo(Foyer);

impl Reader for FoyerS3Fifo {
    const NAME: &'static str = "foyer-s3fifo";

    fn with_capacity(entries: usize) -> Self {
        let policy = EvictionConfig::S3Fifo(S3FifoConfig::default());
        Self(Foyer(
            CacheBuilder::new(entries)
                .with_eviction_config(policy)
                .with_hash_builder(Hasher::default())
                .build(),
        ))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.put(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }
}

impl Cache for FoyerS3Fifo {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
