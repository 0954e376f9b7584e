//! Who leaves? The clock hand: walks the buckets in a fixed order and evicts.
//!
//! The order of the sweep: rows in the order of [`clock::row_of`], in a row shard by shard, in a
//! bucket slot by slot; row `r` is the `r`-th bucket of each shard, those of appended segments
//! behind the others. That is a round. In each the hand looks at the slots of [`clock::part_of`]: for
//! `Policy::Clock` at all, so that a round is a turn; for `Policy::Adaptive` at half of each bucket. The hand is a
//! counter of buckets in that order; a thread takes a few from
//! it at a time and works through them alone, resuming after its last victim, so that the hands
//! of several threads are rarely on one line. With one thread this is exactly one hand that
//! resumes after its victim.
//!
//! What it does at an entry is told in `clock`. A race that is lost is skipped, never tried again. The
//! hand reads whole buckets from one line each and touches a node only when it has won it. Claims and
//! flights are passed over.
//!
//! After two full turns without a victim the hand gives up: everything is being inserted or loaded.

use std::ops::Range;
use std::ptr::NonNull;

use crate::adaptive;
use crate::clock::{self, Mode, Sweep};
use crate::local::Position;
use crate::node::{Node, NodeWalker};
use crate::pause::{Step, reach};
use crate::reclaim::Shelter;
use crate::seed::{Seed, planted};
use crate::slot::{Slot, State, Word};
use crate::sync::{MODEL, Ordering, prefetch_for_write};
use crate::table::bucket::Bucket;
use crate::table::segment::Segment;
use crate::table::{Place, Table, probe};
use crate::tags::{Lane, MOST_PASSED, SLOTS};

impl Position {
    /// Runs `evict` with a hand that passes over `node`.
    pub(super) fn sparing<T>(&self, node: *const (), evict: impl FnOnce() -> T) -> T {
        self.spared.set(node.addr() as u64);
        let evicted = evict();
        self.spared.set(0);
        evicted
    }

    #[inline]
    fn spares<N>(&self, word: Word<N>) -> bool {
        word.node().addr() as u64 == self.spared.get()
    }
}

/// A slot, and what it says.
type Here<'w, K, V> = (Place<'w, K, V>, Word<Node<K, V>>);

/// How far the hand goes for one victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until everything was seen twice; `Policy::Adaptive` takes whom it meets in the second turn.
    TwoTurns,
    /// Over a bounded number of buckets; then the least used entry that was seen must do.
    Buckets,
    /// Over so many entries in use, or over a bounded number of buckets; then there is no victim.
    Passes(u32),
}

/// A bucket with its address: which segment, and where in it.
struct Spot<'t, K, V> {
    segment: &'t Segment<Node<K, V>>,
    index: usize,
}

impl<'t, K, V> Spot<'t, K, V> {
    fn bucket(&self) -> &'t Bucket<Node<K, V>> {
        &self.segment.buckets()[self.index]
    }
}

impl<K, V> Table<K, V> {
    pub(super) fn rows(&self) -> usize {
        // ORDERING: Relaxed. Rows that are missed are not visited yet.
        self.rows.load(Ordering::Relaxed)
    }

    /// How many buckets a thread takes from the hand at once.
    fn range(&self) -> usize {
        if MODEL { 1 } else { (self.rows() * self.shards.len() / 64).clamp(1, 8) }
    }

    /// Bucket number `cursor`, counted row by row, if its shard has the row.
    fn spot<'w>(&'w self, cursor: usize, shelter: &'w impl Shelter) -> Option<Spot<'w, K, V>> {
        let shard = &self.shards[cursor & self.mask];
        let row = cursor >> self.shift;
        let segment: &Segment<_> = if row < shard.buckets().len() {
            shard
        } else {
            // In the newest as a rule.
            let newest = shard.newest(shelter)?;
            if newest.rows() <= row {
                newest
            } else {
                shard.appended(shelter).find(|segment| segment.rows() <= row)?
            }
        };
        let index = row - segment.rows();
        (index < segment.buckets().len()).then_some(Spot { segment, index })
    }

    /// The row of the `ordinal`-th bucket of the sweep.
    fn row_at(&self, ordinal: usize, rows: usize) -> usize {
        clock::row_of((ordinal >> self.shift) % clock::steps(rows), rows)
    }

    /// How the thread's hand sweeps, having visited so many buckets. Who has the patience for two turns
    /// must find an entry if there is one, also those that the queues have lost sight of.
    #[inline]
    fn mode(&self, position: &Position, patience: Patience, visited: usize) -> Mode {
        match patience {
            Patience::TwoTurns if visited > self.turn(self.rows()) => Mode::Anyone,
            Patience::TwoTurns => Mode::Adopting,
            _ => clock::mode_of(position.round.get() as usize),
        }
    }

