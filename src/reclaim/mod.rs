//! When may a block be reused? Hazards for short reads, eras for pins, a bound on what waits.
//!
//! A block that has been unlinked may still be read by others. It is *retired*: put on the list
//! of its thread's record, and reused only when
//!
//! 1. no record's `hazard` names it (M. Michael, "Hazard Pointers", 2004): a thread that is
//!    stopped in the middle of a `get` holds back *one* block, not all that are retired while it
//!    is away, which is what an epoch does and why a strict bound and an epoch exclude each other;
//! 2. no record's `pin` is as old as its retirement (an epoch, for [`Pin`] only: many reads under
//!    one fence, at the price that all retired since then is held back).
//!
//! ```text
//!              retire()                      collect()
//!  in a slot ----------> on record.retired ------------> stamped, private to the collector
//!     ^     (unlinked by CAS,                              |            |
//!     |      last owner let go)              still in use: |            | nobody can see it:
//!     |                                      pushed back   |            | contents dropped
//!     |                                    <---------------+            v
//!     +---------------------------------------------------------- free list / allocator
//! ```
//!
//! The argument, with its partners: a reader makes its protection visible and *then* reads the
//! slot (`publish_hazard` or the fence of `pin`); a collector's blocks were unlinked and *then* it
//! fences and reads the protections. One of the two must see the other. A reader that sees the
//! unlinking does not touch the block; a collector that sees the protection keeps it.
//!
//! What waits is counted (`debt`) and bounded: see [`Owner::admit`]. Any thread may take any
//! record's whole list and collect it, so nothing is ever stuck with an idle or dead thread.
//!
//! Models: `loom-tests/tests/reclaim.rs`. Figures against crossbeam-epoch: ARCHITECTURE.md.

mod record;

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, MODEL, Ordering, fence, publish_hazard};
use record::{Record, Records};

/// In `Record::pin`: the low 32 bits are an era.
const PINNED: u64 = 1 << 32;
/// Low bits of a retired block's link. `RETIRED` is also what a settled flight leaves there, so a
/// late joiner that reads the link of a retired block sees "settled" (see `load`).
pub(crate) const RETIRED: usize = 0b01;
/// Low bit of a retired block's link: the stamp is valid.
const STAMPED: usize = 0b10;
const LINK_TAGS: usize = 0b11;

/// What can be retired.
///
/// # Safety
/// 1. `link` and `stamp` always name the same atomics of the block, valid from its allocation to
///    its deallocation, and the block is aligned to 4 or more.
/// 2. Once a block is retired nobody but the domain writes `link` and `stamp`.
/// 3. `dispose` must not unwind.
pub(crate) unsafe trait Block: Sized {
    fn link(&self) -> &AtomicPtr<Self>;
    /// Free for the domain's use once the block is retired; 32 bits.
    fn stamp(&self) -> &AtomicU32;
    /// A block without contents.
    fn vacant() -> Box<Self>;
    /// Drops the contents, not the block.
    ///
    /// # Safety
    /// The contents are initialised, nobody else can reach them, and this is called once.
    unsafe fn dispose(this: NonNull<Self>);
}

/// The reclamation of one cache. See the module.
pub(crate) struct Domain<N: Block, L: Default> {
    records: Records<N, L>,
    /// Stamps of retirement; advances once per collection that stamps anything.
    era: CachePadded<AtomicU32>,
    /// Retired blocks, plus the unused credit of all records.
    debt: CachePadded<AtomicUsize>,
    /// The most that `debt` may reach by admitted work.
    slack: AtomicUsize,
    /// 1 once the cache is gone and only handles of removed entries are left.
    closed: AtomicU32,
    _blocks: PhantomData<N>,
}

// SAFETY: a domain owns retired blocks, which any thread may dispose of, and shares records,
// which are Sync under the same bounds.
unsafe impl<N: Block + Send, L: Default + Send + Sync> Sync for Domain<N, L> {}
// SAFETY: as above.
unsafe impl<N: Block + Send, L: Default + Send + Sync> Send for Domain<N, L> {}

