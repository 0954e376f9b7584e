//! Where do buckets live? In the first segment of a shard, and in those added behind it.

use std::ptr::{self, NonNull};

use crate::hash;
use crate::pause::{Step, reach};
use crate::sync::{AtomicPtr, Ordering};
use crate::table::bucket::Bucket;

/// An array of buckets. Never moves, never shrinks while its cache lives.
///
/// The first segments of all shards lie side by side in one arena, so that a hit finds its home
/// bucket from the place alone, without looking at its shard.
pub(crate) struct Segment<N> {
    /// A part of the table's arena, or the segment's own.
    buckets: NonNull<[Bucket<N>]>,
    own: bool,
    /// A key's home is its place scaled to `scale` buckets, less `base`.
    scale: u32,
    base: u32,
    /// Odd; spreads the homes of a full region of one segment over the whole next one.
    mix: u32,
    /// Null, or the segment behind this one. Written once: null -> a box, by compare-exchange.
    next: AtomicPtr<Segment<N>>,
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
    pub(crate) unsafe fn first(arena: &[Bucket<N>], base: usize, len: usize) -> Self {
        Self {
            buckets: NonNull::from(&arena[base..base + len]),
            own: false,
            scale: arena.len() as u32,
            base: base as u32,
            mix: 1,
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The `ordinal`-th segment of a shard, with `len` buckets.
    pub(crate) fn new(len: usize, ordinal: usize) -> Self {
        Self {
            buckets: NonNull::from(Box::leak(allocate(len))),
            own: true,
            scale: len as u32,
            base: 0,
            // Odd multipliers are bijections.
            mix: 0x9E37_79B1_u32.wrapping_pow(2 * ordinal as u32),
            next: AtomicPtr::new(ptr::null_mut()),
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

    #[inline]
    pub(crate) fn next(&self) -> Option<&Segment<N>> {
        // ORDERING: Acquire. Partner: the Release exchange in `append`.
        // SAFETY: null, or a leaked box that lives until this segment is dropped.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Adds `segment` behind this one, unless another thread already has added one.
    pub(crate) fn append(&self, segment: Segment<N>) {
        let fresh = Box::into_raw(Box::new(segment));
        reach(Step::Growing);
        // ORDERING: Release on success. Partner: the Acquire load in `next`. Relaxed on failure:
        // the caller reads `next` itself.
        let added = self.next.compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if added.is_err() {
            // SAFETY: `fresh` came from `Box::into_raw` just above and was not shared.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

impl<N> Drop for Segment<N> {
    fn drop(&mut self) {
        if self.own {
            // SAFETY: a box leaked by `new`, freed here and nowhere else.
            drop(unsafe { Box::from_raw(self.buckets.as_ptr()) });
        }
        // ORDERING: Relaxed. `&mut self`: no other thread is left.
        let next = self.next.load(Ordering::Relaxed);
        if !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `append`, and owned by this segment alone.
            drop(unsafe { Box::from_raw(next) });
        }
    }
}

/// The most buckets that an arena or a segment may have: their number must fit in 32 bits.
pub(crate) const MAX_BUCKETS: usize = if usize::BITS == 64 { u32::MAX as usize } else { 1 << 25 };

#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) fn allocate<N>(len: usize) -> Box<[Bucket<N>]> {
    use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
    assert!((1..=MAX_BUCKETS).contains(&len), "a table of {len} buckets");
    let layout = Layout::array::<Bucket<N>>(len).expect("a table larger than the address space");
    // SAFETY: `len` is at least 1 and a bucket is 64 bytes, so the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    let buckets = ptr::slice_from_raw_parts_mut(memory.cast::<Bucket<N>>(), len);
    // SAFETY: the layout is that of the slice, and all-zero words are a valid, empty bucket
    // (atomics have the representation of their values; the empty slot is the null pointer).
    unsafe { Box::from_raw(buckets) }
}

#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) fn allocate<N>(len: usize) -> Box<[Bucket<N>]> {
    // LOOM: its atomics are registered objects and cannot be made from zeroed memory.
    (0..len).map(|_| Bucket::new()).collect()
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
    fn zeroed_memory_is_empty() {
        let segment = Segment::<u8>::new(3, 1);
        for bucket in segment.buckets() {
            assert_eq!((bucket.tags().0, bucket.clock()), (0, 0));
            assert!(bucket.slots.iter().all(|slot| slot.load() == crate::slot::Word::EMPTY));
        }
    }
}
