//! How is an array replaced by a larger one under the hands of those who use it?
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `current` | a -> b, which is larger and keeps a | whoever finds a too small | exchange; a loser frees its own |
//!
//! Nothing is freed before the whole is dropped, so nobody needs protection. Whoever goes on with the one
//! before writes where nobody looks any more, which is for advice only: it is lost. Each is made so much
//! larger by whoever replaces it that those which are kept are together at most twice as large as the last.

use std::ptr;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, Made, Ordering, Tracked};

/// A `T` that larger ones may replace.
pub(crate) struct Larger<T> {
    /// A box that is leaked until the drop.
    current: AtomicPtr<Kept<T>>,
}

struct Kept<T> {
    it: T,
    /// The one that this has replaced, or null.
    before: *mut Kept<T>,
    /// What `it` is made of is advice, which loom does not see.
    made: Made,
    _tracked: Tracked,
}

// SAFETY: what is behind the pointers is owned, given out as `&T`, and dropped with the whole.
unsafe impl<T: Send + Sync> Sync for Larger<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Larger<T> {}

impl<T> Kept<T> {
    fn new(it: T, before: *mut Self) -> *mut Self {
        Box::into_raw(Box::new(Self { it, before, made: Made::new(), _tracked: Tracked::new(()) }))
    }
}

impl<T> Larger<T> {
    pub(crate) fn new(it: T) -> Self {
        Self { current: AtomicPtr::new(Kept::new(it, ptr::null_mut())) }
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> &T {
        // ORDERING: Acquire. Partner: the Release exchange in `replace`.
        // SAFETY: a box that lives until the drop.
        let kept = unsafe { &*self.current.load(Ordering::Acquire) };
        kept.made.seen();
        &kept.it
    }

    /// Replaces it by what `larger` makes of it, if anything. Of several who do so at a time one succeeds.
    pub(crate) fn replace(&self, larger: impl FnOnce(&T) -> Option<T>) {
        // ORDERING: Acquire, as in `get`.
        let seen = self.current.load(Ordering::Acquire);
        // SAFETY: as in `get`.
        let kept = unsafe { &*seen };
        kept.made.seen();
        let Some(it) = larger(&kept.it) else { return };
        let fresh = Kept::new(it, seen);
        if planted(Seed::TornGrowth) {
            // ORDERING: of a planted bug.
            return self.current.store(fresh, Ordering::Release);
        }
        // ORDERING: Release on success. Partner: the Acquire load in `get`. Relaxed on failure: whoever
        // needs one that is larger still comes again.
        let replaced =
            self.current.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed);
        if replaced.is_err() {
            // SAFETY: made above and not shared.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

impl<T> Drop for Larger<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed. `&mut self`: no other thread is left.
        let mut next = self.current.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `Kept::new`, in this list once.
            let kept = unsafe { Box::from_raw(next) };
            next = kept.before;
        }
    }
}
