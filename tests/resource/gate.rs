//! How do tests wait without sleeping? Gates that hold whoever passes, conditions that are awaited,
//! and a limit on everything, so that a deadlock is a message and not a silent machine.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, however busy the machine.
const LONG: Duration = Duration::from_secs(20);

/// Locks, whoever panicked before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` in a thread of its own. Panics with `what` if it has not returned in time.
#[track_caller]
pub(crate) fn limited<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let runs = thread::spawn(move || {
        let value = f();
        send.send(()).ok(); // nobody listens when it is too late
        value
    });
    match receive.recv_timeout(LONG) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{what}: not over after {LONG:?}, this looks like a deadlock")
        }
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            runs.join().unwrap_or_else(|panic| resume_unwind(panic))
        }
    }
}

/// Waits until `condition` holds. Panics with `what` if it does not come to hold.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "never came to hold: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Holds threads until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Door>, Condvar)>);

#[derive(Default)]
struct Door {
    open: bool,
    arrived: usize,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets through all who wait and whoever comes later.
    pub(crate) fn open(&self) {
        let (door, changed) = &*self.0;
        lock(door).open = true;
        changed.notify_all();
    }

    /// Waits here until the gate is open.
    pub(crate) fn pass(&self) {
        let (door, changed) = &*self.0;
        let mut door = lock(door);
        door.arrived += 1;
        changed.notify_all();
        let (door, late) = changed
            .wait_timeout_while(door, LONG, |door| !door.open)
            .unwrap_or_else(PoisonError::into_inner);
        drop(door);
        assert!(!late.timed_out(), "a gate was never opened");
    }

    /// Waits until `n` have come to this gate.
    #[track_caller]
    pub(crate) fn await_arrivals(&self, n: usize) {
        let (door, changed) = &*self.0;
        let (door, late) = changed
            .wait_timeout_while(lock(door), LONG, |door| door.arrived < n)
            .unwrap_or_else(PoisonError::into_inner);
        let arrived = door.arrived;
        drop(door);
        assert!(!late.timed_out(), "{arrived} of {n} came to a gate");
    }

    /// How many have come to this gate.
    pub(crate) fn arrivals(&self) -> usize {
        lock(&self.0.0).arrived
    }
}
