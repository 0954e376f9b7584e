//! How do many wait for one load? The flight of a key: its waiters, and the end of their wait.
//!
//! A flight is a node whose outcome is PENDING; it is registered by its slot's state LOADING. Its
//! waiters are a lock-free list on the node's `link`:
//!
//! ```text
//!              enlist            enlist                       settle
//!  link: none ---------> waiter --------> waiter -> waiter ---------> SETTLED
//!          |                                                             ^
//!          +-------------------------------------------------------------+
//! ```
//!
//! | arrow | who | by | carries |
//! |---|---|---|---|
//! | none or waiters -> waiter | a thread with a share | exchange, Release | the waiter |
//! | -> SETTLED | the loader, after the outcome | swap, AcqRel | takes all waiters, wakes them |
//! | SETTLED -> on a list, still SETTLED | the domain, after the last share is gone | store | |
//!
//! No wake-up is lost: a waiter that enlists before the swap is in the list that the swap returns;
//! one that comes later fails to enlist and sees the outcome. The bit that says SETTLED is
//! `reclaim::RETIRED`, so it is never cleared while anybody can look.
//!
//! Waiters are `std::task::Waker`s: threads (a waker that unparks) and tasks wait in one list.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::node::Node;
use crate::reclaim::RETIRED;
use crate::seed::{Seed, planted};
use crate::sync::{Ordering, Thread, current, park};

/// One entry of a flight's list.
struct Waiter {
    waker: Waker,
    next: *mut Waiter,
}

const SETTLED: usize = RETIRED;

impl<K, V> Node<K, V> {
    /// Whether the flight is over.
    pub(crate) fn is_settled(&self) -> bool {
        // ORDERING: Acquire. Partner: the AcqRel swap in `settle`: the outcome is seen.
        self.link.load(Ordering::Acquire).addr() & SETTLED != 0
    }

    /// Adds `waker` to those that are woken when the flight is over. False if it is over.
    /// The caller has a share of the node.
    pub(crate) fn enlist(&self, waker: Waker) -> bool {
        let waiter = Box::into_raw(Box::new(Waiter { waker, next: ptr::null_mut() }));
        // ORDERING: Acquire. Partner: the swap in `settle`; whoever finds the flight settled goes
        // on to read its outcome. The same for the failure order below.
        let mut head = self.link.load(Ordering::Acquire);
        loop {
            if head.addr() & SETTLED != 0 {
                // SAFETY: made by `Box::into_raw` above and never shared.
                drop(unsafe { Box::from_raw(waiter) });
                return false;
            }
            // SAFETY: the waiter is still ours alone.
            unsafe { (*waiter).next = head.cast() };
            // ORDERING: Release on success. Partner: the Acquire half of the swap in `settle`:
            // the loader sees the waiter. Pushes continue each other's release sequences.
            match self.link.compare_exchange_weak(
                head,
                waiter.cast(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Ends the wait of all waiters, present and future.
    ///
    /// # Safety
    /// The caller is the flight's loader, has stored the outcome, and calls this once. It still
    /// has its share.
    pub(crate) unsafe fn settle(&self) {
        let settled = ptr::without_provenance_mut(SETTLED);
        // ORDERING: AcqRel. Release: partner is `is_settled` and the failing `enlist`, which then
        // see the outcome. Acquire: partner is the Release exchange of `enlist`.
        let mut next: *mut Waiter = if planted(Seed::LostWaiter) {
            let seen = self.link.load(Ordering::Acquire);
            self.link.store(settled, Ordering::Release);
            seen.cast()
        } else if planted(Seed::RelaxedOutcome) {
            self.link.swap(settled, Ordering::Acquire).cast()
        } else {
            self.link.swap(settled, Ordering::AcqRel).cast()
        };
        while let Some(waiter) = NonNull::new(next) {
            // SAFETY: a box made by `enlist`; the swap made the whole list ours.
            let waiter = unsafe { Box::from_raw(waiter.as_ptr()) };
            next = waiter.next;
            waiter.waker.wake();
        }
    }

    /// Blocks the thread until the flight is over. The caller has a share of the node.
    pub(crate) fn wait(&self) {
        if self.enlist(Waker::from(Arc::new(Unpark(current())))) {
            while !self.is_settled() {
                park();
            }
        }
    }
}

/// The waker of a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

// Loom's macro has no `const` form.
#[allow(clippy::missing_const_for_thread_local)]
mod stack {
    use std::cell::RefCell;

    crate::sync::thread_local! {
        /// The flights whose loaders are on this thread's call stack, innermost last.
        pub(super) static RUNNING: RefCell<Vec<usize>> = RefCell::new(Vec::new());
    }
}

use stack::RUNNING;

/// Marks a flight's loader as running on this thread, until dropped.
pub(crate) struct Running(());

impl Running {
    /// `flight` must stay allocated until the mark is dropped.
    pub(crate) fn enter<N>(flight: NonNull<N>) -> Self {
        // In a destructor of a thread-local that runs after ours nothing is recorded any more: a
        // loader there that asks for its own key is not found out.
        let _ = RUNNING.try_with(|running| running.borrow_mut().push(flight.addr().get()));
        Self(())
    }

    /// Whether the loader of `flight` is on this thread's call stack: waiting for it would be for
    /// ever.
    pub(crate) fn is_on_this_stack<N>(flight: NonNull<N>) -> bool {
        let this = flight.addr().get();
        RUNNING.try_with(|running| running.borrow().contains(&this)).unwrap_or(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.borrow_mut().pop());
    }
}
