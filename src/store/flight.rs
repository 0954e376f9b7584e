//! Who takes part in a flight, seen from the store? Whoever asks for a key leads its flight, joins it, or
//! finds an entry.
//!
//! ```text
//!                     register                 Ok, admitted
//!  claim of the key ------------> LOADING ----------------------> READY
//!                                    |   Ok, no room; Err; panic; abandoned
//!                                    +----------------------------> EMPTY
//!                                    |   insert of the key
//!                                    +----------------------------> READY, another node
//!                                    |   remove, clear
//!                                    +----------------------------> EMPTY
//! ```
//!
//! An entry whose time is over is taken for a missing one: `READY -> LOADING` by the one exchange that
//! registers the flight, so of all that ask one leads, and the old entry leaves once.
//!
//! The last two detach the flight: the leader's exchange fails, its value goes to those who
//! waited and is not published, so a load that began before an invalidation cannot bring the old
//! value back. A flight that fails leaves its slot *before* its outcome is made known, so that
//! whoever calls after that starts anew and cannot be given the old failure. An abandoned one leaves
//! it after that; whoever meets it there empties the slot and starts anew (`load`).
//!
//! Nothing here belongs to a thread: a future that leads or waits may be polled and dropped by any.

mod running;

pub(crate) use running::{Loading, LoadingOne};

use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::config::Cause;
use crate::error::LoadError;
use crate::events;
use crate::hash::Hashed;
use crate::load::{LastRoom, Running, Seated, Turn, bury, part, unpark_this};
use crate::node::{Failure, Join, Node, NodeWalker, Outcome, Private, release};
use crate::pause::{Step, reach};
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::store::sought::Sought;
use crate::store::{Arrival, Shield, Store};
use crate::sync::park;
use crate::table::claim::Acquired;
use crate::table::{Lasting, Place};

/// What a loader returns for a key that it was to load with others and did not.
pub(crate) struct Missing;

/// A value that was loaded.
pub(crate) struct Arrived<V> {
    pub(crate) copy: V,
    pub(crate) value: V,
    pub(crate) arrival: Arrival,
}

