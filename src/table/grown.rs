//! How does a table grow? Segments that are appended to a shard, and how a key in one of them is found
//! without a walk through all that is before it.
//!
//! A segment never moves and entries never move, so growth asks nothing of a reader and copies nothing:
//!
//! | arrow | who | by | after it |
//! |---|---|---|---|
//! | n segments -> n + 1 | an inserter whose key finds no room near its home, in a table that is loaded; or none at all | exchange of the shard's `newest` (`segment`) | newcomers go to the new one |
//! | a key's slot is in an appended segment | its inserter | the protocol of `claim`, whose announcement is on the home bucket in the *first* segment, wherever the slot is | that bucket says `beyond`, for good |
//!
//! So two inserters of a key meet on one word, however many segments each of them has seen, and one that
//! is stopped anywhere in the making of a segment has only not made it yet: others make theirs. Whoever
//! finds `beyond` in the home bucket sees all segments that any of those who wrote it had seen: they loaded
//! `newest` before they announced, and the Acquire of the home bucket's tags is their partner.
//!
//! A search looks at home in the first segment, then, if `beyond` says so, in the appended ones, the newest
//! first, and at last, if something passed, at the rest of its probe in the first. In each segment it ends
//! where nothing passed, as counted there. In which order it looks does not matter: entries stay where they
//! are, and "not there" is said only at the end of all of it. So a hit looks at one line more than in a
//! table that was made for the right number, and a miss, or an insert of a new key, at one or two for each
//! segment.
//!
//! How large is a new segment? A table that is *loaded*, to five eighths of its slots, gets one for as
//! many entries as are [wanted](Sizes), half empty then. (Fuller ones would make misses dear: in each
//! segment they would have to look at a second bucket as often as not, which no processor foresees.) Newcomers claim a slot there first, and the
//! holes of older ones only if there is none; so the older ones empty as their entries leave. A table that
//! is crowded in one place and not loaded, since hundreds of keys share one hash, gets a small one: such
//! keys cannot blow it up.

use equivalent::Equivalent;

use crate::hash::Hashed;
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::Protect;
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::sync::{MODEL, Ordering, prefetch};
use crate::table::bucket::Bucket;
use crate::table::claim::claim_in;
use crate::table::segment::{self, Segment, Shard};
use crate::table::tags::{SLOTS, Tags};
use crate::table::{
    Found, MAX_SEGMENTS, MIN_BUCKETS, Place, Table, buckets_for, examine_all, probe,
};

/// Segments for keys that share one hash double up to this many buckets.
const DOUBLING_BUCKETS: usize = 4096;
/// Buckets near home of which one has room for a newcomer, or the table grows if it is loaded.
const NEAR: usize = 2;

/// To how many times its entries a table is enlarged at most: no more than the observation of so many is
/// good for.
const GROWTH: usize = if MODEL { 2 } else { 32 };

/// How many entries a table is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Those that there are.
    pub(crate) entries: usize,
    /// Those for which there should be room if the table has to grow.
    pub(crate) wanted: usize,
}

impl Sizes {
    /// Of a table for `max` entries at most: if they go on as they were, which weigh `used` of `bound`. But
    /// [`GROWTH`] times as many as there are at most; where that would not do, so many that the next
    /// segment does, which then has room for nearly all.
    pub(crate) fn new(entries: usize, max: usize, used: u64, bound: u64) -> Self {
        let expected = entries as u128 * u128::from(bound) / u128::from(used.max(1));
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let most = entries.saturating_mul(GROWTH);
        // A table is left when it is loaded, with a quarter more than it was made for.
        let wanted = if expected > most { most.min(expected / GROWTH / 5 * 4) } else { expected };
        Self { entries, wanted: wanted.max(entries.saturating_mul(2)).min(max) }
    }
}

impl<K, V> Table<K, V> {
    /// Fetches what a newcomer with this hash will look at in the newest segment.
    #[inline(never)]
    pub(super) fn fetch_newest(&self, hash: Hashed) {
        if let Some(newest) = self.shard(hash.place()).newest() {
            prefetch(&newest.buckets()[newest.home(hash.place())]);
        }
    }

    /// Searches the part of the probe of `key` that is in appended segments.
    pub(super) fn search_appended<'t, const READY: bool, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &P,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>>,
    {
        self.look_beyond(hash, |bucket, step, tags| {
            examine_all::<READY, _, _, _, _>(bucket, step, tags, hash, key, guard)
        })
    }

    /// What `look` finds first in the parts of a key's probe that are in appended segments. It is shown each
    /// bucket, its number on the probe and its tags.
    #[inline(always)]
    pub(super) fn look_beyond<'t, T>(
        &'t self,
        hash: Hashed,
        mut look: impl FnMut(&'t Bucket<Node<K, V>>, usize, Tags) -> Option<T>,
    ) -> Option<T> {
        for segment in self.shard(hash.place()).appended() {
            for (step, bucket) in (segment.steps()..).zip(probe(segment, hash.place())) {
                let tags = bucket.tags();
                let found = look(bucket, step, tags);
                if found.is_some() {
                    return found;
                }
                if tags.passed() == 0 {
                    break;
                }
            }
            if planted(Seed::NewestOnly) {
                break;
            }
        }
        None
    }