impl<N: Block, L: Default> Domain<N, L> {
    pub(crate) fn new(slack: usize) -> Self {
        Self {
            records: Records::new(),
            era: CachePadded::new(AtomicU32::new(0)),
            debt: CachePadded::new(AtomicUsize::new(0)),
            slack: AtomicUsize::new(slack),
            closed: AtomicU32::new(0),
            _blocks: PhantomData,
        }
    }

    /// The running thread's access.
    #[inline(always)]
    pub(crate) fn owner(&self) -> Owner<'_, N, L> {
        let record = self.records.mine();
        Owner { domain: self, record, _not_send: PhantomData }
    }

    /// What every thread keeps in this domain.
    pub(crate) fn locals(&self) -> impl Iterator<Item = &L> {
        self.records.iter().map(|record| &record.local)
    }

    pub(crate) fn set_slack(&self, slack: usize) {
        // ORDERING: Relaxed. A limit that is compared with a count; nothing is published.
        self.slack.store(slack, Ordering::Relaxed);
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

    /// How many blocks wait. Exact in quiet moments, else a close estimate.
    pub(crate) fn waiting(&self) -> usize {
        // ORDERING: Relaxed. A count; nothing is concluded about the blocks themselves.
        let debt = self.debt.load(Ordering::Relaxed);
        let credit: u64 = self.records.iter().map(|record| record.credit.get()).sum();
        debt.saturating_sub(credit as usize)
    }

    /// Pushes the chain `first ..= last` on `record`'s list.
    fn push(record: &Record<N, L>, first: NonNull<N>, last: NonNull<N>, tags: usize) {
        // SAFETY: the chain is ours until the exchange below succeeds.
        let link = unsafe { last.as_ref() }.link();
        // ORDERING: Relaxed. Validated by the exchange; not dereferenced here.
        let mut head = record.retired.load(Ordering::Relaxed);
        loop {
            // ORDERING: Relaxed. Published by the exchange below.
            link.store(tagged(head, tags), Ordering::Relaxed);
            // ORDERING: Release on success. Partner: the Acquire swap in `take`: whoever takes
            // the list sees the links, and the unlinking that preceded the retirement.
            // A head that left and came back is harmless: it is the head, which is all we say.
            match record.retired.compare_exchange_weak(
                head,
                first.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn take(record: &Record<N, L>) -> *mut N {
        // ORDERING: Acquire. Partner: the Release exchange in `push`.
        record.retired.swap(ptr::null_mut(), Ordering::Acquire)
    }
}

impl<N: Block, L: Default> Drop for Domain<N, L> {
    fn drop(&mut self) {
        for record in self.records.iter() {
            let mut cursor = Self::take(record);
            while let Some(block) = NonNull::new(cursor) {
                // SAFETY: `&mut self`: no reader is left. The block was retired, so it is
                // initialised and on one list only.
                unsafe {
                    cursor = untagged(block.as_ref().link().load(Ordering::Relaxed)); // ORDERING: sole owner
                    N::dispose(block);
                    drop(Box::from_raw(block.as_ptr()));
                }
            }
            cursor = record.free.get();
            while let Some(block) = NonNull::new(cursor) {
                // SAFETY: blocks on a free list have no contents and belong to the record alone.
                unsafe {
                    cursor = block.as_ref().link().load(Ordering::Relaxed); // ORDERING: sole owner
                    drop(Box::from_raw(block.as_ptr()));
                }
            }
        }
    }
}

/// The running thread's access to a domain: made anew for each operation, never sent.
pub(crate) struct Owner<'d, N: Block, L: Default> {
    domain: &'d Domain<N, L>,
    record: &'d Record<N, L>,
    _not_send: PhantomData<*mut ()>,
}

impl<N: Block, L: Default> Clone for Owner<'_, N, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Block, L: Default> Copy for Owner<'_, N, L> {}

impl<'d, N: Block, L: Default> Owner<'d, N, L> {
    #[inline(always)]
    pub(crate) fn local(self) -> &'d L {
        &self.record.local
    }

    // ---- protection -------------------------------------------------------------------------

    /// Whether the thread's hazard is free, so that a short read may use it. False inside user
    /// code that runs under it (`with`, `Eq`, `Clone`).
    #[inline(always)]
    pub(crate) fn is_quiet(self) -> bool {
        // ORDERING: Relaxed. A thread reads its own word.
        self.record.hazard.load(Ordering::Relaxed).is_null()
    }

    /// The thread's hazard. Only where [`is_quiet`](Self::is_quiet) holds.
    #[inline(always)]
    pub(crate) fn hazard(self) -> Hazard<'d, N, L> {
        debug_assert!(self.is_quiet());
        Hazard { record: self.record, _not_send: PhantomData }
    }

    /// Pins the domain for this thread. Nests: inner pins cost no fence.
    pub(crate) fn pin(self) -> Pin<'d, N, L> {
        let record = self.record;
        let pins = record.pins.get();
        record.pins.set(pins + 1);
        if pins == 0 {
            self.publish_pin();
        }
        Pin { owner: self }
    }

    fn publish_pin(self) {
        // ORDERING: Acquire. Partner: the AcqRel `fetch_add` in `stamp`. A pin that reads era e+1
        // sees every unlinking that was stamped e or less, hence cannot meet those blocks.
        let era = self.domain.era.load(Ordering::Acquire);
        // ORDERING: Relaxed store, then a SeqCst fence. Partner: the fence in `collect`: either
        // the collector sees this pin, or every slot that is read from here on shows what that
        // collector's blocks had been unlinked from.
        self.record.pin.store(PINNED | u64::from(era), Ordering::Relaxed);
        if !planted(Seed::NoPinFence) {
            fence(Ordering::SeqCst);
        }
    }

    // ---- blocks -----------------------------------------------------------------------------

    /// A block to fill: recycled where possible.
    #[inline]
    pub(crate) fn take_block(self) -> NonNull<N> {
        match NonNull::new(self.record.free.get()) {
            Some(block) => {
                // SAFETY: a block on the free list is allocated, without contents, and ours.
                let next = unsafe { block.as_ref() }.link().load(Ordering::Relaxed); // ORDERING: own list
                self.record.free.set(next);
                self.record.free_len.set(self.record.free_len.get() - 1);
                block
            }
            None => NonNull::from(Box::leak(N::vacant())),
        }
    }

    /// Gives back a block that nobody else has seen, or will see.
    ///
    /// # Safety
    /// `block` came from `take_block` of this domain, has no contents, and is unreachable.
    #[inline]
    pub(crate) unsafe fn give_block(self, block: NonNull<N>) {
        if self.record.free_len.get() < FREE_BLOCKS {
            // SAFETY: the block is ours by contract.
            let link = unsafe { block.as_ref() }.link();
            // ORDERING: Relaxed. The free list is the owner's alone.
            link.store(self.record.free.get(), Ordering::Relaxed);
            self.record.free.set(block.as_ptr());
            self.record.free_len.set(self.record.free_len.get() + 1);
        } else {
            // SAFETY: blocks are boxes, and this one is ours by contract.
            drop(unsafe { Box::from_raw(block.as_ptr()) });
        }
    }

    /// Retires `block`: its contents are dropped and it is reused once nobody can see it.
    /// Drops nothing itself; see [`collect_if_due`](Self::collect_if_due).
    ///
    /// # Safety
    /// 1. `block` is initialised and no longer reachable through any slot (unlinked before).
    /// 2. Nobody owns a share of it, and nobody will retire it again.
    pub(crate) unsafe fn retire(self, block: NonNull<N>) {
        let record = self.record;
        let credit = record.credit.get();
        if credit > 0 {
            record.credit.set(credit - 1);
        } else {
            // Work that may not be refused (an explicit removal): the debt is taken anyway. The
            // live total does not grow by it, since the block was counted as admitted before.
            // ORDERING: Relaxed. A count.
            self.domain.debt.fetch_add(1, Ordering::Relaxed);
        }
        record.retired_len.set(record.retired_len.get() + 1);
        Domain::push(record, block, block, RETIRED);
    }

    // ---- the bound on what waits ------------------------------------------------------------

    /// Makes sure that one block may be retired within the slack. False, if a collection of the
    /// thread's own list and then one of everybody's did not help: the caller must not admit.
    ///
    /// The credit stays with the thread until a retirement uses it.
    #[inline]
    pub(crate) fn admit(self) -> bool {
        self.record.credit.get() > 0 || self.admit_slow()
    }

    #[cold]
    fn admit_slow(self) -> bool {
        if self.borrow_credit() {
            return true;
        }
        self.collect();
        if self.record.credit.get() > 0 || self.borrow_credit() {
            return true;
        }
        self.collect_all();
        self.record.credit.get() > 0 || self.borrow_credit()
    }

    /// Takes credit from the domain, several units at once so that the shared word stays cold.
    fn borrow_credit(self) -> bool {
        // ORDERING: Relaxed, all. Counts; RMWs on one word cannot lose an update.
        let slack = self.domain.slack.load(Ordering::Relaxed);
        let mut debt = self.domain.debt.load(Ordering::Relaxed);
        loop {
            let want = CREDIT.min(slack.saturating_sub(debt));
            if want == 0 {
                return false;
            }
            match self.domain.debt.compare_exchange_weak(
                debt,
                debt + want,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.record.credit.set(self.record.credit.get() + want as u64);
                    return true;
                }
                Err(now) => debt = now,
            }
        }
    }

    /// After `freed` blocks were freed: keeps a little credit, returns the rest.
    fn repay(self, freed: usize) {
        let credit = self.record.credit.get() as usize + freed;
        let keep = credit.min(CREDIT);
        self.record.credit.set(keep as u64);
        if credit > keep {
            // ORDERING: Relaxed. A count.
            self.domain.debt.fetch_sub(credit - keep, Ordering::Relaxed);
        }
    }

    // ---- collection -------------------------------------------------------------------------

    /// Collects the thread's own list if it has grown long enough. Runs users' destructors, so
    /// it belongs at the end of an operation, outside everything.
    #[inline]
    pub(crate) fn collect_if_due(self) {
        if self.record.retired_len.get() >= BATCH {
            self.collect();
        }
    }

    /// Frees what can be freed of the thread's own list.
    #[cold]
    pub(crate) fn collect(self) {
        self.collect_from(|owner| {
            owner.record.retired_len.set(0);
            owner.sweep(Domain::take(owner.record));
        });
    }

    /// Frees what can be freed of every list. What cannot moves to the thread's own list.
    pub(crate) fn collect_all(self) {
        self.collect_from(|owner| {
            owner.record.retired_len.set(0);
            for record in owner.domain.records.iter() {
                owner.sweep(Domain::take(record));
            }
        });
    }

    /// Collects everything and returns the credit, so that the debt is exactly what waits.
    pub(crate) fn settle(self) {
        self.collect_all();
        let credit = self.record.credit.get();
        self.record.credit.set(0);
        // ORDERING: Relaxed. A count.
        self.domain.debt.fetch_sub(credit as usize, Ordering::Relaxed);
    }

    fn collect_from(self, lists: impl FnOnce(Self)) {
        if !self.record.collecting.replace(true) {
            lists(self);
            self.record.collecting.set(false);
        }
    }

    /// Frees each block of the private chain `list` that nobody can see; pushes the others back.
    fn sweep(self, list: *mut N) {
        if list.is_null() {
            return;
        }
        stamp(self.domain, list);
        // ORDERING: SeqCst fence. Partners: `publish_hazard` and the fence of `publish_pin`, see
        // the module. The blocks of `list` were unlinked before they were pushed, and the list
        // was taken with Acquire, so their unlinking is before this fence.
        fence(Ordering::SeqCst);
        let in_use = Protections::read(self.domain);

        let (mut kept, mut last_kept) = (ptr::null_mut::<N>(), None);
        let mut freed = 0;
        let mut cursor = list;
        while let Some(block) = NonNull::new(cursor) {
            // SAFETY: the chain is private to us, and its blocks are initialised.
            let node = unsafe { block.as_ref() };
            cursor = untagged(node.link().load(Ordering::Relaxed)); // ORDERING: private chain
            if in_use.covers(block, node.stamp().load(Ordering::Relaxed)) {
                // ORDERING: Relaxed, and the load above. The chain is private; `push` publishes.
                node.link().store(tagged(kept, RETIRED | STAMPED), Ordering::Relaxed);
                kept = block.as_ptr();
                last_kept = last_kept.or(Some(block));
            } else {
                // SAFETY: unlinked, no share, in no hazard, older than every pin: unreachable.
                // It is on no list any more, so it is disposed of once.
                unsafe {
                    N::dispose(block);
                    self.give_block(block);
                }
                freed += 1;
            }
        }
        if let (Some(first), Some(last)) = (NonNull::new(kept), last_kept) {
            Domain::push(self.record, first, last, RETIRED | STAMPED);
        }
        self.repay(freed);
    }

    /// Whether no other reader can see `block`, which is unlinked and not retired.
    ///
    /// # Safety
    /// The block is unlinked, and the unlinking happened before this call.
    pub(crate) unsafe fn is_unseen(self, block: NonNull<N>) -> bool {
        // The block is not stamped. Any pin may be older than its unlinking, so none may exist.
        // ORDERING: SeqCst fence. Partners as in `sweep`.
        fence(Ordering::SeqCst);
        let in_use = Protections::read(self.domain);
        in_use.oldest_pin.is_none() && !in_use.hazards.contains(&block.as_ptr())
    }
}

