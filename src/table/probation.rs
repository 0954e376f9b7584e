//! Who came last? The queue of the newcomers of one shard, first in, first out.
//!
//! A ring of slot numbers with two counts of tickets. It is advice, and lossy on purpose: a number
//! says where a newcomer was put, and whoever takes it out looks at the slot to see whether there
//! still is one. So an entry that leaves otherwise is not taken out of the ring; its number has become
//! stale and is passed over when its turn comes. A thread that is stopped between drawing a ticket and
//! writing its number stops nobody: the number that its place had before is taken for it, and when it
//! goes on its own number waits there for the next lap.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | `ends`, low half | who puts a number in, by exchange | tickets drawn for coming |
//! | `ends`, high half | who takes one out, by exchange | tickets drawn for leaving; never beyond the low half |
//! | `places` | the one who drew the ticket for coming | a slot's number |
//! | `weights` | the same; who takes the number out, by swap | the weight that came with it, 0 once it has gone |
//! | `waiting` | both, by addition | the sum of `weights` |
//!
//! Who takes one out in order to put another in draws both tickets by one exchange.
//!
//! The last two exist where entries are weighed. What a swap gives is taken from the sum, whoever finds
//! it, so that the sum is right again once everybody has gone on.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::advice::{Hint, WideHint};

/// The newcomers of one shard.
pub(crate) struct Probation {
    ends: CachePadded<WideHint>,
    /// A power of two of them, 2^31 at most.
    places: Box<[Hint]>,
    /// As many, where entries are weighed; else none.
    weights: Box<[WideHint]>,
    waiting: CachePadded<WideHint>,
}

/// A place that was drawn for a number to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// The two counts, which wrap.
#[derive(Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
}

impl Ends {
    #[inline(always)]
    fn of(word: u64) -> Self {
        Self { head: (word >> 32) as u32, tail: word as u32 }
    }

    #[inline(always)]
    fn word(self) -> u64 {
        u64::from(self.head) << 32 | u64::from(self.tail)
    }

    #[inline(always)]
    fn len(self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    #[inline(always)]
    fn moved(self, leave: u32, come: u32) -> Self {
        Self { head: self.head.wrapping_add(leave), tail: self.tail.wrapping_add(come) }
    }
}

impl Probation {
    /// A queue with room for `entries` numbers at least (2^31 at most: more are refused).
    pub(crate) fn new(entries: usize, weighed: bool) -> Self {
        let places = entries.clamp(1, 1 << 31).next_power_of_two();
        let weights = if weighed { places } else { 0 };
        Self {
            ends: CachePadded::default(),
            places: (0..places).map(|_| Hint::default()).collect(),
            weights: (0..weights).map(|_| WideHint::default()).collect(),
            waiting: CachePadded::default(),
        }
    }

    /// What those in it weighed when they came, stale ones included, where entries are weighed.
    pub(crate) fn waiting(&self) -> Option<u64> {
        // While somebody has taken a weight out that was not yet added, the sum is below zero.
        (!self.weights.is_empty()).then(|| (self.waiting.get() as i64).max(0) as u64)
    }

    /// The weight at a place is `weight` now.
    #[inline]
    fn weigh(&self, ticket: u32, weight: u64) {
        if let Some(place) = self.weights.get(ticket as usize & (self.places.len() - 1)) {
            // Sums of weights are below 2^63 in earnest; beyond, the lengths of queues suffer.
            self.waiting.add(weight.wrapping_sub(place.swap(weight)));
        }
    }

    #[inline(always)]
    fn ends(&self) -> Ends {
        Ends::of(self.ends.get())
    }

    /// How many numbers are in it, stale ones included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ends().len() as usize
    }

    /// How many places were drawn so far; it wraps.
    #[inline]
    pub(crate) fn arrivals(&self) -> u32 {
        self.ends().tail
    }