    /// Claims an empty slot in the newest segment, which may have to be appended for it.
    #[inline(never)]
    pub(super) fn claim_in_newest(
        &self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
        sizes: &dyn Fn() -> Sizes,
    ) -> Option<Place<'_, K, V>> {
        let shard = self.shard(hash.place());
        'newest: loop {
            let segment = shard.last();
            for (at, bucket) in probe(segment, hash.place()).enumerate() {
                let full = || self.is_loaded(segment.rows_in_all(), sizes().entries);
                if at == NEAR && full() && self.extend(hash, segment.ordinal(), sizes()) {
                    continue 'newest;
                }
                let place = claim_in(bucket, claim, segment.steps() + at);
                if place.is_some() {
                    return place;
                }
            }
            return None;
        }
    }

    /// Claims an empty slot in any appended segment.
    pub(super) fn claim_in_appended(
        &self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
    ) -> Option<Place<'_, K, V>> {
        self.shard(hash.place()).appended().find_map(|segment| {
            let mut buckets = (segment.steps()..).zip(probe(segment, hash.place()));
            buckets.find_map(|(step, bucket)| claim_in(bucket, claim, step))
        })
    }

    /// Whether a slot that is so many steps behind a key's home is beyond the first segment.
    pub(super) fn is_appended(&self, step: usize) -> bool {
        step >= self.shards[0].part() // they are of equal length
    }

    /// The segment of a slot that is so many steps behind a key's home, and the steps within it.
    pub(super) fn segment_at<'s>(
        &self,
        shard: &'s Shard<Node<K, V>>,
        step: usize,
    ) -> (&'s Segment<Node<K, V>>, usize) {
        let mut appended = shard.appended();
        let segment = appended.find(|segment| segment.steps() <= step).unwrap_or(shard);
        (segment, step - segment.steps())
    }

    /// Marks what a claim at `place`, beyond the first segment, has passed, the home bucket last, which
    /// announces it: gives the home bucket's tags after that.
    pub(super) fn pass_segments(&self, hash: Hashed, place: Place<'_, K, V>) -> Tags {
        let (segment, within) = self.segment_at(self.shard(hash.place()), place.step());
        for bucket in probe(segment, hash.place()).take(within) {
            bucket.pass();
        }
        let home = self.home_bucket(hash.place());
        if planted(Seed::UnsaidBeyond) && home.tags().beyond() {
            return home.tags();
        }
        if planted(Seed::SilentBeyond) { home.announce() } else { home.pass_beyond() }
    }

    /// Segments older than the newest one of the shard of `hash`.
    pub(super) fn ordinal(&self, hash: Hashed) -> usize {
        self.shard(hash.place()).last().ordinal()
    }

    /// Whether a table with so many buckets in each shard is loaded.
    pub(super) fn is_loaded(&self, rows: usize, entries: usize) -> bool {
        entries > (rows * self.shards.len()).saturating_mul(SLOTS) / 8 * 5
    }

    /// Appends a segment to the shard of `hash`, whose newest one, the `seen`-th, has no room. False if
    /// it has as many as it may.
    #[cold]
    pub(super) fn extend(&self, hash: Hashed, seen: usize, sizes: Sizes) -> bool {
        let shard = self.shard(hash.place());
        let last = shard.last();
        if last.ordinal() > seen {
            return true; // another thread was faster
        }
        if last.ordinal() + 1 >= MAX_SEGMENTS {
            return false;
        }
        let rows = last.rows_in_all();
        // An eighth of the first segment is ample for the few keys that come here where the table is not
        // loaded. Small ones double, for the case that very many keys are loaded at a time through a small
        // cache; large ones do not, so that keys which share one hash cannot blow the table up.
        let eighth = shard.buckets().len() / 8;
        let double = if last.ordinal() > 0 { last.buckets().len() * 2 } else { 0 };
        let spare = eighth.max(double.min(DOUBLING_BUCKETS)).max(MIN_BUCKETS);
        let wanted = if self.is_loaded(rows, sizes.entries) {
            if let Some(classes) = &self.classes {
                classes.make_room(sizes.wanted);
            }
            buckets_for(sizes.wanted.div_ceil(self.shards.len()))
        } else {
            0
        };
        let len = wanted.saturating_sub(rows).max(spare).min(segment::MAX_BUCKETS);
        // Before it is appended, so that whoever finds an entry in it knows its rows as well. Rows
        // that do not exist, should another thread append a smaller one, are passed over.
        // ORDERING: Relaxed; published by the Release exchange in `append`.
        self.rows.fetch_max(rows + len, Ordering::Relaxed);
        shard.append(last, len);
        reach(Step::Grown);
        true
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_follows_from_what_was_seen() {
        let wanted = |entries, used, bound| Sizes::new(entries, 1 << 40, used, bound).wanted;
        assert_eq!(wanted(1000, 10_000, 100_000), 10_000);
        assert_eq!(wanted(1000, 10_000, 12_000), 2000); // twice as many at least
        assert_eq!(wanted(1000, 10_000, 320_000), 32_000);
        assert_eq!(wanted(1000, 10_000, 330_000), 2000); // the next one will do
        assert_eq!(wanted(1000, 10_000, 3_200_000), 8_000);
        assert_eq!(wanted(1000, 10_000, u64::MAX), 32_000);
        assert_eq!((wanted(0, 0, u64::MAX), wanted(5, 0, u64::MAX)), (0, 160));
        assert_eq!(wanted(1 << 39, 1 << 39, u64::MAX), 1 << 40);
        assert_eq!(Sizes::new(usize::MAX, usize::MAX, 1, u64::MAX).wanted, usize::MAX);
    }
}
