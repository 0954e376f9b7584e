//! What is one entry? A key with a value, or with a load that is under way; owned in shares.
//!
//! ```text
//!  link    retired: next on the list | loading: waiting room | else: settled  (`load`, `reclaim`)
//!  hash    the key's place; from retirement on, the stamp                      (`reclaim`)
//!  shares  [ 3 bits outcome | 1 bit joinable | 1 bit entered | 27 bits count ]
//!  key
//!  payload the value (outcome READY), or why there is none (FAILED)
//!  - - - - and, only in a cache that weighs its entries, lets them expire or refreshes them (`reclaim::block`):
//!  tail    weight | deadline | time of the last use | time of the next refresh     (`tail`)
//! ```
//!
//! Shares: the slot has one while the node is in it; whoever unlinks the node takes that one over.
//! A loader has one, each waiter has one, each `Removed` handle has one. Who gives the last one
//! back retires the node; the domain then waits for readers that have no share.
//!
//! Those of a flight that were there when its outcome was set are *counted*: outcome and count are
//! in one word, so it is known how many they are, and each knows of itself whether it is one. They
//! alone may use the flight's waiting room, and the last of them frees it (`load`).
//!
//! | outcome | set by | payload |
//! |---|---|---|
//! | PENDING | creation of a flight | nothing |
//! | READY | creation of an entry; the loader, `fetch_or` Release after writing the value | value |
//! | FAILED | the loader, likewise | the boxed error |
//! | PANICKED | the loader's guard, likewise | nothing |
//! | ABANDONED | the leader, exchange from PENDING with no share but its own and the slot's | nothing |

mod tail;

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::expiry::Times;
use crate::local::Local;
use crate::reclaim::{Block, Domain, Owner, Pin, RETIRED, Walker};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU32, Ordering};
pub(crate) use tail::Tail;

/// An error of a loader, for whoever can name its type again.
pub(crate) type Failure = Arc<dyn Any + Send + Sync>;

pub(crate) type NodeDomain<K, V> = Domain<Node<K, V>, Local>;
pub(crate) type NodeOwner<'d, K, V> = Owner<'d, Node<K, V>, Local>;
pub(crate) type NodePin<'d, K, V> = Pin<'d, Node<K, V>, Local>;
pub(crate) type NodeWalker<'d, K, V> = Walker<'d, Node<K, V>, Local>;

const COUNT: u32 = (1 << 27) - 1;
/// More shares than this are a leak that would soon reach into the other fields.
const MANY: u32 = COUNT / 2;
/// The node is or may have been READY in a slot, where readers under a pin find it.
const ENTERED: u32 = 1 << 27;
const JOINABLE: u32 = 1 << 28;
const OUTCOME: u32 = 0b111 << 29;
const PENDING: u32 = 0b000 << 29;
const READY: u32 = 0b001 << 29;
const FAILED: u32 = 0b010 << 29;
const PANICKED: u32 = 0b011 << 29;
const ABANDONED: u32 = 0b100 << 29;

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pending,
    Ready,
    Failed,
    Panicked,
    /// Nobody was left who would have loaded.
    Abandoned,
}

/// What came of the wish for a share of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// None: the last share is gone, the node is on its way out.
    Gone,
    /// A counted one: the flight is under way.
    During,
    /// A plain one: the flight has its outcome.
    After,
}

/// One block of the domain. See the module.
#[repr(C, align(8))]
pub(crate) struct Node<K, V> {
    pub(crate) link: AtomicPtr<Node<K, V>>,
    hash: AtomicU32,
    shares: AtomicU32,
    key: UnsafeCell<MaybeUninit<K>>,
    payload: UnsafeCell<Payload<V>>,
}

union Payload<V> {
    nothing: (),
    value: ManuallyDrop<V>,
    failure: *mut Failure,
}

