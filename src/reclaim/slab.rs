//! Where does a block's memory come from? Slabs, in which blocks lie side by side.
//!
//! An allocator asked for each block puts a header before it and rounds up: 32 bytes lie in 48 then, and
//! astride of two cache lines as often as not. A slab is a page or a little less, aligned to a power of two
//! that is its size and what an allocator keeps before the next, so that it is found from any of its blocks. It
//! goes back to the allocator once all of them have come back, and most of the others have nothing out either:
//! what is aligned so leaves holes that glibc does not fill again, and a cache that was large once may be again.
//!
//! ```text
//!  [ free | next | block 0 | block 1 | ... ]
//! ```
//!
//! A slab is *out* while no bit is set in `free`: all its blocks are somebody's. Else it is *held*, by a
//! list or by the thread that took the list.
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `free` | b -> b and bit i, b not 0 | who has block i, and no longer has it then | `fetch_or`, AcqRel |
//! | `free` | 0 -> bit i, out -> held | the same, who holds the slab then, and puts it on the cache's list | `fetch_or`, AcqRel |
//! | `free` | b -> 0, held -> out | who holds the slab, and has the blocks of b then | swap, AcqRel |
//! | the cache's list | l -> slabs, l | who holds the slabs | exchange, Release |
//! | a thread's list | null -> slabs | its thread, which holds the slabs | store, Release |
//! | either list | l -> null | anybody, who holds all of l then | swap, Acquire |
//! | `next` | any -> any | who holds the slab | Relaxed; published with a list |
//! | the slab | nothing -> out | whoever needs blocks, and has all of its | `alloc` |
//! | the slab | held -> nothing | who holds it and finds all bits set | Acquire load, `dealloc` |
//!
//! So a slab is on one list at most: only who holds it puts it there, and whoever takes it from there
//! makes it out, or frees it, or puts it back. Who gives a block back touches the slab no more unless it is
//! his to hold, so a holder who finds all bits set is alone with it. Nobody takes one slab from the middle
//! of others, so no list has an ABA problem: a thread that needs a slab takes a whole list and leaves what
//! it does not need on its own, from which anybody who finds no other takes it. A thread that is
//! stopped between the two keeps what it has taken, all that was held maybe, from the others, who ask the allocator
//! meanwhile; it stops nobody.
//!
//! Blocks that are large beside a slab come from the allocator one by one.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::advice::Hint;
use crate::pause::{Step, reach};
use crate::reclaim::block::{self, Block};
use crate::reclaim::{SINGLE, push, take_list};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU64, Ordering, Tracked};

/// The largest slab.
const LARGEST: usize = 4096;
/// What a slab lacks to a power of two: room for what an allocator keeps before each, so that it can lay
/// them side by side.
const SPARE: usize = 2 * size_of::<usize>();
/// Blocks of a slab at most, and at least.
const MOST: usize = u64::BITS as usize;
const LEAST: usize = 8;
/// A thread that has given back so many blocks for each slab that there is looks for slabs to free; at the end of
/// what may have removed many, one for each.
const GIFTS: usize = 8;
/// Slabs are freed if all but one of so many have nothing out.
const PART_KEPT: usize = 4;
/// No block is astride of two lines that need not be.
const LINE: usize = 64;

/// The front of a slab.
#[repr(C)]
pub(crate) struct Slab<N> {
    /// Which of its blocks are nobody's.
    free: AtomicU64,
    /// The next one of its list.
    next: AtomicPtr<Slab<N>>,
    _tracked: Tracked,
}

/// How blocks lie in a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// A power of two.
    bytes: usize,
    first: usize,
    stride: usize,
    count: usize,
}

impl Shape {
    /// The largest slab that has as many of these blocks as there are bits, or less; `None` if that are few.
    fn new(front: usize, block: Layout) -> Option<Self> {
        let stride = block.size();
        let align = block.align().max((1 << stride.trailing_zeros()).min(LINE));
        let first = front.next_multiple_of(align);
        let sizes = (0..=LARGEST.ilog2()).rev().map(|log| 1 << log);
        let mut shapes = sizes.map(|bytes: usize| {
            let count = bytes.saturating_sub(first + SPARE) / stride;
            Self { bytes, first, stride, count }
        });
        shapes.find(|shape| shape.count <= MOST).filter(|shape| shape.count >= LEAST)
    }

