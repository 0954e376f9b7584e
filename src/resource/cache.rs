//! What does a user hold? `ResourceCache`: names the resource, tries a hit, asks the core.

#![forbid(unsafe_code)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use equivalent::Equivalent;

use crate::resource::builder::ResourceBuilder;
use crate::resource::core::Core;
use crate::resource::entry::{Event, Granted, Name};
use crate::resource::error::{Failure, Holder, LeaseError};
use crate::resource::lease::Lease;
use crate::resource::report::{EntrySnapshot, FailureSnapshot, Snapshot};
use crate::resource::scheduler::{Refusal, View};
use crate::resource::source::Source;

/// What a lease of a cache of `L` fails with.
pub type LeaseErrorOf<L> = LeaseError<<L as Source>::Id, <L as Source>::Error>;

/// What a cache of `L` knows.
pub type SnapshotOf<L> = Snapshot<<L as Source>::Id, <L as Source>::Error>;

type Leased<L> = Result<Lease<L>, LeaseErrorOf<L>>;

/// A cache of live, expensive resources: it loads what is asked for, leases it, and closes it.
///
/// See the [module](crate::resource) for the guarantees. Clones are handles of the same cache. When the
/// last one is dropped everything is closed in the background, after its last lease;
/// [`shutdown`](Self::shutdown) waits for that and reports.
///
/// # Examples
///
/// ```
/// use hotset::{ResourceCache, from_fn};
///
/// let loader = from_fn(
///     |path: &String, _| Ok::<_, std::io::Error>(path.to_uppercase()), // open it
///     |path, _resource| Ok(println!("{path} is closed")),
/// );
/// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
///
/// let a = cache.lease(&"a".to_string())?;
/// let b = cache.lease(&"b".to_string())?;
/// assert_eq!((a.as_str(), b.as_str()), ("A", "B"));
/// drop(a);
/// let c = cache.lease(&"c".to_string())?; // "a" is closed first, as there is room for two
/// assert_eq!(cache.loaded_keys(), ["b", "c"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ResourceCache<L: Source> {
    pub(crate) core: Arc<Core<L>>,
    handle: Arc<Handle<L>>,
}

/// What all handles of a cache share and the cache itself has not.
struct Handle<L: Source>(Arc<Core<L>>);

impl<L: Source> Drop for Handle<L> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<L: Source> ResourceCache<L> {
    pub(crate) fn from_builder(builder: ResourceBuilder<L>) -> Self {
        let core = Core::new(builder);
        Self { handle: Arc::new(Handle(Arc::clone(&core))), core }
    }

    // ---- leases -----------------------------------------------------------------------------

