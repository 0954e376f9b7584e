//! How does a user change a value depending on what it is? One decision per key, atomic.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hash};

use crate::cache::{Cache, Insert};
use crate::config::Compute;
use crate::removed::Removed;
use crate::store::Decided;

/// What a [`compute`](Cache::compute) did.
#[derive(Debug)]
pub enum Computed<K, V> {
    /// Nothing: the closure said [`Keep`](Compute::Keep), or [`Remove`](Compute::Remove) of a key
    /// without an entry.
    Unchanged,
    /// The closure gave a value, and this became of it.
    Written(Insert<K, V>),
    /// The entry was removed: here it is.
    Removed(Removed<K, V>),
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Does to `key` what `decide` says, given its present value: insert or replace, remove, or keep.
    ///
    /// Atomic for the key: at the instant of the change the key has the value that `decide` was shown
    /// last. If another thread changes it meanwhile, `decide` is asked again about the new value, so
    /// it should have no effects but its answer. No lock is held while it runs, and nobody waits for
    /// it; it runs under protection, like the predicate of [`remove_if`](Self::remove_if): it may
    /// read the cache, and must not take long. It must not write `key`: that is a change, after which it
    /// is asked again, without end.
    ///
    /// A key that is being loaded has no value. [`Compute::Insert`] and [`Compute::Remove`] are
    /// explicit writes then, and win over the load, as [`insert`](Self::insert) and
    /// [`remove`](Self::remove) do; [`Compute::Keep`] leaves it alone. A new value that cannot be admitted
    /// comes back in [`Insert::NotAdmitted`], and the one that it was to replace has left. Does not
    /// count as a hit or a miss. Takes constant time, amortised, for each time that `decide` is asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{Cache, Compute, Computed, Insert};
    ///
    /// let cache = Cache::new(8);
    /// let count = |n: Option<&u32>| Compute::Insert(n.map_or(1, |n| n + 1));
    /// assert!(matches!(cache.compute("a", count), Computed::Written(Insert::New)));
    /// assert!(matches!(cache.compute("a", count), Computed::Written(Insert::Replaced(_))));
    /// assert_eq!(cache.get("a"), Some(2));
    ///
    /// let drop_small = |n: Option<&u32>| match n {
    ///     Some(n) if *n < 10 => Compute::Remove,
    ///     _ => Compute::Keep,
    /// };
    /// let Computed::Removed(old) = cache.compute("a", drop_small) else { panic!() };
    /// assert_eq!(*old, 2);
    /// assert!(matches!(cache.compute("a", drop_small), Computed::Unchanged));
    ///
    /// // Counts, and tells the new value: that of the last time that it was asked.
    /// let mut hits = 0;
    /// cache.compute("b", |n| {
    ///     hits = n.map_or(1, |n| n + 1);
    ///     Compute::Insert(hits)
    /// });
    /// assert_eq!(hits, 1);
    /// ```
    pub fn compute(&self, key: K, decide: impl FnMut(Option<&V>) -> Compute<V>) -> Computed<K, V> {
        match self.store.compute(self.hash(&key), key, decide) {
            Decided::Unchanged => Computed::Unchanged,
            Decided::Written(written) => Computed::Written(Insert::from_written(written)),
            Decided::Removed(removed) => Computed::Removed(removed),
        }
    }
}
