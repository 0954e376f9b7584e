//! papaya: a lock-free map that never evicts. The ceiling of a protected read.

use papaya::HashMap;

use super::{Hasher, Pinning, Reader};

pub struct Papaya(HashMap<u64, u64, Hasher>);

impl Reader for Papaya {
    const NAME: &'static str = "papaya";

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::builder().capacity(entries).hasher(Hasher::default()).build())
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.pin().insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.pin().get(&key).copied()
    }
}

impl Pinning for Papaya {
    #[inline]
    fn get_under_one_pin(&self, reads: u64, mut next: impl FnMut() -> u64) -> u64 {
        let map = self.0.pin();
        let mut hits = 0;
        for _ in 0..reads {
            if let Some(value) = map.get(&next()) {
                std::hint::black_box(*value);
                hits += 1;
            }
        }
        hits
    }
}
