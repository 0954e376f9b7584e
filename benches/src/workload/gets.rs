//! Reads of entries that are all there: the cost of a hit and nothing else.

use std::hint::black_box;
use std::sync::Arc;

use super::{Cursor, KeySource, Tally, Workload, key};
use crate::peers::{Pinning, Reader};

/// Reads under one pin, where a pin is held.
pub const READS_PER_PIN: u64 = 64;

/// Reads between two looks at the clock: one look costs some ten of them.
const CHUNK: u64 = 4_096;

/// Each read with the protection that the peer's `get` takes for itself.
pub struct Gets<R, K> {
    pub reader: Arc<R>,
    pub keys: K,
}

impl<R: Reader, K: KeySource> Workload for Gets<R, K> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut hits = 0;
        for _ in 0..CHUNK {
            if let Some(value) = self.reader.get(self.keys.next(cursor)) {
                black_box(value);
                hits += 1;
            }
        }
        Tally { ops: CHUNK, hits, ..Tally::default() }
    }
}

/// Reads in groups of [`READS_PER_PIN`].
pub struct PinnedGets<R, K> {
    pub reader: Arc<R>,
    pub keys: K,
}

impl<R: Pinning, K: KeySource> Workload for PinnedGets<R, K> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut hits = 0;
        for _ in 0..CHUNK / READS_PER_PIN {
            hits += self.reader.get_under_one_pin(READS_PER_PIN, || self.keys.next(cursor));
        }
        Tally { ops: CHUNK, hits, ..Tally::default() }
    }
}

/// A reader that holds all of the first `entries` keys, and the capacity that this took.
pub struct Resident<R> {
    pub reader: Arc<R>,
    pub capacity: usize,
}

/// Fills a reader with the first `entries` keys, with the least capacity (of a few) at which all of them stay.
///
/// Sharded peers have a budget per shard and evict below their bound; a table of hits in which
/// some peers miss compares nothing, and one in which all get twice the room hides what room costs.
pub fn fill_all<R: Reader>(entries: u64) -> Resident<R> {
    const PER_CENT: [u64; 8] = [100, 105, 110, 125, 150, 200, 300, 400];
    let mut last = None;
    for per_cent in PER_CENT {
        let capacity = (entries * per_cent / 100) as usize;
        // The one before goes first: a million entries twice is much for a small machine.
        drop(last.take());
        let mut reader = R::with_capacity(capacity);
        (0..entries).for_each(|number| reader.put(key(number), number));
        reader.settle();
        let missing = (0..entries).filter(|&number| reader.get(key(number)).is_none()).count();
        last = Some(Resident { reader: Arc::new(reader), capacity });
        if missing == 0 {
            break;
        }
    }
    // If even four times the room is not enough, the row's share of hits will say so.
    last.expect("PER_CENT is not empty")
}
