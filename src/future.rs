//! How does a task load a missing key? The asynchronous half of single flight.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::cache::{Cache, value_or_panic};
use crate::error::LoadError;
use crate::store::{Given, Lent};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// The value of `key`; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with), for tasks: instead of a thread the task
    /// waits. However many tasks and threads ask for a missing key at a time, by whichever method,
    /// one of them loads. Nothing happens before the future is polled for the first time, and `load`
    /// is polled only if it is this call's turn to load; nothing is spawned, and any executor will
    /// do. The future is `Send` if `load` is.
    ///
    /// # Cancellation
    ///
    /// The future may be dropped at any time. If it was loading, one of those who wait goes on with
    /// *its own* `load`, from the beginning; nobody else is woken for it, and no other load runs. If
    /// nobody waits, the key is as if it had never been asked for. A future that waits and is
    /// dropped leaves nothing behind. One that was [refreshing](crate::Builder::refresh_after) a value
    /// leaves the old one, and counts as a refresh that failed.
    ///
    /// Two things follow for loads that take longer than their callers have patience:
    ///
    /// * A load makes progress only while the task that it belongs to is polled. A task that keeps the
    ///   future without polling it, or leaks it, holds up all who wait for the key.
    /// * If every caller gives up before the load is done, it never gets done.
    ///
    /// Where this matters, spawn the whole call, and wait for that task: the executor polls it, and it
    /// goes on when nobody waits any more. A hit pays for the spawn as well.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use hotset::Cache;
    /// # async fn fetch() -> u64 { 4 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cache = Arc::new(Cache::new(8));
    /// let shared = Arc::clone(&cache);
    /// let call = tokio::spawn(async move { shared.get_or_insert_async(2, fetch()).await });
    /// assert_eq!(call.await.unwrap(), 4);
    /// # }
    /// ```
    ///
    /// To spawn `load` alone is not enough: `get_or_insert_async(key, spawn(fetch()))` has spawned a fetch
    /// for each caller before anybody asks the cache, and what such a task gives comes into the cache only
    /// by a caller that is still there and is polled.
    ///
    /// # Panics
    ///
    /// The future panics if polling `load` asks this cache for `key`; use
    /// [`try_get_or_insert_async`](Self::try_get_or_insert_async) for an error. (A task that `load`
    /// *spawns*, and waits for, and that asks for `key`, waits for ever, as do loads of several keys
    /// that wait for each other in a circle, and a thread that blocks the executor which is to go on
    /// with the load.) If `load` panics, the panic goes to whoever polls, and one of those who
    /// waited loads next.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(out) = future.as_mut().poll(&mut cx) { return out }
    /// #     }
    /// # }
    /// # block_on(async {
    /// let cache = hotset::Cache::new(8);
    /// assert_eq!(cache.get_or_insert_async(2, async { 4 }).await, 4);
    /// assert_eq!(cache.get_or_insert_async(2, async { unreachable!() }).await, 4);
    /// # });
    /// ```
    pub fn get_or_insert_async<F>(&self, key: K, load: F) -> impl Future<Output = V>
    where
        F: Future<Output = V>,
        V: Clone,
    {
        let hash = self.hash(&key);
        let ok = Ok::<V, Infallible>;
        self.store.get_or_load_async((hash, Given(key)), false, load, ok, value_or_panic)
    }

    /// The value of `key`, which is lent; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`get_or_insert_async`](Self::get_or_insert_async), of which all the rest holds, with a key that is owned
    /// only by the call that loads, as told at [`get_or_insert_with_by_ref`](Self::get_or_insert_with_by_ref).
    ///
    /// The future borrows the key for as long as it lives, as it does the cache. It is `Send` if `load` is and `&Q` is.
    /// A task of its own, as by `tokio::spawn`, may not borrow from who spawns it and needs an owned key in any
    /// case: give that to [`get_or_insert_async`](Self::get_or_insert_async).
    ///
    /// # Panics
    ///
    /// As [`get_or_insert_async`](Self::get_or_insert_async). If `to_owned` panics, the panic goes to whoever polls,
    /// and nothing was begun that others would wait for.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(out) = future.as_mut().poll(&mut cx) { return out }
    /// #     }
    /// # }
    /// # block_on(async {
    /// let cache = hotset::Cache::<String, usize>::new(8);
    /// assert_eq!(cache.get_or_insert_async_by_ref("/index", async { 6 }).await, 6); // a `String` for the cache
    /// assert_eq!(cache.get_or_insert_async_by_ref("/index", async { unreachable!() }).await, 6); // none
    /// # });
    /// ```
    pub fn get_or_insert_async_by_ref<Q, F>(&self, key: &Q, load: F) -> impl Future<Output = V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = V>,
        V: Clone,
    {
        let sought = (self.hash(key), Lent::new(key));
        let ok = Ok::<V, Infallible>;
        self.store.get_or_load_async(sought, false, load, ok, value_or_panic)
    }

    /// The value of `key`; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`get_or_insert_async`](Self::get_or_insert_async), of which all the rest holds, for
    /// loads that can fail: all who wait get the outcome, an error too, and the next call starts
    /// anew. Who waited for a load with another error type goes into the next load of the key, with
    /// all others like it. An error needs `Send + Sync + 'static` also where all tasks are on one thread:
    /// it is shared with whoever waits, by whichever method and in whichever thread, who knows its type by
    /// [`Any`](std::any::Any) alone.
    ///
    /// # Errors
    ///
    /// [`LoadError::Failed`] with the load's error, shared; [`LoadError::Panicked`] if it panicked
    /// elsewhere (whoever polled it sees the panic); [`LoadError::Reentrant`] if polling `load` asks
    /// this cache for `key`; [`LoadError::Missing`] if it was waited for a
    /// [`load_many`](Self::load_many) that gave no value for the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(out) = future.as_mut().poll(&mut cx) { return out }
    /// #     }
    /// # }
    /// # block_on(async {
    /// let cache = hotset::Cache::new(8);
    /// let load = async |text: &str| text.parse::<i32>();
    /// assert!(cache.try_get_or_insert_async("x", load("x")).await.unwrap_err().is_failed());
    /// assert_eq!(cache.try_get_or_insert_async("7", load("7")).await.unwrap(), 7);
    /// assert_eq!(cache.len(), 1); // nothing is kept of a load that failed
    /// # });
    /// ```
    pub fn try_get_or_insert_async<E, F>(
        &self,
        key: K,
        load: F,
    ) -> impl Future<Output = Result<V, LoadError<E>>>
    where
        F: Future<Output = Result<V, E>>,
        V: Clone,
        E: Send + Sync + 'static,
    {
        let hash = self.hash(&key);
        let same = std::convert::identity::<Result<V, E>>;
        let done = std::convert::identity::<Result<V, LoadError<E>>>;
        self.store.get_or_load_async((hash, Given(key)), true, load, same, done)
    }

    /// The value of `key`, which is lent; if it has none, that which `load` gives, which is kept.
    ///
    /// As [`try_get_or_insert_async`](Self::try_get_or_insert_async), of which all the rest holds, with a key that is
    /// owned only by the call that loads, and borrowed by the future, as told at
    /// [`get_or_insert_async_by_ref`](Self::get_or_insert_async_by_ref).
    ///
    /// # Errors
    ///
    /// Those of [`try_get_or_insert_async`](Self::try_get_or_insert_async).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(out) = future.as_mut().poll(&mut cx) { return out }
    /// #     }
    /// # }
    /// # block_on(async {
    /// let cache = hotset::Cache::<String, i32>::new(8);
    /// let load = async |text: &str| text.parse::<i32>();
    /// assert!(cache.try_get_or_insert_async_by_ref("x", load("x")).await.unwrap_err().is_failed());
    /// assert_eq!(cache.try_get_or_insert_async_by_ref("7", load("7")).await.unwrap(), 7);
    /// assert_eq!(cache.len(), 1); // nothing is kept of a load that failed
    /// # });
    /// ```
    pub fn try_get_or_insert_async_by_ref<Q, E, F>(
        &self,
        key: &Q,
        load: F,
    ) -> impl Future<Output = Result<V, LoadError<E>>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
        V: Clone,
        E: Send + Sync + 'static,
    {
        let sought = (self.hash(key), Lent::new(key));
        let same = std::convert::identity::<Result<V, E>>;
        let done = std::convert::identity::<Result<V, LoadError<E>>>;
        self.store.get_or_load_async(sought, true, load, same, done)
    }
}
