//! hotset's `Policy::Adaptive` in bytes: what the real cache will do once it bounds weights.
//!
//! The rules are those of the crate's `adaptive` module, with bytes where it counts entries: the quota
//! of probation, its steps (the size of who came back), and the ages of those who have left. Whoever
//! must make room for a large key puts out several, by the same rule for each. Ghosts are exact here.

use std::collections::VecDeque;

use super::Simulator;

/// Thousandths of the bound.
const START: u64 = 30;
const LEAST: u64 = 10;
const MOST: u64 = 900;
const MEMORY: u64 = 1200;
const MARGIN: u64 = 75;
const MAIN_MARGIN: u64 = 100;

/// Entries in use that the hand passes over at most: for who comes back, in each quarter of the memory, and for
/// who is tried.
const PASSES: [u32; 4] = [4, 2, 1, 1];
const TRIAL_PASSES: u32 = 12;
const PROMOTIONS: u32 = 8;
/// One of so many newcomers without a past is tried in the main class, to begin with, and twice as many at
/// each level; so many in a row must cost nothing before there are twice as many.
const CHANCE: u64 = 512;
const HIGHEST_LEVEL: u32 = 5;
const LEAST_FREE: u64 = 4;
/// Uses to the credit of an entry, at most: on probation, and in the main class.
const MOST_USES: [u8; 2] = [1, 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Probation,
    Main,
}

/// A key that left, and the bytes that had left from its class by then.
type Ghost = Option<(Class, u64)>;

pub struct Adaptive {
    sizes: Vec<u32>,
    held: Vec<Option<Class>>,
    uses: Vec<u8>,
    ghosts: Vec<Ghost>,
    queue: VecDeque<u32>,
    /// In the order of the hand.
    main: VecDeque<u32>,
    /// Bytes on probation and in the main class, and those that have left from each.
    bytes: [u64; 2],
    left: [u64; 2],
    quota: u64,
    newcomers: u64,
    /// How many newcomers are tried, and how many in a row cost nothing.
    level: u32,
    free: u64,
    /// All were exchanged, and nothing came of it.
    rests: bool,
    capacity: u64,
}

impl Simulator for Adaptive {
    fn new(bytes: u64, sizes: &[u32]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            held: vec![None; sizes.len()],
            uses: vec![0; sizes.len()],
            ghosts: vec![None; sizes.len()],
            queue: VecDeque::new(),
            main: VecDeque::new(),
            bytes: [0; 2],
            left: [0; 2],
            quota: part(bytes, START),
            newcomers: 0,
            level: 0,
            free: 0,
            rests: false,
            capacity: bytes,
        }
    }

    fn request(&mut self, id: u32) -> bool {
        let at = id as usize;
        if let Some(class) = self.held[at] {
            self.uses[at] = (self.uses[at] + 1).min(MOST_USES[class as usize]);
            return true;
        }
        let size = u64::from(self.sizes[at]);
        if size > self.capacity {
            return false;
        }
        let class = if self.bytes() + size <= self.capacity {
            let main_first = self.bytes[Class::Main as usize] + size + self.quota <= self.capacity;
            if main_first { Class::Main } else { Class::Probation }
        } else {
            self.make_room(id, size)
        };
        self.held[at] = Some(class);
        self.uses[at] = 0;
        self.bytes[class as usize] += size;
        match class {
            Class::Probation => self.queue.push_back(id),
            Class::Main => self.main.push_back(id),
        }
        false
    }

    fn bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

fn part(bytes: u64, thousandths: u64) -> u64 {
    (bytes * thousandths / 1000).max(1)
}

impl Adaptive {
    /// Puts out as many as must leave for `id`, and says in which class it comes.
    fn make_room(&mut self, id: u32, size: u64) -> Class {
        let back = self.recall(id, size);
        let most = back.unwrap_or(TRIAL_PASSES);
        let chance = CHANCE >> self.level;
        let mut tried = back.is_none() && self.newcomers % chance == chance - 1;
        self.newcomers += u64::from(back.is_none());
        let mut class = if back.is_some() || tried { Class::Main } else { Class::Probation };
        let mut passes = 0;
        while self.bytes() + size > self.capacity {
            let waiting = self.bytes[Class::Probation as usize];
            let left = match class {
                Class::Main if back.is_some() && waiting > self.quota => self.evict_early(),
                Class::Main => {
                    let left = self.evict_main(most, &mut passes);
                    if std::mem::take(&mut tried) {
                        self.judge(left, passes);
                    }
                    if !left {
                        class = Class::Probation;
                        continue;
                    }
                    left
                }
                Class::Probation if waiting < self.quota => self.evict_main(u32::MAX, &mut 0),
                Class::Probation => self.evict_early(),
            };
            let _ = left || self.evict_early() || self.evict_main(u32::MAX, &mut 0);
        }
        class
    }

