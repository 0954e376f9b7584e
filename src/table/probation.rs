//! Who came last? The queue of the newcomers, first in, first out.
//!
//! A ring of slot numbers with two counts of tickets, and for each thread a handful: numbers that it has
//! taken out at once and has not yet looked at, and numbers of its newcomers that it has not yet put in.
//! So the ends are written once for as many newcomers as a handful holds, and whole lines of the ring are
//! filled and read by one thread; with one thread the order is that of one queue.
//!
//! It is advice, and lossy on purpose: a number says where a newcomer was put, and whoever takes it out
//! looks at the slot to see whether there still is one. So an entry that leaves otherwise is not taken out
//! of the ring; its number has become stale and is passed over when its turn comes. A thread that is
//! stopped between drawing tickets and writing its numbers stops nobody: the numbers that the places had
//! before are taken for them, and when it goes on its own wait there for the next lap. What a thread has
//! in hand when it is stopped, or inserts no more, is lost sight of; `classes` says what becomes of it.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | `ends`, low half | who puts numbers in, by exchange | tickets drawn for coming |
//! | `ends`, high half | who takes some out, by exchange | tickets drawn for leaving; never beyond the low half |
//! | `places` | the one who drew the ticket for coming | a slot's number |
//! | a handful | its thread | what it has in hand, and what it knows of the others |
//! | `weights` | who writes the number; who takes it out, by swap | the weight that came with it, 0 once it has gone |
//! | `waiting` | both, by addition | the sum of `weights` |
//!
//! Who takes some out puts in what it has by the same exchange.
//!
//! `weights` and `waiting` exist where entries are weighed; there a thread puts its numbers in one by one. What a swap
//! gives is taken from the sum, whoever finds it, so that the sum is right again once everybody has gone on.
//!
//! `places`, `weights` and `waiting` are as large as the table, and a larger ring may replace them, or the first one a larger
//! (`classes`, `larger`); tickets are good for any of them. A larger ring takes over what is in the old one, with a sum of its own. What is written into the old one
//! after that is lost: a newcomer's number, or that a weight has gone, which the new ring finds when that
//! place comes round again.

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::advice::{Hint, WideHint};
use crate::counter::OwnedWord;
use crate::pause::{Step, reach};
use crate::table::memory::Array;

/// Numbers that a thread has in hand at most, of either kind: those of one cache line.
const MOST_IN_HAND: usize = 16;
/// All threads together have so small a part of what is to wait in hand, at most, of either kind; twice as much where
/// many wait. Where a thread's share is less than two, it has one number to look at and none to put in: nobody's
/// newcomer is hidden from the others for long.
const PART_IN_HAND: u64 = 4;
/// So many are many.
const MANY: u64 = 128;

/// The newcomers of a cache.
pub(crate) struct Probation {
    ends: CachePadded<WideHint>,
    /// How many threads have a handful.
    threads: Hint,
    is_weighed: bool,
}

/// Where the numbers are.
pub(crate) struct Ring {
    /// A power of two of them, 2^31 at most.
    places: Array<Hint>,
    /// As many, where entries are weighed; else none.
    weights: Array<WideHint>,
    waiting: CachePadded<WideHint>,
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
    fn enlarged(&self, places: usize, tail: u32) -> Self {
        let larger = Self::of(places, !self.weights.is_empty());
        self.carry(&larger, tail, self.places.len() as u32);
        larger
    }

