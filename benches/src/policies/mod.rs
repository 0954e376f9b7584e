//! What would a textbook policy have hit? Reference simulators, each the shortest that is right.
//!
//! They hold numbers of keys alone, for one thread, and are told every request: a hit is a key
//! that is held when it is asked for; a miss puts it in. Every entry counts one; policies that
//! know sizes are in `weighted`.

mod arc;
mod car;
mod clock;
mod fifo;
mod lirs;
mod lists;
mod lru;
mod opt;
mod s3_fifo;
mod sieve;
mod sketch;
mod tiny_lfu;
pub mod weighted;

pub use self::arc::Arc;
pub use self::car::Car;
pub use self::clock::Clock;
pub use self::fifo::Fifo;
pub use self::lirs::Lirs;
pub use self::lru::Lru;
pub use self::opt::Opt;
pub use self::s3_fifo::S3Fifo;
pub use self::sieve::Sieve;
pub use self::tiny_lfu::TinyLfu;

use crate::numbered::Numbered;

/// A simulated cache of keys.
pub trait Simulator: Send {
    /// An empty one of `entries` for the requests of `trace`. Only the optimum looks at them
    /// beforehand; the others ask how many keys there are.
    fn new(entries: usize, trace: &Numbered) -> Self;

    /// Asks for the key with number `id`; `true` if it was held.
    fn request(&mut self, id: u32) -> bool;

    fn len(&self) -> usize;
}

/// For each of `ids` whether it hits in an empty cache of `entries`: `.` a miss, `x` a hit.
#[cfg(test)]
fn replay<S: Simulator>(entries: usize, ids: &[u32]) -> String {
    let unique = ids.iter().max().map_or(0, |&id| id as usize + 1);
    let trace = Numbered { name: String::new(), ids: ids.to_vec(), unique };
    let mut simulator = S::new(entries, &trace);
    ids.iter()
        .map(|&id| {
            let hit = simulator.request(id);
            assert!(simulator.len() <= entries);
            if hit { 'x' } else { '.' }
        })
        .collect()
}

/// How many of `ids` hit in an empty cache of `entries`.
#[cfg(test)]
fn hits<S: Simulator>(entries: usize, ids: &[u32]) -> usize {
    replay::<S>(entries, ids).matches('x').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Rng;

    fn skewed(requests: usize, keys: u64) -> Vec<u32> {
        let mut rng = Rng::new(5);
        (0..requests).map(|_| rng.below(rng.clone().below(keys) + 1) as u32).collect()
    }

    fn nobody_beats_the_optimum<S: Simulator>(name: &str) {
        let ids = skewed(20_000, 300);
        for entries in [1, 2, 3, 10, 50, 200] {
            let (own, best) = (hits::<S>(entries, &ids), hits::<Opt>(entries, &ids));
            assert!(own <= best, "{name} at {entries}: {own} of {best}");
        }
        // With room for all, each key misses once.
        let unique = ids.iter().collect::<std::collections::HashSet<_>>().len();
        assert_eq!(hits::<S>(1_000, &ids), ids.len() - unique, "{name}");
    }

    #[test]
    fn every_policy_keeps_to_its_capacity_and_below_the_optimum() {
        nobody_beats_the_optimum::<Fifo>("FIFO");
        nobody_beats_the_optimum::<Lru>("LRU");
        nobody_beats_the_optimum::<Clock>("CLOCK");
        nobody_beats_the_optimum::<Sieve>("SIEVE");
        nobody_beats_the_optimum::<S3Fifo>("S3-FIFO");
        nobody_beats_the_optimum::<Arc>("ARC");
        nobody_beats_the_optimum::<Car>("CAR");
        nobody_beats_the_optimum::<Lirs>("LIRS");
        nobody_beats_the_optimum::<TinyLfu>("W-TinyLFU");
        nobody_beats_the_optimum::<Opt>("OPT");
    }
}
