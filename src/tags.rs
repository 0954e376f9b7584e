//! Which slots could it be? The tag word of a bucket as plain arithmetic.
//!
//! ```text
//!  63     56 55              48 47     40         15      8 7       0
//! +---------+------------------+---------+-- ... -+---------+---------+
//! | beyond  |  overflow count  | tag 5   |        | tag 1   | tag 0   |
//! +---------+------------------+---------+-- ... -+---------+---------+
//! ```
//!
//! A tag is the fingerprint of the slot's last occupant: seven hash bits, the top bit clear; 0 in a
//! slot that was never used, where it means nothing. Tags of empty slots are arbitrary. The overflow
//! count is the number of entries (and claims) whose probe passed this bucket on its way to another one of
//! the same segment: where it is 0, a search of the segment may stop. A count that has once reached its
//! maximum stays there: how many passed is no longer known then, and searches go on. As many as 42 are there at a
//! time, those of the seven buckets behind; more are counted only while those who have to take their counts back, for
//! slots that were emptied or claims that were aborted, are stopped before they have done it.
//!
//! `beyond`, in buckets of first segments: a key whose home this is was put into an appended
//! segment, so a search for such a key looks there as well. In those of appended ones: such a key may be in an older
//! segment (`survey`). A bit for keys of every eighth tag, so that seven of eight other keys of a home are not looked
//! for on account of one. It is never taken back.

#![forbid(unsafe_code)]

use crate::sync::MODEL;

/// Slots in a bucket: a tag word, a clock word and six slots fill a cache line.
pub(crate) const SLOTS: usize = if MODEL { 2 } else { 6 };

/// One entry more that passed, and as many as can be counted.
const PASSED: u64 = 1 << 48;
pub(crate) const MOST_PASSED: u64 = 0xFF;
/// Where the bits of `beyond` begin, and which one is for a tag.
const BEYOND: u32 = 56;
const BEYOND_BITS: u8 = 8;

/// The lowest and the highest bit of each slot's byte.
pub(crate) const LOWS: u64 = 0x0101_0101_0101_0101 & ((1 << (8 * SLOTS)) - 1);
pub(crate) const HIGHS: u64 = LOWS << 7;

/// One value of a tag word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tags(pub(crate) u64);

impl Tags {
    /// The slots whose tag is `tag`, exactly.
    #[inline(always)]
    pub(crate) fn matches(self, tag: u8) -> Matches {
        // No byte of `differs` has its top bit, so subtracting it from the top bit borrows from no
        // other byte, and leaves the top bit only where it is zero. What the count at the top does
        // stays at the top.
        let differs = self.0 ^ (LOWS * u64::from(tag));
        Matches(HIGHS.wrapping_sub(differs) & HIGHS)
    }

    /// Whether a search for a key whose home this is ends here.
    #[inline(always)]
    pub(crate) fn is_end(self) -> bool {
        self.0 >> 48 == 0
    }

    /// How many entries passed this bucket on their way to a later one of its segment.
    #[inline(always)]
    pub(crate) fn passed(self) -> u64 {
        self.0 >> 48 & MOST_PASSED
    }

    /// Whether a key with this tag, whose home this is, went into an appended segment, or from there, may be in an
    /// older one.
    #[inline(always)]
    pub(crate) fn beyond(self, tag: u8) -> bool {
        self.0 >> (BEYOND + u32::from(tag % BEYOND_BITS)) & 1 != 0
    }

    /// Whether that is so for any key whose home this is.
    #[inline(always)]
    pub(crate) fn any_beyond(self) -> bool {
        self.0 >> BEYOND != 0
    }

    /// The word after a key with this tag, whose home this is, went into an appended segment.
    pub(crate) fn with_beyond(self, tag: u8) -> Self {
        Self(self.0 | 1 << (BEYOND + u32::from(tag % BEYOND_BITS)))
    }

    /// The word after one more entry has passed.
    pub(crate) fn with_one_more(self) -> Self {
        if self.passed() == MOST_PASSED { self } else { Self(self.0 + PASSED) }
    }

    /// The word after one that had passed has left.
    pub(crate) fn with_one_less(self) -> Self {
        debug_assert!(self.passed() > 0, "overflow count below zero");
        if self.passed() == MOST_PASSED || self.passed() == 0 {
            self
        } else {
            Self(self.0 - PASSED)
        }
    }

    #[inline]
    pub(crate) fn tag(self, slot: usize) -> u8 {
        (self.0 >> (8 * slot)) as u8
    }

    #[inline]
    pub(crate) fn with_tag(self, slot: usize, tag: u8) -> Self {
        debug_assert!(slot < SLOTS && tag < 0x80);
        let shift = 8 * slot;
        Self(self.0 & !(0xFF << shift) | (u64::from(tag) << shift))
    }
}

/// A slot, by the number of the top bit of its byte: what arithmetic on a whole bucket finds, and
/// from which both the slot's address and its bits in the clock word follow without a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane(u32);