    /// Writes what it has of the last `count` tickets before `tail` into `other`, which has nothing of these.
    fn carry(&self, other: &Self, tail: u32, count: u32) {
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
    fn place(&self, ticket: u32) -> &Hint {
        &self.places[ticket as usize & (self.places.len() - 1)]
    }

    #[inline(always)]
    fn weight(&self, ticket: u32) -> Option<&WideHint> {
        self.weights.get(ticket as usize & (self.places.len() - 1))
    }

    /// The weight at a place is `weight` now.
    #[inline]
    fn weigh(&self, ticket: u32, weight: u64) {
        if let Some(place) = self.weight(ticket) {
            // Sums of weights are below 2^63 in earnest; beyond, the lengths of queues suffer.
            self.waiting.add(weight.wrapping_sub(place.swap(weight)));
        }
    }

    #[inline(always)]
    fn put(&self, ticket: u32, number: u32, weight: u64) {
        self.place(ticket).set(number);
        self.weigh(ticket, weight);
    }
}

/// Places for as many entries.
fn places_for(entries: usize) -> usize {
    entries.clamp(1, 1 << 31).next_power_of_two()
}

/// What a thread has in hand of the queue.
#[derive(Debug, Default)]
pub(crate) struct Handful {
    /// The tickets that it drew for leaving and whose numbers it has not yet looked at: `next .. end`.
    next: OwnedWord,
    end: OwnedWord,
    /// The numbers of `coming` newcomers that are not yet in the ring, the eldest first.
    coming: OwnedWord,
    numbers: [OwnedWord; MOST_IN_HAND],
    /// The weight of the last of them.
    weight: OwnedWord,
    /// How many wait, in hand or in the ring, and how many came so far, as far as the thread knows.
    waiting: OwnedWord,
    arrivals: OwnedWord,
    /// How many it may have in hand, as it was when it last looked; 0 before the first time, and while the
    /// thread is not counted.
    most: OwnedWord,
}

impl Handful {
    fn leaving(&self) -> u32 {
        (self.end.get() as u32).wrapping_sub(self.next.get() as u32)
    }

    /// How many newcomers came so far, as far as this thread knows; it wraps.
    #[inline]
    pub(crate) fn arrivals(&self) -> u32 {
        self.arrivals.get() as u32
    }

    /// Takes in what `ends` are.
    fn see(&self, ends: Ends) {
        let coming = self.coming.get();
        self.waiting.set(u64::from(ends.len()) + u64::from(self.leaving()) + coming);
        self.arrivals.set(u64::from(ends.tail.wrapping_add(coming as u32)));
    }

    /// One more has come.
    #[inline(always)]
    fn count(&self) {
        self.waiting.set(self.waiting.get() + 1);
        self.arrivals.set(self.arrivals.get() + 1);
    }
}

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
    pub(crate) fn new(weighed: bool) -> Self {
        Self { ends: CachePadded::default(), threads: Hint::default(), is_weighed: weighed }
    }

    /// Makes of `ring` one for as many numbers. Tickets stay good.
    pub(crate) fn enlarged(&self, ring: &Ring, entries: usize) -> Ring {
        ring.enlarged(places_for(entries).max(ring.places.len()), Ends::of(self.ends.get()).tail)
    }

    /// Takes what waits in `ring` into one that is smaller, and has of what it had what was there when it was
    /// replaced. The eldest go for whom there is no room.
    pub(crate) fn carry(&self, ring: &Ring, smaller: &Ring) {
        let mut ends = Ends::of(self.ends.get());
        let most = smaller.places.len() as u32;
        while ends.len() > most {
            let after = ends.moved(ends.len() - most, 0);
            self.ends.exchange(ends.word(), after.word());
            ends = Ends::of(self.ends.get());
        }
        (0..most).for_each(|ticket| smaller.put(ticket, 0, 0));
        ring.carry(smaller, ends.tail, ends.len());
    }

    /// How many numbers this thread may have in hand where about `quota` are to wait in all.
    fn in_hand(&self, hand: &Handful, quota: u64) -> u64 {
        if self.is_weighed {
            return 1;
        }
        if hand.most.get() == 0 {
            self.threads.add(1);
        }
        let threads = u64::from(self.threads.get()).max(1);
        let part = if quota < MANY { PART_IN_HAND } else { PART_IN_HAND / 2 };
        (quota / (part * threads)).clamp(1, MOST_IN_HAND as u64)
    }

    /// How many wait, in this thread's hand or in the ring; where entries are weighed, the weight that came
    /// with all that wait, stale ones included. What the thread has seen of the ring may be old; where there
    /// seem to be fewer than `quota`, it looks again.
    #[inline]
    pub(crate) fn waiting(&self, hand: &Handful, quota: u64, ring: &Ring) -> u64 {
        if self.is_weighed {
            // While somebody has taken a weight out that was not yet added, the sum is below zero.
            return (ring.waiting.get() as i64).max(0) as u64;
        }
        if hand.waiting.get() < quota {
            hand.see(Ends::of(self.ends.get()));
        }
        hand.waiting.get()
    }

