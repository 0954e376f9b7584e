//! How is a cache made? The builder, and its errors instead of panics.

#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;

use crate::cache::{Cache, DefaultHashBuilder};
use crate::config::{Cause, Policy};
use crate::error::BuildError;
use crate::store::{Listener, Store};

/// Builds a [`Cache`]. Made by [`Cache::builder`].
///
/// # Examples
///
/// ```
/// use hotset::{Cache, Policy};
///
/// let cache: Cache<String, Vec<u8>> = Cache::builder()
///     .max_entries(10_000)
///     .policy(Policy::Clock)
///     .on_evict(|key, _value, cause| println!("{key} left: {cause:?}"))
///     .build()?;
/// assert_eq!(cache.capacity(), 10_000);
///
/// let error = Cache::<u64, u64>::builder().max_entries(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "max_entries must be >= 1, got 0");
/// # Ok::<(), hotset::BuildError>(())
/// ```
pub struct Builder<K, V, S = DefaultHashBuilder> {
    max_entries: Option<usize>,
    slack: Option<usize>,
    policy: Policy,
    hasher: S,
    listener: Option<Listener<K, V>>,
    stats: bool,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A builder, to which at least [`max_entries`](Builder::max_entries) must be told.
    pub fn builder() -> Builder<K, V> {
        Builder {
            max_entries: None,
            slack: None,
            policy: Policy::default(),
            hasher: DefaultHashBuilder::default(),
            listener: None,
            stats: false,
        }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// The most entries that the cache will hold, at any instant. Mandatory, at least 1.
    pub fn max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// Which entry leaves when room is needed.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Hashes keys with `hasher` in place of the default.
    ///
    /// The cache finalises every hash, so a fast one is enough. The default is seeded at random
    /// for each cache. For keys that an attacker chooses and whose hashes they could learn by
    /// timing, take `std::hash::RandomState` (SipHash), which costs about 10 ns per operation.
    pub fn hasher<T>(self, hasher: T) -> Builder<K, V, T> {
        let Self { max_entries, slack, policy, listener, stats, hasher: _ } = self;
        Builder { max_entries, slack, policy, hasher, listener, stats }
    }

    /// Calls `listener` once for every entry that leaves, with the cause.
    ///
    /// It is called by the thread whose operation made the entry leave, after that operation has
    /// taken effect and outside all of the cache's protections, so it may call the cache. It is
    /// also called by [`clear`](Cache::clear) and when the cache is dropped. A panic in it is
    /// caught and loses that one call. What it does is part of the operation's time.
    pub fn on_evict(mut self, listener: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Whether hits and misses are counted. Off unless told otherwise: it costs a read by a third,
    /// although it writes only to a line that the thread owns. Everything else is always counted.
    pub fn stats(mut self, count_hits: bool) -> Self {
        self.stats = count_hits;
        self
    }

    /// How many entries that have left may wait for readers before inserts are refused
    /// ([`Insert::NotAdmitted`](crate::Insert::NotAdmitted)). At least 1.
    ///
    /// The default is an eighth of the bound, and 1,024 at least. Together with the bound this
    /// limits the memory of values: at most `max_entries` plus this many plus two for each thread
    /// are alive at any instant, however long readers keep pins. Handles in the user's hands
    /// ([`Removed`](crate::Removed)) are not counted.
    pub fn reclamation_slack(mut self, entries: usize) -> Self {
        self.slack = Some(entries);
        self
    }

    /// Builds the cache. Allocates its table, about 30 bytes for each entry of the bound.
    ///
    /// # Errors
    ///
    /// [`BuildError`], if no bound was given, or a number is out of range.
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError> {
        let max_entries = check_max_entries::<K, V>(self.max_entries.ok_or(BuildError::NoBound)?)?;
        if self.slack == Some(0) {
            return Err(BuildError::ReclamationSlack);
        }
        let store = Store::new(max_entries, self.policy, self.slack, self.listener, self.stats);
        Ok(Cache::from_parts(self.hasher, store))
    }
}

/// Checks a bound.
pub(crate) fn check_max_entries<K, V>(given: usize) -> Result<usize, BuildError> {
    let max = crate::table::Table::<K, V>::max_entries();
    if (1..=max).contains(&given) { Ok(given) } else { Err(BuildError::MaxEntries { given, max }) }
}

impl<K, V, S: fmt::Debug> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_entries", &self.max_entries)
            .field("policy", &self.policy)
            .field("hasher", &self.hasher)
            .field("listens", &self.listener.is_some())
            .field("stats", &self.stats)
            .field("reclamation_slack", &self.slack)
            .finish()
    }
}
