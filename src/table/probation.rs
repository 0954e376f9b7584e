//! Who came last? The queue of the newcomers, first in, first out.
//!
//! A ring of slot numbers with two counts of tickets, and for each thread a handful (`local::handful`): numbers that it
//! has taken out at once and has not yet looked at, and numbers of its newcomers that it has not yet put in.
//! With one thread the order is that of one queue. There are two modes, and each thread finds out for itself, when
//! it has nothing left to look at or no room for one more, which one there is:
//!
//! - *Shared*: what it has in hand is a small part of what is to wait. The ends are written once for as many
//!   newcomers as a handful holds, and whole lines of the ring are filled and read by one thread.
//! - *Kept*: where few threads have a handful and the share of each fits in it, one that has lost a race for the ends
//!   not long ago, or is the only one, keeps its newcomers to itself, as a queue of its own, and takes for granted that
//!   the others do: what it has in hand counts so many times, as often as all threads together have newcomers for one
//!   of its own. So no word of the queue is written, and only now and then do they tell one another how many came. If
//!   it has far more than its share, since others rest, it puts them in; what is in the ring leaves first.
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
//! | `threads` | a thread that has its first newcomer, by addition | how many have a handful |
//! | `arrivals` | who keeps its newcomers, now and then, by addition | how many came, as far as it was told |
//! | `uses`, even -> odd | who asks whether anybody of the queue is used | nobody since that |
//! | `uses`, odd -> even | who promotes one | one was; asked again the next time that somebody asks |
//! | `weights` | who writes the number; who takes it out, by swap | the weight that came with it, 0 once it was taken out |
//! | `sums` | both, by addition | with the ring's `base`, the sum of its `weights` |
//!
//! Who takes some out puts in what it has by the same exchange, but what it keeps.
//!
//! `weights` and `sums` exist where entries are weighed, see `weighed`.
//!
//! `places` and `weights` are as large as the table, and a larger ring may replace them, or the first one a
//! larger (`classes`, `larger`); tickets are good for any of them. A ring takes over what is in the one before it. What
//! is written into that one afterwards is lost: a newcomer's number, or that a weight has gone, which the new ring finds when
//! that place comes round again.

#![forbid(unsafe_code)]

mod ring;
mod weighed;

use crossbeam_utils::CachePadded;

use crate::advice::{Hint, WideHint};
use crate::local::{Handful, MOST_KEPT};
use crate::pause::{Step, reach};
pub(crate) use ring::Ring;
use ring::places_for;

/// Numbers that a thread has in hand at most, of either kind, where the queue is shared: those of one cache line.
const MOST_IN_HAND: u64 = 16;
/// All threads together have so small a part of what is to wait in hand, at most, of either kind. Where a thread's
/// share is less than four, it has one number to look at and none to put in: nobody's newcomer is hidden from the
/// others for long.
const PART_IN_HAND: u64 = 2;

/// From so many rows of ghosts on for each thread, each may keep who left last for itself: a few of many (`table::ghost`).
const DEFERRING: u32 = 64;

/// `uses` begins with an answer, so that a thread that has heard of none takes nobody else's question for its own.
const NEVER_ASKED: u32 = 2;

/// What is written together.
#[derive(Default)]
struct Line {
    ends: WideHint,
    sums: [WideHint; 2],
}

/// The newcomers of a cache.
pub(crate) struct Probation {
    line: CachePadded<Line>,
    /// How many threads have a handful.
    threads: Hint,
    /// The ring that was made last, see `Ring::turn`.
    latest: Hint,
    /// Whether somebody who waited was used, if it was asked; twice the number of answers, and one while there is none.
    uses: Hint,
    /// How many newcomers came, of which those who keep theirs tell.
    arrivals: CachePadded<Hint>,
    /// So many threads at most keep their newcomers to themselves.
    few: u32,
    pub(super) is_weighed: bool,
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
    /// An empty queue. Up to `few` threads may keep their newcomers to themselves.
    pub(crate) fn new(weighed: bool, few: u32) -> Self {
        Self {
            line: CachePadded::default(),
            threads: Hint::default(),
            latest: Hint::default(),
            uses: Hint::new(NEVER_ASKED),
            arrivals: CachePadded::default(),
            few,
            is_weighed: weighed,
        }
    }

