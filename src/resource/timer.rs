//! Who looks at the clock when nobody calls? One thread, while anything is due.
//!
//! `due` is set under the scheduler's lock, so it is never older than the scheduler's own. The thread
//! takes it out before it looks, and the step that it makes then sets the next. It ends after it has
//! had nothing to wait for for a while.

#![forbid(unsafe_code)]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::resource::clock::Ticking;

/// How long the thread waits for something to wait for.
const LINGER: Duration = Duration::from_secs(1);

struct State {
    due: Option<Instant>,
    running: bool,
    ended: bool,
}

/// See the module.
pub(crate) struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

impl Timer {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State { due: None, running: false, ended: false });
        Self { state, changed: Condvar::new() }
    }

    /// Sets what is due next. True if a thread must be started: [`start`](Self::start).
    pub(crate) fn set(&self, due: Option<Instant>) -> bool {
        let mut state = self.lock();
        let sooner = due.is_some_and(|due| state.due.is_none_or(|old| due < old));
        // What is due later than before is found out when the thread wakes up in vain.
        state.due = due;
        let start = due.is_some() && !state.running;
        state.running |= start;
        drop(state);
        if sooner && !start {
            self.changed.notify_one();
        }
        start
    }

    /// The cache has come to its end: the thread need not linger.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Starts the thread, which calls `target` when something is due. `timer` is the target's own.
    ///
    /// If the system refuses one, what is due is settled when something else happens.
    pub(crate) fn start<C: Ticking + 'static>(target: Arc<C>, timer: fn(&C) -> &Self) {
        let failed = {
            let target = Arc::clone(&target);
            let body = move || timer(&target).serve(&*target);
            thread::Builder::new().name("hotset-timer".into()).spawn(body).is_err()
        };
        if failed {
            timer(&target).lock().running = false;
        }
    }

    fn serve(&self, target: &dyn Ticking) {
        let mut state = self.lock();
        loop {
            let wait = match state.due {
                Some(due) => match due.checked_duration_since(Instant::now()) {
                    Some(wait) if !wait.is_zero() => wait,
                    _ => {
                        state.due = None;
                        drop(state);
                        target.tick();
                        state = self.lock();
                        continue;
                    }
                },
                None if state.ended => break,
                None => LINGER,
            };
            let idle = state.due.is_none();
            let (woken, timeout) =
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if idle && timeout.timed_out() && state.due.is_none() {
                break;
            }
        }
        state.running = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
