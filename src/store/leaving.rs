//! What is left to do when an entry has left? Its listener is told, its share given back.
//!
//! All of it happens outside the operation's protections: a listener may use the cache.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::config::Cause;
use crate::events;
use crate::node::{Node, NodeOwner, release};
use crate::pause::{Step, reach};
use crate::removed::Removed;
use crate::store::Store;

/// What leaves during an operation and is dealt with at its end.
pub(super) struct Leaving<'s, K, V> {
    store: &'s Store<K, V>,
    pub(super) owner: NodeOwner<'s, K, V>,
    pub(super) victim: Option<NonNull<Node<K, V>>>,
    /// Where entries are weighed, there may be several. They are not chained by their nodes' links, which
    /// may lead to rooms still that waiters of their flights have not left.
    others: Vec<NonNull<Node<K, V>>>,
}

impl<K, V> Leaving<'_, K, V> {
    /// Deals with the victims of an operation that has to begin again. Outside all protection.
    #[inline(always)]
    pub(super) fn settle(&mut self) {
        if let Some(node) = self.victim.take() {
            self.see_off(node);
            if !self.others.is_empty() {
                self.settle_others();
            }
        }
    }

    #[inline(always)]
    fn see_off(&self, node: NonNull<Node<K, V>>) {
        // SAFETY: whoever made the victim one unlinked it and left the slot's share to us.
        let cause = unsafe { self.store.cause_of(self.owner, node, Cause::Capacity) };
        self.store.tell_and_release(self.owner, node, cause);
    }

    #[cold]
    #[inline(never)]
    fn settle_others(&mut self) {
        for node in std::mem::take(&mut self.others) {
            self.see_off(node);
        }
    }

    /// One more victim, whose slot's share is ours, where entries are weighed.
    pub(super) fn add(&mut self, node: NonNull<Node<K, V>>) {
        if self.victim.is_none() {
            self.victim = Some(node);
        } else {
            self.others.push(node);
        }
    }
}

impl<K, V> Drop for Leaving<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        self.settle();
        self.owner.finish();
    }
}

impl<K, V> Store<K, V> {
    pub(super) fn leaving<'s>(&'s self, owner: NodeOwner<'s, K, V>) -> Leaving<'s, K, V> {
        Leaving { store: self, owner, victim: None, others: Vec::new() }
    }

    /// Makes a handle of an unlinked entry whose slot's share the caller has.
    pub(super) fn depart(&self, node: NonNull<Node<K, V>>, cause: Cause) -> Removed<K, V> {
        let removed = Removed::new(node, Arc::clone(&self.domain));
        let local = self.domain.owner().local();
        local.left[cause.index()].bump();
        events::left(cause);
        self.tell(removed.key(), &removed, cause);
        removed
    }

    /// Tells the listener that an entry has left, then gives the slot's share back.
    pub(super) fn tell_and_release(
        &self,
        owner: NodeOwner<'_, K, V>,
        node: NonNull<Node<K, V>>,
        cause: Cause,
    ) {
        owner.local().left[cause.index()].bump();
        if self.listener.is_some() {
            // SAFETY: the caller has a share of the node, which was READY.
            let entry = unsafe { node.as_ref() };
            // SAFETY: as above.
            self.tell(entry.key(), unsafe { entry.value() }, cause);
        }
        reach(Step::BeforeRetire);
        // SAFETY: the caller unlinked the node and gives the slot's share up.
        unsafe { release(owner, node) };
        events::left(cause);
    }

    pub(super) fn tell(&self, key: &K, value: &V, cause: Cause) {
        if let Some(listener) = &self.listener {
            // A listener that panics loses this one call.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(key, value, cause))) {
                std::mem::forget(panic); // its destructor is a user's code, too
                events::listener_panicked(cause);
            }
        }
    }
}
