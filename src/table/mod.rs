//! Where is a key? Shards of buckets, the probe order, and the search that a hit consists of.
//!
//! The probe of a key: in each segment of its shard, from its home bucket there, `PROBE` buckets in
//! order (all of them if there are fewer). A search of a segment ends at the first bucket that no
//! entry has passed, as a rule the first; and as a rule there is one segment, see `grown`. When the
//! whole probe is full, a further one is appended, so an insert always finds a slot for its key unless
//! hundreds of keys share one hash; nothing is ever evicted or refused because of where a key hashes to.
//!
//! The room answers where; it changes no slot. `claim` inserts, `sweep` and `classes` evict.

mod beyond;
pub(crate) mod bucket;
pub(crate) mod claim;
mod classes;
mod ghost;
mod grown;
mod larger;
mod memory;
mod outgrown;
mod place;
pub(crate) mod probation;
mod segment;
mod standing;
mod survey;
pub(crate) mod sweep;
mod trials;
mod weighed;

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;
use equivalent::Equivalent;

use crate::advice::Hint;
use crate::config::Policy;
use crate::hash::{self, Hashed};
use crate::node::Node;
use crate::reclaim::{Protect, Reader, Shelter};
use crate::seed::{Seed, planted};
use crate::slot::{State, Word};
use crate::sync::{
    AtomicUsize, MODEL, Ordering, cores, fence, learn_to_prefetch, prefetch, prefetch_for_write,
};
use crate::tags::{Lane, SLOTS, Tags};
use beyond::{Met, search_appended};
use bucket::Bucket;
use classes::Classes;
pub(crate) use grown::{Lasting, Sizes};
use memory::Array;
use outgrown::Outgrown;
pub(crate) use place::{Found, Place};
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use segment::next_home;
use segment::{Segment, Shard};
pub(crate) use weighed::Demand;

/// Buckets of one segment that a probe visits. Where they are all full, which is rare at the
/// usual load, the key goes to the next segment.
const PROBE: usize = if MODEL { 2 } else { 8 };
/// Whether every first segment is so long that the second bucket of a probe is another one.
const LONG_PROBES: bool = MIN_BUCKETS > 1;
/// Segments of one shard.
const MAX_SEGMENTS: usize = if MODEL { 3 } else { 16 };
/// Entries per shard at least: the hands of smaller shards would see too little to judge.
const SHARD_ENTRIES: usize = 4096;
/// The most shards.
const MAX_SHARDS: usize = 1 << 10;

/// Shards on lines of their own.
type Shards<K, V> = Box<[CachePadded<Shard<Node<K, V>>>]>;

/// All buckets of a cache.
pub(crate) struct Table<K, V> {
    /// Their buckets are in the arena, so they go before it.
    shards: Shards<K, V>,
    /// Appended segments that were taken back.
    outgrown: Outgrown<Segment<Node<K, V>>>,
    /// The first segments of all shards, one after the other.
    arena: Array<Bucket<Node<K, V>>>,
    /// The number of shards, a power of two, less one.
    mask: usize,
    /// The logarithm of that number.
    shift: u32,
    /// Buckets of the longest shard, as far as the hand knows; see `grown`.
    rows: AtomicUsize,
    /// The next bucket that a hand will take, in the order of the sweep; see `sweep`.
    hand: CachePadded<AtomicUsize>,
    /// For `Policy::Adaptive`.
    classes: Option<Box<Classes>>,
    /// Whether more entries may come than the first segments are for, so that most may be in appended
    /// ones: 0 or 1.
    grows: Hint,
    /// Whether that was so from the beginning, see `survey`.
    surveys: bool,
    /// Among how many buckets a look-up looks for a key's home: those of the first segments; or 0 where it begins with the
    /// newest one, see `beyond`.
    front: Hint,
}

// SAFETY: a table is buckets, whose words are all atomics; who may follow the pointers in them is
// settled by the bounds below, since nodes are shared between threads and dropped by any of them.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Table<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Table<K, V> {}

