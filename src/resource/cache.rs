//! What does a user hold? `ResourceCache`: names the resource, tries a hit, asks the core.

#![forbid(unsafe_code)]

use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

use equivalent::Equivalent;

use crate::resource::builder::ResourceBuilder;
use crate::resource::error::{LeaseError, Reentrant, ResourceBuildError};
use crate::resource::lease::Lease;
use crate::resource::report::{Evicted, Report, Snapshot, Unloaded};
use crate::resource::source::Source;

/// What a lease of a cache of `L` fails with.
pub type LeaseErrorOf<L> = LeaseError<<L as Source>::Id, <L as Source>::Error>;

/// What a cache of `L` knows.
pub type SnapshotOf<L> = Snapshot<<L as Source>::Id, <L as Source>::Error>;

/// A cache of live, expensive resources.
pub struct ResourceCache<L: Source> {
    of: PhantomData<fn() -> L>,
}

impl<L: Source> ResourceCache<L> {
    pub(crate) fn from_builder(_: ResourceBuilder<L>) -> Self {
        panic!("not built yet")
    }

    /// A lease of the resource of `spec`; waits for room and load, `wait_timeout` at most.
    pub fn lease(&self, _spec: &L::Spec) -> Result<Lease<L>, LeaseErrorOf<L>> {
        panic!("not built yet")
    }

    /// `lease` with a limit of its own on the wait.
    pub fn lease_within(&self, _: &L::Spec, _: Duration) -> Result<Lease<L>, LeaseErrorOf<L>> {
        panic!("not built yet")
    }

    /// `lease` as a future; cancel-safe.
    pub fn lease_async<'a>(
        &'a self,
        _spec: &'a L::Spec,
    ) -> impl Future<Output = Result<Lease<L>, LeaseErrorOf<L>>> + Send + 'a {
        std::future::pending()
    }

    /// `lease_within` as a future.
    pub fn lease_within_async<'a>(
        &'a self,
        _spec: &'a L::Spec,
        _within: Duration,
    ) -> impl Future<Output = Result<Lease<L>, LeaseErrorOf<L>>> + Send + 'a {
        std::future::pending()
    }

    /// A lease if the resource is ready.
    pub fn try_lease(&self, _spec: &L::Spec) -> Option<Lease<L>> {
        panic!("not built yet")
    }

    /// A lease of the key's resource if it is ready.
    pub fn lease_ready<Q: Hash + Equivalent<L::Id> + ?Sized>(&self, _id: &Q) -> Option<Lease<L>> {
        panic!("not built yet")
    }

    /// The keys that are ready, least recently used first.
    pub fn loaded_keys(&self) -> Vec<L::Id> {
        panic!("not built yet")
    }

    /// All that the cache knows.
    pub fn snapshot(&self) -> SnapshotOf<L> {
        panic!("not built yet")
    }

    /// Closes the key's resource after its last lease.
    pub fn unload(&self, _id: &L::Id) -> Result<Unloaded, Reentrant> {
        panic!("not built yet")
    }

    /// `unload` as a future.
    pub fn unload_async(
        &self,
        _id: &L::Id,
    ) -> impl Future<Output = Result<Unloaded, Reentrant>> + Send + use<L> {
        std::future::pending()
    }

    /// Closes all that is idle and waits for it.
    pub fn evict_idle(&self) -> Result<Evicted, Reentrant> {
        panic!("not built yet")
    }

    /// `evict_idle` as a future.
    pub fn evict_idle_async(
        &self,
    ) -> impl Future<Output = Result<Evicted, Reentrant>> + Send + use<L> {
        std::future::pending()
    }

    /// Retires everything, waits for the closes of what is idle.
    pub fn evict_all(&self) -> Result<Evicted, Reentrant> {
        panic!("not built yet")
    }

    /// `evict_all` as a future.
    pub fn evict_all_async(
        &self,
    ) -> impl Future<Output = Result<Evicted, Reentrant>> + Send + use<L> {
        std::future::pending()
    }

    /// Forgets the key's failure. Whether there was one.
    pub fn reset(&self, _id: &L::Id) -> bool {
        panic!("not built yet")
    }

    /// Sets new bounds.
    pub fn resize(&self, _: usize, _: Option<u64>) -> Result<(), ResourceBuildError> {
        panic!("not built yet")
    }

    /// Ends the cache and waits for the closes, so long at most.
    pub fn shutdown(&self, _within: Duration) -> Report<L::Id> {
        panic!("not built yet")
    }

    /// `shutdown` as a future.
    pub fn shutdown_async(
        &self,
        _within: Duration,
    ) -> impl Future<Output = Report<L::Id>> + Send + use<L> {
        std::future::pending()
    }
}

impl<L: Source> Clone for ResourceCache<L> {
    fn clone(&self) -> Self {
        Self { of: PhantomData }
    }
}

impl<L: Source> std::fmt::Debug for ResourceCache<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceCache").finish_non_exhaustive()
    }
}
