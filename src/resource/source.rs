//! How do blocking and async loaders look alike? One trait over both, and the way to drive futures.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Debug};
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;

use crate::resource::job::Job;
use crate::resource::loader::{CloseError, LoadContext, Loaded, Loader};

/// Loads and closes the resources of a [`ResourceCache`](crate::ResourceCache) by futures, which a
/// [`Spawn`] of the user drives. For pools whose connect and close are async.
///
/// What [`Loader`] says about identity, panics and reentrance holds here as well.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use hotset::{AsyncLoader, CloseError, Job, LoadContext, Loaded, ResourceCache};
///
/// struct Pools;
///
/// impl AsyncLoader for Pools {
///     type Spec = String;
///     type Id = String;
///     type Resource = Vec<u8>;
///     type Error = Infallible;
///
///     fn identity(&self, url: &String) -> String {
///         url.clone()
///     }
///
///     async fn load(&self, url: &String, _: &LoadContext) -> Result<Loaded<Vec<u8>>, Infallible> {
///         Ok(Loaded::new(url.clone().into_bytes()))
///     }
///
///     async fn close(&self, _: &String, pool: Vec<u8>) -> Result<(), CloseError> {
///         drop(pool);
///         Ok(())
///     }
/// }
///
/// // With tokio and the feature `tokio`: `tokio::runtime::Handle::current()`. Here: a thread for each.
/// let spawn = |job: Job| drop(std::thread::spawn(|| job.run()));
/// let cache = ResourceCache::builder_async(Pools, spawn).max_entries(1).build()?;
/// assert_eq!(*cache.lease(&"db".to_string())?, b"db");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait AsyncLoader: Send + Sync + 'static {
    /// See [`Loader::Spec`].
    type Spec: Clone + Send + Sync + 'static;
    /// See [`Loader::Id`].
    type Id: Hash + Eq + Clone + Debug + Send + Sync + 'static;
    /// See [`Loader::Resource`].
    type Resource: Send + Sync + 'static;
    /// See [`Loader::Error`].
    type Error: Error + Send + Sync + 'static;

    /// See [`Loader::ESTIMATES`].
    const ESTIMATES: bool = false;

    /// See [`Loader::identity`].
    fn identity(&self, spec: &Self::Spec) -> Self::Id;

    /// See [`Loader::estimate`]. Called in a job of its own; it should not block.
    ///
    /// # Errors
    ///
    /// An error is the failure of this load.
    fn estimate(&self, spec: &Self::Spec) -> Result<u64, Self::Error> {
        let _ = spec;
        Ok(1)
    }

    /// See [`Loader::load`]. The future is never dropped before it has ended: who waits may go
    /// away, the load goes on.
    fn load(
        &self,
        spec: &Self::Spec,
        context: &LoadContext,
    ) -> impl Future<Output = Result<Loaded<Self::Resource>, Self::Error>> + Send;

    /// See [`Loader::close`].
    fn close(
        &self,
        id: &Self::Id,
        resource: Self::Resource,
    ) -> impl Future<Output = Result<(), CloseError>> + Send {
        let _ = id;
        drop(resource);
        std::future::ready(Ok(()))
    }
}

/// Runs the jobs of a [`ResourceCache`](crate::ResourceCache): an executor.
///
/// Any `Fn(Job) + Send + Sync + 'static` is one. The cache never hands out more jobs at a time than
/// its limits of concurrent loads and closes say (closes that are given up as wedged apart).
///
/// ```
/// use hotset::{Job, ResourceCache, from_fn};
///
/// let threads = |job: Job| drop(std::thread::spawn(|| job.run()));
/// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
/// let cache = ResourceCache::builder(loader).max_entries(1).executor(threads).build()?;
/// assert_eq!(*cache.lease(&7)?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Spawn: Send + Sync + 'static {
    /// Sees to it that `job` runs: [`Job::run`] on a thread that may block, or awaited as a future.
    ///
    /// Must not wait for it; and no thread that the jobs need may wait for the cache, as in a blocking
    /// [`ResourceCache::lease`](crate::ResourceCache::lease) on a runtime's only thread. A job that is dropped before its end comes back and runs on a thread of
    /// the cache's own; so does one during whose hand-over this panics.
    fn spawn(&self, job: Job);
}

impl<F: Fn(Job) + Send + Sync + 'static> Spawn for F {
    fn spawn(&self, job: Job) {
        self(job);
    }
}

