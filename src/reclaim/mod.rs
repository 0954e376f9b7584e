//! When may a block be reused? Hazards for short reads, eras for pins, a bound on what waits.
//!
//! A block that has been unlinked may still be read by others. It is *retired*: put into the queue
//! of its thread's record (`fresh`), and reused only when
//!
//! 1. no record's `hazard` names it (M. Michael, "Hazard Pointers", 2004): a thread that is
//!    stopped in the middle of a `get` holds back *one* block, not all that are retired while it
//!    is away, which is what an epoch does and why a strict bound and an epoch exclude each other;
//! 2. no record's `pin` is as old as its retirement (an epoch, for [`Pin`] only: many reads under
//!    one fence, at the price that all retired since then is held back).
//!
//! ```text
//!              retire()                      collect()
//!  in a slot ----------> in record.fresh -------------> stamped, private to the collector
//!     ^     (unlinked by CAS,                               |           |
//!     |      last owner let go)  in a hazard: record.retired|           | nobody can see it:
//!     |                  under a pin: to the domain's kept  |           | contents dropped
//!     |                                    <----------------+           v
//!     +---------------------------------------------------------- free list / slab
//! ```
//!
//! What is not a block and is looked at without a hazard, segments of a table, waits for pins alone: those above, or
//! ones that keep nothing else (`Walker`). It is stamped and kept by whoever has it ([`Owner::stamp`],
//! [`Owner::unseen`]).
//!
//! The argument, with its partners: a reader makes its protection visible and *then* reads the
//! slot; a collector's blocks were unlinked and *then* it reads the protections. One of the two must see the other,
//! for which readers fence, or collectors make all threads pass a barrier (`fences`). A reader that sees the
//! unlinking does not touch the block; a collector that sees the protection keeps it.
//!
//! What waits is counted (`debt`) and bounded: see [`Owner::admit`]. Any thread may take any
//! record's whole list and collect it, so nothing is ever stuck with an idle or dead thread.
//!
//! Models: `loom-tests/tests/reclaim.rs`. Figures against crossbeam-epoch: ARCHITECTURE.md.

mod block;
mod fences;
mod fresh;
mod owner;
mod protect;
mod record;
mod slab;

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, MODEL, Ordering};
use fences::Fences;
use record::{Record, Records};
use slab::Share;
#[cfg(not(all(hotset_loom, feature = "loom")))]
use slab::Slabs;

pub(crate) use block::{Block, Kind};
pub(crate) use owner::Owner;
pub(crate) use protect::{Hazard, Pin, Protect, Reader, Shelter, Walk, Walker};
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use slab::{Share as ShareOfSlabs, Slabs};

/// In a published pin: the low 32 bits are an era.
const PINNED: u64 = 1 << 32;
/// And in that of a walk, that it is a look-up's.
const LOOKING: u64 = 1 << 33;
/// Eras after which a pin is so old that none may begin; half of what distances can tell.
const AGES: u32 = 1 << 30;
/// Eras between two looks at the oldest pin. A divisor of 2^32.
const LOOK: u32 = 1 << 16;
/// Low bits of a retired block's link. `RETIRED` is also what a settled flight leaves there, so a
/// late joiner that reads the link of a retired block sees "settled" (see `load`).
pub(crate) const RETIRED: usize = 0b01;
/// Low bit of a retired block's link: the stamp is valid.
const STAMPED: usize = 0b10;
const LINK_TAGS: usize = 0b11;

/// What waits, and how much may: in blocks, or in their weight.
struct Debt {
    /// Retired blocks, plus the unused credit of all records.
    taken: AtomicU64,
    /// The most that `taken` may reach by admitted work; where blocks are weighed, without that credit.
    slack: AtomicU64,
}

impl Debt {
    #[inline]
    fn is_over(&self) -> bool {
        // ORDERING: Relaxed, both. Counts and a limit; nothing is concluded about blocks.
        self.taken.load(Ordering::Relaxed) > self.slack.load(Ordering::Relaxed)
    }
}

/// The reclamation of one cache. See the module.
pub(crate) struct Domain<N: Block, L: Default> {
    records: Records<N, L>,
    fences: Fences,
    /// Stamps of retirement; advances once per collection that stamps anything.
    era: CachePadded<AtomicU32>,
    debt: CachePadded<Debt>,
    /// Blocks that only a user's pin kept, of all threads.
    kept: CachePadded<AtomicPtr<N>>,
    /// The oldest pin at the time when blocks were last put on `kept`.
    kept_by: AtomicU64,
    /// 1 once the cache is gone and only handles of removed entries are left.
    closed: AtomicU32,
    kind: Kind,
    /// Where blocks come from, and go to.
    slabs: Slabs<N>,
    _blocks: PhantomData<N>,
}

