//! Caches whose entries expire: what a look at the clock adds to a hit. Nothing expires in a run.

use std::time::Duration;

use hotset::{Builder, Cache as Inner};

use super::{Hasher, Pinning, Reader};

/// How long an entry may live, or be idle.
pub const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);

/// hotset with a time to live.
pub struct HotsetToLive(Timed);

/// hotset with a time to idle.
pub struct HotsetToIdle(Timed);

struct Timed(Inner<u64, u64, Hasher>);

impl Timed {
    fn new(
        entries: usize,
        expires: impl FnOnce(Builder<u64, u64, Hasher>) -> Builder<u64, u64, Hasher>,
    ) -> Self {
        let builder = Inner::builder().max_entries(entries).hasher(Hasher::default());
        Self(expires(builder).build().expect("every capacity that the commands accept"))
    }

    #[inline]
    fn get_under_one_pin(&self, reads: u64, mut next: impl FnMut() -> u64) -> u64 {
        let pin = self.0.pin();
        let mut hits = 0;
        for _ in 0..reads {
            if let Some(value) = pin.get(&next()) {
                std::hint::black_box(*value);
                hits += 1;
            }
        }
        hits
    }
}

macro_rules! timed {
    ($name:ident, $row:literal, $method:ident) => {
        impl Reader for $name {
            const NAME: &'static str = $row;

            fn with_capacity(entries: usize) -> Self {
                Self(Timed::new(entries, |builder| builder.$method(QUARTER_HOUR)))
            }

            fn put(&mut self, key: u64, value: u64) {
                self.0.0.insert(key, value);
            }

            #[inline]
            fn get(&self, key: u64) -> Option<u64> {
                self.0.0.get(&key)
            }

            fn settle(&self) {
                self.0.0.maintain();
            }
        }

        impl Pinning for $name {
            #[inline]
            fn get_under_one_pin(&self, reads: u64, next: impl FnMut() -> u64) -> u64 {
                self.0.get_under_one_pin(reads, next)
            }
        }
    };
}

timed!(HotsetToLive, "hotset ttl", time_to_live);
timed!(HotsetToIdle, "hotset tti", time_to_idle);

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
