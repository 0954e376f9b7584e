//! A concurrent cache for servers that must keep the right things in memory.
//!
//! * **Hits take no lock** and, on an entry that is already marked as used, write no line that
//!   another thread reads: reads of one hot key scale.
//! * **Writes are lock-free**: a thread that is stopped anywhere in hotset's code stops no other.
//! * **The bound is a bound**: never more than `max_entries`, or than `max_weight`, at any instant;
//!   and nothing is evicted while the cache is below it. What has left and waits for readers is
//!   bounded, too.
//! * **It keeps the right things**: the default [`Policy::Adaptive`] is near the best of LRU, ARC,
//!   S3-FIFO, W-TinyLFU and LIRS on each kind of workload, at the price of a clock.
//! * **One load per key**, however many threads and tasks ask; a loader that fails, panics or is
//!   dropped wedges nobody, and a load that began before an invalidation cannot bring the old value
//!   back. [`load_many`](Cache::load_many) asks once for all keys that are missing.
//! * **Live resources too**: [`ResourceCache`] leases what must be closed, under a bound that counts
//!   loads and closes.
//! * **Proved by models**: the code that ships, its memory reclamation included, runs under the
//!   model checker loom, in 166 models, all but nine of which must each catch a bug that is planted for it.
//!
//! ```
//! use hotset::Cache;
//!
//! let cache = Cache::new(10_000);
//! cache.insert("one".to_string(), 1);
//! assert_eq!(cache.get("one"), Some(1));
//!
//! // One load, however many threads ask for the missing key at a time.
//! assert_eq!(cache.get_or_insert_with("two".to_string(), || 2), 2);
//!
//! // Many reads under one protection, as borrows.
//! let pinned = cache.pin();
//! assert_eq!((pinned.get("one"), pinned.get("two")), (Some(&1), Some(&2)));
//! ```
//!
//! # Guarantees
//!
//! *Visibility.* What an [`insert`](Cache::insert) wrote is seen by each read that starts after it
//! returned, unless the entry has left meanwhile; what a [`remove`](Cache::remove) took is not.
//! An insert happens before each read that sees its value.
//!
//! *One value per key.* At no instant has a key two entries (models: `insert`).
//!
//! *Bound.* [`len`](Cache::len) is at most [`capacity`](Cache::capacity), and
//! [`weight`](Cache::weight) at most [`max_weight`](Cache::max_weight), at every instant, with any
//! number of threads (models: `evict`, `weights`; tests: `capacity`, `weights`). Values alive, those
//! that wait for readers included, are at most the bound, plus the
//! [slack](Builder::reclamation_slack), plus two for each thread, by weight two of the heaviest
//! (tests: `bound`, `weights`).
//!
//! *Destruction.* A value is dropped once, when nobody can see it, and never inside a read. Values
//! that have left are dropped by later writes, in batches of 64, or by
//! [`maintain`](Cache::maintain); dropping the cache drops all.
//!
//! *Time.* No operation finds an entry whose time is over, and each leaves once, with
//! [`Cause::Expired`] (models: `expiry`; tests: `expiry`, `expiry_model`).
//!
//! *Refresh.* One caller at a time loads an old value anew, the others are served it without waiting; what
//! is written or removed meanwhile is not undone (models, tests: `refresh`).
//!
//! # What it costs, and when to use something else
//!
//! * An insert may be **refused** ([`Insert::NotAdmitted`]): when too much waits for readers, which
//!   takes a thread that keeps a [`Pinned`] while others write; or when all that could leave is
//!   being written at this instant. If every write must enter, use a map.
//! * A value that leaves is not dropped at once, but up to 64 writes later. If destruction must be
//!   prompt, as for connections and models, take a [`ResourceCache`].
//! * An entry whose time is over keeps its room until somebody needs it or [sweeps](Cache::sweep): there
//!   is no thread that would put it out, and a listener is told only then. If something must happen at
//!   the very moment, as with leases, take timers.
//! * An async load makes progress only while the task that leads it is polled:
//!   [`get_or_insert_async`](Cache::get_or_insert_async) says what follows.
//! * Where only weight is bounded nobody knows how many entries there will be. The table grows in steps,
//!   and no reader ever waits for it; but once it has, look-ups take a third longer, misses half as long again, and an
//!   insert of a new key looks at a line more. Say [`expected_entries`](Builder::expected_entries). What a
//!   table has grown by it gives back when it is empty, as after [`clear`](Cache::clear), the last step first.
//! * [`get`](Cache::get) clones. For an `Arc` that writes the counter next to the value, which all
//!   its readers share; [`with`](Cache::with) and [`Pinned::get`] do not.
//! * On one thread, inserting into a full cache costs more than in a cache with locks.
//!
//! # Memory
//!
//! For each entry of the bound about 21 bytes of table, and with [`Policy::Adaptive`] 2.4 to 2.6 bytes that
//! remember who has left and 4 to 7 of queue, allocated when the cache is built; for each entry its
//! key, its value and a header of 16 bytes, 48 where entries are weighed. There the table is built for
//! those that are expected, the queue takes 11 to 22 bytes for each of them, and a table that has grown
//! has up to 100 bytes for each entry, 40 on average. For each thread that uses a cache about a kilobyte and a
//! half, kept until the cache is dropped.
//!
//! Where entries expire ([`time_to_live`](Builder::time_to_live),
//! [`time_to_idle`](Builder::time_to_idle), [`expire_with`](Builder::expire_with)), are
//! [refreshed](Builder::refresh_after) or are weighed, an entry's header takes 32 bytes more.
//!
//! # Where it runs
//!
//! Wherever `std` does and atomics have 64 bits (`target_has_atomic = "64"`): so on 32-bit x86 and ARMv7, too,
//! but not on 32-bit PowerPC, MIPS or RISC-V.
//!
//! # Watching a cache
//!
//! [`Cache::stats`] is a snapshot of counters. With the feature `metrics` it can be handed to a recorder,
//! under the names that stand at `Stats::record_metrics`. With the feature `tracing` there are events,
//! all with the target `hotset`, none with anything of a key or a value in it, and none on a hit or miss:
//!
//! | message | level | fields | when |
//! |---|---|---|---|
//! | `entry left` | TRACE | `cause`: [`Cause::name`] | an entry has left, and the listener was told |
//! | `loaded` | TRACE | | a load has ended with a value |
//! | `load failed` | DEBUG | `panicked` | a load has ended without one |
//! | `refreshed` | TRACE | | a [refresh](Builder::refresh_after) has ended with a value |
//! | `refresh failed` | DEBUG | | a refresh has ended without one, or its future was dropped |
//! | `not admitted` | DEBUG | | a write or a loaded value was refused |
//! | `swept` | DEBUG | `entries` | [`sweep`](Cache::sweep) has ended |
//! | `listener panicked` | WARN | `cause` | the panic is caught, and the listener stays on |
//!
//! A subscriber may use the cache. With the feature `serde` a [`Dump`] of a cache can be written to disk,
//! so that it is warm after a restart. None of the features is on by default; where one is off there is
//! nothing of it in the code.
//!
//! # Panics in your code
//!
//! A `Hash`, `Eq`, `Clone`, `to_owned` or closure that panics leaves the cache as it was; the panic goes to the
//! caller. (If `to_owned` panics where an old value was to be refreshed, then that refresh has failed.)
//! A listener's panic is caught and loses that one call. A destructor's panic is caught
//! where the cache calls it. A loader's panic goes to its caller; who waited gets
//! [`LoadError::Panicked`], or loads itself. A waker's panic is caught.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!("hotset needs a target with 64-bit atomics: `target_has_atomic = \"64\"`");

