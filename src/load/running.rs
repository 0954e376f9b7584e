//! Which loaders are running on this thread? A loader that asks for its own key must not wait.

#![forbid(unsafe_code)]

use std::ptr::NonNull;

#[allow(clippy::missing_const_for_thread_local, reason = "loom's macro has no const form")]
mod stack {
    use std::cell::RefCell;

    crate::sync::thread_local! {
        /// The flights whose loaders are on this thread's call or poll stack, innermost last.
        pub(super) static RUNNING: RefCell<Vec<usize>> = RefCell::new(Vec::new());
    }
}

use stack::RUNNING;

/// Marks the loaders of flights as running on this thread, until dropped. A future is running while
/// it is polled.
pub(crate) struct Running(usize);

impl Running {
    /// `flight` must stay allocated until the mark is dropped.
    pub(crate) fn enter<N>(flight: NonNull<N>) -> Self {
        Self::enter_all([flight])
    }

    /// The same for several, which one loader loads.
    pub(crate) fn enter_all<N>(flights: impl IntoIterator<Item = NonNull<N>>) -> Self {
        // In a destructor of a thread-local that runs after ours nothing is recorded any more: a
        // loader there that asks for its own key is not found out.
        let enter = |running: &std::cell::RefCell<Vec<usize>>| {
            let mut running = running.borrow_mut();
            let before = running.len();
            running.extend(flights.into_iter().map(|flight| flight.addr().get()));
            running.len() - before
        };
        Self(RUNNING.try_with(enter).unwrap_or(0))
    }

    /// Whether the loader of `flight` is on this thread's stack: waiting for it would be for ever.
    pub(crate) fn is_on_this_stack<N>(flight: NonNull<N>) -> bool {
        let this = flight.addr().get();
        RUNNING.try_with(|running| running.borrow().contains(&this)).unwrap_or(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| {
            let mut running = running.borrow_mut();
            let rest = running.len() - self.0;
            running.truncate(rest);
        });
    }
}
