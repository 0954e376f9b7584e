//! What can go wrong, and what should be done next? The error types of `ResourceCache`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::resource::report::State;

/// Why a resource cache cannot be built, or be given new bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceBuildError {
    /// The builder was not told `max_entries`.
    NoBound,
    /// `max_entries` is out of range.
    MaxEntries {
        /// What was given.
        given: usize,
        /// The largest bound that is allowed; the least is 1.
        max: usize,
    },
    /// `max_weight` is zero.
    MaxWeight,
    /// A weight bound is asked for, and the loader gives no estimates: set `Loader::ESTIMATES` and
    /// write `Loader::estimate`.
    NoEstimate,
    /// A weight bound is set on a cache that was built without one, whose entries have no weights.
    Unweighed,
    /// `max_concurrent_loads` is zero.
    MaxConcurrentLoads,
    /// `max_concurrent_closes` is zero.
    MaxConcurrentCloses,
    /// `idle_ttl` is zero.
    IdleTtl,
    /// `close_timeout` is zero.
    CloseTimeout,
    /// The backoff's least time is zero, or above its longest.
    Backoff {
        /// The first wait.
        min: Duration,
        /// The longest wait.
        max: Duration,
    },
}

impl fmt::Display for ResourceBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBound => f.write_str("no bound: call max_entries on the builder"),
            Self::MaxEntries { given: 0, .. } => f.write_str("max_entries must be >= 1, got 0"),
            Self::MaxEntries { given, max } => {
                write!(f, "max_entries must be <= {max}, got {given}")
            }
            Self::MaxWeight => f.write_str("max_weight must be >= 1, got 0"),
            Self::NoEstimate => f.write_str(
                "max_weight needs a loader that estimates: set Loader::ESTIMATES = true and write \
                 Loader::estimate",
            ),
            Self::Unweighed => f.write_str(
                "this cache was built without max_weight, so its entries have no weights: build it \
                 with one",
            ),
            Self::MaxConcurrentLoads => f.write_str("max_concurrent_loads must be >= 1, got 0"),
            Self::MaxConcurrentCloses => f.write_str("max_concurrent_closes must be >= 1, got 0"),
            Self::IdleTtl => f.write_str("idle_ttl must be > 0, got 0"),
            Self::CloseTimeout => f.write_str("close_timeout must be > 0, got 0"),
            Self::Backoff { min, max } => write!(
                f,
                "backoff must have 0 < min <= max, got min {min:?} and max {max:?}; no_backoff \
                 switches it off"
            ),
        }
    }
}

impl Error for ResourceBuildError {}

/// A call that would wait was made inside a load, an estimate or a close of the same cache, where
/// waiting could be for ever. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reentrant;

impl fmt::Display for Reentrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a loader of this cache called what waits for this cache: use try_lease there, or make \
             the call outside of the loader",
        )
    }
}

impl Error for Reentrant {}

/// What a wait was for when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// For the key's previous resource to be released and closed.
    Closing,
    /// For the estimate of the weight.
    Estimating,
    /// For one of the concurrent loads to end; there was room already.
    Starting,
    /// For the load.
    Loading,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closing => "the previous resource of this key to be closed",
            Self::Estimating => "the estimate of its weight",
            Self::Starting => "one of the concurrent loads to end",
            Self::Loading => "its load",
        })
    }
}

/// Who holds capacity, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder<I> {
    /// The key.
    pub id: I,
    /// Why it counts: in use, or on its way in or out.
    pub state: State,
    /// Leases at that moment.
    pub leases: u32,
    /// For at least so long it has been so without a break.
    pub held_for: Duration,
}

/// How a load failed, as it is remembered.
#[derive(Debug)]
pub enum Failure<E> {
    /// Load or estimate returned this error.
    Failed(Arc<E>),
    /// Load or estimate panicked.
    Panicked,
}

impl<E> Clone for Failure<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked => Self::Panicked,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "{error}"),
            Self::Panicked => f.write_str("the loader panicked"),
        }
    }
}

/// Why there is no lease.
///
/// Each says what to do next. [`retry_after`](Self::retry_after) says when, where waiting helps.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeaseError<I, E> {
    /// The load, or the estimate before it, returned an error. All who waited for it got it.
    Load {
        /// The key.
        id: I,
        /// The loader's error.
        source: Arc<E>,
    },
    /// The load, or the estimate before it, panicked.
    LoadPanicked {
        /// The key.
        id: I,
    },
    /// The last load of this key failed a short time ago.
    Backoff {
        /// The key.
        id: I,
        /// When the next call may load again. `ResourceCache::reset` ends it at once.
        retry_at: Instant,
        /// In how long that was, when this error was made.
        retry_in: Duration,
        /// Failures in a row.
        attempts: u32,
        /// The last of them.
        source: Failure<E>,
    },
    /// The wait for room was over.
    Capacity {
        /// Who held it then: those that were leased or on their way, longest first, 32 at most.
        holders: Vec<Holder<I>>,
    },
    /// `max_waiters` were waiting already.
    QueueFull {
        /// That bound.
        max_waiters: usize,
    },
    /// It would not fit even if nothing else were there.
    TooLarge {
        /// The weight that was estimated.
        need: u64,
        /// The cache's `max_weight`.
        limit: u64,
    },
    /// What was loaded weighs more than was estimated, and there was no room for the difference; it
    /// was closed.
    Underestimated {
        /// The weight that was estimated.
        estimate: u64,
        /// The weight that the load found.
        actual: u64,
    },
    /// The wait was over when there was room already, or while the key's previous resource was still
    /// there. What was begun goes on: a later call may find it done.
    Timeout {
        /// What was being waited for.
        phase: Phase,
    },
    /// The call was made inside a load, an estimate or a close of this cache and would have waited.
    Reentrant,
    /// The cache has been shut down.
    ShuttingDown,
}

