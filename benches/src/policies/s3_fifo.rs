//! S3-FIFO: newcomers pass a small queue, the re-used go on to the main one, ghosts of those put
//! out early come back into it (Yang et al., "FIFO Queues are All You Need for Cache Eviction",
//! SOSP 2023).
//!
//! As in the paper: the small queue is a tenth, two bits count re-uses, more than one of them
//! within the small queue promotes, and there are as many ghosts as entries in the main queue.

use super::Simulator;
use super::lists::Lists;
use crate::numbered::Numbered;

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOSTS: usize = 2;

/// The greatest count of two bits.
const MOST_USES: u8 = 3;

pub struct S3Fifo {
    queues: Lists,
    uses: Vec<u8>,
    small_share: usize,
    ghosts: usize,
    capacity: usize,
}

impl Simulator for S3Fifo {
    fn new(entries: usize, trace: &Numbered) -> Self {
        let capacity = entries.max(1);
        let small_share = (capacity / 10).max(1);
        Self {
            queues: Lists::new(trace.unique, 3),
            uses: vec![0; trace.unique],
            small_share,
            ghosts: capacity - small_share,
            capacity,
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let list = self.queues.list_of(id);
        if let Some(SMALL | MAIN) = list {
            let uses = &mut self.uses[id as usize];
            *uses = (*uses + 1).min(MOST_USES);
            return true;
        }
        while self.len() >= self.capacity {
            if self.queues.len(SMALL) >= self.small_share {
                self.evict_from_small();
            } else {
                self.evict_from_main();
            }
        }
        // Looked up before the eviction: its own victim must not push the ghost out first.
        self.queues.move_to_front(if list == Some(GHOSTS) { MAIN } else { SMALL }, id);
        self.uses[id as usize] = 0;
        false
    }

    fn len(&self) -> usize {
        self.queues.len(SMALL) + self.queues.len(MAIN)
    }
}

impl S3Fifo {
    /// Promotes until there is one to put out, or none is left.
    fn evict_from_small(&mut self) {
        while let Some(oldest) = self.queues.back(SMALL) {
            if std::mem::take(&mut self.uses[oldest as usize]) > 1 {
                self.queues.move_to_front(MAIN, oldest);
                continue;
            }
            self.queues.move_to_front(GHOSTS, oldest);
            if self.queues.len(GHOSTS) > self.ghosts {
                self.queues.pop_back(GHOSTS);
            }
            return;
        }
    }

    fn evict_from_main(&mut self) {
        while let Some(oldest) = self.queues.back(MAIN) {
            let uses = &mut self.uses[oldest as usize];
            if *uses == 0 {
                self.queues.remove(oldest);
                return;
            }
            *uses -= 1;
            self.queues.move_to_front(MAIN, oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn two_reuses_promote_one_does_not() {
        // Room for 3, small share 1. 1 is used twice, 2 once. 4: 1 goes to main, 2 leaves.
        // 5 puts out 3: small has two of its one. 1 hits, 2 misses but its ghost is known.
        assert_eq!(replay::<S3Fifo>(3, &[1, 2, 3, 1, 1, 2, 4, 5, 1, 2]), "...xxx..x.");
    }

    #[test]
    fn a_ghost_returns_to_main_and_outlives_newcomers() {
        // Room for 3, two ghosts. 4 puts out 1. 1 is a ghost, puts out 2, enters main.
        // 5, 6, 7 pass through small; 1 stays.
        assert_eq!(replay::<S3Fifo>(3, &[1, 2, 3, 4, 1, 5, 6, 7, 1]), "........x");
        // Without coming back as a ghost it would be long gone.
        assert_eq!(replay::<S3Fifo>(3, &[1, 2, 3, 4, 5, 6, 7, 8, 1]), ".........");
    }

    #[test]
    fn a_used_entry_of_main_gets_one_round_for_each_use() {
        // Room for 2, one ghost. 1 is promoted when 3 needs room, 2 leaves: main 1, small 3.
        // 2 is a ghost: puts 3 out, enters main. Small is empty, so 4 asks main: 1 had no use
        // since, it leaves, 2 stays.
        assert_eq!(replay::<S3Fifo>(2, &[1, 2, 1, 1, 3, 2, 4, 2, 1]), "..xx...x.");
    }
}
