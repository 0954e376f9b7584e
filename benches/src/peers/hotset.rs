//! The cache that this is about.

use hotset::{Cache as Inner, Insert, Policy};

use super::{Cache, Hasher, Pinning, Reader};

type Builder = hotset::Builder<u64, u64, Hasher>;

pub struct Hotset(Inner<u64, u64, Hasher>);

impl From<Builder> for Hotset {
    fn from(builder: Builder) -> Self {
        let cache = builder.build();
        Self(cache.expect("every capacity that the commands accept is one that hotset accepts"))
    }
}

impl Hotset {
    /// Built as by default, but for what `change` says.
    pub(super) fn built(entries: usize, change: impl FnOnce(Builder) -> Builder) -> Self {
        change(Inner::builder().max_entries(entries).hasher(Hasher::default())).into()
    }

    pub fn with_policy(entries: usize, policy: Policy) -> Self {
        Self::built(entries, |builder| builder.policy(policy))
    }

    /// A look-up that loads what is missing, once however many threads ask.
    pub fn load(&self, key: u64, load: impl FnOnce() -> u64) -> u64 {
        self.0.get_or_insert_with(key, load)
    }
}

impl Reader for Hotset {
    const NAME: &'static str = "hotset";

    fn with_capacity(entries: usize) -> Self {
        Self::with_policy(entries, Policy::default())
    }

    fn put(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn settle(&self) {
        self.0.maintain();
    }
}

/// What a reader does that has another one inside.
macro_rules! reads_inner {
    () => {
        fn put(&mut self, key: u64, value: u64) {
            self.0.put(key, value);
        }

        #[inline]
        fn get(&self, key: u64) -> Option<u64> {
            self.0.get(key)
        }

        fn settle(&self) {
            self.0.settle();
        }
    };
}
pub(super) use reads_inner;

/// A reader that is a [`Hotset`] built otherwise: its name, its row, what its builder is told.
macro_rules! hotset_with {
    ($(#[$doc:meta])* $name:ident, $row:literal, $change:expr) => {
        $(#[$doc])*
        pub struct $name($crate::peers::Hotset);

        impl $crate::peers::Reader for $name {
            const NAME: &'static str = $row;

            fn with_capacity(entries: usize) -> Self {
                Self($crate::peers::Hotset::built(entries, $change))
            }

            $crate::peers::hotset::reads_inner!();
        }

        impl $crate::peers::Pinning for $name {
            #[inline]
            fn get_under_one_pin(&self, reads: u64, next: impl FnMut() -> u64) -> u64 {
                self.0.get_under_one_pin(reads, next)
            }
        }
    };
}
pub(super) use hotset_with;

hotset_with!(
    /// The same with [`Policy::Clock`]: what the default policy costs and gains.
    HotsetClock,
    "hotset clock",
    |builder| builder.policy(Policy::Clock)
);

hotset_with!(
    /// The same with hits and misses counted: what `Builder::stats` costs.
    HotsetStats,
    "hotset stats",
    |builder| builder.stats(true)
);

impl From<Hotset> for HotsetClock {
    fn from(clock: Hotset) -> Self {
        Self(clock)
    }
}

impl Cache for HotsetClock {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Pinning for Hotset {
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

impl Cache for Hotset {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        !matches!(self.0.insert(key, value), Insert::NotAdmitted(..) | Insert::TooHeavy(..))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
