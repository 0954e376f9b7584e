//! Who leaves for whom? `Policy::Adaptive` on the table: the queues of probation, the ghosts, and the
//! decision which of queue and hand gives up an entry. The arithmetic is in `adaptive` and `clock`.
//!
//! | arrow | who | by | side effect |
//! |---|---|---|---|
//! | a newcomer is published | its inserter | `enter`, after the slot says READY | byte in the clock word, number into the queue |
//! | probation -> main | whoever took its number out of the queue, used | a store of the clock word | none: the queue is one shorter |
//! | probation -> gone | whoever took its number out, not used | the slot's exchange | remembered in `early` |
//! | main -> gone | whoever drives the hand | the slot's exchange | remembered in `late` |
//! | queue loses sight of an entry | (its number was overtaken, or there was no room for it) | - | the hand makes it an entry of the main class |
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
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::Protect;
use crate::seed::{Seed, planted};
use crate::sync::prefetch;
use crate::table::bucket::Bucket;
use crate::table::ghost::Ghosts;
use crate::table::probation::{Probation, Ticket};
use crate::table::sweep::{Patience, Position};
use crate::table::tags::{Lane, SLOTS};
use crate::table::{Place, Table};

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

/// How an entry comes into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Main,
    Probation,
    /// On probation, with a place drawn in the queue of its shard.
    Drawn(Ticket),
}

impl From<Class> for Entrance {
    fn from(class: Class) -> Self {
        match class {
            Class::Main => Self::Main,
            Class::Probation => Self::Probation,
        }
    }
}

/// What `Policy::Adaptive` knows beside the clock words.
pub(crate) struct Classes {
    pub(super) shards: Box<[CachePadded<Shard>]>,
    /// Who left from probation, and who from the main class.
    early: Ghosts,
    late: Ghosts,
    /// What follows from the bound for ages; the ranges of quotas follow in the rare case.
    memory: WideHint,
    margin: WideHint,
    /// The number of entries and the bound that they follow from.
    entries: WideHint,
    bound: WideHint,
}

pub(super) struct Shard {
    pub(super) queue: Probation,
    /// How long the queue should be: in entries, or in weight.
    pub(super) quota: WideHint,
}

impl Shard {
    /// Whether more wait than should: numbers, or the weight that came with them.
    #[inline]
    pub(super) fn is_too_long(&self) -> bool {
        self.waiting() > self.quota.get()
    }

    /// How much waits: numbers, or the weight that came with them.
    #[inline]
    pub(super) fn waiting(&self) -> u64 {
        self.queue.waiting().unwrap_or(self.queue.len() as u64)
    }
}

impl Classes {
    /// For a table of `shards` shards that was built for `entries` entries, or for this weight of them.
    pub(crate) fn new(shards: usize, entries: usize, max_weight: Option<u64>) -> Self {
        let bound = max_weight.unwrap_or(entries as u64);
        let limits = Limits::new(entries, bound, shards);
        let longest = adaptive::longest_queue(entries.div_ceil(shards));
        let shard = |_| {
            CachePadded::new(Shard {
                queue: Probation::new(longest, max_weight.is_some()),
                quota: WideHint::new(limits.first_quota()),
            })
        };
        let this = Self {
            shards: (0..shards).map(shard).collect(),
            early: Ghosts::new(limits.memory),
            late: Ghosts::new(limits.margin),
            memory: WideHint::default(),
            margin: WideHint::default(),
            entries: WideHint::default(),
            bound: WideHint::default(),
        };
        this.set_bound(entries, bound);
        this
    }

    /// Fetches what `recall` will look at.
    #[inline(always)]
    pub(crate) fn fetch(&self, place: u32) {
        self.early.fetch(place);
        self.late.fetch(place);
    }

