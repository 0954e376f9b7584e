//! What do trials find out? Whether the main class is in use, how many more are to be tried, and whether the queue of
//! probation is longer than anybody needs. The arithmetic is in `adaptive`.
//!
//! A trial that finds the main class in use asks all threads whether they meet somebody of the queue in use
//! (`Probation::uses`), and looks at what was answered to those before.

#![forbid(unsafe_code)]

use std::ptr::NonNull;

use crate::adaptive::{self, Limits, Trial, Trials};
use crate::local::Position;
use crate::node::{Node, NodeWalker};
use crate::table::Table;
use crate::table::classes::{Classes, Known};

impl Position {
    #[inline]
    pub(super) fn trials(&self) -> Trials {
        Trials::of(self.trials.get())
    }

    /// A newcomer without a past was tried in the main class of so many `entries`: whether somebody left
    /// for it, and how many in use the hand has passed over.
    fn tried(&self, has_room: bool, passes: u32, entries: usize) {
        let trial = match (has_room, passes) {
            (true, 0) => Trial::Free,
            (true, _) => Trial::Dear,
            (false, _) => Trial::Refused,
        };
        self.trials.set(self.trials().after(trial, entries).word());
    }
}

impl Classes {
    /// A newcomer was tried in the main class of a cache of so many `entries`, which share `bound`: whether somebody left
    /// for it, and how many in use the hand has passed over.
    #[cold]
    pub(super) fn has_tried(
        &self,
        position: &Position,
        (has_room, passes): (bool, u32),
        (entries, bound): (usize, u64),
    ) {
        position.tried(has_room, passes, entries);
        if passes >= adaptive::IN_USE && self.is_unused(position) {
            self.quota.set(Limits::new(1, bound).fallen(self.quota()));
        }
    }

    /// Whether nobody of the queue was used while as many newcomers came as wait, as far as this thread knows.
    fn is_unused(&self, position: &Position) -> bool {
        let (uses, hand) = (self.queue.ask(), &position.newcomers);
        let told = position.trials().told(uses >> 1);
        if let Some(trials) = told {
            position.trials.set(trials.word());
        }
        if told.is_some() || uses & 1 == 0 {
            hand.used_at.set(hand.arrivals());
            return false;
        }
        // Below zero where a full ring had no room for some who had come.
        let come = hand.arrivals().wrapping_sub(hand.used_at.get()) as i32;
        u64::try_from(come).is_ok_and(|come| come >= hand.waiting())
    }
}

impl<K, V> Table<K, V> {
    /// Drives the hand for a newcomer that is tried in the main class, in a cache of so many `entries`.
    #[cold]
    pub(super) fn evict_for_trial(
        &self,
        (classes, known): (&Classes, &Known),
        position: &Position,
        entries: usize,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let mut passes = 0;
        let most = adaptive::TRIAL_PASSES;
        let node = self.evict_main_passing(known, position, (most, &mut passes), walker);
        classes.has_tried(position, (node.is_some(), passes), (entries, entries as u64));
        node
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;
    use crate::local::Handful;
    use crate::reclaim::Walk;
    use crate::table::probation::{Probation, Ring};

    /// `n` newcomers come.
    fn push(classes: &Classes, thread: &Position, n: u32) {
        let walk = Walk::unneeded();
        let ring = &classes.known(&walk).ring;
        (0..n).for_each(|at| classes.queue.push(&thread.newcomers, 9, (at, 1), ring));
    }

    /// `n` newcomers come, and as many leave.
    fn pass(classes: &Classes, thread: &Position, n: u32) {
        push(classes, thread, n);
        let walk = Walk::unneeded();
        let ring = &classes.known(&walk).ring;
        (0..n).for_each(|_| assert!(classes.queue.pop(&thread.newcomers, 9, ring).is_some()));
    }

    #[test]
    fn a_queue_is_unused_once_all_who_wait_came_since() {
        let (classes, thread) = (Classes::new(100, None), Position::default());
        push(&classes, &thread, 9);
        for used in [false, true] {
            if used {
                classes.queue.is_used();
            }
            assert!(!classes.is_unused(&thread), "it is asked");
            pass(&classes, &thread, 8);
            assert!(!classes.is_unused(&thread), "one waits who came before");
            pass(&classes, &thread, 1);
            assert!(classes.is_unused(&thread));
        }
    }

    #[test]
    fn each_thread_hears_whether_somebody_was_used() {
        let mut classes = Classes::new(100, None);
        classes.queue = Probation::new(false, 0); // nobody keeps its own
        let threads = [(); 3].map(|()| Position::default());
        for thread in &threads {
            assert!(!classes.is_unused(thread), "who asks for the first time knows nothing");
            pass(&classes, thread, 9);
        }
        assert!(threads.iter().all(|thread| classes.is_unused(thread)), "nobody answers");
        classes.queue.is_used();
        classes.queue.is_used();
        for at in [2, 0, 1] {
            assert!(!classes.is_unused(&threads[at]), "each hears of it, also who asks later");
        }
        assert!(!classes.is_unused(&Position::default()));
    }

    /// What a thread has in hand counts for what the others have, where each keeps its newcomers. That makes the queue
    /// longer and shorter by as many with each that comes or leaves, and is no reason to call it over.
    #[test]
    fn a_queue_is_not_over_for_what_threads_have_in_hand() {
        const THREADS: u32 = 16;
        for quota in 1..=160 {
            let (queue, ring) = (Probation::new(false, THREADS), Ring::new(1_000, false));
            let hands = [(); THREADS as usize].map(|()| Handful::default());
            let mut over = 0;
            for newcomer in 0..400 {
                for hand in &hands {
                    hand.race();
                    let waiting = queue.number_waiting(hand, quota);
                    let is_over = adaptive::is_over(waiting, quota, hand.counts_for());
                    over += u32::from(is_over && newcomer >= 200);
                    if waiting >= quota {
                        queue.pop(hand, quota, &ring);
                    }
                    if !is_over {
                        queue.push(hand, quota, (7, 1), &ring);
                    }
                }
            }
            assert_eq!(over, 0, "a queue of {quota}");
        }
    }
}
