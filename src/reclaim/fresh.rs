//! What has one thread retired just now? A short queue that its owner fills and anybody may empty.
//!
//! To put a block in costs its owner two stores, no exchange: a write retires a block, and an
//! exchange there would be a sixth of its locked instructions.
//!
//! | word | arrow | who | ordering |
//! |---|---|---|---|
//! | `places[e % LEN]` | any -> block | owner, while `e - start < LEN` | Relaxed; published by: |
//! | `end` | e -> e + 1 | owner | store, Release |
//! | `start` | s -> e, all of `s .. e` at once | anybody who has read `places[s .. e]` | exchange, AcqRel |
//!
//! Whoever moves `start` from `s` to `e` owns the blocks that it read between: `start` never
//! returns to `s` (it only grows), so nobody else took them; and the owner overwrites a place only
//! after it has seen `start` beyond it, so they are what the owner had put in.

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::reclaim::BATCH;
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU64, MODEL, Ordering};

/// Blocks that the queue can hold: as many as a thread retires before it collects.
const LEN: usize = if MODEL { 2 } else { BATCH };

/// The queue of one thread. See the module.
pub(super) struct Fresh<N> {
    start: AtomicU64,
    end: AtomicU64,
    places: [AtomicPtr<N>; LEN],
}

impl<N> Fresh<N> {
    pub(super) fn new() -> Self {
        Self {
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Puts a block in; false if there is no place for it. Owner only.
    #[inline]
    pub(super) fn push(&self, block: NonNull<N>) -> bool {
        // ORDERING: Relaxed. The owner reads its own word.
        let end = self.end.load(Ordering::Relaxed);
        // ORDERING: Acquire. Partner: the exchange in `take`: who took a block from this place had
        // read it before it is overwritten below.
        if end - self.start.load(Ordering::Acquire) >= LEN as u64 {
            return false;
        }
        // ORDERING: Relaxed. Published by the next line.
        self.places[end as usize % LEN].store(block.as_ptr(), Ordering::Relaxed);
        // ORDERING: Release. Partner: the Acquire load in `take`: the place, and the unlinking of
        // the block before it.
        let order = if planted(Seed::RelaxedFresh) { Ordering::Relaxed } else { Ordering::Release };
        self.end.store(end + 1, order);
        true
    }

    /// Takes all blocks out, in the order in which they came.
    pub(super) fn take(&self) -> Batch<N> {
        let mut batch = Batch { blocks: [const { MaybeUninit::uninit() }; LEN], len: 0 };
        loop {
            // ORDERING: Acquire. Partner: the exchange below, of whoever took before: its `end` is
            // seen by the next line, so `end` is never behind `start`.
            let start = self.start.load(Ordering::Acquire);
            // ORDERING: Acquire. Partner: the Release store in `push`.
            let end = self.end.load(Ordering::Acquire);
            let count = (end - start) as usize;
            if count == 0 {
                return batch;
            }
            // Should `start` move meanwhile, as many places are read, and the exchange fails.
            for (ticket, block) in (start..end).zip(&mut batch.blocks) {
                // ORDERING: Relaxed. Ordered by `end`, and confirmed by the exchange.
                block.write(self.places[ticket as usize % LEN].load(Ordering::Relaxed));
            }
            // ORDERING: AcqRel on success. Release partners the Acquire load in `push`: the places
            // were read. Acquire continues that of the others who took. Relaxed on failure: the
            // loop reads again.
            let moved =
                self.start.compare_exchange(start, end, Ordering::AcqRel, Ordering::Relaxed);
            if moved.is_ok() || planted(Seed::UnconfirmedTake) {
                batch.len = count.min(LEN);
                return batch;
            }
        }
    }
}

/// Blocks that were taken out.
pub(super) struct Batch<N> {
    blocks: [MaybeUninit<*mut N>; LEN],
    len: usize,
}

impl<N> Batch<N> {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NonNull<N>> {
        // SAFETY: `take` wrote the first `len`; what it read was put in by `push`, so is not null.
        self.blocks[..self.len].iter().map(|block| unsafe {
            let block = block.assume_init();
            // A planted bug makes a model fail here and not somewhere later.
            assert!(!MODEL || !block.is_null(), "a place is read before its block is put in");
            NonNull::new_unchecked(block)
        })
    }
}

#[cfg(all(test, not(all(hotset_loom, feature = "loom"))))]
mod tests {
    use super::*;

    fn block(n: usize) -> NonNull<u64> {
        NonNull::new(ptr::without_provenance_mut(8 * n + 8)).unwrap()
    }

    #[test]
    fn all_come_out_once_and_in_order() {
        let fresh = Fresh::<u64>::new();
        let mut next = 0;
        for lap in 1..200 {
            let came: Vec<_> = (next..next + lap.min(LEN)).map(block).collect();
            next += came.len();
            assert!(came.iter().all(|&block| fresh.push(block)));
            assert_eq!(fresh.push(block(usize::MAX >> 8)), came.len() < LEN);
            let went: Vec<_> = fresh.take().iter().collect();
            assert_eq!(went[..came.len()], came);
            assert!(fresh.take().is_empty());
        }
    }
}