    /// The cache is for `entries` entries now, of which quotas are parts, or of a weight.
    pub(crate) fn set_bound(&self, entries: usize, bound: u64) {
        let limits = Limits::new(entries, bound, self.shards.len());
        self.memory.set(limits.memory as u64);
        self.margin.set(limits.margin as u64);
        self.entries.set(entries as u64);
        self.bound.set(bound);
        for shard in &self.shards {
            shard.quota.set(limits.clamped(shard.quota.get()));
        }
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

    /// Whether the key with this place came back in time, and what that says of the quota.
    #[inline]
    pub(super) fn recall(&self, place: u32) -> (bool, Option<Evidence>) {
        let (memory, margin) = (self.memory.get() as usize, self.margin.get() as usize);
        if let Some(age) = self.early.take(place) {
            return (age < memory, (age < margin).then_some(Evidence::TooShort));
        }
        let late = self.late.take(place).filter(|&age| age < margin);
        (false, late.map(|_| Evidence::TooLong))
    }

    #[cold]
    pub(super) fn move_quota(&self, shard: &Shard, evidence: Evidence, bound: u64, weight: u64) {
        let limits = Limits::new(1, bound, self.shards.len());
        shard.quota.set(limits.moved(shard.quota.get(), evidence, weight));
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
    ) -> Option<(NonNull<Node<K, V>>, Entrance)> {
        let Some(classes) = &self.classes else {
            return Some((self.evict(position, Patience::TwoTurns)?, Entrance::Main));
        };
        let shard: &Shard = &classes.shards[self.shard_index(hash.place())];
        let (remembered, evidence) = classes.recall(hash.place());
        if let Some(evidence) = evidence {
            classes.move_quota(shard, evidence, entries as u64, 1);
        }
        let (waiting, quota) = (shard.queue.len() as u64, shard.quota.get());
        if remembered || adaptive::is_lucky(hash.place(), shard.queue.arrivals()) {
            // A queue that is too long gives up one of its own for whom it put out too early.
            let over = (remembered && waiting > quota)
                .then(|| self.evict_early(classes, shard, shard.queue.pop(), None));
            let victim =
                over.flatten().or_else(|| self.evict_main(classes, position, Patience::Passes));
            if let Some(node) = victim {
                return Some((node, Entrance::Main));
            }
        } else if waiting < quota
            && let Some(node) = self.evict_main(classes, position, Patience::Buckets)
        {
            return Some((node, Entrance::Probation));
        }
        // One goes out of the queue, one comes in: both places are drawn at once.
        let (first, own) = shard.queue.pop_and_draw().unzip();
        let entrance = own.map_or(Entrance::Probation, Entrance::Drawn);
        let node = self.evict_early(classes, shard, first, own).or_else(|| {
            self.evict_main(classes, position, Patience::Buckets)
                .or_else(|| self.evict_early_of_others(classes, Some(shard)))
                .or_else(|| self.evict_main(classes, position, Patience::TwoTurns))
        })?;
        Some((node, entrance))
    }

    /// Evicts from any queue but `but`, in which the caller may have a place that is not yet filled.
    pub(super) fn evict_early_of_others(
        &self,
        classes: &Classes,
        but: Option<&Shard>,
    ) -> Option<NonNull<Node<K, V>>> {
        let others = classes.shards.iter().map(|shard| &**shard);
        others
            .filter(|shard| but.is_none_or(|but| !std::ptr::eq(*shard, but)))
            .find_map(|shard| self.evict_early(classes, shard, shard.queue.pop(), None))
    }

    /// Evicts whoever is next, for a bound that was lowered.
    pub(crate) fn evict_any(&self, position: &Position) -> Option<NonNull<Node<K, V>>> {
        let Some(classes) = &self.classes else {
            return self.evict(position, Patience::TwoTurns);
        };
        let over = |shard: &&CachePadded<Shard>| shard.is_too_long();
        classes
            .shards
            .iter()
            .filter(over)
            .find_map(|shard| self.evict_early(classes, shard, shard.queue.pop(), None))
            .or_else(|| self.evict_main(classes, position, Patience::TwoTurns))
            .or_else(|| self.evict_early_of_others(classes, None))
    }

    /// In which class a newcomer with this hash comes while there is room: with it, `used` of `bound` are.
    #[inline]
    pub(crate) fn while_filling(&self, hash: Hashed, used: u64, bound: u64) -> Entrance {
        let Some(classes) = &self.classes else { return Entrance::Main };
        let shard = &classes.shards[self.shard_index(hash.place())];
        let quota = shard.quota.get().saturating_mul(classes.shards.len() as u64);
        adaptive::while_filling(used, quota, bound).into()
    }

    /// An entry has come into the slot at `place`.
    #[inline]
    pub(crate) fn enter(
        &self,
        hash: Hashed,
        place: Place<'_, K, V>,
        entrance: Entrance,
        weight: u64,
    ) {
        reach(Step::Entering);
        let Some(classes) = &self.classes else { return place.touch() };
        if entrance == Entrance::Main {
            return place.bucket.chill(place.lane(), false);
        }
        let queue = &classes.shards[self.shard_index(hash.place())].queue;
        let ticket =
            if let Entrance::Drawn(ticket) = entrance { Some(ticket) } else { queue.draw() };
        // Without a place in the queue it is the hand's from the start.
        let queued = ticket.zip(self.number(hash, place));
        place.bucket.chill(place.lane(), queued.is_some());
        if let Some((ticket, number)) = queued {
            reach(Step::Drawn);
            queue.put(ticket, number, weight);
        }
    }

    /// Evicts the first in the queue that was not used, beginning with number `first`, which was
    /// taken out. Those that were used are promoted. `own`: a place that the caller has drawn.
    #[inline]
    pub(super) fn evict_early(
        &self,
        classes: &Classes,
        shard: &Shard,
        first: Option<u32>,
        own: Option<Ticket>,
    ) -> Option<NonNull<Node<K, V>>> {
        let mut number = first?;
        let mut promoted = 0;
        for turn in 0..adaptive::STALE {
            if turn > 0 {
                number = shard.queue.pop_before(own)?;
            }
            let (bucket, lane) = self.at_number(number)?;
            reach(Step::Popped);
            self.fetch_ahead(shard);
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
    fn fetch_ahead(&self, shard: &Shard) {
        if let Some((bucket, _)) = self.at_number(shard.queue.peek(4)) {
            prefetch(bucket);
        }
        if let Some((bucket, lane)) = self.at_number(shard.queue.peek(1)) {
            prefetch(bucket.slot(lane).load().node());
        }
    }

    /// Drives the hand, which finds its victims in the main class.
    #[inline]
    pub(super) fn evict_main(
        &self,
        classes: &Classes,
        position: &Position,
        patience: Patience,
    ) -> Option<NonNull<Node<K, V>>> {
        self.evict_main_within(classes, position, patience, &mut 0)
    }

    /// The same, with the number of entries in use that it has passed over already.
    #[inline]
    pub(super) fn evict_main_within(
        &self,
        classes: &Classes,
        position: &Position,
        patience: Patience,
        passes: &mut u32,
    ) -> Option<NonNull<Node<K, V>>> {
        let node = self.evict_within(position, patience, passes)?;
        // SAFETY: unlinking gave us the slot's share of the node.
        classes.late.add(unsafe { node.as_ref() }.place());
        Some(node)
    }

    /// The number of a slot, of a key with this hash, if it fits.
    #[inline]
    fn number(&self, hash: Hashed, place: Place<'_, K, V>) -> Option<u32> {
        let (bucket, mark) = match self.arena_index(place.bucket) {
            Some(index) => (index, 0),
            None => (self.cursor_of_appended(hash.place(), place.bucket)?, APPENDED),
        };
        let number = u32::try_from(bucket << SLOT_BITS | place.lane().slot()).ok()?;
        (number & APPENDED == 0).then_some(number | mark)
    }

    #[inline]
    fn at_number(&self, number: u32) -> Option<(&Bucket<Node<K, V>>, Lane)> {
        let (index, slot) = parts(number);
        let lane = (slot < SLOTS).then(|| Lane::of(slot))?;
        let bucket =
            if number & APPENDED == 0 { self.arena().get(index) } else { self.bucket_at(index) };
        Some((bucket?, lane))
    }

    /// Slots in the order in which their entries would leave from the queues, if nobody used them:
    /// cursors and slots, as [`coldest_first`](Self::coldest_first) gives them.
    pub(crate) fn on_probation(&self) -> Vec<(usize, usize)> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let numbers = classes.shards.iter().flat_map(|shard| shard.queue.iter());
        let cold = |&number: &u32| {
            self.at_number(number).is_some_and(|(bucket, lane)| {
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
