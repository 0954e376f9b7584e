//! Schemes C, D and E: a hazard for a short read, an era for a pin, own lists of retired nodes.
//!
//! A reader makes its protection visible and *then* reads the slot. A scan takes nodes that were
//! unlinked, *then* fences, and reads the protections. One of the two sees the other.
//!
//! | | visible before the read by | and before the protections are read by |
//! |---|---|---|
//! | C, D | `swap(SeqCst)` of the hazard, `fence(SeqCst)` after the era | `fence(SeqCst)` |
//! | E | program order: Release store, compiler fence | `membarrier`, a fence in every thread |

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, compiler_fence, fence};

use crossbeam_utils::CachePadded;

use super::barrier::fence_all_threads;
use super::debt::Debt;
use super::node::{self, Chain, Node, Pool, Stack};
use super::scheme::{Pinned, Scheme};
use super::seat::{NOBODY, SEATS, seat, seats_used};

#[repr(align(128))]
struct Record {
    /// Null, or the node that the owner's short read uses.
    hazard: AtomicPtr<Node>,
    /// 0, or the era in which the owner's pin began.
    era: AtomicU64,
    pins: Cell<usize>,
    /// Retired and not stamped: the owner's alone, or everybody's (`SHARED`).
    fresh: Cell<Chain>,
    fresh_shared: Stack,
    fresh_len: Cell<usize>,
    /// Stamped, and still in use when last looked at.
    old: Stack,
    /// The oldest pin at the owner's last sweep of `old`.
    swept_for: Cell<u64>,
    pool: Pool,
}

/// `ERA`: has pins that span slots. `BARRIER`: fences by `membarrier`. `BATCH`: retirements
/// between scans. `SHARED`: others may collect a thread's fresh nodes, at one RMW a retirement.
pub(super) struct Hazards<
    const ERA: bool,
    const BARRIER: bool,
    const BATCH: usize,
    const SHARED: bool = true,
> {
    slots: Box<[AtomicPtr<Node>]>,
    records: Box<[Record]>,
    era: CachePadded<AtomicU64>,
    /// The oldest pin when all lists were swept last.
    swept_for: CachePadded<AtomicU64>,
    debt: Debt,
}

// SAFETY: a record's cells are touched only by the thread on its seat (`own`), or with `&mut
// self`; seats are handed over with Release and Acquire. The rest is atomics, and nodes whose
// contents are Send and Sync.
unsafe impl<const E: bool, const B: bool, const N: usize, const S: bool> Sync
    for Hazards<E, B, N, S>
{
}
// SAFETY: as above; nothing is tied to the thread that made it.
unsafe impl<const E: bool, const B: bool, const N: usize, const S: bool> Send
    for Hazards<E, B, N, S>
{
}

/// What readers protect, as of a moment after the fence.
struct InUse {
    hazards: [*mut Node; SEATS],
    len: usize,
    /// `u64::MAX` if there is no pin.
    oldest_pin: u64,
}

