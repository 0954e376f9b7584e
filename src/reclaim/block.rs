//! How does a block lie in memory? The block itself, and behind it, in some domains, its tail.
//!
//! ```text
//!  short   [ block ]
//!  long    [ block | padding to the tail's alignment | tail ]
//! ```
//!
//! All blocks of one domain are alike, which is settled when the domain is made: so what a cache does
//! not ask for takes no room in its nodes. A tail is reached from a pointer to the block that came from
//! where the block was made, never from a reference to the block, which would reach the block only.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicU32};

/// What can be retired.
///
/// # Safety
/// 1. `link` and `stamp` always name the same atomics of the block, valid from its allocation to
///    its deallocation, and the block is aligned to 4 or more.
/// 2. Once a block is retired nobody but the domain writes `link` and `stamp`.
/// 3. `dispose` must not unwind.
pub(crate) unsafe trait Block: Sized {
    /// What a long block has behind it; atomics, which stay as they are when the block is reused.
    type Tail: Default;

    /// What a block with this tail counts for while it waits, where blocks are [`Kind::Weighed`].
    fn weight(tail: &Self::Tail) -> u64;
    fn link(&self) -> &AtomicPtr<Self>;
    /// Free for the domain's use once the block is retired; 32 bits.
    fn stamp(&self) -> &AtomicU32;
    /// Whether a reader under a user's pin may look at it. If not, hazards and nested operations
    /// alone protect it.
    fn read_under_pins(&self) -> bool;
    /// A block without contents.
    fn vacant() -> Self;
    /// Drops the contents, not the block.
    ///
    /// # Safety
    /// The contents are initialised, nobody else can reach them, and this is called once.
    unsafe fn dispose(this: NonNull<Self>);
}

/// What all blocks of a domain are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Short; each counts for one while it waits.
    Short,
    /// Long; each counts for one while it waits.
    Long,
    /// Long; each counts for its weight while it waits.
    Weighed,
}

/// The layout of a long block, and where in it the tail is.
fn long<N: Block>() -> (Layout, usize) {
    let joined = Layout::new::<N>().extend(Layout::new::<N::Tail>());
    let (layout, offset) = joined.expect("a block is far smaller than the address space");
    (layout.pad_to_align(), offset)
}

/// The layout of a block.
pub(super) fn layout<N: Block>(is_long: bool) -> Layout {
    if is_long { long::<N>().0 } else { Layout::new::<N>() }
}

/// A vacant block; a long one with a tail as by default.
pub(super) fn allocate<N: Block>(is_long: bool) -> NonNull<N> {
    let layout = layout::<N>(is_long);
    // SAFETY: a block holds a link and a stamp, so the layout is not empty.
    let memory = unsafe { alloc(layout) }.cast::<N>();
    let Some(block) = NonNull::new(memory) else { handle_alloc_error(layout) };
    // SAFETY: the memory has the layout of a block; nobody else knows of it.
    unsafe { write(block, is_long) };
    block
}

/// Makes a vacant block of memory.
///
/// # Safety
/// The memory has the [`layout`] of a block, and nobody else knows of it.
pub(super) unsafe fn write<N: Block>(block: NonNull<N>, is_long: bool) {
    // SAFETY: by contract there is room for a block, and for a tail behind it where `is_long`.
    unsafe {
        block.write(N::vacant());
        if is_long {
            tail(block).write(N::Tail::default());
        }
    }
}

/// Undoes [`write`].
///
/// # Safety
/// As for [`deallocate`], of a block that was written.
pub(super) unsafe fn drop_in_place<N: Block>(block: NonNull<N>, is_long: bool) {
    // SAFETY: by contract the block is the caller's alone; block and tail are dropped once, here.
    unsafe {
        if is_long {
            tail(block).drop_in_place();
        }
        block.drop_in_place();
    }
}

/// Gives the memory of a block back.
///
/// # Safety
/// `block` came from [`allocate`] with the same `is_long`, has no contents, and nobody reaches it.
pub(super) unsafe fn deallocate<N: Block>(block: NonNull<N>, is_long: bool) {
    // SAFETY: by contract the block is the caller's alone and has this layout; the block and its tail
    // were written by `allocate` and are dropped once, here.
    unsafe {
        drop_in_place(block, is_long);
        dealloc(block.as_ptr().cast(), layout::<N>(is_long));
    }
}

/// Where the tail of a long block is.
///
/// # Safety
/// `block` was written by [`write`] with `is_long`, and its memory is not given back.
#[inline(always)]
pub(super) unsafe fn tail<N: Block>(block: NonNull<N>) -> NonNull<N::Tail> {
    // SAFETY: by contract the tail is in the block's allocation, at this offset.
    unsafe { block.byte_add(long::<N>().1).cast() }
}

#[cfg(all(test, not(all(hotset_loom, feature = "loom"))))]
mod tests {
    use super::*;
    use crate::node::Node;

    #[test]
    fn a_tail_costs_only_those_who_want_it() {
        assert_eq!(layout::<Node<u64, u64>>(false).size(), size_of::<Node<u64, u64>>());
        assert_eq!(layout::<Node<u64, u64>>(false).size(), 32);
        assert_eq!(layout::<Node<u64, u64>>(true).size(), 64);
        // A value whose alignment is larger, and one that leaves a gap before the tail.
        #[repr(align(64))]
        struct Wide(#[allow(dead_code, reason = "for its layout")] u8);
        let (layout, offset) = long::<Node<u8, Wide>>();
        assert_eq!((layout.align(), offset % align_of::<crate::node::Tail>()), (64, 0));
        assert!(long::<Node<u8, u8>>().1 >= size_of::<Node<u8, u8>>());
    }

    #[test]
    fn a_tail_is_as_by_default_and_can_be_written() {
        let block = allocate::<Node<u64, u64>>(true);
        // SAFETY: a long block, ours alone, given back once and not used afterwards.
        unsafe {
            let tail = tail(block).as_ref();
            assert_eq!(tail.weight(), 1);
            tail.set_weight(u64::MAX);
            assert_eq!(tail.weight(), u64::MAX);
            deallocate(block, true);
            deallocate(allocate::<Node<String, Vec<u8>>>(false), false);
        }
    }
}