    /// Whether there is room for one more.
    #[inline]
    pub(crate) fn has_room(&self, hand: &Handful, ring: &Ring) -> bool {
        hand.waiting.get() < ring.places.len() as u64
    }

    /// Puts the number of a newcomer of this weight in, of a queue of `quota` numbers or so.
    #[inline]
    pub(crate) fn push(
        &self,
        hand: &Handful,
        quota: u64,
        (number, weight): (u32, u64),
        ring: &Ring,
    ) {
        // Nothing to put in yet, if this is its first.
        if hand.coming.get() >= hand.most.get() {
            self.exchange(hand, quota, false, ring);
        }
        let coming = hand.coming.get() as usize;
        hand.numbers[coming % MOST_IN_HAND].set(u64::from(number));
        hand.coming.set(coming as u64 + 1);
        hand.weight.set(weight);
        hand.count();
        if hand.most.get() == 1 {
            self.exchange(hand, quota, false, ring);
        }
    }

    /// Takes the number out that came first.
    #[inline]
    pub(crate) fn pop(&self, hand: &Handful, quota: u64, ring: &Ring) -> Option<u32> {
        if hand.next.get() == hand.end.get() && !self.exchange(hand, quota, true, ring) {
            return None;
        }
        let next = hand.next.get() as u32;
        hand.next.set(u64::from(next.wrapping_add(1)));
        hand.waiting.set(hand.waiting.get() - 1);
        ring.weigh(next, 0);
        Some(ring.place(next).get())
    }

    /// Puts in what the thread has in hand, and takes a handful out if it `leaves`, where none are in hand.
    /// Whether there was one.
    #[inline(never)]
    fn exchange(&self, hand: &Handful, quota: u64, leaves: bool, ring: &Ring) -> bool {
        hand.most.set(self.in_hand(hand, quota));
        let most = if leaves { hand.most.get() as u32 } else { 0 };
        let coming = hand.coming.get() as u32;
        loop {
            let ends = Ends::of(self.ends.get());
            // For what has no room the hand of the clock will do.
            let come = coming.min((ring.places.len() as u32).saturating_sub(ends.len()));
            let leave = most.min(ends.len() + come);
            let after = ends.moved(leave, come);
            if !self.ends.exchange(ends.word(), after.word()) {
                continue;
            }
            reach(Step::Drawn);
            for (at, number) in hand.numbers[..come as usize].iter().enumerate() {
                let ticket = ends.tail.wrapping_add(at as u32);
                ring.put(ticket, number.get() as u32, hand.weight.get());
            }
            hand.coming.set(0);
            if leaves {
                hand.next.set(u64::from(ends.head));
                hand.end.set(u64::from(after.head));
            }
            hand.see(after);
            return leave > 0;
        }
    }

    /// The number that is `ahead` behind the next one, about.
    #[inline]
    pub(crate) fn peek(&self, hand: &Handful, ahead: u32, ring: &Ring) -> u32 {
        ring.place((hand.next.get() as u32).wrapping_add(ahead)).get()
    }

