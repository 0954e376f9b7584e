//! Where do buckets live? In the first segment of a shard, and in those added behind it.
//!
//! First segments last as long as their table. Appended ones can be taken back once they are empty, so whoever
//! looks at them [walks](Walk) from before the look. Of a shard the newest goes first.
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `newest` | null -> s1 -> s2 .. | whoever needs room | exchange, from the one that was seen; a loser frees its own |
//! | `newest` | s2 -> s1 -> null | who has closed the newest and found it empty after that | exchange, from that one |
//! | `closed` of an appended segment | 0 -> 1 | who wants to take it back, having seen it empty | exchange |
//! | `closed` | 1 -> 0 | the one who closed it, if it was not empty, or is not the newest any more | store |
//!
//! Nobody comes into a segment that is taken back: who claims a slot of an appended segment looks at `closed` after
//! that, and withdraws from one that is ([`is_open`](Segment::is_open)); who closes one goes over all its slots after
//! that. Claim, fence, look at `closed`; exchange of `closed`, fence, look at the slots: one of the two sees the
//! other. What comes into a slot otherwise comes for what is there. Whoever stops while a segment is closed stops
//! nobody: newcomers find no room in it, and append another (unless that is the last that a shard may have).
//!
//! A segment that was taken back is freed when nobody can see it any more (`outgrown`).

use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::barrier;
use crate::hash;
use crate::pause::{Step, reach};
use crate::reclaim::{Shelter, Walk};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU32, Made, Ordering};
use crate::table::PROBE;
use crate::table::bucket::Bucket;
use crate::table::memory::Array;
#[cfg(not(all(hotset_loom, feature = "loom")))]
use crate::table::memory::Zeroed;
use crate::table::outgrown::{Leftover, Outgrown, Outgrows};

/// An array of buckets. Never moves.
///
/// The first segments of all shards lie side by side in one arena, so that a hit finds its home
/// bucket from the place alone, without looking at its shard.
pub(crate) struct Segment<N> {
    /// A part of the table's arena, or the segment's own.
    buckets: NonNull<[Bucket<N>]>,
    /// Those that `buckets` are, if they are the segment's own.
    _own: Option<Array<Bucket<N>>>,
    /// A key's home is its place scaled to `scale` buckets, less `base`.
    scale: u32,
    base: u32,
    /// Odd; spreads the homes of a full region of one segment over the whole next one.
    mix: u32,
    /// How many segments of the shard are older, how many buckets those have, and how many of these
    /// are on a probe.
    ordinal: u32,
    steps: u32,
    rows: usize,
    /// The next older one, if that is not the first.
    older: *const Segment<N>,
    /// 1 while it is to be empty, and for good once it was taken back.
    closed: AtomicU32,
    /// How far the older ones were surveyed for it, see `survey`.
    surveyed: AtomicU32,
    leftover: Leftover<Segment<N>>,
    made: Made,
}

// SAFETY: a segment is a slice of buckets, all of whose words are atomics, and who may follow
// the pointers in them is the business of `Store`, which has the bounds on keys and values. The stamp belongs to
// who has taken the segment back, or from the list of those.
unsafe impl<N> Sync for Segment<N> {}
// SAFETY: as above.
unsafe impl<N> Send for Segment<N> {}

impl<N> Segment<N> {
    /// The first segment of a shard: `len` buckets of `arena` from `base` on.
    ///
    /// # Safety
    /// The arena outlives the segment.
    unsafe fn first(arena: &[Bucket<N>], base: usize, len: usize) -> Self {
        Self {
            buckets: NonNull::from(&arena[base..base + len]),
            _own: None,
            scale: arena.len() as u32,
            base: base as u32,
            mix: 1,
            ordinal: 0,
            steps: 0,
            rows: 0,
            older: ptr::null(),
            closed: AtomicU32::new(0),
            surveyed: AtomicU32::new(0),
            leftover: Leftover::new(),
            made: Made::new(),
        }
    }

    /// The segment after `last`, which `older` points to unless it is the first, with `len` buckets.
    fn after(last: &Self, older: *const Self, len: usize) -> Self {
        let ordinal = last.ordinal + 1;
        let own = allocate(len);
        Self {
            buckets: NonNull::from(&*own),
            _own: Some(own),
            scale: len as u32,
            base: 0,
            mix: mix(ordinal),
            ordinal,
            steps: last.steps + last.part() as u32,
            rows: last.rows_in_all(),
            older,
            closed: AtomicU32::new(0),
            surveyed: AtomicU32::new(0),
            leftover: Leftover::new(),
            made: Made::new(),
        }
    }