// SAFETY: a domain owns retired blocks, which any thread may dispose of, and shares records,
// which are Sync under the same bounds.
unsafe impl<N: Block + Send, L: Default + Send + Sync> Sync for Domain<N, L> {}
// SAFETY: as above.
unsafe impl<N: Block + Send, L: Default + Send + Sync> Send for Domain<N, L> {}

impl<N: Block, L: Default> Domain<N, L> {
    /// A domain in which at most `slack` blocks wait, or blocks of that weight.
    pub(crate) fn new(slack: u64, kind: Kind) -> Self {
        Self {
            records: Records::new(),
            fences: Fences::new(),
            era: CachePadded::new(AtomicU32::new(0)),
            debt: CachePadded::new(Debt { taken: AtomicU64::new(0), slack: AtomicU64::new(slack) }),
            kept: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
            kept_by: AtomicU64::new(0),
            closed: AtomicU32::new(0),
            kind,
            slabs: Slabs::new(kind != Kind::Short),
            _blocks: PhantomData,
        }
    }

    /// The running thread's access.
    #[inline(always)]
    pub(crate) fn owner(&self) -> Owner<'_, N, L> {
        Owner { domain: self, record: self.records.mine(), _not_send: PhantomData }
    }

    /// What every thread keeps in this domain.
    pub(crate) fn locals(&self) -> impl Iterator<Item = &L> {
        self.records.iter().map(|record| &record.local)
    }

    /// Whether so much waits that a thread should not wait for a batch. Where blocks are weighed the slack may
    /// be that of a few, and what a collector holds that is stopped is out of reach: so before it is used up.
    #[inline]
    fn is_pressed(&self) -> bool {
        if self.kind == Kind::Weighed {
            // ORDERING: Relaxed. A limit.
            return self.waits_beyond(self.debt.slack.load(Ordering::Relaxed) / 2);
        }
        self.debt.is_over()
    }

    /// Whether more than `limit` waits, where blocks are weighed: credit that threads have does not count, since they may
    /// rest, and have had it of a larger slack. (If that was more than eight times as large, all look at all records each
    /// time, until those who rest insert, or `maintain`.)
    #[inline]
    fn waits_beyond(&self, limit: u64) -> bool {
        // ORDERING: Relaxed. A sum.
        self.debt.taken.load(Ordering::Relaxed) > limit && self.waiting() > limit
    }

    #[inline(always)]
    fn is_long(&self) -> bool {
        self.kind != Kind::Short
    }

    pub(crate) fn set_slack(&self, slack: u64) {
        // ORDERING: Relaxed. A limit that is compared with a count; nothing is published.
        self.debt.slack.store(slack, Ordering::Relaxed);
    }

    /// The cache is gone: nobody will collect any more but those who drop handles.
    pub(crate) fn close(&self) {
        // ORDERING: Relaxed. A handle that is dropped at the same time and misses it leaves its
        // block to the next one, or to the drop of the domain.
        self.closed.store(1, Ordering::Relaxed);
    }

    /// Whether the cache is gone.
    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: Relaxed, as in `close`.
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// The era with which what was unlinked before this call is stamped; the next one begins.
    ///
    /// Eras are compared by their distance, so none may begin while one as old as `AGES` is pinned:
    /// then the present one goes on, which keeps blocks longer and frees none too early. It is looked
    /// at pins once in `LOOK` eras.
    pub(crate) fn next_era(&self) -> u32 {
        // ORDERING: Relaxed. The exchange confirms it.
        let mut era = self.era.load(Ordering::Relaxed);
        loop {
            if era.is_multiple_of(LOOK) && era != 0 {
                // ORDERING: Relaxed. A pin that is missed here began just now.
                let oldest = protect::oldest_pin(&self.records, Ordering::Relaxed);
                if oldest != 0 && era.wrapping_sub(oldest as u32) >= AGES {
                    // ORDERING: AcqRel, as below: whoever begins the next era hands on this unlinking, too.
                    return self.era.fetch_add(0, Ordering::AcqRel);
                }
            }
            // ORDERING: AcqRel. Partner: the Acquire load in `publish`. Release: a pin that reads
            // the new era sees the unlinking of what the old one is stamped on.
            match self.era.compare_exchange_weak(
                era,
                era.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return era,
                Err(now) => era = now,
            }
        }
    }

    /// What all threads have of the slabs.
    fn shares(&self) -> impl Iterator<Item = &Share<N>> + Clone {
        self.records.iter().map(|record| &record.slabs)
    }

    /// Gives back what the record's thread keeps for reuse, which is the running one, or has gone.
    fn give_free(&self, record: &Record<N, L>) {
        let mut cursor = record.free.replace(ptr::null_mut());
        record.free_len.set(0);
        while let Some(block) = NonNull::new(cursor) {
            // SAFETY: blocks on a free list have no contents and belong to the record alone.
            unsafe {
                cursor = block.as_ref().link().load(Ordering::Relaxed); // ORDERING: sole owner
                self.slabs.give(block);
            }
        }
        self.slabs.give_share(&record.slabs);
    }

    /// How many blocks wait, or what they weigh. Exact in quiet moments, else a close estimate: credit that is used between
    /// the look at the debt and that at the credit waits and counts. Credit that is lent meanwhile does not, but then no more
    /// than an eighth of the slack was taken (`Owner::owe`).
    pub(crate) fn waiting(&self) -> u64 {
        // ORDERING: Relaxed. A sum; what it bounds is told, and not when a block may be reused.
        let debt = self.debt.taken.load(Ordering::Relaxed);
        let credits = self.records.iter().map(|record| record.credit.get());
        debt.saturating_sub(credits.fold(0, u64::saturating_add))
    }
}

