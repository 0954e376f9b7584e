//! GDSF: the least use for each byte leaves, and its worth becomes the ground on which later ones
//! stand, so that old uses fade (Cherkasova, "Improving WWW Proxies Performance with
//! Greedy-Dual-Size-Frequency Caching Policy", 1998). Every miss costs the same here.

use std::collections::BTreeSet;

use super::Simulator;

pub struct Gdsf {
    sizes: Vec<u32>,
    /// Uses since it entered; zero if it is not held.
    uses: Vec<u32>,
    worths: Vec<f64>,
    /// The held, by worth. Worths are never negative, so their bits have the order of the numbers.
    order: BTreeSet<(u64, u32)>,
    ground: f64,
    held: u64,
    capacity: u64,
}

impl Simulator for Gdsf {
    fn new(bytes: u64, sizes: &[u32]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            uses: vec![0; sizes.len()],
            worths: vec![0.0; sizes.len()],
            order: BTreeSet::new(),
            ground: 0.0,
            held: 0,
            capacity: bytes,
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let at = id as usize;
        let hit = self.uses[at] > 0;
        if hit {
            self.order.remove(&(self.worths[at].to_bits(), id));
        } else {
            let size = u64::from(self.sizes[at]);
            if size > self.capacity {
                return false;
            }
            while self.held + size > self.capacity {
                self.evict();
            }
            self.held += size;
        }
        self.uses[at] += 1;
        self.worths[at] = self.ground + f64::from(self.uses[at]) / f64::from(self.sizes[at]);
        self.order.insert((self.worths[at].to_bits(), id));
        hit
    }

    fn bytes(&self) -> u64 {
        self.held
    }
}

impl Gdsf {
    fn evict(&mut self) {
        let least = self.order.pop_first();
        let (worth, id) = least.expect("bytes are held, so a key is");
        self.ground = f64::from_bits(worth);
        self.uses[id as usize] = 0;
        self.held -= u64::from(self.sizes[id as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn small_keys_stay_when_a_large_one_needs_room() {
        // 0 is large: it leaves for 2 although it is newer than 1.
        assert_eq!(replay::<Gdsf>(10, &[8, 2, 4], &[1, 0, 2, 1, 0]), "...x.");
    }

    #[test]
    fn the_ground_rises_so_that_old_uses_fade() {
        // 0 is used three times, a worth of 3. 1 leaves for 2, 2 for 3, each raises the ground by
        // one: 3 stands at 3 as 0 does, and of the two 0 leaves for 4.
        assert_eq!(replay::<Gdsf>(2, &[1; 6], &[0, 0, 0, 1, 2, 3, 0]), ".xx...x");
        assert_eq!(replay::<Gdsf>(2, &[1; 6], &[0, 0, 0, 1, 2, 3, 4, 3, 0]), ".xx....x.");
    }
}
