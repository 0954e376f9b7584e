//! How does a table grow? Segments that are appended to a shard, and how a key in one of them is found
//! without a walk through all that is before it.
//!
//! A segment never moves and entries never move, so growth asks nothing of a reader and copies nothing:
//!
//! | arrow | who | by | after it |
//! |---|---|---|---|
//! | n segments -> n + 1 | an inserter whose key's probe is full in all n | exchange of the last one's `next` | all probes are longer by the new segment's part |
//! | a key's slot is in segment 1, .., n | its inserter | the protocol of `claim`, whose announcement is on the home bucket in segment 1 whatever n is | |
//!
//! So two inserters of a key meet on one word, however many segments each of them has seen, and one that
//! is stopped anywhere in the making of a segment has only not made it yet: others make theirs.
//!
//! In a table that `grows`, which is to say for an unknown number of entries, most keys come to be in the
//! newest segment, which is far larger than the others. There
//! * newcomers claim a slot in the newest segment first, and the holes of older ones only if there is
//!   none; so the older ones empty as their entries leave;
//! * a search looks at home, then in the newest segment, and only then goes through the whole probe. In
//!   which order it looks does not matter: what it finds is there, and "not there" it says only at the end
//!   of the whole probe. It is the whole probe that makes a miss, and an insert of a new key, dearer by
//!   some lines for each older segment;
//! * buckets of older segments are marked as passed for good, by the first who passes, and not counted.

use equivalent::Equivalent;

use crate::hash::Hashed;
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::Protect;
use crate::slot::Word;
use crate::sync::Ordering;
use crate::table::segment::{self, Segment};
use crate::table::tags::Tags;
use crate::table::{
    Found, MAX_SEGMENTS, MIN_BUCKETS, PROBE, Place, Probe, Table, buckets_for, examine_all,
    segments,
};

/// Appended segments double up to this many buckets.
const DOUBLING_BUCKETS: usize = 4096;

/// A shard's newest segment, where that is not its first.
struct Newest<'t, K, V> {
    segment: &'t Segment<Node<K, V>>,
    /// Buckets of a probe that are before it.
    before: usize,
}

impl<K, V> Table<K, V> {
    fn newest(&self, place: u32) -> Option<Newest<'_, K, V>> {
        let mut newest = None;
        let mut before = 0;
        let mut segment = self.shard(place);
        while let Some(next) = segment.next() {
            before += PROBE.min(segment.buckets().len());
            newest = Some(Newest { segment: next, before });
            segment = next;
        }
        newest
    }

    /// Searches the part of the probe of `key` that is in the newest segment.
    pub(super) fn search_newest<'t, const READY: bool, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &P,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>>,
    {
        let Newest { segment, before } = self.newest(hash.place())?;
        for (step, bucket) in Probe::within(segment, hash.place()).enumerate() {
            let tags = bucket.tags();
            let found =
                examine_all::<READY, _, _, _, _>(bucket, before + step, tags, hash, key, guard);
            if found.is_some() {
                return found;
            }
            if tags.passed() == 0 {
                break;
            }
        }
        None
    }

    /// Claims an empty slot in the newest segment.
    pub(super) fn claim_in_newest(
        &self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
    ) -> Option<Place<'_, K, V>> {
        let Newest { segment, before } = self.newest(hash.place())?;
        for (step, bucket) in Probe::within(segment, hash.place()).enumerate() {
            while let Some(lane) = bucket.first_empty() {
                if bucket.slot(lane).claim(claim) {
                    return Some(Place::new(bucket, lane, before + step));
                }
            }
        }
        None
    }

    /// Whether a slot of a key with this hash is beyond the first segment.
    pub(super) fn is_appended(&self, hash: Hashed, place: Place<'_, K, V>) -> bool {
        place.step() >= PROBE.min(self.shard(hash.place()).buckets().len())
    }

    /// Marks what a claim at `place`, beyond the first segment, has passed, the home bucket last, which
    /// announces it: gives the home bucket's tags after that.
    pub(super) fn pass_segments(&self, hash: Hashed, place: Place<'_, K, V>) -> Tags {
        let mut left = place.step();
        let first = self.shard(hash.place());
        for segment in segments(first) {
            let part = PROBE.min(segment.buckets().len());
            let is_last = left < part; // the claim is here
            let home_is_last = usize::from(std::ptr::eq(segment, first));
            for bucket in Probe::within(segment, hash.place()).take(left).skip(home_is_last) {
                if is_last {
                    bucket.pass();
                } else {
                    bucket.pass_for_good();
                }
            }
            if is_last {
                break;
            }
            left -= part;
        }
        self.home_bucket(hash.place()).pass()
    }

    pub(super) fn segment_count(&self, hash: Hashed) -> usize {
        segments(self.shard(hash.place())).count()
    }

    /// Appends a segment to the shard of `hash`, of which `seen` segments were found full. False if
    /// it has as many as it may.
    #[cold]
    pub(super) fn extend(&self, hash: Hashed, seen: usize, entries: usize) -> bool {
        let first = self.shard(hash.place());
        let (mut last, mut ordinal, mut buckets) = (first, 0, 0);
        for segment in segments(first) {
            last = segment;
            ordinal += 1;
            buckets += segment.buckets().len();
        }
        if ordinal > seen {
            return true; // another thread was faster
        }
        if ordinal >= MAX_SEGMENTS {
            return false;
        }
        // What the bound asks for if it was raised; else an eighth of the first segment, which is
        // ample for the few keys that come here. Small ones double, for the case that very many
        // keys are loaded at a time through a small cache; large ones do not, so that keys which
        // share one hash cannot blow the table up.
        let wanted = buckets_for(entries.div_ceil(self.shards.len()));
        let eighth = first.buckets().len() / 8;
        let double = if ordinal > 1 { last.buckets().len() * 2 } else { 0 };
        let spare = eighth.max(double.min(DOUBLING_BUCKETS)).max(MIN_BUCKETS);
        let len = wanted.saturating_sub(buckets).max(spare).min(segment::MAX_BUCKETS);
        // Before it is appended, so that whoever finds an entry in it knows its rows as well. Rows
        // that do not exist, should another thread append a smaller one, are passed over.
        // ORDERING: Relaxed; published by the Release exchange in `append`.
        self.rows.fetch_max(buckets + len, Ordering::Relaxed);
        last.append(Segment::new(len, ordinal));
        reach(Step::Grown);
        true
    }
}
