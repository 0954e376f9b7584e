//! Where do buckets live? In a shard's first segment, and in those added behind it.

use crate::hash;
use crate::sync::{AtomicPtr, Ordering};
use crate::table::bucket::Bucket;

/// An array of buckets. Never moves, never shrinks while its cache lives.
pub(crate) struct Segment<N> {
    buckets: Box<[Bucket<N>]>,
    /// Odd; spreads the homes of a full region of one segment over the whole next one.
    mix: u32,
    /// Null, or the segment behind this one. Written once: null -> a box, by compare-exchange.
    next: AtomicPtr<Segment<N>>,
}

impl<N> Segment<N> {
    /// The `ordinal`-th segment of a shard, with `len` buckets.
    pub(crate) fn new(len: usize, ordinal: usize) -> Self {
        assert!((1..=MAX_BUCKETS).contains(&len), "{len} buckets in a segment");
        // Odd multipliers are bijections; the 0th leaves the place as it is.
        let mix = 0x9E37_79B1_u32.wrapping_pow(2 * ordinal as u32);
        Self { buckets: allocate(len), mix, next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    #[inline(always)]
    pub(crate) fn home(&self, place: u32) -> usize {
        hash::home(place.wrapping_mul(self.mix), self.buckets.len() as u32)
    }

    /// The home bucket in a shard's first segment, whose places are not mixed.
    #[inline(always)]
    pub(crate) fn home_bucket(&self, place: u32) -> &Bucket<N> {
        debug_assert_eq!(self.mix, 1);
        let home = hash::home(place, self.buckets.len() as u32);
        // SAFETY: `home` is below the number of buckets: place / 2^32 is below 1.
        unsafe { self.buckets.get_unchecked(home) }
    }

    #[inline(always)]
    pub(crate) fn buckets(&self) -> &[Bucket<N>] {
        &self.buckets
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
        // ORDERING: Release on success. Partner: the Acquire load in `next`. Relaxed on failure:
        // the caller reads `next` itself.
        let added = self.next.compare_exchange(
            std::ptr::null_mut(),
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
        // ORDERING: Relaxed. `&mut self`: no other thread is left.
        let next = self.next.load(Ordering::Relaxed);
        if !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `append`, and owned by this segment alone.
            drop(unsafe { Box::from_raw(next) });
        }
    }
}

/// The most buckets that one segment may have: their number must fit in 32 bits.
pub(crate) const MAX_BUCKETS: usize = if usize::BITS == 64 { u32::MAX as usize } else { 1 << 25 };

#[cfg(not(all(hotset_loom, feature = "loom")))]
fn allocate<N>(len: usize) -> Box<[Bucket<N>]> {
    use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
    let layout = Layout::array::<Bucket<N>>(len).expect("a table larger than the address space");
    // SAFETY: `len` is at least 1 and a bucket is 64 bytes, so the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    let buckets = std::ptr::slice_from_raw_parts_mut(memory.cast::<Bucket<N>>(), len);
    // SAFETY: the layout is that of the slice, and all-zero words are a valid, empty bucket
    // (atomics have the representation of their values; the empty slot is the null pointer).
    unsafe { Box::from_raw(buckets) }
}

#[cfg(all(hotset_loom, feature = "loom"))]
fn allocate<N>(len: usize) -> Box<[Bucket<N>]> {
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
        let segment = Segment::<u8>::new(3, 0);
        for bucket in segment.buckets() {
            assert_eq!((bucket.tags().0, bucket.clock()), (0, 0));
            assert!(bucket.slots.iter().all(|slot| slot.load() == crate::slot::Word::EMPTY));
        }
    }
}
