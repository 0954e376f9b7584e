//! How much may wait? A bound on what is retired and not freed, kept as in the engine: one shared
//! count, taken and repaid in units of [`CREDIT`] so that its line stays cold.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use super::seat::{NOBODY, SEATS, seat};

/// Units that a thread takes at once, and keeps after a repayment.
const CREDIT: usize = 16;

/// Retired values plus the unused credit of all threads, at most `limit`.
pub(super) struct Debt {
    limit: Option<usize>,
    owed: CachePadded<AtomicUsize>,
    credit: [CachePadded<Cell<usize>>; SEATS],
}

// SAFETY: a credit cell is touched only by the thread on its seat (`own`), and seats are handed
// over with Release and Acquire; NOBODY's cell is never touched.
unsafe impl Sync for Debt {}

impl Debt {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            owed: CachePadded::new(AtomicUsize::new(0)),
            credit: [const { CachePadded::new(Cell::new(0)) }; SEATS],
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }

    fn own(&self) -> Option<&Cell<usize>> {
        let seat = seat();
        (seat != NOBODY).then(|| &*self.credit[seat])
    }

    /// Makes sure that one value may be retired; `collect` may be called once. False: refuse.
    #[inline]
    pub(super) fn admit(&self, collect: impl FnOnce()) -> bool {
        let Some(limit) = self.limit else { return true };
        let credit = self.own().expect("writers have a seat");
        if credit.get() > 0 || self.borrow(credit, limit) {
            return true;
        }
        collect();
        credit.get() > 0 || self.borrow(credit, limit)
    }

    fn borrow(&self, credit: &Cell<usize>, limit: usize) -> bool {
        // ORDERING: Relaxed, all. Counts; RMWs on one word lose no update.
        let mut owed = self.owed.load(Ordering::Relaxed);
        loop {
            let want = CREDIT.min(limit.saturating_sub(owed));
            if want == 0 {
                return false;
            }
            match self.owed.compare_exchange_weak(
                owed,
                owed + want,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    credit.set(credit.get() + want);
                    return true;
                }
                Err(now) => owed = now,
            }
        }
    }

    /// One admitted value has been retired.
    #[inline]
    pub(super) fn spend(&self) {
        if self.is_bounded() {
            let credit = self.own().expect("writers have a seat");
            credit.set(credit.get() - 1);
        }
    }

    /// `freed` values have been freed, by the running thread.
    pub(super) fn repay(&self, freed: usize) {
        if !self.is_bounded() || freed == 0 {
            return;
        }
        let surplus = match self.own() {
            Some(credit) => {
                let sum = credit.get() + freed;
                credit.set(sum.min(CREDIT));
                sum - credit.get()
            }
            None => freed,
        };
        if surplus > 0 {
            // ORDERING: Relaxed. A count.
            self.owed.fetch_sub(surplus, Ordering::Relaxed);
        }
    }
}
