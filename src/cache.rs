//! What does a user hold? `Cache`: hashes the key, calls the store, names the outcome.
//!
//! Other rooms add methods to it: `builder` (how it is made), `pinned`, `bulk`, `compute`, `dump`, `future`.

#![forbid(unsafe_code)]

mod loading;

use std::hash::{BuildHasher, Hash};
use std::panic::{RefUnwindSafe, UnwindSafe};

use equivalent::Equivalent;

use crate::error::BuildError;
use crate::hash::Hashed;
use crate::iter::Iter;
use crate::removed::Removed;
use crate::stats::Stats;
use crate::store::{Store, Trace, Written};
pub(crate) use loading::value_or_panic;

/// The default hasher: fast, and seeded at random for each cache.
pub type DefaultHashBuilder = foldhash::fast::RandomState;

/// A concurrent cache with a strict bound.
///
/// Share it by reference or in an `Arc`; all methods take `&self`. Reads take no lock and writes
/// are lock-free: a thread that is stopped anywhere in hotset's code stops no other. See the
/// [crate page](crate) for the guarantees.
///
/// # Examples
///
/// ```
/// use hotset::Cache;
///
/// let cache = Cache::new(100);
/// cache.insert("one", 1);
/// assert_eq!(cache.get("one"), Some(1));
/// assert_eq!(cache.get_or_insert_with("two", || 2), 2);
/// assert_eq!(cache.len(), 2);
/// ```
pub struct Cache<K, V, S = DefaultHashBuilder> {
    pub(crate) hasher: S,
    pub(crate) store: Store<K, V>,
}

/// What an [`insert`](Cache::insert) did.
#[derive(Debug)]
pub enum Insert<K, V> {
    /// The key had no entry; now it has.
    New,
    /// The key had an entry, which has left: here it is.
    Replaced(Removed<K, V>),
    /// The entry is heavier than the cache's whole weight bound, and handed back. An old entry of
    /// the key has left.
    TooHeavy(K, V),
    /// The entry could not be admitted, and is handed back. An old entry of the key has left, as
    /// it was no longer true.
    ///
    /// Rare: too many entries that have left wait for readers
    /// ([`Builder::reclamation_slack`](crate::Builder::reclamation_slack)), or everything that
    /// could be evicted is being written by other threads at this instant.
    NotAdmitted(K, V),
}

impl<K, V> Insert<K, V> {
    pub(crate) fn from_written(written: Written<K, V>) -> Self {
        match written {
            Written::New => Self::New,
            Written::Replaced(removed) => Self::Replaced(removed),
            Written::TooHeavy(key, value) => Self::TooHeavy(key, value),
            Written::NotAdmitted(key, value) => Self::NotAdmitted(key, value),
        }
    }

    /// Whether the entry is in the cache.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::New | Self::Replaced(_))
    }

    /// The entry that was replaced, if one was.
    pub fn replaced(self) -> Option<Removed<K, V>> {
        match self {
            Self::Replaced(removed) => Some(removed),
            _ => None,
        }
    }
}

impl<K, V, S> Cache<K, V, S> {
    pub(crate) fn from_parts(hasher: S, store: Store<K, V>) -> Self {
        Self { hasher, store }
    }

    /// Entries in the cache, those about to appear included, and those whose time is over until they
    /// leave ([`sweep`](Self::sweep)). Never more than [`capacity`](Self::capacity). One load.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound: `max_entries` as built or set last. If only weight is bounded, the most entries that a
    /// table can hold.
    pub fn capacity(&self) -> usize {
        self.store.capacity()
    }

