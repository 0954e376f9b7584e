//! The memory of those who have left, as the reference models of `Policy::Adaptive` have it.

use std::collections::VecDeque;

/// Rows of sixteen fingerprints, the youngest first.
#[derive(Clone)]
pub(crate) struct Ghosts(Vec<VecDeque<u16>>);

impl Ghosts {
    pub(crate) fn new(keys: usize) -> Self {
        Self(vec![VecDeque::from([0; 16]); keys.div_ceil(16)])
    }

    fn row(&mut self, place: u32) -> &mut VecDeque<u16> {
        let row = (place as u64 * self.0.len() as u64) >> 32;
        &mut self.0[row as usize]
    }

    pub(crate) fn add(&mut self, place: u32) {
        let row = self.row(place);
        row.pop_back();
        row.push_front((place as u16).max(1));
    }

    /// Forgets a key; how many left since it did, if it was remembered.
    pub(crate) fn take(&mut self, place: u32) -> Option<usize> {
        let (rows, row) = (self.0.len(), self.row(place));
        let at = row.iter().position(|&print| print == (place as u16).max(1))?;
        row[at] = 0;
        Some(at * rows)
    }
}
