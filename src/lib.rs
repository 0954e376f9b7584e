//! A concurrent cache with lock-free hits and writes, a strict bound, and single-flight loading.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod budget;
mod builder;
mod cache;
mod clock;
mod config;
mod counter;
mod error;
mod hash;
mod iter;
mod load;
#[cfg(all(hotset_loom, feature = "loom"))]
mod model;
mod node;
mod pause;
mod pinned;
mod reclaim;
mod removed;
mod seed;
mod slot;
mod stats;
mod store;
mod sync;
mod table;
mod thread_id;

pub use builder::Builder;
pub use cache::{Cache, DefaultHashBuilder, Insert};
pub use config::{Cause, Policy};
pub use error::{BuildError, LoadError};
pub use iter::Iter;
pub use pinned::Pinned;
pub use removed::Removed;
pub use stats::Stats;

/// For `tests/stopped.rs`: stops threads at named steps. Not part of the API.
#[cfg(hotset_pause)]
#[doc(hidden)]
pub mod __pause {
    pub use crate::pause::{STEPS, Step, set_hook};
}

/// For `loom-tests`: rooms that models look into, and the bugs that they plant. Not part of the API.
#[cfg(all(hotset_loom, feature = "loom"))]
#[doc(hidden)]
pub mod __model {
    pub use crate::model::*;
    pub use crate::seed::{Seed, plant};
}
