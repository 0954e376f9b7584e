//! Where do jobs run if the user gives no executor? On threads that are started on demand.
//!
//! A job takes a thread that idles, or a new one: how many jobs there are at a time is bounded by the
//! scheduler (`max_concurrent_loads`, `max_concurrent_closes`), and so is the number of threads. A
//! thread that has had nothing to do for a while ends. Nobody joins them.
//!
//! `idle` counts threads that wait and are not yet called; `queue` holds jobs that are on their way to
//! a thread that was called. Both change under the lock, under which no user code runs.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::resource::job::{Work, drive};

/// How long a thread waits for a further job.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    idle: usize,
}

/// The threads of one cache.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    called: Condvar,
}

impl Pool {
    /// Runs `work` on a thread of the pool. Does not wait.
    ///
    /// If the system refuses a thread it is run here and now: that is slow for the caller, but
    /// the work is never lost.
    pub(crate) fn submit(self: &Arc<Self>, work: Work) {
        let mut state = self.lock();
        if state.idle > 0 {
            state.idle -= 1;
            state.queue.push_back(work);
            drop(state);
            self.called.notify_one();
            return;
        }
        drop(state);
        let cell = Arc::new(Mutex::new(Some(work)));
        let (pool, parcel) = (Arc::clone(self), Arc::clone(&cell));
        let take =
            |cell: &Mutex<Option<Work>>| cell.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = move || {
            if let Some(work) = take(&parcel) {
                drive(work);
            }
            pool.serve();
        };
        let started = thread::Builder::new().name("hotset-resource".into()).spawn(body);
        if started.is_err()
            && let Some(work) = take(&cell)
        {
            drive(work);
        }
    }

    /// A thread's life after its first job.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            state.idle += 1;
            let (woken, wait) = self
                .called
                .wait_timeout_while(state, LINGER, |state| state.queue.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            match state.queue.pop_front() {
                // Whoever put it there has counted this thread, or another idle one, as called.
                Some(work) => {
                    drop(state);
                    drive(work);
                    state = self.lock();
                }
                None => {
                    debug_assert!(wait.timed_out());
                    state.idle -= 1;
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
