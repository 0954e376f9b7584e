//! How is an entry loaded anew while it serves? By one caller, which nobody waits for.
//!
//! ```text
//!                due: one exchange             value: the slot says the very entry still
//!  served -----------------------> refreshed ------------------------------------------> new entry
//!    ^                                 |  |
//!    |  error, panic, dropped,         |  |  insert, remove, clear, evicted, expired meanwhile
//!    +--- or not admitted: put off ----+  +-----> the value is the caller's, and not kept
//! ```
//!
//! | arrow | who may | by | what orders it |
//! |---|---|---|---|
//! | served -> refreshed | a caller with a loader that meets the entry, due and not over | exchange of the entry's `refresh_at` from its due moment to `NEVER` | nothing: see `node::tail` |
//! | refreshed -> new entry | that caller | READY -> READY' of the slot, from the entry's own word | AcqRel, as for `insert` |
//! | refreshed -> served | that caller | store of `refresh_at` | nothing |
//!
//! While it is refreshed an entry is in its slot as ever: others find it, write it, remove it, evict it, let
//! it expire. None of these knows of the refresh; it loses by itself, since its exchange expects the entry
//! that it began with. There is no flight: nobody waits for the new value while the old one serves. So M2
//! reads: one refresh of an *entry*. A key whose entry is gone may be loaded while the refresh of that
//! entry still runs, for nobody but its caller.
//!
//! That the word in the slot names *this* entry, and not a later one at its address, is due to a share,
//! which is taken under protection from the slot's owner. An entry that is about to be released may have
//! lost its last owner by then (`Node::leave` looks at the count and writes nothing), so the share counts
//! only once it is confirmed: by an exchange of the slot's word for itself. If the slot was emptied or
//! overwritten before, that fails; if it is later, whoever does it reads what the exchange released, AcqRel
//! to AcqRel, and so sees the share when it releases the entry. A share that was not confirmed is given back
//! under the protection. It was counted above that of an owner who had gone without counting itself off, or
//! beside one who has not, so it retires the entry in the second case only, if it is then the last.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::config::Cause;
use crate::error::LoadError;
use crate::events;
use crate::hash::Hashed;
use crate::node::{Join, Node, NodeOwner, NodeWalker, Private, Tail, release};
use crate::pause::{Step, reach};
use crate::refresh::Refresh;
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::store::flight::Arrived;
use crate::store::sought::Sought;
use crate::store::{Arrival, Shield, Store};
use crate::table::{Found, Lasting};

impl<K, V> Store<K, V> {
    /// Whether an entry is due for a refresh, and nobody has begun it.
    ///
    /// # Safety
    /// `node` came from a slot of this cache, and is protected, or kept by a share.
    #[inline]
    pub(super) unsafe fn is_due(
        &self,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
    ) -> bool {
        let Some(refresh) = self.refresh.as_deref() else { return false };
        // SAFETY: the caller's.
        refresh.has_come(unsafe { tail_of(owner, node) }.refresh_at())
    }

    /// Takes a share of an entry, if it is in its slot still; see the module.
    ///
    /// # Safety
    /// `found` was found READY, and is protected.
    pub(super) unsafe fn keep(&self, owner: NodeOwner<'_, K, V>, found: &Found<'_, K, V>) -> bool {
        // SAFETY: the caller's.
        if unsafe { found.node.as_ref() }.join() == Join::Gone {
            return false; // released already
        }
        let confirmed = found.place.confirm(found.word);
        if !confirmed && !planted(Seed::UnconfirmedShare) {
            // SAFETY: taken just now; if its owners are gone they have left it to nobody (see the module),
            // and the protection keeps the node while this looks.
            unsafe { release(owner, found.node) };
            return false;
        }
        true
    }

    /// Takes the refresh of the entry of the key that is `sought`, if it has one, that is due and not over.
    /// Else gives back what it is sought by.
    pub(super) fn begin_refresh<W: Sought<K>>(
        &self,
        hash: Hashed,
        sought: W,
    ) -> Result<Refreshing<'_, K, V>, W> {
        let Some(refresh) = self.refresh.as_deref() else { return Err(sought) };
        let owner = self.domain.owner();
        loop {
            let shield = Shield::new(owner);
            let Some(found) = self.table.locate(hash, sought.form(), &shield) else {
                return Err(sought);
            };
            // SAFETY: found, and protected by `shield`.
            if !found.word.is_ready() || unsafe { self.is_over(owner, found.node) } {
                return Err(sought);
            }
            // SAFETY: as above.
            let tail = unsafe { tail_of(owner, found.node) };
            let due = tail.refresh_at();
            if !refresh.has_come(due) || !tail.begin_refresh(due) {
                return Err(sought);
            }
            reach(Step::RefreshDue);
            // SAFETY: as above.
            if !unsafe { self.keep(owner, &found) } {
                continue; // the slot says something else
            }
            found.place.touch();
            let old = Old {
                store: self,
                refresh,
                hash,
                place: self.table.lasting(found.place),
                word: found.word,
                node: found.node,
                ended: false,
            };
            drop(shield);
            // If this panics the refresh has failed, as `old` is dropped.
            return Ok(Refreshing { key: sought.own(), old });
        }
    }
}