// SAFETY: a node owns a key, a value and an error that is Send + Sync; all else is atomics. It is
// shared between threads that read key and value by reference and may be dropped by any of them.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Node<K, V> {}
// SAFETY: as above; the cells are written only while the node is private, and the payload once by
// the loader before READY or FAILED is set with Release.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Node<K, V> {}

/// What a node in a slot must be able to promise about its low address bits.
const _: () = assert!(align_of::<Node<u8, ()>>() >= crate::slot::NODE_ALIGN);

// SAFETY: 1: `link` and `hash` are fields of the block and never replaced. 2: after retirement
// nobody owns a share; late joiners only read `link` (`load`). 3: `dispose` catches panics.
unsafe impl<K, V> Block for Node<K, V> {
    type Tail = Tail;

    fn weight(tail: &Tail) -> u64 {
        tail.weight()
    }

    #[inline(always)]
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }

    #[inline(always)]
    fn stamp(&self) -> &AtomicU32 {
        &self.hash
    }

    fn read_under_pins(&self) -> bool {
        // ORDERING: Relaxed. The node is retired: the last change of the word happened before.
        self.shares.load(Ordering::Relaxed) & ENTERED != 0
    }

    fn vacant() -> Self {
        Self {
            link: AtomicPtr::new(ptr::null_mut()),
            hash: AtomicU32::new(0),
            shares: AtomicU32::new(0),
            key: UnsafeCell::new(MaybeUninit::uninit()),
            payload: UnsafeCell::new(Payload { nothing: () }),
        }
    }

    unsafe fn dispose(this: NonNull<Self>) {
        // SAFETY: by contract nobody else reaches the contents any more.
        let node = unsafe { this.as_ref() };
        if std::mem::needs_drop::<K>() {
            // SAFETY: a disposed node has a key, dropped here and nowhere else.
            drop_quietly(|| unsafe { (*node.key.get()).assume_init_drop() });
        }
        match node.outcome() {
            Outcome::Ready => {
                if std::mem::needs_drop::<V>() {
                    // SAFETY: READY means that the payload is a value; dropped once, here.
                    drop_quietly(|| unsafe {
                        ManuallyDrop::drop(&mut (*node.payload.get()).value)
                    });
                }
            }
            Outcome::Failed => {
                // SAFETY: FAILED means that the payload is a box of ours; dropped once, here.
                drop_quietly(|| drop(unsafe { Box::from_raw((*node.payload.get()).failure) }));
            }
            Outcome::Pending | Outcome::Panicked | Outcome::Abandoned => {}
        }
    }
}

/// Runs a user's destructor. A panic in it is contained: what it was destroying may leak in part,
/// and nothing of the cache is disturbed.
fn drop_quietly(destroy: impl FnOnce()) {
    // The payload of the panic is a user's value too, and its destructor may panic as well.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(destroy)) {
        std::mem::forget(panic);
    }
}

impl<K, V> Node<K, V> {
    #[inline(always)]
    pub(crate) fn key(&self) -> &K {
        // SAFETY: whoever has a reference to a node got it from `Private`, a slot or a share;
        // in all of these it has its key, which is not written again before the node is disposed.
        unsafe { (*self.key.get()).assume_init_ref() }
    }

    /// The value.
    ///
    /// # Safety
    /// The node was found READY: in a slot in state READY, or by [`outcome`](Self::outcome).
    #[inline(always)]
    pub(crate) unsafe fn value(&self) -> &V {
        // SAFETY: a READY payload is a value and is not written again before the node is disposed.
        unsafe { &(*self.payload.get()).value }
    }

