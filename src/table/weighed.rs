//! Who leaves for whom, where entries are weighed? The same rules as in `classes`, with weight where it
//! counts entries: the quota of probation, what waits there, and the step by which who comes back moves
//! the quota. Whoever needs more room than one victim gives puts out several, each by the same rule.
//!
//! Ages of those who have left stay numbers of departures, as fingerprints keep no weight; what is a
//! long time is measured by the number of entries that the cache holds at present, so that on average
//! it is the same weight of departures.

#![forbid(unsafe_code)]

use std::ptr::NonNull;

use crate::adaptive::{self, Class};
use crate::hash::Hashed;
use crate::local::Position;
use crate::node::{Node, NodeWalker};
use crate::table::Table;
use crate::table::sweep::Patience;

/// What a newcomer asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    pub(crate) hash: Hashed,
    pub(crate) weight: u64,
    /// The weight that the classes share.
    pub(crate) bound: u64,
    /// The entries that there are.
    pub(crate) entries: usize,
}

/// A newcomer for whom others leave.
#[derive(Debug)]
pub(crate) struct Newcomer {
    class: Class,
    /// How many entries in use the hand passes over for it, if it came back in time.
    back: Option<u32>,
    /// The entries that there are, and what they share, if it is tried in the main class.
    tried: Option<(usize, u64)>,
    /// It comes to the main class though its room is made as for one on probation: of a queue that is far too long.
    over: bool,
    /// Entries in use that the hand has passed over for it.
    passes: u32,
}

impl Newcomer {
    /// How it comes in, once there is room.
    pub(crate) fn class(&self) -> Class {
        if self.over { Class::Main } else { self.class }
    }
}

impl<K, V> Table<K, V> {
    /// Says in which class a newcomer comes, if that class can make room for it.
    pub(crate) fn judge(
        &self,
        demand: Demand,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Newcomer {
        let Demand { hash, weight, bound, entries } = demand;
        let mut newcomer =
            Newcomer { class: Class::Main, back: None, tried: None, over: false, passes: 0 };
        let Some(classes) = &self.classes else { return newcomer };
        classes.follow(entries, bound);
        let known = classes.known(walker);
        let asked = (hash.place(), &position.newcomers);
        newcomer.back = classes.recall(known, asked, (weight, bound));
        if newcomer.back.is_none() {
            if position.trials().include(hash.place(), position.newcomers.arrivals()) {
                newcomer.tried = Some((entries, bound));
            } else {
                newcomer.class = Class::Probation;
                let waiting = classes.waiting(known, &position.newcomers);
                newcomer.over = adaptive::is_over(waiting, classes.quota(), weight);
            }
        }
        newcomer
    }

    /// Unlinks one entry to make room for `newcomer`, who may lose its class by it. The caller takes over
    /// the victim's share and its room.
    pub(crate) fn displace_for(
        &self,
        newcomer: &mut Newcomer,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let Some(classes) = &self.classes else {
            return self.evict(position, Patience::TwoTurns, walker);
        };
        let (known, hand) = (classes.known(walker), &position.newcomers);
        let early = || self.evict_early((classes, known), hand, walker);
        if newcomer.class == Class::Main {
            let over =
                (newcomer.back.is_some() && classes.is_too_long(known, hand)).then(early).flatten();
            let victim = over.or_else(|| {
                let most = newcomer.back.unwrap_or(adaptive::TRIAL_PASSES);
                let passes = &mut newcomer.passes;
                self.evict_main_passing(known, position, (most, passes), walker)
            });
            // What it costs to make room for a trial is judged by the first who leaves for it, or does not.
            if let Some(shared) = newcomer.tried.take() {
                classes.has_tried(position, (victim.is_some(), newcomer.passes), shared);
            }
            if victim.is_some() {
                return victim;
            }
            newcomer.class = Class::Probation;
        }
        let short = classes.waiting(known, hand) < classes.quota();
        let first = if short { None } else { early() };
        first
            .or_else(|| self.evict_main(known, position, Patience::Buckets, walker))
            .or_else(|| if short { early() } else { None })
            .or_else(|| self.evict_main(known, position, Patience::TwoTurns, walker))
    }

    /// Unlinks one entry to make room for the heavier value of another, whose node is `own`; that one, if
    /// there is no other.
    pub(crate) fn displace_other(
        &self,
        own: NonNull<Node<K, V>>,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let other = position.sparing(own.as_ptr().cast(), || self.displace_any(position, walker));
        other.or_else(|| self.displace_any(position, walker))
    }

    fn displace_any(
        &self,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        let Some(classes) = &self.classes else {
            return self.evict(position, Patience::TwoTurns, walker);
        };
        let (known, hand) = (classes.known(walker), &position.newcomers);
        let over = classes
            .is_too_long(known, hand)
            .then(|| self.evict_early((classes, known), hand, walker));
        over.flatten()
            .or_else(|| self.evict_main(known, position, Patience::Buckets, walker))
            .or_else(|| self.evict_early((classes, known), hand, walker))
            .or_else(|| self.evict_main(known, position, Patience::TwoTurns, walker))
    }
}
