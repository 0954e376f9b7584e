//! What is done in the timed loop? One file per kind of operation; keys and threads apart.
//!
//! A workload is generic over the peer and compiled for it: nothing in the timed loop goes through
//! a pointer to a function.

mod churn;
mod gets;
mod keys;
mod leases;
mod mixed;
mod read_through;
mod replayed;
mod rng;
mod threads;

use std::ops::AddAssign;
use std::time::Duration;

pub use self::churn::Churn;
pub use self::gets::{Gets, PinnedGets, READS_PER_PIN, fill_all};
pub use self::keys::{Hot, KeySource, Listed, Uniform, key, zipf_numbers};
pub use self::leases::{Arcs, Leases};
pub use self::mixed::Mixed;
pub use self::read_through::{ReadThrough, read_through};
pub use self::replayed::replayed;
pub use self::rng::Rng;
pub use self::threads::{Deadline, Took, until_deadline};

/// Counts of one round, over all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations begun.
    pub ops: u64,
    pub hits: u64,
    pub inserts: u64,
    /// Inserts that the cache refused. Such an operation is not counted as one.
    pub refused: u64,
}

impl Tally {
    /// Operations that count.
    pub fn done(&self) -> u64 {
        self.ops - self.refused
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.ops += other.ops;
        self.hits += other.hits;
        self.inserts += other.inserts;
        self.refused += other.refused;
    }
}

/// What one round of one contestant gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub tally: Tally,
    pub took: Took,
}

impl Sample {
    /// Million operations a second: of a single thread's own time, or of all threads together.
    pub fn mops(&self) -> f64 {
        self.mops_in(self.took.own.unwrap_or(self.took.clock))
    }

    /// Million operations a second on the clock, however many threads.
    pub fn mops_on_the_clock(&self) -> f64 {
        self.mops_in(self.took.clock)
    }

    fn mops_in(&self, time: Duration) -> f64 {
        self.tally.done() as f64 / time.as_secs_f64() / 1e6
    }
}

/// Where a thread of a workload is; kept from round to round, so that each goes on. On lines of its own: it is written
/// with every operation, and those of all threads stand in one list.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub struct Cursor {
    pub rng: Rng,
    pub at: usize,
    pub thread: u64,
}

impl Cursor {
    /// One for each thread, spread evenly over a list of `keys` keys.
    pub fn spread(threads: usize, keys: usize) -> Vec<Self> {
        (0..threads)
            .map(|thread| Self {
                rng: Rng::new(thread as u64 + 1),
                at: keys / threads * thread,
                thread: thread as u64,
            })
            .collect()
    }
}

/// A bounded piece of work, done between two looks at the clock.
pub trait Workload: Sync {
    fn chunk(&self, cursor: &mut Cursor) -> Tally;
}

/// Runs `workload` on one thread per cursor for about `budget`, after an eighth of it untimed
/// (other contestants have just had the caches of the processor to themselves).
pub fn round<W: Workload>(workload: &W, cursors: &mut [Cursor], budget: Duration) -> Sample {
    let run = |cursor: &mut Cursor, deadline: &Deadline| {
        let mut tally = Tally::default();
        while !deadline.passed() {
            tally += workload.chunk(cursor);
        }
        tally
    };
    until_deadline(cursors, budget / 8, run);
    let (tallies, took) = until_deadline(cursors, budget, run);
    let mut tally = Tally::default();
    tallies.into_iter().for_each(|t| tally += t);
    Sample { tally, took }
}
