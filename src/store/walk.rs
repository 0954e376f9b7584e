//! What goes over all entries? `retain`, `clear`, iteration, the order of eviction, the check.

use std::ptr::NonNull;

use crate::config::Cause;
use crate::hash::Hashed;
use crate::load::part;
use crate::node::{Node, NodeOwner, NodePin};
use crate::reclaim::Protect;
use crate::seed::{Seed, planted};
use crate::slot::{State, Word};
use crate::store::{Shield, Store};
use crate::table::{Found, Place};
use crate::tags::SLOTS;

/// Parts of a table that `maintain` surveys at most: some hundred buckets.
const PARTS: usize = 256;

impl<K, V> Store<K, V> {
    /// Makes some of what a table has grown by known, see `table::survey`.
    pub(crate) fn survey(&self) {
        let owner = self.domain.owner();
        let mut left = PARTS;
        for shard in 0..self.table.shards_to_survey() {
            // Protection for each part alone: what leaves meanwhile waits for it.
            while left > 0 && self.table.survey_shard(shard, &Shield::new(owner)) {
                left -= 1;
            }
        }
    }

    /// Removes the entries for which `keep` says no.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let owner = self.domain.owner();
        for cursor in self.cursors(owner) {
            for slot in 0..SLOTS {
                // A second look for what a refresh may have put in, as in `clear`.
                for _ in 0..if self.refresh.is_some() { 2 } else { 1 } {
                    let shield = Shield::new(owner);
                    let mut changed = false;
                    let doomed = self.visit(&shield, cursor, slot, |found, key, value| {
                        // SAFETY: `visit` protects what it found.
                        let cause = unsafe { self.cause_of(owner, found.node, Cause::Removed) };
                        let goes = cause == Cause::Expired || !keep(key, value);
                        let gone = goes && self.empty(found);
                        changed = goes && !gone;
                        gone.then_some((found.node, cause))
                    });
                    drop(shield);
                    if let Some((node, cause)) = doomed.flatten() {
                        self.left_slot(owner, node, cause);
                    }
                    if !changed {
                        break;
                    }
                }
            }
            owner.finish();
        }
        self.finish_many(owner);
    }

    /// All buckets, those appended meanwhile not necessarily.
    pub(super) fn cursors(&self, owner: NodeOwner<'_, K, V>) -> std::ops::Range<usize> {
        self.table.cursors(&owner.walker())
    }

    /// Unlinks an entry that was found by [`visit`](Self::visit), if it is there still.
    pub(super) fn empty(&self, found: &Found<'_, K, V>) -> bool {
        let unlinked = found.place.unlink(found.word);
        if unlinked {
            // SAFETY: the exchange gave us the slot's share of the node.
            self.table.vacated_at(found.place, unsafe { found.node.as_ref() }.place());
        }
        unlinked
    }

    /// Empties the cache and detaches all flights.
    pub(crate) fn clear(&self) {
        let owner = self.domain.owner();
        for cursor in self.cursors(owner) {
            for slot in 0..SLOTS {
                let walker = owner.walker();
                let Some((place, word)) = self.table.slot_at(cursor, slot, &walker) else { break };
                // A slot that changes meanwhile was written during the call: it may stay. Unless
                // what was loading has become an entry, since that load began before.
                // Or an entry was refreshed, likewise. One more look is enough for that: a refresh of what
                // is there then begins during the call.
                let refreshes = self.refresh.is_some() && !planted(Seed::ClearSparesRefresh);
                let gone = self.vacate(place, word).or_else(|| {
                    if word.state() == State::Loading && !planted(Seed::ClearSparesFlight) {
                        self.vacate(place, Word::ready(word.node()))
                    } else if word.is_ready() && refreshes {
                        self.vacate(place, place.slot().load())
                    } else {
                        None
                    }
                });
                drop(walker);
                if let Some((node, ready)) = gone {
                    self.left_by_clear(owner, node, ready);
                }
            }
            owner.finish();
        }
        owner.trim();
        self.table.shrink(owner);
    }

    /// Empties a slot of the entry or the flight that `word` says it has, whose share the caller has then.
    /// `None` if it has none, or not this one.
    fn vacate(
        &self,
        place: Place<'_, K, V>,
        word: Word<Node<K, V>>,
    ) -> Option<(NonNull<Node<K, V>>, bool)> {
        let occupied = matches!(word.state(), State::Ready | State::Loading);
        let node = NonNull::new(word.node()).filter(|_| occupied && place.unlink(word))?;
        // SAFETY: unlinking gave us the slot's share of the node.
        self.table.vacated_at(place, unsafe { node.as_ref() }.place());
        Some((node, word.is_ready()))
    }

    /// After [`vacate`](Self::vacate), outside all protection.
    fn left_by_clear(&self, owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>, ready: bool) {
        if ready {
            // SAFETY: whoever emptied the slot has its share of the node.
            let cause = unsafe { self.cause_of(owner, node, Cause::Removed) };
            self.left_slot(owner, node, cause);
        } else {
            // SAFETY: as above; it is given up.
            unsafe { part(owner, node) };
        }
    }

    /// After `node` was unlinked, outside all protection.
    pub(super) fn left_slot(
        &self,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
        cause: Cause,
    ) {
        self.give_room(owner, node);
        self.tell_and_release(owner, node, cause);
    }

    /// Calls `f` with the entry in a slot, under the protection of `shield`.
    pub(super) fn visit<R>(
        &self,
        shield: &Shield<'_, K, V>,
        cursor: usize,
        slot: usize,
        f: impl FnOnce(&Found<'_, K, V>, &K, &V) -> R,
    ) -> Option<R> {
        loop {
            let (place, word) = self.table.slot_at(cursor, slot, shield)?;
            if !word.is_ready() {
                return None;
            }
            shield.protect(word.node());
            if !still(place, word) {
                continue;
            }
            let node = NonNull::new(word.node())?;
            // SAFETY: READY, and in its slot after the protection became visible.
            let entry = unsafe { node.as_ref() };
            // SAFETY: as above.
            let value = unsafe { entry.value() };
            return Some(f(&Found { place, word, node }, entry.key(), value));
        }
    }

    /// What `f` makes of the entry in a slot, unless its time is over.
    fn look<R>(&self, cursor: usize, slot: usize, f: impl FnOnce(&K, &V) -> R) -> Option<R> {
        let owner = self.domain.owner();
        let seen = self.visit(&Shield::new(owner), cursor, slot, |found, key, value| {
            // SAFETY: `visit` protects what it found.
            let over = unsafe { self.is_over(owner, found.node) };
            (!over).then(|| f(key, value))
        });
        seen.flatten()
    }

    /// The entries from `(cursor, slot)` on: clones the next one and says where it was.
    pub(crate) fn next_from(
        &self,
        mut cursor: usize,
        mut slot: usize,
    ) -> Option<((usize, usize), (K, V))>
    where
        K: Clone,
        V: Clone,
    {
        let owner = self.domain.owner();
        while self.table.reaches(cursor, &owner.walker()) {
            while slot < SLOTS {
                if let Some(entry) = self.look(cursor, slot, |k, v| (k.clone(), v.clone())) {
                    return Some(((cursor, slot), entry));
                }
                slot += 1;
            }
            (cursor, slot) = (cursor + 1, 0);
        }
        None
    }

    /// All entries that `pin` sees, in no particular order.
    pub(crate) fn entries<'p>(
        &'p self,
        pin: &'p NodePin<'_, K, V>,
    ) -> impl Iterator<Item = (&'p K, &'p V)> {
        self.table.cursors(pin).flat_map(move |cursor| {
            (0..SLOTS).filter_map(move |slot| {
                let owner = pin.owner(); // the pin is what makes the next lines sound
                let (_, word) = self.table.slot_at(cursor, slot, pin)?;
                let node = word.is_ready().then(|| NonNull::new(word.node())).flatten()?;
                // SAFETY: read READY from its slot under the pin, which keeps it for `'p`.
                if unsafe { self.is_over(owner, node) } {
                    return None;
                }
                // SAFETY: as above.
                let node = unsafe { node.as_ref() };
                // SAFETY: as above.
                Some((node.key(), unsafe { node.value() }))
            })
        })
    }

    /// The keys in the order in which this thread's evictions would take them.
    pub(crate) fn coldest_first(&self) -> Vec<K>
    where
        K: Clone,
    {
        let owner = self.domain.owner();
        let order = self.table.coldest_first(&owner.local().position, &owner.walker());
        order
            .into_iter()
            .filter_map(|(cursor, slot)| self.look(cursor, slot, |key, _| key.clone()))
            .collect()
    }

    pub(crate) fn clock_shape(&self) -> [usize; 4] {
        self.table.shape()
    }

    pub(crate) fn clock_home(&self, hash: Hashed) -> (usize, usize) {
        self.table.home_of(hash)
    }

    pub(crate) fn adaptive_class(&self, hash: Hashed, key: &K) -> Option<(bool, u32)>
    where
        K: Eq,
    {
        let shield = Shield::new(self.domain.owner());
        self.table.class_of(hash, key, &shield)
    }

    /// Checks the whole structure. Only meaningful while no other thread uses the cache.
    pub(crate) fn validate(&self) -> Result<(), String>
    where
        K: Eq,
    {
        let pin = self.pin();
        let mut keys: Vec<&K> = Vec::new();
        let mut weights = Vec::new();
        for cursor in self.table.cursors(&pin) {
            for slot in 0..SLOTS {
                let Some((place, word)) = self.table.slot_at(cursor, slot, &pin) else { break };
                match word.state() {
                    State::Empty => {}
                    State::Claimed => return Err(format!("a claim was left in bucket {cursor}")),
                    State::Loading => {
                        // SAFETY: as below.
                        let flight = unsafe { &*word.node() };
                        if flight.taking_part().is_none_or(|shares| shares < 2) {
                            return Err(format!("bucket {cursor}: a flight that nobody is in"));
                        }
                    }
                    State::Ready => {
                        // SAFETY: read READY from its slot under `pin`.
                        let node = unsafe { &*word.node() };
                        self.table.check_place(cursor, place, node.place(), &pin)?;
                        if node.is_sole() && !node.is_settled() {
                            return Err(format!("bucket {cursor}: an entry is not settled"));
                        }
                        keys.push(node.key());
                        weights.extend(
                            NonNull::new(word.node()).map(|node| self.weight_of(pin.owner(), node)),
                        );
                    }
                }
            }
        }
        let entries = keys.len();
        for (at, key) in keys.iter().enumerate().take(2000) {
            if keys[..at].contains(key) {
                return Err("a key has two entries".into());
            }
        }
        if entries != self.len() {
            return Err(format!("{entries} entries in slots, {} counted", self.len()));
        }
        if entries > self.capacity() {
            return Err(format!("{entries} entries, {} allowed", self.capacity()));
        }
        self.check_weights(&weights)?;
        self.table.check_overflow_counts(
            |word| {
                // SAFETY: quiet by contract: a node in a slot stays there, and has its place.
                unsafe { &*word.node() }.place()
            },
            &pin,
        )
    }
}

/// Whether a slot still says `word`, for a protection that was published in between.
fn still<K, V>(place: Place<'_, K, V>, word: Word<Node<K, V>>) -> bool {
    place.slot().still(word)
}
