//! What is to be seen from outside? Snapshots and reports, as plain data.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::{Duration, Instant};

use crate::resource::error::{Failure, Holder};

/// Where a resource, or the wish for one, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Asked for; the key's previous resource is not yet closed. Not charged.
    Blocked,
    /// Its weight is being estimated. Not charged.
    Estimating,
    /// It waits for room. Not charged.
    Queued,
    /// It has room and waits for one of the concurrent loads to end. Charged, from here on.
    Reserved,
    /// It is being loaded.
    Loading,
    /// It is there: leased, or idle.
    Ready,
    /// It is leased and will be closed after the last lease.
    Draining,
    /// It is being closed, or is next.
    Closing,
    /// Its close takes longer than `close_timeout`.
    Wedged,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "blocked",
            Self::Estimating => "estimating",
            Self::Queued => "queued",
            Self::Reserved => "reserved",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Wedged => "wedged",
        })
    }
}

/// One resource, or the wish for one, in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntrySnapshot<I> {
    /// The key.
    pub id: I,
    /// Where it stands.
    pub state: State,
    /// The number of its load, as the loader is told: `LoadContext::generation`.
    pub generation: u64,
    /// What it is charged with, in the unit of `max_weight`: 0 without a weight bound, and for what
    /// is not charged.
    pub weight: u64,
    /// Leases at that moment.
    pub leases: u32,
    /// Callers that wait for it.
    pub waiters: usize,
    /// For how long it has been in this state.
    pub since: Duration,
    /// How long its load took, if it is loaded.
    pub load_time: Option<Duration>,
}

/// A failure that is remembered, in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailureSnapshot<I, E> {
    /// The key.
    pub id: I,
    /// Failures in a row.
    pub attempts: u32,
    /// When a call may load again.
    pub retry_at: Instant,
    /// The last failure.
    pub failure: Failure<E>,
}

/// How often things have happened since the cache was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Loads that were begun.
    pub loads: u64,
    /// Loads and estimates that failed, panics included.
    pub load_failures: u64,
    /// Closes that have ended, failed ones included.
    pub closes: u64,
    /// Closes that returned an error or panicked.
    pub close_failures: u64,
    /// Resources that were closed to make room, or because the bound was lowered.
    pub evictions: u64,
    /// Resources that were closed because nobody had used them for `idle_ttl`.
    pub expirations: u64,
    /// Waits that ended because their time was over.
    pub timeouts: u64,
}

/// All that a cache knows, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot<I, E> {
    /// Every resource in every state: those that are ready last, least recently used first.
    pub entries: Vec<EntrySnapshot<I>>,
    /// The failures that are remembered, oldest first.
    pub failures: Vec<FailureSnapshot<I, E>>,
    /// Entries that are charged to the budget.
    pub charged_entries: usize,
    /// The bound.
    pub max_entries: usize,
    /// Weight that is charged to the budget.
    pub charged_weight: u64,
    /// The weight bound, if there is one.
    pub max_weight: Option<u64>,
    /// Callers that wait, for whatever it is.
    pub waiters: usize,
    /// For how long the one of them has waited that has waited longest.
    pub oldest_wait: Option<Duration>,
    /// How often things have happened.
    pub counts: Counts,
    /// The key of the close that failed last, and what it said.
    pub last_close_failure: Option<(I, String)>,
    /// Whether the cache has been shut down.
    pub shutting_down: bool,
}

impl<I, E> Snapshot<I, E> {
    /// The entries in `state`.
    ///
    /// ```
    /// use hotset::{ResourceCache, State, from_fn};
    ///
    /// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(*n), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(2).build()?;
    /// let lease = cache.lease(&1)?;
    /// let snapshot = cache.snapshot();
    /// let ready: Vec<_> = snapshot.in_state(State::Ready).collect();
    /// assert_eq!((ready.len(), ready[0].id, ready[0].leases), (1, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &EntrySnapshot<I>> {
        self.entries.iter().filter(move |entry| entry.state == state)
    }
}

/// What became of the resources that were to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// Closed without an error.
    pub closed: usize,
    /// Closed with an error or a panic, or given up as wedged.
    pub failed: usize,
    /// Leased or still loading: they are closed after their last lease.
    pub draining: usize,
}

/// What an unloading did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unloaded {
    /// The key had nothing to close.
    Absent,
    /// It was idle and is closed.
    Closed,
    /// It was idle; its close failed, or is given up as wedged.
    Failed,
    /// It is leased or still loading: it is closed after its last lease.
    Draining,
}

/// How far a shutdown has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report<I> {
    /// Resources that were closed since the shutdown began, without an error.
    pub closed: usize,
    /// Closes that failed since then.
    pub failed: usize,
    /// What is still leased: it is closed after its last lease.
    pub leased: Vec<Holder<I>>,
    /// What is still loading (closed when it is loaded), closing or wedged.
    pub unfinished: Vec<Holder<I>>,
}

impl<I> Report<I> {
    /// Whether everything is closed.
    pub fn is_complete(&self) -> bool {
        self.leased.is_empty() && self.unfinished.is_empty()
    }
}

impl<I: fmt::Debug> fmt::Display for Report<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed {}, failed {}", self.closed, self.failed)?;
        let parts = [("still leased", &self.leased), ("unfinished", &self.unfinished)];
        for (name, holders) in parts.into_iter().filter(|(_, holders)| !holders.is_empty()) {
            write!(f, "; {name}:")?;
            for holder in holders {
                let Holder { id, state, leases, held_for } = holder;
                write!(f, " {id:?} ({state}, {leases} lease(s), {held_for:?} or more)")?;
            }
        }
        Ok(())
    }
}