/// Pushes the chain `first ..= last`, which is the caller's, on `list`; `link` is where an item says what follows.
pub(crate) fn push<T>(
    list: &AtomicPtr<T>,
    first: NonNull<T>,
    last: NonNull<T>,
    link: impl Fn(&T) -> &AtomicPtr<T>,
    tags: usize,
) {
    // SAFETY: the chain is ours until the exchange below succeeds.
    let link = link(unsafe { last.as_ref() });
    // ORDERING: Relaxed. Validated by the exchange; not dereferenced here.
    let mut head = list.load(Ordering::Relaxed);
    loop {
        // A planted bug makes a model fail here and not somewhere later. Whoever has what was taken from the
        // list does not see it as the head any more.
        assert!(!MODEL || head != first.as_ptr(), "something is put on a list twice");
        // ORDERING: Relaxed. Published by the exchange below.
        link.store(tagged(head, tags), Ordering::Relaxed);
        // ORDERING: Release on success. Partner: the Acquire swap in `take_list`: whoever takes
        // the list sees the links, and of retired blocks the unlinking that preceded the retirement.
        // A head that left and came back is harmless: it is the head, which is all we say.
        match list.compare_exchange_weak(head, first.as_ptr(), Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// Takes all of `list`.
pub(crate) fn take_list<T>(list: &AtomicPtr<T>) -> *mut T {
    if planted(Seed::TornList) {
        // ORDERING: of a planted bug, and not what is wrong with it.
        let head = list.load(Ordering::Acquire);
        list.store(ptr::null_mut(), Ordering::Release); // ORDERING: as above
        return head;
    }
    // ORDERING: Acquire. Partner: the Release exchange in `push` (and the store in `slab`'s `refill`).
    list.swap(ptr::null_mut(), Ordering::Acquire)
}

fn tagged<N>(pointer: *mut N, tags: usize) -> *mut N {
    pointer.map_addr(|addr| addr | tags)
}

fn untagged<N>(pointer: *mut N) -> *mut N {
    pointer.map_addr(|addr| addr & !LINK_TAGS)
}

/// Blocks that a thread retires before it collects.
const BATCH: usize = if MODEL { 1 } else { 64 };
/// Units of debt that a thread takes at once, and keeps after a collection. Where blocks are weighed, what as many weigh as
/// heavy as the one that it retires.
const CREDIT: u64 = if MODEL { 1 } else { 16 };
/// Of the slack: up to this part it is lent where blocks are weighed. The rest is for what waits, whatever threads have that
/// rest.
const PLENTY: u64 = 8;
/// How often an insert makes way for others who hold what waits, where blocks are weighed, before it is refused.
const PATIENCE: usize = if MODEL { 0 } else { 8 };
/// Whether each block comes from the allocator and goes back to it at once, so that whoever watches the allocator
/// sees each use of a block after its end. The slabs' own models say so for themselves.
const SINGLE: bool = MODEL || cfg!(hotset_single);
/// Blocks that a thread keeps for reuse.
const FREE_BLOCKS: u32 = if MODEL {
    1
} else if SINGLE {
    0
} else {
    2 * BATCH as u32
};

impl<N: Block, L: Default> Drop for Domain<N, L> {
    fn drop(&mut self) {
        for batch in self.records.iter().map(|record| record.fresh.take()) {
            for block in batch.iter() {
                // SAFETY: as below.
                unsafe {
                    N::dispose(block);
                    self.slabs.give(block);
                }
            }
        }
        let lists = self.records.iter().map(|record| &record.retired).chain([&*self.kept]);
        for mut cursor in lists.map(take_list) {
            while let Some(block) = NonNull::new(cursor) {
                // ORDERING: Relaxed. Nobody else is left.
                // SAFETY: `&mut self`: no reader is left. The block was retired, so it is
                // initialised and on one list only.
                unsafe {
                    cursor = untagged(block.as_ref().link().load(Ordering::Relaxed));
                    N::dispose(block);
                    self.slabs.give(block);
                }
            }
        }
        for record in self.records.iter() {
            self.give_free(record);
        }
        // What is not freed has a block that somebody has forgotten, with a future.
        self.slabs.free_whole(self.shares(), |_| true);
    }
}