    /// Draws tickets for so many to leave and to come, if `may` says so of the two counts before, which
    /// it gives.
    #[inline(always)]
    fn advance(&self, leave: u32, come: u32, may: impl Fn(Ends) -> bool) -> Option<Ends> {
        loop {
            let ends = self.ends();
            if !may(ends) {
                return None;
            }
            if self.ends.exchange(ends.word(), ends.moved(leave, come).word()) {
                return Some(ends);
            }
        }
    }

    /// Draws a place for a number; `None` if there is no room for it.
    #[inline]
    pub(crate) fn draw(&self) -> Option<Ticket> {
        let before = self.advance(0, 1, |ends| (ends.len() as usize) < self.places.len())?;
        Some(Ticket(before.tail))
    }

    /// Puts a number where a place was drawn for it.
    #[inline]
    pub(crate) fn put(&self, ticket: Ticket, slot: u32, weight: u64) {
        self.place(ticket.0).set(slot);
        self.weigh(ticket.0, weight);
    }

    /// Takes the number out that came first.
    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        self.pop_before(None)
    }

    /// `pop`, but not beyond a place that the caller has drawn and not yet filled.
    #[inline]
    pub(crate) fn pop_before(&self, own: Option<Ticket>) -> Option<u32> {
        let may = |ends: Ends| ends.len() > 0 && own != Some(Ticket(ends.head));
        let before = self.advance(1, 0, may)?;
        self.weigh(before.head, 0);
        Some(self.place(before.head).get())
    }

    /// `pop` and `draw` at once.
    #[inline]
    pub(crate) fn pop_and_draw(&self) -> Option<(u32, Ticket)> {
        let before = self.advance(1, 1, |ends| ends.len() > 0)?;
        Some((self.place(before.head).get(), Ticket(before.tail)))
    }

    /// The number that is `ahead` behind the first.
    #[inline]
    pub(crate) fn peek(&self, ahead: u32) -> u32 {
        self.place(self.ends().head.wrapping_add(ahead)).get()
    }

    /// All numbers, first in first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let ends = self.ends();
        (0..ends.len()).map(move |ahead| self.place(ends.head.wrapping_add(ahead)).get())
    }

    #[inline(always)]
    fn place(&self, ticket: u32) -> &Hint {
        &self.places[ticket as usize & (self.places.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Probation, slot: u32) -> bool {
        queue.draw().map(|ticket| queue.put(ticket, slot, 7)).is_some()
    }

    #[test]
    fn first_in_first_out_and_no_more_than_fit() {
        let queue = Probation::new(4, false);
        assert!(queue.ends.exchange(0, Ends { head: u32::MAX - 9, tail: u32::MAX - 9 }.word()));
        assert_eq!((queue.pop(), queue.len()), (None, 0));
        for lap in 0..5 {
            assert!((0..4).all(|n| push(&queue, lap * 4 + n)));
            assert!(!push(&queue, 99));
            let all: Vec<_> = (lap * 4..lap * 4 + 4).collect();
            assert_eq!((queue.iter().collect::<Vec<_>>(), queue.peek(2)), (all, lap * 4 + 2));
            let (first, ticket) = queue.pop_and_draw().unwrap();
            queue.put(ticket, first, 7);
            assert_eq!((queue.len(), first), (4, lap * 4));
            let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            assert_eq!(rest, [1, 2, 3, 0].map(|n| lap * 4 + n));
            assert_eq!((queue.pop_and_draw(), queue.len()), (None, 0));
        }
    }

    #[test]
    fn threads_take_out_as_many_as_they_put_in() {
        let queue = Probation::new(64, true);
        let sum = std::thread::scope(|scope| {
            let work = |from: u32| {
                let queue = &queue;
                move || {
                    let mut taken = 0;
                    for n in from..from + 10_000 {
                        assert!(push(queue, n), "at most two are in it at a time");
                        taken += u64::from(queue.pop().is_some());
                    }
                    taken
                }
            };
            let (a, b) = (scope.spawn(work(0)), scope.spawn(work(10_000)));
            a.join().unwrap() + b.join().unwrap()
        });
        assert_eq!(sum + queue.len() as u64, 20_000);
        assert_eq!(queue.waiting(), Some(7 * queue.len() as u64));
    }
}