impl<const ERA: bool, const BARRIER: bool, const BATCH: usize, const SHARED: bool>
    Hazards<ERA, BARRIER, BATCH, SHARED>
{
    #[inline(always)]
    fn own(&self) -> &Record {
        let seat = seat();
        assert!(seat != NOBODY, "the thread has no seat");
        &self.records[seat]
    }

    /// Publishes a hazard for the node in the slot and returns the node.
    #[inline(always)]
    fn protect(record: &Record, slot: &AtomicPtr<Node>) -> *mut Node {
        // ORDERING: Relaxed. A guess, confirmed below.
        let mut node = slot.load(Ordering::Relaxed);
        loop {
            if BARRIER {
                // ORDERING: Release, and no instruction: program order is all that is needed.
                // Partner: `membarrier` in `scan`. It makes this thread execute a full fence at
                // some point: before it, the store is visible to the scan; after it, the load
                // below sees the unlinking. The compiler fence keeps the two in program order.
                record.hazard.store(node, Ordering::Release);
                compiler_fence(Ordering::SeqCst);
            } else {
                // ORDERING: SeqCst. Partner: `fence(SeqCst)` in `scan`: either the scan sees the
                // hazard, or the load below sees the unlinking.
                record.hazard.swap(node, Ordering::SeqCst);
            }
            // ORDERING: SeqCst (C, D), for the reason above; it is also an Acquire, whose partner
            // is the swap in `replace`: the contents are seen. For E the Acquire would do, and
            // on x86 there is no difference.
            let now = slot.load(Ordering::SeqCst);
            if now == node {
                return node;
            }
            node = now;
        }
    }

    #[inline(always)]
    fn unprotect(record: &Record) {
        // ORDERING: Release. Partner: the Acquire load in `in_use`: what was read under the
        // hazard happens before the node is freed.
        record.hazard.store(ptr::null_mut(), Ordering::Release);
    }

    /// # Safety
    /// `node` was unlinked by the caller, who retires it once.
    #[inline]
    unsafe fn retire(&self, record: &Record, node: *mut Node) {
        self.debt.spend();
        let mut chain = if SHARED { Chain::EMPTY } else { record.fresh.get() };
        // SAFETY: by contract the node is unlinked and on no list.
        unsafe { chain.push(node) };
        if SHARED {
            record.fresh_shared.push(chain);
        } else {
            record.fresh.set(chain);
        }
        record.fresh_len.set(record.fresh_len.get() + 1);
        if record.fresh_len.get() >= BATCH {
            self.scan(record);
        }
    }

    /// Frees what can be freed of the thread's own lists.
    #[cold]
    fn scan(&self, record: &Record) {
        record.fresh_len.set(0);
        let fresh =
            if SHARED { record.fresh_shared.take() } else { record.fresh.replace(Chain::EMPTY) };
        let walk = self.is_worth_a_walk(record.swept_for.get());
        let old = if walk { record.old.take() } else { Chain::EMPTY };
        let oldest_pin = self.sweep(record, fresh, old);
        if walk {
            record.swept_for.set(oldest_pin);
        }
    }

    /// Frees what can be freed of all lists, or (not `SHARED`) of the thread's own.
    #[cold]
    fn scan_all(&self) {
        let record = self.own();
        if !SHARED {
            return self.scan(record);
        }
        record.fresh_len.set(0);
        // ORDERING: Relaxed, here and below. A hint that saves a walk.
        let walk = self.is_worth_a_walk(self.swept_for.load(Ordering::Relaxed));
        let (mut fresh, mut old) = (Chain::EMPTY, Chain::EMPTY);
        for other in &self.records[..seats_used()] {
            let others = if walk { other.old.take() } else { Chain::EMPTY };
            for (mut from, to) in [(other.fresh_shared.take(), &mut fresh), (others, &mut old)] {
                // SAFETY: the taken list owned its nodes, each of which moves to one other list.
                from.drain().for_each(|node| unsafe { to.push(node) });
            }
        }
        let oldest_pin = self.sweep(record, fresh, old);
        if walk {
            record.swept_for.set(oldest_pin);
            self.swept_for.store(oldest_pin, Ordering::Relaxed); // ORDERING: as above
        }
    }

    /// While the oldest pin began in era e, all that a sweep with oldest pin e left stays, and
    /// whatever came to the lists since: only a different oldest pin is worth a walk.
    fn is_worth_a_walk(&self, swept_for: u64) -> bool {
        // ORDERING: Relaxed. A guess: to be wrong costs a walk, or puts one off.
        let eras = self.records[..seats_used()].iter().map(|r| r.era.load(Ordering::Relaxed));
        !ERA || eras.filter(|&era| era != 0).min() != Some(swept_for)
    }

    fn stamp(&self, fresh: &mut Chain) {
        if ERA && !fresh.first.is_null() {
            // ORDERING: AcqRel. Partner: the Acquire load in `pin`. A pin that reads a later era
            // sees the unlinking of these nodes and cannot meet them.
            fresh.stamp(self.era.fetch_add(1, Ordering::AcqRel));
        }
    }

    /// Protections, read after a fence that comes after the unlinking of the caller's nodes.
    fn in_use(&self) -> InUse {
        if BARRIER {
            fence_all_threads();
        } else {
            // ORDERING: SeqCst. Partners: the swap in `protect`, the fence in `pin`.
            fence(Ordering::SeqCst);
        }
        let mut in_use = InUse { hazards: [ptr::null_mut(); SEATS], len: 0, oldest_pin: u64::MAX };
        for record in &self.records[..seats_used()] {
            // ORDERING: Acquire, both. Partners: the Release stores in `unprotect` and in
            // `EraPin::drop`: the reader's last access happens before a free.
            let hazard = record.hazard.load(Ordering::Acquire);
            if !hazard.is_null() {
                in_use.hazards[in_use.len] = hazard;
                in_use.len += 1;
            }
            if ERA {
                let era = record.era.load(Ordering::Acquire);
                if era != 0 {
                    in_use.oldest_pin = in_use.oldest_pin.min(era);
                }
            }
        }
        in_use
    }

    /// Frees each node that is not in use; the others go to `record.old`. Returns the oldest pin.
    fn sweep(&self, record: &Record, mut fresh: Chain, mut old: Chain) -> u64 {
        self.stamp(&mut fresh);
        // The nodes were taken before the protections are read. The other way round, a node that
        // was unlinked in between would be judged by protections older than its unlinking.
        let in_use = self.in_use();
        let hazards = &in_use.hazards[..in_use.len];
        let (mut kept, mut freed) = (Chain::EMPTY, 0);
        for node in fresh.drain().chain(old.drain()) {
            // SAFETY: the node was on a chain of ours, hence so is its stamp.
            let pinned = ERA && unsafe { (*node).stamp } >= in_use.oldest_pin;
            // SAFETY: the node is ours and moves to one list, or: it is unlinked, in no hazard
            // and older than every pin, hence unreachable, and freed once.
            unsafe {
                if pinned || hazards.contains(&node) {
                    kept.push(node);
                } else {
                    record.pool.free(node);
                    freed += 1;
                }
            }
        }
        record.old.push(kept);
        self.debt.repay(freed);
        in_use.oldest_pin
    }
}