/// What asking for a key comes to.
pub(crate) enum Asked<'s, K, V, W> {
    Found(V),
    /// The key is being loaded; what it was sought by is given back.
    Joined(W, Joined<'s, K, V>),
    Leads(Lead<'s, K, V>),
    /// Nothing can be registered for a key whose hash hundreds of others share: its load is not
    /// shared and its value not kept.
    Crowded(W),
}

impl<K, V> Store<K, V> {
    /// Finds the entry of the key that is `sought`, joins its flight, or registers one. Counts no hit or miss.
    ///
    /// A key is owned once its place is claimed, so by nobody who finds or joins. Others may abort the claim
    /// while `to_owned` runs, and a panic withdraws it: as for `Eq`.
    pub(crate) fn ask<W: Sought<K>>(&self, hash: Hashed, mut sought: W) -> Asked<'_, K, V, W>
    where
        V: Clone,
    {
        let owner = self.domain.owner();
        loop {
            let shield = Shield::new(owner);
            let (lead, over) = match self.acquire(owner, hash, sought.form(), &shield) {
                Acquired::Occupied(found)
                    // SAFETY: found, and protected by `shield`.
                    if found.word.is_ready() && unsafe { self.is_over(owner, found.node) } =>
                {
                    let pending = Private::flight(owner, hash.place(), sought.own());
                    let loading = Word::loading(pending.as_ptr());
                    if !found.place.renew(found.word, loading) && !planted(Seed::RenewDecides) {
                        sought = W::back(pending.into_key());
                        continue;
                    }
                    (self.lead(hash, found.place, pending), Some(found.node))
                }
                Acquired::Occupied(found) if found.word.is_ready() => {
                    found.place.touch();
                    // SAFETY: found READY and protected by `shield`.
                    return Asked::Found(unsafe { found.node.as_ref().value() }.clone());
                }
                Acquired::Occupied(found) => {
                    // SAFETY: protected by `shield`.
                    let join = unsafe { found.node.as_ref() }.join();
                    if join == Join::Gone {
                        continue;
                    }
                    let place = self.table.lasting(found.place);
                    let flight = Flight { store: self, hash, place, node: found.node };
                    let counted = join == Join::During;
                    return Asked::Joined(sought, Joined { flight, counted, seated: None });
                }
                Acquired::Claimed(claim) => {
                    let pending = Private::flight(owner, hash.place(), sought.own());
                    let Some(place) = claim.finalise(Word::loading(pending.as_ptr())) else {
                        sought = W::back(pending.into_key());
                        continue;
                    };
                    (self.lead(hash, place, pending), None)
                }
                Acquired::Crowded => return Asked::Crowded(sought),
            };
            drop(shield);
            match over {
                Some(old) => lead.renewed(old),
                None => reach(Step::Registered),
            }
            return Asked::Leads(lead);
        }
    }

    /// The lead of a flight that was put into the slot at `place`.
    fn lead(
        &self,
        hash: Hashed,
        place: Place<'_, K, V>,
        pending: Private<'_, K, V>,
    ) -> Lead<'_, K, V> {
        let place = self.table.lasting(place);
        Lead(Flight { store: self, hash, place, node: pending.published() })
    }

    /// Counts a load that nobody shared and whose value is not kept.
    pub(crate) fn loaded_alone(&self, failed: bool) {
        let local = self.domain.owner().local();
        local.loads.bump();
        if failed {
            local.load_failures.bump();
            events::load_failed(false);
        } else {
            local.not_admitted.bump();
            events::not_admitted();
        }
    }

    /// A value that a loader gave for `key`, with a copy for the leader and what the cache must know of
    /// it. To be called on the loader's stack: a value's `clone` may ask for this key as well, and so
    /// may the functions that say what it weighs and how long it may live, whose panics are the loader's.
    pub(super) fn arrived(&self, key: &K, value: V) -> Arrived<V>
    where
        V: Clone,
    {
        let arrival = self.arrival(key, &value);
        Arrived { copy: value.clone(), value, arrival }
    }
}

/// Where a flight is, or was until it was detached; and a share of it, which keeps it.
struct Flight<'s, K, V> {
    store: &'s Store<K, V>,
    hash: Hashed,
    place: Lasting,
    node: NonNull<Node<K, V>>,
}

impl<K, V> Clone for Flight<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Flight<'_, K, V> {}

// SAFETY: a share of a node is like an `Arc` of key and value; the place is words of a table that is
// shared in any case.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Flight<'_, K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Flight<'_, K, V> {}

