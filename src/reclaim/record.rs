//! What does one thread own in one cache? Its hazard, its pin, its retired blocks, its counters.
//!
//! Records live in chunks of doubling size, found from the thread's ticket without a lock. A record
//! belongs to the thread that sits on its number; the seat's hand-over (`thread_id`) orders the
//! accesses of successive owners.

use std::cell::Cell;
use std::ptr;

use crate::advice::Hint;
use crate::counter::OwnedWord;
use crate::reclaim::LOOKING;
use crate::reclaim::fresh::Fresh;
use crate::reclaim::protect::Reach;
use crate::reclaim::slab::Share;
use crate::sync::{AtomicPtr, AtomicU64, MODEL, Ordering};
use crate::thread_id::{self, Ticket};

/// Chunks of records: those that a ticket can name, less in a model, whose threads are few.
const CHUNKS: usize = if MODEL { 4 } else { thread_id::CHUNKS };

/// One thread's part of one domain. `L` is what the layer above keeps per thread.
///
/// | word | written by | read by | meaning |
/// |---|---|---|---|
/// | `hazard` | owner | collectors | null, or the one block that the owner's short read uses |
/// | `pin` | owner | collectors | 0, or `PINNED \| era`: the era in which the owner's pin began |
/// | `nested` | owner | collectors | the same, for an operation inside another one's user code |
/// | `walk` | owner | who frees segments | the same, for a look at what may be unlinked and freed but blocks; with `LOOKING` if a look-up says so |
/// | `fenced` | owner | collectors | how many of its reads were fenced (`fences`) |
/// | `fresh` | owner fills, anybody empties | both | unlinked blocks, see `fresh` |
/// | `retired` | owner pushes, anybody takes all | both | those that a reader kept, or had no place in `fresh` |
/// | `slabs` | owner fills, anybody empties | both | see `slab` |
/// | cells | owner | owner | bookkeeping |
#[repr(C, align(128))]
pub(crate) struct Record<N, L> {
    pub(super) hazard: AtomicPtr<N>,
    pub(super) pin: AtomicU64,
    pub(super) nested: AtomicU64,
    /// How many pins of the owner are alive: of users, who may forget as many as they like, of nested operations
    /// and of walks.
    pins: Cell<u64>,
    nested_pins: Cell<u32>,
    walks: Cell<u32>,
    /// Set while the owner collects, so that a destructor that uses the cache does not recurse.
    pub(super) collecting: Cell<bool>,
    /// Whether credit was scarce when it was taken, and must go back at the end of the operation.
    pub(super) tight: Cell<bool>,
    /// How many reads the owner has fenced; it wraps (`fences`).
    pub(super) fenced: Hint,
    pub(crate) local: L,

    pub(super) fresh: Fresh<N>,
    pub(super) retired: AtomicPtr<N>,
    /// How many blocks the owner pushed since its last collection.
    pub(super) retired_len: Cell<u32>,
    /// How many blocks are in `free`.
    pub(super) free_len: Cell<u32>,
    /// Units of debt that the owner has reserved and not used. Read by all, for statistics, and where blocks are weighed to
    /// tell whether too much waits.
    pub(super) credit: OwnedWord,
    /// Blocks free for reuse.
    pub(super) free: Cell<*mut N>,
    pub(super) slabs: Share<N>,
    pub(super) walk: AtomicU64,
}

// SAFETY: the cells and `local` are touched only through `Owner`, which is `!Send` and made for
// the thread that sits on the record's number; seats are handed over with Release/Acquire. The
// atomics are shared by design. `N` and `L` are reachable through it, hence the bounds.
unsafe impl<N: Send, L: Send + Sync> Sync for Record<N, L> {}
// SAFETY: as above; nothing in a record is tied to the thread that created it.
unsafe impl<N: Send, L: Send> Send for Record<N, L> {}

impl<N, L: Default> Record<N, L> {
    fn new() -> Self {
        Self {
            hazard: AtomicPtr::new(ptr::null_mut()),
            pin: AtomicU64::new(0),
            nested: AtomicU64::new(0),
            pins: Cell::new(0),
            nested_pins: Cell::new(0),
            walks: Cell::new(0),
            collecting: Cell::new(false),
            tight: Cell::new(false),
            fenced: Hint::default(),
            local: L::default(),
            fresh: Fresh::new(),
            retired: AtomicPtr::new(ptr::null_mut()),
            retired_len: Cell::new(0),
            free_len: Cell::new(0),
            credit: OwnedWord::default(),
            free: Cell::new(ptr::null_mut()),
            slabs: Share::default(),
            walk: AtomicU64::new(0),
        }
    }

    /// How many pins of this reach the owner has.
    pub(super) fn pins(&self, reach: Reach) -> u64 {
        match reach {
            Reach::Entries => self.pins.get(),
            Reach::Blocks => u64::from(self.nested_pins.get()),
            Reach::Segments => u64::from(self.walks.get()),
        }
    }