/// Stamps the blocks of a private chain that have no stamp yet with a fresh era.
fn stamp<N: Block, L: Default>(domain: &Domain<N, L>, list: *mut N) {
    let mut era = None;
    let mut cursor = list;
    while let Some(block) = NonNull::new(cursor) {
        // SAFETY: the chain is private to the collector.
        let block = unsafe { block.as_ref() };
        // ORDERING: Relaxed loads and stores in this loop: the chain is private.
        let link = block.link().load(Ordering::Relaxed);
        if link.addr() & STAMPED == 0 {
            // ORDERING: AcqRel. Partner: the Acquire load in `publish_pin`. Release: a pin that
            // reads the new era sees these blocks' unlinking.
            let era = *era.get_or_insert_with(|| domain.era.fetch_add(1, Ordering::AcqRel));
            block.stamp().store(era, Ordering::Relaxed);
        }
        cursor = untagged(link);
    }
}

/// What readers protect, as of one moment after a fence.
struct Protections<N> {
    hazards: Vec<*mut N>,
    oldest_pin: Option<u32>,
}

impl<N: Block> Protections<N> {
    fn read<L: Default>(domain: &Domain<N, L>) -> Self {
        // ORDERING: Relaxed. Only ages relative to it are used.
        let now = domain.era.load(Ordering::Relaxed);
        let mut hazards = Vec::new();
        let mut oldest_pin: Option<u32> = None;
        for record in domain.records.iter() {
            // ORDERING: Acquire, both. Partners: the Release stores that end a protection
            // (`Hazard::drop`, `Pin::drop`): the reader's last access happens before the free.
            let hazard = record.hazard.load(Ordering::Acquire);
            if !hazard.is_null() {
                hazards.push(hazard);
            }
            let pin = record.pin.load(Ordering::Acquire);
            if pin != 0 {
                let era = pin as u32;
                // Eras wrap; ages do not: while a pin lasts, at most slack + removals stamps are
                // given, since every stamp needs a block that then waits.
                oldest_pin = Some(match oldest_pin {
                    Some(old) if now.wrapping_sub(old) >= now.wrapping_sub(era) => old,
                    _ => era,
                });
            }
        }
        Self { hazards, oldest_pin }
    }

