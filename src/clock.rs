//! Who has been used lately? The CLOCK word of a bucket as plain arithmetic.
//!
//! One byte per slot:
//!
//! | bit | name | set by | cleared by |
//! |---|---|---|---|
//! | 7 | LUKEWARM | the hand; the entry of a newcomer | a hit that finds COLD clear |
//! | 6 | COLD | the hand that finds LUKEWARM set; the entry of a newcomer | a hit |
//! | 5 | NEW | the entry of a newcomer on probation | its promotion; the hand, in some turns |
//!
//! `Policy::Clock` has the first bit only. Where COLD is set LUKEWARM is, too (but for a lost update), so
//! that a hit looks at one bit to know whether it has anything to write.
//!
//! The first two are reference bits, upside down: set means "not used since the hand passed". So
//! zeroed memory is "used", an entry that is used often writes nothing, and the hand does all the
//! writing. The word holds advice only: an update may be lost and nothing breaks.
//!
//! `Policy::Clock`, exactly (F. J. Corbato, "A Paging Experiment with the Multics System", 1968):
//! * a newcomer is not lukewarm; a hit on a lukewarm entry makes it not lukewarm;
//! * a hand that meets an entry which is not lukewarm makes it so and goes on; it evicts the first
//!   lukewarm one that it meets.
//!
//! `Policy::Adaptive`: an entry has 0 to 2 uses to its credit, 0 when it comes; a hit adds one, the
//! hand takes one away, and evicts the first that has none. It passes over the new ones, which are
//! another queue's (`adaptive`); but every sixteenth turn makes them new no longer, so that an entry
//! which that queue has lost sight of is the hand's in the end.

#![forbid(unsafe_code)]

use std::ops::Range;

use crate::dumped::Standing;
use crate::tags::{Lane, SLOTS};

const LUKEWARM: u64 = 0x80;
const COLD: u64 = 0x40;
const NEW: u64 = 0x20;

/// A byte moved to `lane`, whose top bit is the lane's number.
#[inline(always)]
fn at(byte: u64, lane: Lane) -> u64 {
    byte << (lane.top_bit() - 7)
}

/// Whether a hit on `lane` has anything to write.
#[inline(always)]
pub(crate) fn is_stale(word: u64, lane: Lane) -> bool {
    word & at(LUKEWARM, lane) != 0
}

/// The bit that a hit on `lane` clears.
pub(crate) fn used(word: u64, lane: Lane) -> u64 {
    let cold = word & at(COLD, lane);
    if cold != 0 { cold } else { word & at(LUKEWARM, lane) }
}

/// Whether the entry of `lane` has no use to its credit (`Policy::Adaptive`).
#[inline(always)]
pub(crate) fn is_cold(word: u64, lane: Lane) -> bool {
    word & at(COLD, lane) != 0
}

/// Whether a hand evicts `lane` the next time it comes there.
pub(crate) fn is_next(word: u64, lane: Lane, one_level: bool) -> bool {
    let bits = if one_level { LUKEWARM } else { LUKEWARM | COLD };
    word & at(bits, lane) == at(bits, lane)
}

/// Whether the entry of `lane` is on probation.
#[inline(always)]
pub(crate) fn is_new(word: u64, lane: Lane) -> bool {
    word & at(NEW, lane) != 0
}

/// The uses to the credit of the entry of `lane`.
pub(crate) fn uses(word: u64, lane: Lane) -> u32 {
    2 - (word & (at(COLD, lane) | at(LUKEWARM, lane))).count_ones()
}

/// The standing of the entry of `lane`. With one level, not lukewarm is one use.
pub(crate) fn standing(word: u64, lane: Lane, one_level: bool) -> Standing {
    let uses = if one_level { u8::from(!is_stale(word, lane)) } else { uses(word, lane) as u8 };
    Standing { on_probation: !one_level && is_new(word, lane), uses }
}

/// The word with so many uses to the credit of `lane`.
pub(crate) fn with_uses(word: u64, lane: Lane, uses: u8, one_level: bool) -> u64 {
    let byte = match uses {
        0 if one_level => LUKEWARM,
        0 => LUKEWARM | COLD,
        1 if !one_level => LUKEWARM,
        _ => 0,
    };
    word & !at(LUKEWARM | COLD, lane) | at(byte, lane)
}

