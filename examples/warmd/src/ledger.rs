//! How many backends are there, really? Counted where they are made and unmade, below any cache,
//! so that a cache's own book-keeping can be checked against it.
//!
//! A backend is alive from before its first byte is allocated until after its last one is freed
//! ([`Presence`]). All counters are statistics: relaxed, nothing is ordered by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::Histogram;

#[derive(Debug, Default)]
pub struct Ledger {
    alive: AtomicU64,
    most_alive: AtomicU64,
    pub attempts: Count,
    pub failures: Count,
    pub opened: Count,
    pub closed: Count,
    pub close_failures: Count,
    /// Scores that were asked of a backend after its close began: must stay 0.
    pub used_after_close: Count,
    pub load_seconds: Histogram,
    pub close_seconds: Histogram,
}

impl Ledger {
    pub fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    pub fn most_alive(&self) -> u64 {
        self.most_alive.load(Ordering::Relaxed)
    }

    pub fn enter(self: &Arc<Self>) -> Presence {
        let alive = self.alive.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_alive.fetch_max(alive, Ordering::Relaxed);
        Presence(self.clone())
    }
}

/// One backend that takes memory.
#[derive(Debug)]
pub struct Presence(Arc<Ledger>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge that is up while it is held.
#[derive(Debug)]
pub struct Up<'gauge>(&'gauge AtomicU64);

impl<'gauge> Up<'gauge> {
    pub fn new(gauge: &'gauge AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For logs and headers: whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
