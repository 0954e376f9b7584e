//! Who leaves for whom? `Policy::Adaptive` on the table: the queue of probation, the ghosts, and the
//! decision which of queue and hand gives up an entry. The arithmetic is in `adaptive` and `clock`.
//!
//! | arrow | who | by | side effect |
//! |---|---|---|---|
//! | a newcomer is published | its inserter | `enter`, after the slot says READY | byte in the clock word, number into the queue, or in hand for it |
//! | probation -> main | whoever took its number out of the queue, used | a store of the clock word | the queue is one shorter; answers `uses` (`probation`), if that was asked |
//! | probation -> gone | whoever took its number out, not used | the slot's exchange | remembered in `early`, or by the thread until the next one goes |
//! | main -> gone | whoever drives the hand | the slot's exchange | remembered in `late`, if it is in the sample |
//! | queue loses sight of an entry | (its number was overtaken, or is in the hand of a thread that is stopped or inserts no more) | - | the hand makes it an entry of the main class |
//!
//! Only the slot's exchange decides anything; all else is advice (`advice`). So nothing here needs an
//! order, and a thread that is stopped anywhere stops nobody: the worst that it leaves behind is an
//! entry whose class is out of date, which the hand puts right in its next adopting turn (`clock`).

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::adaptive::{self, Class, Evidence, Limits};
use crate::advice::WideHint;
use crate::clock;
use crate::hash::Hashed;
use crate::local::{Handful, Position};
use crate::node::{Node, NodeWalker};
use crate::pause::{Step, reach};
use crate::reclaim::{Protect, Shelter, Walk};
use crate::seed::{Seed, planted};
use crate::sync::{MODEL, cores, prefetch_for_write};
use crate::table::bucket::Bucket;
use crate::table::ghost::{Ghosts, Sampled};
use crate::table::larger::Larger;
use crate::table::probation::{Probation, Ring};
use crate::table::sweep::Patience;
use crate::table::{Place, Table};
use crate::tags::{Lane, SLOTS};

/// Bits of a slot's number that name it in its bucket; those above are the bucket's.
const SLOT_BITS: u32 = SLOTS.next_power_of_two().trailing_zeros();

/// In a slot's number: its bucket is not in the arena, and is named by its cursor.
const APPENDED: u32 = 1 << 31;

/// Which bucket a number names, and which slot of it.
#[inline]
fn parts(number: u32) -> (usize, usize) {
    let number = number & !APPENDED;
    ((number >> SLOT_BITS) as usize, (number & ((1 << SLOT_BITS) - 1)) as usize)
}

/// How many threads are so few that each keeps its newcomers to itself: none of them waits for a processor with
/// newcomers in hand. Whoever filled the cache may be one more. None are where tests look for what threads share.
fn few_threads() -> u32 {
    if MODEL || cfg!(hotset_pause) { 0 } else { cores() as u32 + 1 }
}

/// What `Policy::Adaptive` knows beside the clock words.
pub(crate) struct Classes {
    pub(super) queue: Probation,
    known: Larger<Known>,
    /// How long the queue should be: in entries, or in weight.
    pub(super) quota: CachePadded<WideHint>,
    /// What follows from the bound for ages; the range of the quota follows in the rare case.
    memory: WideHint,
    margin: WideHint,
    main_margin: WideHint,
    /// The number of entries and the bound that they follow from.
    entries: WideHint,
    bound: WideHint,
}

/// What is as large as the table: who waits on probation, who has left from there, and who from the main class.
pub(super) struct Known {
    pub(super) ring: Ring,
    early: Ghosts,
    late: Sampled,
}

/// [`adaptive::sample_bits`]; none where entries are weighed: one may weigh as much as hundreds of others, and their
/// number is not known beforehand.
fn bits_for(entries: usize, weighed: bool) -> u32 {
    if weighed { 0 } else { adaptive::sample_bits(entries) }
}

impl Known {
    fn new(entries: usize, limits: &Limits, weighed: bool) -> Self {
        Self {
            ring: Ring::new(adaptive::longest_queue(entries), weighed),
            early: Ghosts::new(limits.memory),
            late: Sampled::new(limits.main_margin, bits_for(entries, weighed)),
        }
    }

    /// Fetches what `recall` will look at.
    #[inline(always)]
    fn fetch(&self, place: u32) {
        self.early.fetch(place);
        self.late.fetch(place);
    }
}

