//! How do counters become metrics? A snapshot, handed to whatever recorder is installed.
//!
//! Pulled, not pushed: nothing is added to any operation of the cache.

#![forbid(unsafe_code)]

use metrics::{SharedString, counter, gauge};

use crate::config::Cause;
use crate::stats::Stats;

impl Stats {
    /// Hands the snapshot to the recorder of the `metrics` crate that is installed, labelled with
    /// `cache`. Call it as often as metrics are collected: before each answer to a scrape, or on a timer.
    ///
    /// | name | kind | labels beside `cache` | what |
    /// |---|---|---|---|
    /// | `hotset_hits_total` | counter | | [`hits`](Self::hits) |
    /// | `hotset_misses_total` | counter | | [`misses`](Self::misses) |
    /// | `hotset_expired_misses_total` | counter | | [`expired_misses`](Self::expired_misses) |
    /// | `hotset_inserts_total` | counter | | [`inserts`](Self::inserts) |
    /// | `hotset_loads_total` | counter | | [`loads`](Self::loads) |
    /// | `hotset_load_failures_total` | counter | | [`load_failures`](Self::load_failures) |
    /// | `hotset_not_admitted_total` | counter | | [`not_admitted`](Self::not_admitted) |
    /// | `hotset_refreshes_total` | counter | | [`refreshes`](Self::refreshes) |
    /// | `hotset_refresh_failures_total` | counter | | [`refresh_failures`](Self::refresh_failures) |
    /// | `hotset_evictions_total` | counter | `cause`, one of five ([`Cause::name`]) | [`evictions`](Self::evictions) |
    /// | `hotset_entries` | gauge | | [`entries`](Self::entries) |
    /// | `hotset_weight` | gauge | | [`weight`](Self::weight) |
    /// | `hotset_awaiting_reclamation` | gauge | | [`awaiting_reclamation`](Self::awaiting_reclamation) |
    ///
    /// Counters are set to what was counted since the cache was built, so two caches need two labels.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::builder().max_entries(100).stats(true).build()?;
    /// cache.insert("k", 1);
    /// cache.stats().record_metrics("tokens"); // no recorder is installed: nothing happens
    /// # Ok::<(), hotset::BuildError>(())
    /// ```
    pub fn record_metrics(&self, cache: impl Into<SharedString>) {
        let cache = cache.into();
        let counters = [
            ("hotset_hits_total", self.hits),
            ("hotset_misses_total", self.misses),
            ("hotset_expired_misses_total", self.expired_misses),
            ("hotset_inserts_total", self.inserts),
            ("hotset_loads_total", self.loads),
            ("hotset_load_failures_total", self.load_failures),
            ("hotset_not_admitted_total", self.not_admitted),
            ("hotset_refreshes_total", self.refreshes),
            ("hotset_refresh_failures_total", self.refresh_failures),
        ];
        for (name, count) in counters {
            counter!(name, "cache" => cache.clone()).absolute(count);
        }
        for cause in Cause::ALL {
            let labels = [("cache", cache.clone()), ("cause", cause.name().into())];
            counter!("hotset_evictions_total", &labels).absolute(self.evictions(cause));
        }
        let gauges = [
            ("hotset_entries", self.entries as f64),
            ("hotset_weight", self.weight as f64),
            ("hotset_awaiting_reclamation", self.awaiting_reclamation as f64),
        ];
        for (name, value) in gauges {
            gauge!(name, "cache" => cache.clone()).set(value);
        }
    }
}
