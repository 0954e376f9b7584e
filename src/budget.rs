//! Is there room? The count of admitted entries, and of room reserved for entries to come.
//!
//! | word | arrow | who | ordering |
//! |---|---|---|---|
//! | `used` | n -> n + 1, only while n < max | whoever will publish | exchange, Acquire |
//! | `used` | n -> n - 1 | whoever has unlinked, or did not publish | `fetch_sub`, Release |
//! | `max` | any -> any | `set_max` | store, before: |
//! | `used` | its turn + 1, the count as it was | `set_max` | `fetch_add`, Release |
//!
//! Beside the count, `used` has the number of times that `max` was set. So an exchange by whoever
//! compared with an older `max` fails, and once `set_max` has returned the new bound holds for all.
//!
//! Publishing takes room first and the slot second, leaving does the reverse, so that at no
//! instant more entries are in slots than `used` says, and `used` never rises above `max`.
//! An evictor keeps its victim's room for its own entry and does not write `used` at all.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// In `used`: how often `max` was set. It may wrap; nobody sleeps through 2^24 turns between two
/// instructions and finds the same count.
const TURN: u64 = 1 << 40;
const COUNT: u64 = TURN - 1;

struct Words {
    used: AtomicU64,
    max: AtomicUsize,
}

/// The bound of a cache.
pub(crate) struct Budget(CachePadded<Words>);

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(CachePadded::new(Words { used: AtomicU64::new(0), max: AtomicUsize::new(max) }))
    }

    #[inline]
    pub(crate) fn used(&self) -> usize {
        // ORDERING: Relaxed. A count at some instant; nothing else is concluded from it.
        (self.0.used.load(Ordering::Relaxed) & COUNT) as usize
    }

    #[inline]
    pub(crate) fn max(&self) -> usize {
        // ORDERING: Relaxed. A limit; it publishes nothing.
        self.0.max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max(&self, max: usize) {
        // ORDERING: Relaxed; published by the next line. Whoever lowers it evicts until `used` fits
        // (`store`).
        self.0.max.store(max, Ordering::Relaxed);
        if planted(Seed::UncountedBound) {
            return;
        }
        // ORDERING: Release. Partner: the Acquire loads in `take`: whoever takes room from this
        // word on compares with this `max` or a later one.
        self.0.used.fetch_add(TURN, Ordering::Release);
    }

    /// Whether more is in use than the bound allows, as after the bound was lowered.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.max()
    }

    /// Whether there is no room, as of now.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.max()
    }

    /// Takes room for one entry, if there is any.
    #[inline]
    pub(crate) fn take(&self) -> Option<Room<'_>> {
        // ORDERING: Acquire, here and where the exchange fails. Partner: the Release `fetch_add` in
        // `set_max`. Room that is given back continues its release sequence.
        let mut used = self.0.used.load(Ordering::Acquire);
        loop {
            if (used & COUNT) as usize >= self.max() {
                return None;
            }
            if planted(Seed::TornRoom) {
                self.0.used.store(used + 1, Ordering::Relaxed);
                return Some(Room(self));
            }
            // ORDERING: Acquire on success. Partner: the Release `fetch_sub` in `Room::drop`: the
            // slot whose room this was is seen empty before ours is filled, so that counting the
            // slots never finds more than `used`.
            match self.0.used.compare_exchange_weak(
                used,
                used + 1,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(Room(self)),
                Err(now) => used = now,
            }
        }
    }

    /// The room of an entry that the caller has unlinked.
    #[inline]
    pub(crate) fn of_unlinked(&self) -> Room<'_> {
        Room(self)
    }
}

/// Room for one entry. Given back when dropped.
#[must_use]
pub(crate) struct Room<'b>(&'b Budget);

impl Room<'_> {
    /// The room is now that of an entry in a slot.
    #[inline]
    pub(crate) fn occupy(self) {
        std::mem::forget(self);
    }
}

impl Drop for Room<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release. Partner: the Acquire exchange in `take`.
        self.0.0.used.fetch_sub(1, Ordering::Release);
    }
}
