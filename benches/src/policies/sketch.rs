//! How often was a key asked for lately? A count-min sketch of 4-bit counters that ages
//! (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017).
//!
//! Four rows, of a counter for each of four times the capacity rounded up to a power of two: 16
//! counters an entry, which is Caffeine's measure. After ten requests for each entry of the
//! capacity all counters are halved.

use crate::workload::Rng;

const ROWS: usize = 4;

/// The greatest count of four bits.
const MOST: u8 = 15;

pub struct Sketch {
    /// A counter to a byte: simpler, and as good in a simulator.
    counters: Vec<u8>,
    /// Of a row.
    width: usize,
    seeds: [u64; ROWS],
    added: usize,
    until_aged: usize,
}

impl Sketch {
    pub fn new(capacity: usize) -> Self {
        let width = capacity.max(8).next_power_of_two() * 4;
        let mut rng = Rng::new(11);
        Self {
            counters: vec![0; ROWS * width],
            width,
            // Odd, so that multiplying by them loses nothing.
            seeds: std::array::from_fn(|_| rng.next() | 1),
            added: 0,
            until_aged: 10 * capacity,
        }
    }

    /// How many requests there are between two agings.
    pub fn period(&self) -> usize {
        self.until_aged
    }

    pub fn estimate(&self, id: u32) -> u8 {
        self.places(id).map(|place| self.counters[place]).into_iter().min().unwrap_or(0)
    }

    pub fn add(&mut self, id: u32) {
        let mut added = false;
        for place in self.places(id) {
            let counter = &mut self.counters[place];
            added |= *counter < MOST;
            *counter = (*counter + 1).min(MOST);
        }
        self.added += usize::from(added);
        if self.added >= self.until_aged {
            self.age();
        }
    }

    fn age(&mut self) {
        let odd = self.counters.iter().filter(|&&counter| counter % 2 == 1).count();
        self.counters.iter_mut().for_each(|counter| *counter /= 2);
        // What halving rounded away was not added either.
        self.added = self.added.saturating_sub(odd / ROWS) / 2;
    }

    fn places(&self, id: u32) -> [usize; ROWS] {
        std::array::from_fn(|row| {
            let hash = (u64::from(id) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let hash = (hash ^ (hash >> 32)).wrapping_mul(self.seeds[row]);
            row * self.width + (hash >> 40) as usize % self.width
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_fifteen() {
        let mut sketch = Sketch::new(100);
        (0..5).for_each(|_| sketch.add(7));
        (0..40).for_each(|_| sketch.add(8));
        assert_eq!([7, 8, 9].map(|id| sketch.estimate(id)), [5, 15, 0]);
    }

    #[test]
    fn ages_after_ten_requests_an_entry() {
        let mut sketch = Sketch::new(2);
        (0..9).for_each(|_| sketch.add(1));
        (0..10).for_each(|_| sketch.add(2));
        assert_eq!([1, 2].map(|id| sketch.estimate(id)), [9, 10]);
        sketch.add(3);
        assert_eq!([1, 2, 3].map(|id| sketch.estimate(id)), [4, 5, 0]);
    }

    #[test]
    fn counts_too_much_as_seldom_as_chance_allows() {
        let mut sketch = Sketch::new(1_000);
        (0..4_000).for_each(|id| sketch.add(id));
        // A key of a row is alone with a chance of 1/e, so 16 % share all their four counters.
        let wrong = (0..4_000).filter(|&id| sketch.estimate(id) != 1).count();
        assert!((500..760).contains(&wrong), "{wrong} of 4000");
    }
}
