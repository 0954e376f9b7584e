//! Which thread is running, and how many values are alive?
//!
//! A thread takes a *seat*, a small number, before it touches an array. The number finds its
//! records and its counters, so that no counter is shared between running threads.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// Seats, of which the last is no seat.
pub(super) const SEATS: usize = 64;
/// The number of a thread without a seat. Several threads may have it.
pub(super) const NOBODY: usize = SEATS - 1;

thread_local! {
    // No destructor, hence one load in every phase of a thread's life.
    static SEAT: Cell<usize> = const { Cell::new(NOBODY) };
}

static TAKEN: AtomicU64 = AtomicU64::new(1 << NOBODY);
static USED: AtomicUsize = AtomicUsize::new(0);

/// The running thread's seat, or [`NOBODY`].
#[inline(always)]
pub(super) fn seat() -> usize {
    SEAT.get()
}

/// Seats below this number have been taken at some time.
pub(super) fn seats_used() -> usize {
    // ORDERING: Relaxed, after the caller's SeqCst fence (or membarrier). Partner: the SeqCst
    // `fetch_max` in `take`: a scan that misses a seat has fenced before its owner's first read.
    USED.load(Ordering::Relaxed)
}

/// Keeps the running thread on its seat.
pub(super) struct Seat {
    index: usize,
    _not_send: PhantomData<*mut ()>,
}

impl Seat {
    pub(super) fn take() -> Self {
        assert_eq!(SEAT.get(), NOBODY, "a thread has one seat");
        // ORDERING: Relaxed. Validated by the exchange.
        let mut taken = TAKEN.load(Ordering::Relaxed);
        loop {
            let index = taken.trailing_ones() as usize;
            assert!(index < NOBODY, "too many threads");
            // ORDERING: Acquire on success. Partner: the Release `fetch_and` in `drop`: what the
            // last owner wrote to the seat's records and counters is seen.
            match TAKEN.compare_exchange_weak(
                taken,
                taken | 1 << index,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    // ORDERING: SeqCst. Partner: see `seats_used`.
                    USED.fetch_max(index + 1, Ordering::SeqCst);
                    SEAT.set(index);
                    return Self { index, _not_send: PhantomData };
                }
                Err(now) => taken = now,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        SEAT.set(NOBODY);
        // ORDERING: Release. Partner: the Acquire exchange in `take`.
        TAKEN.fetch_and(!(1 << self.index), Ordering::Release);
    }
}

struct Count {
    born: AtomicU64,
    died: AtomicU64,
}

static COUNTS: [CachePadded<Count>; SEATS] =
    [const { CachePadded::new(Count { born: AtomicU64::new(0), died: AtomicU64::new(0) }) }; SEATS];

fn bump(pick: impl Fn(&'static Count) -> &'static AtomicU64) {
    let seat = seat();
    let word = pick(&COUNTS[seat]);
    // ORDERING: Relaxed, all. Counts. A seat's words have one writer; NOBODY's may have several.
    if seat == NOBODY {
        word.fetch_add(1, Ordering::Relaxed);
    } else {
        word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Values alive. Never overstated: births are read before deaths.
pub(super) fn live() -> usize {
    // ORDERING: Acquire, so that the births are read first. No other partner: these are counts.
    let born: u64 = COUNTS.iter().map(|count| count.born.load(Ordering::Acquire)).sum();
    let died: u64 = COUNTS.iter().map(|count| count.died.load(Ordering::Acquire)).sum();
    born.saturating_sub(died) as usize
}

/// A value that is counted from `new` to `drop`.
pub(super) struct Counted(u64);

impl Counted {
    #[inline]
    pub(super) fn new(value: u64) -> Self {
        bump(|count| &count.born);
        Self(value)
    }

    #[inline(always)]
    pub(super) fn get(&self) -> u64 {
        self.0
    }
}

impl Drop for Counted {
    #[inline]
    fn drop(&mut self) {
        bump(|count| &count.died);
    }
}
