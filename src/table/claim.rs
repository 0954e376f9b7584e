//! How does a key get a slot, exactly one? Claim, announce, scan again, finalise.
//!
//! 1. Scan the probe for the key. If it is there, that is the answer. (In a table that has grown a newest segment
//!    may say that it is not; nothing rests on that, step 4 alone makes the key unique.)
//! 2. **Claim** the first empty slot of the probe (no pointer in it yet), write its tag. If there are newer
//!    segments, mark the key's home there (`survey`).
//! 3. **Announce** by a read-modify-write of the *home* bucket's tag word: the writing of the tag
//!    where the slot is at home, else the count of an entry that passes (the buckets between
//!    first, home last). Its result is the snapshot for step 4.
//! 4. **Scan again** from that snapshot. Another slot has the key: withdraw, use that one. Another
//!    claim of the key: one of the two gives way, see below.
//! 5. **Finalise** by exchanging the claim for the node, done by the caller (`store`).
//!
//! Why no key gets two slots: any two inserters of a key do an RMW on one word, its home's tags.
//! The later one reads what the earlier one wrote, so by release and acquire its second scan sees
//! the earlier one's claim or entry, and it finalises only after it found none, or aborted it. An
//! aborted claimer's exchange in step 5 fails, since no other claim equals its own. (A scan may end early at a
//! segment that does not say that the key may be in an older one: rivals there have said so in step 2.)
//! Nothing here wraps around and no fence is needed. A plain load in place of the RMW of step 3,
//! or no step 4, gives duplicates (`loom-tests/tests/insert.rs` has both as seeded bugs).
//!
//! Two claims meet: the one later in probe order gives way. The earlier one aborts it on sight;
//! the later one withdraws and comes back. A claimer that is stopped stops nobody: after
//! `PATIENCE` rounds its claim is aborted whatever the order. A rival aborts only a claim whose
//! tag it has seen *after* the claim (see `Bucket::write_tag`); a claim whose tag is not yet
//! there has not been announced, so its owner will see ours.

#![forbid(unsafe_code)]

use equivalent::Equivalent;

use crate::counter::OwnedCounter;
use crate::hash::Hashed;
use crate::node::Node;
use crate::pause::{Step, reach};
use crate::reclaim::{Protect, Shelter};
use crate::seed::{Seed, planted};
use crate::slot::{State, Word};
use crate::sync::{MODEL, spin_loop, yield_now};
use crate::table::beyond::{Met, look_beyond};
use crate::table::bucket::Bucket;
use crate::table::grown::Withdrawn;
use crate::table::{Found, LONG_PROBES, Place, Sizes, Table, examine, probe};
use crate::tags::{Matches, Tags};

/// Rounds for which a claimer gives way to an earlier claim of its key.
const PATIENCE: usize = if MODEL { 1 } else { 64 };

/// The outcome of looking for a key in order to write it.
pub(crate) enum Acquired<'t, K, V> {
    /// The key has an entry or a flight, protected by the guard that was given.
    Occupied(Found<'t, K, V>),
    /// The key has none, and this claim is the only one that can give it one.
    Claimed(Claim<'t, K, V>),
    /// Hundreds of other keys with the same hash fill everything that the probe can reach.
    Crowded,
}

/// A claimed slot. Withdrawn when dropped.
#[must_use]
pub(crate) struct Claim<'t, K, V> {
    table: &'t Table<K, V>,
    hash: Hashed,
    place: Place<'t, K, V>,
    word: Word<Node<K, V>>,
}

impl<'t, K, V> Claim<'t, K, V> {
    /// Exchanges the claim for `to`. If the claim was aborted, `None`: the caller starts again.
    #[inline(always)]
    pub(crate) fn finalise(self, to: Word<Node<K, V>>) -> Option<Place<'t, K, V>> {
        reach(Step::BeforeFinalise);
        let place = self.place;
        if !place.slot().finalise(self.word, to) {
            return None; // dropped: the counts are taken back
        }
        std::mem::forget(self);
        reach(Step::Finalised);
        Some(place)
    }
}

