//! A cache of live, expensive things that must be *closed*: warm models, tenants' connection pools,
//! compiled modules, file handles.
//!
//! A [`ResourceCache`] loads what is asked for, once however many ask; gives it out as [`Lease`]s; and
//! closes it when its room is needed, after its last lease. Its bound counts what is loading, there,
//! in use, and being closed.
//!
//! ```
//! use hotset::{Lease, LeaseError, ResourceCache, from_fn};
//!
//! let loader = from_fn(
//!     |tenant: &String, _| Ok::<_, std::io::Error>(format!("pool of {tenant}")),
//!     |_tenant, pool| Ok(drop(pool)),
//! );
//! let cache = ResourceCache::builder(loader).max_entries(2).build()?;
//! let pool = cache.lease(&"acme".to_string())?;
//! assert_eq!(*pool, "pool of acme");
//! assert_eq!(cache.loaded_keys(), ["acme"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! *Bound.* What is reserved, loading, ready, draining, closing or wedged never exceeds `max_entries` and
//! `max_weight`, at any instant. So when it is full, closing precedes loading. After
//! [`resize`](ResourceCache::resize) below what is in use it shrinks as leases end, and nothing is
//! loaded before it fits.
//!
//! *Exactly once.* Each resource that a load returned is given to `close` once, by value, after its last
//! lease, whatever happened in between: cancellation, panics, shutdown, the drop of the cache. Except:
//! the process exits, `panic = "abort"`, leases that are leaked, jobs that an executor leaks. A close
//! that panics has had its resource.
//!
//! *One at a time.* A key is loaded once for all who ask; its next resource is loaded after the one before
//! is closed.
//!
//! *Locks.* No user code runs under a lock, but `Hash` and `Eq` of ids. Hits take none and wait for no
//! load or close, while nobody waits for room that the hit's own resource could give.
//!
//! *Order.* Waits for room are served first come, first served. Idle resources are closed least recently
//! used first, by the order of leases given; all that one load needs, or none.
//!
//! *Failures* go to all who wait for the load, and are remembered for a while
//! ([`backoff`](ResourceBuilder::backoff)): no storm of loads that fail one by one.
//!
//! *No traces.* Who stops waiting (a dropped future, a timeout) leaves nothing behind; a load that was
//! begun goes on, and its resource stays for the next who asks.
//!
//! *The end.* After [`shutdown`](ResourceCache::shutdown) has begun there is no lease, and a load that ends
//! late is closed.
//!
//! # What it costs, and when to use something else
//!
//! * A miss takes a lock of the cache, and a hand-over to a thread. If what is cached is plain data, which
//!   need not be closed, [`Cache`](crate::Cache) is many times faster.
//! * Making room looks at all resources that are ready: some microseconds with hundreds of them.
//! * Whoever holds a lease of one key while waiting for another may wait for somebody who does the same
//!   the other way round; the wait ends by its timeout, in [`LeaseError::Capacity`], which says who holds
//!   what.
//! * Threads: those of loads and closes are started on demand, as many as run at a time, and end when
//!   they have nothing to do; one more while a deadline is armed. Or the user's executor
//!   ([`Spawn`], [`AsyncLoader`]).

mod builder;
mod cache;
mod closing;
mod core;
mod entry;
mod error;
mod gate;
mod inside;
mod job;
mod lease;
mod loader;
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) mod model;
mod parcel;
mod pool;
mod report;
mod scheduler;
mod source;
mod timer;
mod vault;
mod work;

pub use builder::ResourceBuilder;
pub use cache::{LeaseErrorOf, ResourceCache, SnapshotOf};
pub use error::{Failure, Holder, LeaseError, Phase, Reentrant, ResourceBuildError};
pub use job::Job;
pub use lease::Lease;
pub use loader::{CloseError, FnLoader, LoadContext, Loaded, Loader, Weigh, WeighFn, from_fn};
pub use report::{
    Counts, EntrySnapshot, Evicted, FailureSnapshot, Report, Snapshot, State, Unloaded,
};
pub use source::{Async, AsyncLoader, Source, Spawn};
