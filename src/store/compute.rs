//! How is a key's value decided on the present one? Look, ask, one exchange; again if it has changed.
//!
//! The closure runs under protection of the entry that it sees and nothing else. Then nothing is protected,
//! while the new value is weighed; a share of the entry that was seen keeps it, so that no other can have
//! its address meanwhile. That share is confirmed under protection (`refreshing`, `keep`); if the entry was
//! unlinked before, the closure is asked again. The decision counts only if the key still has that entry: by the exchange of
//! the very word that names it. Or if it still has none: by that of the word of a flight, or by the claim,
//! which no second one of the key survives. Between the look and the exchange a key without an entry may
//! have had one and lost it; it has none at the instant of the exchange, as the closure was told.

use std::ptr::NonNull;

use crate::config::{Cause, Compute};
use crate::hash::Hashed;
use crate::load::part;
use crate::node::{Node, NodeOwner, NodeWalker, Private, release};
use crate::removed::Removed;
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::store::{Leaving, Shield, Store, Written};
use crate::table::Found;
use crate::table::claim::Acquired;

/// What came of a decision.
pub(crate) enum Decided<K, V> {
    Unchanged,
    Written(Written<K, V>),
    Removed(Removed<K, V>),
}

/// The entry that a closure has seen, kept by a share that was confirmed, or is given back under protection.
struct Seen<'d, K, V> {
    owner: NodeOwner<'d, K, V>,
    node: NonNull<Node<K, V>>,
}

impl<K, V> Drop for Seen<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: the share is ours, and given up here.
        unsafe { release(self.owner, self.node) };
    }
}

/// An entry or a flight that was taken out of its slot, whose share the taker has, and why.
struct Taken<K, V> {
    node: NonNull<Node<K, V>>,
    ready: bool,
    cause: Cause,
}

