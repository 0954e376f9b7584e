//! A bare hashbrown map: no protection, no policy. Nothing can hit faster.

use hashbrown::HashMap;

use super::{Hasher, Reader};

pub struct Floor(HashMap<u64, u64, Hasher>);

impl Reader for Floor {
    const NAME: &'static str = "hashbrown";

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(entries, Hasher::default()))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key).copied()
    }
}
