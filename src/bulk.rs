//! How does a user treat many keys at once?

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::error::LoadError;

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Clones of the values of `keys`, in their order. All are marked as used.
    ///
    /// As [`get`](Self::get) of each, under one [pin](Self::pin): cheaper from a few keys on. Not a
    /// snapshot: keys may be written in between.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cache = hotset::Cache::new(8);
    /// cache.extend([("a".to_string(), 1), ("b".to_string(), 2)]);
    /// assert_eq!(cache.get_many(["a", "x", "b"]), [Some(1), None, Some(2)]);
    /// ```
    pub fn get_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'q,
        V: Clone,
    {
        let pinned = self.pin();
        keys.into_iter().map(|key| pinned.get(key).cloned()).collect()
    }

    /// The values of `keys`, in their order; those that are missing are loaded by one call of `load`,
    /// and kept.
    ///
    /// `load` is given the keys that are missing and that nobody else is loading, each once, and
    /// gives pairs of a key and its value in any order. It is not called if there are none. However many
    /// threads and tasks ask for a key at a time, by whichever method, one of them loads it; for keys that
    /// others are loading this call waits, after it has loaded its own: so calls that share keys do not
    /// wait for each other in a circle. It is for threads, and has no async twin: the thread itself waits, for ever
    /// if the task that leads one of the keys is polled by that thread. If a load that it waited for is given up (a future was
    /// dropped) or fails with another error type, `load` is called again, for such keys alone.
    ///
    /// What is there is given as it is: `load` is not asked to [refresh](crate::Builder::refresh_after)
    /// it. Of what `load` gives, the first value of a key counts; further ones, and keys that it was not
    /// asked for, are dropped. Keys may be given twice; they are owned, where those of
    /// [`get_many`](Self::get_many) are borrowed, as the cache keeps them.
    ///
    /// # Errors
    ///
    /// For each key by itself. [`LoadError::Failed`]: the call of `load` that was to load the key
    /// failed, here or elsewhere; of one failed call, all keys have the same error.
    /// [`LoadError::Missing`]: it succeeded, and gave no value for the key. Else as for
    /// [`try_get_or_insert_with`](Self::try_get_or_insert_with). To have all or nothing, collect into
    /// a `Result`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{Cache, LoadError};
    ///
    /// let cache = Cache::new(8);
    /// cache.insert(1, "one");
    /// let load = |keys: &[&u32]| {
    ///     assert_eq!(keys, [&2, &3, &4]); // one query for all that is missing
    ///     Ok::<_, String>([(3, "three"), (2, "two")])
    /// };
    /// let loaded = cache.load_many([1, 2, 3, 4], load);
    /// assert_eq!(*loaded[0].as_ref().unwrap(), "one");
    /// assert_eq!(*loaded[2].as_ref().unwrap(), "three");
    /// assert!(matches!(loaded[3], Err(LoadError::Missing)));
    /// assert_eq!(cache.len(), 3);
    ///
    /// let all: Result<Vec<_>, _> = cache.load_many([3, 2], load).into_iter().collect();
    /// assert_eq!(all.unwrap(), ["three", "two"]);
    /// ```
    pub fn load_many<E, L>(
        &self,
        keys: impl IntoIterator<Item = K>,
        mut load: impl FnMut(&[&K]) -> Result<L, E>,
    ) -> Vec<Result<V, LoadError<E>>>
    where
        L: IntoIterator<Item = (K, V)>,
        V: Clone,
        E: Send + Sync + 'static,
    {
        let keys = keys.into_iter().map(|key| (self.hash(&key), key));
        self.store.load_many(keys, |keys| Ok(load(keys)?.into_iter().collect()))
    }
}

/// Inserts all pairs, one after the other; what becomes of each is not told. The bound holds: of
/// more pairs than that, the cache keeps as many as it has room for.
///
/// ```
/// let mut cache = hotset::Cache::new(2);
/// cache.extend([(1, 'a'), (2, 'b'), (3, 'c')]);
/// assert_eq!(cache.len(), 2);
/// ```
impl<K: Hash + Eq, V, S: BuildHasher> Extend<(K, V)> for Cache<K, V, S> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        (&*self).extend(pairs);
    }
}

/// As for the cache itself: a shared reference is enough.
impl<K: Hash + Eq, V, S: BuildHasher> Extend<(K, V)> for &Cache<K, V, S> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            drop(self.insert(key, value));
        }
    }
}

/// A cache that holds all the pairs, and whose bound is their number, or 1 if there are none. Of
/// pairs with one key the last one stays, and leaves room.
///
/// To choose the bound, build a cache and [`extend`](Extend::extend) it.
///
/// # Panics
///
/// If there are more pairs than a cache may hold entries.
///
/// ```
/// let cache: hotset::Cache<_, _> = [("a", 1), ("b", 2)].into_iter().collect();
/// assert_eq!((cache.len(), cache.capacity(), cache.get("b")), (2, 2, Some(2)));
/// ```
impl<K: Hash + Eq, V, S: BuildHasher + Default> FromIterator<(K, V)> for Cache<K, V, S> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let builder = Cache::<K, V>::builder().max_entries(pairs.len().max(1));
        match builder.hasher(S::default()).build() {
            Ok(mut cache) => {
                cache.extend(pairs);
                cache
            }
            Err(error) => panic!("{error}"),
        }
    }
}