    /// Whether its buckets say which of their keys may be in older segments. To be asked before those.
    #[inline(always)]
    pub(crate) fn is_known(&self) -> bool {
        self.surveyed() == KNOWN
    }

    /// How far the survey is.
    #[inline(always)]
    pub(crate) fn surveyed(&self) -> u32 {
        // ORDERING: Acquire. Partner: the exchange in `has_surveyed`: the marks, and the fence.
        self.surveyed.load(Ordering::Acquire)
    }

    /// The survey has come from here to there. False if another one has.
    pub(crate) fn has_surveyed(&self, from: u32, to: u32) -> bool {
        // ORDERING: AcqRel on success: it hands on what those who surveyed before have marked, with the load above as
        // its partner. Relaxed on failure.
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        self.surveyed.compare_exchange(from, to, order.0, order.1).is_ok()
    }

    /// Whether a slot that was claimed here just now may be used. If not it is to be withdrawn.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        if self.ordinal == 0 || planted(Seed::ClaimAndGo) {
            return true;
        }
        // Partner: the heavy one in `close`: either this sees that the segment is closed, or who closed it sees
        // the claim.
        barrier::light();
        // ORDERING: Relaxed. What it says is all that is wanted.
        self.closed.load(Ordering::Relaxed) == 0
    }

    /// Whether it is closed, as of now: so that nobody claims in vain.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: Acquire. Partner: the Release exchange in `close`: who goes elsewhere for it finds what the closer
        // has emptied.
        self.closed.load(Ordering::Acquire) != 0
    }

    /// Closes it, if it is empty. False if it is not, or another one closes it.
    fn close(&self) -> bool {
        if planted(Seed::OpenSegment) {
            return self.is_empty();
        }
        // ORDERING: Release on success. Partner: the Acquire load in `is_closed`. Relaxed on failure; the fence orders
        // all else.
        let closes = self.is_empty()
            && self.closed.compare_exchange(0, 1, Ordering::Release, Ordering::Relaxed).is_ok();
        if !closes {
            return false;
        }
        // Partner: the light one in `is_open`.
        let known = barrier::heavy();
        reach(Step::Closed);
        let empty = known && self.is_empty();
        if !empty {
            self.reopen();
        }
        empty
    }

    fn reopen(&self) {
        // ORDERING: Relaxed. Who finds it closed for longer than it is goes elsewhere.
        self.closed.store(0, Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.buckets().iter().flat_map(|bucket| &bucket.slots).all(|slot| slot.load().is_empty())
    }

    /// The home of a key of this shard.
    #[inline(always)]
    pub(crate) fn home(&self, place: u32) -> usize {
        hash::home(place.wrapping_mul(self.mix), self.scale) - self.base as usize
    }

    /// The home bucket of a key of this shard, in an appended segment.
    #[inline(always)]
    pub(crate) fn appended_home(&self, place: u32) -> &Bucket<N> {
        debug_assert!(self.ordinal > 0 && self.scale as usize == self.buckets.len());
        let home = hash::home(place.wrapping_mul(self.mix), self.buckets.len() as u32);
        // SAFETY: a home among so many is below that: place / 2^32 is below 1.
        unsafe { self.buckets().get_unchecked(home) }
    }

    #[inline(always)]
    pub(crate) fn buckets(&self) -> &[Bucket<N>] {
        // SAFETY: the segment's own buckets, or a part of an arena that outlives it (`first`).
        unsafe { self.buckets.as_ref() }
    }

    /// How many segments of the shard are older.
    pub(crate) fn ordinal(&self) -> usize {
        self.ordinal as usize
    }

    /// How many buckets of a probe are in older segments, and how many in this one.
    pub(crate) fn steps(&self) -> usize {
        self.steps as usize
    }

    #[inline]
    pub(crate) fn part(&self) -> usize {
        PROBE.min(self.buckets().len())
    }

    /// Buckets of the older segments, and with those of this one.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn rows_in_all(&self) -> usize {
        self.rows + self.buckets().len()
    }

    /// Which bucket this is, if it is one of these.
    pub(crate) fn index_of(&self, bucket: &Bucket<N>) -> Option<usize> {
        let first = self.buckets.cast::<u8>().addr().get();
        let index = ptr::from_ref(bucket).addr().wrapping_sub(first) / size_of::<Bucket<N>>();
        (index < self.buckets().len()).then_some(index)
    }

    /// How many buckets a key with this place has passed, in this segment, on its way to the bucket
    /// with this index.
    pub(crate) fn steps_within(&self, place: u32, index: usize) -> usize {
        let home = self.home(place);
        if index >= home { index - home } else { index + self.buckets().len() - home }
    }
}

