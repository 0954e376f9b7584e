//! What does a cache keep over a restart? Its entries with the standing that they had earned.
//!
//! A dump is plain data, coldest first: key, value, class, uses to its credit, and what is left of its
//! time. What it does not keep: who has left lately, and the share of probation, which a cache finds
//! anew in some thousands of inserts.

#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::cache::Cache;
use crate::dumped::Dumped;

/// The entries of a cache, to be restored into another one: after a restart, say, so that it is warm.
///
/// Made by [`Cache::dump`](crate::Cache::dump), taken by [`Cache::restore`](crate::Cache::restore). It
/// keeps for each entry whether it is on probation or one of those that stay, how many uses it has to
/// its credit, and how long it may live yet; and the order in which the entries would have left.
///
/// With the feature `serde` it can be serialised where key and value can. The form is stable:
/// `{"version": 1, "entries": [{"key", "value", "on_probation", "uses", "to_live", "idle"}, ..]}`, coldest
/// first; `to_live` and `idle` as `std::time::Duration` has it, `to_live` null where there is no end. A
/// version that is not known is an error.
///
/// # Examples
///
/// ```
/// use hotset::Cache;
///
/// let cache = Cache::new(100);
/// (0..100).for_each(|n| drop(cache.insert(n, n * n)));
/// let dump = cache.dump();
///
/// let next = Cache::new(50); // of the next process, and smaller
/// assert_eq!(next.restore(dump), 50);
/// assert!(next.iter().all(|(key, value)| value == key * key));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Dump<K, V> {
    entries: Vec<Dumped<K, V>>,
}

impl<K, V> Dump<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, in the order in which they would have left.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.entries.iter().map(|entry| (&entry.key, &entry.value))
    }

    /// The dump when `time` has passed: for the time between the end of one process and the start of
    /// the next, which only the caller can know. Entries whose time is over then are dropped; idle ones
    /// are idle for that much longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{Cache, ManualTime};
    ///
    /// let build = || {
    ///     let time_to_live = Duration::from_secs(60);
    ///     let builder = Cache::builder().max_entries(10).time_to_live(time_to_live);
    ///     builder.time_source(ManualTime::new()).build()
    /// };
    /// let (cache, next) = (build()?, build()?);
    /// cache.insert(1, "one");
    /// let dump = cache.dump();
    /// assert_eq!(dump.clone().aged(Duration::from_secs(60)).len(), 0);
    /// assert_eq!(next.restore(dump.aged(Duration::from_secs(59))), 1);
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn aged(mut self, time: Duration) -> Self {
        self.entries.retain_mut(|entry| {
            let left = &mut entry.time;
            left.idle = left.idle.saturating_add(time);
            left.to_live = left.to_live.map(|to_live| to_live.saturating_sub(time));
            left.to_live != Some(Duration::ZERO)
        });
        self
    }
}

impl<K, V, S> Cache<K, V, S> {
    /// Clones of all entries with their standing, to be [restored](Self::restore) into another cache.
    ///
    /// As consistent as [`iter`](Self::iter) is. Takes time and memory in proportion to the table, and the
    /// memory of the clones. Examples are at [`Dump`].
    pub fn dump(&self) -> Dump<K, V>
    where
        K: Clone,
        V: Clone,
    {
        Dump { entries: self.store.dump() }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Gives the cache the entries of `dump`, with their standing, as far as there is room; says how
    /// many came in.
    ///
    /// Nobody leaves for them: if there is not room for all, those come in that would have left last. A
    /// key that has an entry, or is being loaded, keeps what it has. Each value is weighed, and asked how long it
    /// may live, as a new one is; it lives no longer than it would have, if anything expires in this
    /// cache. Where values are [refreshed](crate::Builder::refresh_after) it counts as new. Takes time in
    /// proportion to the dump.
    pub fn restore(&self, dump: Dump<K, V>) -> usize {
        let mut entries = dump.entries;
        let mut back: Vec<_> = entries
            .iter()
            .map(|entry| self.store.returning(self.hash(&entry.key), entry))
            .collect();
        let first = self.store.first_with_room(&back);
        let warmest = entries.drain(first..).zip(back.drain(first..));
        let came = warmest.filter_map(|(entry, arrival)| {
            self.store.restore(self.hash(&entry.key), entry, arrival?).then_some(())
        });
        came.count()
    }
}

/// Its length, and nothing of what users keep in it.
impl<K, V> fmt::Debug for Dump<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(feature = "serde")]
mod form {
    //! The form in which a dump is written. Field by field, so that the types inside may change.

    use std::time::Duration;

    use serde::ser::{SerializeSeq, SerializeStruct};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::{Dump, Dumped};
    use crate::dumped::{Standing, TimeLeft};

    const VERSION: u32 = 1;

    impl<K: Serialize, V: Serialize> Serialize for Dump<K, V> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut dump = serializer.serialize_struct("Dump", 2)?;
            dump.serialize_field("version", &VERSION)?;
            dump.serialize_field("entries", &Entries(&self.entries))?;
            dump.end()
        }
    }

    struct Entries<'d, K, V>(&'d [Dumped<K, V>]);

    impl<K: Serialize, V: Serialize> Serialize for Entries<'_, K, V> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut entries = serializer.serialize_seq(Some(self.0.len()))?;
            for entry in self.0 {
                entries.serialize_element(&Written {
                    key: &entry.key,
                    value: &entry.value,
                    on_probation: entry.standing.on_probation,
                    uses: entry.standing.uses,
                    to_live: entry.time.to_live,
                    idle: entry.time.idle,
                })?;
            }
            entries.end()
        }
    }

    /// An entry as it is written and read.
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "Entry")]
    struct Written<K, V> {
        key: K,
        value: V,
        on_probation: bool,
        uses: u8,
        to_live: Option<Duration>,
        idle: Duration,
    }

    #[derive(Deserialize)]
    #[serde(rename = "Dump")]
    struct Read<K, V> {
        version: u32,
        entries: Vec<Written<K, V>>,
    }

    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Dump<K, V> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let read = Read::<K, V>::deserialize(deserializer)?;
            if read.version != VERSION {
                let expected = format!("version {VERSION} of a dump");
                let given = de::Unexpected::Unsigned(read.version.into());
                return Err(de::Error::invalid_value(given, &expected.as_str()));
            }
            let entries = read.entries.into_iter().map(|entry| Dumped {
                key: entry.key,
                value: entry.value,
                // Advice, which may have any value.
                standing: Standing { on_probation: entry.on_probation, uses: entry.uses.min(2) },
                time: TimeLeft { to_live: entry.to_live, idle: entry.idle },
            });
            Ok(Self { entries: entries.collect() })
        }
    }
}
