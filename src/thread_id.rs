//! Who am I? A small number for the running thread, unique among the threads that live.
//!
//! Numbers are dense and reused, so that a cache can keep one record per number in a short array.
//! A thread takes a *seat* on its first use of any cache and leaves it when it ends. Seats are a
//! lock-free list that only grows, to the largest number of threads that ever lived together.
//!
//! | state of a seat | who may leave it | by |
//! |---|---|---|
//! | free | any thread that needs one | compare-exchange `false -> true`, Acquire |
//! | taken | the thread that took it, at its end, unless it has a pin alive | store `false`, Release |

#[cfg(not(all(hotset_loom, feature = "loom")))]
mod seats {
    use super::Ticket;
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
        static TICKET: Cell<Ticket> = const { Cell::new(Ticket::NONE) };
        static LEAVE: Leave = const { Leave(Cell::new(None)) };
        /// For a thread that uses a cache in a destructor that runs after that of `LEAVE`.
        static LEAVE_LATE: Leave = const { Leave(Cell::new(None)) };
        /// How many records this thread has a pin published in.
        static PINS: Cell<usize> = const { Cell::new(0) };
        /// The seat that this thread will leave with its last pin.
        static LEFT: Cell<Option<&'static Seat>> = const { Cell::new(None) };
    }

    /// Gives the seat back when the thread ends.
    struct Leave(Cell<Option<&'static Seat>>);

    impl Drop for Leave {
        fn drop(&mut self) {
            if let Some(seat) = self.0.get() {
                // With a pin alive, in a thread-local that goes later, the thread still uses its
                // records: the last pin gives the seat up. A forgotten pin keeps it for ever.
                if PINS.get() > 0 {
                    LEFT.set(Some(seat));
                    return;
                }
                leave(seat);
            }
        }
    }

    fn leave(seat: &Seat) {
        TICKET.set(Ticket::NONE);
        // ORDERING: Release. Partner: the Acquire exchange in `find_free`. All that this thread
        // wrote to its records happens before the next owner reads them.
        seat.taken.store(false, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn ticket() -> Ticket {
        TICKET.get()
    }

    #[inline]
    pub(crate) fn seated() -> Ticket {
        let ticket = TICKET.get();
        if ticket != Ticket::NONE { ticket } else { sit() }
    }

    /// The running thread has published a pin in one of its records.
    pub(crate) fn pinned() {
        PINS.set(PINS.get() + 1);
    }

    /// It has withdrawn one, and does not use that record any more.
    pub(crate) fn unpinned() {
        PINS.set(PINS.get() - 1);
        if PINS.get() == 0
            && let Some(seat) = LEFT.take()
        {
            leave(seat);
        }
    }

    #[cold]
    fn sit() -> Ticket {
        let seat = find_free().unwrap_or_else(add);
        let ticket = Ticket::new(seat.index);
        TICKET.set(ticket);
        // A thread that uses caches even in a destructor that runs after both of ours keeps the
        // seat for ever.
        let late = || LEAVE_LATE.try_with(|leave| leave.0.set(Some(seat)));
        let _ = LEAVE.try_with(|leave| leave.0.set(Some(seat))).or_else(|_| late());
        ticket
    }

    /// Takes the free seat with the lowest number: caches have records for all numbers up to the
    /// highest that has used them.
    fn find_free() -> Option<&'static Seat> {
        loop {
            let seat = lowest_free()?;
            // ORDERING: Acquire on success. Partner: the Release store in `leave`. Relaxed on
            // failure: nothing is read from a seat that somebody else holds.
            let claim =
                seat.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_ok() {
                return Some(seat);
            }
        }
    }

    fn lowest_free() -> Option<&'static Seat> {
        // ORDERING: Acquire. Partner: the Release exchange in `add`; the seat's fields are seen.
        let mut cursor: *const Seat = SEATS.load(Ordering::Acquire);
        let mut lowest: Option<&Seat> = None;
        // SAFETY: seats are leaked boxes: once in the list they live for ever, and `next` is
        // written before they enter it.
        while let Some(seat) = unsafe { cursor.as_ref() } {
            // ORDERING: Relaxed. Confirmed by the exchange in `find_free`.
            let free = !seat.taken.load(Ordering::Relaxed);
            if free && lowest.is_none_or(|lowest| seat.index < lowest.index) {
                lowest = Some(seat);
            }
            cursor = seat.next;
        }
        lowest
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
        static TICKET: super::Ticket = super::Ticket::new(NEXT.replace(NEXT.get() + 1));
    }

    pub(crate) fn ticket() -> super::Ticket {
        TICKET.with(|ticket| *ticket)
    }

    pub(crate) fn seated() -> super::Ticket {
        ticket()
    }

    // LOOM: model threads do not hand over their numbers.
    pub(crate) fn pinned() {}

    pub(crate) fn unpinned() {}

    pub(crate) fn reset() {
        NEXT.set(0);
    }
}

/// A thread's number in the form in which it is looked up on every operation: where its records are,
/// chunk `c` having those of `1 << c` threads.
///
/// ```text
///  63              8 7      0
/// +-----------------+--------+
/// | place in chunk  | chunk  |
/// +-----------------+--------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

impl Ticket {
    /// That of a thread without a seat: it names a chunk that never exists.
    #[cfg_attr(all(hotset_loom, feature = "loom"), allow(dead_code, reason = "all have one"))]
    pub(crate) const NONE: Self = Self(CHUNKS - 1);

    /// That of thread number `index`.
    pub(crate) const fn new(index: usize) -> Self {
        let spread = index + FIRST;
        let chunk = spread.ilog2() as usize;
        Self((spread ^ 1 << chunk) << 8 | chunk)
    }

    #[inline]
    fn index(self) -> usize {
        (self.place() | 1 << self.chunk()) - FIRST
    }

    #[inline(always)]
    pub(crate) fn chunk(self) -> usize {
        self.0 % CHUNKS
    }

    #[inline(always)]
    pub(crate) fn place(self) -> usize {
        self.0 >> 8
    }
}

/// Chunks that a thread's number can name; a power of two, so that a mask bounds it.
pub(crate) const CHUNKS: usize = 32;

/// Thread 0 is where chunk `log2 FIRST` begins, so that the smallest chunk has this many.
const FIRST: usize = 4;

const _: () = assert!(Ticket::new(crate::slot::MAX_THREADS - 1).0 % 256 < CHUNKS - 1);

/// The running thread's number.
#[inline]
pub(crate) fn index() -> usize {
    seated().index()
}

#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use seats::reset;
/// `ticket`: the running thread's ticket, or `Ticket::NONE` if it has no seat yet.
/// `seated`: its ticket, after it has taken a seat.
/// `pinned`, `unpinned`: keep the seat while the thread has a pin.
pub(crate) use seats::{pinned, seated, ticket, unpinned};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_place() {
        let mut expected = (FIRST.ilog2() as usize, 0);
        for index in 0..100_000 {
            let ticket = Ticket::new(index);
            assert_eq!((ticket.chunk(), ticket.place()), expected);
            assert_eq!(ticket.index(), index);
            expected.1 += 1;
            if expected.1 == 1 << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }
}
