//! The cache that this is about.

use hotset::{Cache as Inner, Insert, Policy};

use super::{Cache, Hasher, Pinning, Reader};

pub struct Hotset(Inner<u64, u64, Hasher>);

impl Hotset {
    pub fn with_policy(entries: usize, policy: Policy) -> Self {
        Self(
            Inner::builder()
                .max_entries(entries)
                .policy(policy)
                .hasher(Hasher::default())
                .build()
                .expect("every capacity that the commands accept is one that hotset accepts"),
        )
    }
}

impl Reader for Hotset {
    const NAME: &'static str = "hotset";

    fn with_capacity(entries: usize) -> Self {
        Self::with_policy(entries, Policy::default())
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn settle(&self) {
        self.0.maintain();
    }
}

/// The same with [`Policy::Clock`]: what the default policy costs and gains.
pub struct HotsetClock(Hotset);

impl Reader for HotsetClock {
    const NAME: &'static str = "hotset clock";

    fn with_capacity(entries: usize) -> Self {
        Self(Hotset::with_policy(entries, Policy::Clock))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.put(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }

    fn settle(&self) {
        self.0.settle();
    }
}

impl Cache for HotsetClock {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The same with hits and misses counted: what `Builder::stats` costs.
pub struct HotsetStats(Hotset);

impl Reader for HotsetStats {
    const NAME: &'static str = "hotset stats";

    fn with_capacity(entries: usize) -> Self {
        let builder = Inner::builder().max_entries(entries).hasher(Hasher::default());
        let cache = builder.stats(true).build().expect("every capacity that the commands accept");
        Self(Hotset(cache))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.put(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }

    fn settle(&self) {
        self.0.settle();
    }
}

impl Pinning for HotsetStats {
    #[inline]
    fn get_under_one_pin(&self, reads: u64, next: impl FnMut() -> u64) -> u64 {
        self.0.get_under_one_pin(reads, next)
    }
}

impl Pinning for Hotset {
    #[inline]
    fn get_under_one_pin(&self, reads: u64, mut next: impl FnMut() -> u64) -> u64 {
        let pin = self.0.pin();
        let mut hits = 0;
        for _ in 0..reads {
            if let Some(value) = pin.get(&next()) {
                std::hint::black_box(*value);
                hits += 1;
            }
        }
        hits
    }
}

impl Cache for Hotset {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        !matches!(self.0.insert(key, value), Insert::NotAdmitted(..) | Insert::TooHeavy(..))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
