//! Which slots could it be? The tag word of a bucket as plain arithmetic.
//!
//! ```text
//!  63            48 47     40         15      8 7       0
//! +----------------+---------+-- ... -+---------+---------+
//! | overflow count | tag 5   |        | tag 1   | tag 0   |
//! +----------------+---------+-- ... -+---------+---------+
//! ```
//!
//! A tag is the fingerprint of the slot's last occupant: top bit set, seven hash bits; 0 means
//! never used. Tags of empty slots are arbitrary. The overflow count is the number of entries (and
//! claims) whose probe passed this bucket: where it is 0, a search may stop. It cannot overflow:
//! entries of one home that lie beyond it are at most the slots of their probe, and each thread
//! adds at most one claim (`MAX_SEGMENTS * PROBE * SLOTS` plus the threads that insert one home at
//! one instant).

#![forbid(unsafe_code)]

use crate::sync::MODEL;

/// Slots in a bucket: a tag word, a clock word and six slots fill a cache line.
pub(crate) const SLOTS: usize = if MODEL { 2 } else { 6 };

/// One entry more that passed.
pub(crate) const PASSED: u64 = 1 << 48;

const ONES: u64 = 0x0101_0101_0101_0101;
const LOWS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const SLOT_BYTES: u64 = (1 << (8 * SLOTS)) - 1;

/// One value of a tag word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tags(pub(crate) u64);

impl Tags {
    /// The slots whose tag is `tag`, exactly (no false positives from carries).
    #[inline(always)]
    pub(crate) fn matches(self, tag: u8) -> Matches {
        // A byte of `x` is zero where the tag matches. `(x & 0x7F) + 0x7F` has its top bit set
        // unless the low seven bits are zero, and never carries into the next byte.
        let x = self.0 ^ (ONES * u64::from(tag));
        let nonzero = ((x & LOWS) + LOWS) | x;
        Matches(!nonzero & HIGHS & SLOT_BYTES)
    }

    /// How many entries passed this bucket on their way to a later one.
    #[inline(always)]
    pub(crate) fn passed(self) -> u64 {
        self.0 >> 48
    }

    #[inline]
    pub(crate) fn tag(self, slot: usize) -> u8 {
        (self.0 >> (8 * slot)) as u8
    }

    #[inline]
    pub(crate) fn with_tag(self, slot: usize, tag: u8) -> Self {
        let shift = 8 * slot;
        Self(self.0 & !(0xFF << shift) | (u64::from(tag) << shift))
    }
}

/// A set of slots; iterates in slot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matches(u64);

impl Matches {
    /// The set without `slot`.
    #[inline(always)]
    pub(crate) fn without(self, slot: usize) -> Self {
        Self(self.0 & !(0x80 << (8 * slot)))
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn matches_are_those_of_a_loop(word: u64, tag in 0x80_u8..) {
            let naive: Vec<usize> = (0..SLOTS).filter(|&s| word.to_le_bytes()[s] == tag).collect();
            prop_assert_eq!(Tags(word).matches(tag).collect::<Vec<_>>(), naive);
        }

        #[test]
        fn tags_do_not_disturb_each_other(word: u64, slot in 0..SLOTS, tag in 0x80_u8..) {
            let new = Tags(word).with_tag(slot, tag);
            prop_assert_eq!(new.tag(slot), tag);
            prop_assert_eq!(new.passed(), Tags(word).passed());
            for other in (0..SLOTS).filter(|&other| other != slot) {
                prop_assert_eq!(new.tag(other), Tags(word).tag(other));
            }
            prop_assert!(new.matches(tag).any(|s| s == slot));
        }
    }

    #[test]
    fn a_near_match_is_none() {
        // 0x81 ^ 0x80 = 1: the classic trick without masking would let it borrow.
        assert_eq!(Tags(0x8180).matches(0x81).collect::<Vec<_>>(), [1]);
        assert_eq!(Tags(0).matches(0x80).next(), None);
    }
}
