//! What does a thread keep in a cache beside its protections? Words on lines of its own: what it has
//! counted, where it is in the sweep, what it has in hand of the newcomers.
//!
//! Each is written by its thread alone and read by all. What is done with them stands in the rooms that do it:
//! `table::sweep` moves the position, `table::probation` fills the hand, `table::trials` tries, `stats` adds up.

#![forbid(unsafe_code)]

mod handful;

use crate::advice::Hint;
use crate::config::Cause;
use crate::counter::{OwnedCounter, OwnedWord};
pub(crate) use handful::{Handful, MOST_KEPT, MOST_WEIGHTS};

/// What a thread keeps in a cache.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) hits: OwnedCounter,
    pub(crate) misses: OwnedCounter,
    pub(crate) expired_misses: OwnedCounter,
    pub(crate) position: Position,
    /// Claims that the thread has made, so that no two of them are equal.
    pub(crate) claims: OwnedCounter,
    pub(crate) inserts: OwnedCounter,
    pub(crate) loads: OwnedCounter,
    pub(crate) load_failures: OwnedCounter,
    pub(crate) not_admitted: OwnedCounter,
    pub(crate) refreshes: OwnedCounter,
    pub(crate) refresh_failures: OwnedCounter,
    pub(crate) left: [OwnedCounter; Cause::COUNT],
}

/// A thread's place in the sweep: of the buckets that it took from the hand, `next .. end` are
/// not yet worked through. It resumes at slot `slot` of bucket `next`, whose row is `row`.
#[derive(Debug, Default)]
pub(crate) struct Position {
    pub(crate) next: OwnedWord,
    pub(crate) end: OwnedWord,
    pub(crate) row: OwnedWord,
    pub(crate) slot: Hint,
    /// The address of an entry that the hand is to pass over, or 0.
    pub(crate) spared: OwnedWord,
    /// In which round of the hand over the table bucket `next` is; it wraps.
    pub(crate) round: Hint,
    /// What the thread has in hand of the queue of probation (`table::classes`).
    pub(crate) newcomers: Handful,
    /// What became of the newcomers that it tried in the main class, and what those heard of the queue, as a word of
    /// `adaptive::Trials`.
    pub(crate) trials: OwnedWord,
}
