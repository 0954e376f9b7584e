//! The optimum: whoever is needed again last leaves, and does not even enter (Belady, "A Study of
//! Replacement Algorithms for a Virtual-Storage Computer", 1966).
//!
//! It knows the future, so it is nobody's rival: the room above the best of the others. A cache
//! may turn a newcomer away here; where every miss has to enter, the optimum is a little lower.

use std::collections::BinaryHeap;

use super::Simulator;
use crate::numbered::{NEVER, Numbered};

pub struct Opt {
    /// When the key of each request is needed again.
    next_uses: Vec<u32>,
    now: usize,
    held: Vec<bool>,
    count: usize,
    /// The next use of every key held, and uses that are past. Those are the least of all, so
    /// they never come up while a key is held.
    uses: BinaryHeap<(u32, u32)>,
    capacity: usize,
}

impl Simulator for Opt {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self {
            next_uses: trace.next_uses(),
            now: 0,
            held: vec![false; trace.unique],
            count: 0,
            uses: BinaryHeap::new(),
            capacity: entries.max(1),
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let next = self.next_uses[self.now];
        self.now += 1;
        let hit = std::mem::replace(&mut self.held[id as usize], next != NEVER);
        self.count = self.count + usize::from(next != NEVER) - usize::from(hit);
        if next != NEVER {
            self.uses.push((next, id));
        }
        if self.count > self.capacity
            && let Some((_, last)) = self.uses.pop()
        {
            self.held[last as usize] = false;
            self.count -= 1;
        }
        if self.uses.len() > 4 * self.capacity + 1_024 {
            let now = self.now;
            self.uses.retain(|&(next, _)| next as usize >= now);
        }
        hit
    }

    fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::super::{hits, replay};
    use super::*;

    #[test]
    fn whoever_is_needed_last_leaves() {
        // Two places for a loop of three. 3 is needed after 1 and 2, so it does not even enter;
        // the second 1 is needed after the third 3, the second 2 never. So 3 enters, 1 stays.
        assert_eq!(replay::<Opt>(2, &[1, 2, 3, 1, 2, 3, 1]), "...xx.x");
    }

    #[test]
    fn of_a_loop_all_but_one_place_is_kept() {
        // Five keys, four places: three stay, one place goes round.
        let ids: Vec<u32> = (0..1_000).map(|i| i % 5).collect();
        let hits = hits::<Opt>(4, &ids);
        assert!((4 * 995 / 5 - 4..=4 * 995 / 5).contains(&hits), "{hits}");
    }

    #[test]
    fn keys_that_never_return_take_no_room() {
        assert_eq!(replay::<Opt>(1, &[1, 2, 3, 4, 1, 5, 1]), "....x.x");
    }
}
