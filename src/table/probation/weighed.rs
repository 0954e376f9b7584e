//! What do those who wait weigh?
//!
//! A newcomer's weight is written beside its number, and taken out with it: what a thread has in hand has its weight in
//! hand, too, and counts as waiting until it looks at it, for this thread alone. What a swap gives is taken from the sum,
//! whoever finds it, so that the sum is right again once everybody has gone on. There is no place in hand for weights
//! of newcomers; so each puts itself in.
//!
//! There are two sums, beside the ends, since who writes one writes the other. A ring that replaces another has the one that
//! this had not, and a `base`, since nobody knows what is in it. (Who is stopped between a swap and its addition while the
//! ring is replaced twice makes the sum wrong by that weight, until this ring is replaced, too.)

#![forbid(unsafe_code)]

use crate::local::{Handful, MOST_WEIGHTS};
use crate::pause::{Step, reach};
use crate::table::probation::{Ends, PART_IN_HAND, Probation, Ring};

impl Probation {
    /// The weight of what waits, as this thread knows.
    #[inline]
    pub(super) fn weight_waiting(&self, hand: &Handful, ring: &Ring) -> u64 {
        // While somebody has taken a weight out that was not yet added, the sum is below zero.
        let sum = ring.sum(&self.line.sums) as i64;
        (sum.max(0) as u64).saturating_add(hand.weight_in_hand())
    }

    /// How many numbers a thread takes out at once.
    pub(super) fn handful_weighed(&self, threads: u32) -> u32 {
        let share = u64::from(self.ends().len()) / u64::from(threads);
        (share / PART_IN_HAND).clamp(1, MOST_WEIGHTS as u64) as u32
    }

    /// Puts a number in, with its weight. If there is no room for it the hand of the clock will do.
    #[inline]
    pub(super) fn push_weighed(
        &self,
        hand: &Handful,
        quota: u64,
        (number, weight): (u32, u64),
        ring: &Ring,
    ) {
        if hand.times.get() == 0 {
            self.decide(hand, quota);
        }
        let ticket = loop {
            let ends = self.ends();
            if u64::from(ends.len() + hand.leaving()) >= ring.places.len() as u64 {
                return hand.see(ends.len(), ends.tail);
            }
            let after = ends.moved(0, 1);
            if self.move_ends(ends, after) {
                hand.see(after.len(), after.tail);
                break ends.tail;
            }
        };
        reach(Step::Drawn);
        ring.place(ticket).set(number);
        self.add_weight(ring, weight.wrapping_sub(ring.weigh(ticket, weight)));
    }

    /// After the tickets between these ends were drawn, for leaving: their weights are in hand.
    pub(super) fn draw_weights(&self, hand: &Handful, (from, to): (Ends, Ends), ring: &Ring) {
        let mut sum = 0_u64;
        for at in 0..to.head.wrapping_sub(from.head) {
            let ticket = from.head.wrapping_add(at);
            let weight = ring.weigh(ticket, 0);
            hand.set_weight(ticket, weight);
            sum = sum.wrapping_add(weight);
        }
        self.add_weight(ring, sum.wrapping_neg());
    }

    /// The sum of `ring` grows by so much, which wraps.
    #[inline]
    fn add_weight(&self, ring: &Ring, more: u64) {
        if more != 0 {
            ring.sum_among(&self.line.sums).add(more);
        }
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// So many threads; and what is put in by one is seen by all, and weighs the square of its number modulo 1000.
    fn crowd<const N: usize>(places: usize) -> (Probation, [Handful; N], Ring) {
        (Probation::new(true, 4), [(); N].map(|()| Handful::default()), Ring::new(places, true))
    }

    fn weight(number: u32) -> u64 {
        u64::from(number % 1000).pow(2)
    }

    fn put(queue: &Probation, hand: &Handful, number: u32, ring: &Ring) {
        queue.push(hand, 1_000, (number, weight(number)), ring);
    }

    fn take(queue: &Probation, hand: &Handful, ring: &Ring) -> Option<u32> {
        queue.pop(hand, 1_000, ring).map(|[number, ..]| number)
    }

    proptest! {
        /// In any order, also while the ring is replaced: each number comes out once, and what waits weighs what is in the
        /// ring and in one's own hand.
        #[test]
        fn of_threads_nothing_is_lost_or_doubled(
            ops in prop::collection::vec((0_usize..3, 0_u32..40), 0..500),
        ) {
            let (queue, hands, first) = crowd::<3>(512);
            let (mut larger, mut pushed, mut taken) = (None, 0, Vec::new());
            for (thread, op) in ops {
                let (hand, ring) = (&hands[thread], larger.as_ref().unwrap_or(&first));
                match op {
                    0 => larger = Some(queue.enlarged(ring, 1024)),
                    1 => {
                        if let Some(ring) = larger.take() {
                            queue.carry(&ring, &first);
                        }
                    }
                    2..22 => {
                        put(&queue, hand, pushed, ring);
                        pushed += 1;
                    }
                    _ => taken.extend(take(&queue, hand, ring)),
                }
                let ring = larger.as_ref().unwrap_or(&first);
                let all = (0..pushed).map(weight).sum::<u64>();
                let out = taken.iter().copied().map(weight).sum::<u64>();
                let others = hands.iter().filter(|other| !std::ptr::eq(*other, hand));
                let theirs = others.map(Handful::weight_in_hand).sum::<u64>();
                prop_assert_eq!(queue.waiting(hand, u64::MAX - 1, ring), all - out - theirs);
            }
            let ring = larger.as_ref().unwrap_or(&first);
            for hand in &hands {
                taken.extend(std::iter::from_fn(|| take(&queue, hand, ring)));
                prop_assert_eq!(hand.weight_in_hand(), 0);
            }
            taken.sort_unstable();
            prop_assert!(taken.into_iter().eq(0..pushed));
            prop_assert_eq!(queue.waiting(&hands[0], 1, ring), 0);
        }
    }

    #[test]
    fn what_resting_threads_have_in_hand_does_not_wait() {
        let (queue, hands, ring) = crowd::<9>(16_384);
        for n in 0..1_200 {
            for hand in &hands {
                put(&queue, hand, n, &ring);
                if n >= 170 {
                    assert!(take(&queue, hand, &ring).is_some());
                }
            }
        }
        assert!(hands[..8].iter().any(|hand| hand.leaving() > 0), "none has any in hand");
        while take(&queue, &hands[8], &ring).is_some() {}
        assert_eq!(queue.waiting(&hands[8], 1_600, &ring), 0);
    }

    #[test]
    fn a_ring_that_others_have_filled_is_full() {
        let (queue, hands, ring) = crowd::<2>(64);
        put(&queue, &hands[0], 1, &ring);
        (0..63).for_each(|n| put(&queue, &hands[1], n, &ring));
        put(&queue, &hands[0], 2, &ring); // for which there is none
        assert!(!queue.has_room(&hands[0], &ring));
        assert_eq!(queue.waiting(&hands[0], 1 << 40, &ring), (1 << 40) + 1);
    }

    #[test]
    fn two_may_take_a_ring_back() {
        let (queue, [hand], first) = crowd::<1>(64);
        (0..20).for_each(|_| queue.push(&hand, 1_000, (7, 3), &first));
        let larger = queue.enlarged(&first, 256);
        // The second has emptied the first ring before the first thread has filled it.
        let ends = queue.ends();
        for _ in 0..2 {
            queue.take_over(&first, &larger, (ends.tail, 64));
        }
        assert_eq!(queue.waiting(&hand, 1_000, &first), 60);
    }
}
