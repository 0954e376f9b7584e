//! How is a resource cache made? The builder, and its errors instead of panics.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::resource::cache::ResourceCache;
use crate::resource::error::ResourceBuildError;
use crate::resource::loader::{CloseError, Loader};
use crate::resource::source::{Async, AsyncLoader, Source, Spawn};
use crate::time::TimeSource;

/// The most entries that a resource cache can be built for.
pub(crate) const MAX_ENTRIES: usize = 1 << 20;

/// A listener for closes that fail.
pub(crate) type OnCloseError<I> = Box<dyn Fn(&I, &CloseError) + Send + Sync>;

/// What is chosen, as plain data.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_entries: usize,
    pub(crate) max_weight: Option<u64>,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) max_waiters: usize,
    pub(crate) idle_ttl: Option<Duration>,
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) max_loads: usize,
    pub(crate) max_closes: usize,
    pub(crate) close_timeout: Option<Duration>,
}

/// Builds a [`ResourceCache`]. Made by [`ResourceCache::builder`] or [`ResourceCache::builder_async`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hotset::{ResourceBuildError, ResourceCache, from_fn};
///
/// let loader = || from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
/// let cache = ResourceCache::builder(loader())
///     .max_entries(2)
///     .wait_timeout(Duration::from_secs(5))
///     .idle_ttl(Duration::from_secs(300))
///     .backoff(Duration::from_millis(100), Duration::from_secs(10))
///     .build()?;
/// assert_eq!(cache.snapshot().max_entries, 2);
///
/// let error = ResourceCache::builder(loader()).max_entries(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "max_entries must be >= 1, got 0");
/// # Ok::<(), ResourceBuildError>(())
/// ```
#[must_use]
pub struct ResourceBuilder<L: Source> {
    pub(crate) source: L,
    pub(crate) max_entries: Option<usize>,
    pub(crate) settings: Settings,
    pub(crate) executor: Option<Box<dyn Spawn>>,
    pub(crate) on_close_error: Option<OnCloseError<L::Id>>,
    pub(crate) time_source: Option<Box<dyn TimeSource>>,
}

impl<L: Loader> ResourceCache<L> {
    /// A builder for a cache of what `loader` loads, to which at least
    /// [`max_entries`](ResourceBuilder::max_entries) must be told.
    pub fn builder(loader: L) -> ResourceBuilder<L> {
        ResourceBuilder::new(loader)
    }
}

impl<A: AsyncLoader> ResourceCache<Async<A>> {
    /// A builder for a cache of what `loader` loads by futures, which `spawn` drives.
    pub fn builder_async(loader: A, spawn: impl Spawn) -> ResourceBuilder<Async<A>> {
        ResourceBuilder::new(Async(loader)).executor(spawn)
    }
}

impl<L: Source> ResourceBuilder<L> {
    fn new(source: L) -> Self {
        Self {
            source,
            max_entries: None,
            settings: Settings {
                max_entries: 0,
                max_weight: None,
                wait_timeout: Some(Duration::from_secs(30)),
                max_waiters: 1024,
                idle_ttl: None,
                backoff: Some((Duration::from_secs(1), Duration::from_secs(60))),
                max_loads: 4,
                max_closes: 8,
                close_timeout: None,
            },
            executor: None,
            on_close_error: None,
            time_source: None,
        }
    }

    /// The most resources that exist at any instant: those that are loading, there, draining or
    /// closing. Mandatory, at least 1, at most 2^20.
    pub fn max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// The most weight that all resources together have at any instant, in the unit of the loader's
    /// [`estimate`](Loader::estimate), which must be given. Without it entries are only counted.
    pub fn max_weight(mut self, max_weight: u64) -> Self {
        self.settings.max_weight = Some(max_weight);
        self
    }

    /// How long a call that does not say otherwise waits, all its steps together. 30 s unless told
    /// otherwise; `None` is for ever.
    pub fn wait_timeout(mut self, wait_timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.wait_timeout = wait_timeout.into();
        self
    }

