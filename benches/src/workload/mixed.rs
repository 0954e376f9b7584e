//! Reads of entries that are there, and now and then a key that was never seen: a cache that does its work.

use super::{Cursor, KeySource as _, Tally, Uniform, Workload, key, read_through};
use crate::peers::Cache;

/// Reads between two looks at the clock, or so many that the next key is new.
const CHUNK: u64 = 512;

pub struct Mixed<C> {
    cache: C,
    hot: Uniform,
    reads_per_insert: u64,
}

impl<C: Cache> Mixed<C> {
    /// Half of the capacity is read, all of it alike; a new key is inserted after so many reads.
    pub fn new(mut cache: C, capacity: usize, reads_per_insert: u64) -> Self {
        let hot = capacity as u64 / 2;
        // Twice, so that those which are read are known for it before others come.
        (0..2).for_each(|_| (0..hot).for_each(|number| cache.put(key(number), number)));
        cache.settle();
        Self { cache, hot: Uniform(hot), reads_per_insert }
    }
}

impl<C: Cache> Workload for Mixed<C> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let reads = self.reads_per_insert;
        let turns = CHUNK.div_ceil(reads);
        let mut tally = Tally { ops: turns * (reads + 1), ..Tally::default() };
        for _ in 0..turns {
            for _ in 0..reads {
                read_through(&self.cache, self.hot.next(cursor), &mut tally);
            }
            // Threads count in ranges of their own, beyond what is read.
            let serial = 1 << 62 | cursor.thread << 48 | cursor.at as u64;
            cursor.at += 1;
            tally.inserts += 1;
            tally.refused += u64::from(!self.cache.insert(key(serial), serial));
        }
        tally
    }
}
