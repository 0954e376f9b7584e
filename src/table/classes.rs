//! Who leaves for whom? `Policy::Adaptive` on the table: the queue of probation, the ghosts, and the
//! decision which of queue and hand gives up an entry. The arithmetic is in `adaptive` and `clock`.
//!
//! | arrow | who | by | side effect |
//! |---|---|---|---|
//! | a newcomer is published | its inserter | `enter`, after the slot says READY | byte in the clock word, number into the queue, or in hand for it |
//! | probation -> main | whoever took its number out of the queue, used | a store of the clock word | none: the queue is one shorter |
//! | probation -> gone | whoever took its number out, not used | the slot's exchange | remembered in `early` |
//! | main -> gone | whoever drives the hand | the slot's exchange | remembered in `late` |
//! | queue loses sight of an entry | (its number was overtaken, or is in the hand of a thread that is stopped or inserts no more) | - | the hand makes it an entry of the main class |
//!
//! Only the slot's exchange decides anything; all else is advice (`advice`). So nothing here needs an
//! order, and a thread that is stopped anywhere stops nobody: the worst that it leaves behind is an
//! entry whose class is out of date, which the hand puts right in its next adopting turn (`clock`).

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::adaptive::{self, Class, Evidence, Limits};
use crate::advice::{Hint, WideHint};
use crate::clock;
use crate::hash::Hashed;
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::Protect;
use crate::seed::{Seed, planted};
use crate::sync::prefetch;
use crate::table::bucket::Bucket;
use crate::table::ghost::Ghosts;
use crate::table::probation::{Handful, Probation};
use crate::table::sweep::{Patience, Position};
use crate::table::tags::{Lane, SLOTS};
use crate::table::{Place, Table};

/// Bits of a slot's number that name it in its bucket; those above are the bucket's.
const SLOT_BITS: u32 = SLOTS.next_power_of_two().trailing_zeros();

#[inline]
fn parts(number: u32) -> (usize, usize) {
    ((number >> SLOT_BITS) as usize, (number & ((1 << SLOT_BITS) - 1)) as usize)
}

/// What `Policy::Adaptive` knows beside the clock words.
pub(crate) struct Classes {
    queue: Probation,
    /// How long the queue should be.
    quota: CachePadded<Hint>,
    /// Who left from probation, and who from the main class.
    early: Ghosts,
    late: Ghosts,
    /// What follows from the bound for ages; the range of the quota follows in the rare case.
    memory: WideHint,
    margin: WideHint,
}

impl Classes {
    /// For a table that was built for `entries` entries.
    pub(crate) fn new(entries: usize) -> Self {
        let limits = Limits::new(entries);
        Self {
            queue: Probation::new(adaptive::longest_queue(entries)),
            quota: CachePadded::new(Hint::new(limits.first_quota())),
            early: Ghosts::new(limits.memory),
            late: Ghosts::new(limits.margin),
            memory: WideHint::new(limits.memory as u64),
            margin: WideHint::new(limits.margin as u64),
        }
    }

    /// Fetches what `recall` will look at.
    #[inline(always)]
    pub(crate) fn fetch(&self, place: u32) {
        self.early.fetch(place);
        self.late.fetch(place);
    }

    /// The bound is `entries` now.
    pub(crate) fn set_bound(&self, entries: usize) {
        let limits = Limits::new(entries);
        self.memory.set(limits.memory as u64);
        self.margin.set(limits.margin as u64);
        self.quota.set(limits.clamped(self.quota.get()));
    }

    /// Whether the key with this place came back in time, and what that says of the quota.
    #[inline]
    fn recall(&self, place: u32) -> (bool, Option<Evidence>) {
        let (memory, margin) = (self.memory.get() as usize, self.margin.get() as usize);
        if let Some(age) = self.early.take(place) {
            return (age < memory, (age < margin).then_some(Evidence::TooShort));
        }
        let late = self.late.take(place).filter(|&age| age < margin);
        (false, late.map(|_| Evidence::TooLong))
    }

