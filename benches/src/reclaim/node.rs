//! Recycled nodes: what schemes B, C, D, E and G put into their slots.
//!
//! ```text
//!   Pool::make --> private --> in a slot --> unlinked, on a Chain --> Pool::free --> free list
//!       ^                                                                               |
//!       +-------------------------------------------------------------------------------+
//! ```
//!
//! Readers use `key` and `value` and form references to these two alone. `link` and `stamp`
//! belong to whoever owns the chain that the node is on. Hence no access races with another.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::seat::Counted;

/// What the key of a freed node is, so that a reader that comes too late can notice.
const FREED: u64 = u64::MAX;
/// Nodes that a thread keeps for reuse.
const KEPT_FREE: usize = 512;

pub(super) struct Node {
    key: u64,
    value: MaybeUninit<Counted>,
    link: *mut Node,
    /// The era of retirement; 0 while it has none.
    pub(super) stamp: u64,
}

/// What a reader makes of a node: something that needs key and value.
///
/// # Safety
/// `node` is initialised and protected from being freed.
#[inline(always)]
pub(super) unsafe fn read(node: *const Node) -> u64 {
    // SAFETY: by contract the contents are initialised, and nobody writes them meanwhile.
    unsafe { (*node).key ^ (*node).value.assume_init_ref().get() }
}

/// A private list of unlinked nodes.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) first: *mut Node,
    pub(super) last: *mut Node,
    pub(super) len: usize,
}

// SAFETY: a chain owns its nodes, whose contents may be dropped by any thread.
unsafe impl Send for Chain {}

impl Chain {
    pub(super) const EMPTY: Self = Self { first: ptr::null_mut(), last: ptr::null_mut(), len: 0 };

    /// # Safety
    /// `node` is unlinked, on no other list, and comes to belong to this chain.
    #[inline]
    pub(super) unsafe fn push(&mut self, node: *mut Node) {
        // SAFETY: `link` belongs to the owner of the chain.
        unsafe { (*node).link = self.first };
        if self.first.is_null() {
            self.last = node;
        }
        self.first = node;
        self.len += 1;
    }

    /// Takes the nodes one by one.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = *mut Node> + '_ {
        std::iter::from_fn(|| {
            let node = self.first;
            if node.is_null() {
                return None;
            }
            // SAFETY: the node is on this chain, which owns its `link`.
            self.first = unsafe { (*node).link };
            self.len -= 1;
            Some(node)
        })
    }

    /// Gives nodes without a stamp this one.
    pub(super) fn stamp(&mut self, stamp: u64) {
        let mut cursor = self.first;
        while !cursor.is_null() {
            // SAFETY: the nodes are on this chain, which owns `link` and `stamp`.
            unsafe {
                (*cursor).stamp = stamp;
                cursor = (*cursor).link;
            }
        }
    }
}

/// A list of unlinked nodes that any thread may add to, or take whole.
pub(super) struct Stack(AtomicPtr<Node>);

impl Stack {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn push(&self, chain: Chain) {
        if chain.first.is_null() {
            return;
        }
        // ORDERING: Relaxed. Validated by the exchange; not dereferenced.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chain is ours until the exchange succeeds.
            unsafe { (*chain.last).link = head };
            // ORDERING: Release on success. Partner: the Acquire swap in `take`: links, stamps
            // and the unlinking before the retirement are seen by whoever takes the list. (A head
            // that went and came back is still the head, which is all that we say of it.)
            match self.0.compare_exchange_weak(
                head,
                chain.first,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Everything; `len` and `last` are not known.
    pub(super) fn take(&self) -> Chain {
        // ORDERING: Relaxed. A hint; the swap decides.
        if self.0.load(Ordering::Relaxed).is_null() {
            return Chain::EMPTY;
        }
        // ORDERING: Acquire. Partner: the Release exchange in `push`.
        let first = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        Chain { first, last: ptr::null_mut(), len: usize::MAX }
    }
}

/// One thread's free nodes.
pub(super) struct Pool {
    free: Cell<*mut Node>,
    len: Cell<usize>,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { free: Cell::new(ptr::null_mut()), len: Cell::new(0) }
    }

    #[inline]
    pub(super) fn make(&self, key: u64) -> *mut Node {
        let node = self.free.get();
        let value = MaybeUninit::new(Counted::new(key >> 32));
        if node.is_null() {
            return Box::into_raw(Box::new(Node { key, value, link: ptr::null_mut(), stamp: 0 }));
        }
        // SAFETY: free nodes are allocated, without contents, and belong to this pool alone.
        unsafe {
            self.free.set((*node).link);
            self.len.set(self.len.get() - 1);
            (*node).key = key;
            (*node).value = value;
            (*node).stamp = 0;
        }
        node
    }

    /// # Safety
    /// `node` is initialised, on no list, and no thread can reach it.
    #[inline]
    pub(super) unsafe fn free(&self, node: *mut Node) {
        // SAFETY: as the contract says.
        unsafe {
            empty(node);
            if self.len.get() == KEPT_FREE {
                drop(Box::from_raw(node));
                return;
            }
            (*node).link = self.free.get();
        }
        self.free.set(node);
        self.len.set(self.len.get() + 1);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut cursor = self.free.get();
        while !cursor.is_null() {
            // SAFETY: free nodes are boxes without contents and belong to this pool alone.
            let node = unsafe { Box::from_raw(cursor) };
            cursor = node.link;
        }
    }
}

/// # Safety
/// As for [`Pool::free`].
unsafe fn empty(node: *mut Node) {
    // SAFETY: by contract the value is initialised and nobody else reaches it.
    unsafe {
        (*node).value.assume_init_drop();
        (*node).key = FREED;
    }
}

/// Frees a node to the allocator.
///
/// # Safety
/// As for [`Pool::free`].
pub(super) unsafe fn discard(node: *mut Node) {
    // SAFETY: as the contract says; nodes are boxes.
    unsafe {
        empty(node);
        drop(Box::from_raw(node));
    }
}

/// An array of slots with a node in each.
pub(super) fn filled(slots: usize) -> Box<[AtomicPtr<Node>]> {
    let pool = Pool::new();
    (0..slots).map(|index| AtomicPtr::new(pool.make(index as u64))).collect()
}
