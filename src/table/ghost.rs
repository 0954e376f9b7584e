//! Who has left? Fingerprints of keys, in rows of sixteen, the youngest first.
//!
//! A row is four words, a shift register of sixteen fingerprints: who comes moves the others on by
//! one, and the last falls out. So a fingerprint's position is its age, in units of the rows, and no
//! time need be kept: two bytes for each key that is remembered.
//!
//! It is advice: fingerprints of two keys may be equal (of 65,535, in one row), and two threads that
//! write to one row at a time may lose or double a few.

#![forbid(unsafe_code)]

use crate::advice::WideHint;
use crate::hash;
use crate::sync::prefetch;
use crate::table::memory::Array;

const WORDS: usize = 4;
const PER_WORD: usize = 4;
pub(crate) const PER_ROW: usize = WORDS * PER_WORD;

const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHS: u64 = 0x8000_8000_8000_8000;

#[derive(Debug, Default)]
#[repr(align(32))]
pub(super) struct Row([WideHint; WORDS]);

/// A memory of keys. See the module.
pub(crate) struct Ghosts {
    rows: Array<Row>,
}

/// The row of the key with this place.
#[inline(always)]
fn row_of(rows: &[Row], place: u32) -> &Row {
    &rows[hash::home(place, rows.len() as u32)]
}

/// Rows for at least `keys` keys.
fn rows_for(keys: usize) -> usize {
    // A place has 32 bits, so more rows than that could not be told apart.
    keys.div_ceil(PER_ROW).clamp(1, u32::MAX as usize)
}

impl Ghosts {
    /// A memory of at least `keys` keys.
    pub(crate) fn new(keys: usize) -> Self {
        Self { rows: Array::zeroed(rows_for(keys)) }
    }

    /// Whether as many keys are more than half as many again as there is room for.
    pub(crate) fn is_small_for(&self, keys: usize) -> bool {
        rows_for(keys) / 3 > self.rows.len() / 2
    }

    /// Whether there is room for more than so many keys.
    pub(crate) fn is_large_for(&self, keys: usize) -> bool {
        self.rows.len() > rows_for(keys)
    }

    /// One for as many, if that is far more; else one of the same size, with the same in it. Who left is not
    /// taken into a larger one: which row of many a key belongs to is not known of a fingerprint, and a cache that
    /// has grown has many who come before anybody leaves again.
    pub(crate) fn enlarged(&self, keys: usize) -> Self {
        if self.is_small_for(keys) {
            return Self::new(keys);
        }
        let same = Self { rows: Array::zeroed(self.rows.len()) };
        for (old, new) in self.words().zip(same.words()).filter(|(old, _)| old.get() != 0) {
            new.set(old.get());
        }
        same
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.words().for_each(|word| word.set(0));
    }

    fn words(&self) -> impl Iterator<Item = &WideHint> {
        self.rows.iter().flat_map(|row| &row.0)
    }

    /// Fetches what the key with this place is looked up in.
    #[inline(always)]
    pub(crate) fn fetch(&self, place: u32) {
        prefetch(row_of(&self.rows, place));
    }

    /// Remembers the key with this place.
    #[inline]
    pub(crate) fn add(&self, place: u32) {
        let mut carried = fingerprint(place);
        for word in &row_of(&self.rows, place).0 {
            let old = word.get();
            word.set(old << 16 | carried);
            carried = old >> 48;
        }
    }

    /// Forgets the key with this place; if it was remembered, tells for how many keys that have left
    /// since then, about.
    #[inline(always)]
    pub(crate) fn take(&self, place: u32) -> Option<usize> {
        let rows = &self.rows;
        let row = row_of(rows, place);
        let wanted = fingerprint(place) * ONES;
        let differs = |word: &WideHint| word.get() ^ wanted;
        // As a rule there is none, so all are looked at without a branch.
        if row.0.iter().fold(0, |any, word| any | borrowed(differs(word))) & HIGHS == 0 {
            return None;
        }
        let zeros = |word| borrowed(differs(word)) & HIGHS;
        let (at, zeros) = row.0.iter().map(zeros).enumerate().find(|&(_, zeros)| zeros != 0)?;
        let lane = zeros.trailing_zeros() as usize / 16;
        let word = &row.0[at];
        word.set(word.get() & !(0xFFFF << (16 * lane)));
        Some((at * PER_WORD + lane) * rows.len())
    }
}

/// Lanes that are zero, by their top bit; the others mean nothing. Exact for the first; behind it there may be others
/// in excess (D. Knuth, TAOCP 4A, 7.1.3).
#[inline(always)]
fn borrowed(differs: u64) -> u64 {
    differs.wrapping_sub(ONES) & !differs
}

/// Never zero, which is "nobody".
#[inline]
fn fingerprint(place: u32) -> u64 {
    u64::from(place & 0xFFFF).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_is_a_list_of_sixteen(ops in prop::collection::vec((any::<bool>(), 0_u32..40), 0..200)) {
            let ghosts = Ghosts::new(PER_ROW);
            let mut list: Vec<u32> = Vec::new();
            for (add, place) in ops {
                let place = place.max(1);
                if add {
                    ghosts.add(place);
                    list.insert(0, place);
                    list.truncate(PER_ROW);
                } else {
                    let at = list.iter().position(|&p| p == place);
                    prop_assert_eq!(ghosts.take(place), at);
                    at.into_iter().for_each(|at| list[at] = 0); // nobody, in its place
                }
            }
        }
    }

    #[test]
    fn ages_are_in_units_of_rows() {
        let ghosts = Ghosts::new(10 * PER_ROW);
        ghosts.add(7);
        ghosts.add(8);
        assert_eq!((ghosts.take(7), ghosts.take(8), ghosts.take(8)), (Some(10), Some(0), None));
        assert_eq!(Ghosts::new(0).take(3), None);
    }

    #[test]
    fn room_is_made_for_far_more_only() {
        let ghosts = Ghosts::new(10 * PER_ROW);
        ghosts.add(7);
        assert!(!ghosts.is_small_for(15 * PER_ROW) && ghosts.is_small_for(20 * PER_ROW));
        let same = ghosts.enlarged(15 * PER_ROW);
        assert_eq!((same.rows.len(), same.take(7), ghosts.take(7)), (10, Some(0), Some(0)));
        ghosts.add(7);
        let larger = ghosts.enlarged(20 * PER_ROW);
        assert_eq!((larger.rows.len(), larger.take(7)), (20, None));
        larger.add(8);
        larger.clear();
        assert_eq!(larger.take(8), None);
    }
}
