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
    alive: Gauge,
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
        self.alive.get()
    }

    pub fn most_alive(&self) -> u64 {
        // ORDERING: Relaxed, as all in this room: a statistic.
        self.most_alive.load(Ordering::Relaxed)
    }

    pub fn enter(self: &Arc<Self>) -> Presence {
        let alive = self.alive.rise();
        // ORDERING: Relaxed. `rise` is one read-modify-write, so no number of them is missed.
        self.most_alive.fetch_max(alive, Ordering::Relaxed);
        Presence(self.clone())
    }
}

/// One backend that takes memory.
#[derive(Debug)]
pub struct Presence(Arc<Ledger>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.alive.fall();
    }
}

/// What only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self) {
        self.add_many(1);
    }

    pub fn add_many(&self, more: u64) {
        // ORDERING: Relaxed, a statistic.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        // ORDERING: Relaxed, a statistic.
        self.0.load(Ordering::Relaxed)
    }
}

/// What rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Up while the result is held.
    pub fn hold(&self) -> Up<'_> {
        self.rise();
        Up(self)
    }

    pub fn get(&self) -> u64 {
        // ORDERING: Relaxed, a statistic.
        self.0.load(Ordering::Relaxed)
    }

    fn rise(&self) -> u64 {
        // ORDERING: Relaxed, a statistic.
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn fall(&self) {
        // ORDERING: Relaxed, a statistic.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub struct Up<'gauge>(&'gauge Gauge);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.fall();
    }
}

/// For logs and headers: whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