/// The word with `lane` cold, and new or not: that of a newcomer, or of one that is promoted.
#[inline(always)]
pub(crate) fn with_cold(word: u64, lane: Lane, new: bool) -> u64 {
    let byte = COLD | LUKEWARM | if new { NEW } else { 0 };
    word & !at(0xFF, lane) | at(byte, lane)
}

/// The bits of the lanes before this one.
#[inline(always)]
fn before(lane: Lane) -> u64 {
    (1 << lane.top_bit()) - 1
}

/// How many lanes are in a set of top bits. (Processors that count bits are not asked for.)
#[inline(always)]
fn count(highs: u64) -> u32 {
    ((highs >> 7).wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

/// What a hand does at the entries of one bucket, `ready` telling by top bits where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// Whom it evicts, if it comes to it.
    pub(crate) victims: u64,
    /// Of the others, whose bits it changes, by top bits.
    passed: u64,
    lukewarm: u64,
    new: u64,
    mode: Mode,
}

/// How a hand sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One reference bit, nobody is new: `Policy::Clock`.
    OneLevel,
    /// Two reference bits; the new ones are passed over.
    TwoLevels,
    /// The same, and the new ones are new no longer.
    Adopting,
    /// Everybody is a victim: the last resort.
    Anyone,
}

/// The turns of the hand that adopt: one of so many.
const ADOPTING: usize = 16;

/// How the hand of `Policy::Adaptive` sweeps in its `round`-th round.
#[inline]
pub(crate) fn mode_of(round: usize) -> Mode {
    if round / ROUNDS % ADOPTING == ADOPTING - 1 { Mode::Adopting } else { Mode::TwoLevels }
}

/// Rounds over the table in a turn of the hand of `Policy::Adaptive`: in each it looks at another part of the
/// slots of every bucket. One in a model, for which a bucket has slots enough.
///
/// A main class whose hand stands still, because nobody asks for it any more, stays as the hand left it.
/// Swept bucket by bucket, that is with twice the mean load in some buckets and nothing in others, and many a
/// newcomer finds its home full; in halves, with one and a half times and half the mean.
const ROUNDS: usize = if crate::sync::MODEL { 1 } else { 2 };

/// Rounds over the table until the hand has looked at all slots.
#[inline]
pub(crate) fn rounds(one_level: bool) -> usize {
    if one_level { 1 } else { ROUNDS }
}

/// The slots of a bucket that the hand looks at in its `round`-th round.
#[inline]
pub(crate) fn part_of(round: usize, one_level: bool) -> Range<usize> {
    if one_level {
        return 0..SLOTS;
    }
    let (part, length) = (round % ROUNDS, SLOTS / ROUNDS);
    part * length..(part + 1) * length
}

impl Sweep {
    #[inline(always)]
    pub(crate) fn new(word: u64, ready: u64, mode: Mode) -> Self {
        let (lukewarm, cold, new) = (word, word << 1, ready & (word << 2));
        match mode {
            Mode::OneLevel => {
                let (victims, passed) = (ready & lukewarm, ready & !lukewarm);
                Self { victims, passed, lukewarm: 0, new: 0, mode }
            }
            Mode::TwoLevels | Mode::Adopting => {
                let (old, none) = (ready & !new, lukewarm & cold);
                Self { victims: old & none, passed: old & !none, lukewarm, new, mode }
            }
            Mode::Anyone => Self { victims: ready, passed: 0, lukewarm: 0, new: 0, mode },
        }
    }

    /// How many entries in use the hand passes over, if it finds no victim here.
    #[inline(always)]
    pub(crate) fn passes(&self) -> u32 {
        count(self.passed)
    }

    /// How many it passes over on its way to this victim.
    #[inline]
    pub(crate) fn passes_before(&self, victim: Lane) -> u32 {
        count(self.passed & before(victim))
    }

    /// If it passes over more than `most` on its way to the first victim, or to the next bucket: before whom it
    /// stops, having passed over `most`.
    #[inline]
    pub(crate) fn stop_after(&self, most: u32) -> Option<Lane> {
        let on_its_way = match self.victims {
            0 => self.passed,
            victims => self.passed & before(Lane::first_of(victims)),
        };
        if count(on_its_way) <= most {
            return None;
        }
        let more = (0..most).fold(on_its_way, |rest, _| rest & (rest - 1));
        Some(Lane::first_of(more))
    }

