//! Least recently used.

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

pub struct Lru {
    /// The most recent in front.
    recent: Lists,
    capacity: usize,
}

impl Simulator for Lru {
    fn new(entries: usize, trace: &Numbered) -> Self {
        Self { recent: Lists::new(trace.unique, 1), capacity: entries.max(1) }
    }

    fn request(&mut self, id: u32) -> bool {
        let hit = self.recent.list_of(id).is_some();
        if !hit && self.len() == self.capacity {
            self.recent.pop_back(0);
        }
        self.recent.move_to_front(0, id);
        hit
    }

    fn len(&self) -> usize {
        self.recent.len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hits;
    use super::*;

    #[test]
    fn a_hit_saves_a_key_from_leaving() {
        // 1 2 | 1 hits | 3 puts out 2 | 1 hits | 2 puts out 3 | 3 misses
        assert_eq!(hits::<Lru>(2, &[1, 2, 1, 3, 1, 2, 3]), 2);
    }

    #[test]
    fn a_loop_one_longer_than_the_cache_never_hits() {
        let ids: Vec<u32> = (0..100).map(|i| i % 5).collect();
        assert_eq!(hits::<Lru>(4, &ids), 0);
        assert_eq!(hits::<Lru>(5, &ids), 95);
    }
}
