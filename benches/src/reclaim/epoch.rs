//! Schemes A, B and G: crossbeam-epoch, for all reads or (G) for pins alone.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Arc, LazyLock};

use crossbeam_epoch::{Atomic, Collector, Guard, LocalHandle, Owned};

use super::debt::Debt;
use super::node::{self, Chain, Node, Pool, Stack};
use super::scheme::{Pinned, Scheme};
use super::seat::{Counted, NOBODY, SEATS, live, seat, seats_used};

/// Not crossbeam's default collector: nobody else's pin is in it.
static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::new);

thread_local! {
    static HANDLE: LocalHandle = register();
}

#[cold]
#[inline(never)]
fn register() -> LocalHandle {
    COLLECTOR.register()
}

/// As crossbeam's own `pin` does it: `with` instead of `try_with` costs 2 ns more.
#[inline(always)]
fn pin() -> Guard {
    HANDLE.try_with(LocalHandle::pin).unwrap_or_else(|_| register().pin())
}

/// One collection. Garbage is free two epochs after it was handed in, hence three steps.
fn collect() {
    for _ in 0..3 {
        pin().flush();
    }
}

/// Collects until `floor` values are alive or nothing more comes of it.
pub(super) fn drain(floor: usize) {
    for _ in 0..1_000_000 {
        if live() <= floor {
            return;
        }
        collect();
    }
}

// ---- A ----------------------------------------------------------------------------------------

/// A: `defer_destroy`, as everybody begins.
pub(super) struct Plain {
    slots: Box<[Atomic<Boxed>]>,
    /// Leaked, since deferred functions may outlive the array: 16 KiB a run.
    debt: &'static Debt,
}

struct Boxed {
    key: u64,
    value: Counted,
}

impl Boxed {
    fn new(key: u64) -> Self {
        Self { key, value: Counted::new(key >> 32) }
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        self.key ^ self.value.get()
    }
}

impl Plain {
    #[inline(always)]
    fn read_under(&self, guard: &Guard, index: usize) -> u64 {
        // ORDERING: Acquire. Partner: the swap in `replace`: the contents are seen.
        let node = self.slots[index].load(Ordering::Acquire, guard);
        // SAFETY: slots are never null; a node that was in its slot under the guard is not
        // destroyed before the guard is gone.
        unsafe { node.deref() }.read()
    }
}

impl Scheme for Plain {
    const SPANS: bool = true;
    type Pin<'s> = PlainPin<'s>;

    fn new(slots: usize, limit: Option<usize>) -> Self {
        let slots = (0..slots).map(|index| Atomic::new(Boxed::new(index as u64))).collect();
        Self { slots, debt: Box::leak(Box::new(Debt::new(limit))) }
    }

    #[inline]
    fn read(&self, index: usize) -> u64 {
        self.read_under(&pin(), index)
    }

    #[inline]
    fn pin(&self, _index: usize) -> PlainPin<'_> {
        PlainPin { array: self, guard: pin() }
    }

    #[inline]
    fn replace(&self, index: usize, key: u64, compare: bool) -> bool {
        if !self.debt.admit(collect) {
            return false;
        }
        let new = Owned::new(Boxed::new(key));
        let guard = pin();
        if compare {
            std::hint::black_box(self.read_under(&guard, index));
        }
        // ORDERING: AcqRel. Release: partner of the Acquire in `read_under`. Acquire: of the swap
        // that put the old node in.
        let old = self.slots[index].swap(new, Ordering::AcqRel, &guard);
        self.debt.spend();
        if self.debt.is_bounded() {
            let debt = self.debt;
            // SAFETY: the swap unlinked the node and handed it to us alone; the function runs
            // once, when no guard is left that could have seen the node.
            unsafe {
                guard.defer_unchecked(move || {
                    drop(old.into_owned());
                    debt.repay(1);
                });
            }
        } else {
            // SAFETY: as above.
            unsafe { guard.defer_destroy(old) };
        }
        true
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            // SAFETY: `&mut self`: no reader is left; the slot owns its node.
            drop(unsafe { std::mem::take(slot).into_owned() });
        }
    }
}

pub(super) struct PlainPin<'s> {
    array: &'s Plain,
    guard: Guard,
}