    /// The cursor of the `ordinal`-th bucket of the sweep, whose row is `row`.
    fn cursor_at(&self, ordinal: usize, row: usize) -> usize {
        (row << self.shift) | (ordinal & self.mask)
    }

    /// The row of bucket `ordinal` of the sweep, where `row` is that of the bucket before it.
    #[inline]
    fn row_after(&self, ordinal: usize, row: usize, rows: usize) -> usize {
        if ordinal & self.mask == 0 { clock::row_after(row, rows) } else { row }
    }

    /// Row and round of bucket `ordinal` of the sweep, from those of the bucket before it.
    #[inline]
    fn following(
        &self,
        ordinal: usize,
        (row, round): (usize, usize),
        rows: usize,
    ) -> (usize, usize) {
        let row = self.row_after(ordinal, row, rows);
        let begins = row == 0 && ordinal & self.mask == 0;
        (row, round.wrapping_add(usize::from(begins)))
    }

    /// Unlinks the next victim. The caller takes over the slot's share of it and its room.
    #[inline]
    pub(crate) fn evict(
        &self,
        position: &Position,
        patience: Patience,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        self.evict_within::<true>(position, patience, &mut 0, walker)
    }

    /// The same, by the rules of one policy or the other, with the number of entries in use that the hand has passed
    /// over already.
    #[inline(always)]
    pub(super) fn evict_within<const ONE_LEVEL: bool>(
        &self,
        position: &Position,
        patience: Patience,
        passes: &mut u32,
        walker: &NodeWalker<'_, K, V>,
    ) -> Option<NonNull<Node<K, V>>> {
        debug_assert_eq!(ONE_LEVEL, self.classes.is_none());
        let mut visited = 0;
        let mut least_used: Option<(&Bucket<_>, Lane, bool)> = None;
        loop {
            if position.next.get() == position.end.get() {
                if visited > 2 * self.turn(self.rows()) {
                    if !self.has_more_rows(walker) {
                        return None;
                    }
                    visited = 0;
                }
                self.take_buckets(position);
            }
            let row = position.row.get() as usize;
            let part = clock::part_of(position.round.get() as usize, ONE_LEVEL);
            let shard: &Segment<_> = &self.shards[position.next.get() as usize & self.mask];
            let mode =
                if ONE_LEVEL { Mode::OneLevel } else { self.mode(position, patience, visited) };
            // Rows of the first segment, which is as a rule all.
            let bucket = shard.buckets().get(row).or_else(|| self.appended_at(position, walker));
            if let Some(bucket) = bucket {
                let most = match patience {
                    Patience::Passes(most) => most.saturating_sub(*passes),
                    _ => u32::MAX,
                };
                match evict_from(bucket, part, (mode, most), position) {
                    Visit::Evicted(lane, node, sweep) => {
                        if let Patience::Passes(_) = patience {
                            *passes += sweep.passes_before(lane);
                        }
                        position.slot.set(lane.slot() as u32 + 1);
                        return Some(self.evicted(bucket, node));
                    }
                    Visit::Stopped(lane) => {
                        position.slot.set(lane.slot() as u32);
                        return None;
                    }
                    Visit::Passed(sweep) => match patience {
                        Patience::Passes(_) => *passes += sweep.passes(),
                        Patience::Buckets => {
                            if let Some((lane, cold)) = sweep.least_used()
                                && least_used.is_none_or(|(_, _, is_cold)| cold && !is_cold)
                            {
                                least_used = Some((bucket, lane, cold));
                            }
                        }
                        Patience::TwoTurns => {}
                    },
                }
            }
            visited += 1;
            self.advance(position, walker);
            match patience {
                Patience::Passes(_) if visited >= adaptive::BUCKETS => return None,
                Patience::Buckets if visited >= adaptive::BUCKETS => {
                    let (bucket, lane, _) = least_used?;
                    let word = bucket.slot(lane).load();
                    let is_free = word.is_ready() && !position.spares(word);
                    if !is_free || !bucket.slot(lane).unlink(word) {
                        return None;
                    }
                    return NonNull::new(word.node()).map(|node| self.evicted(bucket, node));
                }
                _ => {}
            }
        }
    }

    /// After `node` was unlinked from a bucket.
    #[inline(always)]
    pub(super) fn evicted(
        &self,
        bucket: &Bucket<Node<K, V>>,
        node: NonNull<Node<K, V>>,
    ) -> NonNull<Node<K, V>> {
        reach(Step::Unlinked);
        // SAFETY: the exchange that emptied the slot gave us its share of the node.
        self.vacated_in(bucket, unsafe { node.as_ref() }.place());
        node
    }

