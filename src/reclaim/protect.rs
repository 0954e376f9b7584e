//! What do readers hold? Hazards, pins, and a collector's view of both.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::barrier;
use crate::reclaim::owner::Owner;
use crate::reclaim::record::{Record, Records};
use crate::reclaim::{AGES, Block, LOOKING, PINNED};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, MODEL, Ordering};
use crate::thread_id;

/// How a read is protected: by the thread's hazard or by a pin.
pub(crate) trait Protect<N: Block> {
    /// Whether a pointer that was read from a slot is safe to follow without reading it again.
    const STABLE: bool;
    /// Protects `block`, which must then be seen in its slot again unless `STABLE`.
    fn protect(&self, block: *mut N);
}

/// What a look-up is protected by. It goes by value: what goes by reference into a function that is not inlined is in
/// memory on the way of every hit.
pub(crate) trait Reader<N: Block>: Protect<N> + Copy {
    /// For the walk of one look-up.
    type Look: Shelter;
    /// Looks end in the opposite order in which they began, as the variables of a scope do: each puts back what it
    /// found.
    fn look(self) -> Self::Look;
}

/// The sign that the thread walks for at least `'w`, so that what is freed by [eras](Owner::unseen), segments of a
/// table, stays if it was not unlinked before. Of blocks it says nothing.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'w> {
    _lasts: PhantomData<&'w ()>,
    _not_send: PhantomData<*mut ()>,
}

impl Walk<'_> {
    /// # Safety
    /// The running thread has a pin in the domain in question, of whatever reach, or looks, and does so for the lifetime.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self { _lasts: PhantomData, _not_send: PhantomData }
    }
}

#[cfg(test)]
impl Walk<'_> {
    /// For tests in which nothing is freed.
    pub(crate) fn unneeded() -> Self {
        // SAFETY: what is not freed can be looked at.
        unsafe { Self::new() }
    }
}

/// Who can walk, for as long as it lasts itself.
pub(crate) trait Shelter {
    /// Whether nothing is left to do for it.
    const UP: bool;
    /// From here on the thread walks.
    fn walk(&self) -> Walk<'_>;
}

impl Shelter for Walk<'_> {
    const UP: bool = true;

    #[inline(always)]
    fn walk(&self) -> Walk<'_> {
        *self
    }
}

impl<N: Block, L: Default> Shelter for Pin<'_, N, L> {
    const UP: bool = true;

    #[inline(always)]
    fn walk(&self) -> Walk<'_> {
        // SAFETY: this is a pin.
        unsafe { Walk::new() }
    }
}

/// Walks from when it is needed first.
///
/// A thread that is stopped on a walk keeps segments from being freed, and no block: what waits for readers, of
/// which there may be little, is not for those who walk.
pub(crate) struct Walker<'d, N: Block, L: Default> {
    owner: Owner<'d, N, L>,
    pin: OnceCell<Pin<'d, N, L>>,
}

impl<N: Block, L: Default> Shelter for Walker<'_, N, L> {
    const UP: bool = false;

    #[inline]
    fn walk(&self) -> Walk<'_> {
        self.pin.get_or_init(|| self.owner.pin_segments()).walk()
    }
}

/// The thread's hazard: protects the block named last. Free again when dropped.
pub(crate) struct Hazard<'d, N: Block, L: Default> {
    owner: Owner<'d, N, L>,
}

/// The same, for as long as it lasts.
pub(crate) struct Lent<'h, N: Block, L: Default> {
    owner: Owner<'h, N, L>,
}

impl<N: Block, L: Default> Clone for Lent<'_, N, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Block, L: Default> Copy for Lent<'_, N, L> {}

impl<N: Block, L: Default> Hazard<'_, N, L> {
    #[inline(always)]
    pub(crate) fn lend(&self) -> Lent<'_, N, L> {
        Lent { owner: self.owner }
    }
}

impl<N: Block, L: Default> Protect<N> for Hazard<'_, N, L> {
    const STABLE: bool = false;

    #[inline(always)]
    fn protect(&self, block: *mut N) {
        self.lend().protect(block);
    }
}

impl<N: Block, L: Default> Protect<N> for Lent<'_, N, L> {
    const STABLE: bool = false;

    #[inline(always)]
    fn protect(&self, block: *mut N) {
        let Owner { domain, record, .. } = self.owner;
        domain.fences.publish(&record.hazard, block, &record.fenced);
    }
}

impl<'h, N: Block, L: Default> Reader<N> for Lent<'h, N, L> {
    type Look = Look<'h>;

    #[inline(always)]
    fn look(self) -> Look<'h> {
        self.owner.look()
    }
}