    /// Where the key's home is. Only while the node is not retired, which protection alone does not prevent.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        // ORDERING: Relaxed. Written before the node was shared, seen through the slot's Acquire.
        self.hash.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        // ORDERING: Acquire. Partner: the Release `fetch_or` in `conclude`: the payload is seen.
        match self.shares.load(Ordering::Acquire) & OUTCOME {
            READY => Outcome::Ready,
            FAILED => Outcome::Failed,
            PANICKED => Outcome::Panicked,
            ABANDONED => Outcome::Abandoned,
            _ => Outcome::Pending,
        }
    }

    // ---- the loader's side ------------------------------------------------------------------

    /// The loader has a value: stores it. The flight is over, its waiters are still to be told.
    /// Gives the number of counted shares, that of the loader and of the slot included.
    ///
    /// # Safety
    /// The caller is the flight's one leader and has not concluded it before.
    pub(crate) unsafe fn conclude_ready(&self, value: V) -> u32 {
        // SAFETY: while PENDING nobody reads the payload, and only the leader writes it.
        unsafe { (*self.payload.get()).value = ManuallyDrop::new(value) };
        self.conclude(READY)
    }

    /// The loader failed: stores why.
    ///
    /// # Safety
    /// As for [`conclude_ready`](Self::conclude_ready).
    pub(crate) unsafe fn conclude_failed(&self, failure: Failure) -> u32 {
        let failure = Box::into_raw(Box::new(failure));
        // SAFETY: as in `conclude_ready`.
        unsafe { (*self.payload.get()).failure = failure };
        self.conclude(FAILED)
    }

    /// The loader panicked.
    ///
    /// # Safety
    /// As for [`conclude_ready`](Self::conclude_ready).
    pub(crate) unsafe fn conclude_panicked(&self) -> u32 {
        self.conclude(PANICKED)
    }

    fn conclude(&self, outcome: u32) -> u32 {
        debug_assert_eq!(PENDING, 0);
        // ORDERING: Release. Partner: the Acquire load in `outcome`. The payload is visible to
        // whoever sees the outcome.
        let order =
            if planted(Seed::RelaxedOutcome) { Ordering::Relaxed } else { Ordering::Release };
        let before = self.shares.fetch_or(outcome, order);
        debug_assert_eq!(before & OUTCOME, PENDING, "a flight has one outcome");
        before & COUNT
    }

    /// How many shares a flight has; `None` once it has an outcome.
    pub(crate) fn taking_part(&self) -> Option<u32> {
        // ORDERING: Acquire. Partners: the Release of `conclude`: who does not find PENDING goes on
        // to the outcome; and the Release of `part`: who finds the others gone sees what they did.
        let shares = self.shares.load(Ordering::Acquire);
        (shares & OUTCOME == PENDING).then_some(shares & COUNT)
    }

    /// Gives one of `count` shares of a flight back, if it has that many, and no outcome, still.
    pub(crate) fn part(&self, count: u32) -> bool {
        self.turn(count, JOINABLE | PENDING | (count - 1))
    }

    /// Ends a flight without an outcome of a loader, if it has `count` shares, and no outcome, still.
    ///
    /// # Safety
    /// The caller is the flight's one leader.
    pub(crate) unsafe fn conclude_abandoned(&self, count: u32) -> bool {
        self.turn(count, JOINABLE | ABANDONED | count)
    }

    /// Exchanges the word of a flight that has `count` shares and no outcome.
    fn turn(&self, count: u32, to: u32) -> bool {
        let from = JOINABLE | PENDING | count;
        // ORDERING: AcqRel on success. Release: this owner's use of the flight is over, as in `leave`,
        // or its outcome is to be seen, as in `conclude`. Acquire, for the last one, as in `leave`.
        // Relaxed on failure: the caller reads the word anew.
        self.shares.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The loader is about to make the flight an entry.
    pub(crate) fn enter(&self) {
        // ORDERING: Relaxed. Published by the slot's exchange, which comes next.
        self.shares.fetch_or(ENTERED, Ordering::Relaxed);
    }

    /// It did not become one, so no reader under a pin can have seen it.
    pub(crate) fn not_entered(&self) {
        // ORDERING: Relaxed. Read after the last share is gone (`leave` is AcqRel).
        self.shares.fetch_and(!ENTERED, Ordering::Relaxed);
    }

    /// The error of a flight that failed.
    pub(crate) fn failure(&self) -> Option<Failure> {
        // SAFETY: FAILED means that the payload is a boxed error, not written again.
        (self.outcome() == Outcome::Failed)
            .then(|| unsafe { Failure::clone(&*(*self.payload.get()).failure) })
    }

    // ---- shares -----------------------------------------------------------------------------

    /// Takes a share of a flight, or of an entry (`store::compute`), that is protected but of which the caller
    /// has none.
    pub(crate) fn join(&self) -> Join {
        // ORDERING: Relaxed. The exchange validates it.
        let mut shares = self.shares.load(Ordering::Relaxed);
        loop {
            if shares & COUNT == 0 {
                return Join::Gone;
            }
            if shares & COUNT > MANY {
                too_many();
            }
            // ORDERING: Relaxed. The node is kept by the caller's protection; the share only has
            // to be counted, and RMWs on one word lose nothing. It partners no other access.
            match self.shares.compare_exchange_weak(
                shares,
                shares + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) if shares & OUTCOME == PENDING => return Join::During,
                Ok(_) => return Join::After,
                Err(now) => shares = now,
            }
        }
    }

    /// Takes one more share. The caller has one.
    pub(crate) fn share(&self) {
        // ORDERING: Relaxed, as for `Arc::clone`: the caller's share keeps the node.
        if self.shares.fetch_add(1, Ordering::Relaxed) & COUNT > MANY {
            too_many();
        }
    }

    /// Gives a share back. True if it was the last: the caller must retire the node.
    #[inline]
    fn leave(&self) -> bool {
        // ORDERING: Acquire. Partner: the Release decrement below of others that left. A node
        // that was never joinable and has one share has nobody else who could add one, but for one
        // who keeps it only if it was in its slot still (`store::refreshing`, `keep`).
        if self.shares.load(Ordering::Acquire) & (JOINABLE | COUNT) == 1 {
            return true;
        }
        // ORDERING: AcqRel. Release: this owner's use of the contents is over. Acquire, for the
        // last one: so is everybody else's, before the retirement that follows.
        let order = if planted(Seed::RelaxedShare) { Ordering::Relaxed } else { Ordering::AcqRel };
        self.shares.fetch_sub(1, order) & COUNT == 1
    }

    /// Whether the caller's share is the only one.
    pub(crate) fn is_sole(&self) -> bool {
        // ORDERING: Acquire. Partner: the Release decrement in `leave`.
        self.shares.load(Ordering::Acquire) & COUNT == 1
    }
}

