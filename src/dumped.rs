//! What does an entry take along into another cache? Itself, the standing that it had earned, and what is left
//! of its time.

#![forbid(unsafe_code)]

use std::time::Duration;

/// The standing of an entry under its policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) on_probation: bool,
    /// Uses to its credit, 0 to 2.
    pub(crate) uses: u8,
}

/// What an entry's time was when it was dumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeLeft {
    /// Until its deadline; `None`: it had none.
    pub(crate) to_live: Option<Duration>,
    /// Since it was used last; zero in a cache without a time to idle.
    pub(crate) idle: Duration,
}

/// One entry of a dump (`dump`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Dumped<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) standing: Standing,
    pub(crate) time: TimeLeft,
}