    /// All numbers, first in first, as this thread would take them out.
    pub(crate) fn iter<'w>(
        &'w self,
        hand: &'w Handful,
        ring: &'w Ring,
    ) -> impl Iterator<Item = u32> + 'w {
        let ends = Ends::of(self.ends.get());
        let next = hand.next.get() as u32;
        let leaving = (0..hand.leaving()).map(move |at| next.wrapping_add(at));
        let waiting = (0..ends.len()).map(move |at| ends.head.wrapping_add(at));
        let coming = hand.numbers.iter().take(hand.coming.get() as usize);
        let tickets = leaving.chain(waiting).map(|ticket| ring.place(ticket).get());
        tickets.chain(coming.map(|number| number.get() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn with_one_thread_it_is_one_queue(weighed in any::<bool>(), quota in 1_u64..400, ops in prop::collection::vec(0_u8..50, 0..400)) {
            let (queue, hand) = (Probation::new(weighed), Handful::default());
            let (mut ring, mut room) = (Ring::new(64, weighed), 64);
            let start = Ends { head: u32::MAX - 9, tail: u32::MAX - 9 }.word();
            prop_assert!(queue.ends.exchange(0, start));
            let mut model = VecDeque::new();
            for (number, op) in ops.into_iter().enumerate() {
                if op == 0 && number > 0 {
                    room *= 2;
                    assert!(ring.is_small_for(room - 1) && !ring.is_small_for(room / 2));
                    ring = queue.enlarged(&ring, room - 1);
                    ring = queue.enlarged(&ring, 7);
                } else if op < 30 {
                    prop_assert_eq!(queue.has_room(&hand, &ring), model.len() < room);
                    if queue.has_room(&hand, &ring) {
                        queue.push(&hand, quota, (number as u32, 7), &ring);
                        model.push_back(number as u32);
                    }
                } else {
                    prop_assert_eq!(queue.pop(&hand, quota, &ring), model.pop_front());
                }
                prop_assert_eq!(hand.waiting.get(), model.len() as u64);
                let each = if weighed { 7 } else { 1 };
                prop_assert_eq!(queue.waiting(&hand, quota, &ring), each * model.len() as u64);
                prop_assert!(queue.iter(&hand, &ring).eq(model.iter().copied()));
            }
        }
    }

    #[test]
    fn what_fits_comes_along_into_a_smaller_one() {
        for weighed in [false, true] {
            let (queue, hand) = (Probation::new(weighed), Handful::default());
            let first = Ring::new(16, weighed);
            let put = |ring: &Ring, numbers: std::ops::Range<u32>| {
                numbers.for_each(|n| queue.push(&hand, 64, (n, 3), ring));
            };
            let all = |ring: &Ring| queue.iter(&hand, ring).collect::<Vec<_>>();
            put(&first, 0..9);
            let larger = queue.enlarged(&first, 64);
            put(&larger, 9..40);
            let shown = all(&larger);
            assert_eq!(shown, Vec::from_iter(0..40));
            queue.carry(&larger, &first);
            // The last sixteen of the ring, and what is in hand.
            let in_hand = hand.coming.get() as usize;
            assert_eq!(all(&first), shown[40 - 16 - in_hand..]);
            if weighed {
                assert_eq!(queue.waiting(&hand, 64, &first), 3 * 16);
            }
            while queue.pop(&hand, 64, &first).is_some() {}
            put(&first, 100..110);
            assert_eq!(all(&first), Vec::from_iter(100..110));
            if weighed {
                assert_eq!(queue.waiting(&hand, 64, &first), 30);
            }
        }
    }

    #[test]
    fn arrivals_are_counted() {
        let (queue, hand, ring) = (Probation::new(false), Handful::default(), Ring::new(64, false));
        for n in 0..200 {
            assert_eq!(hand.arrivals(), n);
            queue.push(&hand, 320, (n, 1), &ring);
            assert_eq!(queue.pop(&hand, 320, &ring), Some(n));
        }
    }

    #[test]
    fn threads_take_out_what_they_put_in() {
        for weighed in [false, true] {
            let (queue, ring) = (Probation::new(weighed), Ring::new(256, weighed));
            let work = |from: u32| {
                let (queue, ring) = (&queue, &ring);
                move || {
                    let (hand, mut taken) = (Handful::default(), 0);
                    for n in from..from + 10_000 {
                        queue.push(&hand, 64, (n, 7), ring);
                        taken += u64::from(queue.pop(&hand, 64, ring).is_some());
                    }
                    taken + u64::from(hand.leaving()) + hand.coming.get()
                }
            };
            let sum = std::thread::scope(|scope| {
                let (a, b) = (scope.spawn(work(0)), scope.spawn(work(10_000)));
                a.join().unwrap() + b.join().unwrap()
            });
            let left = u64::from(Ends::of(queue.ends.get()).len());
            assert_eq!(sum + left, 20_000);
            let weights = ring.weights.iter().map(WideHint::get).sum::<u64>();
            assert!(ring.waiting.get() == weights && weights <= 7 * (left + 2));
        }
    }
}
