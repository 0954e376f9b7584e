//! What time is it? The system's clock, or one that a test moves by hand.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What wants to know that a manual clock was moved.
pub(crate) trait Ticking: Send + Sync {
    /// Settles what is due now.
    fn tick(&self);
}

/// Where a cache takes the time from.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System,
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// A clock that stands still until it is moved: for tests without sleeps.
///
/// Clones are the same clock. See
/// [`ResourceBuilder::clock`](crate::ResourceBuilder::clock).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hotset::{ManualClock, ResourceCache, from_fn};
///
/// let clock = ManualClock::new();
/// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
/// let cache = ResourceCache::builder(loader)
///     .max_entries(2)
///     .idle_ttl(Duration::from_secs(60))
///     .clock(&clock)
///     .build()?;
/// drop(cache.lease(&1)?);
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(cache.loaded_keys(), [1]);
/// clock.advance(Duration::from_secs(1));
/// assert!(cache.loaded_keys().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

struct Hands {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    passed: Duration,
    ticking: Vec<Weak<dyn Ticking>>,
}

impl ManualClock {
    /// A clock that shows the present time, and goes on showing it.
    pub fn new() -> Self {
        let state = Mutex::new(State { passed: Duration::ZERO, ticking: Vec::new() });
        Self(Arc::new(Hands { start: Instant::now(), state }))
    }

    /// What the clock shows.
    pub fn now(&self) -> Instant {
        self.0.start + self.state().passed
    }

    /// Moves the clock on by `time`. Caches that go by it have settled what is due when this returns:
    /// waits that are over have ended, closes that are due have been handed out.
    ///
    /// # Panics
    ///
    /// If the time can no longer be expressed, after some hundred years.
    pub fn advance(&self, time: Duration) {
        let ticking = {
            let mut state = self.state();
            state.passed += time;
            state.ticking.retain(|cache| cache.strong_count() > 0);
            state.ticking.clone()
        };
        for cache in ticking {
            if let Some(cache) = cache.upgrade() {
                cache.tick();
            }
        }
    }

    pub(crate) fn register(&self, cache: Weak<dyn Ticking>) {
        self.state().ticking.push(cache);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.state().passed).finish()
    }
}
