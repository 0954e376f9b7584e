//! Who has outlived its time, and who finds out? The part of a cache whose entries expire.
//!
//! An entry whose time is over is a miss. It stays in its slot until one of these empties or takes the
//! slot, by the one exchange that every departure is, and says `Expired`:
//!
//! | who | when |
//! |---|---|
//! | a write or a removal of its key | it meets the entry |
//! | a load of its key | READY -> LOADING: one exchange, so one of all that ask leads (`loading`) |
//! | an insert that needs room | the entry's turn comes (`reap`), or it is evicted |
//! | `sweep`, `retain`, `clear` | it comes by |
//!
//! A look-up does none of this: it takes no part in reclamation and calls nobody.
//!
//! `reap` is a hand of its own: it goes through all slots, whatever the entries' classes and uses, but
//! only while something may be there to find (`expiry::Reaper`), and over a bounded number of slots a call.

use std::ptr::NonNull;

use crate::config::Cause;
use crate::events;
use crate::expiry::{Age, Expiry, Stamp, Times};
use crate::node::{Node, NodeOwner};
use crate::refresh::Refresh;
use crate::seed::{Seed, planted};
use crate::store::{Shield, Store, Trace};
use crate::tags::SLOTS;

/// Buckets that an insert in need of room looks through for an entry whose time is over.
const REAPED: usize = 4;

impl<K, V> Store<K, V> {
    /// The moments of an entry that comes now. Runs a function of the user's.
    #[inline]
    pub(super) fn times(&self, key: &K, value: &V) -> Times {
        Times {
            stamp: self.expiry.as_deref().map(|expiry| expiry.stamp(key, value)),
            refresh: self.refresh.as_deref().map(Refresh::due),
        }
    }

    /// Whether the time of an entry is over.
    ///
    /// # Safety
    /// As for [`stamp_of`].
    #[inline]
    pub(super) unsafe fn is_over(
        &self,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
    ) -> bool {
        let expiry = self.expiry.as_deref();
        // SAFETY: the caller's.
        expiry.is_some_and(|expiry| !unsafe { Self::lives(expiry, owner, node, Trace::Peek) })
    }

    /// Why an entry leaves, if it is not for its time, `cause`.
    ///
    /// # Safety
    /// As for [`stamp_of`].
    #[inline]
    pub(super) unsafe fn cause_of(
        &self,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
        cause: Cause,
    ) -> Cause {
        // SAFETY: the caller's.
        if unsafe { self.is_over(owner, node) } { Cause::Expired } else { cause }
    }

    /// Whether a look-up that met this entry has found it; if so, it is used now, or only looked at.
    ///
    /// # Safety
    /// As for [`stamp_of`].
    #[inline(never)]
    pub(super) unsafe fn lives(
        expiry: &Expiry<K, V>,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
        trace: Trace,
    ) -> bool {
        // SAFETY: the caller's.
        match expiry.age(unsafe { stamp_of(owner, node) }) {
            Age::Expired => return false,
            Age::News(now) if trace != Trace::Peek => {
                // SAFETY: the caller's.
                if let Some(tail) = unsafe { owner.tail(node) } {
                    tail.set_used(now);
                }
            }
            Age::News(_) | Age::Live => {}
        }
        true
    }

    /// Removes all entries whose time is over, and says how many.
    pub(crate) fn sweep(&self) -> usize {
        if self.expiry.is_none() {
            return 0;
        }
        let owner = self.domain.owner();
        let mut swept = 0;
        for cursor in self.cursors(owner) {
            for slot in 0..SLOTS {
                let shield = Shield::new(owner);
                let doomed = self.visit(&shield, cursor, slot, |found, _, _| {
                    if planted(Seed::SweepWritesBack) {
                        // SAFETY: `visit` protects what it found.
                        let tail = unsafe { owner.tail(found.node) };
                        tail.into_iter().for_each(|tail| tail.set_used(tail.stamp().used));
                    }
                    // SAFETY: `visit` protects what it found.
                    (unsafe { self.is_over(owner, found.node) } && self.empty(found))
                        .then_some(found.node)
                });
                drop(shield);
                if let Some(node) = doomed.flatten() {
                    self.left_slot(owner, node, Cause::Expired);
                    swept += 1;
                }
            }
            owner.finish();
        }
        self.finish_many(owner);
        events::swept(swept);
        swept
    }

    /// Unlinks the next entry whose time is over, if one may be there and a bounded search meets it. The
    /// caller takes over the slot's share of it and its room.
    #[inline]
    pub(super) fn reap(&self, owner: NodeOwner<'_, K, V>) -> Option<NonNull<Node<K, V>>> {
        let expiry = self.expiry.as_deref()?;
        let now = expiry.time.recent();
        let first = expiry.reaper.begin(now)?;
        self.reap_from(first, expiry, owner)
    }

    #[cold]
    fn reap_from(
        &self,
        first: usize,
        expiry: &Expiry<K, V>,
        owner: NodeOwner<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        // The caller's hazard may be taken, and one pin serves for all slots.
        let shield = Shield::nested(owner);
        let mut at = first;
        for _ in 0..REAPED {
            let mut cursor = at / SLOTS;
            while self.table.slot_at(cursor, 0, &shield).is_none() {
                if !self.table.reaches(cursor, &shield) {
                    expiry.reaper.turned(expiry.time.recent());
                    return None;
                }
                cursor += 1;
            }
            let from = if cursor == at / SLOTS { at % SLOTS } else { 0 };
            for slot in from..SLOTS {
                let doomed = self.visit(&shield, cursor, slot, |found, _, _| {
                    // SAFETY: `visit` protects what it found.
                    let stamp = unsafe { stamp_of(owner, found.node) };
                    if expiry.is_over(stamp) && self.empty(found) {
                        return Some(found.node);
                    }
                    expiry.reaper.see(expiry.lifetimes.end(stamp));
                    None
                });
                if let Some(node) = doomed.flatten() {
                    expiry.reaper.pause(cursor * SLOTS + slot + 1);
                    return Some(node);
                }
            }
            at = (cursor + 1) * SLOTS;
        }
        expiry.reaper.pause(at);
        None
    }
}

/// The moments of an entry, in a cache whose entries have some.
///
/// # Safety
/// `node` came from a slot of the owner's cache, or from `owner`, and is protected, or kept by a share.
#[inline(always)]
pub(super) unsafe fn stamp_of<K, V>(
    owner: NodeOwner<'_, K, V>,
    node: NonNull<Node<K, V>>,
) -> Stamp {
    // SAFETY: the caller's.
    let tail = unsafe { owner.tail(node) };
    tail.expect("a cache that lets entries expire gives its nodes a tail").stamp()
}
