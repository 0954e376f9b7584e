//! What does a user give? How resources are named, weighed, loaded and closed.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::marker::PhantomData;

/// Why a close failed: whatever the loader says.
pub type CloseError = Box<dyn Error + Send + Sync>;

/// Loads and closes the resources of a [`ResourceCache`](crate::ResourceCache), on threads.
///
/// [`load`](Self::load), [`close`](Self::close) and [`estimate`](Self::estimate) run on the cache's
/// threads or on the executor that its builder was given, never under a lock, and may block. A panic
/// in them is caught: that of a load or an estimate is a failure
/// ([`LeaseError::LoadPanicked`](crate::LeaseError::LoadPanicked)), that of a close is a failed close.
/// Inside them the same cache may be asked for what is ready; whatever would wait there is refused
/// ([`LeaseError::Reentrant`](crate::LeaseError::Reentrant)).
///
/// # Identity
///
/// All that can change what is loaded belongs into the [`Id`](Self::Id): a load sees its spec and
/// its context and nothing else. Destructure the spec exhaustively, so that a field added later does
/// not compile until somebody has decided:
///
/// ```
/// use hotset::{Loaded, Loader, LoadContext};
///
/// #[derive(Clone)]
/// struct Spec {
///     path: String,
///     /// For people. Two requests that differ in it alone share one resource.
///     label: String,
/// }
///
/// struct Lengths;
///
/// impl Loader for Lengths {
///     type Spec = Spec;
///     type Id = String;
///     type Resource = usize;
///     type Error = std::io::Error;
///
///     fn identity(&self, spec: &Spec) -> String {
///         let Spec { path, label: _ } = spec;
///         path.clone()
///     }
///
///     fn load(&self, spec: &Spec, _: &LoadContext) -> Result<Loaded<usize>, std::io::Error> {
///         Ok(Loaded::new(spec.path.len()))
///     }
/// }
///
/// let cache = hotset::ResourceCache::builder(Lengths).max_entries(2).build()?;
/// let spec = |label: &str| Spec { path: "a/b".into(), label: label.into() };
/// assert_eq!(*cache.lease(&spec("one"))?, 3);
/// assert_eq!(*cache.lease(&spec("two"))?, 3);
/// assert_eq!(cache.loaded_keys(), ["a/b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Loader: Send + Sync + 'static {
    /// What a caller asks for: all that a load can see. Cloned on a miss only.
    type Spec: Clone + Send + Sync + 'static;
    /// What makes two specs mean one resource. Its `Hash` and `Eq` may run under the cache's lock:
    /// they must neither block nor use the cache.
    type Id: Hash + Eq + Clone + Debug + Send + Sync + 'static;
    /// What is loaded, leased and closed.
    type Resource: Send + Sync + 'static;
    /// Why a load fails.
    type Error: Error + Send + Sync + 'static;

    /// Whether [`estimate`](Self::estimate) is given. A cache with a weight bound needs it.
    const ESTIMATES: bool = false;

    /// The identity of `spec`. Called on the caller's thread at every call: no I/O.
    fn identity(&self, spec: &Self::Spec) -> Self::Id;

    /// The weight that the resource of `spec` will have, in the unit of the cache's `max_weight`: an
    /// upper bound. 0 counts as 1. Called only with a weight bound, before room is sought. To be
    /// given together with [`ESTIMATES`](Self::ESTIMATES)` = true`.
    ///
    /// # Errors
    ///
    /// An error is the failure of this load.
    fn estimate(&self, spec: &Self::Spec) -> Result<u64, Self::Error> {
        let _ = spec;
        Ok(1)
    }

    /// Loads the resource of `spec`. Called when there is room for it, one at a time for each key.
    ///
    /// # Errors
    ///
    /// An error goes to all who wait for this load, and is remembered for the time of the backoff.
    fn load(
        &self,
        spec: &Self::Spec,
        context: &LoadContext,
    ) -> Result<Loaded<Self::Resource>, Self::Error>;

    /// Closes a resource, after its last lease. Called exactly once for each that was loaded. The
    /// room of the resource is free when this has returned. Drops it, unless told otherwise.
    ///
    /// # Errors
    ///
    /// An error is counted and reported (`on_close_error`), and the room is free all the same.
    fn close(&self, id: &Self::Id, resource: Self::Resource) -> Result<(), CloseError> {
        let _ = id;
        drop(resource);
        Ok(())
    }
}

/// A resource as a load returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded<R> {
    pub(crate) resource: R,
    pub(crate) weight: Option<u64>,
}

impl<R> Loaded<R> {
    /// A resource that weighs what was estimated.
    pub fn new(resource: R) -> Self {
        Self { resource, weight: None }
    }

    /// A resource that is known to weigh `weight`, which should not be above the estimate. What is
    /// less goes back at once; more is taken from free room, and if there is not enough, the resource
    /// is closed again ([`LeaseError::Underestimated`](crate::LeaseError::Underestimated)). 0 counts
    /// as 1. No effect without a weight bound.
    ///
    /// ```
    /// let loaded = hotset::Loaded::weighing("model", 300);
    /// assert_ne!(loaded, hotset::Loaded::new("model"));
    /// ```
    pub fn weighing(resource: R, weight: u64) -> Self {
        Self { resource, weight: Some(weight.max(1)) }
    }
}

