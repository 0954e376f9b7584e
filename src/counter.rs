//! How often? A relaxed counter written by one thread and read by all.
//!
//! Nothing is ever decided from such a counter, therefore it carries no ordering and is invisible
//! to the model checker on purpose (std atomics in every build).

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// A count kept on a line that one thread owns: counting is a load, an add and a store, never a
/// locked instruction. Readers may see it a little late.
#[derive(Debug, Default)]
pub(crate) struct OwnedCounter(AtomicU64);

impl OwnedCounter {
    /// Adds one. Only the owning thread may call this; from two threads counts would be lost
    /// (but nothing worse: the counter is an atomic).
    #[inline(always)]
    pub(crate) fn bump(&self) {
        // ORDERING: Relaxed, both. No partner: statistics publish nothing.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Adds one and gives the new count. Only the owning thread may call this.
    #[inline(always)]
    pub(crate) fn next(&self) -> u64 {
        self.bump();
        self.read()
    }

    /// What has been counted so far.
    #[inline]
    pub(crate) fn read(&self) -> u64 {
        // ORDERING: Relaxed. No partner, as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// A word that one thread owns, as position or flag: readable by all, written by its owner.
#[derive(Debug, Default)]
pub(crate) struct OwnedWord(AtomicU64);

impl OwnedWord {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        // ORDERING: Relaxed. Only the owner decides anything from it.
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        // ORDERING: Relaxed. Only the owner decides anything from it.
        self.0.store(value, Ordering::Relaxed);
    }
}
