//! Who has left? Fingerprints of keys, in rows of sixteen, the youngest first.
//!
//! A row is four words, a shift register of sixteen fingerprints: who comes moves the others on by
//! one, and the last falls out. So a fingerprint's position is its age, in units of the rows, and no
//! time need be kept: two bytes for each key that is remembered.
//!
//! Who left last of a thread's may wait in a word of that thread (`local::handful`) until the next one leaves. And of
//! who left the main class, who are evidence and nothing else, a large cache remembers a [sample](Sampled).
//!
//! It is advice: fingerprints of two keys may be equal (of 65,535, in one row), and two threads that
//! write to one row at a time may lose or double a few.

#![forbid(unsafe_code)]

use crate::adaptive::SPREAD;
use crate::advice::WideHint;
use crate::counter::OwnedWord;
use crate::hash;
use crate::sync::{prefetch, prefetch_for_write};
use crate::table::memory::Array;

const WORDS: usize = 4;
const PER_WORD: usize = 4;
pub(crate) const PER_ROW: usize = WORDS * PER_WORD;

const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHS: u64 = 0x8000_8000_8000_8000;

/// In the word of the last one: the number of its row, above its fingerprint.
const ROW: u64 = u32::MAX as u64;

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
        rows_for(keys) > self.rows.len() + self.rows.len() / 2
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

    /// Remembers the key with this place; if there are `many` rows or more, in the thread's `last` word, and the one
    /// that was there in its row: a row that another thread has written comes while the next one leaves. To this thread
    /// the last one is the youngest, however long ago it left, to others it is not yet there.
    #[inline(always)]
    pub(crate) fn remember(&self, place: u32, last: &OwnedWord, many: usize) {
        let before = last.get();
        if before != 0 {
            self.write(before);
        }
        if self.rows.len() >= many {
            let one = self.one(place);
            prefetch_for_write(self.rows.as_ptr().wrapping_add((one >> 16 & ROW) as usize));
            last.set(one);
        } else {
            last.set(0);
            self.add(place);
        }
    }

    /// As `take`, by a thread whose `last` one may not be in a row yet.
    #[inline(always)]
    pub(crate) fn recall(&self, place: u32, last: &OwnedWord) -> Option<usize> {
        let wanted = self.one(place);
        if last.get() == wanted {
            last.set(wanted & !0xFFFF); // nobody, in its place
            return Some(0);
        }
        self.take(place)
    }

    /// Row and fingerprint of the key with this place, as one word that is not zero.
    #[inline(always)]
    fn one(&self, place: u32) -> u64 {
        let row = hash::home(place, self.rows.len() as u32) as u64;
        1 << 63 | row << 16 | fingerprint(place)
    }

    /// Remembers the key with this place.
    #[inline]
    pub(crate) fn add(&self, place: u32) {
        self.write(self.one(place));
    }

    /// Writes [one](Self::one) into its row: the others there move on, and the last falls out. One that was for a memory
    /// of another size comes into some row, or none.
    #[inline(always)]
    fn write(&self, one: u64) {
        let Some(row) = self.rows.get((one >> 16 & ROW) as usize) else { return };
        let mut carried = one & 0xFFFF;
        for word in &row.0 {
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

/// A memory of one key of so many, which stands for all of them: threads that meet there write so much less often.
pub(crate) struct Sampled {
    ghosts: Ghosts,
    /// The logarithm of how many.
    bits: u32,
    /// Of the places that were spread, the last in the sample.
    last: u32,
}

impl Sampled {
    /// A memory of at least `keys` keys, of which those are left out that are not in the sample.
    pub(crate) fn new(keys: usize, bits: u32) -> Self {
        Self::of(Ghosts::new(keys >> bits), bits)
    }

    fn of(ghosts: Ghosts, bits: u32) -> Self {
        Self { ghosts, bits, last: u32::MAX >> bits }
    }

    /// As [`Ghosts::is_small_for`].
    pub(crate) fn is_small_for(&self, keys: usize) -> bool {
        self.ghosts.is_small_for(keys >> self.bits)
    }

    /// As [`Ghosts::enlarged`]; a larger one has a sample of one of 2^`bits`.
    pub(crate) fn enlarged(&self, keys: usize, bits: u32) -> Self {
        if self.is_small_for(keys) {
            return Self::new(keys, bits);
        }
        Self::of(self.ghosts.enlarged(keys >> self.bits), self.bits)
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.ghosts.clear();
    }

    /// As [`Ghosts::fetch`], where all keys are looked up; a sample is small, and looked up rarely.
    #[inline(always)]
    pub(crate) fn fetch(&self, place: u32) {
        if self.bits == 0 {
            self.ghosts.fetch(place);
        }
    }

    /// The logarithm of how many keys one of the sample stands for.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether the key with this place is in the sample. All bits of the place have a say, so that the sample has
    /// nothing in common but that, whatever the hasher.
    #[inline(always)]
    pub(crate) fn includes(&self, place: u32) -> bool {
        place.wrapping_mul(SPREAD) <= self.last
    }

    /// Remembers the key with this place, if it is in the sample.
    #[inline]
    pub(crate) fn add(&self, place: u32) {
        if self.includes(place) {
            self.ghosts.add(place);
        }
    }

    /// As [`Ghosts::take`], of a key of the sample.
    #[inline]
    pub(crate) fn take(&self, place: u32) -> Option<usize> {
        self.ghosts.take(place).map(|age| age << self.bits)
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
    fn where_there_are_many_rows_the_last_one_comes_into_its_row_later() {
        let (few, many) = (Ghosts::new(63 * PER_ROW), Ghosts::new(64 * PER_ROW));
        let last = OwnedWord::default();
        few.remember(7, &last, 64);
        assert_eq!((last.get(), few.recall(7, &last), few.recall(7, &last)), (0, Some(0), None));
        many.remember(7, &last, 64);
        assert_eq!(many.take(7), None);
        many.remember(8, &last, 64);
        assert_eq!((many.take(7), many.take(8), many.recall(8, &last)), (Some(0), None, Some(0)));
        // It is forgotten, and had its place.
        assert_eq!(many.recall(8, &last), None);
        many.add(9);
        many.remember(10, &last, 64);
        assert_eq!((many.take(9), many.recall(10, &last)), (Some(64), Some(0)));
        // One that was for a larger memory is nobody's in a smaller one.
        let larger = Ghosts::new(1000 * PER_ROW);
        larger.remember(u32::MAX, &last, 64);
        many.remember(11, &last, 64);
        assert_eq!((many.take(u32::MAX), many.recall(11, &last)), (None, Some(0)));
        // If it is not to wait any more, then it comes into its row before the next one.
        many.remember(12, &last, 64);
        many.remember(13, &last, 65);
        assert_eq!((last.get(), many.take(13), many.take(12)), (0, Some(0), Some(64)));
    }

    #[test]
    fn one_of_a_sample_stands_for_all() {
        let sampled = Sampled::new(10 * PER_ROW, 3);
        assert_eq!((sampled.bits(), sampled.ghosts.rows.len()), (3, 2));
        let included: Vec<u32> = (0..32).filter(|&place| sampled.includes(place)).collect();
        assert_eq!(included, [0, 5, 13, 18, 26]);
        (1..32).for_each(|place| sampled.add(place));
        // Four left, of eight keys each, and of two rows.
        let ages = [5, 13, 18, 26, 27].map(|place| sampled.take(place));
        assert_eq!(ages, [Some(48), Some(32), Some(16), Some(0), None]);
        // Places of which the low bits are all the same, as those of poor hashers: still one of eight.
        for (low, shift) in [(0, 3), (7, 3), (0, 16), (0, 24)] {
            let places = (0..256_u32).map(|n| n << shift | low);
            let included = places.filter(|&place| sampled.includes(place)).count();
            assert!((30..=34).contains(&included), "{included} of 256");
        }
        assert!(!sampled.is_small_for(15 * PER_ROW) && sampled.is_small_for(60 * PER_ROW));
        let same = sampled.enlarged(10 * PER_ROW, 0);
        assert_eq!((same.bits(), sampled.enlarged(60 * PER_ROW, 0).bits()), (3, 0));
        sampled.add(5);
        sampled.clear();
        assert_eq!(sampled.take(5), None);
    }

    #[test]
    fn room_is_made_for_far_more_only() {
        let ghosts = Ghosts::new(10 * PER_ROW);
        ghosts.add(7);
        assert!(!ghosts.is_small_for(15 * PER_ROW) && ghosts.is_small_for(20 * PER_ROW));
        assert!(Ghosts::new(4 * PER_ROW).is_small_for(7 * PER_ROW));
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
