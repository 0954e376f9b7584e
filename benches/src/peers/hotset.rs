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
