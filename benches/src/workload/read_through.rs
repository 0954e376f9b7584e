//! Get, and insert on a miss: what a cache is for.

use std::time::{Duration, Instant};

use super::{Cursor, KeySource, Tally, Workload};
use crate::peers::Cache;

/// Operations between two looks at the clock.
const CHUNK: u64 = 512;

pub struct ReadThrough<C, K> {
    pub cache: C,
    pub keys: K,
    /// What is missing takes so long to load.
    pub load: Duration,
}

impl<C: Cache, K: KeySource> ReadThrough<C, K> {
    /// Brings the cache to its steady state: full, and its policy acquainted with the keys.
    pub fn warm(&self, operations: u64, cursor: &mut Cursor) {
        for _ in 0..operations.div_ceil(CHUNK) {
            self.chunk(cursor);
        }
        self.cache.settle();
    }
}

impl<C: Cache, K: KeySource> Workload for ReadThrough<C, K> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut tally = Tally { ops: CHUNK, ..Tally::default() };
        let keys = (0..CHUNK).map(|_| self.keys.next(cursor));
        each_through(&self.cache, keys, self.load, &mut tally);
        tally
    }
}

/// One operation, where loading costs nothing; counts everything but itself.
#[inline(always)]
pub fn read_through<C: Cache>(cache: &C, key: u64, tally: &mut Tally) {
    load_through(cache, key, Duration::ZERO, tally);
}

/// One operation for each of `keys`, where what is missing takes so long to load. Two loops: where that is
/// nothing it costs nothing.
#[inline(always)]
pub fn each_through<C: Cache>(
    cache: &C,
    keys: impl Iterator<Item = u64>,
    load: Duration,
    tally: &mut Tally,
) {
    if load.is_zero() {
        keys.for_each(|key| read_through(cache, key, tally));
    } else {
        keys.for_each(|key| load_through(cache, key, load, tally));
    }
}

/// One operation, where what is missing takes so long to load.
#[inline(always)]
fn load_through<C: Cache>(cache: &C, key: u64, load: Duration, tally: &mut Tally) {
    if let Some(value) = cache.get(key) {
        std::hint::black_box(value);
        tally.hits += 1;
    } else {
        if !load.is_zero() {
            work_for(load);
        }
        tally.inserts += 1;
        tally.refused += u64::from(!cache.insert(key, key));
    }
}

/// Keeps the processor busy for so long.
#[inline(never)]
fn work_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
