//! How is a missing key loaded once? The leader's part and the waiters' part of a flight.
//!
//! ```text
//!                     register                 Ok, admitted
//!  claim of the key ------------> LOADING ----------------------> READY
//!                                    |   Ok, no room; Err; panic
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
//! whoever calls after that starts anew and cannot be given the old failure.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::config::Cause;
use crate::error::LoadError;
use crate::events;
use crate::hash::Hashed;
use crate::load::Running;
use crate::node::{Failure, Node, NodeOwner, Outcome, Private, release};
use crate::pause::{Step, reach};
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::store::{Arrival, Shield, Store, Trace};
use crate::table::Place;
use crate::table::claim::Acquired;

impl<K, V: Clone> Store<K, V> {
    /// The value of `key`; loads it if it is missing, once among all who ask at a time.
    ///
    /// `shares_failures`: whether the caller can be told of another's panic. If not, it goes into
    /// the next flight.
    pub(crate) fn get_or_load<E: Send + Sync + 'static>(
        &self,
        hash: Hashed,
        key: K,
        shares_failures: bool,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        K: Eq,
    {
        if let Some(value) = self.read(hash, &key, Trace::Use, |_, value| value.clone()) {
            return Ok(value);
        }
        let owner = self.domain.owner();
        let _leaving = self.leaving(owner);
        let pending = Private::flight(owner, hash.place(), key);
        loop {
            let shield = Shield::new(owner);
            match self.acquire(owner, hash, pending.key(), &shield) {
                Acquired::Occupied(found)
                    // SAFETY: found, and protected by `shield`.
                    if found.word.is_ready() && unsafe { self.is_over(owner, found.node) } =>
                {
                    let loading = Word::loading(pending.as_ptr());
                    if !found.place.renew(found.word, loading) && !planted(Seed::RenewDecides) {
                        continue;
                    }
                    let node = pending.published();
                    drop(shield);
                    let lead = Lead { store: self, owner, hash, place: found.place, node };
                    lead.renewed(found.node);
                    return lead.run(load);
                }
                Acquired::Occupied(found) if found.word.is_ready() => {
                    found.place.touch();
                    // SAFETY: found READY and protected by `shield`.
                    return Ok(unsafe { found.node.as_ref().value() }.clone());
                }
                Acquired::Occupied(flight) => {
                    // SAFETY: protected by `shield`.
                    if !unsafe { flight.node.as_ref() }.join() {
                        continue;
                    }
                    let joined = Joined { owner, node: flight.node };
                    drop(shield);
                    if let Some(outcome) = joined.outcome(shares_failures) {
                        return outcome;
                    }
                }
                Acquired::Claimed(claim) => {
                    let Some(place) = claim.finalise(Word::loading(pending.as_ptr())) else {
                        continue;
                    };
                    let node = pending.published();
                    drop(shield);
                    reach(Step::Registered);
                    return Lead { store: self, owner, hash, place, node }.run(load);
                }
                Acquired::Crowded => {
                    // Nothing can be registered for a key whose hash hundreds of others share:
                    // its load is not shared and its value not kept.
                    drop(shield);
                    owner.local().loads.bump();
                    owner.local().not_admitted.bump();
                    events::not_admitted();
                    return load().map_err(|error| LoadError::Failed(Arc::new(error)));
                }
            }
        }
    }
}

/// A waiter's share of a flight.
struct Joined<'s, K, V> {
    owner: NodeOwner<'s, K, V>,
    node: NonNull<Node<K, V>>,
}

impl<K, V: Clone> Joined<'_, K, V> {
    /// Waits for the flight. `None`: its outcome says nothing to this caller, who tries again.
    fn outcome<E: Send + Sync + 'static>(
        &self,
        shares_failures: bool,
    ) -> Option<Result<V, LoadError<E>>> {
        if Running::is_on_this_stack(self.node) {
            return Some(Err(LoadError::Reentrant));
        }
        // SAFETY: the share keeps the node.
        let node = unsafe { self.node.as_ref() };
        node.wait();
        match node.outcome() {
            // SAFETY: the outcome is READY.
            Outcome::Ready => Some(Ok(unsafe { node.value() }.clone())),
            Outcome::Failed => {
                let error = node.failure()?.downcast::<E>().ok()?;
                Some(Err(LoadError::Failed(error)))
            }
            Outcome::Panicked if shares_failures => Some(Err(LoadError::Panicked)),
            Outcome::Panicked => None,
            Outcome::Pending => unreachable!("a settled flight has an outcome"),
        }
    }
}

impl<K, V> Drop for Joined<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: the share is ours and is given up here, once.
        unsafe { release(self.owner, self.node) };
    }
}

/// The leader of a flight. Dropped without having finished, it reports a panic.
struct Lead<'s, K, V> {
    store: &'s Store<K, V>,
    owner: NodeOwner<'s, K, V>,
    hash: Hashed,
    place: Place<'s, K, V>,
    node: NonNull<Node<K, V>>,
}

