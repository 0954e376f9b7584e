//! When is an entry to be loaded anew, although it is there? An age, and a pause between attempts.
//!
//! An entry is *due* when it is as old as `refresh_after`, counted from when its value came. What happens
//! then, and the word in which it is noted: `store::refreshing`, `node::tail`.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::time::{Moment, Time};

/// Of the age: a refresh that came to nothing is tried again after this part of it.
const PAUSE: u32 = 16;
/// But not sooner than this, unless the age is less.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a cache that refreshes its entries knows of time.
pub(crate) struct Refresh {
    time: Time,
    after: Duration,
}

impl Refresh {
    pub(crate) fn new(time: Time, after: Duration) -> Self {
        Self { time, after }
    }

    /// When an entry that comes now is due.
    pub(crate) fn due(&self) -> Moment {
        self.time.beginning(self.after).after(self.after)
    }

    /// Whether an entry is to be refreshed that is due at `due`.
    #[inline]
    pub(crate) fn has_come(&self, due: Moment) -> bool {
        due != Moment::NEVER && self.time.has_come(due, self.time.recent())
    }

    /// When an entry is due again whose refresh came to nothing now.
    pub(crate) fn next_attempt(&self) -> Moment {
        self.time.now().after(self.pause())
    }

    fn pause(&self) -> Duration {
        (self.after / PAUSE).max(SHORTEST).min(self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualTime;

    fn refresh(after: Duration) -> (Refresh, ManualTime) {
        let time = ManualTime::new();
        (Refresh::new(Time::new(Some(Box::new(time.clone()))), after), time)
    }

    #[test]
    fn due_to_the_nanosecond() {
        let nano = Duration::from_nanos(1);
        for after in [nano, Duration::from_secs(1), Duration::from_secs(3600)] {
            let (refresh, time) = refresh(after);
            let due = refresh.due();
            time.advance(after - nano);
            assert!(!refresh.has_come(due));
            time.advance(nano);
            assert!(refresh.has_come(due) && !refresh.has_come(Moment::NEVER));
        }
        let (refresh, time) = refresh(Duration::MAX);
        let due = refresh.due();
        time.advance(Duration::MAX);
        assert!(!refresh.has_come(due), "an age without end");
    }

    #[test]
    fn a_pause_is_neither_nothing_nor_longer_than_the_age() {
        let pause = |after| refresh(after).0.pause();
        assert_eq!(pause(Duration::from_secs(16)), Duration::from_secs(1));
        assert_eq!(pause(Duration::from_millis(2)), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_nanos(1)), Duration::from_nanos(1));
        assert!(pause(Duration::MAX) > Duration::from_secs(1 << 50));
    }
}
