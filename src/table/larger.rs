//! How is an array replaced by a larger one under the hands of those who use it, and how does that go back?
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `current` | null (the first) -> a -> b, which is larger and keeps a | whoever finds a too small | exchange; a loser frees its own |
//! | `current` | b -> null | who takes back what the table has grown by | exchange |
//!
//! The first lasts as long as the whole, so who finds that it is the current one needs no protection. Others can be taken
//! back, all at once, and are freed when nobody can see them any more (`outgrown`): so whoever uses one
//! [walks](Shelter) from before the look. Whoever goes on with one that was replaced writes where nobody looks any more,
//! which is for advice only: it is lost. Each is made so much larger by whoever replaces it that those which are
//! kept are together at most twice as large as the last.

use std::ptr::{self, NonNull};

use crate::reclaim::{Shelter, Walk};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, Made, Ordering, Tracked};
use crate::table::outgrown::{Leftover, Outgrown, Outgrows};

/// A `T` that larger ones may replace for a time.
pub(crate) struct Larger<T> {
    first: T,
    /// A leaked box, or null.
    current: AtomicPtr<Kept<T>>,
    outgrown: Outgrown<Kept<T>>,
}

struct Kept<T> {
    it: T,
    /// The one that this has replaced, or null for the first.
    before: *mut Kept<T>,
    leftover: Leftover<Kept<T>>,
    /// What `it` is made of is advice, which loom does not see.
    made: Made,
    _tracked: Tracked,
}

// SAFETY: what is behind the pointers is owned, given out as `&T`, and dropped with the whole or by who has
// unlinked it, to whom the leftover belongs.
unsafe impl<T: Send + Sync> Sync for Larger<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Larger<T> {}

impl<T> Outgrows for Kept<T> {
    fn leftover(&self) -> &Leftover<Self> {
        &self.leftover
    }
}

impl<T> Larger<T> {
    pub(crate) fn new(first: T) -> Self {
        Self { first, current: AtomicPtr::new(ptr::null_mut()), outgrown: Outgrown::new() }
    }

    /// The current one, if that is the first, which needs no shelter.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&T> {
        // ORDERING: Relaxed. The first is always there.
        self.current.load(Ordering::Relaxed).is_null().then_some(&self.first)
    }

    #[inline(always)]
    pub(crate) fn get<'w>(&'w self, shelter: &'w impl Shelter) -> &'w T {
        match self.first() {
            Some(first) => first,
            None => self.get_kept(shelter),
        }
    }

    /// `get` after growth; apart, so that the way of those who have not grown stays short.
    #[inline(never)]
    fn get_kept<'w>(&'w self, shelter: &'w impl Shelter) -> &'w T {
        self.kept(shelter).1.map_or(&self.first, |kept| &kept.it)
    }

    /// The current one, unless that is the first.
    #[inline]
    fn kept<'w>(&'w self, shelter: &'w impl Shelter) -> (*mut Kept<T>, Option<&'w Kept<T>>) {
        if !planted(Seed::StayAndLook) {
            shelter.walk();
        }
        // ORDERING: Acquire. Partner: the Release exchange in `replace`.
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: null, or a leaked box that was not unlinked when the walk began, hence is not freed while it lasts.
        let kept = unsafe { current.as_ref() };
        if let Some(kept) = kept {
            kept.made.seen();
        }
        (current, kept)
    }

    /// Replaces it by what `larger` makes of it, if anything. Of several who do so at a time one succeeds.
    pub(crate) fn replace(&self, shelter: &impl Shelter, larger: impl FnOnce(&T) -> Option<T>) {
        let (seen, kept) = self.kept(shelter);
        let Some(it) = larger(kept.map_or(&self.first, |kept| &kept.it)) else { return };
        let fresh = Box::into_raw(Box::new(Kept {
            it,
            before: seen,
            leftover: Leftover::new(),
            made: Made::new(),
            _tracked: Tracked::new(()),
        }));
        if planted(Seed::TornGrowth) {
            // ORDERING: of a planted bug.
            return self.current.store(fresh, Ordering::Release);
        }
        // ORDERING: Release on success. Partner: the Acquire load in `kept`. Relaxed on failure: whoever
        // needs one that is larger still comes again. The walk keeps the one that was seen, so its address is that
        // of no other.
        let replaced =
            self.current.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed);
        if replaced.is_err() {
            // SAFETY: made above and not shared. What it would have replaced is not its own.
            let mut fresh = unsafe { Box::from_raw(fresh) };
            fresh.before = ptr::null_mut();
        }
    }

    /// Goes back to the first, into which `carry` takes what is worth it from the current one. Whether there was
    /// another. `stamp` gives the mark of what was unlinked before.
    pub(crate) fn take_back(
        &self,
        walk: Walk<'_>,
        carry: impl FnOnce(&T, &T),
        stamp: impl FnOnce() -> u32,
    ) -> bool {
        let (seen, Some(kept)) = self.kept(&walk) else { return false };
        carry(&kept.it, &self.first);
        // ORDERING: Relaxed, both. It publishes nothing; that it comes before the stamp the stamp says (`next_era`).
        let taken = self
            .current
            .compare_exchange(seen, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed)
            .ok()
            .and_then(NonNull::new);
        if let Some(taken) = taken {
            // SAFETY: a leaked box, off its place, and on no list. With it go those that it has replaced, which were
            // unlinked earlier.
            unsafe { self.outgrown.keep(taken, stamp()) };
        }
        taken.is_some()
    }

    /// Frees what was taken back and nobody can see any more, see [`Outgrown::free`]. Whether that is all.
    pub(crate) fn free<U: Fn(u32) -> bool>(&self, unseen: impl FnOnce() -> U) -> bool {
        self.outgrown.free(unseen);
        self.outgrown.is_empty()
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        #[cfg(all(hotset_loom, feature = "loom"))]
        self.made.remade(); // LOOM: its end is a write, which must come after all looks
        let mut next = self.before;
        while !next.is_null() {
            // SAFETY: a leaked box, in this list once.
            let mut kept = unsafe { Box::from_raw(next) };
            next = std::mem::replace(&mut kept.before, ptr::null_mut());
        }
    }
}

impl<T> Drop for Larger<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed. `&mut self`: no other thread is left.
        if let Some(kept) = NonNull::new(self.current.load(Ordering::Relaxed)) {
            // SAFETY: a leaked box, which nobody can see any more.
            drop(unsafe { Box::from_raw(kept.as_ptr()) });
        }
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_goes_back() {
        let walk = Walk::unneeded();
        let carried = |of: &Vec<u32>, first: &Vec<u32>| assert_eq!((of.len(), first.len()), (3, 1));
        let larger = Larger::new(vec![1]);
        assert_eq!(larger.first(), Some(&vec![1]));
        assert!(!larger.take_back(walk, carried, || unreachable!("nothing to stamp")));
        let one_more = |it: &Vec<u32>| Some([it.as_slice(), &[7]].concat());
        larger.replace(&walk, one_more);
        larger.replace(&walk, |_| None);
        larger.replace(&walk, one_more);
        assert_eq!((larger.first(), larger.get(&walk)), (None, &vec![1, 7, 7]));
        assert!(larger.take_back(walk, carried, || 5));
        assert_eq!((larger.first(), larger.get(&walk)), (Some(&vec![1]), &vec![1]));
        assert!(!larger.free(|| |stamp| stamp != 5), "as long as it may be seen");
        assert!(larger.free(|| |stamp| stamp == 5));
        larger.replace(&walk, one_more);
        assert_eq!(larger.get(&walk), &vec![1, 7]);
    }
}
