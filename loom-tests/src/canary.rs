//! Is a value read only while it lives, and dropped exactly once? A value that tells.
//!
//! loom does not watch ordinary memory. A canary keeps its number in a loom cell, which its
//! readers read and its drop writes to, so that loom itself reports a drop that is merely
//! *unordered* with a read, even where this interleaving happened to do no harm.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use loom::cell::UnsafeCell;

// LOOM: all threads of a model run on one system thread. The ledger is bookkeeping of the harness
// and must not be a step of the model, hence std.
thread_local! {
    static CREATED: Cell<usize> = const { Cell::new(0) };
    static DROPPED: Cell<usize> = const { Cell::new(0) };
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A value with a number that notices misuse.
#[derive(Debug)]
pub struct Canary {
    number: UnsafeCell<u64>,
    alive: AtomicBool,
}

// SAFETY: the cell is what is under test: loom reports any access to it that races.
unsafe impl Sync for Canary {}

impl Canary {
    /// A live canary.
    pub fn new(number: u64) -> Self {
        CREATED.set(CREATED.get() + 1);
        let this = Self { number: UnsafeCell::new(0), alive: AtomicBool::new(true) };
        // LOOM: the creation of a cell does not advance the thread's clock; a write does.
        // SAFETY: the canary is not shared yet.
        this.number.with_mut(|cell| unsafe { *cell = number });
        this
    }

    /// The number.
    ///
    /// # Panics
    /// If the canary is dead, or its creation or its death races with this.
    pub fn read(&self) -> u64 {
        assert!(self.alive.load(Ordering::Relaxed), "a canary is read after its death");
        // SAFETY: what is to be proved: nobody writes now. loom panics otherwise.
        self.number.with(|cell| unsafe { *cell })
    }
}

impl Clone for Canary {
    fn clone(&self) -> Self {
        Self::new(self.read())
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // The engine contains panics of destructors, so they are noted for the end of the execution.
        let death = catch_unwind(AssertUnwindSafe(|| {
            assert!(self.alive.swap(false, Ordering::Relaxed), "a canary dies twice");
            // SAFETY: what is to be proved: nobody reads now. loom panics otherwise.
            self.number.with_mut(|cell| unsafe { *cell = u64::MAX });
        }));
        DROPPED.set(DROPPED.get() + 1);
        if let Err(panic) = death {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
            FAULT.set(text.or(Some("a canary's death failed".into())));
        }
    }
}

/// How many canaries live in this execution, at this very step of it.
pub fn live() -> usize {
    CREATED.get() - DROPPED.get()
}

pub(crate) fn open_ledger() {
    CREATED.set(0);
    DROPPED.set(0);
    FAULT.set(None);
}

/// M3: what was created was dropped, once, and not under a reader's eyes.
pub(crate) fn close_ledger() {
    if let Some(fault) = FAULT.take() {
        panic!("{fault}");
    }
    let (created, dropped) = (CREATED.get(), DROPPED.get());
    assert_eq!(created, dropped, "canaries created and dropped");
}