/// What came of an attempt to write.
enum Put<'d, K, V> {
    /// It is in, in place of what was taken.
    In(Option<Taken<K, V>>),
    /// There is no room for it. What was there is taken all the same.
    Refused(Private<'d, K, V>, Option<Taken<K, V>>),
    /// The slot has changed.
    Changed(Private<'d, K, V>),
}

impl<K: Eq, V> Store<K, V> {
    /// Does to `key` what `decide` says, given its present value.
    pub(crate) fn compute(
        &self,
        hash: Hashed,
        mut key: K,
        mut decide: impl FnMut(Option<&V>) -> Compute<V>,
    ) -> Decided<K, V> {
        let owner = self.domain.owner();
        // Dropped in reverse, as in `insert`.
        let mut leaving = self.leaving(owner);
        loop {
            leaving.settle();
            let shield = Shield::new(owner);
            let found = self.table.locate(hash, &key, &shield);
            let present = found.as_ref().filter(|found| self.is_present(owner, found));
            // SAFETY: found READY and protected by `shield`.
            let value = present.map(|found| unsafe { found.node.as_ref().value() });
            match (decide(value), found.as_ref()) {
                (Compute::Keep, _) | (Compute::Remove, None) => return Decided::Unchanged,
                (Compute::Remove, Some(found)) => {
                    if let Some(taken) = self.take_out(hash, found, Cause::Removed) {
                        drop(shield);
                        let removed = self.let_go(taken);
                        return removed.map_or(Decided::Unchanged, Decided::Removed);
                    }
                }
                (Compute::Insert(value), _) => {
                    // SAFETY: found READY and protected by `shield`.
                    if present.is_some_and(|found| !unsafe { self.keep(owner, found) }) {
                        drop(shield);
                        drop(value); // a user's destructor
                        continue; // it has changed: its last share may be gone
                    }
                    let seen = present.map(|found| Seen { owner, node: found.node });
                    drop(shield);
                    let arrival = self.arrival(&key, &value);
                    let fresh = Private::entry(owner, hash.place(), key, value, arrival.times);
                    match self.put(&mut leaving, hash, seen.as_ref(), fresh, arrival.weight) {
                        Put::In(taken) => {
                            owner.local().inserts.bump();
                            let old = taken.and_then(|taken| self.let_go(taken));
                            return Decided::Written(old.map_or(Written::New, Written::Replaced));
                        }
                        Put::Refused(fresh, taken) => {
                            drop(taken.map(|taken| self.let_go(taken)));
                            return Decided::Written(self.hand_back(owner, fresh, arrival.weight));
                        }
                        Put::Changed(fresh) => key = fresh.into_entry().0,
                    }
                }
            }
        }
    }

    /// Whether what was found, and is protected, is an entry that is not over.
    fn is_present(&self, owner: NodeOwner<'_, K, V>, found: &Found<'_, K, V>) -> bool {
        // SAFETY: found, and protected by the caller.
        found.word.is_ready() && !unsafe { self.is_over(owner, found.node) }
    }

    /// Gives the key its new value, if it still has the entry that was seen, or none.
    fn put<'d>(
        &self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        seen: Option<&Seen<'_, K, V>>,
        fresh: Private<'d, K, V>,
        weight: u64,
    ) -> Put<'d, K, V> {
        let owner = leaving.owner;
        // Before the protection, since it may collect.
        let admitted = self.admits(owner, fresh.tail(), weight);
        let shield = Shield::new(owner);
        let acquired = if admitted {
            self.acquire(owner, hash, fresh.key(), &shield)
        } else {
            match self.table.locate(hash, fresh.key(), &shield) {
                Some(found) => Acquired::Occupied(found),
                None => Acquired::Crowded, // or not, it cannot come in
            }
        };
        let as_before = match (&acquired, seen) {
            (Acquired::Occupied(found), Some(seen)) => {
                found.word.is_ready() && (found.node == seen.node || planted(Seed::ComputeTakesAny))
            }
            (Acquired::Occupied(found), None) => !self.is_present(owner, found),
            (Acquired::Claimed(_) | Acquired::Crowded, seen) => seen.is_none(),
        };
        match acquired {
            _ if !as_before => Put::Changed(fresh),
            Acquired::Occupied(found) => self.put_over(
                leaving,
                hash,
                &found,
                fresh,
                admitted.then_some(weight),
                &shield.walker,
            ),
            Acquired::Crowded => Put::Refused(fresh, None),
            Acquired::Claimed(claim) => {
                let Some(room) = self.reserve(leaving, hash, weight, &shield.walker) else {
                    return Put::Refused(fresh, None);
                };
                let Some(place) = claim.finalise(Word::ready(fresh.as_ptr())) else {
                    return Put::Changed(fresh);
                };
                self.move_in(owner, (hash, place), room, weight, &shield.walker);
                fresh.published();
                Put::In(None)
            }
        }
    }

    /// Writes over an entry or a flight, which is protected; `weight` is `None` if it may not.
    fn put_over<'d>(
        &self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        found: &Found<'_, K, V>,
        fresh: Private<'d, K, V>,
        weight: Option<u64>,
        walker: &NodeWalker<'_, K, V>,
    ) -> Put<'d, K, V> {
        let owner = leaving.owner;
        let taken = self.taken(owner, found, Cause::Replaced);
        if let (Some(weight), true) = (weight, taken.ready) {
            if let Some(change) = self.reserve_change(leaving, found, weight, walker) {
                return match self.write_over(found, fresh, change) {
                    Ok(()) => Put::In(Some(taken)),
                    Err(fresh) => Put::Changed(fresh),
                };
            }
        } else if let Some(weight) = weight
            && let Some(room) = self.reserve(leaving, hash, weight, walker)
        {
            if !found.place.exchange(found.word, Word::ready(fresh.as_ptr())) {
                return Put::Changed(fresh); // the room goes back
            }
            self.move_in(owner, (hash, found.place), room, weight, walker);
            fresh.published();
            return Put::In(Some(taken));
        }
        // An explicit write invalidates although it cannot be admitted itself.
        match self.take_out(hash, found, Cause::Removed) {
            Some(taken) => Put::Refused(fresh, Some(taken)),
            None => Put::Changed(fresh),
        }
    }

    /// What is found, as something that leaves for `cause`, or because its time is over.
    fn taken(
        &self,
        owner: NodeOwner<'_, K, V>,
        found: &Found<'_, K, V>,
        cause: Cause,
    ) -> Taken<K, V> {
        let ready = found.word.is_ready();
        // SAFETY: found READY, and protected by the caller.
        let cause = if ready { unsafe { self.cause_of(owner, found.node, cause) } } else { cause };
        Taken { node: found.node, ready, cause }
    }

    /// Empties a slot, if it says what it said. Gives an entry's room back.
    fn take_out(&self, hash: Hashed, found: &Found<'_, K, V>, cause: Cause) -> Option<Taken<K, V>> {
        let owner = self.domain.owner();
        let taken = self.taken(owner, found, cause);
        if !found.place.unlink(found.word) {
            return None;
        }
        self.table.vacated(hash, found.place);
        if taken.ready {
            self.give_room(owner, taken.node);
        }
        Some(taken)
    }

    /// Lets go of what was taken, outside all protection: a handle of an entry, nothing of a flight or of
    /// an entry whose time was over.
    fn let_go(&self, taken: Taken<K, V>) -> Option<Removed<K, V>> {
        let owner = self.domain.owner();
        match taken {
            Taken { node, ready: true, cause: Cause::Expired } => {
                self.tell_and_release(owner, node, Cause::Expired);
            }
            Taken { node, ready: true, cause } => return Some(self.depart(node, cause)),
            // SAFETY: taking the flight out of its slot gave us the slot's share.
            Taken { node, .. } => unsafe { part(owner, node) },
        }
        None
    }
}