impl<K, V> Table<K, V> {
    /// A table for `entries` entries, whose weight is bounded if there is a `max_weight`.
    pub(crate) fn new(entries: usize, policy: Policy, max_weight: Option<u64>) -> Self {
        learn_to_prefetch();
        let shards = shards_for(entries);
        let buckets = buckets_for(entries.div_ceil(shards)).min(segment::MAX_BUCKETS / shards);
        let arena = segment::allocate(shards * buckets);
        let first = |shard| {
            // SAFETY: the arena is freed when the table is dropped, and not before.
            CachePadded::new(unsafe { Shard::new(&arena, shard * buckets, buckets) })
        };
        Self {
            shards: (0..shards).map(first).collect(),
            outgrown: Outgrown::new(),
            front: Hint::new(arena.len() as u32),
            arena,
            mask: shards - 1,
            shift: shards.trailing_zeros(),
            rows: AtomicUsize::new(buckets),
            hand: CachePadded::new(AtomicUsize::new(0)),
            classes: match policy {
                Policy::Adaptive => Some(Box::new(Classes::new(entries, max_weight))),
                Policy::Clock => None,
            },
            grows: Hint::new(u32::from(max_weight.is_some())),
            surveys: max_weight.is_some(),
        }
    }

    /// The bound is `entries` now.
    pub(crate) fn set_bound(&self, entries: usize, shelter: &impl Shelter) {
        let slots = self.arena.len() * SLOTS;
        if self.is_loaded(self.shards[0].rows_in_all(), entries) {
            self.grows.set(1);
        }
        if let Some(classes) = &self.classes {
            classes.make_room(entries.min(slots), shelter); // for more when the table grows
            classes.set_bound(entries, entries as u64);
        }
    }

    /// The bound is `weight` now, and there are `entries` entries.
    pub(crate) fn set_bound_weight(&self, entries: usize, weight: u64) {
        if let Some(classes) = &self.classes {
            classes.set_bound(entries, weight);
        }
    }

    /// The largest number of entries that a table can be built for.
    pub(crate) fn max_entries() -> usize {
        // Half of the slots, and some to spare for what `buckets_for` adds in each shard.
        segment::MAX_BUCKETS / 8 * SLOTS * 3
    }

    /// The home bucket of a hash in the first segment of its shard.
    #[inline(always)]
    fn home_bucket(&self, place: u32) -> &Bucket<Node<K, V>> {
        let home = hash::home(place, self.arena.len() as u32);
        // SAFETY: `home` is below the number of buckets: place / 2^32 is below 1.
        unsafe { self.arena().get_unchecked(home) }
    }

    /// The first segments of all shards.
    #[inline(always)]
    fn arena(&self) -> &[Bucket<Node<K, V>>] {
        &self.arena
    }

    /// Which bucket of the arena this is; `None` for one of an appended segment.
    #[inline]
    fn arena_index(&self, bucket: &Bucket<Node<K, V>>) -> Option<usize> {
        let (base, at) = (self.arena.as_ptr().addr(), std::ptr::from_ref(bucket).addr());
        let index = at.wrapping_sub(base) / size_of::<Bucket<Node<K, V>>>();
        (index < self.arena.len()).then_some(index)
    }

    /// Fetches what a write of a key with this hash will look at first.
    #[inline(always)]
    pub(crate) fn fetch_for_write(&self, hash: Hashed) {
        prefetch_for_write(self.home_bucket(hash.place()));
        if let Some(classes) = &self.classes {
            classes.fetch_first(hash.place());
        }
    }

    /// The bucket after the home bucket of `place` on its probe. Most of what is displaced is there,
    /// so it is found without the machinery of a whole probe.
    #[inline(always)]
    fn second_bucket(&self, place: u32) -> &Bucket<Node<K, V>> {
        let shard = self.shard(place);
        let (buckets, home) = (shard.buckets(), shard.home(place));
        &buckets[if home + 1 < buckets.len() { home + 1 } else { 0 }]
    }

