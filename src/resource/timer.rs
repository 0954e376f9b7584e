//! Who looks at the clock when nobody calls? One thread, while anything is due.
//!
//! `due` is set under the scheduler's lock, so it is never older than the scheduler's own. The thread
//! takes it out before it looks, and the step that it makes then sets the next. It ends after it has
//! had nothing to wait for for a while.
//!
//! The moments are those of the cache's clock, and the thread sleeps by the system's: if the cache goes
//! by a source of its own that keeps another pace, the thread wakes in vain, or late, and looks again. A
//! source that tells of its advances needs no timer.

#![forbid(unsafe_code)]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::time::Moment;

/// How long the thread waits for something to wait for.
const LINGER: Duration = Duration::from_secs(1);

/// How long it sleeps at least: a source may stand still just before something is due.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long it sleeps at most: no system can be asked for centuries.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whose deadlines they are.
pub(crate) trait Ticking: Send + Sync {
    /// What its clock shows.
    fn now(&self) -> Moment;

    /// Settles what is due now.
    fn tick(&self);
}

struct State {
    due: Option<Moment>,
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
    pub(crate) fn set(&self, due: Option<Moment>) -> bool {
        let due = due.filter(|due| *due < Moment::NEVER);
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
        loop {
            let now = target.now(); // may be a user's code: not under the lock
            let mut state = self.lock();
            let wait = match state.due {
                Some(due) if due <= now => {
                    state.due = None;
                    drop(state);
                    target.tick();
                    continue;
                }
                Some(due) => due.since(now).clamp(SHORTEST, LONGEST),
                None if state.ended => {
                    state.running = false;
                    break;
                }
                None => LINGER,
            };
            let idle = state.due.is_none();
            let (mut state, timeout) =
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            if idle && timeout.timed_out() && state.due.is_none() {
                state.running = false;
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
