//! ARC: recency and frequency share the room by which of their ghosts are asked for (Megiddo and
//! Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, figure 4).

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

/// Held, seen once; the paper's T1. Most recent in front, as in all of them.
const ONCE: usize = 0;
/// Held, seen again; T2.
const AGAIN: usize = 1;
/// Ghosts of either; B1 and B2.
const GHOSTS_ONCE: usize = 2;
const GHOSTS_AGAIN: usize = 3;

pub struct Arc {
    lists: Lists,
    /// How many of those seen once are wanted; the paper's p.
    target: f64,
    capacity: usize,
}

impl Simulator for Arc {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self { lists: Lists::new(trace.unique, 4), target: 0.0, capacity: entries.max(1) }
    }

    fn request(&mut self, id: u32) -> bool {
        let list = self.lists.list_of(id);
        match list {
            Some(GHOSTS_ONCE | GHOSTS_AGAIN) => {
                self.target =
                    adapted(self.target, list == Some(GHOSTS_ONCE), &self.lists, self.capacity);
                self.replace(list == Some(GHOSTS_AGAIN));
            }
            Some(_) => {}
            None => self.make_room(),
        }
        self.lists.move_to_front(if list.is_some() { AGAIN } else { ONCE }, id);
        matches!(list, Some(ONCE | AGAIN))
    }

    fn len(&self) -> usize {
        self.lists.len(ONCE) + self.lists.len(AGAIN)
    }
}

impl Arc {
    /// For a key that nobody remembers.
    fn make_room(&mut self) {
        let (once, ghosts_once) = (self.lists.len(ONCE), self.lists.len(GHOSTS_ONCE));
        if once == self.capacity {
            self.lists.pop_back(ONCE);
        } else if once + ghosts_once == self.capacity {
            self.lists.pop_back(GHOSTS_ONCE);
            self.replace(false);
        } else {
            let ghosts = ghosts_once + self.lists.len(GHOSTS_AGAIN);
            if self.len() + ghosts == 2 * self.capacity {
                self.lists.pop_back(GHOSTS_AGAIN);
            }
            if self.len() == self.capacity {
                self.replace(false);
            }
        }
    }

    /// Makes a ghost of the entry that has to leave.
    fn replace(&mut self, for_ghost_again: bool) {
        let once = self.lists.len(ONCE) as f64;
        let above = once > self.target || (for_ghost_again && once == self.target);
        let from = if once > 0.0 && above { ONCE } else { AGAIN };
        if let Some(victim) = self.lists.back(from) {
            self.lists.move_to_front(from + GHOSTS_ONCE, victim);
        }
    }
}

/// The new target after a request for a ghost; shared with CAR, whose lists are the same.
pub(super) fn adapted(target: f64, was_once: bool, lists: &Lists, capacity: usize) -> f64 {
    let (once, again) = (lists.len(GHOSTS_ONCE) as f64, lists.len(GHOSTS_AGAIN) as f64);
    if was_once {
        (target + (again / once).max(1.0)).min(capacity as f64)
    } else {
        (target - (once / again).max(1.0)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{hits, replay};
    use super::*;

    #[test]
    fn a_scan_does_not_touch_what_was_seen_twice() {
        // 1 is seen again; 2 3 4 5 go through the other place.
        assert_eq!(replay::<Arc>(2, &[1, 1, 2, 3, 4, 5, 1]), ".x....x");
    }

    #[test]
    fn a_ghost_seen_once_asks_for_more_recency() {
        // 1 is seen again; 3 makes a ghost of 2. 2 returns: the target is 1, so room is made
        // among those seen again: 1 leaves. Held are 3 (once) and 2 (again).
        assert_eq!(replay::<Arc>(2, &[1, 1, 2, 3, 2, 3, 1]), ".x...x.");
    }

    #[test]
    fn only_once_seen_keys_are_plain_lru() {
        let ids: Vec<u32> = (0..100).map(|i| i % 5).collect();
        assert_eq!((hits::<Arc>(2, &ids), hits::<Arc>(5, &ids)), (0, 95));
    }
}