    /// Makes of `ring` one for as many numbers. Tickets stay good.
    pub(crate) fn enlarged(&self, ring: &Ring, entries: usize) -> Ring {
        let places = places_for(entries).max(ring.places.len());
        let larger = Ring::of(places, self.is_weighed);
        self.take_over(&larger, ring, (self.ends().tail, ring.places.len() as u32));
        larger
    }

    /// Takes what waits in `ring` into one that is smaller, and has of what it had what was there when it was
    /// replaced. The eldest go for whom there is no room.
    pub(crate) fn carry(&self, ring: &Ring, smaller: &Ring) {
        let mut ends = self.ends();
        let most = smaller.places.len() as u32;
        while ends.len() > most {
            self.move_ends(ends, ends.moved(ends.len() - most, 0));
            ends = self.ends();
        }
        for ticket in 0..most {
            smaller.place(ticket).set(0);
            smaller.weigh(ticket, 0); // of a sum that is nobody's
        }
        self.take_over(smaller, ring, (ends.tail, most)); // some of them may be in a hand
    }

    fn take_over(&self, ring: &Ring, older: &Ring, tickets: (u32, u32)) {
        ring.follow(older, tickets, self.latest.get(), &self.line.sums);
        self.latest.set(ring.turn.get());
    }

    #[inline(always)]
    fn ends(&self) -> Ends {
        Ends::of(self.line.ends.get())
    }

    /// Moves the ends from there to here. False if somebody else has.
    #[inline(always)]
    fn move_ends(&self, from: Ends, to: Ends) -> bool {
        self.line.ends.exchange(from.word(), to.word())
    }

    /// Decides whether the thread keeps its newcomers, where about `quota` are to wait in all, and how many numbers it
    /// takes out of the ring at once.
    fn decide(&self, hand: &Handful, quota: u64) -> (bool, u32) {
        if hand.times.get() == 0 {
            self.threads.add(1);
        }
        hand.times.set(1);
        let threads = self.threads.get().max(1);
        if self.is_weighed {
            hand.deferring.set(u32::MAX);
            return (false, self.handful_weighed(threads));
        }
        hand.deferring.set(DEFERRING.saturating_mul(threads));
        let share = quota / u64::from(threads);
        let meets = threads == 1 || hand.has_raced();
        if !meets || threads > self.few || !(1..=MOST_KEPT as u64).contains(&share) {
            let handful = (share / PART_IN_HAND).clamp(1, MOST_IN_HAND) as u32;
            hand.most.set(handful);
            return (false, handful);
        }
        hand.times.set(hand.times_of(threads, &self.arrivals));
        // Some more than its share, for what it knows of the others is old. And as many at once of those in the ring,
        // which are there since the queue was shared, or longer: else all would meet there for each.
        hand.most.set(((2 * share) as u32 + 6).min(MOST_KEPT as u32));
        (true, hand.most.get().min(MOST_IN_HAND as u32))
    }

    /// How many wait, in this thread's hand or in the ring; where entries are weighed, the weight that came
    /// with all that wait, stale ones included. What the thread has seen of the ring may be old; where there
    /// seem to be fewer than `quota`, it looks again.
    #[inline]
    pub(crate) fn waiting(&self, hand: &Handful, quota: u64, ring: &Ring) -> u64 {
        if self.is_weighed {
            let weight = self.weight_waiting(hand, ring);
            // Where there is no room for more, there are too many, however light or stale they are.
            let full = !self.has_room(hand, ring);
            return if full { weight.max(quota.saturating_add(1)) } else { weight };
        }
        self.number_waiting(hand, quota)
    }

    /// How many wait, as `waiting` tells it where entries are not weighed.
    #[inline]
    pub(crate) fn number_waiting(&self, hand: &Handful, quota: u64) -> u64 {
        debug_assert!(!self.is_weighed);
        let waiting = hand.waiting();
        if waiting >= quota {
            return waiting;
        }
        let ends = self.ends();
        hand.see(ends.len(), ends.tail);
        hand.waiting()
    }

    /// Somebody who waited was used. Writes nothing unless that was asked.
    #[inline]
    pub(crate) fn is_used(&self) {
        let uses = self.uses.get();
        if uses & 1 != 0 {
            self.uses.set(uses.wrapping_add(1));
        }
    }

    /// Asks whether somebody who waits is used. The word as it was: the number of answers is its half, and if it is even
    /// there was none to wait for.
    pub(crate) fn ask(&self) -> u32 {
        let uses = self.uses.get();
        if uses & 1 == 0 {
            self.uses.set(uses | 1);
        }
        uses
    }

