//! What time is it? Moments, where they come from, and how to ask cheaply.
//!
//! A cache that is told of no time to live or to idle, and of no refresh, has no [`Time`] and never
//! reads a clock. One that has is asked on every hit whether the entry's time is over, so asking must
//! cost less than a hit. On Linux the kernel's coarse clock does: a load or two where the exact one
//! multiplies the processor's counter (measured: 7 ns against 43). It stands still for a tick of the
//! kernel, which is enough for all entries but those whose end is near; only for these the
//! exact clock is read. So answers are exact, and as cheap as the coarse clock ([`Time::has_come`]).
//!
//! A resource cache also has to be woken when a moment comes. By the system's clock a thread of its own
//! sleeps until then; a source that jumps tells it ([`TimeSource::on_advance`]).

#![deny(unsafe_code)]

mod manual;
mod system;

pub use manual::ManualTime;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use system::System;

/// How far the coarse clock may be behind the exact one. A tick is 1 to 10 ms; the rest is for a
/// processor that is to advance it and is held up, as virtual ones are (measured under load: 22 ms).
/// If it takes longer yet, an entry can be seen that much after its end.
const LAG: Duration = Duration::from_millis(100);
/// The coarse clock will do for the beginning of what lasts at least this many times its lag.
const COARSE: u32 = 100;

/// Where a cache takes the time from, if not from the system's monotonic clock.
///
/// For tests without sleeps: see [`ManualTime`]. Given to a cache by
/// [`Builder::time_source`](crate::Builder::time_source) or
/// [`ResourceBuilder::time_source`](crate::ResourceBuilder::time_source).
///
/// A function of the cache may call [`now`](Self::now) any number of times, also while it protects
/// an entry: it must be quick, wait for nobody, and not panic (whatever was about to leave the cache would
/// be leaked).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use hotset::{Cache, TimeSource};
///
/// /// Time that passes a thousand times as fast.
/// struct Hasty(Instant);
///
/// impl TimeSource for Hasty {
///     fn now(&self) -> Duration {
///         self.0.elapsed() * 1000
///     }
/// }
///
/// let source: Arc<dyn TimeSource> = Arc::new(Hasty(Instant::now()));
/// let before = source.now();
/// std::thread::sleep(Duration::from_millis(1));
/// assert!(source.now() - before >= Duration::from_secs(1));
/// ```
pub trait TimeSource: Send + Sync {
    /// The time since a moment that is the same in all calls. Should never be less than what an
    /// earlier call returned: if it is, entries live that much longer.
    fn now(&self) -> Duration;

    /// Asks to be told of every advance: the source calls `listener` each time after it has moved, from
    /// the thread that moves it. True if it will; false, as here, if time passes by itself.
    ///
    /// A [`ResourceCache`](crate::ResourceCache) asks this once, when it is built. If it is told, an advance
    /// settles what is due, and the cache has no thread for that. If not, its thread sleeps for as long
    /// as is left until something is due, as if the source kept the system's pace, and then looks again: what
    /// is due by a faster source, or one that jumps, is settled that much late, or when somebody
    /// calls the cache. A [`Cache`](crate::Cache) need not be told.
    ///
    /// A listener that cannot be upgraded any more has lost its cache; forget it. A listener does not
    /// panic. It may call the source, and run wakers and an executor's `spawn`: call it without a lock that
    /// one of these may need. A source that wraps another must pass this on, as the one below does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Weak;
    /// use std::time::Duration;
    /// use hotset::{ManualTime, ResourceCache, TimeSource, from_fn};
    ///
    /// /// What another source shows, a day later.
    /// struct Tomorrow<T>(T);
    ///
    /// impl<T: TimeSource> TimeSource for Tomorrow<T> {
    ///     fn now(&self) -> Duration {
    ///         self.0.now() + Duration::from_secs(86_400)
    ///     }
    ///
    ///     fn on_advance(&self, listener: Weak<dyn Fn() + Send + Sync>) -> bool {
    ///         self.0.on_advance(listener)
    ///     }
    /// }
    ///
    /// let time = ManualTime::new();
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader)
    ///     .max_entries(2)
    ///     .idle_ttl(Duration::from_secs(60))
    ///     .time_source(Tomorrow(time.clone()))
    ///     .build()?;
    /// drop(cache.lease(&1)?);
    /// time.advance(Duration::from_secs(60));
    /// assert!(cache.loaded_keys().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn on_advance(&self, listener: Weak<dyn Fn() + Send + Sync>) -> bool {
        drop(listener);
        false
    }
}

/// Who is told of an advance.
pub(crate) type Listener = dyn Fn() + Send + Sync;

impl<T: TimeSource + ?Sized> TimeSource for Arc<T> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn on_advance(&self, listener: Weak<dyn Fn() + Send + Sync>) -> bool {
        (**self).on_advance(listener)
    }
}

/// A moment: nanoseconds since [`BEGINNING`] before the beginning of its source, which can show 438 years.
/// Arithmetic saturates: at `NEVER`, and at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// So many nanoseconds, 146 years, are before the beginning of a source: an entry may have been used last
/// before its cache's clock began, in another process.
pub(crate) const BEGINNING: u64 = 1 << 62;

