//! What has happened? The sum of what threads have counted (`local`), as a snapshot.

#![forbid(unsafe_code)]

use std::fmt;

use crate::config::Cause;
use crate::local::Local;

/// A snapshot of a cache's counters, from [`Cache::stats`](crate::Cache::stats).
///
/// Each counter is the sum of what the threads had counted when it was read; counters of
/// operations that ran meanwhile may or may not be in it. Counters start at zero when the cache is
/// built and wrap at 2^64.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Look-ups that found an entry. 0 if hits are not counted
    /// ([`Builder::stats`](crate::Builder::stats)).
    pub hits: u64,
    /// Look-ups that found none. 0 if hits are not counted. A call with a loader that finds none
    /// is one, also if it waits for another's load; so is each missing key of a
    /// [`load_many`](crate::Cache::load_many), each time that it is given.
    pub misses: u64,
    /// Misses among them that met an entry whose time was over. 0 if hits are not counted.
    pub expired_misses: u64,
    /// Entries admitted: new keys and new values of old ones, loaded ones included.
    pub inserts: u64,
    /// Loads that came to their end, whatever it was. A loader of several keys counts once for each;
    /// a future that is dropped before it is done does not count.
    pub loads: u64,
    /// Those of them that gave no value: an error, a panic, a key that was left out.
    pub load_failures: u64,
    /// Writes and loaded values that were not admitted.
    pub not_admitted: u64,
    /// Loads of values that were there, but old ([`Builder::refresh_after`](crate::Builder::refresh_after)),
    /// that came to their end, whatever it was. Not counted among the `loads`.
    pub refreshes: u64,
    /// Those of them that gave no value: an error, a panic, a future that was dropped.
    pub refresh_failures: u64,
    /// Entries in the cache.
    pub entries: usize,
    /// What the entries in the cache weigh; their number if the cache has no weigher.
    pub weight: u64,
    /// Entries that have left and whose memory waits for readers, an upper bound: up to 32 for
    /// each thread that has used the cache are counted although nothing waits. Exactly what they
    /// weigh, if the cache has a weigher.
    pub awaiting_reclamation: usize,
    pub(crate) left: [u64; Cause::COUNT],
}

impl Stats {
    /// How many entries have left for `cause`.
    pub fn evictions(&self, cause: Cause) -> u64 {
        self.left[cause.index()]
    }

    /// Hits among all look-ups, from 0 to 1; `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }

    pub(crate) fn add(&mut self, local: &Local) {
        self.hits += local.hits.read();
        self.misses += local.misses.read();
        self.expired_misses += local.expired_misses.read();
        self.inserts += local.inserts.read();
        self.loads += local.loads.read();
        self.load_failures += local.load_failures.read();
        self.not_admitted += local.not_admitted.read();
        self.refreshes += local.refreshes.read();
        self.refresh_failures += local.refresh_failures.read();
        for (sum, counter) in self.left.iter_mut().zip(&local.left) {
            *sum += counter.read();
        }
    }
}

/// Its fields, and `left`: how many entries have left, by cause.
impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("hits", &self.hits)
            .field("misses", &self.misses)
            .field("expired_misses", &self.expired_misses)
            .field("inserts", &self.inserts)
            .field("loads", &self.loads)
            .field("load_failures", &self.load_failures)
            .field("not_admitted", &self.not_admitted)
            .field("refreshes", &self.refreshes)
            .field("refresh_failures", &self.refresh_failures)
            .field("entries", &self.entries)
            .field("weight", &self.weight)
            .field("awaiting_reclamation", &self.awaiting_reclamation)
            .field("left", &Left(self))
            .finish()
    }
}

struct Left<'s>(&'s Stats);

impl fmt::Debug for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = Cause::ALL.map(|cause| (cause, self.0.evictions(cause)));
        f.debug_map().entries(causes).finish()
    }
}