impl<R> From<R> for Loaded<R> {
    fn from(resource: R) -> Self {
        Self::new(resource)
    }
}

/// What a load is told beside its spec.
#[derive(Debug, Clone)]
pub struct LoadContext {
    pub(crate) generation: u64,
    pub(crate) reserved: u64,
    pub(crate) attempt: u32,
}

impl LoadContext {
    /// The number of this load, which no other load of the cache has. Those that were asked for later
    /// have higher numbers.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The weight that was estimated and is reserved for the resource. 0 without a weight bound.
    pub fn reserved_weight(&self) -> u64 {
        self.reserved
    }

    /// 1 for a first load, and one more for each failure in a row that is remembered.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

type Signature<S, R, E> = fn(&S) -> Result<R, E>;

/// A loader made of closures: see [`from_fn`].
pub struct FnLoader<S, R, E, L, C, W = ()> {
    load: L,
    close: C,
    weigh: W,
    _of: PhantomData<Signature<S, R, E>>,
}

/// A loader that calls `load` and `close`; the spec is its own identity, all of it.
///
/// Write a [`Loader`] instead where a spec has fields that do not change what is loaded.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
///
/// let loader = hotset::from_fn(
///     |name: &String, _| Ok::<_, Infallible>(name.len()),
///     |_, _| Ok(()),
/// );
/// let cache = hotset::ResourceCache::builder(loader).max_entries(2).build()?;
/// assert_eq!(*cache.lease(&"four".to_string())?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_fn<S, R, E, L, C>(load: L, close: C) -> FnLoader<S, R, E, L, C>
where
    S: Hash + Eq + Clone + Debug + Send + Sync + 'static,
    R: Send + Sync + 'static,
    E: Error + Send + Sync + 'static,
    L: Fn(&S, &LoadContext) -> Result<R, E> + Send + Sync + 'static,
    C: Fn(&S, R) -> Result<(), CloseError> + Send + Sync + 'static,
{
    FnLoader { load, close, weigh: (), _of: PhantomData }
}

impl<S, R, E, L, C> FnLoader<S, R, E, L, C> {
    /// Gives the loader an estimate of the weight of what it will load, as a cache with `max_weight`
    /// needs: an upper bound.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// let load = |size: &u64, _: &_| Ok::<_, Infallible>(vec![0_u8; *size as usize]);
    /// let loader = hotset::from_fn(load, |_, _| Ok(())).estimate(|size| Ok(*size));
    /// let cache = hotset::ResourceCache::builder(loader).max_entries(9).max_weight(100).build()?;
    /// assert!(cache.lease(&60).is_ok());
    /// assert!(matches!(cache.lease(&101), Err(hotset::LeaseError::TooLarge { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn estimate<W>(self, weigh: W) -> FnLoader<S, R, E, L, C, Weigh<W>>
    where
        W: Fn(&S) -> Result<u64, E> + Send + Sync + 'static,
    {
        let Self { load, close, weigh: (), _of } = self;
        FnLoader { load, close, weigh: Weigh(weigh), _of }
    }
}

/// The estimate of a [`FnLoader`], if it has one. For [`FnLoader`] only.
pub trait WeighFn<S, E>: Send + Sync + 'static {
    #[doc(hidden)]
    const GIVEN: bool;
    #[doc(hidden)]
    fn weigh(&self, spec: &S) -> Result<u64, E>;
}

/// The estimate that a [`FnLoader`] was given.
pub struct Weigh<W>(W);

impl<S, E> WeighFn<S, E> for () {
    const GIVEN: bool = false;

    fn weigh(&self, _: &S) -> Result<u64, E> {
        Ok(1)
    }
}

impl<S, E, W> WeighFn<S, E> for Weigh<W>
where
    W: Fn(&S) -> Result<u64, E> + Send + Sync + 'static,
{
    const GIVEN: bool = true;

    fn weigh(&self, spec: &S) -> Result<u64, E> {
        (self.0)(spec)
    }
}

impl<S, R, E, L, C, W> Loader for FnLoader<S, R, E, L, C, W>
where
    S: Hash + Eq + Clone + Debug + Send + Sync + 'static,
    R: Send + Sync + 'static,
    E: Error + Send + Sync + 'static,
    L: Fn(&S, &LoadContext) -> Result<R, E> + Send + Sync + 'static,
    C: Fn(&S, R) -> Result<(), CloseError> + Send + Sync + 'static,
    W: WeighFn<S, E>,
{
    type Spec = S;
    type Id = S;
    type Resource = R;
    type Error = E;

    const ESTIMATES: bool = W::GIVEN;

    fn identity(&self, spec: &S) -> S {
        spec.clone()
    }

    fn estimate(&self, spec: &S) -> Result<u64, E> {
        self.weigh.weigh(spec)
    }

    fn load(&self, spec: &S, context: &LoadContext) -> Result<Loaded<R>, E> {
        (self.load)(spec, context).map(Loaded::new)
    }

    fn close(&self, id: &S, resource: R) -> Result<(), CloseError> {
        (self.close)(id, resource)
    }
}

impl<S, R, E, L, C, W> fmt::Debug for FnLoader<S, R, E, L, C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnLoader").finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for Weigh<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weigh")
    }
}