    /// The first that is cold once the hand has passed; if none is, the first that it passed. And
    /// whether it is cold.
    pub(crate) fn least_used(&self) -> Option<(Lane, bool)> {
        let cold = self.passed & self.lukewarm;
        let least = if cold != 0 { cold } else { self.passed };
        (least != 0).then(|| (Lane::first_of(least), cold != 0))
    }

    /// The bits that change when the hand goes on to the next bucket.
    #[inline(always)]
    pub(crate) fn all_passed(&self) -> u64 {
        self.flips(u64::MAX)
    }

    /// The bits that change when it stops before `lane`, who is in use.
    #[inline]
    pub(crate) fn stopped_before(&self, lane: Lane) -> u64 {
        self.flips(before(lane))
    }

    /// The bits that change when it stops at the victim `lane`.
    #[inline(always)]
    pub(crate) fn stopped_at(&self, lane: Lane) -> u64 {
        let before = self.flips(before(lane));
        match self.mode {
            // The bit of a victim is cleared for its successor, who is not lukewarm.
            Mode::OneLevel => before | at(LUKEWARM, lane),
            Mode::TwoLevels | Mode::Adopting | Mode::Anyone => before,
        }
    }

    #[inline(always)]
    fn flips(&self, among: u64) -> u64 {
        let passed = self.passed & among;
        let (cold, lukewarm) = (passed & self.lukewarm, passed & !self.lukewarm);
        match self.mode {
            Mode::OneLevel | Mode::TwoLevels | Mode::Anyone => lukewarm | cold >> 1,
            Mode::Adopting => lukewarm | cold >> 1 | (self.new & among) >> 2,
        }
    }
}

/// In which order the hand visits rows: in eight interleaved passes over the table, so that any
/// eight buckets in a row were swept at evenly spread times, and neighbours half a round apart.
///
/// Swept row by row, the region before the hand would be up to twice as full as that behind it
/// and overflow; interleaved, each probe finds the mean load.
#[inline]
pub(crate) fn row_of(step: usize, rows: usize) -> usize {
    let per_pass = rows.div_ceil(PASSES);
    let (pass, at) = (step / per_pass, step % per_pass);
    at * PASSES + mirrored(pass)
}

/// The row that follows `row` in that order: `row_of` one step on, without its divisions.
#[inline]
pub(crate) fn row_after(row: usize, rows: usize) -> usize {
    let next = row + PASSES;
    if next < steps(rows) { next } else { mirrored(mirrored(row % PASSES) + 1) }
}

/// The first row of pass `pass`, and the pass of a first row: its three bits backwards.
#[inline]
fn mirrored(pass: usize) -> usize {
    (pass as u8).reverse_bits() as usize / (256 / PASSES)
}

/// Steps of a round over `rows` rows. Those whose row does not exist are passed over.
#[inline]
pub(crate) fn steps(rows: usize) -> usize {
    rows.next_multiple_of(PASSES)
}

