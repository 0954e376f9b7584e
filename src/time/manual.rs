//! How does time pass in a test? By hand, and whoever waits by it is told.
//!
//! The word `now`: nanoseconds since the beginning. It only grows, by the exchange in
//! [`ManualTime::advance`], which anybody may make; it stays at its largest. The list of listeners is
//! taken after the word was moved. So of an advance and a listener that comes to the list, either the
//! advance finds the listener, or the listener took the lock later, and sees the new time from then on.
//! Nobody is called under the lock.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::seed::{Seed, planted};
use crate::time::{Listener, Moment, TimeSource};

/// Time that passes only when it is told to: for tests.
///
/// Clones share one time, and so may any number of caches of both kinds.
///
/// # Examples
///
/// A minute in no time:
///
/// ```
/// use std::time::Duration;
/// use hotset::{ManualTime, ResourceCache, TimeSource, from_fn};
///
/// let time = ManualTime::new();
/// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
/// let cache = ResourceCache::builder(loader)
///     .max_entries(2)
///     .idle_ttl(Duration::from_secs(60))
///     .time_source(time.clone())
///     .build()?;
/// drop(cache.lease(&1)?);
/// time.advance(Duration::from_secs(59));
/// assert_eq!(cache.loaded_keys(), [1]);
/// time.advance(Duration::from_secs(1));
/// assert!(cache.loaded_keys().is_empty());
/// assert_eq!(time.now(), Duration::from_secs(60));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct ManualTime(Arc<Hands>);

#[derive(Default)]
struct Hands {
    now: AtomicU64,
    listeners: Mutex<Vec<Weak<Listener>>>,
}

impl ManualTime {
    /// Time that begins at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `by` pass. At 438 years it stands still for caches, at 584 altogether.
    ///
    /// A [`Cache`](crate::Cache) sees the new time in the next call. Each
    /// [`ResourceCache`](crate::ResourceCache) that goes by this time has settled what is due when this
    /// returns: waits that are over have ended, closes that are due have been handed out. That is done
    /// on the thread that calls this, and takes the locks of these caches one after the other.
    pub fn advance(&self, by: Duration) {
        if planted(Seed::TellThenMove) {
            self.tell();
        }
        // ORDERING: Release, and Acquire for what it replaces. Partner: the load in `now`. Who sees
        // the new time sees what the thread that moved it did before.
        let _ = self
            .0
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(Moment(now).after(by).0));
        if !planted(Seed::TellThenMove) {
            self.tell();
        }
    }

    /// Calls who listens, outside of the lock.
    fn tell(&self) {
        let listeners = self.listeners().clone();
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener();
        }
    }

    /// Those of the listeners that are still there.
    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<Listener>>> {
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners
    }
}

impl TimeSource for ManualTime {
    fn now(&self) -> Duration {
        // ORDERING: Acquire. Partner: the Release in `advance`.
        Duration::from_nanos(self.0.now.load(Ordering::Acquire))
    }

    fn on_advance(&self, listener: Weak<Listener>) -> bool {
        self.listeners().push(listener);
        true
    }
}

impl fmt::Debug for ManualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualTime").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::plant;

    /// A listener that notes what it is that it sees.
    fn notes(time: &ManualTime) -> (Arc<Mutex<Vec<Duration>>>, Arc<Listener>) {
        let (seen, time) = (Arc::new(Mutex::new(Vec::new())), time.clone());
        let notes = Arc::clone(&seen);
        (seen, Arc::new(move || notes.lock().unwrap().push(time.now())))
    }

    fn story_of_two_listeners() {
        let time = ManualTime::new();
        let second = Duration::from_secs(1);
        let (early, first) = notes(&time);
        assert!(time.on_advance(Arc::downgrade(&first)));
        time.clone().advance(second);
        let (late, other) = notes(&time);
        assert!(Arc::new(time.clone()).on_advance(Arc::downgrade(&other)), "an Arc passes it on");
        time.advance(second);
        assert_eq!(*early.lock().unwrap(), [second, 2 * second]);
        assert_eq!(*late.lock().unwrap(), [2 * second]);
    }

    #[test]
    fn an_advance_tells_all_who_listen_after_it_moved() {
        story_of_two_listeners();
    }

    #[test]
    fn an_advance_that_tells_too_early_is_caught() {
        plant(Some(Seed::TellThenMove));
        let outcome = std::panic::catch_unwind(story_of_two_listeners);
        plant(None);
        assert!(outcome.is_err(), "the seed was not caught");
    }

    #[test]
    fn who_is_gone_is_not_called_and_not_kept() {
        let time = ManualTime::new();
        for _ in 0..3 {
            let (seen, listener) = notes(&time);
            assert!(time.on_advance(Arc::downgrade(&listener)));
            drop(listener);
            time.advance(Duration::from_secs(1));
            assert!(seen.lock().unwrap().is_empty());
            assert_eq!(time.listeners().len(), 0);
        }
    }

    /// What a listener does may build a cache by the same time, and move it.
    #[test]
    fn a_listener_may_use_the_time_that_calls_it() {
        let time = ManualTime::new();
        let (seen, inner) = notes(&time);
        let outer: Arc<Listener> = {
            let (time, inner) = (time.clone(), Arc::downgrade(&inner));
            Arc::new(move || {
                if time.now() == Duration::from_secs(1) {
                    assert!(time.on_advance(inner.clone()));
                    time.advance(Duration::from_secs(1));
                }
            })
        };
        assert!(time.on_advance(Arc::downgrade(&outer)));
        time.advance(Duration::from_secs(1));
        assert_eq!(*seen.lock().unwrap(), [Duration::from_secs(2)]);
    }
}
