//! How does large memory come? Zeroed, and page by page when it is first touched.
//!
//! A table is made for its bound, and a bound is not a wish: most of what a cache may hold it may never
//! hold. So its arrays are asked of the allocator with an alignment that every allocator has by nature:
//! then it hands zeroed pages of the system's on as they are. For a larger alignment, that of a cache
//! line, the standard library asks for memory and writes zeroes into all of it. What is lacking to the
//! line is skipped here.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;

use crate::advice::{Hint, WideHint};
use crate::table::ghost::Row;

/// What is valid, and as it should be at first, where all bytes are zero, and need not be dropped.
///
/// # Safety
/// All-zero memory is a valid value.
pub(crate) unsafe trait Zeroed {}

// SAFETY: an atomic word has the representation of its value.
unsafe impl Zeroed for Hint {}
// SAFETY: as above.
unsafe impl Zeroed for WideHint {}
// SAFETY: words as above, and nothing else.
unsafe impl Zeroed for Row {}

/// The alignment of `malloc`, on all targets of interest.
const NATURAL: usize = 2 * size_of::<usize>();

/// An array that stays where it is until it is dropped, wherever its owner goes.
///
/// Not a box, which would claim to be the only way to its items.
pub(crate) struct Array<T> {
    items: NonNull<[T]>,
    origin: Origin,
}

enum Origin {
    /// Zeroed memory, the items somewhere in it.
    Memory(NonNull<u8>, Layout),
    /// A box.
    Boxed,
}

// SAFETY: an array owns its items, and gives them out as `&T` alone.
unsafe impl<T: Sync> Sync for Array<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Array<T> {}

impl<T: Zeroed> Array<T> {
    /// So many zeroed ones, at least one.
    pub(crate) fn zeroed(len: usize) -> Self {
        const { assert!(!std::mem::needs_drop::<T>()) };
        let array = Layout::array::<T>(len).expect("a table larger than the address space");
        assert!(array.size() > 0, "an array of nothing");
        let spare = array.align().saturating_sub(NATURAL);
        let layout = Layout::from_size_align(array.size() + spare, array.align().min(NATURAL))
            .expect("a table larger than the address space");
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let skipped = memory.addr().get().next_multiple_of(array.align()) - memory.addr().get();
        // SAFETY: what is skipped is at most `spare`, since the memory is aligned to `NATURAL` if the items
        // need more: they lie within it.
        let first = unsafe { memory.byte_add(skipped) }.cast::<T>();
        Self {
            items: NonNull::slice_from_raw_parts(first, len),
            origin: Origin::Memory(memory, layout),
        }
    }
}

impl<T> From<Box<[T]>> for Array<T> {
    fn from(items: Box<[T]>) -> Self {
        Self { items: NonNull::from(Box::leak(items)), origin: Origin::Boxed }
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: all items are valid: zeroed ones (`Zeroed`), or those of a box; they go with `self`.
        unsafe { self.items.as_ref() }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated with this layout by `zeroed`, freed here and nowhere else. The items need
            // no drop.
            Origin::Memory(memory, layout) => unsafe { dealloc(memory.as_ptr(), layout) },
            // SAFETY: leaked by `from`, freed here and nowhere else.
            Origin::Boxed => drop(unsafe { Box::from_raw(self.items.as_ptr()) }),
        }
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Line([u64; 8]);

    // SAFETY: numbers.
    unsafe impl Zeroed for Line {}

    #[test]
    fn items_are_zero_and_aligned() {
        for len in [1, 2, 3, 1000, 100_000] {
            let lines = Array::<Line>::zeroed(len);
            assert_eq!((lines.len(), lines.as_ptr().addr() % 64), (len, 0));
            assert!(lines.iter().all(|line| *line == Line([0; 8])));
            assert_eq!(Array::<Hint>::zeroed(len).iter().map(Hint::get).max(), Some(0));
        }
        let boxed = Array::from(Box::from([String::from("a"), String::from("b")]));
        assert_eq!(boxed.concat(), "ab");
        assert!(Array::<u8>::from(Box::default()).is_empty());
    }

    #[test]
    #[should_panic(expected = "an array of nothing")]
    fn nothing_is_no_array() {
        Array::<Hint>::zeroed(0);
    }
}
