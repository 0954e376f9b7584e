//! Scheme F: arc-swap. A reader owes a count, a writer pays all debts before it lets go.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::scheme::{Pinned, Scheme};
use super::seat::Counted;

struct Shared {
    key: u64,
    value: Counted,
}

impl Shared {
    fn new(key: u64) -> Arc<Self> {
        Arc::new(Self { key, value: Counted::new(key >> 32) })
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        self.key ^ self.value.get()
    }
}

/// F. Nothing ever waits, so that a bound has nothing to refuse.
pub(super) struct Debts {
    slots: Box<[ArcSwap<Shared>]>,
}

impl Scheme for Debts {
    const SPANS: bool = false;
    type Pin<'s> = DebtPin<'s>;

    fn new(slots: usize, _limit: Option<usize>) -> Self {
        Self { slots: (0..slots).map(|index| ArcSwap::new(Shared::new(index as u64))).collect() }
    }

    #[inline]
    fn read(&self, index: usize) -> u64 {
        self.slots[index].load().read()
    }

    #[inline]
    fn pin(&self, index: usize) -> DebtPin<'_> {
        DebtPin { array: self, guard: self.slots[index].load() }
    }

    #[inline]
    fn replace(&self, index: usize, key: u64, compare: bool) -> bool {
        let new = Shared::new(key);
        if compare {
            std::hint::black_box(self.slots[index].load().read());
        }
        drop(self.slots[index].swap(new));
        true
    }
}

pub(super) struct DebtPin<'s> {
    array: &'s Debts,
    guard: Guard<Arc<Shared>>,
}

impl Pinned for DebtPin<'_> {
    #[inline]
    fn read(&mut self, index: usize) -> u64 {
        self.guard = self.array.slots[index].load();
        self.guard.read()
    }
}
