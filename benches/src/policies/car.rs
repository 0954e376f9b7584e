//! CAR: ARC with clocks for lists, so that a hit sets a bit alone (Bansal and Modha, "CAR: Clock
//! with Adaptive Replacement", FAST 2004, figure 2).

use super::Simulator;
use super::arc::adapted;
use super::lists::Lists;
use crate::numbered::Numbered;

/// Held and ghosts, numbered as in ARC. Clocks turn by moving their back to their front.
const ONCE: usize = 0;
const AGAIN: usize = 1;
const GHOSTS_ONCE: usize = 2;
const GHOSTS_AGAIN: usize = 3;

pub struct Car {
    lists: Lists,
    referenced: Vec<bool>,
    /// How many of those seen once are wanted.
    target: f64,
    capacity: usize,
}

impl Simulator for Car {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self {
            lists: Lists::new(trace.unique, 4),
            referenced: vec![false; trace.unique],
            target: 0.0,
            capacity: entries.max(1),
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let list = self.lists.list_of(id);
        if let Some(ONCE | AGAIN) = list {
            self.referenced[id as usize] = true;
            return true;
        }
        if self.len() == self.capacity {
            self.replace();
            if list.is_none() {
                self.forget();
            }
        }
        if list.is_some() {
            self.target =
                adapted(self.target, list == Some(GHOSTS_ONCE), &self.lists, self.capacity);
        }
        self.lists.move_to_front(if list.is_some() { AGAIN } else { ONCE }, id);
        self.referenced[id as usize] = false;
        false
    }

    fn len(&self) -> usize {
        self.lists.len(ONCE) + self.lists.len(AGAIN)
    }
}

impl Car {
    /// Turns the clocks until one entry has become a ghost.
    fn replace(&mut self) {
        loop {
            let of_once = self.lists.len(ONCE) as f64 >= self.target.max(1.0);
            let clock = if of_once { ONCE } else { AGAIN };
            let Some(id) = self.lists.back(clock) else { return };
            if std::mem::take(&mut self.referenced[id as usize]) {
                self.lists.move_to_front(AGAIN, id);
            } else {
                self.lists.move_to_front(clock + GHOSTS_ONCE, id);
                return;
            }
        }
    }

    /// Keeps the ghosts to their number.
    fn forget(&mut self) {
        let (once, again) = (self.lists.len(GHOSTS_ONCE), self.lists.len(GHOSTS_AGAIN));
        if self.lists.len(ONCE) + once == self.capacity {
            self.lists.pop_back(GHOSTS_ONCE);
        } else if self.len() + once + again == 2 * self.capacity {
            self.lists.pop_back(GHOSTS_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn a_scan_does_not_touch_what_was_used_again() {
        // 3: 1 is referenced and moves to the second clock, 2 leaves. The scan goes on through
        // the other place.
        assert_eq!(replay::<Car>(2, &[1, 2, 1, 3, 4, 5, 6, 1]), "..x....x");
    }

    #[test]
    fn a_ghost_enters_the_second_clock() {
        // 3 moves 1 to the second clock and makes a ghost of 2. 2 makes one of 3, enters the
        // second clock and sets the target to 1: so for 4 it is 1 that leaves, for 5 it is 4.
        // 2 hits, 1 does not.
        assert_eq!(replay::<Car>(2, &[1, 2, 1, 3, 2, 4, 5, 2, 1]), "..x....x.");
    }
}
