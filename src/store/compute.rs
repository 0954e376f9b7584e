//! How is a key's value decided on the present one? Look, ask, one exchange; again if it has changed.
//!
//! The closure runs under protection of the entry that it sees and nothing else. Its decision counts
//! only if the slot still says what it said: for an entry or a flight by the exchange of that very
//! word, under protection, so that no other entry can have its address; for a key without an entry
//! by the claim, which no second one of the key survives. Between the look and the claim the key may
//! have had an entry and lost it; it has none at the instant of the exchange, as the closure was told.

use std::ptr::NonNull;

use crate::config::{Cause, Compute};
use crate::hash::Hashed;
use crate::load::part;
use crate::node::{Node, Private};
use crate::removed::Removed;
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

/// An entry or a flight that was taken out of its slot, whose share the taker has.
struct Taken<K, V> {
    node: NonNull<Node<K, V>>,
    ready: bool,
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
            // Before the protection, since it may collect.
            let admitted = owner.admit();
            let shield = Shield::new(owner);
            let found = self.table.locate(hash, &key, &shield);
            let present = found.as_ref().filter(|found| found.word.is_ready());
            // SAFETY: found READY and protected by `shield`.
            let value = present.map(|found| unsafe { found.node.as_ref().value() });
            match (decide(value), found) {
                (Compute::Keep, _) | (Compute::Remove, None) => return Decided::Unchanged,
                (Compute::Remove, Some(found)) => {
                    if let Some(taken) = self.take_out(hash, &found) {
                        drop(shield);
                        let removed = self.let_go(taken, Cause::Removed);
                        return removed.map_or(Decided::Unchanged, Decided::Removed);
                    }
                }
                (Compute::Insert(value), found) => {
                    let fresh = Private::entry(owner, hash.place(), key, value);
                    let put = match found {
                        Some(found) => self.put_over(&mut leaving, hash, &found, fresh, admitted),
                        None if admitted => self.put_new(&mut leaving, hash, fresh, &shield),
                        None => Put::Refused(fresh, None),
                    };
                    drop(shield);
                    match put {
                        Put::In(taken) => {
                            owner.local().inserts.bump();
                            let old = taken.and_then(|taken| self.let_go(taken, Cause::Replaced));
                            return Decided::Written(old.map_or(Written::New, Written::Replaced));
                        }
                        Put::Refused(fresh, taken) => {
                            owner.local().not_admitted.bump();
                            drop(taken.map(|taken| self.let_go(taken, Cause::Removed)));
                            let (key, value) = fresh.into_entry();
                            return Decided::Written(Written::NotAdmitted(key, value));
                        }
                        Put::Changed(fresh) => key = fresh.into_entry().0,
                    }
                }
            }
        }
    }

    /// Writes over an entry or a flight.
    fn put_over<'d>(
        &self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        found: &Found<'_, K, V>,
        fresh: Private<'d, K, V>,
        admitted: bool,
    ) -> Put<'d, K, V> {
        let taken = Taken { node: found.node, ready: found.word.is_ready() };
        if admitted && taken.ready {
            let word = found.word.with_node(fresh.as_ptr());
            if !found.place.exchange(found.word, word) {
                return Put::Changed(fresh);
            }
            fresh.published();
            found.place.touch();
            return Put::In(Some(taken));
        }
        let room = admitted.then(|| self.reserve(leaving, hash)).flatten();
        let Some((room, entrance)) = room else {
            // An explicit write invalidates although it cannot be admitted itself.
            return match self.take_out(hash, found) {
                Some(taken) => Put::Refused(fresh, Some(taken)),
                None => Put::Changed(fresh),
            };
        };
        if !found.place.exchange(found.word, Word::ready(fresh.as_ptr())) {
            return Put::Changed(fresh); // the room goes back
        }
        room.occupy();
        self.table.enter(hash, found.place, entrance);
        fresh.published();
        Put::In(Some(taken))
    }

    /// Writes where the key has neither an entry nor a flight.
    fn put_new<'d>(
        &self,
        leaving: &mut Leaving<'_, K, V>,
        hash: Hashed,
        fresh: Private<'d, K, V>,
        shield: &Shield<'_, K, V>,
    ) -> Put<'d, K, V> {
        match self.acquire(leaving.owner, hash, fresh.key(), shield) {
            Acquired::Occupied(_) => Put::Changed(fresh),
            Acquired::Crowded => Put::Refused(fresh, None),
            Acquired::Claimed(claim) => {
                let Some((room, entrance)) = self.reserve(leaving, hash) else {
                    return Put::Refused(fresh, None);
                };
                let Some(place) = claim.finalise(Word::ready(fresh.as_ptr())) else {
                    return Put::Changed(fresh);
                };
                room.occupy();
                self.table.enter(hash, place, entrance);
                fresh.published();
                Put::In(None)
            }
        }
    }

    /// Empties a slot, if it says what it said. Gives an entry's room back.
    fn take_out(&self, hash: Hashed, found: &Found<'_, K, V>) -> Option<Taken<K, V>> {
        if !found.place.unlink(found.word) {
            return None;
        }
        self.table.vacated(hash, found.place);
        let ready = found.word.is_ready();
        if ready {
            drop(self.budget.of_unlinked());
        }
        Some(Taken { node: found.node, ready })
    }

    /// Lets go of what was taken, outside all protection: a handle of an entry, nothing of a flight.
    fn let_go(&self, taken: Taken<K, V>, cause: Cause) -> Option<Removed<K, V>> {
        if taken.ready {
            return Some(self.depart(taken.node, cause));
        }
        // SAFETY: taking the flight out of its slot gave us the slot's share.
        unsafe { part(self.domain.owner(), taken.node) };
        None
    }
}
