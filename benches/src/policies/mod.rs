//! What would a textbook policy have hit? Reference simulators, each the shortest that is right.
//!
//! They hold keys alone, for one thread, and are told every request: a hit is a key that is held
//! when it is asked for; a miss puts it in.

mod clock;
mod fifo;
mod lru;

pub use self::clock::Clock;
pub use self::fifo::Fifo;
pub use self::lru::Lru;

/// A simulated cache of keys.
pub trait Simulator: Send {
    fn with_capacity(entries: usize) -> Self;

    /// Asks for `key`; `true` if it was held.
    fn request(&mut self, key: u64) -> bool;

    fn len(&self) -> usize;
}

/// How many of `keys` hit in an empty cache of `entries`.
#[cfg(test)]
fn hits<S: Simulator>(entries: usize, keys: &[u64]) -> usize {
    let mut simulator = S::with_capacity(entries);
    let hits = keys.iter().filter(|&&key| simulator.request(key)).count();
    assert!(simulator.len() <= entries);
    hits
}