    /// A slab of a few blocks, whatever their size.
    fn of_few(front: usize, block: Layout, count: usize) -> Self {
        let first = front.next_multiple_of(block.align());
        let bytes = (first + count * block.size() + SPARE).next_power_of_two();
        Self { bytes, first, stride: block.size(), count }
    }

    /// All of it but [`SPARE`], used or not: with a gap of a few bytes before the next an allocator would
    /// leave out a whole one.
    fn layout(self) -> Layout {
        let layout = Layout::from_size_align(self.bytes - SPARE, self.bytes);
        layout.expect("a slab is far smaller than the address space")
    }

    /// All bits of `free`.
    fn all(self) -> u64 {
        u64::MAX >> (MOST - self.count)
    }
}

/// The slabs of one domain.
pub(crate) struct Slabs<N> {
    list: AtomicPtr<Slab<N>>,
    /// How many there are, in lists, out, or in hand.
    number: Hint,
    /// `None`: blocks come one by one.
    shape: Option<Shape>,
    is_long: bool,
}

/// What one thread has of a domain's slabs.
pub(crate) struct Share<N> {
    /// Slabs that it took and has not needed yet. Anybody may take them.
    list: AtomicPtr<Slab<N>>,
    /// Blocks of one slab that are its own.
    slab: Cell<*mut Slab<N>>,
    bits: Cell<u64>,
    /// How many blocks it has given back since it looked for slabs to free.
    gifts: Cell<usize>,
}

impl<N> Default for Share<N> {
    fn default() -> Self {
        Self {
            list: AtomicPtr::new(ptr::null_mut()),
            slab: Cell::new(ptr::null_mut()),
            bits: Cell::new(0),
            gifts: Cell::new(0),
        }
    }
}

impl<N: Block> Slabs<N> {
    /// Slabs of blocks that are long, or not.
    pub(super) fn new(is_long: bool) -> Self {
        let front = size_of::<Slab<N>>();
        let shape = if SINGLE { None } else { Shape::new(front, block::layout::<N>(is_long)) };
        Self { list: AtomicPtr::new(ptr::null_mut()), number: Hint::default(), shape, is_long }
    }

    /// Slabs of so many short blocks, for the models of this room.
    #[cfg_attr(not(all(hotset_loom, feature = "loom")), allow(dead_code, reason = "for models"))]
    pub(crate) fn of_few(count: usize) -> Self {
        let shape = Shape::of_few(size_of::<Slab<N>>(), block::layout::<N>(false), count);
        let list = AtomicPtr::new(ptr::null_mut());
        Self { list, number: Hint::default(), shape: Some(shape), is_long: false }
    }