impl Lane {
    #[inline(always)]
    pub(crate) fn of(slot: usize) -> Self {
        debug_assert!(slot < SLOTS);
        Self(8 * slot as u32 + 7)
    }

    /// The lane that said so ([`top_bit`](Self::top_bit)).
    #[inline(always)]
    pub(crate) fn of_top_bit(bit: u32) -> Self {
        debug_assert!(bit % 8 == 7 && (bit as usize) < 8 * SLOTS);
        Self(bit)
    }

    /// The first of a set that has one bit, the top one, for each slot.
    #[inline(always)]
    pub(crate) fn first_of(highs: u64) -> Self {
        debug_assert!(highs != 0 && highs & !HIGHS == 0);
        Self(highs.trailing_zeros())
    }

    #[inline(always)]
    pub(crate) const fn slot(self) -> usize {
        self.0 as usize / 8
    }

    /// Eight times the slot's number, plus seven.
    #[inline(always)]
    pub(crate) const fn top_bit(self) -> u32 {
        self.0
    }
}

/// A set of slots; iterates in slot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matches(u64);

impl Matches {
    /// The set without `lane`.
    #[inline(always)]
    pub(crate) fn without(self, lane: Lane) -> Self {
        Self(self.0 & !(1 << lane.top_bit()))
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Matches {
    type Item = Lane;

    #[inline(always)]
    fn next(&mut self) -> Option<Lane> {
        if self.0 == 0 {
            return None;
        }
        let lane = Lane::first_of(self.0);
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tag words have no top bit in a slot's byte.
    fn word() -> impl Strategy<Value = u64> {
        any::<u64>().prop_map(|word| word & !HIGHS)
    }

    fn slots(matches: Matches) -> Vec<usize> {
        matches.map(Lane::slot).collect()
    }

    proptest! {
        #[test]
        fn matches_are_those_of_a_loop(word in word(), tag in ..0x80_u8) {
            let naive: Vec<usize> = (0..SLOTS).filter(|&s| word.to_le_bytes()[s] == tag).collect();
            prop_assert_eq!(slots(Tags(word).matches(tag)), naive);
        }

        #[test]
        fn tags_do_not_disturb_each_other(word in word(), slot in 0..SLOTS, tag in ..0x80_u8) {
            let new = Tags(word).with_tag(slot, tag);
            prop_assert_eq!(new.tag(slot), tag);
            prop_assert_eq!(new.passed(), Tags(word).passed());
            for other in (0..SLOTS).filter(|&other| other != slot) {
                prop_assert_eq!(new.tag(other), Tags(word).tag(other));
            }
            prop_assert!(new.matches(tag).any(|lane| lane == Lane::of(slot)));
        }
    }

    #[test]
    fn a_near_match_is_none() {
        // 1 ^ 0 = 1: the classic trick on all eight bits would let it borrow.
        assert_eq!(slots(Tags(0x0001).matches(0x01)), [0]);
        assert_eq!(slots(Tags(0x7F7F_7F7F_7F7F).matches(0)), []);
        assert_eq!(slots(Tags(u64::MAX << 48).matches(0)), (0..SLOTS).collect::<Vec<_>>());
    }

    #[test]
    fn a_count_at_its_maximum_stays() {
        let mut tags = Tags(0x7F).with_one_more();
        assert_eq!((tags.passed(), tags.with_one_less()), (1, Tags(0x7F)));
        for _ in 0..70_000 {
            tags = tags.with_one_more();
        }
        assert_eq!((tags.passed(), tags.tag(0)), (MOST_PASSED, 0x7F));
        assert_eq!(tags.with_one_less(), tags);
        assert!(!tags.any_beyond());
    }

    #[test]
    fn beyond_is_no_part_of_the_count() {
        for tag in 0..0x80 {
            let tags = Tags(0x7F).with_beyond(tag);
            assert!(tags.any_beyond() && !tags.is_end() && Tags(0x7F).is_end());
            assert_eq!((tags.passed(), tags.tag(0)), (0, 0x7F));
            let more = tags.with_one_more().with_one_more();
            assert_eq!((more.passed(), more.with_beyond(tag)), (2, more));
            assert_eq!(more.with_one_less().with_one_less(), tags);
            let those: Vec<u8> = (0..0x80).filter(|&other| tags.beyond(other)).collect();
            assert_eq!(those, (tag % 8..0x80).step_by(8).collect::<Vec<_>>());
            assert!((0..0x80).all(|other| more.beyond(other) == tags.beyond(other)));
        }
        let all = (0..8).fold(Tags(0), Tags::with_beyond);
        assert!((0..0x80).all(|tag| all.beyond(tag)) && all.passed() == 0);
    }

    #[test]
    fn a_lane_is_its_slot() {
        for slot in 0..SLOTS {
            assert_eq!(Lane::of(slot).slot(), slot);
            assert_eq!(Lane::first_of(0x80 << (8 * slot)), Lane::of(slot));
        }
    }
}
