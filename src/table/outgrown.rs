//! What is kept of what a table has outgrown, until nobody can see it any more?
//!
//! What grows can be taken back: segments (`segment`) and arrays of advice (`larger`). Whoever looks at such a thing
//! walks; whoever has unlinked one stamps it, as retired blocks are, and puts it on a list, and it is freed when no walk
//! is as old (`reclaim`).
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | list | push | who has unlinked one, or must leave one here | exchange, Release |
//! | list | taken as a whole | who frees what can be freed | swap, Acquire |

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::reclaim::{push, take_list};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// What is outgrown is a leaked box, whose stamp and link belong to who has unlinked it, or taken it from the list.
pub(crate) struct Leftover<T> {
    stamp: Cell<u32>,
    next: AtomicPtr<T>,
}

impl<T> Leftover<T> {
    pub(crate) fn new() -> Self {
        Self { stamp: Cell::new(0), next: AtomicPtr::new(ptr::null_mut()) }
    }
}

/// Who may be outgrown.
pub(crate) trait Outgrows: Sized {
    fn leftover(&self) -> &Leftover<Self>;
}

/// What was taken back and may still be seen.
pub(crate) struct Outgrown<T: Outgrows> {
    list: AtomicPtr<T>,
    /// How many were taken back and are not freed: on the list, or in somebody's hands.
    kept: AtomicUsize,
}

impl<T: Outgrows> Outgrown<T> {
    pub(crate) fn new() -> Self {
        Self { list: AtomicPtr::new(ptr::null_mut()), kept: AtomicUsize::new(0) }
    }

    /// Whether all are freed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed. A count.
        self.kept.load(Ordering::Relaxed) == 0
    }

    /// Keeps one that was stamped after it was unlinked.
    ///
    /// # Safety
    /// It is a leaked box, unlinked by the caller, and on no list.
    pub(crate) unsafe fn keep(&self, it: NonNull<T>, stamp: u32) {
        // ORDERING: Relaxed. A count.
        self.kept.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's: the stamp is ours, and it stays until it is freed.
        unsafe { it.as_ref() }.leftover().stamp.set(stamp);
        self.add(it);
    }

    fn add(&self, it: NonNull<T>) {
        push(&self.list, it, it, |it| &it.leftover().next, 0);
    }

    /// Frees those that nobody can see any more, which `unseen` says of stamps that were made before it came.
    pub(crate) fn free<U: Fn(u32) -> bool>(&self, unseen: impl FnOnce() -> U) {
        if self.is_empty() {
            return;
        }
        let mut cursor = take_list(&self.list);
        if cursor.is_null() {
            return;
        }
        // After the list was taken: all on it were unlinked before.
        let unseen = unseen();
        while let Some(first) = NonNull::new(cursor) {
            // SAFETY: boxes on the list live, and those that were taken from it are ours.
            let leftover = unsafe { first.as_ref() }.leftover();
            // ORDERING: Relaxed. The chain is private.
            cursor = leftover.next.load(Ordering::Relaxed);
            if unseen(leftover.stamp.get()) {
                // SAFETY: a leaked box (`keep`), off all lists, and nobody walks who could have seen it.
                drop(unsafe { Box::from_raw(first.as_ptr()) });
                // ORDERING: Relaxed. A count.
                self.kept.fetch_sub(1, Ordering::Relaxed);
            } else {
                self.add(first);
            }
        }
    }
}

impl<T: Outgrows> Drop for Outgrown<T> {
    fn drop(&mut self) {
        self.free(|| |_| true); // nobody else is left
    }
}