impl Shelter for Look<'_> {
    const UP: bool = true;

    #[inline(always)]
    fn walk(&self) -> Walk<'_> {
        // SAFETY: a look-up walks.
        unsafe { Walk::new() }
    }
}

impl<'d, N: Block, L: Default> Owner<'d, N, L> {
    /// The thread's hazard. Only where [`is_quiet`](Self::is_quiet) holds.
    #[inline(always)]
    pub(crate) fn hazard(self) -> Hazard<'d, N, L> {
        debug_assert!(self.is_quiet());
        Hazard { owner: self }
    }

    /// Pins the domain for this thread. Nests: inner pins cost no fence.
    pub(crate) fn pin(self) -> Pin<'d, N, L> {
        self.pin_as(Reach::Entries)
    }

    /// Pins the domain for an operation inside user code that runs under the thread's hazard.
    pub(crate) fn pin_nested(self) -> Pin<'d, N, L> {
        self.pin_as(Reach::Blocks)
    }

    #[inline]
    pub(super) fn pin_as(self, reach: Reach) -> Pin<'d, N, L> {
        let pins = self.record.pins(reach);
        self.record.set_pins(reach, pins + 1);
        let pin = Pin { owner: self, reach };
        if pins == 0 && !self.record.is_looking(reach) {
            // A walk is its operation's own, as the hazard is.
            if reach != Reach::Segments {
                thread_id::pinned();
            }
            self.publish_pin(reach);
        }
        pin
    }

    #[inline]
    pub(super) fn publish_pin(self, reach: Reach) {
        let word = self.record.pin_word(reach);
        if reach == Reach::Segments {
            // Segments are freed seldom. Partner: the heavy one in `unseen`.
            self.publish(word, PINNED, barrier::light);
        } else {
            // Partner: `Fences::after_unlinking`.
            self.publish(word, PINNED, || self.domain.fences.after_pinning(&self.record.fenced));
        }
    }

    /// Writes the era to `word`, with a sign that there is one, and fences.
    #[inline(always)]
    pub(super) fn publish(self, word: &AtomicU64, sign: u64, fences: impl Fn()) {
        loop {
            // ORDERING: Acquire. Partner: the AcqRel exchange in `next_era`. A pin that reads era e+1
            // sees every unlinking that was stamped e or less, hence cannot meet those blocks.
            let era = self.domain.era.load(Ordering::Acquire);
            // ORDERING: Release. Partner: the Acquire load in `Protections::read`, which may see this
            // value and never the 0 that ended the thread's previous pin.
            word.store(sign | u64::from(era), Ordering::Release);
            if !planted(Seed::NoPinFence) {
                fences();
            }
            // Who was stopped between the first two lines for ages starts again, lest its era looks like one to come.
            // LOOM: no model comes near that, and the load would double its states.
            // ORDERING: Relaxed. Nothing follows but another turn.
            if MODEL || self.domain.era.load(Ordering::Relaxed).wrapping_sub(era) < AGES {
                return;
            }
        }
    }

    /// A walk for one look-up, which ends before whatever walk surrounds it, and after those inside it. Without the
    /// bookkeeping of a pin, since it is in the way of a hit.
    #[inline(always)]
    fn look(self) -> Look<'d> {
        let walk = &self.record.walk;
        // ORDERING: Relaxed. A thread reads its own word.
        let before = walk.load(Ordering::Relaxed);
        if before == 0 {
            self.publish(walk, PINNED | LOOKING, barrier::light);
        }
        Look { walk, before }
    }

    /// A walk that begins now.
    #[inline]
    pub(crate) fn pin_segments(self) -> Pin<'d, N, L> {
        self.pin_as(Reach::Segments)
    }

    /// For an operation that may have to walk.
    #[inline(always)]
    pub(crate) fn walker(self) -> Walker<'d, N, L> {
        Walker { owner: self, pin: OnceCell::new() }
    }

    /// For an operation inside user code that runs under the thread's hazard: protects blocks, too.
    pub(crate) fn walker_nested(self) -> Walker<'d, N, L> {
        Walker { owner: self, pin: OnceCell::from(self.pin_nested()) }
    }

    /// The mark of what was unlinked before this call, for [`unseen`](Self::unseen).
    pub(crate) fn stamp(self) -> u32 {
        self.domain.next_era()
    }

    /// Tells of each stamp whether nobody who walks can still see what was unlinked before it was made. To be
    /// called when those things are at hand, hence unlinked.
    pub(crate) fn unseen(self) -> impl Fn(u32) -> bool {
        // Partner: the fences of `publish`, as in `protections`, and the light ones.
        let known = barrier::heavy();
        // ORDERING: Acquire. Partner: the Release store in `Pin::drop`: the walk's last look happens before what it
        // saw is freed.
        let oldest = oldest_pin(&self.domain.records, Ordering::Acquire);
        move |stamp| planted(Seed::IgnoreWalkers) || known && !sees(oldest, stamp)
    }
}