    #[inline(always)]
    fn shard(&self, place: u32) -> &Shard<Node<K, V>> {
        let index = self.shard_index(place);
        // SAFETY: `index` is below the number of shards, as `home` is in `home_bucket`.
        unsafe { self.shards.get_unchecked(index) }
    }

    /// The shard in whose part of the arena the home bucket is: for shards of equal length,
    /// `floor(floor(x * shards * buckets) / buckets)` is `floor(x * shards)`.
    #[inline(always)]
    fn shard_index(&self, place: u32) -> usize {
        hash::home(place, self.shards.len() as u32)
    }

    /// Shards, buckets of a shard's first segment, slots of a bucket, buckets of a probe.
    pub(crate) fn shape(&self) -> [usize; 4] {
        [self.mask + 1, self.shards[0].buckets().len(), SLOTS, PROBE]
    }

    /// The shard of a hash, and its home in the first segment.
    pub(crate) fn home_of(&self, hash: Hashed) -> (usize, usize) {
        (self.shard_index(hash.place()), self.shard(hash.place()).home(hash.place()))
    }

    /// Finds the entry of `key`, and marks it as used if `touch`. Loading is a miss.
    ///
    /// The node stays valid while `guard`, which is one of this domain, lives and, unless the guard is stable,
    /// until it protects another.
    #[inline(always)]
    pub(crate) fn find<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        // One test tells those whose home is the first bucket, and all where look-ups begin with the newest segment.
        // LOOM: most homes are the first bucket there, and what the call looks at besides doubles the states.
        let home = hash::home(hash.place(), self.front.get());
        if home == 0 && !(MODEL && self.begins_at_home()) {
            if self.begins_at_home() {
                return self.find_at_first(hash, key, guard, touch);
            }
            return self.find_newest(hash, key, guard, touch);
        }
        // Most keys are at home, so the home bucket is looked at in line.
        // SAFETY: as in `home_bucket`: `front` is the number of buckets.
        let home = unsafe { self.arena().get_unchecked(home) };
        let tags = home.tags();
        if let Some(node) = find_in(home, tags, hash, key, &guard, touch) {
            Some(node)
        } else if tags.is_end() {
            None
        } else if tags.any_beyond() {
            self.find_beyond(hash, key, guard, touch)
        } else {
            self.find_displaced(hash, key, guard, touch)
        }
    }

    /// `find` behind the home bucket, in the first segment.
    #[cold]
    #[inline(never)]
    fn find_displaced<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>>,
    {
        Some(self.search_displaced::<true, _, _>(hash, key, &guard)?.met(touch))
    }

    /// Finds the entry or the flight of `key`, for writers. The same protection as in `find`.
    #[inline(always)]
    pub(crate) fn locate<'t, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        self.locate_from(self.home_bucket(hash.place()), hash, key, guard)
    }

    /// `locate`, of whose key the home bucket is known.
    #[inline(always)]
    fn locate_from<'t, Q, P>(
        &'t self,
        bucket: &'t Bucket<Node<K, V>>,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        let tags = bucket.tags();
        let found = examine_all::<false, _, _, _, _>(bucket, 0, tags, hash, key, guard);
        if found.is_some() || tags.is_end() {
            found
        } else {
            self.locate_displaced(hash, key, guard, tags)
        }
    }

    /// `locate` beyond the home bucket.
    #[inline(never)]
    fn locate_displaced<'t, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &'t P,
        home: Tags,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>> + Shelter,
    {
        if home.beyond(hash.tag()) {
            let shard = self.shard(hash.place());
            let met = search_appended::<false, _, _, _, _, _>(shard, hash, key, guard, guard);
            if let Met::Found(found) = met {
                return Some(found);
            }
            if matches!(met, Met::End) || home.passed() == 0 || planted(Seed::NewestOnly) {
                return None;
            }
        } else if home.passed() == 0 {
            return None;
        }
        self.search_displaced::<false, _, _>(hash, key, guard)
    }

    /// Searches the probe of `key` in the first segment beyond its home bucket, which something has passed.
    #[inline(never)]
    fn search_displaced<'t, const READY: bool, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &P,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>>,
    {
        let mut from = 1;
        if LONG_PROBES {
            let bucket = self.second_bucket(hash.place());
            let tags = bucket.tags();
            let found = examine_all::<READY, _, _, _, _>(bucket, 1, tags, hash, key, guard);
            if found.is_some() || tags.passed() == 0 {
                return found;
            }
            from = 2;
        }
        self.search::<READY, _, _>(hash, key, guard, from)
    }

    /// Searches the part of the probe of `key` that is in the first segment, from its `from`-th bucket.
    #[inline(never)]
    fn search<'t, const READY: bool, Q, P>(
        &'t self,
        hash: Hashed,
        key: &Q,
        guard: &P,
        from: usize,
    ) -> Option<Found<'t, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Protect<Node<K, V>>,
    {
        for (step, bucket) in probe(self.shard(hash.place()), hash.place()).enumerate().skip(from) {
            let tags = bucket.tags();
            let found = examine_all::<READY, _, _, _, _>(bucket, step, tags, hash, key, guard);
            if found.is_some() || tags.passed() == 0 {
                return found;
            }
        }
        None
    }

    /// After the entry or flight at `place` was unlinked, whose key hashes to `hash`: takes back the overflow
    /// counts of what was behind its home.
    pub(crate) fn vacated(&self, hash: Hashed, place: Place<'_, K, V>) {
        match place.step() {
            0 => {}
            1 if LONG_PROBES => self.home_bucket(hash.place()).unpass(),
            step if self.is_appended(step) => self.vacated_beyond(place.bucket, hash.place()),
            step => {
                probe(self.shard(hash.place()), hash.place()).take(step).for_each(Bucket::unpass)
            }
        }
    }
}