impl<K, V> Flight<'_, K, V> {
    fn node(&self) -> &Node<K, V> {
        // SAFETY: whoever has a `Flight` has a share, which keeps the node.
        unsafe { self.node.as_ref() }
    }

    /// What its slot says while it is attached.
    fn word(&self) -> Word<Node<K, V>> {
        Word::loading(self.node.as_ptr())
    }

    /// Its slot, while it is attached.
    fn slot<'w>(&'w self, walker: &'w NodeWalker<'_, K, V>) -> Option<Place<'w, K, V>> {
        let place = self.store.table.place_of(self.hash, self.place, self.word(), walker)?;
        (place.holds(self.word()) || planted(Seed::LoadTakesAny)).then_some(place)
    }

    fn is_attached(&self) -> bool {
        self.slot(&self.store.domain.owner().walker()).is_some()
    }

    /// Takes the flight out of its slot, if it is still there.
    fn detach(&self) {
        let owner = self.store.domain.owner();
        let walker = owner.walker();
        if let Some(place) = self.slot(&walker)
            && place.unlink(self.word())
        {
            self.store.table.vacated(self.hash, place);
            drop(walker);
            // SAFETY: unlinking gave us the slot's share, given up here.
            unsafe { part(owner, self.node) };
        }
    }

    /// The leader gives up its lead and its share.
    ///
    /// # Safety
    /// The caller is the leader and owns one share; both are given up.
    unsafe fn abandon(self) {
        let (node, owner) = (self.node(), self.store.domain.owner());
        while let Some(count @ 1..=2) = node.taking_part() {
            if count == 1 && node.part(1) {
                // SAFETY: the last share was given back.
                return unsafe { bury(owner, self.node) };
            }
            if count == 2 && !self.is_attached() {
                break; // one who waits, or the share of the slot that is about to go
            }
            // SAFETY: the caller leads. The slot is left, and the caller: if that is so still, the
            // count is that of the counted shares. It is settled once, and the share is given up.
            unsafe {
                if count == 2 && node.conclude_abandoned(2) {
                    let share = Parting(self, node.settle(2));
                    self.detach();
                    return drop(share);
                }
            }
        }
        // SAFETY: the caller leads, and does not from here on; its share is given up.
        unsafe {
            node.vacate();
            self.leave();
        }
    }

    /// Gives up the share of one who does not lead. The last one of a flight that nobody leads
    /// abandons it.
    ///
    /// # Safety
    /// The caller owns a counted share or one of a flight without an outcome, and sits nowhere.
    unsafe fn leave(self) {
        while let Some(count) = self.node().taking_part() {
            // SAFETY: the caller has a share, and the flight had no outcome.
            let ends = count == 2
                && self.is_attached()
                && !planted(Seed::LastLeavesOpen)
                && unsafe { self.node().take_lead() };
            if ends {
                // SAFETY: the caller leads now, and has a share.
                return unsafe { self.abandon() };
            }
            if self.node().part(count) {
                if count == 1 {
                    // SAFETY: the last share was given back.
                    unsafe { bury(self.store.domain.owner(), self.node) };
                }
                return;
            }
        }
        // SAFETY: by contract; the flight has its outcome, so the share is counted.
        unsafe { part(self.store.domain.owner(), self.node) };
    }
}

/// One who waits, or has come when the flight was over.
pub(crate) struct Joined<'s, K, V> {
    flight: Flight<'s, K, V>,
    /// Whether the share is a counted one.
    counted: bool,
    seated: Option<Seated>,
}

impl<'s, K, V> Joined<'s, K, V> {
    /// Whether waiting would be for ever, as the flight's loader runs on this thread's stack.
    pub(crate) fn is_reentrant(&self) -> bool {
        Running::is_on_this_stack(self.flight.node)
    }

    /// Whether it is this one's turn; if not, `waker` is woken when it may be.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Turn> {
        if !self.counted {
            return Poll::Ready(Turn::Over);
        }
        // SAFETY: the share is a counted one, and given up when this is dropped, and not before.
        unsafe { self.flight.node.as_ref().poll_turn(&mut self.seated, waker) }
    }

    /// Blocks the thread until it is this one's turn.
    pub(crate) fn wait(&mut self) -> Turn {
        if !self.counted {
            return Turn::Over;
        }
        let waker = unpark_this();
        loop {
            match self.poll(&waker) {
                Poll::Ready(turn) => return turn,
                Poll::Pending => park(),
            }
        }
    }

    /// The lead, for one whose turn it is to take it.
    pub(crate) fn into_lead(self) -> Lead<'s, K, V> {
        debug_assert!(self.seated.is_none());
        let flight = self.flight;
        std::mem::forget(self); // with nothing in it: the seat was left
        Lead(flight)
    }

    /// What came of a flight that is over. `None`: nothing that can be said to this caller, who
    /// tries again.
    pub(crate) fn outcome<E: Send + Sync + 'static>(
        &self,
        shares_failures: bool,
    ) -> Option<Result<V, LoadError<E>>>
    where
        V: Clone,
    {
        let node = self.flight.node();
        match node.outcome() {
            // SAFETY: the outcome is READY.
            Outcome::Ready => Some(Ok(unsafe { node.value() }.clone())),
            Outcome::Failed => match node.failure()?.downcast::<E>() {
                Ok(error) => Some(Err(LoadError::Failed(error))),
                Err(other) => {
                    (shares_failures && other.is::<Missing>()).then_some(Err(LoadError::Missing))
                }
            },
            Outcome::Panicked => shares_failures.then_some(Err(LoadError::Panicked)),
            Outcome::Abandoned => {
                self.flight.detach();
                None
            }
            Outcome::Pending => unreachable!("a settled flight has an outcome"),
        }
    }
}