/// The walk of a look-up. Over when dropped.
pub(crate) struct Look<'d> {
    walk: &'d AtomicU64,
    before: u64,
}

impl Drop for Look<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // ORDERING: Release. Partner: the Acquire load in `oldest_pin`. If another walk surrounds this one the word stays
        // what it is.
        self.walk.store(self.before, Ordering::Release);
    }
}

impl<N: Block, L: Default> Drop for Hazard<'_, N, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // ORDERING: Release. Partner: the Acquire load in `Protections::read`: what was read
        // under the hazard happens before the block is freed.
        self.owner.record.hazard.store(ptr::null_mut(), Ordering::Release);
    }
}

/// A pin of the running thread: protects whatever it reads from a slot while it lives.
///
/// A *nested* pin is that of an operation inside user code that already uses the thread's hazard.
/// It is as short as the operation, and protects flights too, which a user's pin does not: nothing
/// reads a flight under that. So loads leave nothing behind however long a user's pin lasts.
pub(crate) struct Pin<'d, N: Block, L: Default> {
    pub(super) owner: Owner<'d, N, L>,
    pub(super) reach: Reach,
}

/// What a pin protects, beside segments, which all protect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// A user's: blocks that have been entries.
    Entries,
    /// A nested one: blocks.
    Blocks,
    /// Nothing else.
    Segments,
}

impl<'d, N: Block, L: Default> Pin<'d, N, L> {
    #[inline(always)]
    pub(crate) fn owner(&self) -> Owner<'d, N, L> {
        self.owner
    }

    /// Renews the pin, so that what was retired before may be freed. No effect while the thread
    /// has another pin in this domain.
    pub(crate) fn refresh(&mut self) {
        let record = self.owner.record;
        if record.pins(self.reach) == 1 {
            self.owner.publish_pin(self.reach);
        }
    }
}

impl<N: Block, L: Default> Protect<N> for &Pin<'_, N, L> {
    const STABLE: bool = true;

    #[inline(always)]
    fn protect(&self, _: *mut N) {}
}

impl<'p, N: Block, L: Default> Reader<N> for &'p Pin<'_, N, L> {
    type Look = Walk<'p>;

    #[inline(always)]
    fn look(self) -> Walk<'p> {
        self.walk()
    }
}

impl<N: Block, L: Default> Drop for Pin<'_, N, L> {
    fn drop(&mut self) {
        let (record, reach) = (self.owner.record, self.reach);
        let pins = record.pins(reach) - 1;
        record.set_pins(reach, pins);
        if pins == 0 && !record.is_looking(reach) {
            // ORDERING: Release. Partner: the Acquire load in `Protections::read`.
            record.pin_word(reach).store(0, Ordering::Release);
            if reach != Reach::Segments {
                thread_id::unpinned();
            }
        }
    }
}

/// The oldest era that is pinned, by users, nested operations or walks, as published; 0 if none is.
pub(super) fn oldest_pin<N: Block, L: Default>(records: &Records<N, L>, order: Ordering) -> u64 {
    let pins = |record: &Record<N, L>| {
        // ORDERING: the caller's.
        [&record.pin, &record.nested, &record.walk].map(|pin| pin.load(order))
    };
    records.iter().flat_map(pins).fold(0, older)
}

/// What readers protect, as of one moment after a fence.
pub(super) struct Protections<N> {
    /// Nothing is known, so all may be protected.
    unknown: bool,
    hazards: Vec<*mut N>,
    /// The era of the oldest pin, as published; 0 if nobody has one.
    pub(super) oldest_pin: u64,
    oldest_nested: u64,
}

impl<N: Block> Protections<N> {
    pub(super) fn read<L: Default>(records: &Records<N, L>) -> Self {
        let mut this = Self::nothing();
        for record in records.iter() {
            // ORDERING: Acquire, all. Partners: the Release stores by which a protection ends or is
            // replaced by the next one (`Hazard::drop`, `Pin::drop`, `publish`, `Fences::publish`): the
            // reader's last access happens before the free.
            let hazard = record.hazard.load(Ordering::Acquire);
            if !hazard.is_null() {
                this.hazards.push(hazard);
            }
            this.oldest_pin = older(this.oldest_pin, record.pin.load(Ordering::Acquire));
            this.oldest_nested = older(this.oldest_nested, record.nested.load(Ordering::Acquire));
        }
        this
    }

