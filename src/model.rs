//! What do the models see? A thin public shell over private rooms, in the model build only.

use std::ptr::NonNull;

use crate::reclaim::{Block, Domain, Kind, Protect, ShareOfSlabs, Slabs};
use crate::slot::{Slot, Word};
use crate::sync::{AtomicPtr, AtomicU32, Made};

/// Must be called at the start of every execution of a model.
pub fn start_execution() {
    crate::thread_id::reset();
}

/// The tag of a key: keys with one home and one tag are those that a search cannot tell apart
/// without looking at them.
pub fn tag_of<S: std::hash::BuildHasher, Q: std::hash::Hash + ?Sized>(hasher: &S, key: &Q) -> u8 {
    crate::hash::Hashed::new(hasher, key).tag()
}

/// The home of a key in the first segment that its shard appends, if that has so many buckets.
pub fn next_home<S: std::hash::BuildHasher>(hasher: &S, key: u64, buckets: u32) -> usize {
    crate::table::next_home(crate::hash::Hashed::new(hasher, &key).place(), buckets)
}

/// Surveys what the table has grown by, and nothing else.
pub fn survey<K: Eq + std::hash::Hash, V, S>(cache: &crate::Cache<K, V, S>) {
    cache.store.survey();
}

/// A block with a payload, for models of reclamation alone.
#[repr(C, align(8))]
pub struct Cell<T> {
    link: AtomicPtr<Cell<T>>,
    stamp: AtomicU32,
    payload: std::cell::UnsafeCell<Option<T>>,
}

// SAFETY: the obligations of `Block` hold as for `Node`; payloads of models do not unwind.
unsafe impl<T> Block for Cell<T> {
    type Tail = ();

    fn weight((): &()) -> u64 {
        1
    }

    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }

    fn stamp(&self) -> &AtomicU32 {
        &self.stamp
    }

    fn read_under_pins(&self) -> bool {
        true
    }

    fn vacant() -> Self {
        Self {
            link: AtomicPtr::new(std::ptr::null_mut()),
            stamp: AtomicU32::new(0),
            payload: std::cell::UnsafeCell::new(None),
        }
    }

    unsafe fn dispose(this: NonNull<Self>) {
        // Dropped in its place, so that a reader who should not be there finds it dead.
        // SAFETY: by contract nobody else reaches the payload.
        let payload = unsafe { &mut *this.as_ref().payload.get() };
        assert!(payload.is_some(), "a block is disposed of twice");
        *payload = None;
    }
}

/// A slot that always holds a payload, as the table's slots do, and its reclamation.
pub struct Swapped<T> {
    slot: Slot<Cell<T>>,
    domain: Domain<Cell<T>, ()>,
}

// SAFETY: the payload is read by reference from several threads and dropped by any of them.
unsafe impl<T: Send + Sync> Sync for Swapped<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Swapped<T> {}

impl<T> Swapped<T> {
    /// A slot that holds `payload`.
    pub fn new(payload: T, slack: u64) -> Self {
        let this = Self { slot: Slot::new(), domain: Domain::new(slack, Kind::Short) };
        let word = Word::ready(this.block(payload).as_ptr());
        let claim =
            Word::claim(crate::hash::Hashed::new(&foldhash::fast::FixedState::default(), &0), 0, 0);
        assert!(this.slot.claim(claim) && this.slot.finalise(claim, word));
        this
    }

    fn block(&self, payload: T) -> NonNull<Cell<T>> {
        let block = self.domain.owner().take_block();
        // SAFETY: a taken block is ours alone and without contents.
        unsafe { *block.as_ref().payload.get() = Some(payload) };
        block
    }

