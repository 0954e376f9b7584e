//! How does a table grow? By segments that are appended to a shard.
//!
//! A segment never moves and entries never move, so growth asks nothing of a reader and copies nothing:
//!
//! | arrow | who | by | after it |
//! |---|---|---|---|
//! | n segments -> n + 1 | an inserter whose key finds no room near its home, in a table that is loaded; or none at all; or that finds first segments too small for what will come | exchange of the shard's `newest` (`segment`) | newcomers go to the new one |
//! | a key's slot is in an appended segment | its inserter | the protocol of `claim`, whose announcement is on the home bucket in the *first* segment, wherever the slot is | that bucket says `beyond`, for good |
//!
//! So two inserters of a key meet on one word, however many segments each of them has seen, and one that
//! is stopped anywhere in the making of a segment has only not made it yet: others make theirs. Whoever
//! finds `beyond` in the home bucket sees all segments that any of those who wrote it had seen: they loaded
//! `newest` before they announced, and the Acquire of the home bucket's tags is their partner. All but those that
//! were taken back meanwhile, which were empty and let nobody in (`segment`).
//!
//! | arrow | who | by | after it |
//! |---|---|---|---|
//! | n segments -> n - 1 | `clear`, `maintain` and others after which much may be empty | exchange of `newest`, from a segment that is closed and empty | it is freed when nobody walks who could see it |
//!
//! So whoever looks at appended segments *walks*: under a pin that it has, or one for the walk alone, which keeps
//! segments and no nodes, so that a thread that is stopped on a walk makes nobody's write be refused
//! (`reclaim::Walker`). A place there does not outlast the walk; a flight, or the refresh of an entry,
//! looks for its slot anew when it is over ([`place_of`](Table::place_of)). Caches whose table has not grown do not
//! walk.
//!
//! The hand must know of all rows in which there are entries. Appending makes none known, coming in does: who has
//! claimed a slot of a segment sees to it that the hand's number of rows covers it. Taking back counts them anew,
//! and once more after that: claim, fence, look at the number; number, fence, look at the segments. So whoever comes
//! into a segment that was not counted sees the low number and raises it, or is counted. Before the hand gives up it
//! counts, too, lest somebody is stopped between the two.
//!
//! A search (`beyond`) looks at home in the first segment, then, if `beyond` says so, in the appended ones, the newest
//! first, and at last, if something passed, at the rest of its probe in the first. In each segment it ends where nothing
//! passed, as counted there; and all of it ends at a segment that is known to be the last for the key (`survey`). In
//! which order it looks does not matter: entries stay where they are, and "not there" is said only at the end of all of
//! it. So once a newest segment is known, look-ups begin there and not at home in the first, and most end there: most
//! hits and misses look at as many lines as in a table that was made for the right number. (Who begins so has not read
//! the home bucket; but an insert that happened before has loaded `newest` before, so it sees what that saw.)
//!
//! How large is a new segment? A table that is *loaded*, to five eighths of its slots, gets one for as many entries as
//! are [wanted](Sizes), half empty then. (Fuller ones would make misses dear: in each segment they would have to look
//! at a second bucket as often as not, which no processor foresees.) If it is already clear at an eighth of the first
//! slots that all that will come is more than there are, then at once: what is in the first segments is found last.
//! Newcomers claim a slot there first, and the holes
//! of older ones only if there is none; so the older ones empty as their entries leave. A table that is crowded in one
//! place and not loaded, since hundreds of keys share one hash, gets a small one: such keys cannot blow it up.

#![forbid(unsafe_code)]

use crate::barrier;
use crate::hash::Hashed;
use crate::node::{Node, NodeOwner};

use crate::pause::{Step, reach};
use crate::reclaim::{Shelter, Walk};
use crate::seed::{Seed, planted};
use crate::slot::Word;
use crate::sync::{MODEL, Ordering, fence, prefetch, prefetch_for_write};
use crate::table::beyond::{Met, look_beyond};
use crate::table::bucket::Bucket;
use crate::table::claim::claim_in;
use crate::table::segment::{self, Segment};
use crate::table::{MAX_SEGMENTS, MIN_BUCKETS, Place, Table, buckets_for, probe};
use crate::tags::{SLOTS, Tags};

/// Segments for keys that share one hash double up to this many buckets.
const DOUBLING_BUCKETS: usize = 4096;
/// Buckets near home of which one has room for a newcomer, or the table grows if it is loaded.
const NEAR: usize = 2;