    /// What is to be taken for granted if nothing is known (`fences`).
    #[cold]
    pub(super) fn unknown() -> Self {
        Self { unknown: true, ..Self::nothing() }
    }

    fn nothing() -> Self {
        Self { unknown: false, hazards: Vec::new(), oldest_pin: 0, oldest_nested: 0 }
    }

    /// Whether nobody protects anything.
    pub(super) fn is_nothing(&self) -> bool {
        !self.unknown && self.oldest_pin | self.oldest_nested == 0 && self.hazards.is_empty()
    }

    /// Why `block`, stamped `stamp`, may not be freed.
    pub(super) fn over(&self, block: NonNull<N>, stamp: u32) -> Cover {
        if self.unknown {
            return Cover::Briefly;
        }
        if self.hazards.contains(&block.as_ptr()) && !planted(Seed::IgnoreHazards) {
            return Cover::Briefly;
        }
        if planted(Seed::IgnorePins) {
            return Cover::None;
        }
        if sees(self.oldest_nested, stamp) {
            return Cover::Briefly;
        }
        // SAFETY: the block is retired and in the collector's private chain, hence allocated.
        let read_under_pins = unsafe { block.as_ref() }.read_under_pins();
        if read_under_pins && sees(self.oldest_pin, stamp) { Cover::Pinned } else { Cover::None }
    }

    /// Whether nobody protects `block`, which has no stamp: any pin may be older than it.
    pub(super) fn none_over(&self, block: NonNull<N>) -> bool {
        !self.unknown
            && self.oldest_pin | self.oldest_nested == 0
            && !self.hazards.contains(&block.as_ptr())
    }
}

/// Why a block may not be freed yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    None,
    /// By a hazard or a nested operation: soon over.
    Briefly,
    /// By a pin, which may last.
    Pinned,
}

/// The older of two published eras, 0 meaning none.
///
/// Eras wrap; their distances do not: see `Domain::next_era`.
pub(super) fn older(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        _ if planted(Seed::YoungestPin) => a.max(b),
        _ if (a as u32).wrapping_sub(b as u32) as i32 <= 0 => a,
        _ => b,
    }
}

/// Whether a reader that published `pin` may see a block stamped `stamp`.
fn sees(pin: u64, stamp: u32) -> bool {
    pin != 0 && stamp.wrapping_sub(pin as u32) as i32 >= 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reclaim::PINNED;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_older_pin_is_the_older_wherever_eras_are(era: u32, later in 1..1_u32 << 30) {
            let (old, young) =
                (PINNED | u64::from(era), PINNED | u64::from(era.wrapping_add(later)));
            prop_assert_eq!(older(old, young), old);
            prop_assert_eq!(older(young, old), old);
            prop_assert_eq!((older(old, 0), older(0, old)), (old, old));
        }

        #[test]
        fn a_pin_sees_what_was_retired_since_and_nothing_before(era: u32, age in 0..1_u32 << 30) {
            let pin = PINNED | u64::from(era);
            prop_assert!(sees(pin, era.wrapping_add(age)));
            prop_assert!(!sees(pin, era.wrapping_sub(age + 1)));
            prop_assert!(!sees(0, era));
        }
    }

    /// The word of the walk says the same until what began first ends, whatever is inside, also by a panic.
    #[cfg(not(hotset_loom))]
    #[test]
    fn looks_and_walks_lie_in_each_other() {
        let domain = crate::node::NodeDomain::<u8, u8>::new(1, crate::reclaim::Kind::Short);
        let owner = domain.owner();
        let hazard = owner.hazard();
        // ORDERING: Relaxed. A thread reads its own word.
        let said = || owner.record.walk.load(Ordering::Relaxed);
        let look = hazard.lend().look();
        let outer = said();
        assert_eq!(outer >> 32, (PINNED | LOOKING) >> 32);
        owner.stamp();
        let walk = owner.pin_segments();
        drop(hazard.lend().look());
        assert_eq!(said(), outer);
        drop((owner.pin_segments(), walk));
        assert_eq!(said(), outer);
        drop(look);
        assert_eq!(said(), 0);
        let walk = owner.pin_segments();
        let outer = said();
        assert_eq!(outer >> 32, PINNED >> 32);
        owner.stamp();
        {
            let _look = hazard.lend().look();
            drop(owner.pin_segments());
        }
        assert_eq!(said(), outer);
        drop(walk);
        assert_eq!(said(), 0);
        let panics = || {
            let _look = hazard.lend().look();
            std::panic::resume_unwind(Box::new(()));
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(said(), 0);
    }
}
