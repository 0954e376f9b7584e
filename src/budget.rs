//! Is there room? The count of admitted entries, and of room reserved for entries to come.
//!
//! | word | arrow | who | ordering |
//! |---|---|---|---|
//! | `used` | n -> n + 1, only while n < max | whoever will publish | exchange, Acquire |
//! | `used` | n -> n - 1 | whoever has unlinked, or did not publish | `fetch_sub`, Release |
//! | `max` | any -> any | `set_max` | store |
//!
//! Publishing takes room first and the slot second, leaving does the reverse, so that at no
//! instant more entries are in slots than `used` says, and `used` never rises above `max`.
//! An evictor keeps its victim's room for its own entry and does not write `used` at all.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicUsize, Ordering};

struct Words {
    used: AtomicUsize,
    max: AtomicUsize,
}

/// The bound of a cache.
pub(crate) struct Budget(CachePadded<Words>);

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(CachePadded::new(Words { used: AtomicUsize::new(0), max: AtomicUsize::new(max) }))
    }

    pub(crate) fn used(&self) -> usize {
        // ORDERING: Relaxed. A count at some instant; nothing else is concluded from it.
        self.0.used.load(Ordering::Relaxed)
    }

    pub(crate) fn max(&self) -> usize {
        // ORDERING: Relaxed. A limit; it publishes nothing.
        self.0.max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max(&self, max: usize) {
        // ORDERING: Relaxed, as in `max`. Whoever lowers it evicts until `used` fits (`store`).
        self.0.max.store(max, Ordering::Relaxed);
    }

    /// Whether more is in use than the bound allows, as after the bound was lowered.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.max()
    }

    /// Takes room for one entry, if there is any.
    #[inline]
    pub(crate) fn take(&self) -> Option<Room<'_>> {
        let mut used = self.used();
        loop {
            if used >= self.max() {
                return None;
            }
            if planted(Seed::TornRoom) {
                self.0.used.store(used + 1, Ordering::Relaxed);
                return Some(Room(self));
            }
            // ORDERING: Acquire on success. Partner: the Release `fetch_sub` in `Room::drop`: the
            // slot whose room this was is seen empty before ours is filled, so that counting the
            // slots never finds more than `used`. Relaxed on failure.
            match self.0.used.compare_exchange_weak(
                used,
                used + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
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
