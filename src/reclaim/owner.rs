//! What may a thread do? Protect, take and retire blocks, collect.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::pause::{Step, reach};
use crate::reclaim::block;
use crate::reclaim::protect::{Cover, Protections, older};
use crate::reclaim::record::Record;
use crate::reclaim::{
    BATCH, Block, CREDIT, Debt, Domain, FREE_BLOCKS, Kind, PATIENCE, PLENTY, RETIRED, STAMPED,
    push, tagged, take_list, untagged,
};
use crate::sync::{AtomicPtr, Ordering, yield_now};

/// The running thread's access to a domain: made anew for each operation, never sent.
pub(crate) struct Owner<'d, N: Block, L: Default> {
    pub(super) domain: &'d Domain<N, L>,
    pub(super) record: &'d Record<N, L>,
    pub(super) _not_send: PhantomData<*mut ()>,
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
    /// code that runs under it (`with`, `Eq`, `Clone`, `to_owned`).
    #[inline(always)]
    pub(crate) fn is_quiet(self) -> bool {
        // ORDERING: Relaxed. A thread reads its own word.
        self.record.hazard.load(Ordering::Relaxed).is_null()
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
            None => self.domain.slabs.take(&self.record.slabs, self.domain.shares()),
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
            // SAFETY: a block of this domain, ours by contract.
            unsafe { self.domain.slabs.give_of(&self.record.slabs, block) };
        }
    }

    /// The tail of a block, if blocks of this domain have one.
    ///
    /// # Safety
    /// `block` came from `take_block` of this domain, by way of pointers only, and for `'b` it is the
    /// caller's, or protected, or kept by a share.
    #[inline(always)]
    pub(crate) unsafe fn tail<'b>(self, block: NonNull<N>) -> Option<&'b N::Tail> {
        // SAFETY: the domain's blocks are long, and by contract this one stays allocated for `'b`. A
        // tail is shared by design: it is made of atomics.
        self.domain.is_long().then(|| unsafe { block::tail(block).as_ref() })
    }

    /// Retires `block`: its contents are dropped and it is reused once nobody can see it.
    /// Drops nothing itself; see [`finish`](Self::finish).
    ///
    /// # Safety
    /// 1. `block` is initialised and no longer reachable through any slot (unlinked before).
    /// 2. Nobody owns a share of it, and nobody will retire it again.
    pub(crate) unsafe fn retire(self, block: NonNull<N>) {
        let record = self.record;
        let credit = record.credit.get();
        if self.domain.kind == Kind::Weighed {
            self.owe(self.cost(block), credit);
        } else if credit > 0 {
            record.credit.set(credit - 1);
        } else {
            // Work that may not be refused (an explicit removal): the debt is taken anyway. The
            // live total does not grow by it, since the block was counted as admitted before.
            // ORDERING: Relaxed. A count.
            self.domain.debt.taken.fetch_add(1, Ordering::Relaxed);
        }
        record.retired_len.set(record.retired_len.get().wrapping_add(1));
        if !record.fresh.push(block) {
            push(&record.retired, block, block, N::link, RETIRED);
        }
    }

    /// What a block of ours counts for while it waits.
    fn cost(self, block: NonNull<N>) -> u64 {
        if self.domain.kind != Kind::Weighed {
            return 1;
        }
        // SAFETY: the block is retired, or about to be, and allocated; such blocks are long.
        unsafe { self.tail(block) }.map_or(1, N::weight)
    }

    // ---- the bound on what waits ------------------------------------------------------------

    /// Adds to the debt, where blocks are weighed, what is not covered by `credit`. Work that may not be refused may carry
    /// it beyond the slack; the sum stays at the largest number rather than wrap. Where there is plenty of slack, more is
    /// added at once, as credit for the next few: so that the shared word stays cold.
    fn owe(self, weight: u64, credit: u64) {
        let record = self.record;
        if let Some(left) = credit.checked_sub(weight) {
            return record.credit.set(left);
        }
        let Debt { taken, slack } = &*self.domain.debt;
        // ORDERING: Relaxed. A limit; it publishes nothing.
        let plenty = slack.load(Ordering::Relaxed) / PLENTY;
        // No thread has most of it.
        let ahead = weight.saturating_mul(CREDIT - 1).min(plenty / PLENTY);
        // ORDERING: Relaxed. The exchange confirms it.
        let mut debt = taken.load(Ordering::Relaxed);
        loop {
            let owed = debt.saturating_add(weight - credit);
            let lent = if owed.saturating_add(ahead) <= plenty { ahead } else { 0 };
            // ORDERING: Relaxed, both. No partner: a sum; nothing is concluded from it about blocks.
            match taken.compare_exchange_weak(
                debt,
                owed + lent,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                // Who is stopped here makes more seem to wait than does, by an eighth of an eighth of the slack at most.
                Ok(_) => return record.credit.set(lent),
                Err(now) => debt = now,
            }
        }
    }

    /// Takes from the debt. A sum that was capped when it grew may fall short.
    fn settle_debt(self, weight: u64) {
        let taken = &self.domain.debt.taken;
        // ORDERING: Relaxed, all. As in `owe`.
        let mut debt = taken.load(Ordering::Relaxed);
        while let Err(now) = taken.compare_exchange_weak(
            debt,
            debt.saturating_sub(weight),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            debt = now;
        }
    }

    /// Whether a block of this weight may come in, where blocks are weighed: what waits must be within
    /// the slack, after a collection of the thread's own list and then of everybody's if need be. If that
    /// does not help, another collector has what waits in its hands, and maybe not the processor: it is
    /// given that, a few times, since where the slack is one heavy block all others would be refused meanwhile.
    ///
    /// Credit entitles to nothing here: between this look and its retirements a thread adds what one insert evicts,
    /// which is part of what the bound on live values grants to each thread. The slack is never
    /// smaller than the heaviest that came in, so that its successor's turn comes.
    pub(crate) fn admit_weight(self, weight: u64) -> bool {
        let debt = &self.domain.debt;
        // ORDERING: Relaxed, both. A limit.
        if weight > debt.slack.load(Ordering::Relaxed) {
            debt.slack.fetch_max(weight, Ordering::Relaxed);
        }
        !self.is_over_weight() || self.make_way()
    }

    /// Whether more waits than may, where blocks are weighed.
    #[inline]
    fn is_over_weight(self) -> bool {
        // ORDERING: Relaxed. A limit.
        self.domain.waits_beyond(self.domain.debt.slack.load(Ordering::Relaxed))
    }

    /// Collects, and lets other collectors end. Whether what waits is within the slack then.
    #[cold]
    fn make_way(self) -> bool {
        let Domain { kept, .. } = self.domain;
        for _ in 0..=PATIENCE {
            self.collect();
            if self.is_over_weight() {
                self.collect_all();
            }
            // What a pin keeps, or the caller's own reading, is not had by waiting.
            // ORDERING: Relaxed. A hint.
            let in_vain = !self.is_quiet() || !kept.load(Ordering::Relaxed).is_null();
            if in_vain || !self.is_over_weight() {
                break;
            }
            yield_now();
        }
        !self.is_over_weight()
    }

    /// Makes sure that one block may be retired within the slack. False, if a collection of the
    /// thread's own list and then one of everybody's did not help: the caller must not admit.
    ///
    /// The credit stays with the thread until a retirement uses it.
    #[inline]
    pub(crate) fn admit(self) -> bool {
        (self.record.credit.get() > 0 && !self.domain.debt.is_over()) || self.admit_slow()
    }

    #[cold]
    fn admit_slow(self) -> bool {
        if self.has_credit() {
            return true;
        }
        self.collect();
        if self.has_credit() {
            return true;
        }
        self.collect_all();
        self.has_credit()
    }

    /// Credit counts only while the debt is within the slack: removals, which cannot be refused,
    /// may have carried it beyond, and then nothing may be admitted on old credit.
    fn has_credit(self) -> bool {
        !self.domain.debt.is_over() && (self.record.credit.get() > 0 || self.borrow_credit())
    }

    /// Takes credit from the domain: several units at once so that the shared word stays cold, but
    /// one when more than half of the slack is taken, so that no thread hoards what others need.
    fn borrow_credit(self) -> bool {
        // ORDERING: Relaxed, all. Counts; RMWs on one word cannot lose an update.
        let slack = self.domain.debt.slack.load(Ordering::Relaxed);
        let mut debt = self.domain.debt.taken.load(Ordering::Relaxed);
        loop {
            if debt >= slack {
                return false;
            }
            let want = if debt + CREDIT <= slack / 2 { CREDIT } else { 1 };
            // ORDERING: Relaxed, both. A count.
            match self.domain.debt.taken.compare_exchange_weak(
                debt,
                debt + want,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.record.credit.set(self.record.credit.get() + want);
                    self.record.tight.set(want < CREDIT);
                    return true;
                }
                Err(now) => debt = now,
            }
        }
    }

    /// After blocks that counted for `freed` were freed: keeps a little credit if there is plenty,
    /// returns the rest.
    fn repay(self, freed: u64) {
        if self.domain.kind == Kind::Weighed {
            return self.settle_debt(freed);
        }
        let credit = self.record.credit.get() + freed;
        // ORDERING: Relaxed, both. A count and a limit.
        let slack = self.domain.debt.slack.load(Ordering::Relaxed);
        let plenty = self.domain.debt.taken.load(Ordering::Relaxed) <= slack / 2;
        self.keep_credit(credit, if plenty { credit.min(CREDIT) } else { 0 });
    }

    /// Returns all but `keep` of `credit` units.
    fn keep_credit(self, credit: u64, keep: u64) {
        self.record.credit.set(keep);
        if credit > keep {
            if self.domain.kind == Kind::Weighed {
                return self.settle_debt(credit - keep);
            }
            // ORDERING: Relaxed. A count.
            self.domain.debt.taken.fetch_sub(credit - keep, Ordering::Relaxed);
        }
    }

    // ---- collection -------------------------------------------------------------------------

    /// To be called at the end of an operation, outside everything: collects the thread's own list
    /// if it has grown long enough or too much waits, which runs users' destructors, and returns
    /// credit if it is scarce.
    #[inline]
    pub(crate) fn finish(self) {
        let waiting = self.record.retired_len.get();
        if waiting >= BATCH as u32 || (waiting > 0 && self.domain.is_pressed()) {
            self.collect();
        }
        if self.record.tight.get() {
            self.record.tight.set(false);
            self.keep_credit(self.record.credit.get(), 0);
        }
    }

    /// Frees what can be freed of the thread's own list, and of what pins kept, if the pins have
    /// changed.
    #[cold]
    pub(crate) fn collect(self) {
        self.collect_from(|owner| {
            owner.record.retired_len.set(0);
            owner.sweep_record(owner.record);
            owner.sweep_kept();
        });
    }

    /// Frees what can be freed of every list.
    pub(crate) fn collect_all(self) {
        self.collect_from(|owner| {
            owner.record.retired_len.set(0);
            for record in owner.domain.records.iter() {
                owner.sweep_record(record);
            }
            owner.sweep_kept();
        });
    }

    /// Collects everything and returns the thread's credit, and memory.
    pub(crate) fn settle(self) {
        self.collect_all();
        self.keep_credit(self.record.credit.get(), 0);
        self.trim();
    }

    /// To be called at the end of what may have removed many entries.
    pub(crate) fn finish_many(self) {
        self.trim_if_worthwhile(true);
    }

    fn trim_if_worthwhile(self, finally: bool) {
        if self.domain.slabs.is_worth_a_look(&self.record.slabs, finally) {
            self.trim();
        }
    }

    /// Gives what the thread keeps for reuse back to the slabs, and those to the allocator that have nothing out,
    /// if they are most. What other threads keep, each up to [`FREE_BLOCKS`] blocks and those of one slab, keeps
    /// the slabs that it lies in.
    pub(crate) fn trim(self) {
        self.domain.give_free(self.record);
        self.domain.slabs.trim(&self.record.slabs, self.domain.shares());
    }

    fn collect_from(self, lists: impl FnOnce(Self)) {
        if !self.record.collecting.replace(true) {
            lists(self);
            self.record.collecting.set(false);
            self.reckon();
            self.trim_if_worthwhile(false);
        }
    }

    /// Tells who decides on it how many reads were fenced so far, once for each collection.
    pub(super) fn reckon(self) {
        let Domain { fences, records, .. } = self.domain;
        fences.reckon(|| {
            let counts = records.iter().map(|record| record.fenced.get());
            counts.fold((0, 0_u32), |(threads, reads), fenced| {
                (threads + u32::from(fenced != 0), reads.wrapping_add(fenced))
            })
        });
    }

    /// Looks again at the blocks that pins kept, unless the oldest pin is the one that kept them:
    /// then none of them can be freed, and a write must not pay for looking at all of them.
    fn sweep_kept(self) {
        let kept = &self.domain.kept;
        let mut oldest = 0;
        for record in self.domain.records.iter() {
            // ORDERING: Relaxed. A hint; what is freed is decided in `sweep`.
            oldest = older(oldest, record.pin.load(Ordering::Relaxed));
        }
        // ORDERING: Relaxed, both. Hints, as above. A thread that sees neither the blocks nor the
        // pin that kept them leaves them to the next one.
        let same = oldest != 0 && oldest == self.domain.kept_by.load(Ordering::Relaxed);
        if !same && !kept.load(Ordering::Relaxed).is_null() {
            self.sweep(take_list(kept));
        }
    }

    /// What readers hold that could see a block which was unlinked before this call: where a list or a
    /// queue is taken first, with Acquire, the unlinking of what is in it is before what `fences` does.
    fn protections(self) -> Protections<N> {
        if self.domain.fences.after_unlinking() {
            Protections::read(&self.domain.records)
        } else {
            Protections::unknown()
        }
    }

    /// Frees what can be freed of what one thread has retired.
    fn sweep_record(self, record: &Record<N, L>) {
        self.sweep(take_list(&record.retired));
        let batch = record.fresh.take();
        if batch.is_empty() {
            return;
        }
        reach(Step::Collecting);
        // As in `sweep`, of which this is the case of one stamp for all, kept in no block unless
        // it must be kept itself.
        let era = self.domain.next_era();
        let in_use = self.protections();
        if in_use.is_nothing() {
            reach(Step::Freeing);
            let freed = match self.domain.kind {
                Kind::Weighed => {
                    batch.iter().map(|block| self.cost(block)).fold(0, u64::saturating_add)
                }
                Kind::Short | Kind::Long => batch.len() as u64,
            };
            for block in batch.iter() {
                // SAFETY: unlinked, no share, no protection anywhere: unreachable. It is on no list
                // any more, so it is disposed of once.
                unsafe {
                    N::dispose(block);
                    self.give_block(block);
                }
            }
            return self.repay(freed);
        }
        let mut sorted = Sorted::new();
        for block in batch.iter() {
            sorted.add(block, era, &in_use);
        }
        self.conclude(sorted, &in_use);
    }

    /// Frees each block of the private chain `list` that nobody can see; pushes the others back.
    ///
    /// The list must have been taken before, hence before what `protections` does.
    fn sweep(self, list: *mut N) {
        if list.is_null() {
            return;
        }
        reach(Step::Collecting);
        stamp(self.domain, list);
        let in_use = self.protections();
        let mut sorted = Sorted::new();
        let mut cursor = list;
        while let Some(block) = NonNull::new(cursor) {
            // SAFETY: the chain is private to us, and its blocks are initialised.
            let node = unsafe { block.as_ref() };
            // ORDERING: Relaxed, both. The chain is private.
            cursor = untagged(node.link().load(Ordering::Relaxed));
            sorted.add(block, node.stamp().load(Ordering::Relaxed), &in_use);
        }
        self.conclude(sorted, &in_use);
    }

    /// Gives what is kept back to the others, then runs the destructors of the rest.
    fn conclude(self, sorted: Sorted<N>, in_use: &Protections<N>) {
        let Sorted { free, brief, pinned } = sorted;
        brief.publish(&self.record.retired);
        if pinned.publish(&self.domain.kept) {
            // ORDERING: Relaxed. A hint, see `sweep_kept`.
            self.domain.kept_by.store(in_use.oldest_pin, Ordering::Relaxed);
        }
        reach(Step::Freeing);
        let mut freed = 0_u64;
        let mut cursor = free.first;
        while let Some(block) = NonNull::new(cursor) {
            freed = freed.saturating_add(self.cost(block));
            // ORDERING: Relaxed. The chain is private.
            // SAFETY: unlinked, no share, in no hazard, older than every pin: unreachable. It is
            // on no list any more, so it is disposed of once.
            unsafe {
                cursor = untagged(block.as_ref().link().load(Ordering::Relaxed));
                N::dispose(block);
                self.give_block(block);
            }
        }
        self.repay(freed);
    }

    /// Whether no other reader can see `block`, which is unlinked and not retired.
    ///
    /// # Safety
    /// The block is unlinked, and the unlinking happened before this call.
    pub(crate) unsafe fn is_unseen(self, block: NonNull<N>) -> bool {
        // The block is not stamped. Any pin may be older than its unlinking, so none may exist.
        let unseen = self.protections().none_over(block);
        // It may be all that is ever collected: who only inserts and takes out retires nothing.
        self.reckon();
        unseen
    }
}

