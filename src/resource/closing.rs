//! How is a cache emptied? Unloading, eviction, bounds, and the end; each also as a future.

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use crate::resource::builder::check_bounds;
use crate::resource::cache::{CallOff, ResourceCache, named};
use crate::resource::core::{Asked, Core};
use crate::resource::entry::{Event, Verdict};
use crate::resource::error::{Reentrant, ResourceBuildError};
use crate::resource::parcel::Parcel;
use crate::resource::report::{Evicted, Report, Unloaded};
use crate::resource::source::Source;

impl<L: Source> ResourceCache<L> {
    /// Closes the key's resource. If it is idle, waits for the close; if it is leased or loading, it is
    /// closed after its last lease, and this does not wait. Later calls for the key load anew.
    ///
    /// # Errors
    ///
    /// [`Reentrant`] inside a loader of this cache.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::resource::Unloaded;
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// let lease = cache.lease(&1)?;
    /// assert_eq!(cache.unload(&1), Ok(Unloaded::Draining));
    /// drop(lease);
    /// cache.lease(&1)?; // the next one
    /// assert_eq!(cache.unload(&1), Ok(Unloaded::Closed));
    /// assert_eq!(cache.unload(&1), Ok(Unloaded::Absent));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unload(&self, id: &L::Id) -> Result<Unloaded, Reentrant> {
        let name = self.core.name(id.clone());
        self.evict(|caller| Event::Unload { name, caller }).map(unloaded)
    }

    /// [`unload`](Self::unload) as a future. Dropping it does not stop what it began.
    pub fn unload_async(
        &self,
        id: &L::Id,
    ) -> impl Future<Output = Result<Unloaded, Reentrant>> + Send + use<L> {
        let name = self.core.name(id.clone());
        let evicting = evicting(Arc::clone(&self.core), |caller| Event::Unload { name, caller });
        async { evicting.await.map(unloaded) }
    }

    /// Closes all that is idle, and waits until it is closed.
    ///
    /// Closes that run already are waited for and counted.
    ///
    /// # Errors
    ///
    /// [`Reentrant`] inside a loader of this cache.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
    /// let one = cache.lease(&1)?;
    /// cache.lease(&2)?;
    /// assert_eq!(cache.evict_idle()?.closed, 1);
    /// assert_eq!(cache.loaded_keys(), [1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evict_idle(&self) -> Result<Evicted, Reentrant> {
        self.evict(|caller| Event::EvictIdle { caller })
    }

    /// [`evict_idle`](Self::evict_idle) as a future. Dropping it does not stop what it began.
    pub fn evict_idle_async(
        &self,
    ) -> impl Future<Output = Result<Evicted, Reentrant>> + Send + use<L> {
        evicting(Arc::clone(&self.core), |caller| Event::EvictIdle { caller })
    }

    /// Closes everything. Waits until what is idle is closed; what is leased is closed after its last
    /// lease, and what is loading goes to those who wait for it and is closed after them. Later calls
    /// load anew.
    ///
    /// # Errors
    ///
    /// [`Reentrant`] inside a loader of this cache.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
    /// let one = cache.lease(&1)?;
    /// cache.lease(&2)?;
    /// let evicted = cache.evict_all()?;
    /// assert_eq!((evicted.closed, evicted.failed, evicted.draining), (1, 0, 1));
    /// assert!(cache.loaded_keys().is_empty());
    /// assert_eq!(*one, 1); // still good
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evict_all(&self) -> Result<Evicted, Reentrant> {
        self.evict(|caller| Event::EvictAll { caller })
    }

    /// [`evict_all`](Self::evict_all) as a future. Dropping it does not stop what it began.
    pub fn evict_all_async(
        &self,
    ) -> impl Future<Output = Result<Evicted, Reentrant>> + Send + use<L> {
        evicting(Arc::clone(&self.core), |caller| Event::EvictAll { caller })
    }

    fn evict(
        &self,
        event: impl FnOnce(Arc<Parcel<Verdict<L::Id>>>) -> Event<L>,
    ) -> Result<Evicted, Reentrant> {
        if self.core.is_inside() {
            return Err(Reentrant);
        }
        let parcel = Arc::new(Parcel::new());
        self.core.step(event(Arc::clone(&parcel)));
        Ok(evicted(parcel.wait()))
    }

    /// Forgets the failure of the key, so that the next call loads. Whether there was one.
    ///
    /// ```
    /// use hotset::{LeaseError, ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|_: &u32, _| Err::<(), _>(std::fmt::Error), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// assert!(matches!(cache.lease(&1), Err(LeaseError::Load { .. })));
    /// assert!(matches!(cache.lease(&1), Err(LeaseError::Backoff { .. })));
    /// assert!(cache.reset(&1));
    /// assert!(matches!(cache.lease(&1), Err(LeaseError::Load { .. })));
    /// # Ok::<(), hotset::ResourceBuildError>(())
    /// ```
    pub fn reset(&self, id: &L::Id) -> bool {
        let name = self.core.name(id.clone());
        self.core.step(Event::Reset { name }).1
    }

    /// Changes the bounds; `None` leaves the weight bound as it is. Does not wait.
    ///
    /// If more is in use than the new bounds allow, idle resources are closed, least recently used
    /// first, then those that become idle; until it fits nothing is loaded. Who waits for what is now
    /// heavier than all gets [`LeaseError::TooLarge`](crate::LeaseError::TooLarge).
    ///
    /// # Errors
    ///
    /// [`ResourceBuildError`] if a bound is out of range, or a weight bound is given to a cache that was
    /// built without one; nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
    /// cache.lease(&1)?;
    /// cache.lease(&2)?;
    /// cache.resize(1, None)?;
    /// assert_eq!(cache.loaded_keys(), [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resize(
        &self,
        max_entries: usize,
        max_weight: Option<u64>,
    ) -> Result<(), ResourceBuildError> {
        check_bounds(max_entries, max_weight)?;
        let weighed = self.core.look(|machine| machine.is_weighed());
        if max_weight.is_some() && !weighed {
            return Err(ResourceBuildError::Unweighed);
        }
        self.core.resize(max_entries, max_weight);
        Ok(())
    }

    /// Ends the cache: refuses all calls, those that wait included, from now on; closes what is idle at
    /// once, what is leased after its last lease, what is loading when it is loaded. Waits until all is
    /// closed, for `within` at most, and reports.
    ///
    /// What is not yet closed then is closed later all the same. May be called again, also by several
    /// threads at a time: each waits for itself, and the reports count from the first call on. Inside a
    /// loader of this cache it begins the end and does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hotset::{LeaseError, ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
    /// let one = cache.lease(&1)?;
    /// cache.lease(&2)?;
    /// let report = cache.shutdown(Duration::from_millis(10));
    /// assert_eq!((report.closed, report.leased[0].id, report.is_complete()), (1, 1, false));
    /// assert!(matches!(cache.lease(&2), Err(LeaseError::ShuttingDown)));
    /// drop(one);
    /// let report = cache.shutdown(Duration::from_secs(10));
    /// assert_eq!((report.closed, report.is_complete()), (2, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self, within: Duration) -> Report<L::Id> {
        let (parcel, _) = stop(&self.core, within);
        stopped(parcel.wait())
    }

    /// [`shutdown`](Self::shutdown) as a future. Dropping it does not stop what it began.
    pub fn shutdown_async(
        &self,
        within: Duration,
    ) -> impl Future<Output = Report<L::Id>> + Send + use<L> {
        let core = Arc::clone(&self.core);
        async move {
            let (parcel, number) = stop(&core, within);
            stopped(verdict(&core, &parcel, number).await)
        }
    }
}