/// To how many times its entries a table is enlarged at most: no more than the observation of so many is
/// good for.
const GROWTH: usize = if MODEL { 2 } else { 32 };
/// To twice that if it is enough, and not more than so many entries, whose buckets are 22 MB.
const SMALL: usize = if MODEL { 0 } else { 1 << 20 };

/// How many entries a table is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Those that there are.
    pub(crate) entries: usize,
    /// Those for which there should be room if the table has to grow.
    pub(crate) wanted: usize,
    /// Those that will come in all, as far as can be told; 0 if it cannot.
    pub(crate) expected: usize,
}

impl Sizes {
    /// Of a table for `max` entries at most: if they go on as they were, which weigh `used` of `bound`. But
    /// [`GROWTH`] times as many as there are at most, up to [`SMALL`] entries twice that; where it would not do, so many
    /// that the next segment does, which then has room for nearly all.
    pub(crate) fn new(entries: usize, max: usize, used: u64, bound: u64) -> Self {
        let expected = entries as u128 * u128::from(bound) / u128::from(used.max(1));
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let most = entries.saturating_mul(GROWTH);
        let enough = expected <= most.max(most.saturating_mul(2).min(SMALL));
        // A table is left when it is loaded, with a quarter more than it was made for.
        let wanted = if enough { expected } else { most.min(expected / GROWTH / 5 * 4) };
        let wanted = wanted.max(entries.saturating_mul(2)).min(max);
        Self { entries, wanted, expected: if enough { expected.min(max) } else { 0 } }
    }
}

/// A place in a first segment, or what is left of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting(Option<(u32, u64)>);

/// One of so many inserts asks whether the first segments are too small.
const SELDOM: u32 = 64;

fn is_seldom(hash: Hashed) -> bool {
    !MODEL && hash.place().is_multiple_of(SELDOM)
}

/// A claim was withdrawn, since its segment was closed meanwhile: begin anew.
pub(super) struct Withdrawn;

impl<K, V> Table<K, V> {
    /// What of a place outlasts the walk on which it was found.
    pub(crate) fn lasting(&self, place: Place<'_, K, V>) -> Lasting {
        Lasting(self.arena_index(place.bucket).map(|index| (index as u32, place.at)))
    }

