//! Who deserves to stay? `Policy::Adaptive` as plain arithmetic: no words that threads share, no
//! table, only numbers in and numbers out.
//!
//! Two classes in one table. A newcomer is on *probation*: it waits in a queue, first in, first out,
//! and at the end it leaves, unless it was hit meanwhile; then it stays, in the *main* class, which a
//! clock hand sweeps (`clock`). Who left is remembered for a while by a fingerprint:
//!
//! | asked for again | means | so |
//! |---|---|---|
//! | after probation, within [`MEMORY`] | it was put out too early | it comes back to the main class, if the hand finds room there at a cost that fits how late it is ([`passes`]) |
//! | after probation, within [`MARGIN`] | a slightly longer probation would have kept it | the quota of probation grows |
//! | after the main class, within [`MAIN_MARGIN`] | a slightly larger main class would have kept it | the quota shrinks |
//!
//! One of [`CHANCE`] newcomers without a past is tried in the main class, with more patience, so that a main
//! class full of what nobody asks for any more is found out. If one after the other finds room there
//! without that anybody in use is met, more are tried ([`Trials`]).
//!
//! Only marginal evidence moves the quota, by one each time: what a slightly different one would have gained, not what
//! a far larger cache would have. In a large cache that of one key in two, four or eight does, and by as many
//! ([`sample_bits`]). The quota ranges from almost nothing (scans, loops, one-hit wonders) to almost
//! everything (pure recency). While a cache fills, the main class is filled first, so that a loop longer
//! than the cache finds a part of it at rest.
//!
//! Where nobody comes back in time there is no such evidence, and a queue that recency has left behind would stay for
//! good. So a trial that finds the main class in use ([`IN_USE`]) asks whether somebody of the queue was. If nobody was for
//! as long as it takes to go through all of it, the quota falls by an eighth, and so it does with each such trial until
//! somebody is. And of a queue that is far longer than its quota ([`is_over`]) one leaves for each newcomer, who goes to the
//! main class.
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
/// How long the memory of who left probation counts as marginal evidence, and that of who left the main class:
/// longer, so that a quota between two that suit a workload as well falls.
const MARGIN: usize = 75;
const MAIN_MARGIN: usize = 100;
/// In a large cache one of so many keys is evidence, 2^3 at most, and stands for all of them; where there are so many
/// entries for each.
const MOST_SAMPLE_BITS: u32 = 3;
const SAMPLED: usize = 512;

/// Entries in use that the hand passes over for one who comes back at once. If more are in its way, then the
/// main class is worth more than the newcomer, who goes on probation.
const PASSES: u32 = 4;
/// So many for one without a past who is tried: if all of the main class are in use, then that takes some of
/// their credit now and then, so that those are found who are not any more.
pub(crate) const TRIAL_PASSES: u32 = 12;
/// If the hand passes over so many for one who is tried, then the main class is in use.
pub(crate) const IN_USE: u32 = TRIAL_PASSES / 2;
/// The quota falls by this part of it where the main class is in use and the queue is not.
const FALL: u64 = 8;
/// A queue is over its quota by this part of it, and by so many like the newcomer who asks. (That it is one number for
/// both has no deeper reason: 4 and 4 was the best of few that were measured.)
const OVER: u64 = 4;
/// One of so many newcomers without a past is tried in the main class, to begin with. A power of two.
const CHANCE: u32 = 512;
/// To so many times as many that grows, by [`Trials`]: 2^5, which is one of 16.
const HIGHEST_LEVEL: u32 = 5;
/// So many trials in a row must cost the main class nothing before there are more, at level 0; at each level
/// twice as many.
const LEAST_FREE: u32 = 4;
/// 2^32 over the golden ratio: the top bits of its multiples are spread evenly (D. Knuth, TAOCP 3, 6.4).
pub(crate) const SPREAD: u32 = 0x9E37_79B9;
const SPREAD_BITS: u32 = u32::BITS - CHANCE.trailing_zeros();
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

/// Of how many keys one is evidence, in a cache of so many entries: 2 to the power of this.
pub(crate) fn sample_bits(entries: usize) -> u32 {
    (entries / SAMPLED).max(1).ilog2().min(MOST_SAMPLE_BITS)
}