    pub(super) fn set_pins(&self, reach: Reach, pins: u64) {
        match reach {
            Reach::Entries => self.pins.set(pins),
            // As many as operations are nested in each other, on one stack.
            Reach::Blocks => self.nested_pins.set(pins as u32),
            Reach::Segments => self.walks.set(pins as u32),
        }
    }

    /// Whether what a pin of this reach would say is said already, by a look-up that it is inside of.
    #[inline]
    pub(super) fn is_looking(&self, reach: Reach) -> bool {
        // ORDERING: Relaxed. A thread reads its own word.
        reach == Reach::Segments && self.walk.load(Ordering::Relaxed) & LOOKING != 0
    }

    /// Where pins of this reach are published.
    pub(super) fn pin_word(&self, reach: Reach) -> &AtomicU64 {
        match reach {
            Reach::Entries => &self.pin,
            Reach::Blocks => &self.nested,
            Reach::Segments => &self.walk,
        }
    }
}

/// The growing array of all records of a domain.
pub(crate) struct Records<N, L> {
    chunks: [AtomicPtr<Record<N, L>>; CHUNKS],
}

impl<N, L: Default> Records<N, L> {
    pub(super) fn new() -> Self {
        Self { chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// The running thread's record.
    #[inline(always)]
    pub(super) fn mine(&self) -> &Record<N, L> {
        let ticket = thread_id::ticket();
        self.of(ticket).unwrap_or_else(|| self.first_use())
    }

    /// The record of a thread, if its chunk is there. A thread without a seat has none.
    #[inline(always)]
    fn of(&self, ticket: Ticket) -> Option<&Record<N, L>> {
        // ORDERING: SeqCst. Partner: the exchange in `grow`; the records are initialised. And not Acquire alone, so that
        // also where another thread has made the chunk that exchange is before what this one publishes in it, in the
        // single total order; it is the same instruction.
        let base = self.chunks[ticket.chunk() % CHUNKS].load(Ordering::SeqCst);
        // SAFETY: a chunk that is not null has `1 << chunk` records and lives as long as `self`,
        // and the place of a ticket is below that (in a model, where the chunk is taken modulo, no
        // ticket names one beyond).
        (!base.is_null()).then(|| unsafe { &*base.add(ticket.place()) })
    }

    /// The thread has no seat yet, or its chunk is missing in this domain.
    #[cold]
    fn first_use(&self) -> &Record<N, L> {
        let ticket = thread_id::seated();
        self.of(ticket).unwrap_or_else(|| {
            // SAFETY: as in `of`.
            unsafe { &*self.grow(ticket.chunk() % CHUNKS).add(ticket.place()) }
        })
    }

    fn grow(&self, chunk: usize) -> *mut Record<N, L> {
        let fresh: Box<[Record<N, L>]> = (0..1 << chunk).map(|_| Record::new()).collect();
        let fresh = Box::into_raw(fresh).cast::<Record<N, L>>();
        // ORDERING: SeqCst on success. Partners: the load in `of` (initialisation), and
        // `Fences::after_unlinking`: a collector that misses this chunk has fenced, or made all pass a barrier, before
        // this exchange, hence before any hazard that is published in it, whose owner therefore
        // sees the unlinking. Acquire on failure, to use the other thread's chunk.
        match self.chunks[chunk].compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::SeqCst,
            Ordering::Acquire,
        ) {
            Ok(_) => fresh,
            Err(theirs) => {
                // SAFETY: `fresh` came from `Box::into_raw` just above and was not shared.
                drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(fresh, 1 << chunk)) });
                theirs
            }
        }
    }

    /// All records that any thread may use, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record<N, L>> + Clone {
        self.chunks.iter().enumerate().flat_map(|(chunk, base)| {
            // ORDERING: Acquire. Partner: the exchange in `grow`.
            let base = base.load(Ordering::Acquire);
            let len = if base.is_null() { 0 } else { 1 << chunk };
            // SAFETY: a chunk that is not null has that many records and lives as long as `self`.
            (0..len).map(move |offset| unsafe { &*base.add(offset) })
        })
    }
}

impl<N, L> Drop for Records<N, L> {
    fn drop(&mut self) {
        for (chunk, base) in self.chunks.iter().enumerate() {
            // ORDERING: Relaxed. `&mut self`: no other thread is left.
            let base = base.load(Ordering::Relaxed);
            if !base.is_null() {
                let slice = ptr::slice_from_raw_parts_mut(base, 1 << chunk);
                // SAFETY: made by `Box::into_raw` of a slice of this length in `grow`.
                drop(unsafe { Box::from_raw(slice) });
            }
        }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::local::Local;

    /// So that a hit finds its record by a shift: any other size costs it two instructions.
    #[test]
    fn a_record_is_a_power_of_two_in_size() {
        assert_eq!(size_of::<Record<u8, Local>>(), 1024);
    }
}