/// What a cache that refreshes its entries keeps beside key and value.
///
/// # Safety
/// `node` came from a slot of the owner's cache, and is protected, or kept by a share; `'n` ends
/// before that does.
#[inline(always)]
unsafe fn tail_of<'n, K, V>(owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) -> &'n Tail {
    // SAFETY: the caller's.
    let tail = unsafe { owner.tail(node) };
    tail.expect("a cache that refreshes entries gives its nodes a tail")
}

/// A refresh that has begun. Dropped without having finished, it has failed.
pub(crate) struct Refreshing<'s, K, V> {
    key: K,
    old: Old<'s, K, V>,
}

/// The entry that is loaded anew, and a share of it.
struct Old<'s, K, V> {
    store: &'s Store<K, V>,
    refresh: &'s Refresh,
    hash: Hashed,
    place: Lasting,
    word: Word<Node<K, V>>,
    node: NonNull<Node<K, V>>,
    /// Whether the load gave a value.
    ended: bool,
}

// SAFETY: a share of a node is like an `Arc` of key and value; the place is words of a table that is
// shared in any case.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Old<'_, K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Old<'_, K, V> {}

impl<K, V> Old<'_, K, V> {
    fn node(&self) -> &Node<K, V> {
        // SAFETY: the share keeps the node.
        unsafe { self.node.as_ref() }
    }

    /// The entry in its slot, if it is there still.
    fn found<'w>(&'w self, walker: &'w NodeWalker<'_, K, V>) -> Option<Found<'w, K, V>> {
        let place = self.store.table.place_of(self.hash, self.place, self.word, walker)?;
        let any = planted(Seed::RefreshTakesAny);
        let word = if any { place.slot().load() } else { self.word };
        (word.is_ready() && place.holds(word)).then_some(Found { place, word, node: self.node })
    }

    /// The new value cannot come in, so the old one stays.
    fn not_admitted(&self, owner: NodeOwner<'_, K, V>) {
        owner.local().not_admitted.bump();
        events::not_admitted();
        self.put_off();
    }

    /// The refresh came to nothing that is kept: another one may begin later.
    fn put_off(&self) {
        // SAFETY: the share keeps the node, which came from a slot of this store.
        let tail = unsafe { tail_of(self.store.domain.owner(), self.node) };
        tail.put_off_refresh(self.refresh.next_attempt());
    }
}

impl<K, V> Drop for Old<'_, K, V> {
    fn drop(&mut self) {
        let owner = self.store.domain.owner();
        owner.local().refreshes.bump();
        if !self.ended {
            self.put_off();
            owner.local().refresh_failures.bump();
            events::refresh_failed();
        }
        // SAFETY: the share is ours, and given up here, once.
        unsafe { release(owner, self.node) };
        owner.finish();
    }
}

impl<K, V: Clone> Refreshing<'_, K, V> {
    /// Runs `load` for the new value; a panic ends the refresh.
    pub(super) fn load<R, L>(self, load: L) -> (Self, R)
    where
        L: FnOnce(&Store<K, V>, &K) -> R,
    {
        let loaded = load(self.old.store, &self.key);
        (self, loaded)
    }

    /// Ends the refresh with what its loader gave. Of a failure the caller is given the old value, unless
    /// its time is over by now.
    pub(super) fn finish<E>(self, loaded: Result<Arrived<V>, E>) -> Result<V, LoadError<E>> {
        match loaded {
            Ok(Arrived { copy, value, arrival }) => {
                self.publish(value, arrival);
                Ok(copy)
            }
            Err(error) => {
                let store = self.old.store;
                // SAFETY: kept by our share.
                if unsafe { store.is_over(store.domain.owner(), self.old.node) } {
                    return Err(LoadError::Failed(Arc::new(error)));
                }
                // SAFETY: found READY in a slot.
                Ok(unsafe { self.old.node().value() }.clone())
            }
        }
    }
}

impl<K, V> Refreshing<'_, K, V> {
    /// Puts the new value in the place of the entry that it was loaded for, if that is there still.
    fn publish(self, value: V, Arrival { weight, times }: Arrival) {
        let Self { key, mut old } = self;
        old.ended = true;
        let store = old.store;
        let owner = store.domain.owner();
        events::refreshed();
        let mut leaving = store.leaving(owner);
        let mut fresh = Private::entry(owner, old.hash.place(), key, value, times);
        reach(Step::RefreshLoaded);
        // Before the walk, since it may collect. If it is lost already, nobody is evicted for it.
        let there = old.found(&owner.walker()).is_some();
        let admits = there && store.admits(owner, fresh.tail(), weight);
        let walker = owner.walker();
        let mut refused = false;
        if let Some(found) = old.found(&walker) {
            let change = admits
                .then(|| store.reserve_change(&mut leaving, &found, weight, &walker))
                .flatten();
            refused = change.is_none();
            if let Some(change) = change {
                // SAFETY: kept by our share.
                let cause = unsafe { store.cause_of(owner, old.node, Cause::Replaced) };
                match store.write_over(&found, fresh, change) {
                    Ok(()) => {
                        drop(walker);
                        owner.local().inserts.bump();
                        // The exchange gave us the slot's share of the old node.
                        return store.tell_and_release(owner, old.node, cause);
                    }
                    Err(back) => fresh = back, // lost just now
                }
            }
        }
        drop(walker);
        if refused {
            old.not_admitted(owner);
        }
        owner.local().left[Cause::Rejected.index()].bump();
        events::left(Cause::Rejected);
        let (key, value) = fresh.into_entry();
        store.tell(&key, &value, Cause::Rejected);
    }
}
