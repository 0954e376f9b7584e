//! The textbook CLOCK: a ring, one bit a key, a hand.
//!
//! A newcomer takes its victim's place with its bit clear, and the hand goes on behind it.

use super::Simulator;
use crate::numbered::Numbered;

pub struct Clock {
    held: Vec<bool>,
    referenced: Vec<bool>,
    ring: Vec<u32>,
    hand: usize,
    capacity: usize,
}

impl Simulator for Clock {
    fn new(entries: usize, trace: &Numbered) -> Self {
        let none = vec![false; trace.unique];
        Self {
            held: none.clone(),
            referenced: none,
            ring: Vec::new(),
            hand: 0,
            capacity: entries.max(1),
        }
    }

    fn request(&mut self, id: u32) -> bool {
        if self.held[id as usize] {
            self.referenced[id as usize] = true;
            return true;
        }
        self.held[id as usize] = true;
        if self.ring.len() < self.capacity {
            self.ring.push(id);
            return false;
        }
        while std::mem::take(&mut self.referenced[self.ring[self.hand] as usize]) {
            self.advance();
        }
        let victim = std::mem::replace(&mut self.ring[self.hand], id);
        self.held[victim as usize] = false;
        self.advance();
        false
    }

    fn len(&self) -> usize {
        self.ring.len()
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