impl Classes {
    /// For a table that was built for `entries` entries, or for this weight of them.
    pub(crate) fn new(entries: usize, max_weight: Option<u64>) -> Self {
        let bound = max_weight.unwrap_or(entries as u64);
        let limits = Limits::new(entries, bound);
        Self {
            queue: Probation::new(max_weight.is_some(), few_threads()),
            known: Larger::new(Known::new(entries, &limits, max_weight.is_some())),
            quota: CachePadded::new(WideHint::new(limits.first_quota())),
            memory: WideHint::new(limits.memory as u64),
            margin: WideHint::new(limits.margin as u64),
            main_margin: WideHint::new(limits.main_margin as u64),
            entries: WideHint::new(entries as u64),
            bound: WideHint::new(bound),
        }
    }

    /// Makes room for what is to be known where there are as many entries, if that are far more than there
    /// is room for.
    #[cold]
    pub(super) fn make_room(&self, entries: usize, shelter: &impl Shelter) {
        let limits = Limits::new(entries, entries as u64);
        let longest = adaptive::longest_queue(entries);
        let bits = bits_for(entries, self.queue.is_weighed);
        self.known.replace(shelter, |known| {
            let small = known.ring.is_small_for(longest)
                || known.early.is_small_for(limits.memory)
                || known.late.is_small_for(limits.main_margin);
            small.then(|| Known {
                ring: self.queue.enlarged(&known.ring, longest),
                early: known.early.enlarged(limits.memory),
                late: known.late.enlarged(limits.main_margin, bits),
            })
        });
    }

    /// Whether there is more room than for so many entries.
    pub(super) fn has_outgrown(&self, entries: usize, shelter: &impl Shelter) -> bool {
        let memory = Limits::new(entries, entries as u64).memory;
        self.known.first().is_none() && self.known(shelter).early.is_large_for(memory)
    }

    /// The room that was made goes back, and with it who is remembered. Whether there was any.
    pub(super) fn take_back(&self, walk: Walk<'_>, stamp: impl FnOnce() -> u32) -> bool {
        let carry = |known: &Known, first: &Known| {
            // What the first has is of the time when it was replaced.
            self.queue.carry(&known.ring, &first.ring);
            first.early.clear();
            first.late.clear();
        };
        self.known.take_back(walk, carry, stamp)
    }

    /// Frees what was taken back and nobody can see any more. Whether that is all.
    pub(super) fn free<U: Fn(u32) -> bool>(&self, unseen: impl FnOnce() -> U) -> bool {
        self.known.free(unseen)
    }

    #[inline(always)]
    pub(super) fn known<'w>(&'w self, shelter: &'w impl Shelter) -> &'w Known {
        self.known.get(shelter)
    }

    /// How long the queue should be.
    #[inline]
    pub(super) fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// How many wait, or what they weigh.
    #[inline]
    pub(super) fn waiting(&self, known: &Known, hand: &Handful) -> u64 {
        self.queue.waiting(hand, self.quota(), &known.ring)
    }

    /// Whether more wait than should.
    #[inline]
    pub(super) fn is_too_long(&self, known: &Known, hand: &Handful) -> bool {
        self.waiting(known, hand) > self.quota()
    }

    /// Fetches what `recall` will look at, where no shelter is needed for it.
    #[inline(always)]
    pub(crate) fn fetch_first(&self, place: u32) {
        if let Some(known) = self.known.first() {
            known.fetch(place);
        }
    }

    /// Fetches what `recall` will look at.
    pub(crate) fn fetch(&self, place: u32, shelter: &impl Shelter) {
        self.known(shelter).fetch(place);
    }

    /// The cache is for `entries` entries now, of which the quota is a part, or of a weight.
    pub(crate) fn set_bound(&self, entries: usize, bound: u64) {
        let limits = Limits::new(entries, bound);
        self.memory.set(limits.memory as u64);
        self.margin.set(limits.margin as u64);
        self.main_margin.set(limits.main_margin as u64);
        self.entries.set(entries as u64);
        self.bound.set(bound);
        self.quota.set(limits.clamped(self.quota()));
    }

