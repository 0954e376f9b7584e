//! How do table, budget, domain and flights make a cache? The operations, given a hash.
//!
//! Every operation has the same shape: look for the key under protection, change one slot by one
//! exchange, let go of the protection; then, outside everything, tell the listener, give back
//! shares, and free a batch of what nobody reads any more. `leaving` is that last part, and it
//! happens also when a user's `Eq`, `Clone` or `to_owned` panics.

mod bulk;
mod compute;
mod dumping;
mod expiring;
mod flight;
mod future;
mod leaving;
mod loading;
mod reading;
mod refreshing;
mod room;
mod sought;
mod walk;

pub(crate) use reading::Trace;

use std::ptr::NonNull;
use std::sync::Arc;

use equivalent::Equivalent;

use crate::budget::Budget;
use crate::config::{Cause, Policy};
use crate::events;
use crate::expiry::{Expiry, Times};
use crate::hash::Hashed;
use crate::load::part;
use crate::local::Local;
use crate::node::{Node, NodeDomain, NodeOwner, NodeWalker, Private};
use crate::reclaim::{Hazard, Kind, Protect, Shelter, Walk};
use crate::refresh::Refresh;
use crate::removed::Removed;
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::stats::Stats;
use crate::table::Table;
use crate::table::claim::{Acquired, Claimer};
pub(crate) use compute::Decided;
use leaving::Leaving;
pub(crate) use room::{Weigher, Weighing};
pub(crate) use sought::{Given, Lent};

/// A listener, as the builder takes it.
pub(crate) type Listener<K, V> = Box<dyn Fn(&K, &V, Cause) + Send + Sync>;

/// The outcome of an insert, before the public face gives it its words.
pub(crate) enum Written<K, V> {
    New,
    Replaced(Removed<K, V>),
    TooHeavy(K, V),
    NotAdmitted(K, V),
}

/// A cache without its hasher.
pub(crate) struct Store<K, V> {
    domain: Arc<NodeDomain<K, V>>,
    table: Table<K, V>,
    budget: Budget,
    weighing: Option<Box<Weighing<K, V>>>,
    listener: Option<Listener<K, V>>,
    count_hits: bool,
    /// What a look-up has to do beside looking up: nothing (0), to count (1), or entries have times (-1): an end, or a
    /// refresh. One comparison tells the three apart.
    watch: i8,
    /// Where entries expire.
    expiry: Option<Box<Expiry<K, V>>>,
    /// Where entries are refreshed.
    refresh: Option<Box<Refresh>>,
    /// Given by the user, or follows the bound.
    fixed_slack: Option<u64>,
}

/// What a store is made of, as the builder has checked it.
pub(crate) struct Setup<K, V> {
    /// The bound on entries; where entries are weighed, there need not be one.
    pub(crate) max_entries: Option<usize>,
    pub(crate) weighing: Option<Weighing<K, V>>,
    /// What the table is built for, unless it is the bound.
    pub(crate) expected_entries: Option<usize>,
    pub(crate) policy: Policy,
    pub(crate) slack: Option<u64>,
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) count_hits: bool,
    pub(crate) expiry: Option<Box<Expiry<K, V>>>,
    pub(crate) refresh: Option<Box<Refresh>>,
}

/// What functions of the user's say of an entry that comes: asked once, outside everything.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    weight: u64,
    times: Times,
}

/// Protection for an operation that may run inside user code that is itself under protection, and may have to walk.
struct Shield<'d, K, V> {
    /// Without it, `walker` is a nested pin.
    hazard: Option<Hazard<'d, Node<K, V>, Local>>,
    walker: NodeWalker<'d, K, V>,
}

impl<'d, K, V> Shield<'d, K, V> {
    #[inline]
    fn new(owner: NodeOwner<'d, K, V>) -> Self {
        if owner.is_quiet() {
            Self { hazard: Some(owner.hazard()), walker: owner.walker() }
        } else {
            Self::nested(owner)
        }
    }

    /// One that does not need the hazard, and under which many nodes may be looked at.
    fn nested(owner: NodeOwner<'d, K, V>) -> Self {
        Self { hazard: None, walker: owner.walker_nested() }
    }
}

