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
    /// Whether nobody of the queue was used while as many newcomers came as wait, as far as this thread knows.
    fn is_unused(&self, position: &Position) -> bool {
        let (uses, hand) = (self.queue.ask(), &position.newcomers);
        let told = position.trials().told(uses >> 1);
        if told.is_some() || uses & 1 == 0 {
            position.trials.set(told.unwrap_or(position.trials()).word());
            hand.used_at.set(hand.arrivals());
            return false;
        }
        u64::from(hand.arrivals().wrapping_sub(hand.used_at.get())) >= hand.waiting()
    }
}

impl<K, V> Table<K, V> {
    /// Drives the hand for a newcomer that is tried in the main class, in a cache of so many `entries`.
    #[cold]
    pub(super) fn evict_for_trial(
        &self,
        known: &Known,
        position: &Position,
        entries: usize,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let mut passes = 0;
        let most = adaptive::TRIAL_PASSES;
        let node = self.evict_main_passing(known, position, (most, &mut passes), walker);
        self.has_tried(position, (node.is_some(), passes), (entries, entries as u64));
        node
    }

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
        if let Some(classes) = &self.classes
            && passes >= adaptive::IN_USE
            && classes.is_unused(position)
        {
            classes.quota.set(Limits::new(1, bound).fallen(classes.quota()));
        }
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;
    use crate::reclaim::Walk;

    #[test]
    fn each_thread_hears_whether_somebody_was_used() {
        let walk = Walk::unneeded();
        let classes = Classes::new(100, None);
        let threads = [(); 3].map(|()| Position::default());
        let come = |thread: usize, n: u32| {
            for number in 0..n {
                let ring = &classes.known(&walk).ring;
                classes.queue.push(&threads[thread].newcomers, 3, (number, 1), ring);
                classes.queue.pop(&threads[thread].newcomers, 3, ring);
            }
        };
        let unused = |thread: usize| classes.is_unused(&threads[thread]);
        for thread in 0..3 {
            assert!(!unused(thread), "who asks for the first time knows nothing");
            come(thread, 3);
        }
        assert!(unused(0) && unused(1) && unused(2), "nobody answers");
        classes.queue.is_used();
        classes.queue.is_used();
        for thread in [2, 0, 1] {
            assert!(!unused(thread), "each hears of it, also who asks later");
        }
        come(1, 3);
        assert!(unused(1), "and asks anew");
        let later = Position::default();
        assert!(!classes.is_unused(&later));
    }
}
