//! Who keeps the backends warm? hotset's `ResourceCache`, or the naive cache, behind one face.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hotset::resource::Failure;
use hotset::{CloseError, Lease, LeaseError, LoadContext, Loaded, Loader, Report, ResourceCache};
use tokio::task::{JoinError, spawn_blocking};

use crate::backend::{Backend, LoadFailure};
use crate::ledger::Ledger;
use crate::naive::NaiveCache;
use crate::spec::{ModelId, ModelSpec};

pub type Cache = ResourceCache<ModelLoader>;

/// How a backend is opened and closed.
pub struct ModelLoader {
    pub ledger: Arc<Ledger>,
}

impl Loader for ModelLoader {
    type Spec = ModelSpec;
    type Id = ModelId;
    type Resource = Backend;
    type Error = LoadFailure;

    const ESTIMATES: bool = true;

    fn identity(&self, spec: &ModelSpec) -> ModelId {
        spec.identity()
    }

    fn estimate(&self, spec: &ModelSpec) -> Result<u64, LoadFailure> {
        Backend::estimate(spec, &self.ledger)
    }

    fn load(
        &self,
        spec: &ModelSpec,
        _context: &LoadContext,
    ) -> Result<Loaded<Backend>, LoadFailure> {
        let backend = Backend::open(spec, &self.ledger)?;
        let bytes = backend.bytes();
        Ok(Loaded::weighing(backend, bytes))
    }

    fn close(&self, _id: &ModelId, backend: Backend) -> Result<(), CloseError> {
        Ok(backend.close()?)
    }
}

/// The bounds that the caches are given.
#[derive(Clone, clap::Args)]
pub struct Bounds {
    /// The most backends open at once, those that load or close included
    #[arg(long, default_value_t = 4)]
    pub max_entries: usize,
    /// The most memory that they take together, in MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_mb: u64,
    /// How long a request waits for its backend, in milliseconds
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub wait_ms: u64,
    /// How many requests may wait; those beyond it are refused (429)
    #[arg(long, default_value_t = 256)]
    pub max_waiters: usize,
    /// The pause after a failed load, in milliseconds; doubled by each failure up to --backoff-most-ms
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub backoff_ms: u64,
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub backoff_most_ms: u64,
    /// Closes what nobody has used for so long, in seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_ttl_s: Option<u64>,
}

impl Bounds {
    pub fn max_bytes(&self) -> u64 {
        self.max_mb << 20
    }

    pub fn backoff(&self) -> Duration {
        Duration::from_millis(self.backoff_ms)
    }
}

#[derive(Clone)]
pub enum Pool {
    Strict(Cache),
    Naive(Arc<NaiveCache>),
}

/// What a request may use, for as long as it holds this.
pub enum Held {
    Lease(Lease<ModelLoader>),
    /// A promise of nothing: see `naive`.
    Bare(Arc<Backend>),
}

impl Held {
    /// How long its load took, where the cache knows.
    pub fn load_time(&self) -> Option<Duration> {
        match self {
            Self::Lease(lease) => Some(lease.load_time()),
            Self::Bare(_) => None,
        }
    }
}

impl Deref for Held {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        match self {
            Self::Lease(lease) => lease,
            Self::Bare(backend) => backend,
        }
    }
}

/// Why there is nothing to hold.
#[derive(Debug)]
pub enum AcquireError {
    Lease(LeaseError<ModelId, LoadFailure>),
    Naive(LoadFailure),
    /// The naive cache panicked.
    Died(JoinError),
}

impl AcquireError {
    /// Whether the load failed because the file was replaced after the request had looked at it.
    pub fn is_changed(&self) -> bool {
        match self {
            Self::Lease(LeaseError::Load { source, .. })
            | Self::Lease(LeaseError::Backoff { source: Failure::Failed(source), .. }) => {
                source.is_changed()
            }
            Self::Naive(failure) => failure.is_changed(),
            Self::Lease(_) | Self::Died(_) => false,
        }
    }
}

impl Pool {
    pub fn strict(bounds: &Bounds, ledger: Arc<Ledger>) -> Result<Self> {
        let mut builder = ResourceCache::builder(ModelLoader { ledger })
            .max_entries(bounds.max_entries)
            .max_weight(bounds.max_bytes())
            .wait_timeout(Duration::from_millis(bounds.wait_ms))
            .max_waiters(bounds.max_waiters)
            .backoff(bounds.backoff(), Duration::from_millis(bounds.backoff_most_ms))
            .on_close_error(|id: &ModelId, error: &CloseError| {
                eprintln!("warmd: {id}: close failed: {error}");
            });
        if let Some(seconds) = bounds.idle_ttl_s {
            builder = builder.idle_ttl(Duration::from_secs(seconds));
        }
        Ok(Self::Strict(builder.build()?))
    }

    pub fn naive(bounds: &Bounds, ledger: Arc<Ledger>) -> Result<Self> {
        anyhow::ensure!(bounds.max_entries >= 1, "max_entries must be >= 1, got 0");
        Ok(Self::Naive(NaiveCache::new(bounds.max_entries, ledger).into()))
    }

    /// The backend of `spec`, and whether it was warm. A caller that drops this future leaves no
    /// trace in the strict cache; in the naive one its thread goes on.
    pub async fn acquire(&self, spec: &Arc<ModelSpec>) -> Result<(Held, bool), AcquireError> {
        match self {
            Self::Strict(cache) => {
                if let Some(lease) = cache.try_lease(spec) {
                    return Ok((Held::Lease(lease), true));
                }
                let lease = cache.lease_async(spec).await.map_err(AcquireError::Lease)?;
                Ok((Held::Lease(lease), false))
            }
            Self::Naive(cache) => {
                let (cache, spec) = (cache.clone(), spec.clone());
                let got = spawn_blocking(move || cache.get(&spec)).await;
                let (backend, hit) =
                    got.map_err(AcquireError::Died)?.map_err(AcquireError::Naive)?;
                Ok((Held::Bare(backend), hit))
            }
        }
    }

    /// Lets the backend of `id` go: its file has been replaced. The naive cache cannot tell.
    pub fn outdate(&self, id: &ModelId) {
        if let Self::Strict(cache) = self {
            // What it does, it does; that the future is dropped only means that nobody waits.
            drop(tokio::spawn(cache.unload_async(id)));
        }
    }

    /// Closes everything, and says what could not be, where the cache knows.
    pub async fn shut_down(&self, deadline: Duration) -> Option<Report<ModelId>> {
        match self {
            Self::Strict(cache) => Some(cache.shutdown_async(deadline).await),
            Self::Naive(cache) => {
                let cache = cache.clone();
                // A panic in there has been printed; there is no more to be done about it.
                let _ = spawn_blocking(move || cache.evict_all()).await;
                None
            }
        }
    }
}