/// What follows from the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Ages up to which who left probation is remembered, and counts as marginal evidence; and who left the main class.
    pub(crate) memory: usize,
    pub(crate) margin: usize,
    pub(crate) main_margin: usize,
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
            main_margin: part(entries, MAIN_MARGIN),
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

    /// The quota after a trial has found the main class in use, and nobody of the queue was for as long as it is.
    pub(crate) fn fallen(&self, quota: u64) -> u64 {
        self.clamped(quota.saturating_sub((quota / FALL).max(1)))
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

/// Entries in use that the hand passes over for one who comes back to the main class: half as many in the second
/// quarter of the memory and a quarter as many in its second half, for the longer it may take until it is asked for
/// once more. `None` if it was too long.
///
/// Each whom the hand passes over loses credit. What is asked for once in a loop gains as much as the hand
/// takes if that turns once meanwhile; if all who come back make it turn faster, then it puts out who would be
/// asked for soon, and those come back in turn. One at least, so that the hand never stands before somebody in use
/// for good: he may be dead.
#[inline]
pub(crate) fn passes(age: usize, memory: usize) -> Option<u32> {
    const { assert!(PASSES >> 2 > 0) };
    let halvings = if 4 * age < memory { 0 } else { 1 + u32::from(2 * age >= memory) };
    (age < memory).then_some(PASSES >> halvings)
}

/// What somebody who came back says of the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    TooShort,
    TooLong,
}

/// How many newcomers without a past are tried in the main class, from what became of those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trials {
    /// One of [`CHANCE`] is tried at level 0, at each one more twice as many.
    level: u32,
    /// How many in a row for whom somebody left the main class, and nobody in use was met; or [`RESTS`].
    free: u32,
    /// How often it was answered that somebody of the queue was used, when they asked last ([`ANSWERS`] and all below).
    answers: u32,
}

/// Answers are counted up to this: they share a word with the rest, for a thread's record is 1,024 bytes and full
/// (`reclaim::record`).
const ANSWERS: u32 = 0x00FF_FFFF;

/// In [`Trials`]: the whole main class was exchanged, and of those who came nobody was met in use. There is
/// nothing to be gained, until somebody is.
const RESTS: u32 = u32::MAX;

/// What a trial costs the main class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Somebody left, and the hand met nobody in use.
    Free,
    /// Somebody left, but others there are in use.
    Dear,
    /// Nobody left.
    Refused,
}

impl Trials {
    /// Whether a newcomer without a past, whose key has this `place`, is tried. `arrivals` counts the
    /// newcomers, so that it is not always the same keys; it is spread first, for in a loop the same key
    /// comes after the same number of others each time, and if that has a divisor in common with the
    /// chance, then only few keys would ever be tried.
    #[inline]
    pub(crate) fn include(self, place: u32, arrivals: u32) -> bool {
        (place ^ arrivals.wrapping_mul(SPREAD) >> SPREAD_BITS) & ((CHANCE >> self.level) - 1) == 0
    }

    /// How many in a row must be free until twice as many are tried, in a cache of so many `entries`: twice
    /// as many at each level, and as many as there are while newcomers turn the cache over once at level 0.
    fn needed(self, entries: usize) -> u32 {
        let turnover = u32::try_from(entries / CHANCE as usize).unwrap_or(u32::MAX);
        turnover.max(LEAST_FREE << self.level)
    }

    /// After one more.
    pub(crate) fn after(self, trial: Trial, entries: usize) -> Self {
        let free = self.free.saturating_add(1);
        match trial {
            Trial::Free if self.free == RESTS => self,
            Trial::Free if self.level == HIGHEST_LEVEL && free as usize >= entries => {
                Self { level: 0, free: RESTS, ..self }
            }
            Trial::Free if self.level == HIGHEST_LEVEL || free < self.needed(entries) => {
                Self { free, ..self }
            }
            Trial::Free => Self { level: self.level + 1, free: 0, ..self },
            Trial::Dear => Self { free: 0, ..self },
            Trial::Refused => Self { level: self.level.saturating_sub(1), free: 0, ..self },
        }
    }

    /// These with so many answers, if that is news to them.
    pub(crate) fn told(self, answers: u32) -> Option<Self> {
        let told = Self { answers: answers & ANSWERS, ..self };
        (told != self).then_some(told)
    }

    /// As one word, and back.
    pub(crate) fn word(self) -> u64 {
        u64::from(self.level) << 56 | u64::from(self.answers) << 32 | u64::from(self.free)
    }

    #[inline(always)]
    pub(crate) fn of(word: u64) -> Self {
        let answers = (word >> 32) as u32 & ANSWERS;
        Self { level: (word >> 56) as u32, free: word as u32, answers }
    }
}

