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
    /// CLOCK with one reference bit (Corbató, "A Paging Experiment with the Multics System", 1968).
    ///
    /// A hit sets the entry's bit. A newcomer comes with its bit set, as if it had been hit once.
    /// When room is needed, the hand goes on from behind its last victim; where it meets an entry
    /// whose bit is set it clears the bit, and the first entry whose bit is clear leaves. Replacing
    /// a value keeps the entry's place and sets its bit.
    ///
    /// Exactly, so that each victim can be foretold, of a cache that has a bound on entries and no
    /// other, and whose entries do not expire:
    ///
    /// - **The table.** `S` shards of `B` buckets of 6 slots. `S` is 1 below 8,192 entries, else the
    ///   largest power of two that is at most `max_entries / 4096`, four times the processors, and
    ///   1,024. `B` is `(2 * e + 64) / 6`, rounded up, where `e` is `max_entries / S`, rounded up.
    /// - **Where a newcomer goes.** Its home is bucket `(p * S * B) >> 32`, counted through all
    ///   shards, where `p` is the upper half of `hash * 0x9E3779B97F4A7C15`, modulo 2^64, and `hash` what
    ///   the cache's hasher makes of the key. Its probe is 8 buckets from there on, the first of the
    ///   shard following the last. It takes the first empty slot of its probe, before its victim
    ///   leaves.
    /// - **The order of the sweep.** Row `r` is the `r`-th bucket of each shard. The hand begins at
    ///   row 0 and goes round in eight passes: the rows that are 0 modulo 8, upwards, then those
    ///   that are 4, 2, 6, 1, 5, 3, 7. In a row it goes shard by shard, in a bucket slot by slot.
    ///
    /// This holds while one thread writes, and while no probe is full. Several threads take the
    /// buckets of this order in turns, one to eight at a time, each going on from behind its own last
    /// victim. Where all 48 slots of a probe are taken, as where the bound was raised, buckets are
    /// added behind the last row. (A full probe is rare: half of the slots are empty.)
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::{BuildHasherDefault, Hasher};
    /// use hotset::{Cache, Policy};
    ///
    /// /// A key is its own hash.
    /// #[derive(Default)]
    /// struct Itself(u64);
    ///
    /// impl Hasher for Itself {
    ///     fn write(&mut self, _: &[u8]) {
    ///         unreachable!("keys are u64")
    ///     }
    ///     fn write_u64(&mut self, key: u64) {
    ///         self.0 = key;
    ///     }
    ///     fn finish(&self) -> u64 {
    ///         self.0
    ///     }
    /// }
    ///
    /// let hasher = BuildHasherDefault::<Itself>::default();
    /// let builder = Cache::<u64, ()>::builder().max_entries(4).policy(Policy::Clock);
    /// let cache = builder.hasher(hasher).build().unwrap();
    ///
    /// // One shard of 12 buckets.
    /// let sweep = [0, 8, 4, 2, 10, 6, 1, 9, 5, 3, 11, 7];
    /// let home = |key: u64| ((key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) * 12) >> 32;
    ///
    /// let mut keys = [1, 2, 3, 4];
    /// for key in keys {
    ///     cache.insert(key, ());
    /// }
    /// keys.sort_by_key(|&key| sweep.iter().position(|&row| row == home(key)));
    /// assert_eq!(cache.coldest_first(), keys);
    ///
    /// // All bits are set: the hand clears them in its first turn, and the first leaves in its second.
    /// cache.insert(5, ());
    /// assert!(!cache.contains_key(&keys[0]));
    ///
    /// // The second is hit, so the third leaves.
    /// cache.get(&keys[1]);
    /// cache.insert(6, ());
    /// assert!(cache.contains_key(&keys[1]) && !cache.contains_key(&keys[2]));
    /// ```
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
