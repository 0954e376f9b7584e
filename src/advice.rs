//! What may be wrong without harm? Relaxed words from which nothing follows but which entry leaves.
//!
//! A lost update or a stale value here costs at most a hit later on. No slot changes because of
//! such a word alone: whoever acts on it does so by a compare-exchange of the slot's own word. So
//! they carry no ordering, and they are invisible to the model checker on purpose (std atomics in
//! every build), as are the counters in `counter`.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A 32-bit word of advice.
#[derive(Debug, Default)]
pub(crate) struct Hint(AtomicU32);

impl Hint {
    pub(crate) fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        // ORDERING: Relaxed. No partner: advice publishes nothing.
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u32) {
        // ORDERING: Relaxed, as above.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds, wrapping, where no update may be lost.
    #[inline]
    pub(crate) fn add(&self, value: u32) {
        // ORDERING: Relaxed, as above.
        self.0.fetch_add(value, Ordering::Relaxed);
    }
}

/// A 64-bit word of advice.
#[derive(Debug, Default)]
pub(crate) struct WideHint(AtomicU64);

impl WideHint {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Writes `value` and gives what was there, where no update may be lost.
    #[inline]
    pub(crate) fn swap(&self, value: u64) -> u64 {
        // ORDERING: Relaxed. No partner: advice publishes nothing.
        self.0.swap(value, Ordering::Relaxed)
    }

    /// Adds, wrapping, where no update may be lost.
    #[inline]
    pub(crate) fn add(&self, value: u64) {
        // ORDERING: Relaxed, as above.
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        // ORDERING: Relaxed. No partner: advice publishes nothing.
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        // ORDERING: Relaxed, as above.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Writes `to` if the word is `from`, where no update may be lost.
    #[inline(always)]
    pub(crate) fn exchange(&self, from: u64, to: u64) -> bool {
        // ORDERING: Relaxed, both, as above.
        self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