    /// A lease of the resource of `spec`. If it is not ready: waits for room and for the load, for
    /// `wait_timeout` at most, first come first served.
    ///
    /// If it is ready: one look-up without a lock, one atomic exchange, no clock.
    ///
    /// # Errors
    ///
    /// [`LeaseError`], each of which says what to do next.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{LeaseError, ResourceCache, from_fn};
    ///
    /// let parse = from_fn(|text: &&str, _| text.parse::<u32>(), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(parse).max_entries(1).build()?;
    /// assert_eq!(*cache.lease(&"12")?, 12);
    /// let error = cache.lease(&"twelve").unwrap_err();
    /// assert!(matches!(error, LeaseError::Load { id: "twelve", .. }));
    /// // For a second, nobody tries again.
    /// assert!(matches!(cache.lease(&"twelve"), Err(LeaseError::Backoff { attempts: 1, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn lease(&self, spec: &L::Spec) -> Leased<L> {
        let id = self.core.source.name(spec);
        match self.core.hit(&id) {
            Some(lease) => Ok(lease),
            None => self.wait(id, spec, self.core.wait_timeout),
        }
    }

    /// [`lease`](Self::lease) that waits for `within` at most. With a time of zero it begins the load,
    /// unless it must wait for room, and does not wait.
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{LeaseError, ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// let one = cache.lease(&1)?;
    /// let error = cache.lease_within(&2, Duration::from_millis(10)).unwrap_err();
    /// let LeaseError::Capacity { holders } = error else { panic!("{error}") };
    /// assert_eq!((holders[0].id, holders[0].leases), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lease_within(&self, spec: &L::Spec, within: Duration) -> Leased<L> {
        let id = self.core.source.name(spec);
        match self.core.hit(&id) {
            Some(lease) => Ok(lease),
            None => self.wait(id, spec, Some(within)),
        }
    }

    #[cold]
    fn wait(&self, id: L::Id, spec: &L::Spec, timeout: Option<Duration>) -> Leased<L> {
        let id = match self.before_asking(id) {
            Ok(id) => id,
            Err(answer) => return answer,
        };
        let (parcel, _) = self.core.ask(id.clone(), spec, timeout);
        self.answer(id, parcel.wait())
    }

    /// [`lease`](Self::lease) as a future, for any runtime.
    ///
    /// Nothing happens before it is polled. It may be dropped at any point: who waited is gone without
    /// a trace, and a load that was begun goes on, its resource staying for the next who asks.
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease).
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #             Poll::Ready(output) => return output,
    /// #             Poll::Pending => std::thread::yield_now(),
    /// #         }
    /// #     }
    /// # }
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(n + 1), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// let lease = block_on(async { cache.lease_async(&1).await })?;
    /// assert_eq!(*lease, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lease_async<'a>(
        &'a self,
        spec: &'a L::Spec,
    ) -> impl Future<Output = Leased<L>> + Send + 'a {
        self.waiting(spec, self.core.wait_timeout)
    }

    /// [`lease_within`](Self::lease_within) as a future: see [`lease_async`](Self::lease_async).
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease).
    pub fn lease_within_async<'a>(
        &'a self,
        spec: &'a L::Spec,
        within: Duration,
    ) -> impl Future<Output = Leased<L>> + Send + 'a {
        self.waiting(spec, Some(within))
    }

    async fn waiting(&self, spec: &L::Spec, timeout: Option<Duration>) -> Leased<L> {
        let id = self.core.source.name(spec);
        if let Some(lease) = self.core.hit(&id) {
            return Ok(lease);
        }
        let id = match self.before_asking(id) {
            Ok(id) => id,
            Err(answer) => return answer,
        };
        let (parcel, number) = self.core.ask(id.clone(), spec, timeout);
        let call_off =
            CallOff { core: &self.core, leave: number.map(|waiter| Event::Leave { waiter }) };
        let granted = poll_fn(|context| parcel.poll(context)).await;
        call_off.not_any_more();
        self.answer(id, granted)
    }

    /// Whether asking may wait here: else the answer, which is a lease if there is one without waiting.
    fn before_asking(&self, id: L::Id) -> Result<L::Id, Leased<L>> {
        if !self.core.is_inside() {
            return Ok(id);
        }
        let ready = self.core.ready(&id, |core| Some(core.name(id.clone())));
        Err(ready.ok_or(LeaseError::Reentrant))
    }

    fn answer(&self, id: L::Id, granted: Granted<L>) -> Leased<L> {
        granted.map_err(|refusal| match refusal {
            Refusal::Failed(Failure::Failed(source)) => LeaseError::Load { id, source },
            Refusal::Failed(Failure::Panicked) => LeaseError::LoadPanicked { id },
            Refusal::Backoff { retry_at, now, attempts, failure } => LeaseError::Backoff {
                id,
                retry_at: self.core.instant(retry_at),
                retry_in: retry_at.saturating_sub(now),
                attempts,
                source: failure,
            },
            Refusal::Capacity { holders } => LeaseError::Capacity { holders: named(holders) },
            Refusal::QueueFull { max_waiters } => LeaseError::QueueFull { max_waiters },
            Refusal::TooLarge { need, limit } => LeaseError::TooLarge { need, limit },
            Refusal::Underestimated { estimate, actual } => {
                LeaseError::Underestimated { estimate, actual }
            }
            Refusal::Timeout { phase } => LeaseError::Timeout { phase },
            Refusal::ShuttingDown => LeaseError::ShuttingDown,
        })
    }

    /// A lease of the resource of `spec`, if it is ready. Never waits for a load or a close, and never
    /// begins one; may be called inside a loader.
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// assert!(cache.try_lease(&1).is_none());
    /// cache.lease(&1)?;
    /// assert!(cache.try_lease(&1).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_lease(&self, spec: &L::Spec) -> Option<Lease<L>> {
        let id = self.core.source.name(spec);
        self.core.ready(&id, |core| Some(core.name(id.clone())))
    }

    /// A lease of the key's resource, if it is ready, as [`try_lease`](Self::try_lease).
    ///
    /// If hundreds of keys have one and the same hash, it may not find one that is there.
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|s: &String, _| Ok::<_, std::fmt::Error>(s.len()), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// cache.lease(&"four".to_string())?;
    /// assert_eq!(cache.lease_ready("four").as_deref(), Some(&4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn lease_ready<Q: Hash + Equivalent<L::Id> + ?Sized>(&self, id: &Q) -> Option<Lease<L>> {
        self.core.ready(id, |_| None)
    }

    // ---- looking ----------------------------------------------------------------------------

    /// The keys whose resources are ready, leased or idle: least recently used first. Of those that
    /// are idle, the first is the next to be closed.
    ///
    /// Takes time in proportion to the entries. Waits for no load or close.
    pub fn loaded_keys(&self) -> Vec<L::Id> {
        let names = self.core.look(|machine| machine.ready());
        names.iter().map(|name| name.id().clone()).collect()
    }

    /// All that the cache knows: every entry in every state, waiters, failures.
    ///
    /// Takes time in proportion to the entries. Waits for no load or close; may be called anywhere.
    ///
    /// ```
    /// use hotset::{ResourceCache, State, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(3).build()?;
    /// let lease = cache.lease(&1)?;
    /// let snapshot = cache.snapshot();
    /// assert_eq!((snapshot.charged_entries, snapshot.max_entries, snapshot.waiters), (1, 3, 0));
    /// assert_eq!((snapshot.entries[0].state, snapshot.counts.loads), (State::Ready, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> SnapshotOf<L> {
        let now = self.core.now();
        let view = self.core.look(|machine| machine.view(now));
        let View { entries, failures, last_close_failure, .. } = view;
        Snapshot {
            entries: entries.into_iter().map(entry_named).collect(),
            failures: failures
                .into_iter()
                .map(|(name, attempts, retry_at, failure)| FailureSnapshot {
                    id: name.id().clone(),
                    attempts,
                    retry_at: self.core.instant(retry_at),
                    failure,
                })
                .collect(),
            charged_entries: view.charged_entries,
            max_entries: view.max_entries,
            charged_weight: view.charged_weight,
            max_weight: view.max_weight,
            waiters: view.waiters,
            oldest_wait: view.oldest_wait,
            counts: view.counts,
            last_close_failure: last_close_failure.map(|(name, text)| (name.id().clone(), text)),
            shutting_down: view.stopping,
        }
    }
}