    /// After a trial for which somebody left or not, when so many in use had been passed over.
    fn judge(&mut self, left: bool, passes: u32) {
        let entries = (self.queue.len() + self.main.len()) as u64;
        match (left, passes) {
            (false, _) => {
                (self.level, self.free, self.rests) = (self.level.saturating_sub(1), 0, false);
            }
            (true, 0) if self.rests => {}
            (true, 0) => {
                self.free += 1;
                if self.level == HIGHEST_LEVEL {
                    if self.free >= entries {
                        (self.level, self.free, self.rests) = (0, 0, true);
                    }
                } else if self.free >= (entries / CHANCE).max(LEAST_FREE << self.level) {
                    (self.level, self.free) = (self.level + 1, 0);
                }
            }
            (true, _) => (self.free, self.rests) = (0, false),
        }
    }

    /// If `id` left not long ago, how many in use the hand passes over for it; what that says of the quota is done.
    fn recall(&mut self, id: u32, size: u64) -> Option<u32> {
        let (class, then) = self.ghosts[id as usize].take()?;
        let age = self.left[class as usize] - then;
        let margin = if class == Class::Main { MAIN_MARGIN } else { MARGIN };
        let marginal = age < part(self.capacity, margin);
        let (least, most) = (part(self.capacity, LEAST), part(self.capacity, MOST));
        match class {
            Class::Probation if marginal => self.quota = (self.quota + size).clamp(least, most),
            Class::Main if marginal => {
                self.quota = self.quota.saturating_sub(size).clamp(least, most);
            }
            _ => {}
        }
        let quarter = usize::try_from(4 * age / part(self.capacity, MEMORY)).ok()?;
        PASSES.get(quarter).copied().filter(|_| class == Class::Probation)
    }

    fn evict_early(&mut self) -> bool {
        let mut promoted = 0;
        while let Some(id) = self.queue.pop_front() {
            if self.uses[id as usize] == 0 || promoted == PROMOTIONS {
                self.put_out(id, Class::Probation);
                return true;
            }
            promoted += 1;
            let size = u64::from(self.sizes[id as usize]);
            self.bytes[Class::Probation as usize] -= size;
            self.bytes[Class::Main as usize] += size;
            self.held[id as usize] = Some(Class::Main);
            self.uses[id as usize] = 0;
            self.main.push_back(id);
        }
        false
    }

    /// Turns the hand until there is a victim, passing over at most `most` that are in use.
    fn evict_main(&mut self, most: u32, passes: &mut u32) -> bool {
        while let Some(id) = self.main.pop_front() {
            if self.uses[id as usize] == 0 {
                self.put_out(id, Class::Main);
                return true;
            }
            if *passes >= most {
                self.main.push_front(id);
                return false;
            }
            self.uses[id as usize] -= 1;
            self.main.push_back(id);
            *passes += 1;
        }
        false
    }

    fn put_out(&mut self, id: u32, class: Class) {
        let size = u64::from(self.sizes[id as usize]);
        self.bytes[class as usize] -= size;
        self.left[class as usize] += size;
        self.held[id as usize] = None;
        self.ghosts[id as usize] = Some((class, self.left[class as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;

    #[test]
    fn a_large_key_puts_several_out() {
        // 0 and 1 leave for 2; 0 comes back for 2, and 1 has room beside it.
        assert_eq!(replay::<Adaptive>(10, &[4, 5, 8], &[0, 1, 2, 0, 1, 0, 1]), ".....xx");
    }

    #[test]
    fn a_scan_passes() {
        // A hot set of half the bytes, asked for three times, then a scan of ten times the cache.
        let sizes = vec![10; 1100];
        let hot = (0..50).cycle().take(150);
        let ids: Vec<u32> = hot.clone().chain(100..1100).chain(0..50).collect();
        let told = replay::<Adaptive>(1000, &sizes, &ids);
        assert_eq!(told[told.len() - 50..].matches('x').count(), 50);
    }
}
