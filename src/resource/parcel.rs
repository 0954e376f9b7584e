//! How does an answer get to who waits for it? By thread or by task.
//!
//! A parcel is given its content once and gives it once. Its lock is held for moves only: wakers are
//! cloned, woken and dropped outside of it, as are contents.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// See the module.
pub(crate) struct Parcel<V> {
    state: Mutex<State<V>>,
    arrived: Condvar,
}

struct State<V> {
    content: Option<V>,
    waker: Option<Waker>,
}

impl<V> Parcel<V> {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State { content: None, waker: None });
        Self { state, arrived: Condvar::new() }
    }

    /// Gives it its content, and wakes who waits.
    pub(crate) fn deliver(&self, content: V) {
        let mut state = self.lock();
        state.content = Some(content);
        let waker = state.waker.take();
        drop(state);
        self.arrived.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Blocks the thread until the content is there.
    pub(crate) fn wait(&self) -> V {
        let state = self.lock();
        let mut state = self
            .arrived
            .wait_while(state, |state| state.content.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.content.take().expect("it was waited for")
    }

    /// The content, or the task is woken when it is there.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<V> {
        {
            let mut state = self.lock();
            if let Some(content) = state.content.take() {
                return Poll::Ready(content);
            }
            if state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                return Poll::Pending;
            }
        }
        let waker = context.waker().clone();
        let mut state = self.lock();
        if let Some(content) = state.content.take() {
            drop(state);
            return Poll::Ready(content);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
