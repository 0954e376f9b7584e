//! What can go wrong? The public error types.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a cache cannot be built, or be given a new bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The builder was not told a bound.
    NoBound,
    /// The bound is out of range. The cache holds at least one entry, and at most what a table
    /// can be built for.
    MaxEntries {
        /// What was given.
        given: usize,
        /// The largest bound that is allowed.
        max: usize,
    },
    /// The bound on weight is zero.
    MaxWeight,
    /// A bound on weight without anything that weighs entries.
    NoWeigher,
    /// Something that weighs entries, without a bound on their weight.
    NoMaxWeight,
    /// The number of entries to build the table for is out of range.
    ExpectedEntries {
        /// What was given.
        given: usize,
        /// The largest number that is allowed: what a table can be built for, or the bound on entries.
        max: usize,
    },
    /// The slack for entries that wait for readers is zero.
    ReclamationSlack,
    /// A time is zero that must not be: nothing would ever be found.
    ZeroTime {
        /// Which one: the builder's method.
        what: &'static str,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBound => {
                f.write_str("no bound: call max_entries on the builder, or max_weight and weigher")
            }
            Self::MaxWeight => f.write_str("max_weight must be >= 1, got 0"),
            Self::NoWeigher => {
                f.write_str("max_weight needs a weigher: call weigher on the builder, too")
            }
            Self::NoMaxWeight => {
                f.write_str("a weigher needs a bound: call max_weight on the builder, too")
            }
            Self::ExpectedEntries { given: 0, .. } => {
                f.write_str("expected_entries must be >= 1, got 0")
            }
            Self::ExpectedEntries { given, max } => {
                write!(f, "expected_entries must be <= {max}, got {given}")
            }
            Self::MaxEntries { given: 0, .. } => f.write_str("max_entries must be >= 1, got 0"),
            Self::MaxEntries { given, max } => {
                write!(f, "max_entries must be <= {max}, got {given}")
            }
            Self::ReclamationSlack => f.write_str("reclamation_slack must be >= 1, got 0"),
            Self::ZeroTime { what } => write!(f, "{what} must be > 0, got 0"),
        }
    }
}

impl Error for BuildError {}

/// Why a load gave no value. Shared by all who waited for it.
///
/// It is an [`Error`] where the loader's error is. `Box<dyn Error + Send + Sync>` and `anyhow::Error` are not, so `?`
/// needs a word of help: `.map_err(|error| error.to_string())`, or `.map_err(anyhow::Error::msg)`.
///
/// # Examples
///
/// ```
/// use std::error::Error;
///
/// fn port(cache: &hotset::Cache<String, u16>) -> Result<u16, Box<dyn Error + Send + Sync>> {
///     let load = || -> Result<u16, Box<dyn Error + Send + Sync>> { Ok("no number".parse()?) };
///     Ok(cache.try_get_or_insert_with("port".into(), load).map_err(|error| error.to_string())?)
/// }
/// let error = port(&hotset::Cache::new(8)).unwrap_err();
/// assert_eq!(error.to_string(), "the load failed: invalid digit found in string");
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader returned this error.
    Failed(Arc<E>),
    /// The loader panicked, in another thread than this one.
    Panicked,
    /// The loader of this key asked the cache for this key.
    Reentrant,
    /// The loader was to load several keys, and gave no value for this one
    /// ([`Cache::load_many`](crate::Cache::load_many)).
    Missing,
}

impl<E> LoadError<E> {
    /// Whether the loader returned an error.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the loader panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked)
    }

    /// Whether a loader asked for its own key.
    pub fn is_reentrant(&self) -> bool {
        matches!(self, Self::Reentrant)
    }

    /// Whether a loader of several keys gave no value for this one.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The loader's error, if it returned one.
    pub fn failure(&self) -> Option<&Arc<E>> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked => Self::Panicked,
            Self::Reentrant => Self::Reentrant,
            Self::Missing => Self::Missing,
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the load failed: {error}"),
            Self::Panicked => f.write_str("the load panicked in another thread"),
            Self::Reentrant => f.write_str("a loader asked the cache for the key that it loads"),
            Self::Missing => f.write_str("the loader of several keys gave no value for this one"),
        }
    }
}

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
