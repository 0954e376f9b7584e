//! S3-FIFO in bytes: a tenth of them for the small queue, ghosts of as many bytes as the main
//! queue has (Yang et al., SOSP 2023; the unweighted one says more).

use super::super::lists::Lists;
use super::Simulator;

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOSTS: usize = 2;

/// The greatest count of two bits.
const MOST_USES: u8 = 3;

pub struct S3Fifo {
    sizes: Vec<u32>,
    queues: Lists,
    /// Bytes in each of the queues.
    bytes: [u64; 3],
    uses: Vec<u8>,
    small_share: u64,
    capacity: u64,
}

impl Simulator for S3Fifo {
    fn new(bytes: u64, sizes: &[u32]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            queues: Lists::new(sizes.len(), 3),
            bytes: [0; 3],
            uses: vec![0; sizes.len()],
            small_share: (bytes / 10).max(1),
            capacity: bytes,
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let list = self.queues.list_of(id);
        if let Some(SMALL | MAIN) = list {
            let uses = &mut self.uses[id as usize];
            *uses = (*uses + 1).min(MOST_USES);
            return true;
        }
        let size = u64::from(self.sizes[id as usize]);
        if size > self.capacity {
            return false;
        }
        while self.bytes() + size > self.capacity {
            // Below its share the small queue may still be all there is.
            if self.bytes[SMALL] >= self.small_share || self.bytes[MAIN] == 0 {
                self.evict_from_small();
            } else {
                self.evict_from_main();
            }
        }
        self.put(if list == Some(GHOSTS) { MAIN } else { SMALL }, id);
        self.uses[id as usize] = 0;
        false
    }

    fn bytes(&self) -> u64 {
        self.bytes[SMALL] + self.bytes[MAIN]
    }
}

impl S3Fifo {
    fn put(&mut self, list: usize, id: u32) {
        self.remove(id);
        self.queues.move_to_front(list, id);
        self.bytes[list] += u64::from(self.sizes[id as usize]);
    }

    fn remove(&mut self, id: u32) {
        if let Some(list) = self.queues.list_of(id) {
            self.queues.remove(id);
            self.bytes[list] -= u64::from(self.sizes[id as usize]);
        }
    }

    /// Promotes until there is one to put out, or none is left.
    fn evict_from_small(&mut self) {
        while let Some(oldest) = self.queues.back(SMALL) {
            if std::mem::take(&mut self.uses[oldest as usize]) > 1 {
                self.put(MAIN, oldest);
                continue;
            }
            self.put(GHOSTS, oldest);
            while self.bytes[GHOSTS] > self.capacity - self.small_share
                && let Some(forgotten) = self.queues.back(GHOSTS)
            {
                self.remove(forgotten);
            }
            return;
        }
    }

    fn evict_from_main(&mut self) {
        while let Some(oldest) = self.queues.back(MAIN) {
            if self.uses[oldest as usize] == 0 {
                self.remove(oldest);
                return;
            }
            self.uses[oldest as usize] -= 1;
            self.put(MAIN, oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn with_equal_sizes_it_is_the_unweighted_one() {
        use crate::numbered::Numbered;
        use crate::policies::{S3Fifo as Unweighted, Simulator as _};
        use crate::workload::Rng;
        let mut rng = Rng::new(9);
        let ids: Vec<u32> =
            (0..20_000).map(|_| rng.clone().below(rng.next() % 300 + 1) as u32).collect();
        let trace = Numbered { name: String::new(), ids, unique: 300 };
        let mut weighted = S3Fifo::new(50, &[1; 300]);
        let mut unweighted = Unweighted::new(50, &trace);
        for &id in &trace.ids {
            assert_eq!(weighted.request(id), unweighted.request(id));
        }
    }

    #[test]
    fn a_large_key_puts_several_out() {
        // 0 and 1 leave for 2; both come back as ghosts, for which 2 leaves.
        assert_eq!(replay::<S3Fifo>(10, &[4, 5, 8], &[0, 1, 2, 0, 1, 0]), ".....x");
    }
}
