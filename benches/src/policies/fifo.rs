//! First in, first out: a hit changes nothing.

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

pub struct Fifo {
    queue: Lists,
    capacity: usize,
}

impl Simulator for Fifo {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self { queue: Lists::new(trace.unique, 1), capacity: entries.max(1) }
    }

    fn request(&mut self, id: u32) -> bool {
        if self.queue.list_of(id).is_some() {
            return true;
        }
        if self.len() == self.capacity {
            self.queue.pop_back(0);
        }
        self.queue.move_to_front(0, id);
        false
    }

    fn len(&self) -> usize {
        self.queue.len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hits;
    use super::*;

    #[test]
    fn a_hit_saves_nothing() {
        // 1 2 | 1 hits | 3 puts out 1 all the same | 1 misses, puts out 2 | 3 hits
        assert_eq!(hits::<Fifo>(2, &[1, 2, 1, 3, 1, 3]), 2);
    }
}
