//! A cache of live, expensive things that must be closed: warm models, tenants' pools, file handles.

mod builder;
mod cache;
mod clock;
mod closing;
mod core;
mod entry;
mod error;
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
pub use clock::ManualClock;
pub use error::{Failure, Holder, LeaseError, Phase, Reentrant, ResourceBuildError};
pub use job::Job;
pub use lease::Lease;
pub use loader::{CloseError, FnLoader, LoadContext, Loaded, Loader, Weigh, WeighFn, from_fn};
pub use report::{
    Counts, EntrySnapshot, Evicted, FailureSnapshot, Report, Snapshot, State, Unloaded,
};
pub use source::{Async, AsyncLoader, Source, Spawn};