/// A shard: its first segment, which is what it is taken for, and a list of those that were appended, the newest
/// first: whoever has seen one sees all that are older.
pub(crate) struct Shard<N> {
    first: Segment<N>,
    newest: AtomicPtr<Segment<N>>,
}

impl<N> Shard<N> {
    /// A shard whose first segment is `len` buckets of `arena` from `base` on.
    ///
    /// # Safety
    /// The arena outlives the shard.
    pub(crate) unsafe fn new(arena: &[Bucket<N>], base: usize, len: usize) -> Self {
        // SAFETY: the caller's promise.
        let first = unsafe { Segment::first(arena, base, len) };
        Self { first, newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The segment that was appended last, if there is one.
    #[inline]
    pub(crate) fn newest<'w, S: Shelter>(&'w self, shelter: &'w S) -> Option<&'w Segment<N>> {
        // Most shards have none, for which no shelter is needed.
        if !S::UP && !self.has_appended() {
            return None;
        }
        shelter.walk();
        // ORDERING: Acquire. Partner: the Release exchange in `append`.
        // SAFETY: null, or a leaked box which was on the list after the walk began, hence is not freed while
        // it lasts.
        let newest = unsafe { self.newest.load(Ordering::Acquire).as_ref() };
        if let Some(segment) = newest {
            segment.made.seen();
        }
        newest
    }

    /// Whether there are appended segments.
    #[inline]
    pub(crate) fn has_appended(&self) -> bool {
        // ORDERING: Acquire, as in `newest`.
        !self.newest.load(Ordering::Acquire).is_null()
    }

    /// The segment that came last.
    #[inline]
    pub(crate) fn last<'w>(&'w self, shelter: &'w impl Shelter) -> &'w Segment<N> {
        self.newest(shelter).unwrap_or(&self.first)
    }

    /// The segments that were appended, the newest first.
    pub(crate) fn appended<'w>(
        &'w self,
        shelter: &'w impl Shelter,
    ) -> impl Iterator<Item = &'w Segment<N>> {
        Self::from(self.newest(shelter))
    }

