//! How does an entry get its room? Entries and weight, free or of victims, and bounds that change.
//!
//! Where entries are weighed an entry needs both: one of the entries (`budget`), of which there are as
//! many as a table can hold unless the user bounds them, too, and its weight (`weights`). It takes what
//! is free, and evicts until the rest is covered; what the last victim had too much goes back. So a heavy
//! newcomer may put out many light ones, which is paid for by the inserts that brought them. Whoever
//! finds no victim gives back all that it holds and does not admit.
//!
//! A new value of a key changes its entry's weight. What a heavier one needs more is reserved before it
//! is exchanged for the old one, what a lighter one needs less is given back after.

use std::ptr::NonNull;

use crate::adaptive::Class;
use crate::budget::Room;
use crate::config::Cause;
use crate::error::BuildError;
use crate::hash::Hashed;
use crate::node::{Node, NodeOwner, NodeWalker, Private, Tail};
use crate::seed::{Seed, planted};
use crate::store::{Leaving, Store};
use crate::sync::MODEL;
use crate::table::{Demand, Found, Place, Sizes, Table};
use crate::weights::{Held, Weights};

/// A weigher, as the builder takes it.
pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// The weight bound of a cache, and how its entries are weighed.
pub(crate) struct Weighing<K, V> {
    pub(crate) weights: Weights,
    pub(crate) weigher: Weigher<K, V>,
}

/// Entries for which the table of a cache is built that is bounded by weight, unless the user says.
const FIRST_SIZE: usize = if MODEL { 4 } else { 16_384 };

/// How many entries the table is built for, if the user did not say.
pub(super) fn first_size(max_entries: usize, max_weight: Option<u64>) -> usize {
    let most = max_weight.map_or(max_entries, |weight| {
        usize::try_from(weight).unwrap_or(usize::MAX).min(FIRST_SIZE)
    });
    most.min(max_entries)
}

/// How much may wait for readers, unless the user says otherwise: an eighth of the bound. For a bound of
/// entries enough for the batches of a dozen threads; for one of weight it grows with the heaviest entry.
pub(super) fn slack_for(max_entries: usize, max_weight: Option<u64>) -> u64 {
    max_weight.map_or((max_entries as u64 / 8).max(1024), |weight| (weight / 8).max(1))
}

/// Room for one entry. Given back when dropped.
#[must_use]
pub(super) struct Reserved<'s> {
    room: Room<'s>,
    held: Option<Held<'s>>,
}

impl Reserved<'_> {
    /// The room is now that of an entry in a slot.
    #[inline]
    pub(super) fn occupy(self) {
        self.room.occupy();
        if let Some(held) = self.held {
            held.occupy();
        }
    }
}

/// The room by which a new value of a key needs more or less than the old one. Given back when dropped.
#[must_use]
pub(super) struct Change<'s> {
    more: Option<Held<'s>>,
    less: u64,
    weights: Option<&'s Weights>,
}

impl Change<'_> {
    /// The new value is in the slot.
    #[inline]
    pub(super) fn made(self) {
        if let Some(more) = self.more {
            more.occupy();
        }
        if let Some(weights) = self.weights {
            weights.give(self.less);
        }
    }
}

impl<K, V> Store<K, V> {
    /// An entry of this weight is in the slot at `place`: the room that was reserved is its own, and it comes
    /// in as was said with it.
    #[inline]
    pub(super) fn move_in(
        &self,
        owner: NodeOwner<'_, K, V>,
        (hash, place): (Hashed, Place<'_, K, V>),
        (room, class): (Reserved<'_>, Class),
        weight: u64,
        walker: &NodeWalker<'_, K, V>,
    ) {
        room.occupy();
        self.table.enter(hash, place, (class, weight), &owner.local().position, walker);
    }

    /// Puts a new value of a key in the place of the entry that was found, and whose address cannot have come
    /// back. Gives it back if the slot has changed; so is the room.
    #[inline]
    pub(super) fn write_over<'d>(
        &self,
        found: &Found<'_, K, V>,
        fresh: Private<'d, K, V>,
        change: Change<'_>,
    ) -> Result<(), Private<'d, K, V>> {
        if !found.place.exchange(found.word, found.word.with_node(fresh.as_ptr())) {
            return Err(fresh);
        }
        change.made();
        fresh.published();
        found.place.touch();
        Ok(())
    }

    pub(crate) fn weight(&self) -> u64 {
        match &self.weighing {
            Some(weighing) => weighing.weights.used(),
            None => self.len() as u64,
        }
    }

    pub(crate) fn max_weight(&self) -> Option<u64> {
        self.weighing.as_ref().map(|weighing| weighing.weights.max())
    }

    /// What an entry with this key and value weighs, at least 1. Runs the user's weigher.
    #[inline]
    pub(super) fn weigh(&self, key: &K, value: &V) -> u64 {
        match &self.weighing {
            Some(weighing) => (weighing.weigher)(key, value).max(1),
            None => 1,
        }
    }