    /// Where entries are weighed, there are `entries` of them, and they share `bound`: what follows from
    /// these is reckoned anew if they are far from what they were.
    #[inline]
    pub(super) fn follow(&self, entries: usize, bound: u64) {
        let far = |old: u64, new: u64| old.abs_diff(new) > old / 8;
        if far(self.entries.get(), entries as u64) || far(self.bound.get(), bound) {
            self.set_bound(entries, bound);
        }
    }

    /// If the key with this place came back in time, how many in use the hand passes over for it. What an entry of
    /// this weight says thereby of the quota, which is a part of `bound`, is taken in.
    #[inline]
    pub(super) fn recall(
        &self,
        known: &Known,
        (place, hand): (u32, &Handful),
        (weight, bound): (u64, u64),
    ) -> Option<u32> {
        if let Some(age) = known.early.recall(place, &hand.parted) {
            if age < self.margin.get() as usize && known.late.includes(place) {
                self.move_quota(known, Evidence::TooShort, weight, bound);
            }
            return adaptive::passes(age, self.memory.get() as usize);
        }
        if known.late.includes(place) {
            self.recall_main(known, place, weight, bound);
        }
        None
    }

    /// `recall` of one who did not leave from probation, if at all.
    #[inline(never)]
    fn recall_main(&self, known: &Known, place: u32, weight: u64, bound: u64) {
        if known.late.take(place).is_some_and(|age| age < self.main_margin.get() as usize) {
            self.move_quota(known, Evidence::TooLong, weight, bound);
        }
    }

    #[cold]
    fn move_quota(&self, known: &Known, evidence: Evidence, weight: u64, bound: u64) {
        // Not all for whom it stands, where the bound is far lower now than what the memory was made for: a step is no
        // large part of it, and the quota moves up to eight times slower.
        let entries = usize::try_from(self.entries.get()).unwrap_or(usize::MAX);
        let bits = known.late.bits().min(adaptive::sample_bits(entries));
        let step = weight.saturating_mul(1 << bits);
        self.quota.set(Limits::new(1, bound).moved(self.quota(), evidence, step));
    }
}

/// Who left the main class is remembered.
#[inline(always)]
fn remember_late<K, V>(
    known: &Known,
    node: Option<NonNull<Node<K, V>>>,
) -> Option<NonNull<Node<K, V>>> {
    let node = node?;
    // SAFETY: unlinking gave us the slot's share of the node.
    known.late.add(unsafe { node.as_ref() }.place());
    Some(node)
}

