//! When is an entry's time over? Lifetimes as arithmetic, and when it is worth looking for the dead.
//!
//! Two moments of an entry say it: its *deadline*, fixed when its value came, and when it was *used
//! last*, if there is a time to idle. Its end is the earlier of the deadline and the last use plus
//! the time to idle.
//!
//! | word of an entry | written by | when |
//! |---|---|---|
//! | deadline | who makes the entry, before it is published | once |
//! | used | the same; then any hit whose moment is later by a sixteenth of the time to idle | now and then |
//!
//! Both are advice for whoever finds the entry: what removes it is its slot's exchange and nothing else,
//! so they carry no order of their own. Of two hits the older one's moment may stay: that is a
//! matter of microseconds, and of at most a sixteenth with those that write nothing.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::advice::WideHint;
use crate::dumped::TimeLeft;
use crate::time::{Moment, Time};

/// How long an entry may live by itself, as the builder takes it.
pub(crate) type ExpireWith<K, V> = Box<dyn Fn(&K, &V) -> Option<Duration> + Send + Sync>;

/// Of the time to idle: a hit that is younger than this part of it since the last stamp writes none.
const STAMPS: u32 = 16;
/// The dead are looked for at least this often, should the words of advice that say when to look
/// have lost an update.
const LOOK: Duration = Duration::from_secs(1);

/// The two moments of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) deadline: Moment,
    pub(crate) used: Moment,
}

/// All that is written of an entry that comes, as far as its cache keeps times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Where entries expire.
    pub(crate) stamp: Option<Stamp>,
    /// Where they are refreshed: when that is due (`refresh`).
    pub(crate) refresh: Option<Moment>,
}

/// What was chosen for all entries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lifetimes {
    pub(crate) to_live: Option<Duration>,
    pub(crate) to_idle: Option<Duration>,
}

impl Lifetimes {
    /// The moments of an entry that comes now and may live for `own`, if that is shorter.
    fn stamp(&self, now: Moment, own: Option<Duration>) -> Stamp {
        let longest = [self.to_live, own].into_iter().flatten().min();
        Stamp { deadline: longest.map_or(Moment::NEVER, |time| now.after(time)), used: now }
    }

    /// When the time of an entry is over unless it is used.
    #[inline]
    pub(crate) fn end(&self, stamp: Stamp) -> Moment {
        match self.to_idle {
            Some(idle) => stamp.deadline.min(stamp.used.after(idle)),
            None => stamp.deadline,
        }
    }

    /// Whether a hit now should write that it happened.
    #[inline]
    fn is_news(&self, used: Moment, now: Moment) -> bool {
        self.to_idle.is_some_and(|idle| now >= used.after(idle / STAMPS))
    }
}

/// What a cache knows of time.
pub(crate) struct Expiry<K, V> {
    pub(crate) time: Time,
    pub(crate) lifetimes: Lifetimes,
    own: Option<ExpireWith<K, V>>,
    pub(crate) reaper: Reaper,
}

/// How an entry is found by a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Its time is over.
    Expired,
    /// It lives.
    Live,
    /// It lives, and the look-up should say that it used it, at this moment.
    News(Moment),
}

impl<K, V> Expiry<K, V> {
    pub(crate) fn new(time: Time, lifetimes: Lifetimes, own: Option<ExpireWith<K, V>>) -> Self {
        Self { time, lifetimes, own, reaper: Reaper::default() }
    }

    /// The moments of an entry that comes now. Runs the user's function, so outside everything.
    #[inline(never)]
    pub(crate) fn stamp(&self, key: &K, value: &V) -> Stamp {
        let own = self.own.as_ref().and_then(|own| own(key, value));
        let times = [self.lifetimes.to_live, self.lifetimes.to_idle, own];
        let shortest = times.into_iter().flatten().min();
        let now = self.time.beginning(shortest.unwrap_or(Duration::MAX));
        let stamp = self.lifetimes.stamp(now, own);
        self.reaper.note(self.lifetimes.end(stamp));
        stamp
    }

    /// The moments of an entry that comes now and whose time is partly over already.
    pub(crate) fn stamp_left(&self, key: &K, value: &V, left: TimeLeft) -> Stamp {
        let Stamp { deadline, used } = self.stamp(key, value);
        let rest = left.to_live.map_or(Moment::NEVER, |time| used.after(time));
        let stamp = Stamp { deadline: deadline.min(rest), used: used.before(left.idle) };
        self.reaper.note(self.lifetimes.end(stamp));
        stamp
    }

    /// What is left of the time of an entry; `None` if it is over.
    pub(crate) fn time_left(&self, stamp: Stamp) -> Option<TimeLeft> {
        let now = self.time.now();
        let ends = stamp.deadline != Moment::NEVER;
        let left = TimeLeft {
            to_live: ends.then(|| stamp.deadline.since(now)),
            idle: if self.lifetimes.to_idle.is_some() {
                now.since(stamp.used)
            } else {
                Duration::ZERO
            },
        };
        (now < self.lifetimes.end(stamp)).then_some(left)
    }

