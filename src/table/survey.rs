//! May a look-up end at the newest segment? It may, where that says of each home whether any of its keys is elsewhere.
//!
//! A key's home bucket in an appended segment says *beyond* of it if it may be in an older one, by one bit for every
//! eighth tag: one bit of one bucket at most for each key that there was when the segment came, and for each that found
//! no room in it later. So whoever finds neither the key nor that sign at home is done, if the segment is *known*:
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `tags` of an appended bucket, beyond | 0 -> 1 | who surveys, for a key in an older segment | exchange, AcqRel |
//! | the same | 0 -> 1 | an inserter with a claim in an older segment, before it announces | exchange, AcqRel |
//! | `surveyed` of a segment | 0 -> 1 | who has seen the segment and then fenced, heavily | exchange, AcqRel |
//! | `surveyed` | 1 + n -> 1 + m | who has looked, after that, at the older buckets n .. m, and marked | exchange, AcqRel |
//! | `surveyed` | -> [`KNOWN`] | the same, where these were the last | exchange, AcqRel |
//! | `surveyed` | 0 -> [`UNKNOWN`], for good | who could not fence, or finds that it is not worth it: most homes would say so | exchange, AcqRel |
//!
//! Claim, light fence, look at the newest segment; look at the newest segment, heavy fence, look at the slots: either
//! an inserter into an older segment sees the newer one, and marks its home there, or the survey sees the claim. A
//! survey does not pass a claim: it ends there, and the next one begins there. So whatever is in an older segment is
//! marked before the segment is known, or before it is finalised. A look-up loads `surveyed` before the tags, so it
//! misses no mark of a key that was there when it began. Who stops with a claim in an older segment keeps the newer one
//! from becoming known: look-ups go on to look everywhere, and those who would survey find the claim each time.
//!
//! The place of a key is read from its node, which may be replaced and retired meanwhile, and says something else then.
//! So the slot is looked at once more after that.
//!
//! The second scan of an inserter ends so, too: a rival with a claim in an older segment has marked before it announced,
//! and the scan begins after an announcement that has read the rival's; or the segment is not known as long as that
//! claim stands.
//!
//! And tables that were not made to grow, of caches whose `max_entries` was raised or that have hundreds of keys of one
//! hash, are never surveyed: their inserters do not mark.
//!
//! One insert of a few into a shard whose newest segment is not known surveys some buckets, `maintain` more.

#![forbid(unsafe_code)]

use crate::barrier;
use crate::hash::Hashed;
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::{Protect, Shelter};
use crate::seed::{Seed, planted};
use crate::sync::{MODEL, prefetch};
use crate::table::segment::{KNOWN, Segment, Shard, UNKNOWN};
use crate::table::{Occupant, Place, Table, occupant};
use crate::tags::SLOTS;

/// Older buckets that are surveyed at a time.
const PART: usize = if MODEL { 1 } else { 2 };
/// One of so many inserts surveys: so threads seldom do the same at a time, and for each newcomer about one home is
/// marked, in memory that was not touched before as a rule. It is not to be in use sooner than the newcomers use it.
const SELDOM: u32 = 8;
/// A segment with so many buckets for each older one is worth a survey: three of eight look-ups that find nothing in it
/// go on then, and fewer in larger ones.
const WORTH: usize = if MODEL { 0 } else { 1 };

impl<K, V> Table<K, V> {
    /// Surveys a few buckets for the newest segment of the shard of `hash`, unless that is known; now and then.
    #[inline]
    pub(super) fn survey_some<P>(&self, hash: Hashed, guard: &P)
    where
        P: Protect<Node<K, V>> + Shelter,
    {
        // LOOM: models survey when they mean to.
        if self.surveys && !MODEL && hash.place().is_multiple_of(SELDOM) {
            let shard = self.shard(hash.place());
            if shard.newest(guard).is_some_and(|newest| newest.surveyed() < UNKNOWN) {
                self.survey(shard, guard);
            }
        }
    }

    /// How many shards there are to be surveyed.
    pub(crate) fn shards_to_survey(&self) -> usize {
        if self.surveys && self.has_grown() { self.shards.len() } else { 0 }
    }

    /// Surveys a few buckets of the shard with this number. Whether there is more to survey, and no claim in the way.
    pub(crate) fn survey_shard<P>(&self, shard: usize, guard: &P) -> bool
    where
        P: Protect<Node<K, V>> + Shelter,
    {
        self.survey(&self.shards[shard], guard)
    }

    #[inline(never)]
    fn survey<P>(&self, shard: &Shard<Node<K, V>>, guard: &P) -> bool
    where
        P: Protect<Node<K, V>> + Shelter,
    {
        let Some(newest) = shard.newest(guard) else { return false };
        let (seen, rows) = (newest.surveyed(), newest.rows());
        if seen >= UNKNOWN {
            return false;
        }
        if seen == 0 {
            // Partner: the light one in `tell_newer`.
            // LOOM: no model misses it, for whoever surveys passes light ones, too, which are whole fences there.
            let worth = rows < UNKNOWN as usize && newest.buckets().len() >= WORTH * rows;
            let begins = worth && barrier::heavy();
            newest.has_surveyed(0, if begins { 1 } else { UNKNOWN });
            return true;
        }
        let from = seen as usize - 1;
        let to = rows.min(from + PART);
        let next = if to == rows { KNOWN } else { to as u32 + 1 };
        if planted(Seed::KnownTooSoon) {
            self.has_surveyed(newest, seen, next);
        }
        if !self.mark_those_in(shard, newest, (from, to), guard) {
            return false;
        }
        reach(Step::Surveyed);
        self.has_surveyed(newest, seen, next);
        true
    }

    /// The survey for `newest` has come from here to there, or another one has.
    fn has_surveyed(&self, newest: &Segment<Node<K, V>>, from: u32, to: u32) {
        newest.has_surveyed(from, to);
        if to == KNOWN {
            self.begin_where_most_are();
        }
    }

    /// Marks the homes, in `newest`, of the keys in older buckets. False if there is a claim.
    fn mark_those_in<P>(
        &self,
        shard: &Shard<Node<K, V>>,
        newest: &Segment<Node<K, V>>,
        (from, to): (usize, usize),
        guard: &P,
    ) -> bool
    where
        P: Protect<Node<K, V>>,
    {
        let buckets = (from..to).filter_map(|row| shard.bucket_before(newest, row));
        let slots = buckets.flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot)));
        // All nodes at once, since they are protected one after the other.
        if !MODEL {
            slots.clone().for_each(|(bucket, slot)| prefetch(bucket.slots[slot].load().into_raw()));
        }
        for (bucket, slot) in slots {
            match occupant(bucket, slot, guard) {
                Occupant::None => {}
                Occupant::Key(place, tag) => newest.appended_home(place).mark_beyond(tag),
                Occupant::Claim => return false,
            }
        }
        true
    }

    /// Before a claim of a key with this hash is announced, which has this place: sees to it that no search ends at a
    /// newer segment.
    #[inline]
    pub(super) fn tell_newer(&self, hash: Hashed, place: Place<'_, K, V>, shelter: &impl Shelter) {
        if !self.surveys || planted(Seed::Unmarked) {
            return;
        }
        // Partner: the heavy one in `survey`: either this sees the segment, or who surveys for it sees the claim.
        if !planted(Seed::NoTellFence) {
            barrier::light();
        }
        for segment in self.shard(hash.place()).appended(shelter) {
            if place.step() >= segment.steps() {
                break; // it is in this one
            }
            segment.appended_home(hash.place()).mark_beyond(hash.tag());
        }
    }
}