    /// Whether an entry of this weight could not be admitted into an empty cache.
    pub(super) fn is_too_heavy(&self, weight: u64) -> bool {
        self.weighing.as_ref().is_some_and(|weighing| weight > weighing.weights.max())
    }

    /// Whether an entry of this weight may come in as far as those are concerned who have left. Its
    /// weight is written into its node, of which this is the tail.
    #[inline]
    pub(super) fn admits(
        &self,
        owner: NodeOwner<'_, K, V>,
        tail: Option<&Tail>,
        weight: u64,
    ) -> bool {
        if self.weighing.is_none() {
            return owner.admit();
        }
        if let Some(tail) = tail {
            tail.set_weight(weight);
        }
        !self.is_too_heavy(weight) && owner.admit_weight(weight)
    }

    /// What an entry weighs that the caller has found or unlinked, under protection or by its share.
    pub(super) fn weight_of(&self, owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) -> u64 {
        // SAFETY: a node of this cache, reached by pointers only, which the caller keeps.
        unsafe { owner.tail(node) }.map_or(1, Tail::weight)
    }

    /// Gives back the room of an entry that the caller has unlinked.
    #[inline]
    pub(super) fn give_room(&self, owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) {
        if let Some(weighing) = &self.weighing {
            weighing.weights.give(self.weight_of(owner, node));
        }
        drop(self.budget.of_unlinked());
    }

    /// How many entries there are, and for how many a table should have room that has to grow.
    pub(super) fn sizes(&self) -> Sizes {
        let (entries, max) = (self.len(), self.budget.max());
        let (used, bound) = match &self.weighing {
            Some(weighing) => (weighing.weights.used(), weighing.weights.max()),
            None => (entries as u64, max as u64),
        };
        Sizes::new(entries, max, used, bound)
    }