impl<I, E> LeaseError<I, E> {
    /// After which time the same call may succeed, if waiting alone can help: the rest of a backoff,
    /// or a second where room or a slow step is what was missing.
    ///
    /// ```
    /// use std::time::Duration;
    /// type Error = hotset::LeaseError<u32, std::fmt::Error>;
    ///
    /// assert_eq!(Error::ShuttingDown.retry_after(), None);
    /// assert_eq!(Error::QueueFull { max_waiters: 9 }.retry_after(), Some(Duration::from_secs(1)));
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Backoff { retry_in, .. } => Some(*retry_in),
            Self::Capacity { .. } | Self::QueueFull { .. } | Self::Timeout { .. } => {
                Some(Duration::from_secs(1))
            }
            Self::Load { .. }
            | Self::LoadPanicked { .. }
            | Self::TooLarge { .. }
            | Self::Underestimated { .. }
            | Self::Reentrant
            | Self::ShuttingDown => None,
        }
    }

    /// The loader's error, if this is one or remembers one.
    pub fn load_error(&self) -> Option<&Arc<E>> {
        match self {
            Self::Load { source, .. } | Self::Backoff { source: Failure::Failed(source), .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

impl<I: Debug, E: fmt::Display> fmt::Display for LeaseError<I, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { id, source } => {
                write!(f, "loading {id:?} failed: {source}; mend the cause, then ask again")
            }
            Self::LoadPanicked { id } => {
                write!(f, "the loader panicked on {id:?}; mend the loader, then ask again")
            }
            Self::Backoff { id, retry_in, attempts, source, .. } => write!(
                f,
                "{id:?} has failed to load {attempts} time(s), last: {source}; ask again in \
                 {retry_in:?}, or reset it when the cause is mended"
            ),
            Self::Capacity { holders } => {
                f.write_str("no room came free in time")?;
                let mut before = "; held by ";
                for holder in holders.iter().take(3) {
                    let Holder { id, state, leases, held_for } = holder;
                    write!(f, "{before}{id:?} ({state}, {leases} lease(s), {held_for:?} or more)")?;
                    before = ", ";
                }
                if holders.len() > 3 {
                    write!(f, " and {} more", holders.len() - 3)?;
                }
                f.write_str("; release leases, raise the bound, or ask again later")
            }
            Self::QueueFull { max_waiters } => write!(
                f,
                "{max_waiters} callers are waiting already; ask again later, or raise max_waiters"
            ),
            Self::TooLarge { need, limit } => write!(
                f,
                "it weighs {need} and the cache holds {limit} in all; raise max_weight or ask for \
                 less"
            ),
            Self::Underestimated { estimate, actual } => write!(
                f,
                "it was estimated at {estimate} and weighs {actual}, for which there was no room; \
                 correct the loader's estimate"
            ),
            Self::Timeout { phase } => {
                write!(
                    f,
                    "the time was over while waiting for {phase}; it goes on, ask again later"
                )
            }
            Self::Reentrant => fmt::Display::fmt(&Reentrant, f),
            Self::ShuttingDown => {
                f.write_str("the cache has been shut down; ask another one, or build it anew")
            }
        }
    }
}

impl<I: Debug, E: Error + 'static> Error for LeaseError<I, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.load_error().map(|error| &**error as &(dyn Error + 'static))
    }
}

impl<I: Clone, E> Clone for LeaseError<I, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load { id, source } => Self::Load { id: id.clone(), source: Arc::clone(source) },
            Self::LoadPanicked { id } => Self::LoadPanicked { id: id.clone() },
            Self::Backoff { id, retry_at, retry_in, attempts, source } => Self::Backoff {
                id: id.clone(),
                retry_at: *retry_at,
                retry_in: *retry_in,
                attempts: *attempts,
                source: source.clone(),
            },
            Self::Capacity { holders } => Self::Capacity { holders: holders.clone() },
            Self::QueueFull { max_waiters } => Self::QueueFull { max_waiters: *max_waiters },
            Self::TooLarge { need, limit } => Self::TooLarge { need: *need, limit: *limit },
            Self::Underestimated { estimate, actual } => {
                Self::Underestimated { estimate: *estimate, actual: *actual }
            }
            Self::Timeout { phase } => Self::Timeout { phase: *phase },
            Self::Reentrant => Self::Reentrant,
            Self::ShuttingDown => Self::ShuttingDown,
        }
    }
}
