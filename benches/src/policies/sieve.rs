//! SIEVE: a queue, one bit a key, a hand that goes from the old to the new and never reinserts
//! (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024).

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

pub struct Sieve {
    queue: Lists,
    visited: Vec<bool>,
    /// Where the search for a victim goes on; from the back if nowhere.
    hand: Option<u32>,
    capacity: usize,
}

impl Simulator for Sieve {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self {
            queue: Lists::new(trace.unique, 1),
            visited: vec![false; trace.unique],
            hand: None,
            capacity: entries.max(1),
        }
    }

    fn request(&mut self, id: u32) -> bool {
        if self.queue.list_of(id).is_some() {
            self.visited[id as usize] = true;
            return true;
        }
        if self.len() == self.capacity {
            self.evict();
        }
        self.queue.move_to_front(0, id);
        false
    }

    fn len(&self) -> usize {
        self.queue.len(0)
    }
}

impl Sieve {
    fn evict(&mut self) {
        let mut at = self.hand;
        while let Some(id) = at.or_else(|| self.queue.back(0)) {
            at = self.queue.in_front_of(id);
            if !std::mem::take(&mut self.visited[id as usize]) {
                self.queue.remove(id);
                break;
            }
        }
        self.hand = at;
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn survivors_keep_their_place_and_the_hand_goes_on() {
        // Old to new: 1 2 3. 1 is visited; 4: the hand clears 1, puts out 2, stands at 3.
        // 1 3 4. 5 puts out 3, and 6 puts out 4, though 1 is older and unvisited: the hand is
        // past it. So 1 hits at last.
        assert_eq!(replay::<Sieve>(3, &[1, 2, 3, 1, 4, 5, 6, 1]), "...x...x");
    }

    #[test]
    fn the_hand_starts_again_from_the_back() {
        // 1 2 both visited. 3: the hand clears both, wraps, puts out 1; it stands at 2.
        // 4 puts out 2: unvisited by now.
        assert_eq!(replay::<Sieve>(2, &[1, 2, 1, 2, 3, 4, 3, 2]), "..xx..x.");
    }
}