/// Withdraws: gives the slot back, also when a user's `Eq` panics during the second scan, or `to_owned` after it.
impl<K, V> Drop for Claim<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        self.table.withdraw(self.hash, self.place, self.word);
    }
}

/// Who claims: a thread's number, and the count of its claims.
#[derive(Clone, Copy)]
pub(crate) struct Claimer<'c> {
    pub(crate) thread: usize,
    pub(crate) claims: &'c OwnedCounter,
}

/// What the scan after the announcement found.
enum Rescan<'t, K, V> {
    Alone,
    Occupied(Found<'t, K, V>),
    GiveWay,
}

impl<K, V> Table<K, V> {
    /// Finds `key`, or claims a slot for it. `sizes` is asked if a segment may be needed.
    ///
    /// A thread goes round again only because another one claimed, finalised or gave way
    /// meanwhile, or, `PATIENCE` times, to let it. (Two impatient claimers of one key may abort
    /// each other, again and again only if a scheduler wills it so.)
    #[inline(always)]
    pub(crate) fn acquire<'t, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
        claimer: Claimer<'_>,
        sizes: impl Fn() -> Sizes,
    ) -> Acquired<'t, K, V>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        let home = self.home_bucket(hash.place());
        for round in 0.. {
            let nowhere =
                !self.begins_at_home() && self.surveys && self.is_nowhere(hash, None, guard);
            if !nowhere && let Some(found) = self.locate_from(home, hash, key, guard) {
                return Acquired::Occupied(found);
            }
            let claim = Word::claim(hash, claimer.thread, claimer.claims.next());
            let place = match home.first_empty() {
                Some(lane) if self.takes_home(hash) && home.slot(lane).claim(claim) => {
                    Place::new(home, lane, 0)
                }
                _ => {
                    self.survey_some(hash, guard);
                    let newest = self.ordinal(hash, guard);
                    match self.claim_in_probe(hash, claim, &sizes, guard) {
                        Ok(Some(place)) => place,
                        Err(Withdrawn) => continue,
                        Ok(None) if self.extend(hash, newest, sizes(), guard) => continue,
                        Ok(None) => return Acquired::Crowded,
                    }
                }
            };
            reach(Step::Claimed);
            if !planted(Seed::LateMark) {
                self.tell_newer(hash, place, guard);
            }
            let before = planted(Seed::StaleSnapshot).then(|| self.home_tags(hash));
            let Some(snapshot) = self.announce(hash, place, claim) else { continue };
            let snapshot = before.unwrap_or(snapshot);
            reach(Step::Announced);
            if planted(Seed::LateMark) {
                self.tell_newer(hash, place, guard);
            }
            let claimed = Claim { table: self, hash, place, word: claim };
            match self.rescan(hash, key, guard, place, snapshot, round >= PATIENCE) {
                Rescan::Alone => return Acquired::Claimed(claimed),
                Rescan::Occupied(found) => {
                    drop(claimed);
                    return Acquired::Occupied(found);
                }
                Rescan::GiveWay => {
                    drop(claimed);
                    // The other may be running on another core, or not at all.
                    if round % 8 == 7 { yield_now() } else { spin_loop() }
                }
            }
        }
        unreachable!("an endless range ended")
    }

    /// Of a claim's parts and not of the claim, which is thus never needed in memory.
    #[cold]
    #[inline(never)]
    fn withdraw(&self, hash: Hashed, place: Place<'_, K, V>, claim: Word<Node<K, V>>) {
        // Whether it was aborted meanwhile or not, the counts are this thread's to take back.
        place.slot().abort(claim);
        self.vacated(hash, place);
    }

    fn home_tags(&self, hash: Hashed) -> Tags {
        self.home_bucket(hash.place()).tags()
    }

    /// Claims the first empty slot in probe order; in a table that grows, in the newest segment first.
    #[inline(never)]
    fn claim_in_probe<'t>(
        &'t self,
        hash: Hashed,
        claim: Word<Node<K, V>>,
        sizes: &dyn Fn() -> Sizes,
        shelter: &'t impl Shelter,
    ) -> Result<Option<Place<'t, K, V>>, Withdrawn> {
        if self.grows.get() != 0
            && let Some(place) = self.claim_in_newest(hash, claim, sizes, shelter)?
        {
            return Ok(Some(place));
        }
        let home = self.home_bucket(hash.place());
        if LONG_PROBES && home.first_empty().is_none() {
            let second = self.second_bucket(hash.place());
            if let Some(lane) = second.first_empty()
                && second.slot(lane).claim(claim)
            {
                return Ok(Some(Place::new(second, lane, 1)));
            }
        }
        let mut buckets = probe(self.shard(hash.place()), hash.place()).enumerate();
        match buckets.find_map(|(step, bucket)| claim_in(bucket, claim, step)) {
            None => self.claim_in_appended(hash, claim, shelter),
            place => Ok(place),
        }
    }

    /// Writes the tag and announces on the home word. `None` if a rival aborted the claim before
    /// anything was counted.
    #[inline(always)]
    fn announce(
        &self,
        hash: Hashed,
        place: Place<'_, K, V>,
        claim: Word<Node<K, V>>,
    ) -> Option<Tags> {
        let still_claimed = || place.slot().load() == claim;
        let written = place.bucket.write_tag(place.lane(), hash.tag(), still_claimed)?;
        if place.step() == 0 {
            return Some(written);
        }
        self.announce_displaced(hash, place)
    }

    #[inline(never)]
    fn announce_displaced(&self, hash: Hashed, place: Place<'_, K, V>) -> Option<Tags> {
        reach(Step::Tagged);
        if LONG_PROBES && place.step() == 1 {
            return Some(self.home_bucket(hash.place()).pass());
        }
        if self.is_appended(place.step()) {
            return Some(self.pass_segments(hash, place));
        }
        let mut passed = probe(self.shard(hash.place()), hash.place()).take(place.step());
        let home = passed.next()?; // `step > 0`: there is one
        passed.for_each(|bucket| {
            bucket.pass();
        });
        Some(home.pass())
    }

    /// Step 4: looks for rivals of the claim at `mine`.
    #[inline(always)]
    fn rescan<'t, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
        mine: Place<'_, K, V>,
        snapshot: Tags,
        impatient: bool,
    ) -> Rescan<'t, K, V>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        if planted(Seed::NoRescan) {
            return Rescan::Alone;
        }
        if others(snapshot, 0, hash, mine).is_empty() && snapshot.is_end() {
            return Rescan::Alone;
        }
        // Where nothing went beyond there is no newest segment that could say so.
        if snapshot.beyond(hash.tag()) && self.is_nowhere(hash, Some(mine), guard) {
            return Rescan::Alone;
        }
        self.rescan_probe(hash, key, guard, mine, snapshot, impatient)
    }

    /// Whether a newest segment that is known says that a key with this hash is nowhere: nothing at home there looks like
    /// it, but for a claim at `mine`, nothing passed, and nothing is said to be in an older one.
    #[inline]
    fn is_nowhere(
        &self,
        hash: Hashed,
        mine: Option<Place<'_, K, V>>,
        shelter: &impl Shelter,
    ) -> bool {
        let Some(newest) = self.shard(hash.place()).newest(shelter) else { return false };
        let known = newest.is_known();
        let home = newest.appended_home(hash.place());
        let tags = home.tags();
        let matches = tags.matches(hash.tag());
        let others = match mine {
            Some(mine) if std::ptr::eq(home, mine.bucket) => matches.without(mine.lane()),
            _ => matches,
        };
        let passed = tags.passed() != 0 && !planted(Seed::NonePassed);
        known && others.is_empty() && !passed && !tags.beyond(hash.tag())
    }

    /// The second scan where there is something to look at.
    #[inline(never)]
    fn rescan_probe<'t, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
        mine: Place<'_, K, V>,
        snapshot: Tags,
        impatient: bool,
    ) -> Rescan<'t, K, V>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        let look = move |bucket, step, tags| {
            others(tags, step, hash, mine).find_map(|lane| {
                let place = Place::new(bucket, lane, step);
                match rival(hash, key, guard, place, impatient || place.at > mine.at) {
                    Rescan::Alone => None,
                    other => Some(other),
                }
            })
        };
        let shard = self.shard(hash.place());
        if snapshot.beyond(hash.tag()) {
            match look_beyond(shard, hash, guard, look) {
                Met::Found(met) => return met,
                Met::End => return Rescan::Alone,
                Met::Nothing => {}
            }
        }
        // As a rule, something passed and nothing in the home bucket looks like the key.
        let mut first = 0;
        if LONG_PROBES && others(snapshot, 0, hash, mine).is_empty() {
            if snapshot.passed() == 0 {
                return Rescan::Alone;
            }
            let tags = self.second_bucket(hash.place()).tags();
            if others(tags, 1, hash, mine).is_empty() {
                if tags.passed() == 0 {
                    return Rescan::Alone;
                }
                first = 2;
            }
        }
        for (step, bucket) in probe(shard, hash.place()).enumerate().skip(first) {
            let tags = if step == 0 { snapshot } else { bucket.tags() };
            if let Some(met) = look(bucket, step, tags) {
                return met;
            }
            if tags.passed() == 0 {
                break;
            }
        }
        Rescan::Alone
    }
}

