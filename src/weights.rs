//! Does it fit? The weight of admitted entries, and of room reserved for entries to come.
//!
//! | word | arrow | who | ordering |
//! |---|---|---|---|
//! | `free` | f -> f - n, only while n <= f | whoever will publish; `withdraw` | exchange, Acquire |
//! | `used` | u -> u + n | the same, after it took n from `free` | `fetch_add`, Relaxed |
//! | `used` | u -> u - n | whoever has unlinked, or did not publish | `fetch_sub`, Relaxed, before: |
//! | `free` | f -> f + n | the same; a bound that was raised | exchange, Release |
//! | `max` | any -> any | `set_max` | swap, Relaxed |
//!
//! At every instant `used + free` is `max`, less what is on its way from one word to the other, and
//! more by what a lowered bound has still to withdraw. So `used` never rises above the bound, and as
//! every check is made against `free` alone, a bound that changes meanwhile needs no attention: to
//! lower it is to take the difference out of `free`, and of what is evicted, for good.
//!
//! Publishing takes room first and the slot second, leaving does the reverse, so that at no instant
//! more weight is in slots than `used` says. An evictor keeps its victim's room for its own entry, and
//! gives back what is too much.
//!
//! Weights are any u64; nothing here wraps: what is taken is at most what is there, and what is given
//! was taken before. Only bounds that are raised while calls that lower them are under way could add up
//! to more than 2^64; they saturate, and the bound is stricter than asked for.
//!
//! Models: `loom-tests/tests/weights.rs`.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, Ordering};

struct Words {
    free: AtomicU64,
    used: AtomicU64,
    max: AtomicU64,
}

/// The weight bound of a cache.
pub(crate) struct Weights(CachePadded<Words>);

impl Weights {
    pub(crate) fn new(max: u64) -> Self {
        Self(CachePadded::new(Words {
            free: AtomicU64::new(max),
            used: AtomicU64::new(0),
            max: AtomicU64::new(max),
        }))
    }

    #[inline]
    pub(crate) fn used(&self) -> u64 {
        // ORDERING: Relaxed. A sum at some instant; nothing else is concluded from it.
        self.0.used.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn max(&self) -> u64 {
        // ORDERING: Relaxed. A limit; it publishes nothing.
        self.0.max.load(Ordering::Relaxed)
    }

    /// What nobody has.
    pub(crate) fn free(&self) -> u64 {
        // ORDERING: Relaxed. As in `used`.
        self.0.free.load(Ordering::Relaxed)
    }

    /// Room of which nothing is there yet.
    #[inline]
    pub(crate) fn nothing(&self) -> Held<'_> {
        Held { weights: self, held: 0 }
    }

    /// Takes as much of `wanted` as is free, and says how much.
    fn take(&self, wanted: u64) -> u64 {
        // ORDERING: Relaxed. The exchange confirms it.
        let mut free = self.0.free.load(Ordering::Relaxed);
        loop {
            let part = wanted.min(free);
            if part == 0 {
                return 0;
            }
            if planted(Seed::TornWeight) {
                // ORDERING: of a planted bug.
                self.0.free.store(free - part, Ordering::Relaxed);
                return part;
            }
            // ORDERING: Acquire on success. Partner: the Release exchange in `release`: the slot whose
            // room this was is seen empty before ours is filled, so that adding up the slots never
            // finds more than `used`. Relaxed on failure: the loop looks again.
            match self.0.free.compare_exchange_weak(
                free,
                free - part,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return part,
                Err(now) => free = now,
            }
        }
    }

    /// Adds to `free`.
    fn release(&self, weight: u64) {
        // ORDERING: Relaxed. The exchange confirms it.
        let mut free = self.0.free.load(Ordering::Relaxed);
        // ORDERING: Release on success. Partner: the Acquire exchange in `take`. Relaxed on failure:
        // the loop looks again.
        while let Err(now) = self.0.free.compare_exchange_weak(
            free,
            free.saturating_add(weight),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            free = now;
        }
    }

    /// Gives back the room of an entry that the caller has unlinked.
    #[inline]
    pub(crate) fn give(&self, weight: u64) {
        if weight > 0 {
            // ORDERING: Relaxed. A sum. Before the next line, so that it is never above the bound.
            self.0.used.fetch_sub(weight, Ordering::Relaxed);
            self.release(weight);
        }
    }