impl<K, V> Table<K, V> {
    /// Unlinks an entry to make room for one with this hash, and says in which class that one
    /// comes. The caller takes over the victim's share and its room. `entries` is the bound.
    #[inline]
    pub(crate) fn displace(
        &self,
        hash: Hashed,
        position: &Position,
        entries: usize,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<(NonNull<Node<K, V>>, Class)> {
        let Some(classes) = &self.classes else {
            return Some((self.evict(position, Patience::TwoTurns, walker)?, Class::Main));
        };
        let known = classes.known(walker);
        let hand = &position.newcomers;
        let back = classes.recall(known, (hash.place(), hand), (1, entries as u64));
        let quota = classes.quota();
        let waiting = classes.queue.number_waiting(hand, quota);
        if let Some(passes) = back {
            // A queue that is too long gives up one of its own for whom it put out too early.
            let over = (waiting > quota).then(|| self.evict_early((classes, known), hand, walker));
            let victim = over
                .flatten()
                .or_else(|| self.evict_main_passing(known, position, (passes, &mut 0), walker));
            if let Some(node) = victim {
                return Some((node, Class::Main));
            }
        } else if position.trials().include(hash.place(), hand.arrivals()) {
            if let Some(node) = self.evict_for_trial((classes, known), position, entries, walker) {
                return Some((node, Class::Main));
            }
        } else if adaptive::is_over(waiting, quota, hand.counts_for()) {
            if let Some(node) = self.evict_early((classes, known), hand, walker) {
                return Some((node, Class::Main));
            }
        } else if waiting < quota
            && let Some(node) = self.evict_main(known, position, Patience::Buckets, walker)
        {
            return Some((node, Class::Probation));
        }
        let node = self.evict_early((classes, known), hand, walker).or_else(|| {
            self.evict_main(known, position, Patience::Buckets, walker)
                .or_else(|| self.evict_main(known, position, Patience::TwoTurns, walker))
        })?;
        Some((node, Class::Probation))
    }

    /// Evicts whoever is next, for a bound that was lowered.
    pub(crate) fn evict_any(
        &self,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let Some(classes) = &self.classes else {
            return self.evict(position, Patience::TwoTurns, walker);
        };
        let (known, hand) = (classes.known(walker), &position.newcomers);
        let over = classes.is_too_long(known, hand);
        over.then(|| self.evict_early((classes, known), hand, walker))
            .flatten()
            .or_else(|| self.evict_main(known, position, Patience::TwoTurns, walker))
            .or_else(|| self.evict_early((classes, known), hand, walker))
    }

    /// In which class a newcomer comes while there is room: with it, `used` of `bound` are.
    #[inline]
    pub(crate) fn while_filling(&self, used: u64, bound: u64) -> Class {
        let Some(classes) = &self.classes else { return Class::Main };
        adaptive::while_filling(used, classes.quota(), bound)
    }

    /// An entry of this weight, whose key hashes so, has come into the slot at `place`.
    #[inline(always)]
    pub(crate) fn enter(
        &self,
        hash: Hashed,
        place: Place<'_, K, V>,
        (class, weight): (Class, u64),
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) {
        reach(Step::Entering);
        let Some(classes) = &self.classes else { return place.touch() };
        if class == Class::Main {
            return place.bucket.chill(place.lane(), false);
        }
        // Without a place in the queue it is the hand's from the start.
        let (known, hand) = (classes.known(walker), &position.newcomers);
        let number = self.number(hash, place).filter(|_| classes.queue.has_room(hand, &known.ring));
        place.bucket.chill(place.lane(), number.is_some());
        if let Some(number) = number {
            classes.queue.push(hand, classes.quota(), (number, weight), &known.ring);
        }
    }

    /// Evicts the first in the queue that was not used. Those before it are promoted.
    #[inline]
    pub(super) fn evict_early(
        &self,
        (classes, known): (&Classes, &Known),
        hand: &Handful,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let quota = classes.quota();
        let (mut promoted, mut looked) = (0, 0);
        while looked < adaptive::STALE {
            looked += 1;
            let [number, next, later] = classes.queue.pop(hand, quota, &known.ring)?;
            let Some((bucket, lane)) = self.at_number(number, walker) else { continue };
            reach(Step::Popped);
            self.fetch_ahead([next, later], walker);
            let (word, clock) = (bucket.slot(lane).load(), bucket.clock());
            // Else the number is stale.
            if word.is_ready() && clock::is_new(clock, lane) {
                if !clock::is_cold(clock, lane) && promoted < adaptive::PROMOTIONS {
                    bucket.chill(lane, false);
                    classes.queue.is_used();
                    promoted += 1;
                } else if (bucket.slot(lane).unlink(word) || planted(Seed::QueueDecides))
                    && let Some(node) = NonNull::new(word.node())
                {
                    let node = self.evicted(bucket, node);
                    // SAFETY: the exchange that emptied the slot gave us its share of the node.
                    let place = unsafe { node.as_ref() }.place();
                    known.early.remember(place, &hand.parted, hand.deferring.get() as usize);
                    return Some(node);
                }
            }
        }
        None
    }

    /// Fetches what the next evictions from the queue will look at.
    #[inline]
    fn fetch_ahead(&self, [next, later]: [u32; 2], walker: &NodeWalker<'_, K, V>) {
        if later & APPENDED == 0 {
            // Whatever the number is: it need not be that of a bucket.
            prefetch_for_write(self.arena().as_ptr().wrapping_add((later >> SLOT_BITS) as usize));
        } else if let Some((bucket, _)) = self.at_number(later, walker) {
            prefetch_for_write(bucket);
        }
        if let Some((bucket, lane)) = self.at_number(next, walker) {
            prefetch_for_write(bucket.slot(lane).load().node());
        }
    }

    /// Drives the hand, which finds its victims in the main class.
    #[inline(never)]
    pub(super) fn evict_main(
        &self,
        known: &Known,
        position: &Position,
        patience: Patience,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let node = self.evict_within::<false>(position, patience, &mut 0, walker);
        remember_late(known, node)
    }

    /// The same over `most` entries in use, of which it has passed over so many already. A function of its own, since it
    /// is most of what the hand does, and is asked for nothing else on the way.
    #[inline(never)]
    pub(super) fn evict_main_passing(
        &self,
        known: &Known,
        position: &Position,
        (most, passes): (u32, &mut u32),
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let node = self.evict_within::<false>(position, Patience::Passes(most), passes, walker);
        remember_late(known, node)
    }

    /// The number of a slot, of a key with this hash, if it fits.
    #[inline]
    fn number(&self, hash: Hashed, place: Place<'_, K, V>) -> Option<u32> {
        let Some(index) = self.arena_index(place.bucket) else {
            return self.number_appended(hash, place);
        };
        let number = index << SLOT_BITS | place.lane().slot();
        (number <= u32::MAX as usize).then_some(number as u32)
    }

    #[cold]
    #[inline(never)]
    fn number_appended(&self, hash: Hashed, place: Place<'_, K, V>) -> Option<u32> {
        let cursor = self.cursor_of_appended(hash.place(), place.bucket)?;
        let number = u32::try_from(cursor << SLOT_BITS | place.lane().slot()).ok()?;
        (number & APPENDED == 0).then_some(number | APPENDED)
    }

    /// The slot with this number. An arena that is so large that its numbers look like those of appended
    /// segments has its own way: whatever a number is taken for, it is advice.
    #[inline]
    fn at_number<'w>(
        &'w self,
        number: u32,
        walker: &'w NodeWalker<'_, K, V>,
    ) -> Option<(&'w Bucket<Node<K, V>>, Lane)> {
        let (index, slot) = ((number >> SLOT_BITS) as usize, parts(number).1);
        let bucket = match self.arena().get(index) {
            Some(bucket) => bucket,
            None => self.bucket_at(parts(number).0, walker)?,
        };
        (slot < SLOTS).then(|| (bucket, Lane::of(slot)))
    }