    /// An appended segment, and those that are older, but for the first.
    fn from<'w>(segment: Option<&'w Segment<N>>) -> impl Iterator<Item = &'w Segment<N>> {
        // SAFETY: null, or an older box: one that was published before the one that names it, and is taken back
        // after that.
        let older = |segment: &&'w Segment<N>| unsafe { segment.older.as_ref() };
        std::iter::successors(segment, older).inspect(|segment| segment.made.seen())
    }

    /// The bucket in this row, which is one of a segment older than `newer`.
    pub(crate) fn bucket_before<'w>(
        &'w self,
        newer: &'w Segment<N>,
        row: usize,
    ) -> Option<&'w Bucket<N>> {
        let older = Self::from(Some(newer)).skip(1).find(|it| it.rows <= row);
        let segment = older.unwrap_or(&self.first);
        segment.buckets().get(row - segment.rows)
    }

    /// Adds a segment of `len` buckets behind `last`, which was found on a walk, unless another thread has
    /// already added one.
    pub(crate) fn append(&self, last: &Segment<N>, len: usize) {
        // ORDERING: Relaxed. It is the box of `last`, which was seen by a load in `newest`; the exchange confirms it.
        let seen = self.newest.load(Ordering::Relaxed);
        if !ptr::eq(seen, last.address()) {
            return;
        }
        let fresh = Box::into_raw(Box::new(Segment::after(last, seen, len)));
        reach(Step::Growing);
        // ORDERING: Release on success. Partner: the Acquire load in `newest`. What is older was
        // seen by such a load, so whoever sees this one sees it, too. Relaxed on failure: the caller
        // looks again. The walk keeps `last`, so the address that is expected is that of no other.
        let added = self.newest.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed);
        if added.is_err() {
            // SAFETY: `fresh` came from `Box::into_raw` just above and was not shared.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }

    /// Takes segments back as long as the newest is empty, with the stamps that `stamp` gives.
    pub(crate) fn shrink(
        &self,
        outgrown: &Outgrown<Segment<N>>,
        walk: Walk<'_>,
        stamp: impl Fn() -> u32,
    ) {
        loop {
            let early = planted(Seed::StampFirst).then(&stamp);
            let Some(segment) = self.take_back(walk) else { return };
            // SAFETY: a leaked box (`append`) off the shard's list, and on none other.
            unsafe { outgrown.keep(segment, early.unwrap_or_else(&stamp)) };
        }
    }

    /// Takes the newest segment back, if it is empty. It is the caller's then, but for those who still walk.
    fn take_back(&self, walk: Walk<'_>) -> Option<NonNull<Segment<N>>> {
        let newest = self.newest(&walk)?;
        if !newest.close() {
            return None;
        }
        // ORDERING: Release on success, with the Acquire load in `newest` as its partner: it hands on what the
        // list was before. Relaxed on failure.
        let taken = self.newest.compare_exchange(
            newest.address(),
            newest.older.cast_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        let Ok(taken) = taken else {
            newest.reopen(); // another one was appended
            return None;
        };
        reach(Step::TakenBack);
        NonNull::new(taken)
    }
}

impl<N> Outgrows for Segment<N> {
    fn leftover(&self) -> &Leftover<Self> {
        &self.leftover
    }
}

impl<N> Segment<N> {
    /// What `newest` says if this is the last one.
    fn address(&self) -> *mut Self {
        if self.ordinal == 0 { ptr::null_mut() } else { ptr::from_ref(self).cast_mut() }
    }
}

/// The walk on which a bucket was found of a table with this arena; `None` for one of the arena itself.
pub(crate) fn walk_to<'w, N>(arena: &[Bucket<N>], bucket: &'w Bucket<N>) -> Option<Walk<'w>> {
    let outside = !arena.as_ptr_range().contains(&ptr::from_ref(bucket));
    // SAFETY: a bucket of a table that is not in its arena is one of an appended segment, and references to these
    // come from `Shard::newest` and `Shard::appended` alone, whose walk lasts as long as they do.
    outside.then(|| unsafe { Walk::new() })
}

/// LOOM: the end of a segment is a write, which must come after all looks.
#[cfg(all(hotset_loom, feature = "loom"))]
impl<N> Drop for Segment<N> {
    fn drop(&mut self) {
        self.made.remade();
    }
}

impl<N> Deref for Shard<N> {
    type Target = Segment<N>;

    #[inline(always)]
    fn deref(&self) -> &Segment<N> {
        &self.first
    }
}

impl<N> Drop for Shard<N> {
    fn drop(&mut self) {
        // ORDERING: Relaxed. `&mut self`: no other thread is left.
        let mut next = self.newest.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `append`, and in this list once. Those that were taken back are not.
            let segment = unsafe { Box::from_raw(next) };
            next = segment.older.cast_mut();
        }
    }
}

/// By what places are multiplied for the homes in a shard's segment: odd multipliers are bijections.
fn mix(ordinal: u32) -> u32 {
    0x9E37_79B1_u32.wrapping_pow(2 * ordinal)
}

/// The home of a key with this place in the first segment that is appended, of so many buckets: for models, which choose
/// keys by it.
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) fn next_home(place: u32, buckets: u32) -> usize {
    hash::home(place.wrapping_mul(mix(1)), buckets)
}

/// What `surveyed` says at the end.
pub(crate) const KNOWN: u32 = u32::MAX;
/// And if there will be none.
pub(crate) const UNKNOWN: u32 = KNOWN - 1;

/// The most buckets that an arena or a segment may have: their number must fit in 32 bits.
pub(crate) const MAX_BUCKETS: usize = if usize::BITS == 64 { u32::MAX as usize } else { 1 << 25 };

#[cfg(not(all(hotset_loom, feature = "loom")))]
// SAFETY: words, all of them atomic; the empty slot is the null pointer.
unsafe impl<N> Zeroed for Bucket<N> {}