impl Pinned for PlainPin<'_> {
    #[inline]
    fn read(&mut self, index: usize) -> u64 {
        self.array.read_under(&self.guard, index)
    }
}

// ---- B and G ----------------------------------------------------------------------------------

#[repr(align(128))]
struct Record {
    /// G only: null, or the node that the owner's short read uses.
    hazard: AtomicPtr<Node>,
    /// Retired nodes that have not been handed to the collector.
    fresh: std::cell::Cell<Chain>,
    /// G only: past their epoch, and named by a hazard when last looked at.
    old: Stack,
    pool: Pool,
}

/// B (`HAZARDS` false): batches of recycled nodes, one deferred function and one flush a batch.
/// G: the same, but short reads use a hazard, which is looked at when the batch's epoch is over.
pub(super) struct Batched<const HAZARDS: bool, const BATCH: usize> {
    inner: Arc<Inner>,
}

/// Shared with the deferred functions, which may outlive the array.
struct Inner {
    slots: Box<[AtomicPtr<Node>]>,
    records: Box<[Record]>,
    debt: Debt,
}

// SAFETY: a record's cells are touched only by the thread on its seat or with `&mut self`; seats
// are handed over with Release and Acquire. The rest is atomics and nodes that are Send and Sync.
unsafe impl Sync for Inner {}
// SAFETY: as above; nothing is tied to the thread that made it.
unsafe impl Send for Inner {}

impl Inner {
    #[inline(always)]
    fn own(&self) -> &Record {
        let seat = seat();
        assert!(seat != NOBODY, "the thread has no seat");
        &self.records[seat]
    }

    /// G: publishes a hazard for the node in the slot and returns the node.
    #[inline(always)]
    fn protect(record: &Record, slot: &AtomicPtr<Node>) -> *mut Node {
        // ORDERING: Relaxed. A guess, confirmed below.
        let mut node = slot.load(Ordering::Relaxed);
        loop {
            // ORDERING: SeqCst, both. Partner: the fence in `ripen`: it sees the hazard, or the
            // load sees the unlinking. The load is also an Acquire: partner, the swap in
            // `replace`.
            record.hazard.swap(node, Ordering::SeqCst);
            let now = slot.load(Ordering::SeqCst);
            if now == node {
                return node;
            }
            node = now;
        }
    }

    #[inline(always)]
    fn unprotect(record: &Record) {
        // ORDERING: Release. Partner: the Acquire load in `ripen`.
        record.hazard.store(ptr::null_mut(), Ordering::Release);
    }

    /// No pin sees the nodes of `chain` any more. Frees what no hazard names either.
    fn ripen(&self, hazards_used: bool, mut chain: Chain) {
        let seat = seat();
        // A thread that is ending has no pool: whatever it meets goes to the allocator.
        let record = &self.records[if seat == NOBODY { 0 } else { seat }];
        let mut hazards = [ptr::null_mut(); SEATS];
        let (mut len, mut kept, mut freed) = (0, Chain::EMPTY, 0);
        // Taken before the hazards are read: what is judged was unlinked before the fence.
        let mut again = if hazards_used { record.old.take() } else { Chain::EMPTY };
        if hazards_used {
            // ORDERING: SeqCst. Partner: the swap in `protect`. The nodes were unlinked before
            // their epoch ended, which happens before this function runs.
            fence(Ordering::SeqCst);
            for record in &self.records[..seats_used()] {
                // ORDERING: Acquire. Partner: the Release store in `unprotect`.
                hazards[len] = record.hazard.load(Ordering::Acquire);
                len += usize::from(!hazards[len].is_null());
            }
        }
        for node in chain.drain().chain(again.drain()) {
            // SAFETY: the lists are ours; a node moves to one other list, or it is unlinked, past
            // its epoch and in no hazard, hence unreachable, and freed once. The pool is touched
            // only by the thread on its seat.
            unsafe {
                if hazards[..len].contains(&node) {
                    kept.push(node);
                    continue;
                }
                freed += 1;
                if seat == NOBODY {
                    node::discard(node);
                } else {
                    record.pool.free(node);
                }
            }
        }
        record.old.push(kept);
        self.debt.repay(freed);
    }
}