/// Claims an empty slot of the `step`-th bucket of a probe.
pub(super) fn claim_in<K, V>(
    bucket: &Bucket<Node<K, V>>,
    claim: Word<Node<K, V>>,
    step: usize,
) -> Option<Place<'_, K, V>> {
    while let Some(lane) = bucket.first_empty() {
        if bucket.slot(lane).claim(claim) {
            return Some(Place::new(bucket, lane, step));
        }
    }
    None
}

/// The slots of the `step`-th bucket of a probe whose tag is that of `hash`, but for the one at `mine`.
#[inline(always)]
fn others<K, V>(tags: Tags, step: usize, hash: Hashed, mine: Place<'_, K, V>) -> Matches {
    let matches = tags.matches(hash.tag());
    if mine.step() == step { matches.without(mine.lane()) } else { matches }
}

/// Looks at one slot whose tag matches ours. A claim of the same key there is aborted if `abort`.
fn rival<'t, K, V, Q, P>(
    hash: Hashed,
    key: &Q,
    guard: &P,
    place: Place<'t, K, V>,
    abort: bool,
) -> Rescan<'t, K, V>
where
    Q: Equivalent<K> + ?Sized,
    P: Protect<Node<K, V>>,
{
    let slot = place.slot();
    loop {
        let word = slot.load();
        match word.state() {
            State::Empty => return Rescan::Alone,
            State::Claimed => {
                if !word.claims(hash) || !announces(place, hash) {
                    return Rescan::Alone;
                }
                if !abort {
                    return Rescan::GiveWay;
                }
                if slot.abort(word) {
                    return Rescan::Alone;
                }
                // It was finalised or withdrawn under our hands: look again.
            }
            State::Ready | State::Loading => {
                match examine::<false, _, _, _, _>(place.bucket, place.lane(), key, guard) {
                    Some((word, node)) => return Rescan::Occupied(Found { place, word, node }),
                    // Another key, or it changed: a slot that changes once more is not ours to
                    // fear unless it holds our key, which only a later announcer can bring.
                    None => return Rescan::Alone,
                }
            }
        }
    }
}

/// Whether the claim that was just seen in the slot has its tag written, so that aborting it
/// cannot make its owner write into somebody else's.
fn announces<K, V>(place: Place<'_, K, V>, hash: Hashed) -> bool {
    planted(Seed::AbortUnseen) || place.bucket.tags().tag(place.lane().slot()) == hash.tag()
}
