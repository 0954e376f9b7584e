//! What can be chosen? Plain data that the public face and the engine share.

#![forbid(unsafe_code)]

/// Which entry leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Adapts to what is asked for: near the best of LRU, ARC, S3-FIFO, W-TinyLFU and LIRS on each
    /// kind of workload.
    ///
    /// A newcomer is on probation, in a queue; at its end it leaves, unless it was hit, then it
    /// stays, as one of those that a clock hand sweeps. A key that is asked for again soon after it
    /// left comes back to those at once. How long probation is, from a hundredth of the bound to
    /// nine tenths, follows from which of the two put out keys that were wanted again just after.
    /// ARCHITECTURE.md has the details and figures against each of these policies.
    #[default]
    Adaptive,
    /// CLOCK with one reference bit, swept in the order of the table (Corbató, "A Paging
    /// Experiment with the Multics System", 1968).
    ///
    /// Exactly: a hit sets the entry's bit. A newcomer takes the first empty slot of its key's
    /// probe, with the bit set, as if it had been hit once. When room is needed, the hand goes on
    /// from behind its last victim; where it meets an entry whose bit is set it clears the bit, and
    /// the first entry whose bit is clear leaves. Replacing a value keeps the entry's place and sets
    /// its bit.
    Clock,
}

/// What is to become of a key, as the closure of [`Cache::compute`](crate::Cache::compute) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compute<V> {
    /// It gets this value, whether it has one or not.
    Insert(V),
    /// It loses its value, if it has one.
    Remove,
    /// It stays as it is.
    Keep,
}

/// Why an entry left the cache, as told to the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It was evicted to make room.
    Capacity,
    /// Its time was over.
    Expired,
    /// Its key was given another value.
    Replaced,
    /// It was removed: `remove`, `retain`, `clear`, the drop of the cache, or a write of its key
    /// that could not be admitted itself.
    Removed,
    /// It never entered: a value that was loaded and handed to all who asked for it, but for
    /// which there was no room, or whose key was written or removed during the load.
    Rejected,
}

impl Cause {
    pub(crate) const COUNT: usize = 5;

    /// All causes, for tables.
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Capacity, Self::Expired, Self::Replaced, Self::Removed, Self::Rejected];

    /// The cause in one word of small letters: `capacity`, `expired`, `replaced`, `removed`, `rejected`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(hotset::Cause::Expired.name(), "expired");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Rejected => "rejected",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Capacity => 0,
            Self::Expired => 1,
            Self::Replaced => 2,
            Self::Removed => 3,
            Self::Rejected => 4,
        }
    }
}