    /// Slots in the order in which their entries would leave from the queue, if nobody used them:
    /// cursors and slots, as [`coldest_first`](Self::coldest_first) gives them.
    pub(crate) fn on_probation(
        &self,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Vec<(usize, usize)> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let numbers = classes.queue.iter(&position.newcomers, &classes.known(walker).ring);
        let cold = |&number: &u32| {
            self.at_number(number, walker).is_some_and(|(bucket, lane)| {
                let clock = bucket.clock();
                clock::is_new(clock, lane) && clock::is_cold(clock, lane)
            })
        };
        let cursor = |number| {
            let (index, slot) = parts(number);
            (if number & APPENDED == 0 { self.cursor_of(index) } else { index }, slot)
        };
        numbers.filter(cold).map(cursor).collect()
    }

    /// Whether the entry of `key` is on probation, and the uses to its credit.
    pub(crate) fn class_of<P: Protect<Node<K, V>> + Shelter>(
        &self,
        hash: Hashed,
        key: &K,
        guard: &P,
    ) -> Option<(bool, u32)>
    where
        K: Eq,
    {
        let found = self.locate(hash, key, guard).filter(|found| found.word.is_ready())?;
        let (clock, lane) = (found.place.bucket.clock(), found.place.lane());
        Some((clock::is_new(clock, lane), clock::uses(clock, lane)))
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_sample_follows_growth_unless_entries_are_weighed() {
        let walk = Walk::unneeded();
        for (max_weight, first, then) in [(None, 0, 3), (Some(1 << 40), 0, 0)] {
            let classes = Classes::new(100, max_weight);
            assert_eq!(classes.known(&walk).late.bits(), first);
            classes.make_room(5_000, &walk);
            assert_eq!(classes.known(&walk).late.bits(), then);
        }
        assert_eq!(Classes::new(5_000, None).known(&walk).late.bits(), 3);
        assert_eq!(Classes::new(5_000, Some(7)).known(&walk).late.bits(), 0);
    }

    #[test]
    fn the_more_threads_the_more_rows_it_takes_to_remember_later() {
        let walk = Walk::unneeded();
        for (max_weight, limits) in [(None, [64, 128, 192]), (Some(1 << 40), [u32::MAX; 3])] {
            let classes = Classes::new(5_000, max_weight);
            for limit in limits {
                let hand = Handful::default();
                classes.queue.push(&hand, 100, (1, 1), &classes.known(&walk).ring);
                assert_eq!(hand.deferring.get(), limit);
            }
        }
    }
}