/// Too many shares of one node: like `Arc`, there is no way to go on that is safe.
#[cold]
fn too_many() -> ! {
    eprintln!("hotset: more than {MANY} handles to one entry");
    std::process::abort()
}

/// Gives back a share of `node`, and retires it if that was the last.
///
/// # Safety
/// The caller owns a share, and gives it up. If the node was ever in a slot of `owner`'s cache,
/// the slot's share is gone only once the node was unlinked.
#[inline]
pub(crate) unsafe fn release<K, V>(owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) {
    // SAFETY: the caller's share keeps the node.
    if unsafe { node.as_ref() }.leave() {
        // SAFETY: the last share is gone, the slot's included, so the node is unlinked; only one
        // thread sees the count fall to zero, and `join` never raises it from there.
        unsafe { owner.retire(node) };
    }
}

/// Takes the contents of an entry out of its node.
///
/// # Safety
/// The caller owns the only share of `node`, which is READY, unlinked, and seen by no reader.
pub(crate) unsafe fn take_entry<K, V>(
    owner: NodeOwner<'_, K, V>,
    node: NonNull<Node<K, V>>,
) -> (K, V) {
    // SAFETY: nobody else reaches the contents; they are moved out and the block is given back
    // without contents.
    unsafe {
        let key = (*node.as_ref().key.get()).assume_init_read();
        let value = ManuallyDrop::take(&mut (*node.as_ref().payload.get()).value);
        owner.give_block(node);
        (key, value)
    }
}

