//! The tests of the library, one binary. Each module says which question it answers.
//!
//! Environment: `HOTSET_STRESS_SECONDS` gives each stress test that many seconds (default: about
//! one).

mod common;
mod ghosts;

mod adaptive;
mod autotraits;
mod basic;
mod bound;
mod bulk;
mod by_ref;
mod capacity;
mod clock;
mod compute;
mod demonstrations;
mod demonstrations_async;
mod drops;
mod dump;
mod executors;
mod expiry;
mod expiry_model;
mod flights;
mod future;
mod growth;
mod linear;
mod listener;
mod load;
mod model;
mod observe;
mod panics;
mod peers_listener;
mod peers_races;
mod reentrant;
mod refresh;
mod shrink;
mod stress;
mod trials;
mod types;
mod weighed;
mod weights;
