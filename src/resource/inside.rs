//! Is this thread inside a load, an estimate or a close of this cache? Then it must not wait for it.

#![forbid(unsafe_code)]

use std::cell::RefCell;

thread_local! {
    /// The caches whose loaders are on this thread's call or poll stack, innermost last.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks a loader of the cache with this address as running on this thread, until dropped.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter(cache: usize) -> Self {
        // In a destructor of a thread-local that runs after ours nothing is recorded any more.
        let _ = RUNNING.try_with(|running| running.borrow_mut().push(cache));
        Self(())
    }

    pub(crate) fn is_here(cache: usize) -> bool {
        RUNNING.try_with(|running| running.borrow().contains(&cache)).unwrap_or(false)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.borrow_mut().pop());
    }
}