    /// Whether there is room for one more.
    #[inline]
    pub(crate) fn has_room(&self, hand: &Handful, ring: &Ring) -> bool {
        let places = ring.places.len() as u64;
        hand.waiting() < places || {
            let ends = self.ends(); // it may have seen a larger one
            hand.see(ends.len(), ends.tail);
            hand.waiting() < places
        }
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
        if hand.came.get() == hand.full.get() {
            if self.is_weighed {
                return self.push_weighed(hand, quota, (number, weight), ring);
            }
            self.exchange(hand, quota, false, ring);
        }
        let came = hand.came.get();
        hand.number(came).set(number);
        hand.came.set(came.wrapping_add(1));
        hand.waiting.set(hand.waiting.get() + hand.times.get());
        if hand.most.get() == 1 {
            self.exchange(hand, quota, false, ring);
        }
    }

    /// Takes the number out that came first, and tells those that are one and four behind it, about.
    #[inline]
    pub(crate) fn pop(&self, hand: &Handful, quota: u64, ring: &Ring) -> Option<[u32; 3]> {
        if hand.next.get() == hand.end.get() && !self.exchange(hand, quota, true, ring) {
            return None;
        }
        let next = hand.next.get();
        let numbers = peek(hand, next, [0, 1, 4], ring);
        hand.next.set(next.wrapping_add(1));
        hand.waiting.set(hand.waiting.get() - hand.times.get());
        if self.is_weighed {
            hand.forget_weight(next);
        }
        Some(numbers)
    }

    /// Puts in what is coming in hand, and takes a handful out if it `leaves`, where none are in hand. Whether
    /// there was one. Who keeps its newcomers puts them in only if there is no room in hand.
    #[inline(never)]
    fn exchange(&self, hand: &Handful, quota: u64, leaves: bool, ring: &Ring) -> bool {
        let (keeps, handful) = self.decide(hand, quota);
        let coming = hand.coming();
        let fits = coming + u32::from(!leaves) <= hand.room();
        let put = if keeps && fits { 0 } else { coming };
        let most = if leaves { handful } else { 0 };
        let (ends, after, come) = loop {
            let ends = self.ends();
            // For what has no room the hand of the clock will do.
            let come = put.min((ring.places.len() as u32).saturating_sub(ends.len()));
            let after = ends.moved(most.min(ends.len() + come), come);
            // What nobody changes is not written.
            if after.word() == ends.word() || self.move_ends(ends, after) {
                break (ends, after, come);
            }
            hand.race();
        };
        reach(Step::Drawn);
        ring.put(ends.tail, hand, come);
        if put > 0 {
            hand.has_put();
        }
        if leaves {
            if self.is_weighed {
                self.draw_weights(hand, (ends, after), ring);
            }
            hand.own.set(0);
            hand.next.set(ends.head);
            hand.end.set(after.head);
            if hand.leaving() == 0 {
                hand.turn();
            }
        }
        hand.full.set(hand.first.get().wrapping_add(hand.room()));
        hand.see(after.len(), after.tail);
        hand.leaving() > 0
    }

    /// All numbers, first in first, as this thread would take them out.
    pub(crate) fn iter<'q>(
        &'q self,
        hand: &'q Handful,
        ring: &'q Ring,
    ) -> impl Iterator<Item = u32> {
        let ends = self.ends();
        let tickets = |from: u32, len| (0..len).map(move |at| from.wrapping_add(at));
        let leaving = tickets(hand.next.get(), hand.leaving());
        let leaving = leaving.flat_map(|ticket| peek(hand, ticket, [0], ring));
        let waiting = tickets(ends.head, ends.len()).map(|at| ring.place(at).get());
        let coming = tickets(hand.first.get(), hand.coming()).map(|at| hand.number(at).get());
        leaving.chain(waiting).chain(coming)
    }
}