impl<const ERA: bool, const BARRIER: bool, const BATCH: usize, const SHARED: bool> Scheme
    for Hazards<ERA, BARRIER, BATCH, SHARED>
{
    const SPANS: bool = ERA;
    type Pin<'s> = Pin<'s, ERA, BARRIER, BATCH, SHARED>;

    fn new(slots: usize, limit: Option<usize>) -> Self {
        let record = |_| Record {
            hazard: AtomicPtr::new(ptr::null_mut()),
            era: AtomicU64::new(0),
            pins: Cell::new(0),
            fresh: Cell::new(Chain::EMPTY),
            fresh_shared: Stack::new(),
            fresh_len: Cell::new(0),
            old: Stack::new(),
            swept_for: Cell::new(0),
            pool: Pool::new(),
        };
        Self {
            slots: node::filled(slots),
            records: (0..SEATS).map(record).collect(),
            era: CachePadded::new(AtomicU64::new(1)),
            swept_for: CachePadded::new(AtomicU64::new(0)),
            debt: Debt::new(limit),
        }
    }

    #[inline]
    fn read(&self, index: usize) -> u64 {
        let record = self.own();
        let node = Self::protect(record, &self.slots[index]);
        // SAFETY: the hazard names the node, which was in its slot afterwards: no scan that took
        // it since has missed the hazard.
        let seen = unsafe { node::read(node) };
        Self::unprotect(record);
        seen
    }

    #[inline]
    fn pin(&self, index: usize) -> Self::Pin<'_> {
        let record = self.own();
        let pins = record.pins.get();
        record.pins.set(pins + 1);
        if ERA && pins == 0 {
            // ORDERING: Acquire. Partner: the `fetch_add` in `stamp`.
            let era = self.era.load(Ordering::Acquire);
            // ORDERING: Relaxed, then a SeqCst fence (D) or program order (E). Partner: the fence
            // in `in_use`: the scan sees the pin, or all reads from here on see its unlinkings.
            record.era.store(era, Ordering::Relaxed);
            if BARRIER {
                compiler_fence(Ordering::SeqCst);
            } else {
                fence(Ordering::SeqCst);
            }
        }
        let mut pin = Pin { array: self, record };
        if !ERA {
            pin.read(index);
        }
        pin
    }

    #[inline]
    fn replace(&self, index: usize, key: u64, compare: bool) -> bool {
        if !self.debt.admit(|| self.scan_all()) {
            return false;
        }
        let record = self.own();
        let new = record.pool.make(key);
        let slot = &self.slots[index];
        if compare {
            let old = Self::protect(record, slot);
            // SAFETY: as in `read`.
            std::hint::black_box(unsafe { node::read(old) });
        }
        // ORDERING: AcqRel. Release: the contents are seen by who loads the slot. Acquire:
        // partner is the Release of whoever put `old` in, whose writes precede its freeing.
        let old = slot.swap(new, Ordering::AcqRel);
        if compare {
            Self::unprotect(record);
        }
        // SAFETY: the swap unlinked it, and handed it to us alone.
        unsafe { self.retire(record, old) };
        true
    }
}