    /// Whether some reader may use `block`, stamped `stamp`.
    fn covers(&self, block: NonNull<N>, stamp: u32) -> bool {
        let pinned = self.oldest_pin.is_some_and(|pin| stamp.wrapping_sub(pin) as i32 >= 0);
        (pinned && !planted(Seed::IgnorePins))
            || (self.hazards.contains(&block.as_ptr()) && !planted(Seed::IgnoreHazards))
    }
}

fn tagged<N>(pointer: *mut N, tags: usize) -> *mut N {
    pointer.map_addr(|addr| addr | tags)
}

fn untagged<N>(pointer: *mut N) -> *mut N {
    pointer.map_addr(|addr| addr & !LINK_TAGS)
}

/// Blocks that a thread retires before it collects.
const BATCH: usize = if MODEL { 1 } else { 64 };
/// Units of debt that a thread takes at once, and keeps after a collection.
const CREDIT: usize = if MODEL { 1 } else { 16 };
/// Blocks that a thread keeps for reuse.
const FREE_BLOCKS: usize = if MODEL { 1 } else { 2 * BATCH };

/// How a read is protected: by the thread's hazard or by a pin.
pub(crate) trait Protect<N> {
    /// Whether a pointer that was read from a slot is safe to follow without reading it again.
    const STABLE: bool;
    /// Protects `block`, which must then be seen in its slot again unless `STABLE`.
    fn protect(&self, block: *mut N);
}

