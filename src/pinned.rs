//! How are many reads made under one protection? The pin and the borrows that it gives.

#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::panic::{RefUnwindSafe, UnwindSafe};

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::hash::Hashed;
use crate::node::NodePin;
use crate::store::Trace;

/// A cache that is pinned by the running thread: reads give borrows and cost no fence.
///
/// Made by [`Cache::pin`]. What is read stays readable until the pin is dropped, also if it leaves
/// the cache meanwhile. The price: whatever leaves the cache while it is pinned keeps its memory
/// until the pin is dropped or [refreshed](Self::refresh), and if that becomes more than the
/// [slack](crate::Builder::reclamation_slack), inserts are refused. Only this cache is concerned.
/// Pin for a batch of reads, not for good.
///
/// A pin belongs to its thread: it is neither `Send` nor `Sync`.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>(_: T) {}
/// let cache = hotset::Cache::<u64, u64>::new(8);
/// needs_send(cache.pin());
/// ```
///
/// # Examples
///
/// ```
/// let cache = hotset::Cache::new(8);
/// cache.insert("a", 1);
/// cache.insert("b", 2);
/// let pinned = cache.pin();
/// let (a, b) = (pinned.get("a"), pinned.get("b"));
/// cache.clear();
/// assert_eq!((a, b), (Some(&1), Some(&2))); // still readable
/// assert_eq!(pinned.get("a"), None);
/// ```
pub struct Pinned<'c, K, V, S> {
    cache: &'c Cache<K, V, S>,
    pin: NodePin<'c, K, V>,
}

impl<K, V, S> Cache<K, V, S> {
    /// Pins the cache for a batch of reads by this thread: see [`Pinned`].
    pub fn pin(&self) -> Pinned<'_, K, V, S> {
        Pinned { cache: self, pin: self.store.pin() }
    }
}

impl<K, V, S> Pinned<'_, K, V, S> {
    /// Renews the pin, so that what has left the cache since it was made can be freed. No borrow
    /// from before survives it. No effect while another `Pinned` of this cache lives in this
    /// thread.
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// let mut pinned = cache.pin();
    /// for batch in 0..10_u64 {
    ///     cache.insert(batch, batch);
    ///     assert_eq!(pinned.get(&batch), Some(&batch));
    ///     pinned.refresh();
    /// }
    /// ```
    pub fn refresh(&mut self) {
        self.pin.refresh();
    }

    /// All entries, as borrows, in no particular order.
    ///
    /// Weakly consistent: an entry that is present throughout appears exactly once; one that
    /// comes or goes meanwhile may or may not appear.
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert(1, "one");
    /// assert_eq!(cache.pin().iter().collect::<Vec<_>>(), [(&1, &"one")]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.cache.store.entries(&self.pin)
    }
}

impl<K, V, S: BuildHasher> Pinned<'_, K, V, S> {
    /// The value of `key`.
    ///
    /// Takes constant time, never waits, and writes nothing that is shared if the entry is
    /// already marked as used. A key that is being loaded is a miss.
    #[inline(always)]
    pub fn get<'p, Q>(&'p self, key: &Q) -> Option<&'p V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        Some(self.read(key, Trace::Use)?.1)
    }

    /// Key and value of `key`.
    #[inline(always)]
    pub fn get_key_value<'p, Q>(&'p self, key: &Q) -> Option<(&'p K, &'p V)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.read(key, Trace::Use)
    }

    /// The value of `key`, without marking the entry as used or counting a hit.
    pub fn peek<'p, Q>(&'p self, key: &Q) -> Option<&'p V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        Some(self.read(key, Trace::Peek)?.1)
    }

    /// Whether `key` has an entry. Does not mark it as used or count a hit.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.read(key, Trace::Peek).is_some()
    }

    #[inline(always)]
    fn read<'p, Q>(&'p self, key: &Q, trace: Trace) -> Option<(&'p K, &'p V)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = Hashed::new(&self.cache.hasher, key);
        self.cache.store.read_pinned(&self.pin, hash, key, trace)
    }
}

// As a cache (`cache`): a panic in user code leaves it whole, and a pin says nothing but "since when".
impl<K, V, S> UnwindSafe for Pinned<'_, K, V, S> where Cache<K, V, S>: RefUnwindSafe {}
impl<K, V, S> RefUnwindSafe for Pinned<'_, K, V, S> where Cache<K, V, S>: RefUnwindSafe {}

/// Entries that `Debug` shows of a cache.
const SHOWN: usize = 16;

/// Up to sixteen entries.
impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Pinned<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        let mut entries = self.iter();
        map.entries(entries.by_ref().take(SHOWN));
        if entries.next().is_some() { map.finish_non_exhaustive() } else { map.finish() }
    }
}

/// Its sizes, and up to sixteen entries, which are looked at under a pin.
impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("entries", &self.pin())
            .finish()
    }
}