/// Begins the end. Inside a loader, who asks does not wait.
fn stop<L: Source>(core: &Core<L>, within: Duration) -> Asked<Verdict<L::Id>> {
    let parcel = Arc::new(Parcel::new());
    let inside = core.is_inside();
    let deadline = core.now().saturating_add(if inside { Duration::ZERO } else { within });
    let (number, _) = core.step(Event::Stop { caller: Some((Arc::clone(&parcel), deadline)) });
    if inside {
        core.step(Event::Tick);
    }
    (parcel, number)
}

async fn evicting<L: Source>(
    core: Arc<Core<L>>,
    event: impl FnOnce(Arc<Parcel<Verdict<L::Id>>>) -> Event<L>,
) -> Result<Evicted, Reentrant> {
    if core.is_inside() {
        return Err(Reentrant);
    }
    let parcel = Arc::new(Parcel::new());
    let (number, _) = core.step(event(Arc::clone(&parcel)));
    Ok(evicted(verdict(&core, &parcel, number).await))
}

async fn verdict<L: Source>(
    core: &Core<L>,
    parcel: &Parcel<Verdict<L::Id>>,
    number: Option<u64>,
) -> Verdict<L::Id> {
    let call_off = CallOff { core, leave: number.map(|caller| Event::Hangup { caller }) };
    let verdict = poll_fn(|context| parcel.poll(context)).await;
    call_off.not_any_more();
    verdict
}

fn evicted<I>(verdict: Verdict<I>) -> Evicted {
    match verdict {
        Verdict::Evicted(evicted) => evicted,
        Verdict::Stopped(_) => unreachable!("who evicts is told what was evicted"),
    }
}

fn stopped<I: Clone>(verdict: Verdict<I>) -> Report<I> {
    match verdict {
        Verdict::Stopped(Report { closed, failed, leased, unfinished }) => {
            Report { closed, failed, leased: named(leased), unfinished: named(unfinished) }
        }
        Verdict::Evicted(_) => unreachable!("who stops is told how far it is"),
    }
}

fn unloaded(evicted: Evicted) -> Unloaded {
    match evicted {
        Evicted { closed: 1.., .. } => Unloaded::Closed,
        Evicted { failed: 1.., .. } => Unloaded::Failed,
        Evicted { draining: 1.., .. } => Unloaded::Draining,
        Evicted { .. } => Unloaded::Absent,
    }
}
