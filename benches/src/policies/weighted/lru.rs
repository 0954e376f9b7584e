//! Least recently used, as many as it takes to make room.

use super::super::lists::Lists;
use super::Simulator;

pub struct Lru {
    sizes: Vec<u32>,
    /// The most recent in front.
    recent: Lists,
    held: u64,
    capacity: u64,
}

impl Simulator for Lru {
    fn new(bytes: u64, sizes: &[u32]) -> Self {
        let recent = Lists::new(sizes.len(), 1);
        Self { sizes: sizes.to_vec(), recent, held: 0, capacity: bytes }
    }

    fn request(&mut self, id: u32) -> bool {
        if self.recent.list_of(id).is_some() {
            self.recent.move_to_front(0, id);
            return true;
        }
        let size = self.size(id);
        if size > self.capacity {
            return false;
        }
        while self.held + size > self.capacity
            && let Some(oldest) = self.recent.pop_back(0)
        {
            self.held -= self.size(oldest);
        }
        self.recent.move_to_front(0, id);
        self.held += size;
        false
    }

    fn bytes(&self) -> u64 {
        self.held
    }
}

impl Lru {
    fn size(&self, id: u32) -> u64 {
        u64::from(self.sizes[id as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn a_large_key_puts_several_out() {
        // 2 takes the room of 0 and, once 0 was used again, of 1 too; 3 is too large to enter.
        assert_eq!(replay::<Lru>(10, &[4, 5, 6, 11], &[0, 1, 0, 2, 0, 1, 3, 3]), "..x.x...");
    }
}