    /// Whether an entry is still to be found, now.
    #[inline]
    pub(crate) fn age(&self, stamp: Stamp) -> Age {
        let recent = self.time.recent();
        if self.time.has_come(self.lifetimes.end(stamp), recent) {
            Age::Expired
        } else if self.lifetimes.is_news(stamp.used, recent) {
            Age::News(recent)
        } else {
            Age::Live
        }
    }

    /// Whether the time of an entry is over.
    pub(crate) fn is_over(&self, stamp: Stamp) -> bool {
        self.age(stamp) == Age::Expired
    }
}

/// When is it worth looking for entries whose time is over? Words of advice: a lost update makes
/// that a second late.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// Where to look next.
    next: WideHint,
    /// The earliest end that was seen in this turn, or came meanwhile; inverted, so that zero is "none".
    seen: WideHint,
    /// Before this moment there is nothing to find.
    due: WideHint,
}

impl Reaper {
    /// An entry with this end has come.
    #[inline]
    pub(crate) fn note(&self, end: Moment) {
        self.see(end);
        if end.to_bits() < self.due.get() {
            self.due.set(end.to_bits());
        }
    }

    /// An entry with this end was looked at, and stays.
    #[inline]
    pub(crate) fn see(&self, end: Moment) {
        let inverted = !end.to_bits();
        if inverted > self.seen.get() {
            self.seen.set(inverted);
        }
    }

    /// Where to look, if there may be something to find now.
    #[inline]
    pub(crate) fn begin(&self, now: Moment) -> Option<usize> {
        (now.to_bits() >= self.due.get()).then(|| self.next.get() as usize)
    }

    /// Where to look the next time.
    pub(crate) fn pause(&self, at: usize) {
        self.next.set(at as u64);
    }

    /// All was looked at: there is nothing to find before the earliest end that was seen.
    pub(crate) fn turned(&self, now: Moment) {
        let earliest = !self.seen.get();
        self.seen.set(0);
        self.next.set(0);
        self.due.set(earliest.min(now.after(LOOK).to_bits()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{BEGINNING, ManualTime};
    use proptest::prelude::*;

    fn duration() -> impl Strategy<Value = Option<Duration>> {
        prop_oneof![
            Just(None),
            Just(Some(Duration::ZERO)),
            Just(Some(Duration::MAX)),
            any::<u64>().prop_map(|n| Some(Duration::from_nanos(n))),
            (0..1000_u64).prop_map(|n| Some(Duration::from_nanos(n))),
        ]
    }

    fn moment() -> impl Strategy<Value = Moment> {
        let begin = BEGINNING..BEGINNING + 2000;
        prop_oneof![any::<u64>(), 0..2000_u64, begin].prop_map(Moment::from_bits)
    }

    /// In 128 bits, where nothing saturates but at the end of time.
    fn sum(at: Moment, time: Option<Duration>) -> u128 {
        let never = u128::from(u64::MAX);
        time.map_or(never, |time| (u128::from(at.to_bits()) + time.as_nanos()).min(never))
    }

    proptest! {
        #[test]
        fn the_end_is_the_earliest(
            to_live in duration(), to_idle in duration(), own in duration(),
            came in moment(), used in moment(), now in moment(),
        ) {
            let lifetimes = Lifetimes { to_live, to_idle };
            let stamp = lifetimes.stamp(came, own);
            prop_assert_eq!(stamp.used, came);
            let used = Stamp { used, ..stamp };
            let end = sum(came, to_live).min(sum(came, own)).min(sum(used.used, to_idle));
            prop_assert_eq!(u128::from(lifetimes.end(used).to_bits()), end);

            let time = ManualTime::new();
            time.advance(Duration::from_nanos(now.to_bits().saturating_sub(BEGINNING)));
            let time = Time::new(Some(Box::new(time)));
            let expiry: Expiry<(), ()> = Expiry::new(time, lifetimes, None);
            let age = expiry.age(used);
            let now = expiry.time.now();
            prop_assert_eq!(age == Age::Expired, u128::from(now.to_bits()) >= end);
            if let (Age::Live, Some(idle)) = (age, to_idle) {
                // What is not written is less than a sixteenth late.
                prop_assert!(now.since(used.used) < (idle / 16).max(Duration::from_nanos(1)));
            }
        }

        #[test]
        fn the_reaper_is_never_late(
            ends in proptest::collection::vec(0..100_u64, 1..20),
            looks in proptest::collection::vec(0..20_u64, 1..50),
        ) {
            // Entries come one after the other, are found by turns, and leave.
            let reaper = Reaper::default();
            let (mut now, mut living) = (0, Vec::new());
            let mut coming = ends.into_iter();
            for step in looks {
                now += step;
                if let Some(end) = coming.next() {
                    living.push(now + end);
                    reaper.note(Moment::from_bits(now + end));
                }
                let moment = Moment::from_bits(now);
                if reaper.begin(moment).is_some() {
                    living.retain(|&end| end > now);
                    living.iter().for_each(|&end| reaper.see(Moment::from_bits(end)));
                    reaper.turned(moment);
                }
                prop_assert!(living.iter().all(|&end| end > now), "{living:?} at {now}");
            }
        }
    }
}
