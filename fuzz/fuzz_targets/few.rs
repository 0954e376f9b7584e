//! Where do keys lie that share their hash with others?

use std::hash::{BuildHasher, Hasher};

/// A hasher with few different hashes.
pub(crate) struct Few(pub(crate) u8);

impl BuildHasher for Few {
    type Hasher = FewHasher;

    fn build_hasher(&self) -> FewHasher {
        FewHasher(self.0, 0)
    }
}

pub(crate) struct FewHasher(u8, u64);

impl Hasher for FewHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.1 = u64::from(bytes[0] % self.0.max(1));
    }

    fn finish(&self) -> u64 {
        self.1
    }
}