/// Whether the queue is so far over its quota that one of it leaves for a newcomer of this weight who goes to the main
/// class. What several threads have in hand, where one counts for more than one, and what entries weigh, makes the
/// queue longer and shorter again all the time; so far it does not come by that.
#[inline]
pub(crate) fn is_over(waiting: u64, quota: u64, weight: u64) -> bool {
    waiting >= quota.saturating_add(quota / OVER).saturating_add(weight.saturating_mul(OVER))
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
        fn a_quota_stays_in_range(entries in 1..=usize::MAX >> (usize::BITS / 8 * 3), steps in prop::collection::vec(any::<bool>(), 0..50)) {
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
    fn a_quota_falls_to_the_least() {
        let limits = Limits::new(1000, 1000);
        let falls = |quota: &u64| Some(limits.fallen(*quota)).filter(|fallen| fallen < quota);
        let quotas: Vec<u64> = std::iter::successors(Some(900), falls).collect();
        assert_eq!(quotas[..3], [900, 788, 690]);
        assert_eq!((quotas.len(), quotas.last()), (38, Some(&10)));
        assert_eq!([0, 1].map(|quota| Limits::new(1, 1).fallen(quota)), [1, 1]);
    }

    #[test]
    fn a_queue_is_over_if_a_quarter_more_waits_and_some() {
        let over = |waiting| is_over(waiting, 100, 1);
        assert_eq!([100, 128, 129, 900].map(over), [false, false, true, true]);
        assert_eq!([4, 5].map(|waiting| is_over(waiting, 1, 1)), [false, true]);
        assert_eq!([39, 40].map(|waiting| is_over(waiting, 10, 7)), [false, true]);
        assert!(!is_over(u64::MAX - 1, u64::MAX, 7));
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
    fn more_are_tried_while_it_costs_nothing() {
        let after = |trials: Trials, n: u32, trial| {
            (0..n).fold(trials, |trials: Trials, _| trials.after(trial, 2048))
        };
        // Of 512.
        let tried = |trials: Trials| {
            let of_ten = (0..5120_u32).filter(|&n| trials.include(7, n)).count();
            (of_ten + 5) / 10
        };
        let mut trials = Trials::default();
        for (level, needed) in [4, 8, 16, 32, 64].into_iter().enumerate() {
            assert_eq!(tried(trials), 1 << level);
            let almost = after(trials, needed - 1, Trial::Free);
            assert_eq!(tried(almost), 1 << level);
            assert_eq!(almost.after(Trial::Dear, 2048), trials);
            assert_eq!(Trials::of(almost.word()), almost);
            trials = almost.after(Trial::Free, 2048);
        }
        assert_eq!(tried(trials), 32, "one of 16 at most");
        assert_eq!(tried(trials.after(Trial::Refused, 2048)), 16);
        assert_eq!(Trials::default().after(Trial::Refused, 2048), Trials::default());
        // If nobody is ever met in use, then it is given up, until somebody is.
        let almost = after(trials, 2047, Trial::Free);
        assert_eq!(tried(almost), 32);
        let resting = after(almost, 1000, Trial::Free);
        assert_eq!((tried(resting), Trials::of(resting.word())), (1, resting));
        assert_eq!(resting.after(Trial::Dear, 2048), Trials::default());
        // In a large cache it takes as many as come while newcomers turn it over.
        let seven = (0..7).fold(Trials::default(), |trials, _| trials.after(Trial::Free, 4096));
        assert_eq!(tried(seven), 1);
        assert_eq!(tried(seven.after(Trial::Free, 4096)), 2);
    }

    #[test]
    fn trials_are_told_once() {
        let trials = Trials::of(5 << 56 | 7);
        let told = trials.told(3).unwrap();
        assert_eq!((told.told(3), trials.told(0)), (None, None));
        assert_eq!(told.told(0), Some(trials));
        let last = told.told(u32::MAX).unwrap();
        assert_eq!(
            [trials, told, last].map(|trials| Trials::of(trials.word())),
            [trials, told, last]
        );
        let after = told.after(Trial::Refused, 9).after(Trial::Dear, 9).after(Trial::Free, 9);
        assert_eq!(after.told(3), None);
    }

    #[test]
    fn who_comes_back_late_costs_the_main_class_less() {
        let passes = |age| passes(age, 1000);
        assert_eq!([0, 249, 250, 499].map(passes), [Some(4), Some(4), Some(2), Some(2)]);
        assert_eq!([500, 749, 750, 999].map(passes), [Some(1), Some(1), Some(1), Some(1)]);
        assert_eq!((passes(1000), super::passes(0, 1)), (None, Some(4)));
    }

    #[test]
    fn in_a_large_cache_one_key_stands_for_others() {
        let bits = [0, 1, 1023, 1024, 2047, 2048, 4095, 4096, usize::MAX].map(sample_bits);
        assert_eq!(bits, [0, 0, 0, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn main_is_filled_first() {
        assert_eq!(while_filling(970, 30, 1000), Class::Main);
        assert_eq!(while_filling(971, 30, 1000), Class::Probation);
        assert_eq!(while_filling(1, 1, 1), Class::Probation);
    }
}
