//! Which bits for what? One 64-bit hash, finalised and cut into disjoint fields.
//!
//! ```text
//!  63                    32 31            23 22        7 6      0
//! +------------------------+----------------+-----------+--------+
//! | place: shard, bucket   |                |           | tag    |
//! +------------------------+----------------+-----------+--------+
//! |       |<- identity of a claim (26 bits) ->|
//! ```

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hash};

/// A finalised hash. See the module for its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashed(u64);

impl Hashed {
    /// Hashes `key` with the user's hasher and finalises the outcome.
    #[inline(always)]
    pub(crate) fn new<S: BuildHasher, Q: Hash + ?Sized>(hasher: &S, key: &Q) -> Self {
        Self(finalise(hasher.hash_one(key)))
    }

    /// The part that is stored in a node and from which its home bucket follows.
    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The tag byte: seven hash bits, the top bit clear.
    #[inline(always)]
    pub(crate) fn tag(self) -> u8 {
        self.0 as u8 & 0x7F
    }

    /// The bits by which two inserters recognise that they (very likely) insert one key.
    #[inline]
    pub(crate) fn identity(self) -> u64 {
        self.0 >> 23
    }
}

/// The home bucket among `buckets` of a hash's place: multiply-high, so that the number of
/// buckets need not be a power of two (Lemire, "Fast Random Integer Generation in an Interval").
#[inline(always)]
pub(crate) fn home(place: u32, buckets: u32) -> usize {
    ((u64::from(place) * u64::from(buckets)) >> 32) as usize
}

/// Spreads a poor hash (an identity hash of small integers, say): a Fibonacci multiplication, whose
/// high half is the place, and the high half folded into the low one, which is all the rest.
#[inline(always)]
fn finalise(hash: u64) -> u64 {
    let wide = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    wide ^ (wide >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_disjoint_and_in_range() {
        let h = Hashed(0xFFFF_FFFF_0000_0000);
        assert_eq!((h.place(), h.tag()), (u32::MAX, 0));
        let h = Hashed(0x0000_0000_FF80_0000);
        assert_eq!((h.place(), h.tag(), h.identity()), (0, 0, 0x1FF));
        let h = Hashed(0x7F);
        assert_eq!((h.place(), h.tag(), h.identity()), (0, 0x7F, 0));
    }

    #[test]
    fn home_covers_all_buckets_and_no_more() {
        for buckets in [1, 2, 7, 250, 1 << 20] {
            assert_eq!(home(0, buckets), 0);
            assert_eq!(home(u32::MAX, buckets), buckets as usize - 1);
        }
    }

    #[test]
    fn small_integers_spread() {
        // An identity hash of 0..4096 must fill 256 buckets evenly enough.
        let mut counts = [0_u32; 256];
        for i in 0..4096 {
            counts[home(Hashed(finalise(i)).place(), 256)] += 1;
        }
        assert!(counts.iter().all(|&n| (2..=48).contains(&n)), "{counts:?}");
    }
}