impl<K, V> Protect<Node<K, V>> for Shield<'_, K, V> {
    const STABLE: bool = false;

    #[inline]
    fn protect(&self, node: *mut Node<K, V>) {
        if let Some(hazard) = &self.hazard {
            hazard.protect(node);
        }
    }
}

impl<K, V> Shelter for Shield<'_, K, V> {
    const UP: bool = false;

    #[inline]
    fn walk(&self) -> Walk<'_> {
        self.walker.walk()
    }
}

impl<K, V> Store<K, V> {
    pub(crate) fn new(setup: Setup<K, V>) -> Self {
        let Setup {
            max_entries,
            weighing,
            expected_entries,
            policy,
            slack,
            listener,
            count_hits,
            expiry,
            refresh,
        } = setup;
        let max = max_entries.unwrap_or_else(Table::<K, V>::max_entries);
        let max_weight = weighing.as_ref().map(|weighing| weighing.weights.max());
        let built_for =
            expected_entries.unwrap_or_else(|| room::first_size(max, max_weight)).min(max);
        let timed = expiry.is_some() || refresh.is_some();
        let kind = match (&weighing, timed) {
            (Some(_), _) => Kind::Weighed,
            (None, true) => Kind::Long,
            (None, false) => Kind::Short,
        };
        let own_slack = slack.unwrap_or_else(|| room::slack_for(max, max_weight));
        Self {
            domain: Arc::new(NodeDomain::new(own_slack, kind)),
            table: Table::new(built_for, policy, max_weight),
            budget: Budget::new(max),
            weighing: weighing.map(Box::new),
            listener,
            count_hits,
            watch: match (timed, count_hits) {
                (true, _) => -1,
                (false, true) => 1,
                (false, false) => 0,
            },
            expiry,
            refresh,
            fixed_slack: slack,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.budget.used()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.budget.max()
    }

    // ---- writing ----------------------------------------------------------------------------

    /// What is to be known of an entry that comes now. Runs functions of the user's.
    #[inline]
    fn arrival(&self, key: &K, value: &V) -> Arrival {
        Arrival { weight: self.weigh(key, value), times: self.times(key, value) }
    }

    pub(crate) fn insert(&self, hash: Hashed, key: K, value: V) -> Written<K, V>
    where
        K: Eq,
    {
        self.table.fetch_for_write(hash);
        let arrival = self.arrival(&key, &value);
        let weight = arrival.weight;
        let owner = self.domain.owner();
        // Dropped in reverse: first the protection, then what was not published, then the rest.
        let mut leaving = self.leaving(owner);
        let mut fresh = Private::entry(owner, hash.place(), key, value, arrival.times);
        if !self.admits(owner, fresh.tail(), weight) {
            return self.refuse(&mut leaving, hash, fresh, weight);
        }
        loop {
            // Room is reserved and used, or given back, within one turn: never while user code
            // (`Eq`) runs.
            leaving.settle();
            let shield = Shield::new(owner);
            self.table.fetch_beyond(hash, &shield);
            let (node, cause) = match self.acquire(owner, hash, fresh.key(), &shield) {
                Acquired::Occupied(found) if found.word.is_ready() => {
                    let walker = &shield.walker;
                    let change = self.reserve_change(&mut leaving, &found, weight, walker);
                    let Some(change) = change else { break };
                    // SAFETY: found, and protected by `shield`.
                    let cause = unsafe { self.cause_of(owner, found.node, Cause::Replaced) };
                    if let Err(back) = self.write_over(&found, fresh, change) {
                        fresh = back;
                        continue;
                    }
                    (found.node, Some(cause))
                }
                Acquired::Occupied(_) if planted(Seed::InsertSparesFlight) => return Written::New,
                Acquired::Occupied(flight) => {
                    // The explicit write wins: the flight is detached and will not publish.
                    let room = self.reserve(&mut leaving, hash, weight, &shield.walker);
                    let Some(room) = room else { break };
                    if !flight.place.exchange(flight.word, Word::ready(fresh.as_ptr())) {
                        continue;
                    }
                    self.move_in(owner, (hash, flight.place), room, weight, &shield.walker);
                    fresh.published();
                    (flight.node, None)
                }
                Acquired::Claimed(claim) => {
                    let room = self.reserve(&mut leaving, hash, weight, &shield.walker);
                    let Some(room) = room else { break };
                    let Some(place) = claim.finalise(Word::ready(fresh.as_ptr())) else { continue };
                    self.move_in(owner, (hash, place), room, weight, &shield.walker);
                    fresh.published();
                    owner.local().inserts.bump();
                    return Written::New;
                }
                Acquired::Crowded => break,
            };
            drop(shield);
            owner.local().inserts.bump();
            return match cause {
                None => {
                    // SAFETY: the exchange gave us the slot's share of the flight's node.
                    unsafe { part(owner, node) };
                    Written::New
                }
                Some(Cause::Expired) => {
                    self.tell_and_release(owner, node, Cause::Expired);
                    Written::New
                }
                Some(cause) => Written::Replaced(self.depart(node, cause)),
            };
        }
        self.refuse(&mut leaving, hash, fresh, weight)
    }

    /// An explicit write that cannot be admitted still invalidates: the old value leaves.
    #[cold]
    fn refuse(
        &self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        fresh: Private<'_, K, V>,
        weight: u64,
    ) -> Written<K, V>
    where
        K: Eq,
    {
        if let Some((old, cause)) = self.unlink(hash, fresh.key(), &mut |_, _| true) {
            self.tell_and_release(leaving.owner, old, cause);
        }
        self.hand_back(leaving.owner, fresh, weight)
    }

    /// Counts an entry that could not be admitted, and gives it back.
    fn hand_back(
        &self,
        owner: NodeOwner<'_, K, V>,
        fresh: Private<'_, K, V>,
        weight: u64,
    ) -> Written<K, V> {
        owner.local().not_admitted.bump();
        events::not_admitted();
        let (key, value) = fresh.into_entry();
        if self.is_too_heavy(weight) {
            Written::TooHeavy(key, value)
        } else {
            Written::NotAdmitted(key, value)
        }
    }

    /// Replaces the value of `key` if it has one; else gives both back.
    pub(crate) fn replace(&self, hash: Hashed, key: K, value: V) -> Result<Removed<K, V>, (K, V)>
    where
        K: Eq,
    {
        let arrival = self.arrival(&key, &value);
        let weight = arrival.weight;
        let owner = self.domain.owner();
        let mut leaving = self.leaving(owner);
        let mut fresh = Private::entry(owner, hash.place(), key, value, arrival.times);
        if self.admits(owner, fresh.tail(), weight) {
            loop {
                leaving.settle();
                let shield = Shield::new(owner);
                match self.table.locate(hash, fresh.key(), &shield) {
                    Some(found) if found.word.is_ready() => {
                        // SAFETY: found, and protected by `shield`.
                        if unsafe { self.is_over(owner, found.node) } {
                            drop(shield);
                            self.expel(hash, fresh.key());
                            return Err(fresh.into_entry());
                        }
                        let change =
                            self.reserve_change(&mut leaving, &found, weight, &shield.walker);
                        let Some(change) = change else { break };
                        if let Err(back) = self.write_over(&found, fresh, change) {
                            fresh = back;
                            continue;
                        }
                        let old = found.node;
                        drop(shield);
                        owner.local().inserts.bump();
                        return Ok(self.depart(old, Cause::Replaced));
                    }
                    Some(_) if planted(Seed::ReplaceDetaches) => break,
                    _ => {
                        drop(shield);
                        return Err(fresh.into_entry());
                    }
                }
            }
        }
        match self.refuse(&mut leaving, hash, fresh, weight) {
            Written::NotAdmitted(key, value) | Written::TooHeavy(key, value) => Err((key, value)),
            Written::New | Written::Replaced(_) => unreachable!("a refusal refuses"),
        }
    }

    /// Removes the entry of `key` if `wanted` says so. A flight of the key is detached.
    pub(crate) fn remove<Q>(
        &self,
        hash: Hashed,
        key: &Q,
        mut wanted: impl FnMut(&K, &V) -> bool,
    ) -> Option<Removed<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let leaving = self.leaving(self.domain.owner());
        let (node, cause) = self.unlink(hash, key, &mut wanted)?;
        if cause == Cause::Expired {
            self.tell_and_release(leaving.owner, node, cause);
            return None;
        }
        Some(self.depart(node, cause))
    }