impl Moment {
    /// Later than every moment that comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) const fn from_bits(nanos: u64) -> Self {
        Self(nanos)
    }

    #[inline(always)]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    fn from_start(time: Duration) -> Self {
        Self(nanos(time).saturating_add(BEGINNING).min(Self::NEVER.0 - 1)) // never does not come
    }

    #[inline]
    fn of_system(nanos: u64) -> Self {
        Self(nanos + BEGINNING)
    }

    /// This much later.
    #[inline]
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// This much earlier, but not before zero.
    #[inline]
    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(time)))
    }

    /// The time from `earlier` to this moment; zero if that is later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// `u64::MAX` if that is too small.
#[inline]
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

/// A cache's clock.
pub(crate) struct Time(Source);

enum Source {
    System(System),
    Given(Box<dyn TimeSource>),
}

impl Time {
    /// `source`, or the system's monotonic clock.
    pub(crate) fn new(source: Option<Box<dyn TimeSource>>) -> Self {
        Self(source.map_or_else(|| Source::System(System::new()), Source::Given))
    }

    /// Asks the source to call `listener` after each advance. False if it will not.
    pub(crate) fn on_advance(&self, listener: Weak<Listener>) -> bool {
        match &self.0 {
            Source::System(_) => false,
            Source::Given(source) => source.on_advance(listener),
        }
    }

    /// The exact time.
    pub(crate) fn now(&self) -> Moment {
        match &self.0 {
            Source::System(system) => Moment::of_system(system.exact()),
            Source::Given(source) => Moment::from_start(source.now()),
        }
    }

    /// A moment that is not later than now, and as a rule not much earlier. Cheap.
    #[inline]
    pub(crate) fn recent(&self) -> Moment {
        match &self.0 {
            Source::System(system) => Moment::of_system(system.coarse()),
            Source::Given(source) => Moment::from_start(source.now()),
        }
    }

    /// Now, as the beginning of what lasts so long: a short time is measured exactly; of a long one a
    /// hundredth is not worth it.
    #[inline]
    pub(crate) fn beginning(&self, lasts: Duration) -> Moment {
        if lasts < LAG * COARSE { self.now() } else { self.recent() }
    }

    /// Whether `moment` is now or past, where `recent` was asked just before. Exact, and free unless the
    /// moment is near.
    #[inline]
    pub(crate) fn has_come(&self, moment: Moment, recent: Moment) -> bool {
        if moment > recent.after(LAG) {
            false // as a rule
        } else {
            moment <= recent || self.has_come_exactly(moment)
        }
    }

    #[cold]
    fn has_come_exactly(&self, moment: Moment) -> bool {
        match &self.0 {
            Source::System(system) => moment <= Moment::of_system(system.exact()),
            Source::Given(_) => false, // what it said just before was exact
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "system",
            Source::Given(_) => "given",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arithmetic_saturates(at in any::<u64>(), secs in any::<u64>(), ns in 0..1_000_000_000_u32) {
            let time = Duration::new(secs, ns);
            let wide = time.as_nanos();
            let later = Moment(at).after(time);
            prop_assert_eq!(u128::from(later.0), (u128::from(at) + wide).min(u128::from(u64::MAX)));
            let earlier = Moment(at).before(time);
            prop_assert_eq!(u128::from(earlier.0), u128::from(at).saturating_sub(wide));
            prop_assert_eq!(Moment(at).since(earlier).as_nanos(), wide.min(u128::from(at)));
            prop_assert_eq!(earlier.since(Moment(at)), Duration::ZERO);
        }

        #[test]
        fn a_given_source_is_exact(at in any::<u64>(), moment in any::<u64>()) {
            let manual = ManualTime::new();
            manual.advance(Duration::from_nanos(at));
            let time = Time::new(Some(Box::new(manual)));
            let at = at.saturating_add(BEGINNING).min(u64::MAX - 1);
            prop_assert_eq!(time.now(), Moment(at));
            for moment in [moment, at, u64::MAX] {
                prop_assert_eq!(time.has_come(Moment(moment), time.recent()), moment <= at);
            }
        }
    }

    #[test]
    fn the_recent_time_is_never_ahead() {
        let time = Time::new(None);
        for _ in 0..1000 {
            let (recent, now) = (time.recent(), time.now());
            assert!(recent <= now);
            assert!(time.has_come(now, recent) && !time.has_come(Moment::NEVER, recent));
        }
    }

    #[test]
    fn the_system_keeps_its_pace() {
        let time = Time::new(None);
        let (start, first) = (time.now(), time.recent());
        std::thread::sleep(Duration::from_millis(300));
        assert!(time.now().since(start) >= Duration::from_millis(300));
        assert!(
            time.recent().since(first) >= Duration::from_millis(100),
            "the coarse clock stands"
        );
        let near = time.now().after(Duration::from_millis(1));
        while !time.has_come(near, time.recent()) {}
        assert!(time.now() >= near, "an end came too early");
    }
}