    /// A vacant block. `mine` is the running thread's share, `others` are those of all threads.
    pub(crate) fn take<'s>(
        &self,
        mine: &Share<N>,
        others: impl Iterator<Item = &'s Share<N>>,
    ) -> NonNull<N>
    where
        N: 's,
    {
        let Some(shape) = self.shape else { return block::allocate(self.is_long) };
        if mine.bits.get() == 0 {
            let (slab, bits) = self.refill(shape, mine, others);
            mine.slab.set(slab.as_ptr());
            mine.bits.set(bits);
        }
        let bits = mine.bits.get();
        mine.bits.set(bits & (bits - 1));
        let offset = shape.first + bits.trailing_zeros() as usize * shape.stride;
        // SAFETY: a slab of which the thread has blocks is not null and allocated, and block `i` of it, of
        // which this was the bit, is at this offset.
        unsafe { NonNull::new_unchecked(mine.slab.get().byte_add(offset).cast()) }
    }

    /// A slab that is out now, and its blocks that are the caller's now, at least one.
    fn refill<'s>(
        &self,
        shape: Shape,
        mine: &Share<N>,
        others: impl Iterator<Item = &'s Share<N>>,
    ) -> (NonNull<Slab<N>>, u64)
    where
        N: 's,
    {
        let mut lists = [&mine.list, &self.list].into_iter().chain(others.map(|share| &share.list));
        let Some(slab) = lists.find_map(take_slabs) else {
            return (self.allocate(shape), shape.all());
        };
        reach(Step::SlabsTaken);
        // SAFETY: taken from a list, so it is held by this thread and allocated.
        let front = unsafe { slab.as_ref() };
        // ORDERING: Relaxed. Published with the list. Before the swap, after which the slab is not ours.
        let rest = front.next.load(Ordering::Relaxed);
        if !rest.is_null() {
            // Nothing is overwritten: it was null when this thread looked, or has been since it took all,
            // and nobody else puts anything there.
            // ORDERING: Release. Partner: the Acquire swap in `take_list`: the links.
            let order =
                if planted(Seed::RelaxedRest) { Ordering::Relaxed } else { Ordering::Release };
            mine.list.store(rest, order);
        }
        // ORDERING: AcqRel. Acquire: the uses of these blocks before they were given back (`give_bits`).
        // Release: this thread's look at `next`, before the one who holds the slab next writes it (loom
        // knows no store that is made before a load, so no model needs this half).
        let bits = front.free.swap(0, Ordering::AcqRel);
        debug_assert!(bits != 0, "a slab that is held has a free block");
        (slab, bits)
    }

    /// A new slab, which is out: all its blocks are the caller's.
    #[cold]
    fn allocate(&self, shape: Shape) -> NonNull<Slab<N>> {
        // SAFETY: a slab has a front, so the layout is not empty.
        let memory = unsafe { alloc(shape.layout()) }.cast::<Slab<N>>();
        let Some(slab) = NonNull::new(memory) else { handle_alloc_error(shape.layout()) };
        self.number.add(1);
        // SAFETY: the memory has the layout of a slab of this shape; nobody else knows of it.
        unsafe {
            slab.write(Slab {
                free: AtomicU64::new(0),
                next: AtomicPtr::new(ptr::null_mut()),
                _tracked: Tracked::new(()),
            });
            for at in 0..shape.count {
                let block = slab.byte_add(shape.first + at * shape.stride).cast();
                block::write::<N>(block, self.is_long);
            }
        }
        slab
    }

    /// Gives a block of the thread, of which this is the share, back.
    ///
    /// # Safety
    /// As for [`give`](Self::give).
    pub(super) unsafe fn give_of(&self, mine: &Share<N>, block: NonNull<N>) {
        mine.gifts.set(mine.gifts.get() + 1);
        // SAFETY: the caller's.
        unsafe { self.give(block) };
    }

    /// Whether the thread has given back so much that it is worth a look for slabs to free; `finally`, at the
    /// end of what may have removed many.
    #[inline]
    pub(super) fn is_worth_a_look(&self, mine: &Share<N>, finally: bool) -> bool {
        let each = if finally { 1 } else { GIFTS };
        mine.gifts.get() >= each * (self.number.get() as usize).max(MOST)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// The block came from [`take`](Self::take) of these slabs, by way of pointers only, has no contents,
    /// and is unreachable: the caller's alone, who gives it up.
    pub(crate) unsafe fn give(&self, block: NonNull<N>) {
        let Some(shape) = self.shape else {
            // SAFETY: by contract; blocks of this domain come one by one.
            return unsafe { block::deallocate(block, self.is_long) };
        };
        let within = block.addr().get() % shape.bytes;
        debug_assert_eq!((within - shape.first) % shape.stride, 0, "this is no block");
        // SAFETY: a slab is aligned to its size, so this is where the block's begins, in the same allocation.
        let slab = unsafe { block.byte_sub(within) }.cast::<Slab<N>>();
        // SAFETY: the block is the caller's, by contract.
        unsafe { self.give_bits(slab, 1 << ((within - shape.first) / shape.stride)) };
    }

    /// Gives some blocks of one slab back.
    ///
    /// # Safety
    /// As for [`give`](Self::give).
    unsafe fn give_bits(&self, slab: NonNull<Slab<N>>, bits: u64) {
        // SAFETY: a block of the slab is the caller's, so the slab is allocated until the exchange is over, and
        // after that if the slab was out, until it is pushed.
        let free = unsafe { &slab.as_ref().free };
        // ORDERING: AcqRel. Release: the caller's uses of the blocks, before those of who takes them
        // (`refill`), and before the slab is freed (`trim`). Acquire: where the slab was out, what those did
        // who held it before.
        let order = if planted(Seed::RelaxedGift) { Ordering::Relaxed } else { Ordering::AcqRel };
        let before = free.fetch_or(bits, order);
        debug_assert_eq!(before & bits, 0, "a block is given back twice");
        if before == 0 || planted(Seed::HeldTwice) {
            self.push(slab, slab);
        }
    }

    /// Puts slabs that the caller holds, `first ..= last`, on the list of all.
    fn push(&self, first: NonNull<Slab<N>>, last: NonNull<Slab<N>>) {
        push(&self.list, first, last, |slab| &slab.next, 0);
    }

    /// Gives back what the thread, of which this is the share, has and does not use.
    pub(crate) fn give_share(&self, mine: &Share<N>) {
        let bits = mine.bits.replace(0);
        if let Some(slab) = NonNull::new(mine.slab.replace(ptr::null_mut()))
            && bits != 0
        {
            // SAFETY: the blocks of these bits are the thread's and were not handed out.
            unsafe { self.give_bits(slab, bits) };
        }
    }

    /// Frees the slabs on all lists of which all blocks have come back, if those are most.
    pub(crate) fn trim<'s>(
        &self,
        mine: &Share<N>,
        shares: impl Iterator<Item = &'s Share<N>> + Clone,
    ) where
        N: 's,
    {
        mine.gifts.set(0);
        let most = |whole: usize| whole >= self.number.get() as usize / PART_KEPT * (PART_KEPT - 1);
        self.free_whole(shares, most);
    }

    /// Frees the slabs on all lists of which all blocks have come back, if `enough` are.
    pub(crate) fn free_whole<'s>(
        &self,
        shares: impl Iterator<Item = &'s Share<N>>,
        enough: impl FnOnce(usize) -> bool,
    ) where
        N: 's,
    {
        let Some(shape) = self.shape else { return };
        let (mut whole, mut others) = (Chain::new(), Chain::new());
        for list in shares.map(|share| &share.list).chain([&self.list]) {
            let mut cursor = take_slabs(list);
            while let Some(slab) = cursor {
                // SAFETY: taken from a list, so it is held by this thread and allocated.
                let front = unsafe { slab.as_ref() };
                // ORDERING: Relaxed. Published with the list.
                cursor = NonNull::new(front.next.load(Ordering::Relaxed));
                // ORDERING: Acquire. Partner: the Release of `give_bits`, of all who gave blocks back: each
                // of the exchanges continues the release sequences of those before.
                let order =
                    if planted(Seed::RelaxedTrim) { Ordering::Relaxed } else { Ordering::Acquire };
                let is_whole = front.free.load(order) == shape.all();
                if is_whole { whole.push(slab) } else { others.push(slab) }
            }
        }
        if whole.len + others.len > 0 {
            reach(Step::SlabsSorted);
        }
        if let Some((first, last)) = others.ends {
            self.push(first, last);
        }
        if let Some((first, last)) = whole.ends {
            if !enough(whole.len) {
                return self.push(first, last);
            }
            let mut cursor = Some(first);
            while let Some(slab) = cursor {
                // ORDERING: Relaxed. Ours since it was taken.
                // SAFETY: held by this thread, and no block of it is anybody's, as was seen: nobody but who
                // holds a slab takes any; see the module.
                unsafe {
                    cursor = NonNull::new(slab.as_ref().next.load(Ordering::Relaxed));
                    self.deallocate(slab, shape);
                }
            }
        }
    }

    /// Frees a slab.
    ///
    /// # Safety
    /// The caller holds it, and all its blocks have come back.
    unsafe fn deallocate(&self, slab: NonNull<Slab<N>>, shape: Shape) {
        // SAFETY: by contract the caller is alone with the slab and its blocks, which were all written by
        // `allocate` with this shape and are dropped once, here.
        unsafe {
            for at in 0..shape.count {
                let block = slab.byte_add(shape.first + at * shape.stride).cast();
                block::drop_in_place::<N>(block, self.is_long);
            }
            slab.drop_in_place();
            self.number.add(u32::MAX); // one less
            dealloc(slab.as_ptr().cast(), shape.layout());
        }
    }
}

