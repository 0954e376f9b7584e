//! Who has been used lately? The CLOCK word of a bucket as plain arithmetic.
//!
//! One byte per slot. Bit 7 is AGED, the reference bit upside down: set means "not used since the
//! hand passed". So zeroed memory is "used", a newcomer and its first hits write nothing, and the
//! hand does all the writing. The other seven bits are reserved for the adaptive policy. The word
//! holds advice only: an update may be lost and nothing breaks.
//!
//! `Policy::Clock`, exactly (F. J. Corbato, "A Paging Experiment with the Multics System", 1968):
//! * a newcomer is not aged; a hit on an aged entry makes it not aged;
//! * a hand that meets an entry which is not aged makes it aged and goes on; it evicts the first
//!   aged one that it meets.

#![forbid(unsafe_code)]

use crate::table::tags::{HIGHS, Lane};

/// The bits AGED of all slots.
pub(crate) const ALL_AGED: u64 = HIGHS;

/// The bit AGED of slot `lane`.
#[inline(always)]
pub(crate) fn aged(lane: Lane) -> u64 {
    1 << lane.top_bit()
}

/// Whether slot `lane` has not been used since the hand passed.
#[inline(always)]
pub(crate) fn is_aged(word: u64, lane: Lane) -> bool {
    word & aged(lane) != 0
}

/// In which order the hand visits rows: in eight interleaved passes over the table, so that any
/// eight buckets in a row were swept at evenly spread times, and neighbours half a turn apart.
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

/// Steps of a full turn over `rows` rows. Those whose row does not exist are passed over.
#[inline]
pub(crate) fn steps(rows: usize) -> usize {
    rows.next_multiple_of(PASSES)
}

/// Interleaved passes of a turn. One in a model, whose tables have a row or two: each step of the
/// hand is a step of the model.
const PASSES: usize = if crate::sync::MODEL { 1 } else { 8 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tags::SLOTS;

    #[test]
    fn bits_stay_in_their_byte() {
        for slot in 0..SLOTS {
            let others = (0..SLOTS).filter(|&other| other != slot).map(Lane::of);
            assert!(is_aged(aged(Lane::of(slot)), Lane::of(slot)));
            assert!(others.into_iter().all(|other| !is_aged(aged(Lane::of(slot)), other)));
        }
    }

    #[test]
    fn a_turn_visits_every_row_once() {
        for rows in [1, 7, 8, 9, 11, 64, 249, 1000] {
            let mut seen: Vec<_> = (0..steps(rows)).map(|step| row_of(step, rows)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..steps(rows)).collect::<Vec<_>>());
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
    fn neighbours_are_half_a_turn_apart() {
        let turn: Vec<_> = (0..64).map(|step| row_of(step, 64)).collect();
        let when = |row| turn.iter().position(|&r| r == row).unwrap();
        assert!((0..64).step_by(2).all(|row| when(row + 1) - when(row) == 32));
    }
}