    #[cold]
    fn move_quota(&self, evidence: Evidence, entries: usize) {
        self.quota.set(Limits::new(entries).moved(self.quota.get(), evidence));
    }
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
    ) -> Option<(NonNull<Node<K, V>>, Class)> {
        let Some(classes) = &self.classes else {
            return Some((self.evict(position, Patience::TwoTurns)?, Class::Main));
        };
        let (remembered, evidence) = classes.recall(hash.place());
        if let Some(evidence) = evidence {
            classes.move_quota(evidence, entries);
        }
        let hand = &position.newcomers;
        let quota = classes.quota.get();
        let (waiting, quota) = (classes.queue.waiting(hand, quota), quota as usize);
        if remembered || adaptive::is_lucky(hash.place(), hand.arrivals()) {
            // A queue that is too long gives up one of its own for whom it put out too early.
            let over = (remembered && waiting > quota).then(|| self.evict_early(classes, hand));
            let victim =
                over.flatten().or_else(|| self.evict_main(classes, position, Patience::Passes));
            if let Some(node) = victim {
                return Some((node, Class::Main));
            }
        } else if waiting < quota
            && let Some(node) = self.evict_main(classes, position, Patience::Buckets)
        {
            return Some((node, Class::Probation));
        }
        let node = self.evict_early(classes, hand).or_else(|| {
            self.evict_main(classes, position, Patience::Buckets)
                .or_else(|| self.evict_main(classes, position, Patience::TwoTurns))
        })?;
        Some((node, Class::Probation))
    }

    /// Evicts whoever is next, for a bound that was lowered.
    pub(crate) fn evict_any(&self, position: &Position) -> Option<NonNull<Node<K, V>>> {
        let Some(classes) = &self.classes else {
            return self.evict(position, Patience::TwoTurns);
        };
        let hand = &position.newcomers;
        let quota = classes.quota.get();
        let over = classes.queue.waiting(hand, quota) > quota as usize;
        over.then(|| self.evict_early(classes, hand))
            .flatten()
            .or_else(|| self.evict_main(classes, position, Patience::TwoTurns))
            .or_else(|| self.evict_early(classes, hand))
    }

    /// In which class a newcomer comes while there is room.
    #[inline]
    pub(crate) fn while_filling(&self, used: usize, entries: usize) -> Class {
        let Some(classes) = &self.classes else { return Class::Main };
        adaptive::while_filling(used, classes.quota.get() as usize, entries)
    }

    /// An entry has come into the slot at `place`.
    #[inline]
    pub(crate) fn enter(&self, place: Place<'_, K, V>, class: Class, position: &Position) {
        reach(Step::Entering);
        let Some(classes) = &self.classes else { return place.touch() };
        if class == Class::Main {
            return place.bucket.chill(place.lane(), false);
        }
        // Without a place in the queue it is the hand's from the start.
        let hand = &position.newcomers;
        let number = self.number(place).filter(|_| classes.queue.has_room(hand));
        place.bucket.chill(place.lane(), number.is_some());
        if let Some(number) = number {
            classes.queue.push(hand, classes.quota.get(), number);
        }
    }

    /// Evicts the first in the queue that was not used. Those before it are promoted.
    #[inline]
    fn evict_early(&self, classes: &Classes, hand: &Handful) -> Option<NonNull<Node<K, V>>> {
        let quota = classes.quota.get();
        let mut promoted = 0;
        for _ in 0..adaptive::STALE {
            let (bucket, lane) = self.at_number(classes.queue.pop(hand, quota)?)?;
            reach(Step::Popped);
            self.fetch_ahead(classes, hand);
            let (word, clock) = (bucket.slot(lane).load(), bucket.clock());
            // Else the number is stale.
            if word.is_ready() && clock::is_new(clock, lane) {
                if !clock::is_cold(clock, lane) && promoted < adaptive::PROMOTIONS {
                    bucket.chill(lane, false);
                    promoted += 1;
                } else if (bucket.slot(lane).unlink(word) || planted(Seed::QueueDecides))
                    && let Some(node) = NonNull::new(word.node())
                {
                    let node = self.evicted(bucket, node);
                    // SAFETY: the exchange that emptied the slot gave us its share of the node.
                    classes.early.add(unsafe { node.as_ref() }.place());
                    return Some(node);
                }
            }
        }
        None
    }

    /// Fetches what the next evictions from the queue will look at.
    #[inline]
    fn fetch_ahead(&self, classes: &Classes, hand: &Handful) {
        if let Some((bucket, _)) = self.at_number(classes.queue.peek(hand, 3)) {
            prefetch(bucket);
        }
        if let Some((bucket, lane)) = self.at_number(classes.queue.peek(hand, 0)) {
            prefetch(bucket.slot(lane).load().node());
        }
    }

    /// Drives the hand, which finds its victims in the main class.
    #[inline]
    fn evict_main(
        &self,
        classes: &Classes,
        position: &Position,
        patience: Patience,
    ) -> Option<NonNull<Node<K, V>>> {
        let node = self.evict(position, patience)?;
        // SAFETY: unlinking gave us the slot's share of the node.
        classes.late.add(unsafe { node.as_ref() }.place());
        Some(node)
    }

    /// The number of a slot of the arena, if it fits; appended segments have none.
    #[inline]
    fn number(&self, place: Place<'_, K, V>) -> Option<u32> {
        let index = self.arena_index(place.bucket)?;
        u32::try_from(index << SLOT_BITS | place.lane().slot()).ok()
    }

    #[inline]
    fn at_number(&self, number: u32) -> Option<(&Bucket<Node<K, V>>, Lane)> {
        let (index, slot) = parts(number);
        Some((self.arena().get(index)?, (slot < SLOTS).then(|| Lane::of(slot))?))
    }

    /// Slots in the order in which their entries would leave from the queue, if nobody used them:
    /// cursors and slots, as [`coldest_first`](Self::coldest_first) gives them.
    pub(crate) fn on_probation(&self, position: &Position) -> Vec<(usize, usize)> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let numbers = classes.queue.iter(&position.newcomers);
        let cold = |&number: &u32| {
            self.at_number(number).is_some_and(|(bucket, lane)| {
                let clock = bucket.clock();
                clock::is_new(clock, lane) && clock::is_cold(clock, lane)
            })
        };
        numbers.filter(cold).map(parts).map(|(index, slot)| (self.cursor_of(index), slot)).collect()
    }

    /// Whether the entry of `key` is on probation, and the uses to its credit.
    pub(crate) fn class_of<P: Protect<Node<K, V>>>(
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
