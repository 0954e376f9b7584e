//! Every operation inserts a key that was never seen, into a full cache.

use super::{Cursor, Tally, Workload, key};
use crate::peers::Cache;

/// Inserts between two looks at the clock.
const CHUNK: u64 = 512;

pub struct Churn<C> {
    cache: C,
}

impl<C: Cache> Churn<C> {
    /// Fills `cache`: twice its capacity fills every shard.
    pub fn new(mut cache: C, capacity: usize) -> Self {
        // Numbers that no thread will reach.
        let filling = (1 << 63)..(1 << 63) + capacity as u64 * 2;
        filling.for_each(|number| cache.put(key(number), number));
        cache.settle();
        Self { cache }
    }
}

impl<C: Cache> Workload for Churn<C> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut refused = 0;
        for _ in 0..CHUNK {
            // Threads count in ranges of their own.
            let serial = (cursor.thread << 48) | cursor.at as u64;
            cursor.at += 1;
            refused += u64::from(!self.cache.insert(key(serial), serial));
        }
        Tally { ops: CHUNK, inserts: CHUNK, refused, ..Tally::default() }
    }
}