impl<const HAZARDS: bool, const BATCH: usize> Batched<HAZARDS, BATCH> {
    #[inline(always)]
    fn read_under(&self, _guard: &Guard, index: usize) -> u64 {
        // ORDERING: Acquire. Partner: the swap in `replace`: the contents are seen.
        let node = self.inner.slots[index].load(Ordering::Acquire);
        // SAFETY: a node that was in its slot under the guard is not freed while it lives.
        unsafe { node::read(node) }
    }

    /// Hands the thread's retired nodes to the collector.
    #[cold]
    fn close_batch(&self, record: &Record) {
        let chain = record.fresh.replace(Chain::EMPTY);
        let guard = pin();
        if !chain.first.is_null() {
            let inner = Arc::clone(&self.inner);
            // SAFETY: the nodes were unlinked before; the function runs once, when no guard is
            // left that could have seen them; what it needs is Send, and it owns the rest.
            unsafe { guard.defer_unchecked(move || inner.ripen(HAZARDS, chain)) };
        }
        guard.flush();
    }
}

impl<const HAZARDS: bool, const BATCH: usize> Scheme for Batched<HAZARDS, BATCH> {
    const SPANS: bool = true;
    type Pin<'s> = BatchedPin<'s, HAZARDS, BATCH>;

    fn new(slots: usize, limit: Option<usize>) -> Self {
        let record = |_| Record {
            hazard: AtomicPtr::new(ptr::null_mut()),
            fresh: std::cell::Cell::new(Chain::EMPTY),
            old: Stack::new(),
            pool: Pool::new(),
        };
        let records = (0..SEATS).map(record).collect();
        let inner = Inner { slots: node::filled(slots), records, debt: Debt::new(limit) };
        Self { inner: Arc::new(inner) }
    }

    #[inline]
    fn read(&self, index: usize) -> u64 {
        if !HAZARDS {
            return self.read_under(&pin(), index);
        }
        let record = self.inner.own();
        let node = Inner::protect(record, &self.inner.slots[index]);
        // SAFETY: the hazard names the node, which was in its slot afterwards.
        let seen = unsafe { node::read(node) };
        Inner::unprotect(record);
        seen
    }

    #[inline]
    fn pin(&self, _index: usize) -> Self::Pin<'_> {
        BatchedPin { array: self, guard: pin() }
    }

    #[inline]
    fn replace(&self, index: usize, key: u64, compare: bool) -> bool {
        let inner = &*self.inner;
        let admitted = inner.debt.admit(|| {
            self.close_batch(inner.own());
            collect();
        });
        if !admitted {
            return false;
        }
        let record = inner.own();
        let new = record.pool.make(key);
        let slot = &inner.slots[index];
        let guard = (compare && !HAZARDS).then(pin);
        if let Some(guard) = &guard {
            std::hint::black_box(self.read_under(guard, index));
        } else if compare {
            let old = Inner::protect(record, slot);
            // SAFETY: as in `read`.
            std::hint::black_box(unsafe { node::read(old) });
        }
        // ORDERING: AcqRel. Release: partner of the loads in `read_under` and `protect`. Acquire:
        // of the swap that put the old node in.
        let old = slot.swap(new, Ordering::AcqRel);
        if compare && HAZARDS {
            Inner::unprotect(record);
        }
        inner.debt.spend();
        let mut fresh = record.fresh.get();
        // SAFETY: the swap unlinked the node and handed it to us alone.
        unsafe { fresh.push(old) };
        record.fresh.set(fresh);
        drop(guard);
        if fresh.len >= BATCH {
            self.close_batch(record);
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for record in &self.records {
            for mut list in [record.fresh.get(), record.old.take()] {
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

pub(super) struct BatchedPin<'s, const HAZARDS: bool, const BATCH: usize> {
    array: &'s Batched<HAZARDS, BATCH>,
    guard: Guard,
}

impl<const HAZARDS: bool, const BATCH: usize> Pinned for BatchedPin<'_, HAZARDS, BATCH> {
    #[inline]
    fn read(&mut self, index: usize) -> u64 {
        self.array.read_under(&self.guard, index)
    }
}