impl<K, V: Clone> Lead<'_, K, V> {
    fn run<E: Send + Sync + 'static>(
        self,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let loaded = {
            let _running = Running::enter(self.node);
            // On the same stack: a value's `clone` may ask for this key as well, and so may the
            // functions that say what it weighs and how long it may live, whose panics are the loader's.
            load().map(|value| {
                // SAFETY: the leader's share keeps the node.
                let arrival = self.store.arrival(unsafe { self.node.as_ref() }.key(), &value);
                (value.clone(), value, arrival)
            })
        };
        match loaded {
            Ok((copy, value, arrival)) => {
                self.succeed(value, arrival);
                Ok(copy)
            }
            Err(error) => Err(LoadError::Failed(self.fail(error))),
        }
    }

    fn succeed(self, value: V, arrival: Arrival) {
        let Self { store, owner, place, node, hash } = self;
        std::mem::forget(self);
        let _share = Joined { owner, node };
        owner.local().loads.bump();
        let Arrival { weight, stamp } = arrival;
        // SAFETY: the leader's share keeps the node.
        if let (Some(tail), Some(stamp)) = (unsafe { owner.tail(node) }, stamp) {
            tail.set_stamp(stamp);
        }
        // SAFETY: the leader's share keeps the node; the leader concludes and settles once, since
        // `self` is used up here.
        unsafe {
            node.as_ref().conclude_ready(value);
            node.as_ref().settle();
        }
        events::loaded();
        reach(Step::Settled);

        // From here on the value is everybody's; what follows is only about keeping it.
        let mut leaving = store.leaving(owner);
        let loading = Word::loading(node.as_ptr());
        let admitted = if !place.holds(loading) {
            false // detached while it ran: nobody is evicted for it
        } else if let Some((room, entrance)) = store
            // SAFETY: kept by `_share`; a node of this cache.
            .admits(owner, unsafe { owner.tail(node) }, weight)
            .then(|| store.reserve(&mut leaving, hash, weight))
            .flatten()
        {
            // SAFETY: kept by `_share`.
            let flight = unsafe { node.as_ref() };
            flight.enter();
            if place.exchange(loading, Word::ready(node.as_ptr())) {
                room.occupy();
                store.table.enter(hash, place, entrance, weight);
                true
            } else {
                flight.not_entered();
                false // detached just now; the room goes back
            }
        } else {
            owner.local().not_admitted.bump();
            events::not_admitted();
            self::detach(store, owner, hash, place, node);
            false
        };
        if admitted {
            owner.local().inserts.bump();
        } else {
            owner.local().left[Cause::Rejected.index()].bump();
            // SAFETY: READY since `conclude_ready`, and kept by `_share`.
            let entry = unsafe { node.as_ref() };
            // SAFETY: as above.
            store.tell(entry.key(), unsafe { entry.value() }, Cause::Rejected);
        }
    }

    fn fail<E: Send + Sync + 'static>(self, error: E) -> Arc<E> {
        let error = Arc::new(error);
        let shared: Failure = Arc::clone(&error) as Failure;
        // SAFETY: the leader concludes once: `end` uses `self` up.
        self.end(|node| unsafe { node.conclude_failed(shared) });
        error
    }
}

impl<K, V> Lead<'_, K, V> {
    /// The flight was registered in the place of `old`, whose time is over, and which now leaves.
    fn renewed(&self, old: NonNull<Node<K, V>>) {
        if !planted(Seed::RenewKeepsRoom) {
            self.store.give_room(self.owner, old);
        }
        // A listener that asks for the key would wait for this thread.
        let _running = Running::enter(self.node);
        self.store.tell_and_release(self.owner, old, Cause::Expired);
        reach(Step::Registered);
    }

    /// Ends a flight that has no value.
    fn end(self, conclude: impl FnOnce(&Node<K, V>)) {
        let (owner, node) = (self.owner, self.node);
        let (store, hash, place) = (self.store, self.hash, self.place);
        std::mem::forget(self);
        let _share = Joined { owner, node };
        owner.local().loads.bump();
        owner.local().load_failures.bump();
        events::load_failed(std::thread::panicking());
        // First out of the table, then known: see the module.
        if !planted(Seed::FailureStays) {
            detach(store, owner, hash, place, node);
        }
        // SAFETY: the leader's share keeps the node.
        let flight = unsafe { node.as_ref() };
        conclude(flight);
        if !(planted(Seed::SilentPanic) && flight.outcome() == Outcome::Panicked) {
            // SAFETY: the leader settles once, after the outcome; it has its share.
            unsafe { flight.settle() };
        }
        if planted(Seed::FailureStays) {
            detach(store, owner, hash, place, node);
        }
    }
}

impl<K, V> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        let Self { store, owner, hash, place, node } = *self;
        // SAFETY: reached only by unwinding out of the loader: nothing was concluded before.
        Lead { store, owner, hash, place, node }.end(|node| unsafe { node.conclude_panicked() });
    }
}

/// Takes a flight out of its slot, if it is still there.
fn detach<K, V>(
    store: &Store<K, V>,
    owner: NodeOwner<'_, K, V>,
    hash: Hashed,
    place: Place<'_, K, V>,
    node: NonNull<Node<K, V>>,
) {
    if place.unlink(Word::loading(node.as_ptr())) {
        store.table.vacated(hash, place);
        // SAFETY: unlinking gave us the slot's share.
        unsafe { release(owner, node) };
    }
}