    /// Reads the payload under the hazard.
    pub fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let hazard = self.domain.owner().hazard();
        loop {
            let word = self.slot.load();
            hazard.protect(word.node());
            if crate::seed::planted(crate::seed::Seed::NoValidation) || self.slot.still(word) {
                // SAFETY: what is to be proved: the block is protected.
                return f(unsafe { Self::payload(word) });
            }
        }
    }

    /// Reads the payload under a pin, then the payload of that time, then the first one again.
    pub fn read_pinned(&self, f: impl Fn(&T)) {
        let _pin = self.domain.owner().pin();
        // SAFETY: what is to be proved: the pin keeps what is read under it, in all three lines.
        let first = unsafe { Self::payload(self.slot.load()) };
        f(first);
        // SAFETY: as above.
        f(unsafe { Self::payload(self.slot.load()) });
        f(first);
    }

    /// The payload of a block that was read from the slot.
    ///
    /// # Safety
    /// The block is protected.
    unsafe fn payload<'a>(word: Word<Cell<T>>) -> &'a T {
        // SAFETY: by contract.
        let payload = unsafe { &*(*word.node()).payload.get() };
        payload.as_ref().expect("a block is read after it was freed")
    }

    /// Puts another payload in, retires the old one and collects. False if it was not admitted.
    pub fn swap(&self, payload: T) -> bool {
        let owner = self.domain.owner();
        if !owner.admit() {
            return false;
        }
        let block = self.block(payload);
        loop {
            let old = self.slot.load();
            if self.slot.exchange(old, Word::ready(block.as_ptr())) {
                // SAFETY: unlinked by the exchange, which one thread wins; no shares here.
                unsafe { owner.retire(NonNull::new(old.node()).unwrap()) };
                owner.finish();
                return true;
            }
        }
    }

    /// Frees what nobody reads.
    pub fn collect_all(&self) {
        self.domain.owner().settle();
    }

    /// How many payloads wait for readers.
    pub fn waiting(&self) -> u64 {
        self.domain.waiting()
    }
}

impl<T> Drop for Swapped<T> {
    fn drop(&mut self) {
        let word = self.slot.load();
        assert!(self.slot.unlink(word));
        // SAFETY: unlinked just now, and nobody else is left.
        unsafe { self.domain.owner().retire(NonNull::new(word.node()).unwrap()) };
    }
}

/// A payload whose uses loom watches, its making and its end included.
struct Watched(Made);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.remade();
    }
}

/// A block that somebody has.
pub struct Taken(NonNull<Cell<Watched>>);

// SAFETY: whoever has a block has it alone, which is what the models are to prove.
unsafe impl Send for Taken {}

impl Taken {
    /// Uses the block. What is in it stays when it is given back, so that loom sees all uses in one place.
    fn touch(&self) {
        // SAFETY: whoever has the block has it alone, which is what the models are to prove.
        let payload = unsafe { &mut *self.0.as_ref().payload.get() };
        payload.get_or_insert_with(|| Watched(Made::new())).0.remade();
    }
}

/// Memory of blocks and nothing else, in slabs of two, for a few threads.
pub struct Heap {
    slabs: Slabs<Cell<Watched>>,
    shares: [ShareOfSlabs<Cell<Watched>>; 3],
}

// SAFETY: each share is used by the thread that says its number, and those are told apart by the models.
unsafe impl Sync for Heap {}
// SAFETY: as above.
unsafe impl Send for Heap {}

impl Heap {
    /// No memory yet.
    pub fn new() -> Self {
        Self { slabs: Slabs::of_few(2), shares: Default::default() }
    }

    /// A block for thread `who`, who uses it.
    pub fn take(&self, who: usize) -> Taken {
        let taken = Taken(self.slabs.take(&self.shares[who], self.shares.iter()));
        taken.touch();
        taken
    }

    /// Uses a block once more and gives it back.
    pub fn give(&self, taken: Taken) {
        taken.touch();
        // SAFETY: the caller has it alone, and gives it up.
        unsafe { self.slabs.give(taken.0) };
    }

    /// Frees the slabs that are whole.
    pub fn trim(&self) {
        self.slabs.free_whole(self.shares.iter(), |_| true);
    }

    /// Gives back what thread `who` has of a slab and has not handed out.
    pub fn give_share(&self, who: usize) {
        self.slabs.give_share(&self.shares[who]);
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

/// What is not freed here loom finds to be leaked.
impl Drop for Heap {
    fn drop(&mut self) {
        for share in &self.shares {
            self.slabs.give_share(share);
        }
        self.trim();
    }
}
