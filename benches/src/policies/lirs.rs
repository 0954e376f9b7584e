//! LIRS: keeps the keys whose last two requests were close together (Jiang and Zhang, "LIRS: An
//! Efficient Low Inter-reference Recency Set Replacement Policy", SIGMETRICS 2002).
//!
//! A hundredth of the room is for the others, "cold" here, as in the paper. The paper keeps any
//! number of keys that have left; here they are twice the capacity at most.

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

/// The only list of `stack`: all keys by recency, as far down as the oldest hot one.
const STACK: usize = 0;

/// The lists of `cold`: those held, and those that left but are still in the stack.
const HELD: usize = 0;
const LEFT: usize = 1;

pub struct Lirs {
    stack: Lists,
    cold: Lists,
    hot: Vec<bool>,
    hot_count: usize,
    hot_share: usize,
    capacity: usize,
}

impl Simulator for Lirs {
    fn new(entries: usize, trace: &Numbered) -> Self {
        let capacity = entries.max(1);
        Self {
            stack: Lists::new(trace.unique, 1),
            cold: Lists::new(trace.unique, 2),
            hot: vec![false; trace.unique],
            hot_count: 0,
            hot_share: capacity - (capacity / 100).max(1),
            capacity,
        }
    }

    fn request(&mut self, id: u32) -> bool {
        if self.hot[id as usize] {
            self.stack.move_to_front(STACK, id);
            self.prune();
            return true;
        }
        let hit = self.cold.list_of(id) == Some(HELD);
        let was_close = self.stack.list_of(id).is_some();
        if !hit {
            if self.hot_count < self.hot_share {
                // Only at first; from then on the hot ones keep their number.
                self.make_hot(id);
                return false;
            }
            if self.len() == self.capacity {
                self.evict();
            }
        }
        // The eviction may have pushed its mark out of the stack; it came back in time all the same.
        if was_close {
            self.cold.remove(id);
            self.make_hot(id);
            self.cool_one();
        } else {
            self.stack.move_to_front(STACK, id);
            self.cold.move_to_front(HELD, id);
        }
        hit
    }

    fn len(&self) -> usize {
        self.hot_count + self.cold.len(HELD)
    }
}

impl Lirs {
    fn make_hot(&mut self, id: u32) {
        self.hot[id as usize] = true;
        self.hot_count += 1;
        self.stack.move_to_front(STACK, id);
    }

    /// The hot key that was asked for longest ago becomes cold.
    fn cool_one(&mut self) {
        self.prune();
        if let Some(oldest) = self.stack.pop_back(STACK) {
            self.hot[oldest as usize] = false;
            self.hot_count -= 1;
            self.cold.move_to_front(HELD, oldest);
            self.prune();
        }
    }

    /// Ends the stack at its oldest hot key.
    fn prune(&mut self) {
        while let Some(oldest) = self.stack.back(STACK).filter(|&id| !self.hot[id as usize]) {
            self.stack.remove(oldest);
            if self.cold.list_of(oldest) == Some(LEFT) {
                self.cold.remove(oldest);
            }
        }
    }

    /// Puts the oldest cold key out; its place in the stack stays.
    fn evict(&mut self) {
        let Some(victim) = self.cold.pop_back(HELD) else { return };
        if self.stack.list_of(victim).is_some() {
            self.cold.move_to_front(LEFT, victim);
            if self.cold.len(LEFT) > 2 * self.capacity
                && let Some(forgotten) = self.cold.pop_back(LEFT)
            {
                self.stack.remove(forgotten);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{hits, replay};
    use super::*;

    #[test]
    fn cold_keys_pass_through_one_place() {
        // Room for 3: 1 and 2 are hot, 3 4 5 pass through the third place, 1 2 still hit.
        assert_eq!(replay::<Lirs>(3, &[1, 2, 3, 4, 5, 1, 2, 5]), ".....xxx");
    }

    #[test]
    fn a_cold_key_that_returns_soon_becomes_hot() {
        // 3 leaves for 4 but stays in the stack, above the hot 1: when it returns it is hot and 1,
        // the oldest hot one, goes cold in the place of 4. 5 puts 1 out. 3 and 2 hit, 1 misses.
        assert_eq!(replay::<Lirs>(3, &[1, 2, 3, 4, 3, 5, 3, 2, 1]), "......xx.");
    }

    #[test]
    fn a_loop_keeps_its_hot_part() {
        // Of 200 keys 99 stay hot in a cache of 100 from the first round on.
        let ids: Vec<u32> = (0..2_000).map(|i| i % 200).collect();
        assert_eq!(hits::<Lirs>(100, &ids), 9 * 99);
    }
}