/// Jobs as tasks of a runtime: for an [`AsyncLoader`]. (Those of a blocking loader would block the
/// runtime's workers: leave them to the cache's own threads.) What the runtime drops when it is shut down
/// goes on, on a thread of the cache's own.
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl Spawn for tokio::runtime::Handle {
    fn spawn(&self, job: Job) {
        drop(tokio::runtime::Handle::spawn(self, job));
    }
}

/// What is called: it has been done, or it is a future.
#[doc(hidden)]
pub enum Act<'a, T> {
    /// Done by a blocking loader.
    Done(T),
    /// To be driven.
    Future(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<T> Act<'_, T> {
    pub(crate) async fn outcome(self) -> T {
        match self {
            Self::Done(value) => value,
            Self::Future(future) => future.await,
        }
    }
}

/// What a [`ResourceCache`](crate::ResourceCache) loads from: a [`Loader`], or an [`Async`]. Not to be
/// implemented by users.
pub trait Source: sealed::Sealed + Send + Sync + 'static {
    /// See [`Loader::Spec`].
    type Spec: Clone + Send + Sync + 'static;
    /// See [`Loader::Id`].
    type Id: Hash + Eq + Clone + Debug + Send + Sync + 'static;
    /// See [`Loader::Resource`].
    type Resource: Send + Sync + 'static;
    /// See [`Loader::Error`].
    type Error: Error + Send + Sync + 'static;

    #[doc(hidden)]
    const WEIGHS: bool;
    #[doc(hidden)]
    fn name(&self, spec: &Self::Spec) -> Self::Id;
    #[doc(hidden)]
    fn weigh(&self, spec: &Self::Spec) -> Result<u64, Self::Error>;
    #[doc(hidden)]
    #[allow(clippy::type_complexity, reason = "a name for it would be public")]
    fn open<'a>(
        &'a self,
        spec: &'a Self::Spec,
        context: &'a LoadContext,
    ) -> Act<'a, Result<Loaded<Self::Resource>, Self::Error>>;
    #[doc(hidden)]
    fn shut<'a>(
        &'a self,
        id: &'a Self::Id,
        resource: Self::Resource,
    ) -> Act<'a, Result<(), CloseError>>;
}

mod sealed {
    pub trait Sealed {}
    impl<L: super::Loader> Sealed for L {}
    impl<A: super::AsyncLoader> Sealed for super::Async<A> {}
}

impl<L: Loader> Source for L {
    type Spec = L::Spec;
    type Id = L::Id;
    type Resource = L::Resource;
    type Error = L::Error;

    const WEIGHS: bool = L::ESTIMATES;

    fn name(&self, spec: &L::Spec) -> L::Id {
        self.identity(spec)
    }

    fn weigh(&self, spec: &L::Spec) -> Result<u64, L::Error> {
        self.estimate(spec)
    }

    fn open<'a>(
        &'a self,
        spec: &'a L::Spec,
        context: &'a LoadContext,
    ) -> Act<'a, Result<Loaded<L::Resource>, L::Error>> {
        Act::Done(self.load(spec, context))
    }

    fn shut<'a>(&'a self, id: &'a L::Id, resource: L::Resource) -> Act<'a, Result<(), CloseError>> {
        Act::Done(self.close(id, resource))
    }
}

/// An [`AsyncLoader`] as a cache holds it:
/// [`ResourceCache::builder_async`](crate::ResourceCache::builder_async).
pub struct Async<A>(pub(crate) A);

impl<A: AsyncLoader> Source for Async<A> {
    type Spec = A::Spec;
    type Id = A::Id;
    type Resource = A::Resource;
    type Error = A::Error;

    const WEIGHS: bool = A::ESTIMATES;

    fn name(&self, spec: &A::Spec) -> A::Id {
        self.0.identity(spec)
    }

    fn weigh(&self, spec: &A::Spec) -> Result<u64, A::Error> {
        self.0.estimate(spec)
    }

    fn open<'a>(
        &'a self,
        spec: &'a A::Spec,
        context: &'a LoadContext,
    ) -> Act<'a, Result<Loaded<A::Resource>, A::Error>> {
        Act::Future(Box::pin(self.0.load(spec, context)))
    }

    fn shut<'a>(&'a self, id: &'a A::Id, resource: A::Resource) -> Act<'a, Result<(), CloseError>> {
        Act::Future(Box::pin(self.0.close(id, resource)))
    }
}

impl<A> fmt::Debug for Async<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async").finish_non_exhaustive()
    }
}