impl<K, V> Drop for Joined<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: the share is ours and is given up here, once, after the seat. If it is not a
        // counted one, it came after the outcome and is like that of a handle.
        unsafe {
            if self.counted {
                self.flight.node().stand_up(&mut self.seated);
                self.flight.leave();
            } else {
                release(self.flight.store.domain.owner(), self.flight.node);
            }
        }
        self.flight.store.domain.owner().finish();
    }
}

/// The leader of a flight, and its share. Dropped without having finished, it gives up the lead.
pub(crate) struct Lead<'s, K, V>(Flight<'s, K, V>);

impl<'s, K, V> Lead<'s, K, V> {
    pub(crate) fn key(&self) -> &K {
        self.0.node().key()
    }

    pub(crate) fn store(&self) -> &'s Store<K, V> {
        self.0.store
    }

    /// The flight was registered in the place of `old`, whose time is over, and which now leaves.
    fn renewed(&self, old: NonNull<Node<K, V>>) {
        let store = self.0.store;
        let owner = store.domain.owner();
        reach(Step::Renewed);
        if !planted(Seed::RenewKeepsRoom) {
            store.give_room(owner, old);
        }
        // A listener that asks for the key would wait for this thread.
        let _running = Running::enter(self.0.node);
        store.tell_and_release(owner, old, Cause::Expired);
        reach(Step::Registered);
    }

    pub(crate) fn node(&self) -> NonNull<Node<K, V>> {
        self.0.node
    }

    fn into_flight(self) -> Flight<'s, K, V> {
        let flight = self.0;
        std::mem::forget(self);
        flight
    }

    /// The flight has its value.
    pub(crate) fn succeed(self, value: V, arrival: Arrival) {
        self.conclude(value, arrival).keep();
    }

    /// Gives the value to all who wait. Runs no user code.
    pub(super) fn conclude(self, value: V, arrival: Arrival) -> Concluded<'s, K, V> {
        let Arrival { weight, times } = arrival;
        let flight = self.into_flight();
        let (store, node) = (flight.store, flight.node());
        let owner = store.domain.owner();
        owner.local().loads.bump();
        // SAFETY: the leader's share keeps the node, which is of this cache.
        if let Some(tail) = unsafe { owner.tail(flight.node) } {
            tail.set_weight(weight); // what it will be owed by, whether it is admitted or not
            tail.set_times(times);
        }
        // SAFETY: the leader concludes and settles once, since `self` is used up here. Its share is
        // given up at the end, when all else is done.
        let share = unsafe {
            let counted = node.conclude_ready(value);
            Parting(flight, node.settle(counted))
        };
        events::loaded();
        reach(Step::Settled);
        Concluded { share, weight }
    }

    /// The flight has failed; `failure` is for those who wait.
    pub(crate) fn fail(self, failure: Failure) {
        let store = self.0.store;
        let _leaving = store.leaving(store.domain.owner());
        drop(self.conclude_failed(failure));
    }

    /// `fail`, but for the leader's share, which is given back, and what it leads to: runs no user code.
    pub(super) fn conclude_failed(self, failure: Failure) -> Option<Parting<'s, K, V>> {
        // SAFETY: the leader concludes once: `end` uses `self` up.
        self.end(|node| unsafe { node.conclude_failed(failure) })
    }

    /// The loader has panicked.
    pub(crate) fn panicked(self) {
        let store = self.0.store;
        let _leaving = store.leaving(store.domain.owner());
        drop(self.conclude_panicked());
    }

    /// As `conclude_failed`.
    fn conclude_panicked(self) -> Option<Parting<'s, K, V>> {
        // SAFETY: as above.
        self.end(|node| unsafe { node.conclude_panicked() })
    }

    /// Ends a flight that has no value.
    fn end(self, conclude: impl FnOnce(&Node<K, V>) -> u32) -> Option<Parting<'s, K, V>> {
        let flight = self.into_flight();
        let (store, node) = (flight.store, flight.node());
        let owner = store.domain.owner();
        owner.local().loads.bump();
        owner.local().load_failures.bump();
        // First out of the table, then known: see the module.
        if !planted(Seed::FailureStays) {
            flight.detach();
        }
        let counted = conclude(node);
        events::load_failed(node.outcome() == Outcome::Panicked);
        if planted(Seed::SilentPanic) && node.outcome() == Outcome::Panicked {
            return None;
        }
        // SAFETY: the leader settles once, after the outcome; it has its share, which goes with what is
        // returned.
        let share = unsafe { Parting(flight, node.settle(counted)) };
        if planted(Seed::FailureStays) {
            flight.detach();
        }
        Some(share)
    }
}