/// Takes who waits off the scheduler's lists if its future is dropped.
pub(crate) struct CallOff<'a, L: Source> {
    pub(crate) core: &'a Core<L>,
    pub(crate) leave: Option<Event<L>>,
}

impl<L: Source> CallOff<'_, L> {
    pub(crate) fn not_any_more(mut self) {
        self.leave = None;
    }
}

impl<L: Source> Drop for CallOff<'_, L> {
    fn drop(&mut self) {
        if let Some(event) = self.leave.take() {
            self.core.step(event);
        }
    }
}

pub(crate) fn named<I: Clone>(holders: Vec<Holder<Name<I>>>) -> Vec<Holder<I>> {
    let named = |Holder { id, state, leases, held_for }: Holder<Name<I>>| Holder {
        id: id.id().clone(),
        state,
        leases,
        held_for,
    };
    holders.into_iter().map(named).collect()
}

fn entry_named<I: Clone>(entry: EntrySnapshot<Name<I>>) -> EntrySnapshot<I> {
    let EntrySnapshot { id, state, generation, weight, leases, waiters, since, load_time } = entry;
    let id = id.id().clone();
    EntrySnapshot { id, state, generation, weight, leases, waiters, since, load_time }
}

impl<L: Source> Clone for ResourceCache<L> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), handle: Arc::clone(&self.handle) }
    }
}

impl<L: Source> fmt::Debug for ResourceCache<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.core.look(|machine| machine.view(self.core.now()));
        f.debug_struct("ResourceCache")
            .field("entries", &snapshot.charged_entries)
            .field("max_entries", &snapshot.max_entries)
            .field("waiters", &snapshot.waiters)
            .finish_non_exhaustive()
    }
}