    /// How many callers may wait at a time, for whatever it is; one more gets
    /// [`LeaseError::QueueFull`](crate::LeaseError::QueueFull). 1,024 unless told otherwise. With 0,
    /// a call gives a resource that is ready, and nothing else.
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.settings.max_waiters = max_waiters;
        self
    }

    /// Closes a resource when nobody has had a lease of it for so long. Counted from the end of its
    /// last lease. Not zero. Off unless told otherwise. With it, the end of a last lease reads the clock.
    pub fn idle_ttl(mut self, idle_ttl: Duration) -> Self {
        self.settings.idle_ttl = Some(idle_ttl);
        self
    }

    /// How long a key whose load has failed is not loaded again: `min` at first, twice as long after
    /// each further failure in a row, at most `max`. Meanwhile calls get
    /// [`LeaseError::Backoff`](crate::LeaseError::Backoff). 1 s and 60 s unless told otherwise.
    ///
    /// A failure is forgotten after twice its backoff, and at most 1,024 are remembered.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.settings.backoff = Some((min, max));
        self
    }

    /// Remembers no failures: the next call after one loads again.
    pub fn no_backoff(mut self) -> Self {
        self.settings.backoff = None;
        self
    }

    /// How many loads and estimates run at a time. At least 1; 4 unless told otherwise.
    pub fn max_concurrent_loads(mut self, loads: usize) -> Self {
        self.settings.max_loads = loads;
        self
    }

    /// How many closes run at a time, apart from those that are given up as wedged. At least 1; 8
    /// unless told otherwise.
    pub fn max_concurrent_closes(mut self, closes: usize) -> Self {
        self.settings.max_closes = closes;
        self
    }

    /// After which time a close that has not ended is shown as [`State::Wedged`](crate::State). It
    /// stays charged until it does end, but nobody waits for its room any more where other room can
    /// be made. Not zero. Off unless told otherwise: then a close that hangs holds up who waits for its
    /// room until their time is over.
    pub fn close_timeout(mut self, close_timeout: Duration) -> Self {
        self.settings.close_timeout = Some(close_timeout);
        self
    }

    /// Runs loads and closes on `executor` in place of the cache's own threads.
    pub fn executor(mut self, executor: impl Spawn) -> Self {
        self.executor = Some(Box::new(executor));
        self
    }

    /// Calls `listener` for every close that returns an error or panics. It runs where the close ran,
    /// outside of all locks; a panic in it is caught.
    pub fn on_close_error(
        mut self,
        listener: impl Fn(&L::Id, &CloseError) + Send + Sync + 'static,
    ) -> Self {
        self.on_close_error = Some(Box::new(listener));
        self
    }

    /// Takes the time from `source` in place of the system's monotonic clock. For tests:
    /// [`ManualTime`](crate::ManualTime), whose `advance` settles what is due.
    ///
    /// The cache has no thread for deadlines if the source tells it of each advance; if it does not, what
    /// is due may be settled late: [`TimeSource::on_advance`]. Where the cache shows an [`Instant`] (`retry_at`),
    /// it is the system's at which the cache was built, and what has passed since by the source.
    ///
    /// [`Instant`]: std::time::Instant
    pub fn time_source(mut self, source: impl TimeSource + 'static) -> Self {
        self.time_source = Some(Box::new(source));
        self
    }

    /// Builds the cache. Starts no thread.
    ///
    /// # Errors
    ///
    /// [`ResourceBuildError`], if no bound was given, a number is out of range, or a weight bound has
    /// no estimates to go with it.
    pub fn build(mut self) -> Result<ResourceCache<L>, ResourceBuildError> {
        let max_entries = self.max_entries.ok_or(ResourceBuildError::NoBound)?;
        check_bounds(max_entries, self.settings.max_weight)?;
        self.settings.max_entries = max_entries;
        if self.settings.max_weight.is_some() && !L::WEIGHS {
            return Err(ResourceBuildError::NoEstimate);
        }
        if self.settings.max_loads == 0 {
            return Err(ResourceBuildError::MaxConcurrentLoads);
        }
        if self.settings.max_closes == 0 {
            return Err(ResourceBuildError::MaxConcurrentCloses);
        }
        if self.settings.idle_ttl.is_some_and(|time| time.is_zero()) {
            return Err(ResourceBuildError::IdleTtl);
        }
        if self.settings.close_timeout.is_some_and(|time| time.is_zero()) {
            return Err(ResourceBuildError::CloseTimeout);
        }
        match self.settings.backoff {
            Some((min, max)) if min.is_zero() || min > max => {
                Err(ResourceBuildError::Backoff { min, max })
            }
            _ => Ok(ResourceCache::from_builder(self)),
        }
    }
}

/// Checks bounds of a cache.
pub(crate) fn check_bounds(
    max_entries: usize,
    max_weight: Option<u64>,
) -> Result<(), ResourceBuildError> {
    if !(1..=MAX_ENTRIES).contains(&max_entries) {
        return Err(ResourceBuildError::MaxEntries { given: max_entries, max: MAX_ENTRIES });
    }
    if max_weight == Some(0) { Err(ResourceBuildError::MaxWeight) } else { Ok(()) }
}

impl<L: Source> fmt::Debug for ResourceBuilder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceBuilder")
            .field("max_entries", &self.max_entries)
            .field("settings", &self.settings)
            .field("has_executor", &self.executor.is_some())
            .field("listens", &self.on_close_error.is_some())
            .field("has_time_source", &self.time_source.is_some())
            .finish_non_exhaustive()
    }
}
