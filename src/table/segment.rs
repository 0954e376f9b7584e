//! Where do buckets live? In the first segment of a shard, and in those added behind it.

use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::hash;
use crate::pause::{Step, reach};
use crate::sync::{AtomicPtr, Ordering};
use crate::table::PROBE;
use crate::table::bucket::Bucket;
use crate::table::memory::Array;
#[cfg(not(all(hotset_loom, feature = "loom")))]
use crate::table::memory::Zeroed;

/// An array of buckets. Never moves, never shrinks while its cache lives.
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
}

// SAFETY: a segment is a slice of buckets, all of whose words are atomics, and who may follow
// the pointers in them is the business of `Store`, which has the bounds on keys and values.
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
        }
    }

    /// The segment after `last`, with `len` buckets.
    fn after(last: &Self, len: usize) -> Self {
        let ordinal = last.ordinal + 1;
        let own = allocate(len);
        Self {
            buckets: NonNull::from(&*own),
            _own: Some(own),
            scale: len as u32,
            base: 0,
            // Odd multipliers are bijections.
            mix: 0x9E37_79B1_u32.wrapping_pow(2 * ordinal),
            ordinal,
            steps: last.steps + last.part() as u32,
            rows: last.rows_in_all(),
            older: if last.ordinal == 0 { ptr::null() } else { last },
        }
    }

    /// The home of a key of this shard.
    #[inline(always)]
    pub(crate) fn home(&self, place: u32) -> usize {
        hash::home(place.wrapping_mul(self.mix), self.scale) - self.base as usize
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

/// A shard: its first segment, which is what it is taken for, and those that were appended.
///
/// | word | arrow | who | by |
/// |---|---|---|---|
/// | `newest` | null -> s1 -> s2 .. | whoever needs room | exchange, from the one that was seen; a loser frees its own |
///
/// A list, the newest first, that only grows: whoever has seen one sees all that are older.
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
    pub(crate) fn newest(&self) -> Option<&Segment<N>> {
        // ORDERING: Acquire. Partner: the Release exchange in `append`.
        // SAFETY: null, or a leaked box that lives until the shard is dropped.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    /// The segment that came last.
    #[inline]
    pub(crate) fn last(&self) -> &Segment<N> {
        self.newest().unwrap_or(&self.first)
    }

    /// The segments that were appended, the newest first.
    pub(crate) fn appended(&self) -> impl Iterator<Item = &Segment<N>> {
        // SAFETY: null, or an older box, which was published before the one that names it.
        std::iter::successors(self.newest(), |segment| unsafe { segment.older.as_ref() })
    }

    /// Adds a segment of `len` buckets behind `last`, unless another thread already has added one.
    pub(crate) fn append(&self, last: &Segment<N>, len: usize) {
        let fresh = Box::into_raw(Box::new(Segment::after(last, len)));
        reach(Step::Growing);
        let seen = if last.ordinal == 0 { ptr::null_mut() } else { ptr::from_ref(last).cast_mut() };
        // ORDERING: Release on success. Partner: the Acquire load in `newest`. What is older was
        // seen by such a load, so whoever sees this one sees it, too. Relaxed on failure: the caller
        // looks again.
        let added = self.newest.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed);
        if added.is_err() {
            // SAFETY: `fresh` came from `Box::into_raw` just above and was not shared.
            drop(unsafe { Box::from_raw(fresh) });
        }
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
            // SAFETY: made by `Box::into_raw` in `append`, and in this list once.
            let segment = unsafe { Box::from_raw(next) };
            next = segment.older.cast_mut();
        }
    }
}

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
        assert!(shard.newest().is_none() && shard.last().ordinal() == 0);
        shard.append(&shard, 3);
        shard.append(&shard, 100); // too late
        shard.append(shard.last(), 50);
        let seen: Vec<_> =
            shard.appended().map(|s| (s.ordinal(), s.rows(), s.steps(), s.part())).collect();
        assert_eq!(seen, [(2, 23, 11, 8), (1, 20, 8, 3)]);
        assert_eq!(shard.last().rows_in_all(), 73);
        let bucket = &shard.last().buckets()[7];
        let found: Vec<_> = shard.appended().map(|s| s.index_of(bucket)).collect();
        assert_eq!((found, shard.index_of(bucket)), (vec![Some(7), None], None));
    }

    #[test]
    fn zeroed_memory_is_empty() {
        for bucket in allocate::<u8>(3).iter() {
            assert_eq!((bucket.tags().0, bucket.clock()), (0, 0));
            assert!(bucket.slots.iter().all(|slot| slot.load() == crate::slot::Word::EMPTY));
        }
    }
}