/// Slabs that a thread holds, one linked to the next.
struct Chain<N> {
    ends: Option<Ends<N>>,
    len: usize,
}

/// The first and the last.
type Ends<N> = (NonNull<Slab<N>>, NonNull<Slab<N>>);

impl<N> Chain<N> {
    fn new() -> Self {
        Self { ends: None, len: 0 }
    }

    /// One more, which the thread holds.
    fn push(&mut self, slab: NonNull<Slab<N>>) {
        let next = self.ends.map_or(ptr::null_mut(), |(first, _)| first.as_ptr());
        // ORDERING: Relaxed. Published when the chain is pushed on a list.
        // SAFETY: held by the caller, hence allocated.
        unsafe { slab.as_ref() }.next.store(next, Ordering::Relaxed);
        self.ends = Some((slab, self.ends.map_or(slab, |(_, last)| last)));
        self.len += 1;
    }
}

/// All slabs of a list, of which this is the first; they are the caller's to hold.
fn take_slabs<N>(list: &AtomicPtr<Slab<N>>) -> Option<NonNull<Slab<N>>> {
    // ORDERING: Relaxed. A hint, that spares the exchange where there is nothing.
    let is_empty = list.load(Ordering::Relaxed).is_null();
    if is_empty { None } else { NonNull::new(take_list(list)) }
}