mod adaptive;
mod advice;
mod barrier;
mod budget;
mod builder;
mod bulk;
mod cache;
mod clock;
mod compute;
mod config;
mod counter;
mod dump;
mod dumped;
mod error;
mod events;
mod expiry;
mod future;
#[cfg(fuzzing)]
mod fuzz;
mod hash;
mod iter;
mod load;
mod local;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(all(hotset_loom, feature = "loom"))]
mod model;
mod node;
mod pause;
mod pinned;
mod reclaim;
mod refresh;
#[cfg(doctest)]
mod refused;
mod removed;
pub mod resource;
mod seed;
mod slot;
mod stats;
mod store;
mod sync;
mod table;
mod tags;
mod thread_id;
mod time;
mod weights;

pub use builder::Builder;
pub use cache::{Cache, DefaultHashBuilder, Insert};
pub use compute::Computed;
pub use config::{Cause, Compute, Policy};
pub use dump::Dump;
/// Says that a key can be looked up by something else than a reference to it, of which the hash is the same:
/// the trait of the crate `equivalent`, for which so no dependency is needed. Whatever a key can be borrowed
/// as is equivalent without more.
///
/// # Examples
///
/// ```
/// use hotset::{Cache, Equivalent};
///
/// /// Looks up a `(String, u32)` without a `String`; its fields hash as those of the pair.
/// #[derive(Hash)]
/// struct Row<'a>(&'a str, u32);
///
/// impl Equivalent<(String, u32)> for Row<'_> {
///     fn equivalent(&self, key: &(String, u32)) -> bool {
///         (self.0, self.1) == (&*key.0, key.1)
///     }
/// }
///
/// let cache = Cache::new(8);
/// cache.insert(("users".to_string(), 7), "Ada");
/// assert_eq!(cache.get(&Row("users", 7)), Some("Ada"));
/// ```
#[doc(inline)]
pub use equivalent::Equivalent;
pub use error::{BuildError, LoadError};
pub use iter::Iter;
pub use pinned::Pinned;
pub use removed::Removed;
pub use resource::{
    Async, AsyncLoader, CloseError, Holder, Job, Lease, LeaseError, LoadContext, Loaded, Loader,
    Phase, Reentrant, Report, ResourceBuildError, ResourceBuilder, ResourceCache, Snapshot, Spawn,
    State, from_fn,
};
pub use stats::Stats;
pub use time::{ManualTime, TimeSource};

/// The examples of the guide for those who come from other caches are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/migrating.md")]
pub struct MigratingGuide;

/// So are those of the front page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// For `tests/stopped.rs`: stops threads at named steps. Not part of the API.
#[cfg(hotset_pause)]
#[doc(hidden)]
pub mod __pause {
    pub use crate::pause::{STEPS, Step, is_reached, set_hook};
}

/// For `fuzz`: checks on private values. Not part of the API.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::fuzz::{check_claim, check_home, check_low_bytes, check_node, check_tags};
}

/// For `loom-tests`: rooms that models look into, and the bugs that they plant. Not part of the API.
#[cfg(all(hotset_loom, feature = "loom"))]
#[doc(hidden)]
pub mod __model {
    pub use crate::model::*;
    #[cfg(not(hotset_pause))]
    pub use crate::pause::{Step, set_step_hook};
    pub use crate::resource::model::{Held, Shelves};
    pub use crate::seed::{Seed, plant};
}