    /// Removes the entry of `key` if its time is over.
    #[cold]
    fn expel(&self, hash: Hashed, key: &K)
    where
        K: Eq,
    {
        if let Some((node, cause)) = self.unlink(hash, key, &mut |_, _| false) {
            self.tell_and_release(self.domain.owner(), node, cause);
        }
    }

    /// Unlinks the entry of `key`, whose slot's share the caller then has; gives its room back. One whose
    /// time is over leaves whether it is wanted or not.
    fn unlink<Q>(
        &self,
        hash: Hashed,
        key: &Q,
        wanted: &mut dyn FnMut(&K, &V) -> bool,
    ) -> Option<(NonNull<Node<K, V>>, Cause)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let owner = self.domain.owner();
        let shield = Shield::new(owner);
        loop {
            let found = self.table.locate(hash, key, &shield)?;
            let ready = found.word.is_ready();
            if !ready && planted(Seed::RemoveSparesFlight) {
                return None;
            }
            let mut cause = Cause::Removed;
            if ready {
                // SAFETY: found READY and protected by `shield`.
                let node = unsafe { found.node.as_ref() };
                // SAFETY: as above.
                cause = unsafe { self.cause_of(owner, found.node, cause) };
                // SAFETY: as above.
                if cause == Cause::Removed && !wanted(node.key(), unsafe { node.value() }) {
                    return None;
                }
            }
            let early = planted(Seed::RoomBeforeSlot) && ready;
            if early {
                self.give_room(owner, found.node);
            }
            if !found.place.unlink(found.word) {
                continue;
            }
            self.table.vacated(hash, found.place);
            if ready {
                if !early {
                    self.give_room(owner, found.node);
                }
                return Some((found.node, cause));
            }
            let flight = found.node;
            drop(shield);
            // SAFETY: unlinking gave us the slot's share of the flight's node.
            unsafe { part(owner, flight) };
            return None;
        }
    }

    #[inline(always)]
    fn acquire<'t, Q>(
        &'t self,
        owner: NodeOwner<'_, K, V>,
        hash: Hashed,
        key: &Q,
        shield: &'t Shield<'_, K, V>,
    ) -> Acquired<'t, K, V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let claims = &owner.local().claims;
        let claimer = Claimer { thread: crate::thread_id::index(), claims };
        self.table.acquire(hash, key, shield, claimer, || self.sizes())
    }

    // ---- at the end -------------------------------------------------------------------------

    /// Frees all that no reader holds.
    pub(crate) fn maintain(&self) {
        let owner = self.domain.owner();
        owner.settle();
        self.table.shrink(owner);
        self.survey();
    }

    /// To be called at the end of what may have removed many entries.
    fn finish_many(&self, owner: NodeOwner<'_, K, V>) {
        owner.finish_many();
        self.table.shrink(owner);
    }

    pub(crate) fn awaiting_reclamation(&self) -> usize {
        usize::try_from(self.domain.waiting()).unwrap_or(usize::MAX)
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.domain.locals().for_each(|local| stats.add(local));
        stats.entries = self.len();
        stats.weight = self.weight();
        stats.awaiting_reclamation = self.awaiting_reclamation();
        stats
    }
}

impl<K, V> Drop for Store<K, V> {
    fn drop(&mut self) {
        self.clear();
        self.domain.close();
        // Nobody borrows the cache any more, so nothing protects anything: all values go now. Values
        // that hold handles of entries of this cache retire those as they go.
        let mut waiting = usize::MAX;
        while self.awaiting_reclamation() < waiting {
            waiting = self.awaiting_reclamation();
            self.maintain();
        }
    }
}