#[cfg(all(test, not(all(hotset_loom, feature = "loom"))))]
mod tests {
    use super::*;
    use crate::node::Node;
    use proptest::prelude::*;

    fn shape<N: Block>(is_long: bool) -> Option<Shape> {
        Shape::new(size_of::<Slab<N>>(), block::layout::<N>(is_long))
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn slabs_are_full_of_blocks() {
        let small = Shape { bytes: 2048, first: 32, stride: 32, count: 62 };
        assert_eq!(shape::<Node<u64, u64>>(false), Some(small));
        let long = Shape { bytes: 4096, first: 64, stride: 64, count: 62 };
        assert_eq!(shape::<Node<u64, u64>>(true), Some(long));
        assert_eq!(shape::<Node<(), ()>>(false).map(|s| (s.bytes, s.count)), Some((1024, 41)));
        assert_eq!(shape::<Node<u64, [u64; 58]>>(false).map(|s| s.count), Some(8));
        assert_eq!(shape::<Node<u64, [u64; 100]>>(false), None);
        #[repr(align(128))]
        struct Wide(#[allow(dead_code, reason = "for its layout")] u8);
        let wide = shape::<Node<u8, Wide>>(false).unwrap();
        assert_eq!((wide.first % 128, wide.stride % 128), (0, 0));
    }

    proptest! {
        #[test]
        fn blocks_lie_in_their_slab_and_beside_each_other(words in 2_usize..100, log in 3_u32..8) {
            let block = Layout::from_size_align(8 * words, 1 << log).unwrap().pad_to_align();
            let Some(shape) = Shape::new(16, block) else {
                return Ok(());
            };
            prop_assert!((LEAST..=MOST).contains(&shape.count));
            prop_assert!(shape.first >= 16 && shape.first % block.align() == 0);
            prop_assert!(shape.first + shape.count * shape.stride <= shape.layout().size());
            prop_assert!(shape.bytes.is_power_of_two() && shape.bytes <= LARGEST);
            prop_assert_eq!(shape.all().count_ones() as usize, shape.count);
        }

        /// Whoever has blocks has them alone, and in the end no slab is left.
        #[test]
        #[cfg(not(hotset_single))]
        fn every_block_is_somebodys(is_long in any::<bool>(), ops in prop::collection::vec((any::<bool>(), 0_usize..2, any::<prop::sample::Index>()), 0..600)) {
            let slabs = Slabs::<Node<u64, u64>>::new(is_long);
            let shares: [Share<_>; 2] = Default::default();
            let mut taken = Vec::new();
            for (take, who, which) in ops {
                if take || taken.is_empty() {
                    let block = slabs.take(&shares[who], shares.iter());
                    prop_assert!(!taken.contains(&block));
                    taken.push(block);
                } else {
                    // SAFETY: taken above, and not used.
                    unsafe { slabs.give(taken.swap_remove(which.index(taken.len()))) };
                    if which.index(50) == 0 {
                        slabs.give_share(&shares[who]);
                        slabs.trim(&shares[who], shares.iter());
                    }
                }
            }
            // SAFETY: as above.
            taken.into_iter().for_each(|block| unsafe { slabs.give(block) });
            shares.iter().for_each(|share| slabs.give_share(share));
            slabs.trim(&shares[0], shares.iter());
            prop_assert_eq!(slabs.number.get(), 0);
            let lists = shares.iter().map(|share| &share.list).chain([&slabs.list]);
            prop_assert!(lists.into_iter().all(|list| take_slabs(list).is_none()));
        }
    }
}
