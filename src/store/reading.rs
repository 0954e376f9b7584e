//! How is an entry read? Under a hazard for one read, or under a pin; without a trace, if wanted.
//!
//! A read looks up and marks as used, and that is all: it changes no slot, calls nobody, and drops
//! nothing. What else a cache may want of it, counts and times, is asked by one test.

use std::ptr::NonNull;

use equivalent::Equivalent;

use crate::hash::Hashed;
use crate::node::{Node, NodeOwner, NodePin};
use crate::reclaim::Reader;
use crate::store::Store;

/// Whether a read leaves a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Sets the reference bit and counts a hit or a miss.
    Use,
    /// The same, by a caller that can load: an entry that is due for a refresh is counted as a hit, and
    /// not given (`refreshing`).
    Load,
    /// Neither.
    Peek,
}

impl<K, V> Store<K, V> {
    /// Calls `f` with the entry of `key`, under protection.
    #[inline(always)]
    pub(crate) fn read<Q, R>(
        &self,
        hash: Hashed,
        key: &Q,
        trace: Trace,
        f: impl FnOnce(&K, &V) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let owner = self.domain.owner();
        if owner.is_quiet() {
            let hazard = owner.hazard();
            let node = self.find(owner, hash, key, trace, hazard.lend())?;
            // SAFETY: found READY, and `hazard` protects it until it is dropped, after `f`.
            let node = unsafe { node.as_ref() };
            // SAFETY: as above.
            Some(f(node.key(), unsafe { node.value() }))
        } else {
            self.read_nested(hash, key, trace, f)
        }
    }

    /// A read inside user code that runs under protection (a closure, `Eq`, `Clone`, `to_owned`, a pin).
    #[cold]
    fn read_nested<Q, R>(
        &self,
        hash: Hashed,
        key: &Q,
        trace: Trace,
        f: impl FnOnce(&K, &V) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let pin = self.domain.owner().pin_nested();
        self.read_pinned(&pin, hash, key, trace).map(|(key, value)| f(key, value))
    }

    pub(crate) fn pin(&self) -> NodePin<'_, K, V> {
        self.domain.owner().pin()
    }

    /// Finds the entry of `key` under a pin, which keeps it.
    #[inline(always)]
    pub(crate) fn read_pinned<'p, Q>(
        &'p self,
        pin: &'p NodePin<'_, K, V>,
        hash: Hashed,
        key: &Q,
        trace: Trace,
    ) -> Option<(&'p K, &'p V)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let node = self.find(pin.owner(), hash, key, trace, pin)?;
        // SAFETY: found READY under the pin, which keeps whatever is read under it while it lives,
        // and which is borrowed for `'p`.
        let node = unsafe { node.as_ref() };
        // SAFETY: as above.
        Some((node.key(), unsafe { node.value() }))
    }

    #[inline(always)]
    fn find<Q, P>(
        &self,
        owner: NodeOwner<'_, K, V>,
        hash: Hashed,
        key: &Q,
        trace: Trace,
        guard: P,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        // Two arms, each with its own test: so a hit is not asked a second time whether it is one.
        match self.table.find(hash, key, guard, trace != Trace::Peek) {
            Some(node) => {
                if self.watch != 0 {
                    if self.watch > 0 {
                        Self::count(owner, trace, true);
                    // SAFETY: found, and protected by `guard`.
                    } else if !unsafe { self.watch(node, trace) } {
                        return None;
                    }
                }
                Some(node)
            }
            None => {
                if self.count_hits {
                    Self::count(owner, trace, false);
                }
                None
            }
        }
    }

    /// What there is to do when an entry was met. False if it was not found: its time is over, or the
    /// caller is to see to its refresh first.
    ///
    /// # Safety
    /// `node` is protected.
    #[inline(never)]
    unsafe fn watch(&self, node: NonNull<Node<K, V>>, trace: Trace) -> bool {
        let owner = self.domain.owner();
        let found = match &self.expiry {
            // SAFETY: the caller's.
            Some(expiry) => unsafe { Self::lives(expiry, owner, node, trace) },
            None => true,
        };
        if self.count_hits {
            Self::count(owner, trace, found);
            if !found && trace != Trace::Peek {
                owner.local().expired_misses.bump();
            }
        }
        // SAFETY: the caller's.
        found && !(trace == Trace::Load && unsafe { self.is_due(owner, node) })
    }

    /// Counts a hit or a miss; inlined, since it is the record's first line, which the hazard has made
    /// the thread's own, and a call would cost more than the sum.
    #[inline(always)]
    fn count(owner: NodeOwner<'_, K, V>, trace: Trace, hit: bool) {
        if trace != Trace::Peek {
            let local = owner.local();
            if hit { &local.hits } else { &local.misses }.bump();
        }
    }
}