/// A node that nobody else has seen. Disposed of when dropped.
pub(crate) struct Private<'d, K, V> {
    owner: NodeOwner<'d, K, V>,
    node: NonNull<Node<K, V>>,
}

impl<'d, K, V> Private<'d, K, V> {
    fn new(owner: NodeOwner<'d, K, V>, place: u32, key: K, shares: u32, link: usize) -> Self {
        let node = owner.take_block();
        // SAFETY: a taken block is allocated, without contents, and ours alone.
        unsafe {
            let block = node.as_ref();
            // ORDERING: Relaxed, all. The node is private; the slot's exchange publishes it.
            block.link.store(ptr::without_provenance_mut(link), Ordering::Relaxed);
            block.hash.store(place, Ordering::Relaxed);
            block.shares.store(shares, Ordering::Relaxed);
            (*block.key.get()).write(key);
            if let Some(tail) = owner.tail(node) {
                tail.reset();
            }
        }
        Self { owner, node }
    }

    /// A node with a value, and one share, for the slot.
    #[inline]
    pub(crate) fn entry(
        owner: NodeOwner<'d, K, V>,
        place: u32,
        key: K,
        value: V,
        times: Times,
    ) -> Self {
        let this = Self::new(owner, place, key, READY | ENTERED | 1, RETIRED);
        if let Some(tail) = this.tail() {
            tail.set_times(times);
        }
        // SAFETY: the node is private; its payload has no contents yet.
        unsafe { (*this.node.as_ref().payload.get()).value = ManuallyDrop::new(value) };
        this
    }

    /// A node for a flight, with two shares: the slot's and the loader's.
    pub(crate) fn flight(owner: NodeOwner<'d, K, V>, place: u32, key: K) -> Self {
        Self::new(owner, place, key, PENDING | JOINABLE | 2, 0)
    }

    /// What a cache that wants it keeps beside key and value.
    #[inline]
    pub(crate) fn tail(&self) -> Option<&Tail> {
        // SAFETY: the node is a block of the owner's domain, and ours.
        unsafe { self.owner.tail(self.node) }
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> &K {
        // SAFETY: the node is ours and has its key.
        unsafe { self.node.as_ref() }.key()
    }

    /// The node's address, for the word that will publish it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut Node<K, V> {
        self.node.as_ptr()
    }

    /// The node has been put into a slot: it is shared from now on.
    #[inline]
    pub(crate) fn published(self) -> NonNull<Node<K, V>> {
        let node = self.node;
        std::mem::forget(self);
        node
    }

    /// Takes the key back out of a node made by [`flight`](Self::flight).
    pub(crate) fn into_key(self) -> K {
        let (owner, node) = (self.owner, self.published());
        // SAFETY: the node is private. A flight has no payload, so without its key it has no
        // contents: it is given back as it came.
        unsafe {
            debug_assert_eq!(node.as_ref().outcome(), Outcome::Pending);
            let key = (*node.as_ref().key.get()).assume_init_read();
            owner.give_block(node);
            key
        }
    }

    /// Takes key and value back out of a node made by [`entry`](Self::entry).
    pub(crate) fn into_entry(self) -> (K, V) {
        let (owner, node) = (self.owner, self.published());
        // SAFETY: the node is private, hence nobody else has a share or sees it. It is READY:
        // only entries come here (`debug_assert`).
        unsafe {
            debug_assert_eq!(node.as_ref().outcome(), Outcome::Ready);
            take_entry(owner, node)
        }
    }
}

impl<K, V> Drop for Private<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: the node is private and initialised; it is disposed of once and given back.
        unsafe {
            Node::dispose(self.node);
            self.owner.give_block(self.node);
        }
    }
}