/// Interleaved passes of a round. One in a model, whose tables have a row or two: each step of the
/// hand is a step of the model.
const PASSES: usize = if crate::sync::MODEL { 1 } else { 8 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::{HIGHS, SLOTS};
    use proptest::prelude::*;

    /// The same, slot by slot, as the module tells it: what becomes of a byte that the hand meets.
    /// `None`: it is evicted.
    fn pass(byte: u8, mode: Mode) -> Option<u8> {
        match (mode, byte & 0x20 != 0, byte & 0x80 != 0, byte & 0x40 != 0) {
            (Mode::OneLevel, _, true, _) | (Mode::Anyone, ..) => None,
            (Mode::OneLevel, _, false, _) => Some(byte | 0x80),
            (Mode::TwoLevels, true, _, _) => Some(byte),
            (Mode::Adopting, true, _, _) => Some(byte & !0x20),
            (_, false, true, true) => None,
            (_, false, true, false) => Some(byte | 0x40),
            (_, false, false, _) => Some(byte | 0x80),
        }
    }

    fn mode() -> impl Strategy<Value = Mode> {
        prop::sample::select(vec![Mode::OneLevel, Mode::TwoLevels, Mode::Adopting, Mode::Anyone])
    }

    proptest! {
        #[test]
        fn a_sweep_is_one_by_one(word: u64, ready: u64, mode in mode()) {
            let word = if mode == Mode::OneLevel { word & HIGHS } else { word };
            let sweep = Sweep::new(word, ready & HIGHS, mode);
            let (mut expected, mut met) = (word, 0);
            for lane in (0..SLOTS).map(Lane::of) {
                if ready & at(LUKEWARM, lane) == 0 {
                    continue;
                }
                let shift = lane.top_bit() - 7;
                match pass((word >> shift) as u8, mode) {
                    None => {
                        prop_assert_eq!(sweep.passes_before(lane), met);
                        prop_assert!(sweep.victims & at(LUKEWARM, lane) != 0);
                        if sweep.victims & (at(LUKEWARM, lane) - 1) == 0 {
                            let stopped = word ^ sweep.stopped_at(lane);
                            let bit = if mode == Mode::OneLevel { at(LUKEWARM, lane) } else { 0 };
                            prop_assert_eq!(stopped, expected ^ bit);
                        }
                    }
                    Some(byte) => {
                        prop_assert!(sweep.victims & at(LUKEWARM, lane) == 0);
                        let in_use = (word >> shift) as u8 ^ byte;
                        if in_use & 0xC0 != 0 {
                            // The first whom it may not pass over, and what it has done by then.
                            if sweep.victims & (at(LUKEWARM, lane) - 1) == 0 {
                                prop_assert_eq!(sweep.stop_after(met), Some(lane));
                                prop_assert_eq!(word ^ sweep.stopped_before(lane), expected);
                            }
                            met += 1;
                        }
                        expected = expected & !at(0xFF, lane) | at(u64::from(byte), lane);
                    }
                }
            }
            prop_assert_eq!((word ^ sweep.all_passed(), sweep.passes()), (expected, met));
            prop_assert_eq!(sweep.stop_after(met), None);
        }

        #[test]
        fn a_hit_adds_one_use_and_touches_no_other(word: u64, slot in 0..SLOTS) {
            let lane = Lane::of(slot);
            let word = if is_cold(word, lane) { word | at(LUKEWARM, lane) } else { word };
            let after = word & !used(word, lane);
            prop_assert_eq!((word ^ after) & !at(0xC0, lane), 0);
            prop_assert_eq!(is_stale(word, lane), word != after);
            prop_assert!(!is_cold(after, lane));
            prop_assert!(!is_stale(after & !used(after, lane), lane));
        }

        #[test]
        fn a_newcomer_is_cold_and_touches_no_other(word: u64, slot in 0..SLOTS, new: bool) {
            let lane = Lane::of(slot);
            let after = with_cold(word, lane, new);
            prop_assert_eq!((word ^ after) & !at(0xFF, lane), 0);
            prop_assert_eq!((is_cold(after, lane), is_new(after, lane)), (true, new));
        }
    }

    #[test]
    fn a_round_visits_every_row_once() {
        for rows in [1, 7, 8, 9, 11, 64, 249, 1000] {
            let mut seen: Vec<_> = (0..steps(rows)).map(|step| row_of(step, rows)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..steps(rows)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_turn_looks_at_every_slot_once() {
        for one_level in [false, true] {
            let slots = (7..7 + rounds(one_level)).flat_map(|round| part_of(round, one_level));
            let mut slots: Vec<_> = slots.collect();
            slots.sort_unstable();
            assert_eq!(slots, (0..SLOTS).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_row_follows_the_one_before() {
        for rows in [1, 7, 8, 9, 11, 64, 249, 1000] {
            let turn = steps(rows);
            for step in 0..turn {
                let next = row_of((step + 1) % turn, rows);
                assert_eq!(row_after(row_of(step, rows), rows), next);
            }
        }
    }

    #[test]
    fn neighbours_are_half_a_round_apart() {
        let turn: Vec<_> = (0..64).map(|step| row_of(step, 64)).collect();
        let when = |row| turn.iter().position(|&r| r == row).unwrap();
        assert!((0..64).step_by(2).all(|row| when(row + 1) - when(row) == 32));
    }
}
