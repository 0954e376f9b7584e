//! The textbook CLOCK: a ring, one bit a key, a hand.
//!
//! A newcomer takes its victim's place with its bit clear, and the hand goes on behind it.

use std::collections::HashMap;

use super::Simulator;
use crate::peers::Hasher;

pub struct Clock {
    places: HashMap<u64, usize, Hasher>,
    ring: Vec<(u64, bool)>,
    hand: usize,
    capacity: usize,
}

impl Simulator for Clock {
    fn with_capacity(entries: usize) -> Self {
        Self { places: HashMap::default(), ring: Vec::new(), hand: 0, capacity: entries.max(1) }
    }

    fn request(&mut self, key: u64) -> bool {
        if let Some(&place) = self.places.get(&key) {
            self.ring[place].1 = true;
            return true;
        }
        if self.ring.len() < self.capacity {
            self.places.insert(key, self.ring.len());
            self.ring.push((key, false));
            return false;
        }
        while self.ring[self.hand].1 {
            self.ring[self.hand].1 = false;
            self.advance();
        }
        self.places.remove(&self.ring[self.hand].0);
        self.places.insert(key, self.hand);
        self.ring[self.hand] = (key, false);
        self.advance();
        false
    }

    fn len(&self) -> usize {
        self.places.len()
    }
}

impl Clock {
    fn advance(&mut self) {
        self.hand = (self.hand + 1) % self.capacity;
    }
}

#[cfg(test)]
mod tests {
    use super::super::hits;
    use super::*;

    #[test]
    fn a_used_key_gets_one_more_round() {
        // [1 2 3] | 1 hits | 4: the hand clears 1, puts out 2 | 1 hits | 5 puts out 3
        // | 6: the hand clears 1, puts out 4 | 1 hits
        assert_eq!(hits::<Clock>(3, &[1, 2, 3, 1, 4, 1, 5, 6, 1]), 3);
        // The same as FIFO without a hit.
        assert_eq!(hits::<Clock>(2, &[1, 2, 3, 1, 2, 3]), 0);
    }

    #[test]
    fn all_used_is_as_none_used() {
        // Both marked: the hand clears both and puts out the first.
        assert_eq!(hits::<Clock>(2, &[1, 2, 1, 2, 3, 2, 1]), 3);
    }
}
