//! How is a cache made? The builder, and its errors instead of panics.

#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Cache, DefaultHashBuilder};
use crate::config::{Cause, Policy};
use crate::error::BuildError;
use crate::expiry::{ExpireWith, Expiry, Lifetimes};
use crate::refresh::Refresh;
use crate::store::{Listener, Setup, Store, Weigher, Weighing};
use crate::time::{Time, TimeSource};
use crate::weights::Weights;

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
    max_weight: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    expected_entries: Option<usize>,
    slack: Option<u64>,
    policy: Policy,
    hasher: S,
    listener: Option<Listener<K, V>>,
    stats: bool,
    lifetimes: Lifetimes,
    expire_with: Option<ExpireWith<K, V>>,
    refresh_after: Option<Duration>,
    time_source: Option<Box<dyn TimeSource>>,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache for at most `max_entries` entries, with everything else as by default.
    ///
    /// # Panics
    ///
    /// If `max_entries` is out of range: `max_entries must be >= 1, got 0`.
    /// [`builder`](Self::builder) gives an error instead.
    #[track_caller]
    pub fn new(max_entries: usize) -> Self {
        match Self::builder().max_entries(max_entries).build() {
            Ok(cache) => cache,
            Err(error) => panic!("{error}"),
        }
    }

    /// A builder, to which at least a bound must be told: [`max_entries`](Builder::max_entries), or
    /// [`max_weight`](Builder::max_weight) and a [`weigher`](Builder::weigher), or both.
    pub fn builder() -> Builder<K, V> {
        Builder {
            max_entries: None,
            max_weight: None,
            weigher: None,
            expected_entries: None,
            slack: None,
            policy: Policy::default(),
            hasher: DefaultHashBuilder::default(),
            listener: None,
            stats: false,
            lifetimes: Lifetimes::default(),
            expire_with: None,
            refresh_after: None,
            time_source: None,
        }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// The most entries that the cache will hold, at any instant. At least 1. Mandatory, unless there
    /// is a [`max_weight`](Self::max_weight); with both, both hold.
    pub fn max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// The most that the entries of the cache will weigh in all, at any instant, as a
    /// [`weigher`](Self::weigher) tells, which must be given, too. In whatever unit: bytes, rows, cents.
    /// At least 1; any `u64`.
    ///
    /// An entry that alone is heavier is not admitted and evicts nobody
    /// ([`Insert::TooHeavy`](crate::Insert::TooHeavy)). For a heavy one several light ones may leave.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{Cache, Insert};
    ///
    /// let cache: Cache<u64, String> = Cache::builder()
    ///     .max_weight(1_000)
    ///     .weigher(|_key, value: &String| value.len() as u64)
    ///     .build()?;
    /// cache.insert(1, "x".repeat(600));
    /// cache.insert(2, "x".repeat(300));
    /// assert_eq!((cache.len(), cache.weight()), (2, 900));
    /// assert!(matches!(cache.insert(3, "x".repeat(1_001)), Insert::TooHeavy(3, _)));
    /// cache.insert(4, "x".repeat(900)); // both leave for it
    /// assert_eq!((cache.len(), cache.weight()), (1, 900));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn max_weight(mut self, max_weight: u64) -> Self {
        self.max_weight = Some(max_weight);
        self
    }

    /// What an entry weighs, for a [`max_weight`](Self::max_weight), which must be given, too.
    ///
    /// Called once for each value that is written or loaded, before anything happens to the cache and
    /// outside all of its protections, so it may call the cache. What it says is kept with the entry. 0
    /// counts as 1. If it panics, the value is dropped and the panic goes to the caller of the write; in
    /// a load it is as if the loader had panicked.
    ///
    /// A closure needs the types of what it looks into: `|_, value: &String| value.len() as u64`.
    ///
    /// An entry of a cache that weighs takes 32 bytes more than one of a cache that does not.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// How many entries the table is built for. At least 1, and at most `max_entries`, which is what
    /// it is built for otherwise; 16,384 if only weight is bounded.
    ///
    /// It is no bound: the table grows when there are a quarter more, or a quarter of them if those weigh so little that
    /// more than twice as many will come; without stopping anybody, by one
    /// to three steps, of which the last is for as many as `max_weight` has room for if entries go on to
    /// weigh what they did. Entries stay where they are, so a few hits and misses then look at a line or two more, and an
    /// insert of a new key at one. A table that was built for the right number
    /// is faster, and a number that is too large costs memory only: some 30 bytes each, which are reserved,
    /// and touched as entries come. One that grows takes at most thirty-two times as much table as if it had been
    /// made for the entries that there were when it grew, or sixty-four times if that is all that it will need and not
    /// more than for a million; and it gives that back when it is empty (see [`clear`](Cache::clear)).
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::Cache;
    ///
    /// let cache: Cache<u64, Vec<u8>> = Cache::builder()
    ///     .max_weight(1 << 30) // a gibibyte, in blocks of some four kibibytes
    ///     .weigher(|_, block: &Vec<u8>| block.len() as u64)
    ///     .expected_entries(1 << 18)
    ///     .build()?;
    /// cache.insert(7, vec![0; 4096]);
    /// assert_eq!(cache.weight(), 4096);
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn expected_entries(mut self, entries: usize) -> Self {
        self.expected_entries = Some(entries);
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
    ///
    /// ```
    /// let builder = hotset::Cache::builder().max_entries(8);
    /// let cache = builder.hasher(std::hash::RandomState::new()).build()?;
    /// cache.insert("key", 1);
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn hasher<T>(self, hasher: T) -> Builder<K, V, T> {
        Builder {
            max_entries: self.max_entries,
            max_weight: self.max_weight,
            weigher: self.weigher,
            expected_entries: self.expected_entries,
            slack: self.slack,
            policy: self.policy,
            hasher,
            listener: self.listener,
            stats: self.stats,
            lifetimes: self.lifetimes,
            expire_with: self.expire_with,
            refresh_after: self.refresh_after,
            time_source: self.time_source,
        }
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

    /// Whether hits and misses are counted. Off unless told otherwise: it costs a read 1 to 5 %,
    /// one write to a line that the thread owns. Everything else is always counted.
    pub fn stats(mut self, count_hits: bool) -> Self {
        self.stats = count_hits;
        self
    }

    /// How many entries that have left may wait for readers before inserts are refused
    /// ([`Insert::NotAdmitted`](crate::Insert::NotAdmitted)), or how much weight of them. At least 1.
    ///
    /// The default is an eighth of the bound: of entries 1,024 at least, or of weight; and where entries
    /// are weighed it is never less than the heaviest that was admitted. Together with the bound this
    /// limits the memory of values: at most `max_entries` plus this many plus two for each thread
    /// are alive at any instant (or `max_weight` plus this weight plus two of the heaviest), however long readers keep pins. Handles in the user's hands
    /// ([`Removed`](crate::Removed)) are not counted.
    pub fn reclamation_slack(mut self, slack: usize) -> Self {
        self.slack = Some(slack as u64);
        self
    }

    /// An entry is found for at most this long after its value came.
    ///
    /// Of this, [`time_to_idle`](Self::time_to_idle) and [`expire_with`](Self::expire_with) the one
    /// that ends first counts. An entry whose time is over is a miss, for every operation; it
    /// leaves, with [`Cause::Expired`], when an insert needs room and comes by, when its key is
    /// written, loaded or removed, or in a [`sweep`](Cache::sweep). Until then it
    /// counts in [`len`](Cache::len).
    ///
    /// Never late: an entry is not found after its time, as the system's monotonic clock has it (which, on
    /// Linux, stands still while the system sleeps). It may be taken for over early by up to a
    /// hundredth of its time. Times of more than 438 years are for ever.
    ///
    /// A hit then reads a clock and the entry's times. That costs some 10 ns more where the cache fits into the
    /// processor's (17 ns for 7 with 1,000 entries of `u64` to `u64`), and far more where it does not: 141 ns for
    /// 51 with a million. There an entry takes 32 bytes more, twice as much here, so fewer of them are in the
    /// processor's caches; the times come after the value, with larger ones on another line than the key; and
    /// look-ups that follow each other may wait for memory less at the same time. How much of it is which was not
    /// measured. Without any of these methods no clock is read.
    ///
    /// (On Linux this counts on the kernel to note the time at least ten times a second. Where a machine is
    /// held up for longer, an entry can be found for that long after its time.)
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{Cache, ManualTime};
    ///
    /// let time = ManualTime::new();
    /// let cache = Cache::builder()
    ///     .max_entries(100)
    ///     .time_to_live(Duration::from_secs(60))
    ///     .time_source(time.clone()) // in tests; else the system's
    ///     .build()?;
    /// cache.insert("token", 1);
    /// time.advance(Duration::from_secs(59));
    /// assert_eq!(cache.get("token"), Some(1));
    /// time.advance(Duration::from_secs(1));
    /// assert_eq!(cache.get("token"), None);
    /// assert_eq!((cache.len(), cache.sweep(), cache.len()), (1, 1, 0));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.lifetimes.to_live = Some(time);
        self
    }

    /// An entry is found for at most this long after it was used last: written, loaded, or read by
    /// a function that marks it as used ([`peek`](Cache::peek) and the like do not).
    ///
    /// That a hit happened is written down only if the last one that was is older than a sixteenth of
    /// the time, so that hits write seldom; an entry may be over that much early. For the rest, what a hit
    /// costs included, see [`time_to_live`](Self::time_to_live).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{Cache, ManualTime};
    ///
    /// let time = ManualTime::new();
    /// let cache = Cache::builder()
    ///     .max_entries(100)
    ///     .time_to_idle(Duration::from_secs(60))
    ///     .time_source(time.clone())
    ///     .build()?;
    /// cache.insert("session", 1);
    /// for _ in 0..10 {
    ///     time.advance(Duration::from_secs(50));
    ///     assert_eq!(cache.get("session"), Some(1));
    /// }
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get("session"), None);
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.lifetimes.to_idle = Some(time);
        self
    }

    /// Asks `time` once for each value that comes how long its entry may be found; `None`: as long
    /// as the others of these methods allow. They hold as well: it can shorten a life, not prolong it.
    ///
    /// It is called by the thread that inserts or loads, outside all of the cache's protections,
    /// so it may call the cache. If it panics, the panic goes to who inserts, and nothing has happened;
    /// in a load it counts as a panic of the loader. A time of zero: nobody finds the
    /// entry. A closure needs the types of what it looks into. For the rest see [`time_to_live`](Self::time_to_live).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{Cache, ManualTime};
    ///
    /// /// A value, and for how many seconds it is good, if that is known.
    /// type Answer = (u32, Option<u64>);
    ///
    /// let time = ManualTime::new();
    /// let cache: Cache<&str, Answer> = Cache::builder()
    ///     .max_entries(100)
    ///     .expire_with(|_, (_, seconds): &Answer| seconds.map(Duration::from_secs))
    ///     .time_source(time.clone())
    ///     .build()?;
    /// cache.insert("short", (1, Some(5)));
    /// cache.insert("for ever", (2, None));
    /// time.advance(Duration::from_secs(5));
    /// assert!(!cache.contains_key("short") && cache.contains_key("for ever"));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn expire_with(
        mut self,
        time: impl Fn(&K, &V) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.expire_with = Some(Box::new(time));
        self
    }

    /// An entry that is this old is loaded anew while it still serves, so that nobody waits for it.
    ///
    /// The age counts from when the value came: written, loaded, or [restored](Cache::restore). The first
    /// call to come after that with a loader for the key
    /// ([`get_or_insert_with`](Cache::get_or_insert_with),
    /// [`try_get_or_insert_with`](Cache::try_get_or_insert_with) and the two for tasks) runs it, in its own
    /// time, and gives the new value, which takes the place of the old one
    /// ([`Cause::Replaced`]). All others are served the old one meanwhile, at once, the loader itself
    /// included, should it ask for its key. Reads never load, nor does
    /// [`load_many`](Cache::load_many) what is there; they are served what there is, however old. To
    /// bound that, add a [`time_to_live`](Self::time_to_live): an entry whose time is over is missing, and
    /// is loaded as such.
    ///
    /// *Failure.* If the loader gives an error, the call gives the old value (the error, if the old value's
    /// time is over by then). If it panics, the panic goes to its caller. If its future is dropped, so is
    /// the refresh. In each case the old value stays, [`Stats::refresh_failures`](crate::Stats) counts it,
    /// and the next attempt comes not before a sixteenth of `age` has passed, and a millisecond, if
    /// `age` is longer than that. (A future that is leaked has no end: its entry is refreshed no more, until
    /// it is written or leaves.)
    ///
    /// *Invalidation.* A write or removal of the key, a [`clear`](Cache::clear) or an eviction during the
    /// refresh wins: the refreshed value is given to the caller that loaded it and to nobody else, and leaves
    /// with [`Cause::Rejected`]. So does one that is not admitted, for which the old value stays. If the old
    /// value's time is over by then, and nobody has come upon that yet, the new one takes its place.
    ///
    /// Calls with a loader then cost some 10 ns more where the cache fits into the processor's, and where it does not
    /// up to three times as much, as hits do under a [`time_to_live`](Self::time_to_live); [`get`](Cache::get) does not
    /// read a clock for it; an entry's header takes 32 bytes more, as where entries expire. Like an entry's end
    /// ([`time_to_live`](Self::time_to_live)) a refresh may come early by a hundredth.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{Cache, ManualTime};
    ///
    /// let time = ManualTime::new();
    /// let cache = Cache::builder()
    ///     .max_entries(100)
    ///     .refresh_after(Duration::from_secs(60))
    ///     .time_source(time.clone()) // in tests; else the system's
    ///     .build()?;
    /// assert_eq!(cache.get_or_insert_with("rate", || 1), 1);
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get("rate"), Some(1)); // old, and good enough
    /// let failed = cache.try_get_or_insert_with("rate", || Err("the source is down"));
    /// assert_eq!((failed.unwrap(), cache.stats().refresh_failures), (1, 1));
    /// time.advance(Duration::from_secs(60) / 16);
    /// let refreshed = cache.get_or_insert_with("rate", || {
    ///     assert_eq!(cache.get_or_insert_with("rate", || unreachable!()), 1); // as others meanwhile
    ///     2
    /// });
    /// assert_eq!((refreshed, cache.get("rate")), (2, Some(2)));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = Some(age);
        self
    }

    /// Takes the time from `source` in place of the system's monotonic clock. For tests:
    /// [`ManualTime`](crate::ManualTime). Not asked by a cache in which nothing expires or is refreshed.
    pub fn time_source(mut self, source: impl TimeSource + 'static) -> Self {
        self.time_source = Some(Box::new(source));
        self
    }

    /// Builds the cache. Reserves its table, about 30 bytes for each entry of the bound, or of those that
    /// are expected, as zeroed memory: a system that gives such memory page by page gives it as entries come.
    ///
    /// The first cache of a process asks Linux (x86-64, AArch64) for `membarrier`, by which reads do without a fence while
    /// there are thousands of them for each collection of what has left; where other threads run already that may take some
    /// milliseconds, here. Such a collection (for some 64 entries that leave, for fewer where less may wait, in
    /// [`maintain`](Cache::maintain) and in [`try_into_inner`](crate::Removed::try_into_inner)) takes up to 15 us and
    /// interrupts the process's other threads that run, for some microseconds; where there are more of them, reads fence, and it
    /// does not. That is decided at collections: a cache that was written to and then is only read from goes on as it was at
    /// the last one, or at the second `maintain`. Where the call is refused, or there is none, reads always fence. A sandbox that
    /// kills who makes an unknown call has to allow this one; and one that refuses it has to be entered before caches are
    /// used: of a cache whose reads did without fences when it was entered nothing is freed any more, and it refuses what would have
    /// to wait.
    ///
    /// # Errors
    ///
    /// [`BuildError`], if no bound was given, a bound on weight without a weigher or the reverse, or a
    /// number is out of range.
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError> {
        let weighing = match (self.max_weight, self.weigher) {
            (Some(0), _) => return Err(BuildError::MaxWeight),
            (Some(_), None) => return Err(BuildError::NoWeigher),
            (None, Some(_)) => return Err(BuildError::NoMaxWeight),
            (Some(max), Some(weigher)) => Some(Weighing { weights: Weights::new(max), weigher }),
            (None, None) if self.max_entries.is_none() => return Err(BuildError::NoBound),
            (None, None) => None,
        };
        let max_entries = self.max_entries.map(Store::<K, V>::check_max_entries).transpose()?;
        if let Some(given) = self.expected_entries {
            let max = max_entries.unwrap_or_else(Store::<K, V>::most_entries);
            if !(1..=max).contains(&given) {
                return Err(BuildError::ExpectedEntries { given, max });
            }
        }
        if self.slack == Some(0) {
            return Err(BuildError::ReclamationSlack);
        }
        let Lifetimes { to_live, to_idle } = self.lifetimes;
        let times = [
            (to_live, "time_to_live"),
            (to_idle, "time_to_idle"),
            (self.refresh_after, "refresh_after"),
        ];
        for (time, what) in times {
            if time == Some(Duration::ZERO) {
                return Err(BuildError::ZeroTime { what });
            }
        }
        let expires = to_live.or(to_idle).is_some() || self.expire_with.is_some();
        // Two rooms may ask it, each for its own moments.
        let source: Option<Arc<dyn TimeSource>> = self.time_source.map(Arc::from);
        let time = || {
            let source = source.clone();
            Time::new(source.map(|source| -> Box<dyn TimeSource> { Box::new(source) }))
        };
        let expiry =
            expires.then(|| Box::new(Expiry::new(time(), self.lifetimes, self.expire_with)));
        let refresh = self.refresh_after.map(|after| Box::new(Refresh::new(time(), after)));
        let store = Store::new(Setup {
            max_entries,
            weighing,
            expected_entries: self.expected_entries,
            policy: self.policy,
            slack: self.slack,
            listener: self.listener,
            count_hits: self.stats,
            expiry,
            refresh,
        });
        Ok(Cache::from_parts(self.hasher, store))
    }
}

impl<K, V, S: fmt::Debug> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_entries", &self.max_entries)
            .field("max_weight", &self.max_weight)
            .field("weighs", &self.weigher.is_some())
            .field("expected_entries", &self.expected_entries)
            .field("policy", &self.policy)
            .field("hasher", &self.hasher)
            .field("listens", &self.listener.is_some())
            .field("stats", &self.stats)
            .field("reclamation_slack", &self.slack)
            .field("time_to_live", &self.lifetimes.to_live)
            .field("time_to_idle", &self.lifetimes.to_idle)
            .field("expires_with", &self.expire_with.is_some())
            .field("refresh_after", &self.refresh_after)
            .field("has_time_source", &self.time_source.is_some())
            .finish()
    }
}
