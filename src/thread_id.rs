//! Who am I? A small number for the running thread, unique among the threads that live.
//!
//! Numbers are dense and reused, so that a cache can keep one record per number in a short array.
//! A thread takes a *seat* on its first use of any cache and leaves it when it ends. Seats are a
//! lock-free list that only grows, to the largest number of threads that ever lived together.
//!
//! | state of a seat | who may leave it | by |
//! |---|---|---|
//! | free | any thread that needs one | compare-exchange `false -> true`, Acquire |
//! | taken | the thread that took it, at its end | store `false`, Release |

#[cfg(not(all(hotset_loom, feature = "loom")))]
mod seats {
    use super::{FIRST_TICKET, NO_TICKET};
    use crate::sync::{AtomicPtr, AtomicUsize, Ordering, thread_local};
    use std::cell::Cell;
    use std::ptr;
    use std::sync::atomic::AtomicBool;

    struct Seat {
        taken: AtomicBool,
        index: usize,
        next: *const Seat,
    }

    static SEATS: AtomicPtr<Seat> = AtomicPtr::new(ptr::null_mut());
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        /// No destructor, hence readable in every phase of a thread's life at the price of a load.
        static TICKET: Cell<usize> = const { Cell::new(NO_TICKET) };
        static LEAVE: Leave = const { Leave(Cell::new(None)) };
    }

    /// Gives the seat back when the thread ends.
    struct Leave(Cell<Option<&'static Seat>>);

    impl Drop for Leave {
        fn drop(&mut self) {
            if let Some(seat) = self.0.get() {
                TICKET.set(NO_TICKET);
                // ORDERING: Release. Partner: the Acquire exchange in `sit`. All that this
                // thread wrote to its records happens before the next owner reads them.
                seat.taken.store(false, Ordering::Release);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn ticket() -> usize {
        TICKET.get()
    }

    #[inline]
    pub(crate) fn seated() -> usize {
        let ticket = TICKET.get();
        if ticket != NO_TICKET { ticket } else { sit() }
    }

    #[cold]
    fn sit() -> usize {
        let seat = find_free().unwrap_or_else(add);
        let ticket = seat.index + FIRST_TICKET;
        TICKET.set(ticket);
        // A thread that first uses a cache inside a destructor of its own thread-locals, after
        // ours has run, keeps the seat for ever: one record per cache, no more.
        let _ = LEAVE.try_with(|leave| leave.0.set(Some(seat)));
        ticket
    }

    fn find_free() -> Option<&'static Seat> {
        // ORDERING: Acquire. Partner: the Release exchange in `add`; the seat's fields are seen.
        let mut cursor: *const Seat = SEATS.load(Ordering::Acquire);
        // SAFETY: seats are leaked boxes: once in the list they live for ever, and `next` is
        // written before they enter it.
        while let Some(seat) = unsafe { cursor.as_ref() } {
            // ORDERING: Acquire on success. Partner: the Release store in `Leave::drop`. Relaxed
            // on failure: nothing is read from a seat that somebody else holds.
            let claim =
                seat.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_ok() {
                return Some(seat);
            }
            cursor = seat.next;
        }
        None
    }

    fn add() -> &'static Seat {
        // ORDERING: Relaxed. Only uniqueness is needed, which every RMW gives.
        let index = COUNT.fetch_add(1, Ordering::Relaxed);
        assert!(index < crate::slot::MAX_THREADS, "more threads use hotset than it can number");
        let seat =
            Box::leak(Box::new(Seat { taken: AtomicBool::new(true), index, next: ptr::null() }));
        // ORDERING: Relaxed. The exchange below validates the value; it is not dereferenced here.
        let mut head = SEATS.load(Ordering::Relaxed);
        loop {
            seat.next = head;
            // ORDERING: Release on success. Partner: the Acquire load in `find_free`. Acquire is
            // not needed: `next` is followed only by those who loaded the head with Acquire, and
            // each push continues the release sequence of the one before.
            match SEATS.compare_exchange_weak(head, seat, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return seat,
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(all(hotset_loom, feature = "loom"))]
mod seats {
    use crate::sync::thread_local;
    use std::cell::Cell;

    // LOOM: model threads are few and short-lived, so they are numbered as they come, and the
    // numbering starts anew with each execution. This is bookkeeping of the checker and is not
    // part of what is checked, hence std. All threads of a model run on one system thread, and
    // other models on others.
    std::thread_local! {
        static NEXT: Cell<usize> = const { Cell::new(0) };
    }

    thread_local! {
        static TICKET: usize = super::FIRST_TICKET + NEXT.replace(NEXT.get() + 1);
    }

    pub(crate) fn ticket() -> usize {
        TICKET.with(|ticket| *ticket)
    }

    pub(crate) fn seated() -> usize {
        ticket()
    }

    pub(crate) fn reset() {
        NEXT.set(0);
    }
}

/// The running thread's number.
#[inline]
pub(crate) fn index() -> usize {
    seated() - FIRST_TICKET
}

/// The ticket of thread number 0. A ticket is a thread's number plus this, so that the highest
/// bit of a ticket says which chunk of records it belongs to (`reclaim::record`).
pub(crate) const FIRST_TICKET: usize = 4;

#[cfg_attr(all(hotset_loom, feature = "loom"), allow(dead_code))]
/// The ticket of a thread without a seat: its highest bit is one that no thread's ticket has.
pub(crate) const NO_TICKET: usize = crate::slot::MAX_THREADS << 2;

#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use seats::reset;
/// `ticket`: the running thread's ticket, or `NO_TICKET` if it has no seat yet.
/// `seated`: its ticket, after it has taken a seat.
pub(crate) use seats::{seated, ticket};