/// A slot's word, and the node in it.
type Seen<K, V> = (Word<Node<K, V>>, NonNull<Node<K, V>>);

/// Looks for a key in the `step`-th bucket of its probe, whose tags are known. `READY`: as in `examine`.
#[inline(always)]
fn examine_all<'t, const READY: bool, K, V, Q, P>(
    bucket: &'t Bucket<Node<K, V>>,
    step: usize,
    tags: Tags,
    hash: Hashed,
    key: &Q,
    guard: &P,
) -> Option<Found<'t, K, V>>
where
    Q: Equivalent<K> + ?Sized,
    P: Protect<Node<K, V>>,
{
    for lane in tags.matches(hash.tag()) {
        if let Some((word, node)) = examine::<READY, _, _, _, _>(bucket, lane, key, guard) {
            return Some(Found { place: Place::new(bucket, lane, step), word, node });
        }
    }
    None
}

/// Finds the entry of a key in a bucket whose tags are known, and marks it as used if `touch`.
#[inline(always)]
fn find_in<K, V, Q, P>(
    bucket: &Bucket<Node<K, V>>,
    tags: Tags,
    hash: Hashed,
    key: &Q,
    guard: &P,
    touch: bool,
) -> Option<NonNull<Node<K, V>>>
where
    Q: Equivalent<K> + ?Sized,
    P: Protect<Node<K, V>>,
{
    for lane in tags.matches(hash.tag()) {
        if let Some((_, node)) = examine::<true, _, _, _, _>(bucket, lane, key, guard) {
            if touch {
                bucket.touch(lane);
            }
            return Some(node);
        }
    }
    None
}