/// A flight that has given its value to those who waited. What follows is only about keeping it.
#[must_use]
pub(super) struct Concluded<'s, K, V> {
    share: Parting<'s, K, V>,
    weight: u64,
}

impl<K, V> Concluded<'_, K, V> {
    /// Puts the value into the cache, if it is to be there. Runs listeners.
    pub(super) fn keep(self) {
        let Self { share, weight } = self;
        let flight = share.0;
        let (store, node, hash) = (flight.store, flight.node(), flight.hash);
        let owner = store.domain.owner();
        let mut leaving = store.leaving(owner);
        // Before the walk, since it may collect. If it was detached while it ran, nobody is evicted for it.
        // SAFETY: kept by our share, as above.
        let tail = unsafe { owner.tail(flight.node) };
        let admits = flight.is_attached() && store.admits(owner, tail, weight);
        let walker = owner.walker();
        let place = flight.slot(&walker);
        let room = place
            .filter(|_| admits)
            .and_then(|_| store.reserve(&mut leaving, hash, weight, &walker));
        let refused = place.is_some() && room.is_none();
        let admitted = if let (Some(place), Some(room)) = (place, room) {
            node.enter();
            let any = planted(Seed::LoadTakesAny);
            let word = if any { place.slot().load() } else { flight.word() };
            let entered = place.exchange(word, Word::ready(flight.node.as_ptr()));
            if entered {
                store.move_in(owner, (hash, place), room, weight, &walker);
                if !planted(Seed::SlotStaysSignedOn) {
                    // SAFETY: the slot's share was there all the time, hence is counted. It is the
                    // entry's from now on; our own share keeps the node.
                    unsafe { node.sign_off(share.1) };
                }
            } else {
                node.not_entered(); // detached just now; the room goes back
            }
            entered
        } else {
            false
        };
        drop(walker);
        if refused {
            owner.local().not_admitted.bump();
            events::not_admitted();
            flight.detach();
        }
        if admitted {
            owner.local().inserts.bump();
        } else {
            owner.local().left[Cause::Rejected.index()].bump();
            events::left(Cause::Rejected);
            // SAFETY: READY since `conclude_ready`, and kept by our share.
            store.tell(node.key(), unsafe { node.value() }, Cause::Rejected);
        }
    }
}

impl<K, V> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: the lead and its share are given up here, once.
        unsafe { self.0.abandon() };
        self.0.store.domain.owner().finish();
    }
}

/// A counted share of a flight that has its outcome, given back when dropped.
pub(super) struct Parting<'s, K, V>(Flight<'s, K, V>, LastRoom);

impl<K, V> Drop for Parting<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: made by a leader that has concluded, of its own share, which is given up here.
        unsafe {
            self.0.node().sign_off(self.1);
            release(self.0.store.domain.owner(), self.0.node);
        }
    }
}

/// Shares an error with all who wait.
pub(crate) fn shared<E: Send + Sync + 'static>(error: &Arc<E>) -> Failure {
    Arc::clone(error) as Failure
}