impl<const E: bool, const B: bool, const N: usize, const S: bool> Drop for Hazards<E, B, N, S> {
    fn drop(&mut self) {
        for record in &self.records {
            let lists = [record.fresh.get(), record.fresh_shared.take(), record.old.take()];
            for mut list in lists {
                // SAFETY: `&mut self`: no reader is left; each node is on one list.
                list.drain().for_each(|node| unsafe { node::discard(node) });
            }
        }
        for slot in &mut self.slots {
            // SAFETY: as above; a node in a slot is on no list.
            unsafe { node::discard(*slot.get_mut()) };
        }
    }
}

/// D, E: an era, under which every slot may be read. C: the hazard, kept on the slot read last.
pub(super) struct Pin<'s, const E: bool, const B: bool, const N: usize, const S: bool> {
    array: &'s Hazards<E, B, N, S>,
    record: &'s Record,
}

impl<const E: bool, const B: bool, const N: usize, const S: bool> Pinned for Pin<'_, E, B, N, S> {
    #[inline]
    fn read(&mut self, index: usize) -> u64 {
        let slot = &self.array.slots[index];
        let node = if E {
            // ORDERING: Acquire. Partner: the swap in `replace`: the contents are seen.
            slot.load(Ordering::Acquire)
        } else {
            Hazards::<E, B, N, S>::protect(self.record, slot)
        };
        // SAFETY: E: the era was published before the slot was read, so that a node that is
        // retired since is stamped with it or a later one, and kept. Else as in `Scheme::read`;
        // no reference outlives the call, so that another read may take the hazard over.
        unsafe { node::read(node) }
    }
}

impl<const E: bool, const B: bool, const N: usize, const S: bool> Drop for Pin<'_, E, B, N, S> {
    #[inline]
    fn drop(&mut self) {
        let pins = self.record.pins.get() - 1;
        self.record.pins.set(pins);
        if E && pins == 0 {
            // ORDERING: Release. Partner: the Acquire load in `in_use`.
            self.record.era.store(0, Ordering::Release);
        }
        if !E {
            Hazards::<E, B, N, S>::unprotect(self.record);
        }
    }
}
