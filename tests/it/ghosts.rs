//! The memory of those who have left, as the reference models of `Policy::Adaptive` have it.

use std::collections::VecDeque;

/// Rows of sixteen fingerprints, the youngest first.
#[derive(Clone)]
pub(crate) struct Ghosts {
    rows: Vec<VecDeque<u16>>,
    /// Who left last, if that one comes into its row when the next one leaves. Nobody is 0.
    last: Option<(usize, u16)>,
}

impl Ghosts {
    pub(crate) fn new(keys: usize) -> Self {
        Self { rows: vec![VecDeque::from([0; 16]); keys.div_ceil(16)], last: None }
    }

    fn one(&self, place: u32) -> (usize, u16) {
        let row = (place as u64 * self.rows.len() as u64) >> 32;
        (row as usize, (place as u16).max(1))
    }

    fn write(&mut self, (row, print): (usize, u16)) {
        self.rows[row].pop_back();
        self.rows[row].push_front(print);
    }

    pub(crate) fn add(&mut self, place: u32) {
        self.write(self.one(place));
    }

    /// The same, of one thread: when the next one leaves, if there are many rows.
    pub(crate) fn add_later(&mut self, place: u32) {
        let one = self.one(place);
        let now = if self.rows.len() < 64 { Some(one) } else { self.last.replace(one) };
        now.into_iter().for_each(|one| self.write(one));
    }

    /// Forgets a key; how many left since it did, if it was remembered.
    pub(crate) fn take(&mut self, place: u32) -> Option<usize> {
        let (row, print) = self.one(place);
        if self.last == Some((row, print)) {
            self.last = Some((row, 0));
            return Some(0);
        }
        let at = self.rows[row].iter().position(|&here| here == print)?;
        self.rows[row][at] = 0;
        Some(at * self.rows.len())
    }
}

/// A memory of one key of so many: of 2, 4 or 8 from 1,024, 2,048 or 4,096 entries on.
#[derive(Clone)]
pub(crate) struct Sampled {
    ghosts: Ghosts,
    bits: u32,
}

fn sample_bits(entries: usize) -> u32 {
    (1..=3).rev().find(|bits| entries >> bits >= 512).unwrap_or(0)
}

impl Sampled {
    pub(crate) fn new(keys: usize, entries: usize) -> Self {
        let bits = sample_bits(entries);
        Self { ghosts: Ghosts::new((keys >> bits).max(1)), bits }
    }

    /// For how many keys one of the sample stands, where there are so many entries now.
    pub(crate) fn stands_for(&self, entries: usize) -> usize {
        1 << self.bits.min(sample_bits(entries))
    }

    pub(crate) fn includes(&self, place: u32) -> bool {
        // The top bits of a multiple of 2^32 over the golden ratio.
        let spread = place.wrapping_mul(0x9E37_79B9);
        (0..self.bits).all(|bit| spread >> (31 - bit) & 1 == 0)
    }

    pub(crate) fn add(&mut self, place: u32) {
        if self.includes(place) {
            self.ghosts.add(place);
        }
    }

    pub(crate) fn take(&mut self, place: u32) -> Option<usize> {
        let age = self.includes(place).then(|| self.ghosts.take(place)).flatten()?;
        Some(age << self.bits)
    }
}