/// The number of a leaving `ticket`, and those that are so far behind it, about.
#[inline]
fn peek<const N: usize>(hand: &Handful, ticket: u32, behind: [u32; N], ring: &Ring) -> [u32; N] {
    let places = if hand.own.get() != 0 { hand.numbers() } else { &ring.places };
    // Asked once, and not for each: there are some.
    let Some(last) = places.len().checked_sub(1) else { return [0; N] };
    behind.map(|behind| places[ticket.wrapping_add(behind) as usize & last].get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Quotas around those at which one thread or two keep their newcomers, and have other numbers in hand.
    fn quotas() -> impl Strategy<Value = u64> {
        prop_oneof![1_u64..4, 7_u64..9, 30_u64..35, 62_u64..68, 126_u64..130, 1_u64..400]
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push,
        Pop,
        Race,
        MakeRoom,
        Quota(u64),
    }

    /// As many as so many threads do, with quotas that change.
    fn ops(threads: usize) -> impl Strategy<Value = Vec<(usize, Op)>> {
        let op = prop_oneof![
            12 => Just(Op::Push),
            8 => Just(Op::Pop),
            1 => Just(Op::Race),
            1 => Just(Op::MakeRoom),
            2 => quotas().prop_map(Op::Quota),
        ];
        prop::collection::vec((0..threads, op), 0..400)
    }

    proptest! {
        #[test]
        fn with_one_thread_it_is_one_queue(weighed in any::<bool>(), few in 0_u32..2, first in quotas(), ops in ops(1)) {
            let (queue, hand) = (Probation::new(weighed, few), Handful::default());
            let (mut ring, mut room) = (Ring::new(64, weighed), 64);
            let (mut quota, mut came) = (first, u32::MAX - 9);
            let start = Ends { head: came, tail: came }.word();
            prop_assert!(queue.line.ends.exchange(0, start));
            let mut model = VecDeque::new();
            for (number, (_, op)) in ops.into_iter().enumerate() {
                match op {
                    Op::MakeRoom if room < 1 << 12 => {
                        room *= 2;
                        assert!(ring.is_small_for(room - 1) && !ring.is_small_for(room / 2));
                        ring = queue.enlarged(&ring, room - 1);
                        ring = queue.enlarged(&ring, 7);
                    }
                    Op::MakeRoom => {}
                    Op::Race => hand.race(),
                    Op::Quota(to) => quota = to,
                    Op::Push => {
                        prop_assert_eq!(queue.has_room(&hand, &ring), model.len() < room);
                        if queue.has_room(&hand, &ring) {
                            queue.push(&hand, quota, (number as u32, 7), &ring);
                            model.push_back(number as u32);
                            came = came.wrapping_add(1);
                            prop_assert_eq!(hand.arrivals(), came);
                        }
                    }
                    Op::Pop => prop_assert_eq!(queue.pop(&hand, quota, &ring).map(|[first, ..]| first), model.pop_front()),
                }
                prop_assert_eq!(hand.waiting(), model.len() as u64);
                let each = if weighed { 7 } else { 1 };
                let mut waiting = each * model.len() as u64;
                if weighed && model.len() == room {
                    waiting = waiting.max(quota + 1); // too many, whatever they weigh
                }
                prop_assert_eq!(queue.waiting(&hand, quota, &ring), waiting);
                prop_assert!(queue.iter(&hand, &ring).eq(model.iter().copied()));
            }
        }

        #[test]
        fn of_two_threads_nothing_is_lost_or_doubled(few in 0_u32..4, first in quotas(), ops in ops(2)) {
            let (queue, hands) = (Probation::new(false, few), [(); 2].map(|()| Handful::default()));
            let mut ring = Ring::new(512, false);
            let (mut quota, mut pushed, mut taken) = (first, 0, Vec::new());
            for (thread, op) in ops {
                let hand = &hands[thread];
                match op {
                    Op::MakeRoom => ring = queue.enlarged(&ring, 1024),
                    Op::Race => hand.race(),
                    Op::Quota(to) => quota = to,
                    Op::Push => {
                        queue.push(hand, quota, (pushed, 1), &ring);
                        pushed += 1;
                    }
                    Op::Pop => taken.extend(queue.pop(hand, quota, &ring).map(|[first, ..]| first)),
                }
                prop_assert!(hand.own.get() == 0 || hand.leaving() + hand.coming() <= 32);
            }
            // Where the queue is shared again, each takes out what it has in hand, and what there is else.
            for hand in hands.iter().chain(&hands) {
                while let Some([number, ..]) = queue.pop(hand, 1, &ring) {
                    taken.push(number);
                }
            }
            taken.sort_unstable();
            prop_assert!(taken.into_iter().eq(0..pushed));
        }
    }

    #[test]
    fn few_threads_write_no_word_of_the_ring_and_tell_what_comes() {
        let (queue, ring) = (Probation::new(false, 2), Ring::new(512, false));
        let hands = [(); 2].map(|()| Handful::default());
        let turn = |hand: &Handful, n| {
            if n % 1000 == 0 {
                hand.race();
            }
            while queue.waiting(hand, 24, &ring) >= 24 {
                assert!(queue.pop(hand, 24, &ring).is_some());
            }
            queue.push(hand, 24, (n, 1), &ring);
        };
        let both = |n| hands.iter().for_each(|hand| turn(hand, n));
        (0..2000).for_each(both);
        let ends = queue.line.ends.get();
        (2000..3000).for_each(both);
        // Each has a half of them, and takes for granted that the other has.
        assert!(hands.iter().all(|hand| queue.iter(hand, &ring).eq(2988..3000)));
        assert_eq!(queue.line.ends.get(), ends);
        // While one rests the other comes to have as many as there should be in all; more than it is to keep
        // are in the ring.
        (3000..5000).for_each(|n| turn(&hands[1], n));
        assert!(queue.iter(&hands[1], &ring).eq(4976..5000));
        assert!((2988..3000).all(|n| queue.iter(&hands[0], &ring).any(|number| number == n)));
        // With a third they are too many: what one has in hand comes to the others.
        queue.push(&Handful::default(), 24, (5000, 1), &ring);
        while queue.pop(&hands[1], 24, &ring).is_some() {}
        (5001..5006).for_each(|n| turn(&hands[1], n));
        let in_ring = queue.iter(&Handful::default(), &ring).collect::<Vec<_>>();
        assert_eq!(in_ring, [5001, 5002, 5003, 5004]);
    }

    #[test]
    fn what_fits_comes_along_into_a_smaller_one() {
        for weighed in [false, true] {
            let (queue, hand) = (Probation::new(weighed, 0), Handful::default());
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
            let in_hand = hand.coming() as usize;
            assert_eq!(all(&first), shown[40 - 16 - in_hand..]);
            if weighed {
                // It is full, and one more than should wait, although they weigh less.
                assert_eq!(queue.waiting(&hand, 64, &first), 65);
                assert!(queue.pop(&hand, 64, &first).is_some());
                assert_eq!(queue.waiting(&hand, 64, &first), 3 * 15);
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
    fn each_goes_into_the_ring_with_its_weight_however_large_the_quota_is() {
        let (queue, hand, ring) =
            (Probation::new(true, 4), Handful::default(), Ring::new(64, true));
        let mut sum = 0;
        for n in 0..40 {
            let weight = u64::from(n + 1) << 30;
            queue.push(&hand, 1 << 40, (n, weight), &ring);
            sum += weight;
            assert_eq!(queue.waiting(&hand, 1 << 40, &ring), sum);
        }
    }

    #[test]
    fn arrivals_are_counted() {
        let (queue, hand, ring) =
            (Probation::new(false, 1), Handful::default(), Ring::new(64, false));
        for n in 0..200 {
            assert_eq!(hand.arrivals(), n);
            queue.push(&hand, 320, (n, 1), &ring);
            assert_eq!(queue.pop(&hand, 320, &ring).map(|[first, ..]| first), Some(n));
        }
    }

    #[test]
    fn threads_take_out_what_they_put_in() {
        for (weighed, few) in [(false, 0), (true, 0), (false, 2)] {
            let (queue, ring) = (Probation::new(weighed, few), Ring::new(256, weighed));
            let work = |from: u32| {
                let (queue, ring) = (&queue, &ring);
                move || {
                    let (hand, mut taken) = (Handful::default(), 0);
                    for n in from..from + 10_000 {
                        queue.push(&hand, 32, (n, 7), ring);
                        taken += u64::from(queue.pop(&hand, 32, ring).is_some());
                    }
                    taken + u64::from(hand.leaving() + hand.coming())
                }
            };
            let sum = std::thread::scope(|scope| {
                let (a, b) = (scope.spawn(work(0)), scope.spawn(work(10_000)));
                a.join().unwrap() + b.join().unwrap()
            });
            let left = u64::from(queue.ends().len());
            assert_eq!(sum + left, 20_000);
            let weights = ring.weights.iter().map(WideHint::get).sum::<u64>();
            assert!(ring.sum(&queue.line.sums) == weights && weights <= 7 * (left + 2));
        }
    }
}