    /// After a slot of `bucket` was emptied of a node whose key has this `place`.
    #[inline(always)]
    fn vacated_in(&self, bucket: &Bucket<Node<K, V>>, place: u32) {
        if !std::ptr::eq(bucket, self.home_bucket(place)) {
            self.vacated_elsewhere(bucket, place);
        }
    }

    /// After a slot of `bucket` was emptied of a node whose key has this `place` and another home.
    #[inline(never)]
    fn vacated_elsewhere(&self, bucket: &Bucket<Node<K, V>>, place: u32) {
        let Some(index) = self.arena_index(bucket) else {
            return self.vacated_beyond(bucket, place);
        };
        let per_shard = self.shards[0].buckets().len();
        let (shard, index) = (&self.shards[index / per_shard], index % per_shard);
        probe(shard, place).take(shard.steps_within(place, index)).for_each(Bucket::unpass);
    }

    /// The cursor of a bucket of an appended segment, which is in the shard of `place`.
    #[cold]
    pub(super) fn cursor_of_appended(
        &self,
        place: u32,
        bucket: &Bucket<Node<K, V>>,
    ) -> Option<usize> {
        let walk = self.walk_to(bucket)?;
        let (segment, index) = self.spot_appended(place, bucket, &walk)?;
        Some((segment.rows() + index) << self.shift | self.shard_index(place))
    }