    /// Room for one entry, free or that of victims, and how the entry comes in. `None`
    /// if nothing can be evicted.
    #[inline]
    pub(super) fn reserve<'s>(
        &'s self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        weight: u64,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<(Reserved<'s>, Class)> {
        if let Some(weighing) = &self.weighing {
            return self.reserve_weight(&weighing.weights, leaving, (hash, weight), walker);
        }
        if let Some(free) = self.reserve_free() {
            return Some(free);
        }
        if let Some(victim) = self.reap(leaving.owner) {
            debug_assert!(leaving.victim.is_none(), "a victim of an earlier turn is settled");
            leaving.victim = Some(victim);
            return Some(self.entering(self.budget.of_unlinked()));
        }
        let position = &leaving.owner.local().position;
        match self.table.displace(hash, position, self.budget.max(), walker) {
            Some((victim, class)) => {
                debug_assert!(leaving.victim.is_none(), "a victim of an earlier turn is settled");
                leaving.victim = Some(victim);
                Some((Reserved { room: self.budget.of_unlinked(), held: None }, class))
            }
            None => self.reserve_free(),
        }
    }

    /// Room for one entry of this weight, if nobody has to leave for it.
    pub(super) fn reserve_spare(&self, weight: u64) -> Option<Reserved<'_>> {
        let room = self.budget.take()?;
        let Some(weighing) = &self.weighing else { return Some(Reserved { room, held: None }) };
        let mut held = weighing.weights.nothing();
        held.draw(weight).then_some(Reserved { room, held: Some(held) })
    }

    #[inline]
    fn reserve_free(&self) -> Option<(Reserved<'_>, Class)> {
        Some(self.entering(self.budget.take()?))
    }

    /// How an entry comes in for which nobody else had to leave.
    #[inline]
    fn entering<'s>(&self, room: Room<'s>) -> (Reserved<'s>, Class) {
        let (used, max) = (self.budget.used(), self.budget.max());
        let class = self.table.while_filling(used as u64, max as u64);
        (Reserved { room, held: None }, class)
    }

    /// `reserve` where entries are weighed.
    #[inline(never)]
    fn reserve_weight<'s>(
        &'s self,
        weights: &'s Weights,
        leaving: &mut Leaving<'_, K, V>,
        (hash, weight): (Hashed, u64),
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<(Reserved<'s>, Class)> {
        let owner = leaving.owner;
        let entries = self.len();
        let mut held = weights.nothing();
        // Not before its weight is there, since most take the room of a victim.
        let mut room = if held.draw(weight) { self.budget.take() } else { None };
        if let Some(room) = room {
            let class = self.table.while_filling(weights.used(), weights.max());
            return Some((Reserved { room, held: Some(held) }, class));
        }
        // Of the two bounds that which is reached says how much there is for the classes to share.
        let max = weights.max();
        let bound = if self.budget.is_full() { weights.used().min(max) } else { max };
        let demand = Demand { hash, weight, bound, entries };
        let mut newcomer = self.table.judge(demand, &owner.local().position, walker);
        loop {
            if self.is_too_heavy(weight) {
                return None; // the bound was lowered
            }
            let position = &owner.local().position;
            let victim = self
                .reap(owner)
                .or_else(|| self.table.displace_for(&mut newcomer, position, walker));
            if let Some(node) = victim {
                held.add_unlinked(self.weight_of(owner, node));
                let freed = self.budget.of_unlinked();
                room = room.or(Some(freed));
                leaving.add(node);
            }
            room = room.or_else(|| self.budget.take());
            if held.draw(weight)
                && let Some(room) = room
            {
                held.trim(weight);
                return Some((Reserved { room, held: Some(held) }, newcomer.class()));
            }
            victim?;
        }
    }

    /// Room for what a new value of the entry that was found, and is protected, weighs more than the old
    /// one. `None` if nothing can be evicted. It is marked as used, and passed over by the hand: others leave
    /// for it, as long as there are any.
    #[inline]
    pub(super) fn reserve_change<'s>(
        &'s self,
        leaving: &mut Leaving<'_, K, V>,
        found: &Found<'_, K, V>,
        weight: u64,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<Change<'s>> {
        let Some(weighing) = &self.weighing else {
            return Some(Change { more: None, less: 0, weights: None });
        };
        let weights = &weighing.weights;
        let (owner, before) = (leaving.owner, self.weight_of(leaving.owner, found.node));
        let (wanted, less) = (weight.saturating_sub(before), before.saturating_sub(weight));
        let mut more = weights.nothing();
        let position = &owner.local().position;
        while !planted(Seed::HeavierFirst) && !more.draw(wanted) {
            found.place.touch();
            if self.is_too_heavy(weight) {
                return None; // the bound was lowered
            }
            let other = || self.table.displace_other(found.node, position, walker);
            let node = self.reap(owner).or_else(other)?;
            more.add_unlinked(self.weight_of(owner, node));
            drop(self.budget.of_unlinked());
            leaving.add(node);
        }
        more.trim(wanted);
        Some(Change { more: Some(more), less, weights: Some(weights) })
    }

    /// Whether the books say what the entries in slots weigh. While no other thread uses the cache.
    pub(super) fn check_weights(&self, entries: &[u64]) -> Result<(), String> {
        let sum = entries.iter().map(|&weight| u128::from(weight)).sum::<u128>();
        if sum != u128::from(self.weight()) {
            return Err(format!("entries of weight {sum} in slots, {} counted", self.weight()));
        }
        let Some(weighing) = &self.weighing else { return Ok(()) };
        weighing.weights.check()
    }

    // ---- bounds, and how they change --------------------------------------------------------

    /// The largest bound on entries that there can be.
    pub(crate) fn most_entries() -> usize {
        Table::<K, V>::max_entries()
    }

    /// A bound on entries that somebody gave, if it is in range.
    pub(crate) fn check_max_entries(given: usize) -> Result<usize, BuildError> {
        let max = Self::most_entries();
        if (1..=max).contains(&given) {
            Ok(given)
        } else {
            Err(BuildError::MaxEntries { given, max })
        }
    }

    pub(crate) fn set_max_entries(&self, max: usize) {
        self.budget.set_max(max);
        let owner = self.domain.owner();
        if self.weighing.is_none() {
            self.table.set_bound(max, &owner.walker());
            self.domain.set_slack(self.fixed_slack.unwrap_or_else(|| slack_for(max, None)));
        }
        while self.budget.is_over() {
            self.evict_for_bound(owner, |weight| {
                if let Some(weighing) = &self.weighing {
                    weighing.weights.give(weight);
                }
            });
        }
        self.finish_many(owner);
    }

    /// False if entries are not weighed.
    pub(crate) fn set_max_weight(&self, max: u64) -> bool {
        let Some(weighing) = &self.weighing else { return false };
        let weights = &weighing.weights;
        let mut owed = weights.set_max(max);
        self.table.set_bound_weight(self.len(), max);
        // The heaviest that came in under the old bound is forgotten: who comes in raises it again.
        self.domain.set_slack(self.fixed_slack.unwrap_or_else(|| slack_for(0, Some(max))));
        let owner = self.domain.owner();
        loop {
            owed = weights.withdraw(owed);
            if owed == 0 {
                self.finish_many(owner);
                return true;
            }
            self.evict_for_bound(owner, |weight| owed = weights.withdraw_unlinked(owed, weight));
        }
    }

    /// Evicts somebody because a bound was lowered; `takes` its weight.
    fn evict_for_bound(&self, owner: NodeOwner<'_, K, V>, takes: impl FnOnce(u64)) {
        // Nothing to evict: what is over is reserved by inserts that are about to publish;
        // each of them ends, and the next turn finds their entries.
        let victim = self.table.evict_any(&owner.local().position, &owner.walker());
        let Some(victim) = victim else {
            return crate::sync::yield_now();
        };
        takes(self.weight_of(owner, victim));
        drop(self.budget.of_unlinked());
        // SAFETY: the hand gave us the slot's share of the node.
        let cause = unsafe { self.cause_of(owner, victim, Cause::Capacity) };
        self.tell_and_release(owner, victim, cause);
        owner.finish();
    }
}
