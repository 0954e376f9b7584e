//! Where are the numbers of those who wait? A ring of them, and of their weights.

#![forbid(unsafe_code)]

use crate::advice::{Hint, WideHint};
use crate::local::Handful;
use crate::table::memory::Array;

/// Where the numbers are.
pub(crate) struct Ring {
    /// A power of two of them, 2^31 at most.
    pub(super) places: Array<Hint>,
    /// As many, where entries are weighed; else none.
    pub(super) weights: Array<WideHint>,
    /// Whose turn it is among the rings of the queue; of its two sums the even ones have one.
    pub(super) turn: Hint,
    /// What is to be added to that sum for the sum of these weights.
    base: WideHint,
}

impl Ring {
    /// For at least so many numbers.
    pub(crate) fn new(entries: usize, weighed: bool) -> Self {
        Self::of(places_for(entries), weighed)
    }

    pub(super) fn of(places: usize, weighed: bool) -> Self {
        Self {
            places: Array::zeroed(places),
            weights: if weighed { Array::zeroed(places) } else { Array::from(Box::default()) },
            turn: Hint::default(),
            base: WideHint::default(),
        }
    }

    /// Whether there is no room for as many.
    pub(crate) fn is_small_for(&self, entries: usize) -> bool {
        places_for(entries) > self.places.len()
    }

    /// Takes over what `older` has of the last `count` tickets before `tail`, and has nothing of these itself. It is one of
    /// those after `latest`, and has the other of the `sums`, of which nothing is written: another thread may have been
    /// faster.
    pub(super) fn follow(
        &self,
        older: &Self,
        (tail, count): (u32, u32),
        latest: u32,
        sums: &[WideHint; 2],
    ) {
        let mut carried = 0_u64;
        for back in 1..=count {
            let ticket = tail.wrapping_sub(back);
            let number = older.place(ticket).get();
            if number != 0 {
                self.place(ticket).set(number); // else it need not be touched
            }
            if let Some(weight) = older.weight(ticket).map(WideHint::get).filter(|&w| w != 0) {
                self.weigh(ticket, weight);
                // Not by how much there is more: another thread may do the same.
                carried = carried.wrapping_add(weight);
            }
        }
        self.turn.set(latest.wrapping_add(1 + (latest ^ older.turn.get()) % 2));
        self.base.set(carried.wrapping_sub(self.sum_among(sums).get()));
    }

    /// Its own of the queue's `sums`.
    #[inline(always)]
    pub(super) fn sum_among<'s>(&self, sums: &'s [WideHint; 2]) -> &'s WideHint {
        &sums[self.turn.get() as usize % 2]
    }

    /// The sum of the weights, which wraps, as of the queue's `sums`.
    #[inline(always)]
    pub(super) fn sum(&self, sums: &[WideHint; 2]) -> u64 {
        self.base.get().wrapping_add(self.sum_among(sums).get())
    }

    #[inline(always)]
    pub(super) fn place(&self, ticket: u32) -> &Hint {
        &self.places[ticket as usize & (self.places.len() - 1)]
    }

    #[inline(always)]
    fn weight(&self, ticket: u32) -> Option<&WideHint> {
        self.weights.get(ticket as usize & (self.places.len() - 1))
    }

    /// The weight at a place is `weight` now. What it was; 0 where nothing is weighed.
    #[inline]
    pub(super) fn weigh(&self, ticket: u32, weight: u64) -> u64 {
        self.weight(ticket).map_or(0, |place| place.swap(weight))
    }

    /// Writes the first `come` numbers of those that come in `hand`, from `ticket` on.
    #[inline(always)]
    pub(super) fn put(&self, ticket: u32, hand: &Handful, come: u32) {
        let first = hand.first.get();
        // Asked once, and not for each: there are some.
        let Some(last) = self.places.len().checked_sub(1) else { return };
        for at in 0..come {
            let number = hand.number(first.wrapping_add(at)).get();
            self.places[ticket.wrapping_add(at) as usize & last].set(number);
        }
    }
}

/// Places for as many entries.
pub(super) fn places_for(entries: usize) -> usize {
    entries.clamp(1, 1 << 31).next_power_of_two()
}