    /// The bucket with this cursor, if there is one.
    #[cold]
    pub(super) fn bucket_at<'w>(
        &'w self,
        cursor: usize,
        walker: &'w NodeWalker<'_, K, V>,
    ) -> Option<&'w Bucket<Node<K, V>>> {
        self.spot(cursor, walker).map(|spot| spot.bucket())
    }

    /// The cursor of a bucket of the arena.
    pub(crate) fn cursor_of(&self, index: usize) -> usize {
        let per_shard = self.shards[0].buckets().len();
        (index % per_shard) << self.shift | (index / per_shard)
    }

    /// The bucket at which the thread stands, in an appended segment, if the shard has its row.
    #[cold]
    #[inline(never)]
    fn appended_at<'w>(
        &'w self,
        position: &Position,
        walker: &'w NodeWalker<'_, K, V>,
    ) -> Option<&'w Bucket<Node<K, V>>> {
        let (ordinal, row) = (position.next.get() as usize, position.row.get() as usize);
        self.bucket_at(self.cursor_at(ordinal, row), walker)
    }

    #[cold]
    #[inline(never)]
    fn fetch_appended(&self, cursor: usize, walker: &NodeWalker<'_, K, V>) {
        if let Some(bucket) = self.bucket_at(cursor, walker) {
            prefetch_for_write(bucket);
        }
    }

    /// Buckets that the hand visits in a turn over so many rows, those included that do not exist.
    fn turn(&self, rows: usize) -> usize {
        clock::rounds(self.classes.is_none()) * clock::steps(rows) * self.shards.len()
    }

    /// The round in which the `ordinal`-th bucket of the sweep is.
    fn round_at(&self, ordinal: usize, rows: usize) -> usize {
        (ordinal >> self.shift) / clock::steps(rows)
    }

    /// Takes the next few buckets from the hand.
    #[inline(never)]
    fn take_buckets(&self, position: &Position) {
        let range = self.range();
        // ORDERING: Relaxed. The hand only spreads the threads; nothing is published.
        let start = self.hand.fetch_add(range, Ordering::Relaxed);
        position.next.set(start as u64);
        position.end.set(start.wrapping_add(range) as u64);
        position.row.set(self.row_at(start, self.rows()) as u64);
        position.slot.set(0);
        position.round.set(self.round_at(start, self.rows()) as u32);
    }

    /// Whether there are more rows than the hand knew, who knows them now. Somebody who has counted too few may be
    /// stopped before he has looked again.
    #[cold]
    #[inline(never)]
    fn has_more_rows(&self, walker: &NodeWalker<'_, K, V>) -> bool {
        let rows = self.count_rows(walker);
        // ORDERING: Relaxed, as in `rows`.
        self.rows.fetch_max(rows, Ordering::Relaxed) < rows
    }

    /// Goes on to the next bucket, and fetches the one after it, in time for when the hand is
    /// there.
    #[inline]
    fn advance(&self, position: &Position, walker: &NodeWalker<'_, K, V>) {
        let next = (position.next.get() as usize).wrapping_add(1);
        let here = (position.row.get() as usize, position.round.get() as usize);
        let (row, round) = self.following(next, here, self.rows());
        position.next.set(next as u64);
        position.row.set(row as u64);
        position.round.set(round as u32);
        position.slot.set(0);
        let after = next.wrapping_add(1);
        if after as u64 != position.end.get() {
            let (shard, row) =
                (&self.shards[after & self.mask], self.row_after(after, row, self.rows()));
            match shard.buckets().get(row) {
                Some(bucket) => prefetch_for_write(bucket),
                None => self.fetch_appended(self.cursor_at(after, row), walker),
            }
        }
    }

    /// All buckets, those appended meanwhile not necessarily. Some that do not exist are among them.
    pub(crate) fn cursors(&self, shelter: &impl Shelter) -> Range<usize> {
        0..self.count_rows(shelter) * self.shards.len()
    }

    /// Whether there may be a bucket with this cursor, or a later one.
    pub(crate) fn reaches(&self, cursor: usize, shelter: &impl Shelter) -> bool {
        let row = cursor >> self.shift;
        row < self.rows() || row < self.count_rows(shelter)
    }

    /// One slot of the bucket with this cursor, if there is one. The place can be used to change
    /// the slot; its `step` is 0, so [`vacated_at`](Self::vacated_at) must follow an unlinking.
    pub(crate) fn slot_at<'w>(
        &'w self,
        cursor: usize,
        slot: usize,
        shelter: &'w impl Shelter,
    ) -> Option<Here<'w, K, V>> {
        let bucket = self.spot(cursor, shelter)?.bucket();
        Some((Place::new(bucket, Lane::of(slot), 0), bucket.slots[slot].load()))
    }

    /// After the slot at `at`, which [`slot_at`](Self::slot_at) gave, was emptied of a node whose key's place is
    /// `place`.
    pub(crate) fn vacated_at(&self, at: Place<'_, K, V>, place: u32) {
        self.vacated_in(at.bucket, place);
    }

    /// All slots in use, in the order in which the running thread's hand would evict them if
    /// nothing else happened: from the hand on, first the cold ones, then the others.
    pub(crate) fn coldest_first(
        &self,
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) -> Vec<(usize, usize)> {
        // One number for all of it, whatever becomes of the table meanwhile.
        let (rows, one_level) = (self.count_rows(walker), self.classes.is_none());
        let (next, end) = (position.next.get() as usize, position.end.get() as usize);
        // ORDERING: Relaxed, as in `evict`.
        let hand = self.hand.load(Ordering::Relaxed);
        // The rest of this thread's buckets, then a turn from the shared hand. The turn comes back
        // to the bucket at which the thread stands: what it has passed there comes last.
        let here = (next, position.row.get() as usize, position.round.get() as usize);
        let own = std::iter::successors(Some(here), |&(ordinal, row, round)| {
            let ordinal = ordinal.wrapping_add(1);
            let (row, round) = self.following(ordinal, (row, round), rows);
            Some((ordinal, row, round))
        });
        let own = own.take(end.wrapping_sub(next));
        let shared = (0..self.turn(rows)).map(|i| hand.wrapping_add(i));
        let shared = shared.map(|at| (at, self.row_at(at, rows), self.round_at(at, rows)));

        let mut resume = if next == end { 0 } else { position.slot.get() as usize };
        let (mut cold, mut fresh) = (Vec::new(), Vec::new());
        for (ordinal, row, round) in own.chain(shared) {
            let cursor = self.cursor_at(ordinal, row);
            let from = std::mem::take(&mut resume);
            let Some(spot) = self.spot(cursor, walker) else { continue };
            let bucket = spot.bucket();
            for slot in clock::part_of(round, one_level).filter(|&slot| slot >= from) {
                if bucket.slots[slot].load().is_ready() {
                    let is_next = clock::is_next(bucket.clock(), Lane::of(slot), one_level);
                    let order = if is_next { &mut cold } else { &mut fresh };
                    order.push((cursor, slot));
                }
            }
        }
        cold.append(&mut fresh);
        // Those on probation leave first, in the order of their queue.
        let mut listed = std::collections::HashSet::new();
        self.on_probation(position, walker)
            .into_iter()
            .chain(cold)
            .filter(|&at| listed.insert(at))
            .collect()
    }
}

/// What the hand did in one bucket.
enum Visit<K, V> {
    Evicted(Lane, NonNull<Node<K, V>>, Sweep),
    Passed(Sweep),
    /// It has passed over as many in use as it may, and stands before one more.
    Stopped(Lane),
}

