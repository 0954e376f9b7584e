//! Caches whose entries expire: what a look at the clock adds to a hit. Nothing expires in a run.

use std::time::Duration;

use super::hotset::hotset_with;
use super::{Hasher, Reader};

/// How long an entry may live, or be idle.
pub const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);

hotset_with!(
    /// hotset with a time to live.
    HotsetToLive,
    "hotset ttl",
    |builder| builder.time_to_live(QUARTER_HOUR)
);

hotset_with!(
    /// hotset with a time to idle.
    HotsetToIdle,
    "hotset tti",
    |builder| builder.time_to_idle(QUARTER_HOUR)
);

/// moka with a time to live.
pub struct MokaToLive(moka::sync::Cache<u64, u64, Hasher>);

impl Reader for MokaToLive {
    const NAME: &'static str = "moka ttl";

    fn with_capacity(entries: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(entries as u64);
        Self(builder.time_to_live(QUARTER_HOUR).build_with_hasher(Hasher::default()))
    }

    fn put(&mut self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
