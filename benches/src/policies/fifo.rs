//! First in, first out: a hit changes nothing.

use std::collections::{HashSet, VecDeque};

use super::Simulator;
use crate::peers::Hasher;

pub struct Fifo {
    held: HashSet<u64, Hasher>,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Simulator for Fifo {
    fn with_capacity(entries: usize) -> Self {
        Self { held: HashSet::default(), order: VecDeque::new(), capacity: entries.max(1) }
    }

    fn request(&mut self, key: u64) -> bool {
        if self.held.contains(&key) {
            return true;
        }
        if self.order.len() == self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.held.remove(&oldest);
        }
        self.order.push_back(key);
        self.held.insert(key);
        false
    }

    fn len(&self) -> usize {
        self.held.len()
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