    /// The place of a node whose key hashes so, which was, or is, in the slot of which `lasting` is what is left, and
    /// whose address cannot have come back. If it is in an appended segment: only as long as the slot says `word`.
    pub(crate) fn place_of<'t>(
        &'t self,
        hash: Hashed,
        lasting: Lasting,
        word: Word<Node<K, V>>,
        shelter: &'t impl Shelter,
    ) -> Option<Place<'t, K, V>> {
        match lasting.0 {
            Some((index, at)) => Some(Place { bucket: &self.arena()[index as usize], at }),
            None => self.find_appended(hash, word, shelter),
        }
    }

    /// The slot of an appended segment that says `word`, which names a node whose key hashes so.
    pub(super) fn find_appended<'t>(
        &'t self,
        hash: Hashed,
        word: Word<Node<K, V>>,
        shelter: &'t impl Shelter,
    ) -> Option<Place<'t, K, V>> {
        let met =
            look_beyond(self.shard(hash.place()), hash, shelter, move |bucket, step, tags| {
                let lane =
                    tags.matches(hash.tag()).find(|&lane| bucket.slot(lane).load() == word)?;
                Some(Place::new(bucket, lane, step))
            });
        if let Met::Found(place) = met { Some(place) } else { None }
    }

    /// Whether a newcomer with this hash takes a slot of its home in the first segment, if one is empty: what
    /// [`claim_in_newest`](Self::claim_in_newest) would come to, most often. Whoever appends meanwhile is told of
    /// it after the claim, as there.
    #[inline]
    pub(super) fn takes_home(&self, hash: Hashed) -> bool {
        self.grows.get() == 0 || !(is_seldom(hash) || self.shard(hash.place()).has_appended())
    }

    /// Claims an empty slot in the newest segment, which may have to be appended for it.
    #[inline(never)]
    pub(super) fn claim_in_newest<'t>(
        &'t self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
        sizes: &dyn Fn() -> Sizes,
        shelter: &'t impl Shelter,
    ) -> Result<Option<Place<'t, K, V>>, Withdrawn> {
        let shard = self.shard(hash.place());
        // What has to be enlarged, and by how much, is told by the same figures.
        let enlarge = |segment: &Segment<_>| {
            let sizes = sizes();
            self.is_outgrown(segment, &sizes)
                && self.extend(hash, segment.ordinal(), sizes, shelter)
        };
        'newest: loop {
            let segment = shard.last(shelter);
            if segment.ordinal() == 0 && self.surveys && is_seldom(hash) && enlarge(segment) {
                continue;
            }
            for (at, bucket) in probe(segment, hash.place()).enumerate() {
                if at == NEAR && enlarge(segment) {
                    continue 'newest;
                }
                let place = self.claim_open(segment, bucket, claim, at)?;
                if place.is_some() {
                    return Ok(place);
                }
            }
            return Ok(None);
        }
    }

    /// Claims an empty slot in any appended segment.
    pub(super) fn claim_in_appended<'t>(
        &'t self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
        shelter: &'t impl Shelter,
    ) -> Result<Option<Place<'t, K, V>>, Withdrawn> {
        for segment in self.shard(hash.place()).appended(shelter) {
            for (at, bucket) in probe(segment, hash.place()).enumerate() {
                let place = self.claim_open(segment, bucket, claim, at)?;
                if place.is_some() {
                    return Ok(place);
                }
            }
        }
        Ok(None)
    }

    /// Claims an empty slot of a bucket of `segment`, which is the `at`-th there, unless that is about to be taken
    /// back. A claim that was withdrawn is not to be used again: it would not be told from what it was.
    fn claim_open<'t>(
        &'t self,
        segment: &'t Segment<Node<K, V>>,
        bucket: &'t Bucket<Node<K, V>>,
        claim: Word<Node<K, V>>,
        at: usize,
    ) -> Result<Option<Place<'t, K, V>>, Withdrawn> {
        if segment.is_closed() {
            return Ok(None);
        }
        let Some(place) = claim_in(bucket, claim, segment.steps() + at) else { return Ok(None) };
        if !segment.is_open() {
            // Or a rival has, who saw the tag of the slot's last owner, which is the same.
            place.slot().abort(claim);
            return Err(Withdrawn);
        }
        // Who comes in sees to it that the hand comes by.
        if self.rows() < segment.rows_in_all() {
            // ORDERING: Relaxed. Advice to the hand.
            self.rows.fetch_max(segment.rows_in_all(), Ordering::Relaxed);
        }
        Ok(Some(place))
    }

    /// Whether a slot that is so many steps behind a key's home is beyond the first segment.
    pub(super) fn is_appended(&self, step: usize) -> bool {
        step >= self.shards[0].part() // they are of equal length
    }

    /// The walk on which a bucket was found, if it is one of an appended segment.
    pub(super) fn walk_to<'w>(&self, bucket: &'w Bucket<Node<K, V>>) -> Option<Walk<'w>> {
        segment::walk_to(self.arena(), bucket)
    }

    /// After a slot of `bucket`, of an appended segment, was emptied of a node whose key has this `place`. The segment
    /// may have been taken back since the slot is empty: its counts are nobody's then.
    #[inline(never)]
    pub(super) fn vacated_beyond(&self, bucket: &Bucket<Node<K, V>>, place: u32) {
        self.passed_beyond(bucket, place, Bucket::unpass);
    }

    /// Shows `count` the buckets that a key with this `place` has passed, in the segment that has `bucket`, on its
    /// way there; unless that is not the shard's any more.
    fn passed_beyond(
        &self,
        bucket: &Bucket<Node<K, V>>,
        place: u32,
        count: impl FnMut(&Bucket<Node<K, V>>),
    ) {
        let Some(walk) = self.walk_to(bucket) else { return };
        let at_home = |newest: &Segment<_>| std::ptr::eq(newest.appended_home(place), bucket);
        if self.shard(place).newest(&walk).is_some_and(at_home) {
            return; // it has passed nothing, as a rule
        }
        let found = self.spot_appended(place, bucket, &walk);
        if let Some((segment, index)) = found {
            probe(segment, place).take(segment.steps_within(place, index)).for_each(count);
        }
    }

    /// The appended segment, in the shard of `place`, that has `bucket`; and which one it is there.
    pub(super) fn spot_appended<'w>(
        &'w self,
        place: u32,
        bucket: &Bucket<Node<K, V>>,
        shelter: &'w impl Shelter,
    ) -> Option<(&'w Segment<Node<K, V>>, usize)> {
        let mut appended = self.shard(place).appended(shelter);
        appended.find_map(|segment| segment.index_of(bucket).map(|index| (segment, index)))
    }

    /// Marks what a claim at `place`, beyond the first segment, has passed, the home bucket last, which
    /// announces it: gives the home bucket's tags after that.
    pub(super) fn pass_segments(&self, hash: Hashed, place: Place<'_, K, V>) -> Tags {
        self.passed_beyond(place.bucket, hash.place(), |bucket| {
            bucket.pass();
        });
        let home = self.home_bucket(hash.place());
        if planted(Seed::UnsaidBeyond) && home.tags().beyond(hash.tag()) {
            return home.tags();
        }
        if planted(Seed::SilentBeyond) { home.announce() } else { home.pass_beyond(hash.tag()) }
    }

    /// Segments older than the newest one of the shard of `hash`.
    pub(super) fn ordinal(&self, hash: Hashed, shelter: &impl Shelter) -> usize {
        self.shard(hash.place()).last(shelter).ordinal()
    }

    /// Whether a table with so many buckets in each shard is loaded.
    pub(super) fn is_loaded(&self, rows: usize, entries: usize) -> bool {
        entries > (rows * self.shards.len()).saturating_mul(SLOTS) / 8 * 5
    }

    /// Whether the first segments are too small for what will come, of which an eighth of their slots is a good sample:
    /// the fewer entries are in them the fewer are found there, last. (First, where no newer segment will be known.)
    fn is_small(&self, sizes: &Sizes) -> bool {
        let slots = self.arena().len() * SLOTS;
        self.surveys && sizes.entries > slots / 8 && sizes.expected > slots
    }

    /// Whether a table whose shards end with a segment like this is to be enlarged.
    fn is_outgrown(&self, last: &Segment<Node<K, V>>, sizes: &Sizes) -> bool {
        self.is_loaded(last.rows_in_all(), sizes.entries)
            || last.ordinal() == 0 && self.is_small(sizes)
    }

    /// Appends a segment to the shard of `hash`, whose newest one, the `seen`-th, has no room or is too small. False if
    /// it has as many as it may.
    #[cold]
    pub(super) fn extend(
        &self,
        hash: Hashed,
        seen: usize,
        sizes: Sizes,
        shelter: &impl Shelter,
    ) -> bool {
        let shard = self.shard(hash.place());
        let last = shard.last(shelter);
        if last.ordinal() != seen {
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
        let outgrown = self.is_outgrown(last, &sizes);
        let wanted =
            if outgrown { buckets_for(sizes.wanted.div_ceil(self.shards.len())) } else { 0 };
        let len = wanted.saturating_sub(rows).max(spare).min(segment::MAX_BUCKETS);
        shard.append(last, len);
        reach(Step::Grown);
        if let Some(classes) = self.classes.as_ref().filter(|_| outgrown) {
            // ORDERING: SeqCst. Partner: the fence in `shrink`. Who takes back the room that is made, or was there, looks
            // after that whether the table has grown.
            fence(Ordering::SeqCst);
            classes.make_room(sizes.wanted, shelter);
        }
        true
    }

    /// Takes back the appended segments that are empty, as long as none behind them is in use, and frees those
    /// that nobody can see.
    pub(crate) fn shrink(&self, owner: NodeOwner<'_, K, V>) {
        let walker = owner.walker();
        // Who makes room for what is known, having appended a segment that is gone by then, leaves it to the next.
        let slots = self.arena().len() * SLOTS;
        let has_room = || self.classes.as_ref().is_some_and(|it| it.has_outgrown(slots, &walker));
        // As long as somebody is seen to walk who keeps what was taken back, no more is: so that somebody who stops
        // does not keep all that a cache has grown by, again and again.
        if !self.free_outgrown(owner) || !(self.has_grown() || has_room()) {
            return;
        }
        for shard in &self.shards {
            shard.shrink(&self.outgrown, walker.walk(), || owner.stamp());
        }
        if let Some(classes) = self.classes.as_ref().filter(|_| !self.has_grown())
            && classes.take_back(walker.walk(), || owner.stamp())
        {
            // ORDERING: SeqCst. Partner: the fence in `extend`. Who has just made the table grow finds that the room is
            // gone, or is found here to have done so.
            fence(Ordering::SeqCst);
            if self.has_grown() {
                let slots = self.count_rows(&walker) * self.shards.len() * SLOTS;
                classes.make_room(slots / 2, &walker);
            }
        }
        self.begin_where_most_are();
        // ORDERING: Relaxed. The fence orders what matters.
        self.rows.store(self.count_rows(&walker), Ordering::Relaxed);
        reach(Step::Recounted);
        // Partner: the light one in `Segment::is_open`: who has come into a segment that was not counted sees the
        // new number, or is seen here. (If nothing can be known, then the hand counts when it has to.)
        let _ = barrier::heavy();
        // ORDERING: Relaxed, as above.
        self.rows.fetch_max(self.count_rows(&walker), Ordering::Relaxed);
        drop(walker);
        self.free_outgrown(owner);
    }

    pub(super) fn has_grown(&self) -> bool {
        self.shards.iter().any(|shard| shard.has_appended())
    }

    /// Frees what was taken back and nobody can see any more. Whether that is all.
    fn free_outgrown(&self, owner: NodeOwner<'_, K, V>) -> bool {
        self.outgrown.free(|| owner.unseen());
        let known = self.classes.as_ref().is_none_or(|it| it.free(|| owner.unseen()));
        known && self.outgrown.is_empty()
    }

    /// Fetches what a write of a key with this hash will look at in a table that has grown.
    #[inline]
    pub(crate) fn fetch_beyond(&self, hash: Hashed, shelter: &impl Shelter) {
        if self.grows.get() != 0 && self.shard(hash.place()).has_appended() {
            self.fetch_newest(hash, shelter);
        }
    }

    #[inline(never)]
    fn fetch_newest(&self, hash: Hashed, shelter: &impl Shelter) {
        let Some(newest) = self.shard(hash.place()).newest(shelter) else { return };
        if let Some(classes) = &self.classes {
            classes.fetch(hash.place(), shelter);
        }
        if newest.is_known() {
            // Older ones are not looked at as a rule.
            prefetch_for_write(newest.appended_home(hash.place()));
            return;
        }
        // The second scan looks at all of them.
        let appended = self.shard(hash.place()).appended(shelter);
        appended.for_each(|segment| prefetch(segment.appended_home(hash.place())));
    }

    /// Buckets of the longest shard.
    pub(super) fn count_rows(&self, shelter: &impl Shelter) -> usize {
        self.shards.iter().map(|shard| shard.last(shelter).rows_in_all()).max().unwrap_or(0)
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_small_if_more_will_come_than_it_has_slots_for() {
        let table = Table::<u64, u64>::new(500, crate::config::Policy::Clock, Some(1 << 40));
        let slots = table.arena().len() * SLOTS;
        let is_small = |entries: usize, will_come: usize| {
            table.is_small(&Sizes::new(entries, 1 << 40, entries as u64, will_come as u64))
        };
        assert!(is_small(slots / 8 + 1, slots + 1) && is_small(slots / 8 + 1, 60 * slots / 8));
        assert!(!is_small(slots / 8, slots + 1), "too few to tell");
        assert!(!is_small(slots / 8 + 1, slots), "there is room");
        assert!(!is_small(slots / 2 + 1, slots / 2 + 1), "all have come");
        assert!(!is_small(slots / 8 + 1, 10 * slots), "there is no telling how many will come");
    }

    #[test]
    fn what_is_wanted_follows_from_what_was_seen() {
        let wanted = |entries, used, bound| Sizes::new(entries, 1 << 40, used, bound).wanted;
        assert_eq!(wanted(1000, 10_000, 100_000), 10_000);
        assert_eq!(wanted(1000, 10_000, 12_000), 2000); // twice as many at least
        assert_eq!(wanted(1000, 10_000, 320_000), 32_000);
        assert_eq!(wanted(1000, 10_000, 640_000), 64_000);
        assert_eq!(wanted(1000, 10_000, 650_000), 2000); // the next one will do
        assert_eq!(wanted(1000, 10_000, 3_200_000), 8_000);
        assert_eq!(wanted(1000, 10_000, u64::MAX), 32_000);
        assert_eq!(wanted(20_000, 20_000, 1 << 20), 1 << 20);
        assert_eq!(wanted(20_000, 20_000, 1 << 21), 52_428);
        assert_eq!(wanted(1 << 16, 1 << 16, 1 << 21), 1 << 21);
        assert_eq!((wanted(0, 0, u64::MAX), wanted(5, 0, u64::MAX)), (0, 160));
        let expected = |max, bound| Sizes::new(1000, max, 10_000, bound).expected;
        assert_eq!([12_000, 640_000].map(|bound| expected(1 << 40, bound)), [1200, 64_000]);
        assert_eq!([650_000, u64::MAX].map(|bound| expected(1 << 40, bound)), [0, 0]);
        assert_eq!(expected(5000, 640_000), 5000);
        assert_eq!(wanted(1 << 39, 1 << 39, u64::MAX), 1 << 40);
        assert_eq!(Sizes::new(usize::MAX, usize::MAX, 1, u64::MAX).wanted, usize::MAX);
    }
}
