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

const WORDS: usize = 4;
const PER_WORD: usize = 4;
pub(crate) const PER_ROW: usize = WORDS * PER_WORD;

const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHS: u64 = 0x8000_8000_8000_8000;

#[derive(Debug, Default)]
#[repr(align(32))]
struct Row([WideHint; WORDS]);

/// A memory of keys. See the module.
#[derive(Debug)]
pub(crate) struct Ghosts {
    rows: Box<[Row]>,
}

impl Ghosts {
    /// A memory of at least `keys` keys.
    pub(crate) fn new(keys: usize) -> Self {
        // A place has 32 bits, so more rows than that could not be told apart.
        let rows = keys.div_ceil(PER_ROW).clamp(1, u32::MAX as usize);
        Self { rows: (0..rows).map(|_| Row::default()).collect() }
    }

    #[inline(always)]
    fn row(&self, place: u32) -> &Row {
        &self.rows[hash::home(place, self.rows.len() as u32)]
    }

    /// Fetches what the key with this place is looked up in.
    #[inline(always)]
    pub(crate) fn fetch(&self, place: u32) {
        prefetch(self.row(place));
    }

    /// Remembers the key with this place.
    #[inline]
    pub(crate) fn add(&self, place: u32) {
        let mut carried = fingerprint(place);
        for word in &self.row(place).0 {
            let old = word.get();
            word.set(old << 16 | carried);
            carried = old >> 48;
        }
    }

    /// Forgets the key with this place; if it was remembered, tells for how many keys that have left
    /// since then, about.
    #[inline]
    pub(crate) fn take(&self, place: u32) -> Option<usize> {
        let row = self.row(place);
        let wanted = fingerprint(place) * ONES;
        let equal = |word: &WideHint| equal_lanes(word.get() ^ wanted);
        // As a rule there is none, so all are looked at without a branch.
        let found: [u64; WORDS] = std::array::from_fn(|at| equal(&row.0[at]));
        if found.iter().fold(0, |any, lanes| any | lanes) == 0 {
            return None;
        }
        let at = found.iter().position(|&lanes| lanes != 0)?;
        let lane = found[at].trailing_zeros() as usize / 16;
        let word = &row.0[at];
        word.set(word.get() & !(0xFFFF << (16 * lane)));
        Some((at * PER_WORD + lane) * self.rows.len())
    }
}

/// Lanes that are zero, by their top bit. Exact for the first; behind it there may be others in excess
/// (D. Knuth, TAOCP 4A, 7.1.3).
#[inline(always)]
fn equal_lanes(differs: u64) -> u64 {
    differs.wrapping_sub(ONES) & !differs & HIGHS
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
}
