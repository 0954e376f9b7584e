//! Where are the numbers of those who wait? A ring of them, and of their weights.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::advice::{Hint, WideHint};
use crate::local::Handful;
use crate::table::memory::Array;

/// Where the numbers are.
pub(crate) struct Ring {
    /// A power of two of them, 2^31 at most.
    pub(super) places: Array<Hint>,
    /// As many, where entries are weighed; else none.
    pub(super) weights: Array<WideHint>,
    pub(super) waiting: CachePadded<WideHint>,
}

impl Ring {
    /// For at least so many numbers.
    pub(crate) fn new(entries: usize, weighed: bool) -> Self {
        Self::of(places_for(entries), weighed)
    }

    fn of(places: usize, weighed: bool) -> Self {
        Self {
            places: Array::zeroed(places),
            weights: if weighed { Array::zeroed(places) } else { Array::from(Box::default()) },
            waiting: CachePadded::default(),
        }
    }

    /// Whether there is no room for as many.
    pub(crate) fn is_small_for(&self, entries: usize) -> bool {
        places_for(entries) > self.places.len()
    }

    /// A larger one with what is in this one, whose tickets up to `tail` were drawn.
    pub(super) fn enlarged(&self, places: usize, tail: u32) -> Self {
        let larger = Self::of(places, !self.weights.is_empty());
        self.carry(&larger, tail, self.places.len() as u32);
        larger
    }

    /// Writes what it has of the last `count` tickets before `tail` into `other`, which has nothing of these.
    pub(super) fn carry(&self, other: &Self, tail: u32, count: u32) {
        for back in 1..=count {
            let ticket = tail.wrapping_sub(back);
            let number = self.place(ticket).get();
            if number != 0 {
                other.place(ticket).set(number); // else it need not be touched
            }
            if let Some(weight) = self.weight(ticket).map(WideHint::get).filter(|&w| w != 0) {
                other.weigh(ticket, weight);
            }
        }
    }

    #[inline(always)]
    pub(super) fn place(&self, ticket: u32) -> &Hint {
        &self.places[ticket as usize & (self.places.len() - 1)]
    }

    #[inline(always)]
    fn weight(&self, ticket: u32) -> Option<&WideHint> {
        self.weights.get(ticket as usize & (self.places.len() - 1))
    }

    /// The weight at a place is `weight` now.
    #[inline]
    pub(super) fn weigh(&self, ticket: u32, weight: u64) {
        if let Some(place) = self.weight(ticket) {
            // Sums of weights are below 2^63 in earnest; beyond, the lengths of queues suffer.
            self.waiting.add(weight.wrapping_sub(place.swap(weight)));
        }
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