    /// What the entries in the cache weigh, those about to appear included. Never more than
    /// [`max_weight`](Self::max_weight), unless another thread changes that at the same time: then it may be off by the
    /// difference of the two bounds. If the cache has no weigher, the number of its entries. Two loads.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::<u64, Vec<u8>>::builder()
    ///     .max_weight(100)
    ///     .weigher(|_, value: &Vec<u8>| value.len() as u64)
    ///     .build()?;
    /// cache.insert(1, vec![0; 10]);
    /// cache.insert(1, vec![0; 30]); // weighed anew
    /// assert_eq!((cache.weight(), cache.max_weight()), (30, Some(100)));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn weight(&self) -> u64 {
        self.store.weight()
    }

    /// The bound on weight, as built or set last; `None` if the cache has no weigher.
    pub fn max_weight(&self) -> Option<u64> {
        self.store.max_weight()
    }

    /// Changes the bound on weight. When this returns the new bound holds: what was too much has left.
    ///
    /// Takes time in proportion to what must leave. Waits for inserts that are publishing, if nothing
    /// else can leave. While it runs [`weight`](Self::weight) may still be above the new bound.
    ///
    /// # Errors
    ///
    /// [`BuildError::MaxWeight`] if `max_weight` is 0, [`BuildError::NoWeigher`] if the cache has no
    /// weigher; nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::builder().max_weight(100).weigher(|_, &n: &u64| n).build()?;
    /// (1..=10).for_each(|n| drop(cache.insert(n, n)));
    /// assert_eq!(cache.weight(), 55);
    /// cache.set_max_weight(20)?;
    /// assert!(cache.weight() <= 20);
    /// assert_eq!(cache.set_max_weight(0).unwrap_err().to_string(), "max_weight must be >= 1, got 0");
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn set_max_weight(&self, max_weight: u64) -> Result<(), BuildError> {
        if max_weight == 0 {
            return Err(BuildError::MaxWeight);
        }
        if self.store.set_max_weight(max_weight) { Ok(()) } else { Err(BuildError::NoWeigher) }
    }

    /// Changes the bound. When this returns the new bound holds: what was too much has left.
    ///
    /// Takes time in proportion to what must leave. The table is built for the first bound, and grows
    /// with the entries where it is raised far above that; such a cache is somewhat slower than one
    /// built for it, as told at [`expected_entries`](crate::Builder::expected_entries).
    ///
    /// # Errors
    ///
    /// [`BuildError::MaxEntries`], if the bound is out of range; nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(100);
    /// (0..100).for_each(|n| drop(cache.insert(n, n)));
    /// cache.set_max_entries(10)?;
    /// assert_eq!((cache.len(), cache.capacity()), (10, 10));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn set_max_entries(&self, max_entries: usize) -> Result<(), BuildError> {
        self.store.set_max_entries(Store::<K, V>::check_max_entries(max_entries)?);
        Ok(())
    }

    /// Keeps the entries for which `keep` says yes.
    ///
    /// Looks once at every entry that is present throughout (at one that is
    /// [refreshed](crate::Builder::refresh_after) under its hands, at the new value as well). A load that
    /// runs has no value yet that could be looked at, and goes on; [`clear`](Self::clear) and
    /// [`remove`](Self::remove) detach it. `keep` runs under protection: it may read the cache, and must not
    /// take long.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(100);
    /// (0..10).for_each(|n| drop(cache.insert(n, n)));
    /// cache.retain(|key, _| key % 2 == 0);
    /// assert_eq!(cache.len(), 5);
    /// ```
    pub fn retain(&self, keep: impl FnMut(&K, &V) -> bool) {
        self.store.retain(keep);
    }

    /// Removes every entry that is present throughout, and detaches the loads that run: they give
    /// their values to those who wait, and keep nothing.
    ///
    /// Gives back the memory of all entries, and what the table has grown by; what somebody was looking at in the next
    /// [`maintain`](Self::maintain). What it was built for stays, 28 bytes an entry, 38 where entries are weighed, and
    /// 16 for each that it has grown to, by which it knows who has left.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// Removes the entries whose time is over, and says how many.
    ///
    /// There is no need to: they are not found, and leave when their room is needed. Call it to have
    /// their values dropped, the listener told, and [`len`](Self::len) exact at a time of your choice.
    /// Looks at every entry that is present throughout; at none if nothing expires in this cache. An
    /// example is at [`Builder::time_to_live`](crate::Builder::time_to_live).
    pub fn sweep(&self) -> usize {
        self.store.sweep()
    }

    /// Clones of all entries, in no particular order.
    ///
    /// Weakly consistent: an entry that is present throughout appears exactly once. Protects one
    /// entry at a time, so it may be kept for long.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert(1, "one");
    /// assert_eq!(cache.iter().collect::<Vec<_>>(), [(1, "one")]);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V>
    where
        K: Clone,
        V: Clone,
    {
        Iter::new(&self.store)
    }

    /// The keys in the order in which they would leave if this thread made room for one after the
    /// other and nobody read meanwhile. Exact for [`Policy::Clock`](crate::Policy::Clock).
    ///
    /// Takes time and memory in proportion to the table. Meant for tests and tools.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(3);
    /// (0..3).for_each(|n| drop(cache.insert(n, n)));
    /// let coldest = cache.coldest_first()[0];
    /// cache.insert(3, 3);
    /// assert!(!cache.contains_key(&coldest));
    /// ```
    pub fn coldest_first(&self) -> Vec<K>
    where
        K: Clone,
    {
        self.store.coldest_first()
    }

    /// Drops the values of all entries that have left and that no reader holds, and gives memory back to the
    /// allocator: slabs of 1 to 4 KiB in which nothing is used, if those are most of all, as after
    /// [`clear`](Self::clear). Up to two hundred entries' room, in as many slabs maybe, stays with each other thread.
    ///
    /// Writes do this in small batches by themselves; call it for a time of your choice, or when no writes follow.
    /// Does not wait for readers. Takes time in proportion to what has left, to threads, and to slabs with room; where
    /// weighed entries have outgrown their table, a millisecond or two more for some calls: look-ups are cheaper then.
    pub fn maintain(&self) {
        self.store.maintain();
    }

    /// How many entries have left and wait for readers or for a later write to drop them. Handles
    /// in users' hands are not counted. Exact while no other thread writes.
    pub fn awaiting_reclamation(&self) -> usize {
        self.store.awaiting_reclamation()
    }

    /// A snapshot of the counters. Takes time in proportion to the number of threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::builder().max_entries(8).stats(true).build()?;
    /// cache.insert(1, 1);
    /// cache.get(&1);
    /// cache.get(&2);
    /// assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// The shape of the table that `Policy::Clock` is exact about: shards, buckets of a shard,
    /// slots of a bucket, buckets of a probe. For tests with a reference model.
    #[doc(hidden)]
    pub fn clock_shape(&self) -> [usize; 4] {
        self.store.clock_shape()
    }

    /// Checks the whole structure; for tests and fuzzing, while no other thread uses the cache.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), String>
    where
        K: Eq,
    {
        self.store.validate()
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    #[inline(always)]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> Hashed {
        Hashed::new(&self.hasher, key)
    }

    /// Shard and home bucket of `key`, for tests with a reference model.
    #[doc(hidden)]
    pub fn clock_home<Q: Hash + ?Sized>(&self, key: &Q) -> (usize, usize) {
        self.store.clock_home(self.hash(key))
    }

    /// The 32 bits of `key`'s hash from which all that `Policy::Adaptive` remembers of it follows,
    /// for tests with a reference model.
    #[doc(hidden)]
    pub fn adaptive_place<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        self.hash(key).place()
    }

    /// Whether the entry of `key` is on probation, and the uses to its credit, for tests with a
    /// reference model.
    #[doc(hidden)]
    pub fn adaptive_class(&self, key: &K) -> Option<(bool, u32)> {
        self.store.adaptive_class(self.hash(key), key)
    }

    /// A clone of the value of `key`, which is marked as used.
    ///
    /// Takes constant time, takes no lock, never waits. Writes nothing that is shared if the
    /// entry is already marked. A key that is being loaded is a miss. For a value whose clone
    /// writes to shared memory, as that of an `Arc` does, [`with`](Self::with) scales better.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert("k".to_string(), 1);
    /// assert_eq!(cache.get("k"), Some(1)); // any type equivalent to the key
    /// assert_eq!(cache.get("l"), None);
    /// ```
    #[inline(always)]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.store.read(self.hash(key), key, Trace::Use, |_, value| value.clone())
    }

    /// Calls `f` with the entry of `key`, which is marked as used.
    ///
    /// `f` runs under protection: the entry is kept for it, and nothing else. It may use the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert(1, vec![1, 2, 3]);
    /// assert_eq!(cache.with(&1, |_, value| value.len()), Some(3));
    /// ```
    #[inline(always)]
    pub fn with<Q, R>(&self, key: &Q, f: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.store.read(self.hash(key), key, Trace::Use, f)
    }

    /// A clone of the value of `key`, without marking it as used or counting a hit.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.peek_with(key, |_, value| value.clone())
    }

    /// [`with`](Self::with), without marking the entry as used or counting a hit.
    pub fn peek_with<Q, R>(&self, key: &Q, f: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.store.read(self.hash(key), key, Trace::Peek, f)
    }

    /// Whether `key` has an entry. Does not mark it as used or count a hit.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.peek_with(key, |_, _| ()).is_some()
    }

    /// Gives `key` the value `value`. If the cache is full, another entry leaves.
    ///
    /// A load of the key that runs meanwhile is detached: it gives its value to those who wait for
    /// it, and this write wins. Takes constant time, amortised; takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{Cache, Insert};
    ///
    /// let cache = Cache::new(8);
    /// assert!(matches!(cache.insert(1, "one"), Insert::New));
    /// let Insert::Replaced(old) = cache.insert(1, "uno") else { panic!() };
    /// assert_eq!(*old, "one");
    /// ```
    pub fn insert(&self, key: K, value: V) -> Insert<K, V> {
        Insert::from_written(self.store.insert(self.hash(&key), key, value))
    }

    /// Gives `key` the value `value` if it has an entry.
    ///
    /// # Errors
    ///
    /// Gives key and value back if it has none (also while it is being loaded), or if the new entry
    /// is too heavy or cannot be admitted; then the old one has left, as with
    /// [`Insert::TooHeavy`] and [`Insert::NotAdmitted`], and a load of the key is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// assert_eq!(cache.replace(1, "one").unwrap_err(), (1, "one"));
    /// cache.insert(1, "one");
    /// assert_eq!(*cache.replace(1, "uno").unwrap(), "one");
    /// ```
    pub fn replace(&self, key: K, value: V) -> Result<Removed<K, V>, (K, V)> {
        self.store.replace(self.hash(&key), key, value)
    }

    /// Removes the entry of `key`. A load of the key that runs is detached: the value that it
    /// brings will not be kept.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert(1, "one");
    /// assert_eq!(*cache.remove(&1).unwrap(), "one");
    /// assert!(cache.remove(&1).is_none());
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<Removed<K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.store.remove(self.hash(key), key, |_, _| true)
    }

    /// Removes the entry of `key` if `wanted` says so.
    ///
    /// If the entry changes meanwhile, `wanted` is asked again about the new one: without end, if it writes `key` itself.
    /// It runs under protection: it may read the cache, and must not take long. A load of the key that is under way is
    /// detached, as by [`remove`](Self::remove), and `wanted` is not asked: what it will give, nobody knows.
    pub fn remove_if<Q>(&self, key: &Q, wanted: impl FnMut(&K, &V) -> bool) -> Option<Removed<K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.store.remove(self.hash(key), key, wanted)
    }
}

/// As [`iter`](Cache::iter).
///
/// ```
/// let cache = hotset::Cache::new(8);
/// cache.insert(1, "one");
/// for (key, value) in &cache {
///     assert_eq!((key, value), (1, "one"));
/// }
/// ```
impl<'c, K: Clone, V: Clone, S> IntoIterator for &'c Cache<K, V, S> {
    type Item = (K, V);
    type IntoIter = Iter<'c, K, V>;

    fn into_iter(self) -> Iter<'c, K, V> {
        self.iter()
    }
}

// A panic in user code leaves a cache whole (`tests/it/panics.rs`), so a cache can be used after one
// as far as its keys, values and hasher can.
impl<K, V, S> UnwindSafe for Cache<K, V, S>
where
    K: UnwindSafe + RefUnwindSafe,
    V: UnwindSafe + RefUnwindSafe,
    S: UnwindSafe,
{
}
impl<K, V, S> RefUnwindSafe for Cache<K, V, S>
where
    K: UnwindSafe + RefUnwindSafe,
    V: UnwindSafe + RefUnwindSafe,
    S: RefUnwindSafe,
{
}
