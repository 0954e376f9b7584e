//! Does it fit? The weight of admitted entries, and of room reserved for entries to come.
//!
//! | word | arrow | who | ordering |
//! |---|---|---|---|
//! | `free` | f -> f - n, only while n <= f | whoever will publish; `withdraw` | exchange, Acquire |
//! | `free` | f -> f + n | whoever has unlinked, or did not publish; a bound that was raised | `fetch_add`, Release |
//! | `total` | t -> t + n | a bound that was raised, before it adds to `free` | exchange, Relaxed |
//! | `total` | t -> t - n | a bound that was lowered, after it took n from `free`, or from what was unlinked | `fetch_sub`, Relaxed |
//! | `max` | any -> any | `set_max` | swap, Relaxed |
//!
//! `total` is what there is: what is free, what is reserved, and what entries have. It is `max`, and more by what a lowered
//! bound has still to withdraw. What is *used* is what is not free, which is a difference and not a word of its own: so it
//! is never above the bound, but for that. As every check is made against `free` alone, a bound that changes meanwhile needs
//! no attention: to lower it is to take the difference out of `free`, and of what is evicted, for good. (While a bound
//! changes, and only then, the difference may be wrong: too large by what is on its way from one word to the other, or too
//! small if both are written between the two looks.)
//!
//! Publishing takes room first and the slot second, leaving does the reverse, so that at no instant
//! more weight is in slots than `used` says. An evictor keeps its victim's room for its own entry, and
//! gives back what is too much.
//!
//! Weights are any u64; nothing here wraps: what is taken is at most what is there, what is given was taken before, and so
//! `free` is at most `total`. Only bounds that are raised while calls that lower them are under way could carry `total`
//! beyond 2^64; it stays below, `free` grows by as much as it does, and the bound is stricter than asked for.
//!
//! Models: `loom-tests/tests/weights.rs`.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, Ordering};

struct Words {
    free: AtomicU64,
    total: AtomicU64,
    max: AtomicU64,
}

/// The weight bound of a cache.
pub(crate) struct Weights(CachePadded<Words>);

impl Weights {
    pub(crate) fn new(max: u64) -> Self {
        Self(CachePadded::new(Words {
            free: AtomicU64::new(max),
            total: AtomicU64::new(max),
            max: AtomicU64::new(max),
        }))
    }

    /// What is not free.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        // ORDERING: Relaxed. Sums at some instant; nothing else is concluded from them.
        let total = self.0.total.load(Ordering::Relaxed);
        total.saturating_sub(self.free())
    }

    #[inline]
    pub(crate) fn max(&self) -> u64 {
        // ORDERING: Relaxed. A limit; it publishes nothing.
        self.0.max.load(Ordering::Relaxed)
    }

    /// What nobody has.
    #[inline]
    pub(crate) fn free(&self) -> u64 {
        // ORDERING: Relaxed. As in `used`.
        self.0.free.load(Ordering::Relaxed)
    }

    /// Whether the books are right. While no bound changes.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (free, max) = (self.free(), self.max());
        // ORDERING: Relaxed. As in `used`.
        let total = self.0.total.load(Ordering::Relaxed);
        if total == max && free <= total {
            Ok(())
        } else {
            Err(format!("weight {total} in all and {free} free, of {max}"))
        }
    }

    /// Room of which nothing is there yet.
    #[inline]
    pub(crate) fn nothing(&self) -> Held<'_> {
        Held { weights: self, held: 0 }
    }

    /// Takes as much of `wanted` as is free, and says how much.
    #[inline]
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
            // ORDERING: Acquire on success. Partner: the Release `fetch_add` in `give`: the slot whose
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

    /// Gives back the room of an entry that the caller has unlinked.
    #[inline]
    pub(crate) fn give(&self, weight: u64) {
        if weight > 0 {
            // ORDERING: Release. Partner: the Acquire exchange in `take`.
            self.0.free.fetch_add(weight, Ordering::Release);
        }
    }

    /// The bound is `max` from now on. What must still be [withdrawn](Self::withdraw) for it to hold.
    pub(crate) fn set_max(&self, max: u64) -> u64 {
        // ORDERING: Relaxed. The differences of successive swaps add up, whatever their order.
        let old = self.0.max.swap(max, Ordering::Relaxed);
        if max > old {
            self.give(self.add_to_total(max - old));
        }
        old.saturating_sub(max)
    }

    /// By how much it has become more: less than `more` only if it reaches the largest number.
    fn add_to_total(&self, more: u64) -> u64 {
        // ORDERING: Relaxed, all. A sum; what is free is told by `free`.
        let mut total = self.0.total.load(Ordering::Relaxed);
        loop {
            let sum = total.saturating_add(more);
            match self.0.total.compare_exchange_weak(
                total,
                sum,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return sum - total,
                Err(now) => total = now,
            }
        }
    }

    /// Takes as much of `owed` as is free out of the world. What is still owed.
    pub(crate) fn withdraw(&self, owed: u64) -> u64 {
        let part = self.take(owed);
        // ORDERING: Relaxed. A sum. After the room was taken, so that `free` is at most this.
        self.0.total.fetch_sub(part, Ordering::Relaxed);
        owed - part
    }

    /// Takes as much of `owed` as may be from the room of an entry that the caller has unlinked, and
    /// gives the rest back. What is still owed.
    pub(crate) fn withdraw_unlinked(&self, owed: u64, weight: u64) -> u64 {
        let part = owed.min(weight);
        // ORDERING: Relaxed. A sum.
        self.0.total.fetch_sub(part, Ordering::Relaxed);
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
        self.held += self.weights.take(weight.saturating_sub(self.held));
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
    fn a_bound_that_is_raised_while_it_is_lowered_does_not_wrap() {
        let weights = Weights::new(u64::MAX);
        let mut held = weights.nothing();
        assert!(held.draw(10));
        let owed = weights.set_max(5); // and is stopped here
        assert_eq!(weights.set_max(u64::MAX), 0);
        assert_eq!(sums(&weights), (10, u64::MAX - 10, u64::MAX));
        assert_eq!(weights.withdraw(owed), 5);
        assert_eq!(sums(&weights), (10, 0, u64::MAX));
        held.occupy();
        assert_eq!(weights.withdraw_unlinked(5, 10), 0);
        // Stricter than asked for.
        assert_eq!(sums(&weights), (0, 5, u64::MAX));
        assert!(weights.check().is_err());
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
                prop_assert_eq!(weights.check(), Ok(()));
            }
        }
    }
}
