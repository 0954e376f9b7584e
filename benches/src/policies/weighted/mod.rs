//! What would a policy hit that bounds bytes instead of entries? Reference simulators.
//!
//! As in the unweighted ones a miss puts the key in, unless it alone is larger than the cache.

mod adaptive;
mod gdsf;
mod lru;
mod s3_fifo;

pub use self::adaptive::Adaptive;
pub use self::gdsf::Gdsf;
pub use self::lru::Lru;
pub use self::s3_fifo::S3Fifo;

/// A simulated cache of keys with sizes.
pub trait Simulator: Send {
    /// An empty one of `bytes`, for keys of these sizes, none of them zero.
    fn new(bytes: u64, sizes: &[u32]) -> Self;

    /// Asks for the key with number `id`; `true` if it was held.
    fn request(&mut self, id: u32) -> bool;

    /// Bytes held.
    fn bytes(&self) -> u64;
}

/// For each of `ids` whether it hits in an empty cache of `bytes`: `.` a miss, `x` a hit.
#[cfg(test)]
fn replay<S: Simulator>(bytes: u64, sizes: &[u32], ids: &[u32]) -> String {
    let mut simulator = S::new(bytes, sizes);
    let request = |&id| {
        let hit = simulator.request(id);
        assert!(simulator.bytes() <= bytes);
        if hit { 'x' } else { '.' }
    };
    ids.iter().map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Rng;

    fn keeps_to_its_bytes<S: Simulator>() {
        let mut rng = Rng::new(3);
        let sizes: Vec<u32> = (0..200).map(|_| 1 + rng.below(500) as u32).collect();
        let ids: Vec<u32> = (0..20_000).map(|_| rng.below(200) as u32).collect();
        for bytes in [1, 100, 3_000, 20_000] {
            replay::<S>(bytes, &sizes, &ids);
        }
        // With room for all, each key misses once.
        assert_eq!(replay::<S>(100_000, &sizes, &ids).matches('.').count(), 200);
    }

    #[test]
    fn every_policy_keeps_to_its_bytes() {
        keeps_to_its_bytes::<Lru>();
        keeps_to_its_bytes::<Gdsf>();
        keeps_to_its_bytes::<S3Fifo>();
        keeps_to_its_bytes::<Adaptive>();
    }
}