    /// The bound is `max` from now on. What must still be [withdrawn](Self::withdraw) for it to hold.
    pub(crate) fn set_max(&self, max: u64) -> u64 {
        // ORDERING: Relaxed. The differences of successive swaps add up, whatever their order.
        let old = self.0.max.swap(max, Ordering::Relaxed);
        if max > old {
            self.release(max - old);
        }
        old.saturating_sub(max)
    }

    /// Takes as much of `owed` as is free out of the world. What is still owed.
    pub(crate) fn withdraw(&self, owed: u64) -> u64 {
        owed - self.take(owed)
    }

    /// Takes as much of `owed` as may be from the room of an entry that the caller has unlinked, and
    /// gives the rest back. What is still owed.
    pub(crate) fn withdraw_unlinked(&self, owed: u64, weight: u64) -> u64 {
        let part = owed.min(weight);
        // ORDERING: Relaxed. A sum.
        self.0.used.fetch_sub(part, Ordering::Relaxed);
        self.give(weight - part);
        owed - part
    }
}

/// Reserved room. Given back when dropped.
#[must_use]
pub(crate) struct Held<'w> {
    weights: &'w Weights,
    held: u64,
}

impl Held<'_> {
    /// Takes what is free, up to `weight` in all. True if that is what is held now.
    #[inline]
    pub(crate) fn draw(&mut self, weight: u64) -> bool {
        let part = self.weights.take(weight.saturating_sub(self.held));
        if part > 0 {
            // ORDERING: Relaxed. A sum. After the room was taken, so that it is never above the bound.
            self.weights.0.used.fetch_add(part, Ordering::Relaxed);
            self.held += part;
        }
        self.held >= weight
    }

    /// Adds the room of an entry that the caller has unlinked.
    #[inline]
    pub(crate) fn add_unlinked(&mut self, weight: u64) {
        // It cannot overflow: all that is held by anybody is at most what there is.
        self.held += weight;
    }

    /// Gives back what is more than `weight`.
    #[inline]
    pub(crate) fn trim(&mut self, weight: u64) {
        let surplus = self.held.saturating_sub(weight);
        self.held -= surplus;
        self.weights.give(surplus);
    }

    /// The room is now that of an entry in a slot.
    #[inline]
    pub(crate) fn occupy(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.weights.give(self.held);
    }
}

#[cfg(all(test, not(all(hotset_loom, feature = "loom"))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(weights: &Weights) -> (u64, u64, u64) {
        (weights.used(), weights.free(), weights.max())
    }

    #[test]
    fn what_is_taken_and_given_adds_up() {
        let weights = Weights::new(10);
        let mut first = weights.nothing();
        assert!(first.draw(7));
        let mut second = weights.nothing();
        assert!(!second.draw(4));
        assert_eq!(sums(&weights), (10, 0, 10));
        second.add_unlinked(7); // whoever held the first was unlinked
        first.occupy();
        second.trim(4);
        assert_eq!(sums(&weights), (4, 6, 10));
        drop(second);
        assert_eq!(sums(&weights), (0, 10, 10));
    }

    #[test]
    fn the_largest_weights_do_not_wrap() {
        let weights = Weights::new(u64::MAX);
        let mut all = weights.nothing();
        assert!(all.draw(u64::MAX));
        assert!(!weights.nothing().draw(1));
        all.occupy();
        let owed = weights.set_max(1);
        assert_eq!(weights.withdraw(owed), u64::MAX - 1);
        assert_eq!(weights.withdraw_unlinked(owed, u64::MAX), 0);
        assert_eq!(sums(&weights), (0, 1, 1));
        assert_eq!(weights.set_max(u64::MAX), 0);
        assert_eq!(sums(&weights), (0, u64::MAX, u64::MAX));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(max in 1_u64..100, ops in prop::collection::vec((any::<bool>(), 1_u64..40), 0..60)) {
            let weights = Weights::new(max);
            let mut entries: Vec<u64> = Vec::new();
            for (put, weight) in ops {
                if put {
                    let mut held = weights.nothing();
                    while !held.draw(weight) && let Some(victim) = entries.pop() {
                        held.add_unlinked(victim);
                    }
                    held.trim(weight);
                    if held.draw(weight) {
                        held.occupy();
                        entries.push(weight);
                    }
                } else {
                    let mut owed = weights.withdraw(weights.set_max(weight));
                    while owed > 0 {
                        owed = weights.withdraw_unlinked(owed, entries.pop().unwrap());
                    }
                }
                let (used, free, max) = sums(&weights);
                prop_assert_eq!((used, used + free), (entries.iter().sum(), max));
            }
        }
    }
}