#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) fn allocate<N>(len: usize) -> Array<Bucket<N>> {
    assert!((1..=MAX_BUCKETS).contains(&len), "a table of {len} buckets");
    Array::zeroed(len)
}

#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) fn allocate<N>(len: usize) -> Array<Bucket<N>> {
    // LOOM: its atomics are registered objects and cannot be made from zeroed memory.
    (0..len).map(|_| Bucket::new()).collect::<Box<[_]>>().into()
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!(size_of::<Bucket<u8>>(), 64);
        assert_eq!(align_of::<Bucket<u8>>(), 64);
    }

    #[test]
    fn the_newest_comes_first() {
        let arena = allocate::<u8>(20);
        // SAFETY: the arena is dropped last.
        let shard = unsafe { Shard::new(&arena, 0, 20) };
        // SAFETY: nothing is freed meanwhile.
        let walk = &unsafe { Walk::new() };
        assert!(shard.newest(walk).is_none() && shard.last(walk).ordinal() == 0);
        shard.append(&shard, 3);
        shard.append(&shard, 100); // too late
        shard.append(shard.last(walk), 50);
        let seen: Vec<_> =
            shard.appended(walk).map(|s| (s.ordinal(), s.rows(), s.steps(), s.part())).collect();
        assert_eq!(seen, [(2, 23, 11, 8), (1, 20, 8, 3)]);
        assert_eq!(shard.last(walk).rows_in_all(), 73);
        let bucket = &shard.last(walk).buckets()[7];
        let found: Vec<_> = shard.appended(walk).map(|s| s.index_of(bucket)).collect();
        assert_eq!((found, shard.index_of(bucket)), (vec![Some(7), None], None));
        let segments: Vec<_> = shard.appended(walk).collect();
        let before = |newer: &_, row| {
            let found = shard.bucket_before(newer, row)?;
            Some(segments[1].index_of(found).map_or((0, shard.index_of(found)), |at| (1, Some(at))))
        };
        let rows = [0, 19, 20, 22].map(|row| before(segments[0], row));
        assert_eq!(rows, [(0, 0), (0, 19), (1, 0), (1, 2)].map(|(of, at)| Some((of, Some(at)))));
        assert_eq!((before(segments[1], 19), before(segments[1], 20)), (Some((0, Some(19))), None));
    }

    #[test]
    fn those_that_are_empty_are_taken_back_and_freed_when_nobody_sees_them() {
        let arena = allocate::<u8>(20);
        // SAFETY: the arena is dropped last.
        let shard = unsafe { Shard::new(&arena, 0, 20) };
        // SAFETY: what is freed is not looked at again.
        let walk = unsafe { Walk::new() };
        let ordinals = || shard.appended(&walk).map(Segment::ordinal).collect::<Vec<_>>();
        shard.append(&shard, 3);
        shard.append(shard.last(&walk), 3);
        shard.append(shard.last(&walk), 3);
        let mut value = 8_u64;
        let word = crate::slot::Word::ready(std::ptr::from_mut(&mut value).cast());
        let claim = crate::slot::Word::claim(
            crate::hash::Hashed::new(&foldhash::fast::FixedState::default(), &0),
            0,
            0,
        );
        let second = shard.appended(&walk).nth(1).unwrap();
        let slot = &second.buckets()[2].slots[1];
        assert!(slot.claim(claim) && slot.finalise(claim, word));
        let outgrown = Outgrown::new();
        shard.shrink(&outgrown, walk, || 7);
        assert_eq!(ordinals(), [2, 1]);
        assert!(second.is_open() && !outgrown.is_empty());
        outgrown.free(|| |stamp| stamp != 7);
        assert!(!outgrown.is_empty());
        outgrown.free(|| |stamp| stamp == 7);
        assert!(outgrown.is_empty());
        assert!(slot.unlink(word));
        shard.shrink(&outgrown, walk, || 8);
        assert_eq!((ordinals(), shard.last(&walk).ordinal()), (vec![], 0));
    }

    #[test]
    fn zeroed_memory_is_empty() {
        for bucket in allocate::<u8>(3).iter() {
            assert_eq!((bucket.tags().0, bucket.clock()), (0, 0));
            assert!(bucket.slots.iter().all(|slot| slot.load() == crate::slot::Word::EMPTY));
        }
    }
}
