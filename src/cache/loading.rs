//! How does a thread load a missing key? The blocking half of single flight.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::error::LoadError;
use crate::store::{Given, Lent};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// The value of `key`; if it has none, that which `load` gives, which is kept.
    ///
    /// However many threads ask for a missing key at a time, one of them loads and the others
    /// wait. If the load panics, its caller sees the panic and one of those who waited loads next.
    /// A value that is there and old may be [refreshed](crate::Builder::refresh_after) by `load`.
    ///
    /// # Panics
    ///
    /// If `load` asks this cache for `key`. Use
    /// [`try_get_or_insert_with`](Self::try_get_or_insert_with) for an error. Loaders of several keys that wait for each
    /// other in a circle wait for ever; so does a call on the thread that is to poll the task which is loading `key`.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// assert_eq!(cache.get_or_insert_with(2, || 4), 4);
    /// assert_eq!(cache.get_or_insert_with(2, || unreachable!()), 4);
    /// ```
    pub fn get_or_insert_with(&self, key: K, load: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        let hash = self.hash(&key);
        value_or_panic(self.store.get_or_load(hash, Given(key), false, || Ok(load())))
    }

    /// The value of `key`, which is lent; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with), of which all the rest holds, and in one flight with its
    /// callers. A key is made of what is lent, by `to_owned`, only where this call is the one that loads: not for
    /// a hit, and not to wait for another's load. It is made at most once; of callers that race to be the one who
    /// loads, those who lose may have made theirs as well.
    ///
    /// The key that `to_owned` makes must be equal to what it is made of and hash alike; one that is not is never
    /// found again. `ToOwned` asks that a `K` can be borrowed as a `Q`. What is [`Equivalent`] and no more, as a `(&str, u32)` to a
    /// `(String, u32)`, is looked up by [`get`](Self::get), and its key given to
    /// [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// # Panics
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with). If `to_owned` panics, its caller sees the panic, and nothing
    /// was begun that others would wait for; a refresh that was due has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::<String, usize>::new(8);
    /// assert_eq!(cache.get_or_insert_with_by_ref("/index", || 6), 6); // a `String` for the cache
    /// assert_eq!(cache.get_or_insert_with_by_ref("/index", || unreachable!()), 6); // none
    /// ```
    pub fn get_or_insert_with_by_ref<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        value_or_panic(self.store.get_or_load(hash, Lent::new(key), false, || Ok(load())))
    }

    /// The value of `key`; if it has none, that which `load` gives, which is kept.
    ///
    /// However many threads ask for a missing key at a time, one of them loads and the others
    /// wait. All of them get the outcome, an error too; the next call starts anew. A thread that
    /// waited for a load with another error type does not see that error: it goes into the next
    /// load of the key, with all others like it. A [refresh](crate::Builder::refresh_after) that fails
    /// gives the old value.
    ///
    /// # Errors
    ///
    /// [`LoadError::Failed`] with the loader's error, shared; [`LoadError::Panicked`] if it
    /// panicked elsewhere (its own caller sees the panic); [`LoadError::Reentrant`] if `load` asks
    /// this cache for `key`; [`LoadError::Missing`] if this call waited for a
    /// [`load_many`](Self::load_many) that gave no value for `key`.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// let error = cache.try_get_or_insert_with("x", || "x".parse::<i32>()).unwrap_err();
    /// assert!(error.is_failed());
    /// assert_eq!(cache.try_get_or_insert_with("7", || "7".parse::<i32>()).unwrap(), 7);
    /// assert_eq!(cache.len(), 1); // nothing is kept of a load that failed
    /// ```
    pub fn try_get_or_insert_with<E>(
        &self,
        key: K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        V: Clone,
        E: Send + Sync + 'static,
    {
        self.store.get_or_load(self.hash(&key), Given(key), true, load)
    }

    /// The value of `key`, which is lent; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with), of which all the rest holds, with a key that is
    /// owned only by the call that loads, as told at
    /// [`get_or_insert_with_by_ref`](Self::get_or_insert_with_by_ref).
    ///
    /// # Errors
    ///
    /// Those of [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::<String, i32>::new(8);
    /// let parsed = |text: &str| cache.try_get_or_insert_with_by_ref(text, || text.parse::<i32>());
    /// assert!(parsed("x").unwrap_err().is_failed());
    /// assert_eq!(parsed("7").unwrap(), 7);
    /// assert_eq!(cache.len(), 1); // nothing is kept of a load that failed
    /// ```
    pub fn try_get_or_insert_with_by_ref<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        E: Send + Sync + 'static,
    {
        self.store.get_or_load(self.hash(key), Lent::new(key), true, load)
    }
}

/// The outcome of a load that cannot fail, but for the documented panic.
pub(crate) fn value_or_panic<V>(outcome: Result<V, LoadError<Infallible>>) -> V {
    match outcome {
        Ok(value) => value,
        Err(LoadError::Failed(never)) => match *never {},
        Err(error) => panic!("{error}"),
    }
}