/// Looks at one slot whose tag matches. `READY`: entries only, else flights too.
#[inline(always)]
fn examine<const READY: bool, K, V, Q, P>(
    bucket: &Bucket<Node<K, V>>,
    lane: Lane,
    key: &Q,
    guard: &P,
) -> Option<Seen<K, V>>
where
    Q: Equivalent<K> + ?Sized,
    P: Protect<Node<K, V>>,
{
    let slot = bucket.slot(lane);
    loop {
        let word = slot.load();
        let wanted = if READY {
            word.is_ready()
        } else {
            matches!(word.state(), State::Ready | State::Loading)
        };
        if !wanted {
            return None;
        }
        let node = if READY { word.ready_node() } else { word.node() };
        if !P::STABLE {
            // The fence that follows would hold back the load of the key until it is done.
            prefetch(node);
        }
        guard.protect(node);
        if !P::STABLE && !planted(Seed::NoValidation) && !slot.still(word) {
            continue;
        }
        // SAFETY: the word is READY or LOADING, so `node` is not null and was initialised before
        // it came into the slot. It was in the slot after the protection became visible, so it is
        // not reused while the protection lasts (`reclaim`).
        let found = unsafe { NonNull::new_unchecked(node) };
        // SAFETY: as above; a node in a slot has its key.
        let same = key.equivalent(unsafe { found.as_ref() }.key());
        return same.then_some((word, found));
    }
}

/// What is in a slot, whoever's it is.
enum Occupant {
    None,
    /// A key that has this place and this tag.
    Key(u32, u8),
    /// It is not known yet what will be there.
    Claim,
}

fn occupant<K, V, P>(bucket: &Bucket<Node<K, V>>, slot: usize, guard: &P) -> Occupant
where
    P: Protect<Node<K, V>>,
{
    const { assert!(!P::STABLE, "a user's pin does not keep flights") };
    let (at, slot) = (slot, &bucket.slots[slot]);
    loop {
        let word = slot.load();
        match word.state() {
            State::Empty => return Occupant::None,
            State::Claimed => return Occupant::Claim,
            State::Ready | State::Loading => guard.protect(word.node()),
        }
        if slot.still(word) {
            // SAFETY: as in `examine`: a node that was in the slot after the protection became visible.
            let place = unsafe { &*word.node() }.place();
            // Written before the node came into the slot, and by nobody else before it leaves.
            let tag = bucket.tags().tag(at);
            // It may have been retired since, and have a stamp for a place; and the slot may be another one's, with
            // its tag.
            // ORDERING: Acquire. Partner: the Release store of a stamp: who has read one sees that the slot has
            // changed. Nor does a protected node come back to it.
            fence(Ordering::Acquire);
            if planted(Seed::StampForPlace) || slot.load() == word {
                return Occupant::Key(place, tag);
            }
        }
    }
}

/// The part of a probe that is in `segment`.
#[inline]
fn probe<N>(segment: &Segment<N>, place: u32) -> impl Iterator<Item = &Bucket<N>> {
    let (mut next, buckets) = (segment.home(place), segment.buckets());
    (0..segment.part()).map(move |_| {
        let bucket = &buckets[next];
        next = if next + 1 == buckets.len() { 0 } else { next + 1 };
        bucket
    })
}

/// Buckets of the smallest segment.
const MIN_BUCKETS: usize = if MODEL { 1 } else { 11 };

/// Buckets for `entries` entries: half full at the bound, and room for flights. Entries that came
/// when their home was full stay displaced until they leave, so a fuller table would cost hits:
/// see ARCHITECTURE.md for the figures.
fn buckets_for(entries: usize) -> usize {
    if MODEL {
        return entries.div_ceil(SLOTS);
    }
    (entries.saturating_mul(2)).saturating_add(64).div_ceil(SLOTS).min(segment::MAX_BUCKETS)
}

fn shards_for(entries: usize) -> usize {
    if MODEL {
        return 1;
    }
    let most = (4 * cores()).min(entries / SHARD_ENTRIES).clamp(1, MAX_SHARDS);
    1 << most.ilog2()
}