/// Private blocks by what becomes of them.
struct Sorted<N> {
    free: Chain<N>,
    brief: Chain<N>,
    pinned: Chain<N>,
}

impl<N: Block> Sorted<N> {
    fn new() -> Self {
        Self { free: Chain::new(), brief: Chain::new(), pinned: Chain::new() }
    }

    fn add(&mut self, block: NonNull<N>, stamp: u32, in_use: &Protections<N>) {
        let chain = match in_use.over(block, stamp) {
            Cover::None => &mut self.free,
            Cover::Briefly => &mut self.brief,
            Cover::Pinned => &mut self.pinned,
        };
        chain.push(block, stamp);
    }
}

/// A private chain of stamped blocks.
struct Chain<N> {
    first: *mut N,
    last: Option<NonNull<N>>,
}

impl<N: Block> Chain<N> {
    fn new() -> Self {
        Self { first: ptr::null_mut(), last: None }
    }

    #[inline]
    fn push(&mut self, block: NonNull<N>, stamp: u32) {
        // SAFETY: the block is ours.
        let node = unsafe { block.as_ref() };
        // ORDERING: Release. Partner: the fence of who reads a place (`table`). Relaxed, the link: the chain is private.
        node.stamp().store(stamp, Ordering::Release);
        node.link().store(tagged(self.first, RETIRED | STAMPED), Ordering::Relaxed);
        self.first = block.as_ptr();
        self.last = self.last.or(Some(block));
    }

    /// Pushes the whole chain on `list`. False if it is empty.
    fn publish(self, list: &AtomicPtr<N>) -> bool {
        match (NonNull::new(self.first), self.last) {
            (Some(first), Some(last)) => {
                push(list, first, last, N::link, RETIRED | STAMPED);
                true
            }
            _ => false,
        }
    }
}

/// Stamps the blocks of a private chain that have no stamp yet with a fresh era.
fn stamp<N: Block, L: Default>(domain: &Domain<N, L>, list: *mut N) {
    let mut era = None;
    let mut cursor = list;
    while let Some(block) = NonNull::new(cursor) {
        // SAFETY: the chain is private to the collector.
        let block = unsafe { block.as_ref() };
        // ORDERING: Relaxed. The chain is private.
        let link = block.link().load(Ordering::Relaxed);
        if link.addr() & STAMPED == 0 {
            let era = *era.get_or_insert_with(|| domain.next_era());
            // ORDERING: Release, as in `Chain::push`.
            block.stamp().store(era, Ordering::Release);
        }
        cursor = untagged(link);
    }
}
