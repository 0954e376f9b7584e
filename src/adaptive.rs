//! Who deserves to stay? `Policy::Adaptive` as plain arithmetic: no words that threads share, no
//! table, only numbers in and numbers out.
//!
//! Two classes in one table. A newcomer is on *probation*: it waits in a queue, first in, first out,
//! and at the end it leaves, unless it was hit meanwhile; then it stays, in the *main* class, which a
//! clock hand sweeps (`clock`). Who left is remembered for a while by a fingerprint:
//!
//! | asked for again | means | so |
//! |---|---|---|
//! | after probation, within [`MEMORY`] | it was put out too early | it comes back to the main class, if the hand finds room there at little cost |
//! | after probation, within [`MARGIN`] | a slightly longer probation would have kept it | the quota of probation grows by one |
//! | after the main class, within [`MARGIN`] | a slightly larger main class would have kept it | the quota shrinks by one |
//!
//! One of [`CHANCE`] newcomers without a past comes to the main class on the same terms, so that a main
//! class full of what nobody asks for any more is found out.
//!
//! Only marginal evidence moves the quota: what a slightly different one would have gained, not what a
//! far larger cache would have. It ranges from almost nothing (scans, loops, one-hit wonders) to almost
//! everything (pure recency). While a cache fills, the main class is filled first, so that a loop longer
//! than the cache finds a part of it at rest.
//!
//! The parts have names: the queue before the main class is that of 2Q (T. Johnson, D. Shasha, VLDB
//! 1994) and S3-FIFO (J. Yang et al., SOSP 2023); a quota that follows what is remembered is ARC's idea
//! (N. Megiddo, D. Modha, FAST 2003); two uses to the credit of an entry are GCLOCK's (A. Smith, 1978).
//! Figures and what each part is worth: ARCHITECTURE.md. Held to its reference model by
//! `tests/it/adaptive.rs`.

#![forbid(unsafe_code)]

/// In which class an entry comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Probation,
    Main,
}

/// Shares of the bound, in thousandths.
const START: usize = 30;
const LEAST: usize = 10;
const MOST: usize = 900;
/// How long who left probation is remembered: for so many departures, in thousandths of the bound.
pub(crate) const MEMORY: usize = 1200;
/// How long the memory counts as marginal evidence.
pub(crate) const MARGIN: usize = 75;

/// Entries in use that the hand passes over for one who is to come to the main class. If it meets
/// more, then the main class is worth more than the newcomer, who goes on probation.
pub(crate) const PASSES: u32 = 4;
/// See the module. A power of two.
const CHANCE: u32 = 512;
/// Entries that one eviction promotes at most: what follows leaves, used or not.
pub(crate) const PROMOTIONS: u32 = 8;
/// Stale numbers that one eviction takes out of the queue at most.
pub(crate) const STALE: u32 = 64;
/// Buckets that the hand visits for one eviction at most, after which it takes the least used entry
/// that it saw.
pub(crate) const BUCKETS: usize = 64;

/// So many thousandths of `whole`, and one at least.
fn share(whole: u64, thousandths: usize) -> u64 {
    ((u128::from(whole) * thousandths as u128 / 1000) as u64).max(1)
}

/// So many thousandths of `entries`, and one at least.
pub(crate) fn part(entries: usize, thousandths: usize) -> usize {
    share(entries as u64, thousandths) as usize
}

/// What follows from the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Ages up to which who left is remembered, and counts as marginal evidence.
    pub(crate) memory: usize,
    pub(crate) margin: usize,
    /// The range of the quota.
    least: u64,
    most: u64,
}

impl Limits {
    /// Of a cache for `entries` entries, whose quota is a part of `bound`: the same number, or a weight.
    pub(crate) fn new(entries: usize, bound: u64) -> Self {
        Self {
            memory: part(entries, MEMORY),
            margin: part(entries, MARGIN),
            least: share(bound, LEAST),
            most: share(bound, MOST),
        }
    }

    /// The quota of probation, to begin with.
    pub(crate) fn first_quota(&self) -> u64 {
        let share = u128::from(self.most) * START as u128 / MOST as u128;
        self.clamped(share as u64)
    }

    /// The quota after somebody of this weight (1 where nothing is weighed) came back who says this
    /// of it.
    pub(crate) fn moved(&self, quota: u64, evidence: Evidence, weight: u64) -> u64 {
        let quota = match evidence {
            Evidence::TooShort => quota.saturating_add(weight),
            Evidence::TooLong => quota.saturating_sub(weight),
        };
        self.clamped(quota)
    }

    /// The nearest quota in range.
    pub(crate) fn clamped(&self, quota: u64) -> u64 {
        quota.clamp(self.least, self.most)
    }
}

/// The most numbers that a probation queue holds.
pub(crate) fn longest_queue(entries: usize) -> usize {
    part(entries, MOST) + part(entries, LEAST)
}

/// What somebody who came back says of the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    TooShort,
    TooLong,
}

/// Whether a newcomer without a past, whose key has this `place`, is one of those who come to the main
/// class. `arrivals` counts the newcomers, so that it is not always the same keys.
#[inline]
pub(crate) fn is_lucky(place: u32, arrivals: u32) -> bool {
    (place ^ arrivals).is_multiple_of(CHANCE)
}

/// In which class a newcomer comes while the cache is not full: it makes `used` of `bound`, in entries or
/// in weight.
pub(crate) fn while_filling(used: u64, quota: u64, bound: u64) -> Class {
    if used <= bound.saturating_sub(quota) { Class::Main } else { Class::Probation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quota_stays_in_range(entries in 1_usize..1 << 40, steps in prop::collection::vec(any::<bool>(), 0..50)) {
            let limits = Limits::new(entries, entries as u64);
            let mut quota = limits.first_quota();
            for longer in steps {
                let evidence = if longer { Evidence::TooShort } else { Evidence::TooLong };
                let next = limits.moved(quota, evidence, 1);
                prop_assert!(next.abs_diff(quota) <= 1);
                quota = next;
                prop_assert!(quota >= 1 && quota as usize <= entries);
                prop_assert!(quota as usize <= longest_queue(entries));
            }
        }
    }

    #[test]
    fn small_caches_have_one_on_probation() {
        assert!((1..=60).all(|entries| Limits::new(entries, entries as u64).first_quota() == 1));
        assert_eq!(Limits::new(1000, 1000).first_quota(), 30);
        let moved = |quota, evidence, entries| {
            Limits::new(entries, entries as u64).moved(quota, evidence, 1)
        };
        assert_eq!(moved(1, Evidence::TooLong, 20), 1);
        assert_eq!(moved(18, Evidence::TooShort, 20), 18);
        assert_eq!(moved(1, Evidence::TooShort, 1), 1);
    }

    #[test]
    fn main_is_filled_first() {
        assert_eq!(while_filling(970, 30, 1000), Class::Main);
        assert_eq!(while_filling(971, 30, 1000), Class::Probation);
        assert_eq!(while_filling(1, 1, 1), Class::Probation);
    }
}