/// The thread's hazard: protects the block named last. Free again when dropped.
pub(crate) struct Hazard<'d, N: Block, L: Default> {
    record: &'d Record<N, L>,
    _not_send: PhantomData<*mut ()>,
}

impl<N: Block, L: Default> Protect<N> for Hazard<'_, N, L> {
    const STABLE: bool = false;

    #[inline(always)]
    fn protect(&self, block: *mut N) {
        publish_hazard(&self.record.hazard, block);
    }
}

impl<N: Block, L: Default> Drop for Hazard<'_, N, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // ORDERING: Release. Partner: the Acquire load in `Protections::read`: what was read
        // under the hazard happens before the block is freed.
        self.record.hazard.store(ptr::null_mut(), Ordering::Release);
    }
}

/// A pin of the running thread: protects whatever it reads from a slot while it lives.
pub(crate) struct Pin<'d, N: Block, L: Default> {
    owner: Owner<'d, N, L>,
}

impl<'d, N: Block, L: Default> Pin<'d, N, L> {
    #[inline(always)]
    pub(crate) fn owner(&self) -> Owner<'d, N, L> {
        self.owner
    }

    /// Renews the pin, so that what was retired before may be freed. No effect while the thread
    /// has another pin in this domain.
    pub(crate) fn refresh(&mut self) {
        if self.owner.record.pins.get() == 1 {
            // ORDERING: Release. Partner: the Acquire load in `Protections::read`, as in `drop`.
            self.owner.record.pin.store(0, Ordering::Release);
            self.owner.publish_pin();
        }
    }
}

impl<N: Block, L: Default> Protect<N> for Pin<'_, N, L> {
    const STABLE: bool = true;

    #[inline(always)]
    fn protect(&self, _: *mut N) {}
}

impl<N: Block, L: Default> Drop for Pin<'_, N, L> {
    fn drop(&mut self) {
        let record = self.owner.record;
        let pins = record.pins.get() - 1;
        record.pins.set(pins);
        if pins == 0 {
            // ORDERING: Release. Partner: the Acquire load in `Protections::read`.
            record.pin.store(0, Ordering::Release);
        }
    }
}