/// Works through these slots of a bucket: changes the bits of what it passes, unlinks the first
/// victim. It passes over `most` in use.
#[inline(always)]
fn evict_from<K, V>(
    bucket: &Bucket<Node<K, V>>,
    part: Range<usize>,
    (mode, most): (Mode, u32),
    position: &Position,
) -> Visit<K, V> {
    let ready = bucket.ready_in(part, position.slot.get() as usize);
    let sweep = Sweep::new(bucket.clock(), ready, mode);
    if most < SLOTS as u32
        && let Some(lane) = sweep.stop_after(most)
    {
        bucket.flip(sweep.stopped_before(lane));
        return Visit::Stopped(lane);
    }
    let mut victims = sweep.victims;
    while victims != 0 {
        let (lane, others) = (Lane::first_of(victims), victims & (victims - 1));
        let word = bucket.slot(lane).load();
        // The next victim, if it is in this bucket (else this one): its node will have come by
        // the time that it is evicted.
        let next = Lane::first_of(if others == 0 { victims } else { others });
        prefetch_for_write(bucket.slot(next).load().node());
        if word.is_ready()
            && !position.spares(word)
            && (bucket.slot(lane).unlink(word) || planted(Seed::HandDecides))
            && let Some(node) = NonNull::new(word.node())
        {
            bucket.flip(sweep.stopped_at(lane));
            return Visit::Evicted(lane, node, sweep);
        }
        victims = others;
    }
    if planted(Seed::AgeInSlot) {
        bucket.slots.iter().for_each(Slot::write_back);
    }
    bucket.flip(sweep.all_passed());
    Visit::Passed(sweep)
}

/// What `Store::validate` checks of the table.
impl<K, V> Table<K, V> {
    /// Whether a slot of bucket `cursor` is on the probe of a key with this `place`, and all
    /// buckets before it say that something passed.
    pub(crate) fn check_place(
        &self,
        cursor: usize,
        at: Place<'_, K, V>,
        place: u32,
        shelter: &impl Shelter,
    ) -> Result<(), String> {
        let Some(Spot { segment, index }) = self.spot(cursor, shelter) else { return Ok(()) };
        let tag = at.bucket.tags().tag(at.lane().slot());
        if segment.ordinal() > 0 && !self.home_bucket(place).tags().beyond(tag) {
            return Err(format!("bucket {cursor}: an entry beyond a home that does not say so"));
        }
        let mut newer =
            self.shard(place).appended(shelter).take_while(|it| it.ordinal() > segment.ordinal());
        if newer.any(|it| it.is_known() && !it.appended_home(place).tags().beyond(tag)) {
            return Err(format!(
                "bucket {cursor}: an entry of which a newer segment does not know"
            ));
        }
        let mut probe = probe(segment, place);
        let mut passed = probe.by_ref().take(segment.steps_within(place, index));
        if passed.any(|bucket| bucket.tags().passed() == 0) {
            return Err(format!("bucket {cursor}: an entry behind a bucket that says the end"));
        }
        match probe.next() {
            Some(bucket) if std::ptr::eq(bucket, at.bucket) => Ok(()),
            _ => Err(format!("bucket {cursor}: an entry that is not on its probe")),
        }
    }

    /// Whether each overflow count is the number of entries and flights that passed the bucket.
    pub(crate) fn check_overflow_counts(
        &self,
        place_of: impl Fn(Word<Node<K, V>>) -> u32,
        shelter: &impl Shelter,
    ) -> Result<(), String> {
        let mut expected = std::collections::HashMap::new();
        let spots = || self.cursors(shelter).filter_map(|at| Some((at, self.spot(at, shelter)?)));
        for (_, spot) in spots() {
            for slot in &spot.bucket().slots {
                let word = slot.load();
                if matches!(word.state(), State::Ready | State::Loading) {
                    let place = place_of(word);
                    let steps = spot.segment.steps_within(place, spot.index);
                    for passed in probe(spot.segment, place).take(steps) {
                        *expected.entry(std::ptr::from_ref(passed)).or_insert(0) += 1;
                    }
                }
            }
        }
        for (cursor, spot) in spots() {
            if spot.segment.is_closed() {
                return Err(format!("bucket {cursor}: its segment was left closed"));
            }
            let bucket = spot.bucket();
            let (counted, found) =
                (bucket.tags().passed(), expected.get(&std::ptr::from_ref(bucket)).copied());
            let known = counted != MOST_PASSED;
            if known && counted != found.unwrap_or(0) {
                return Err(format!("bucket {cursor}: {counted} counted as passed, {found:?} did"));
            }
        }
        Ok(())
    }
}
