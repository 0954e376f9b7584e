//! Who runs against whom? Threads that start together, of which any may be the first.
//!
//! What loom does not see. It explores another order of two accesses if they are to one object,
//! one of them writes, and the later one comes *directly* after the earlier one among the accesses
//! of that object: an own load hides what was before. So when one thread loads, and another loads
//! and then exchanges, the order in which the exchange comes before the first load may never be
//! tried (loom 0.7: without a bound on preemptions it is not, with one it is by accident). All code
//! of this crate loads before it exchanges. Two remedies:
//!
//! * [`race`] lets each thread begin with a read-modify-write of one word, a *gate*, so that each
//!   of them is tried as the first; what was hidden in one order is mostly seen in the other;
//! * [`stepwise`] puts a gate at every named step of the engine (`hotset::__model::Step`), for
//!   models of which that is not enough. It costs executions.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use hotset::__model::{Step, set_step_hook};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

/// A word that threads write only to be seen by loom. It orders nothing.
#[derive(Clone, Debug)]
struct Gate(Arc<AtomicUsize>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    fn pass(&self) {
        // ORDERING: Relaxed. It must not hide a missing order of the engine.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread of a model, and what it finds out.
pub type Job<T, R = ()> = Box<dyn FnOnce(&T) -> R>;

/// Makes a thread of a model.
pub fn job<T, R>(body: impl FnOnce(&T) -> R + 'static) -> Job<T, R> {
    Box::new(body)
}

/// Runs the threads against each other, waits for all, and gives what they found out.
///
/// None of them is the model's main thread: to go on when that one waits is free, so the bound on
/// preemptions is spent on what matters, whichever thread begins.
pub fn race<T: 'static, R: 'static, const N: usize>(
    shared: &Arc<T>,
    jobs: [Job<T, R>; N],
) -> [R; N] {
    start(shared, jobs).finish()
}

/// Starts threads, which run against each other and against the one that started them.
pub fn start<T: 'static, R: 'static, const N: usize>(
    shared: &Arc<T>,
    jobs: [Job<T, R>; N],
) -> Racing<R, N> {
    let gate = Gate::new();
    Racing(jobs.map(|job| {
        let (shared, gate) = (Arc::clone(shared), gate.clone());
        thread::spawn(move || {
            gate.pass();
            job(&shared)
        })
    }))
}

/// Threads that run.
#[must_use]
pub struct Racing<R, const N: usize>([JoinHandle<R>; N]);

impl<R, const N: usize> Racing<R, N> {
    /// Waits for all, and gives what they found out.
    pub fn finish(self) -> [R; N] {
        self.0.map(|thread| thread.join().expect("a thread of a model ended"))
    }
}

/// From here on in this execution, every thread passes a gate where it reaches one of `steps`.
pub fn stepwise(steps: &'static [Step]) {
    let gate = Gate::new();
    let hook = move |step| {
        if steps.contains(&step) {
            gate.pass();
        }
    };
    set_step_hook(Some(Rc::new(hook)));
}

/// Runs `body` in one go: what the others could do in the middle of it is left to other models.
///
/// For steps that only prepare the ground for the race, in a thread that is already racing.
pub fn at_once<R>(body: impl FnOnce() -> R) -> R {
    loom::stop_exploring();
    let result = body();
    loom::explore();
    result
}

/// Where a thread explores: from one step on, up to another one.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    from: Option<Step>,
    to: Option<Step>,
    /// Whether it does not explore now.
    at_once: bool,
}

// LOOM: of each thread of the model.
loom::thread_local! {
    static WINDOW: Cell<Window> = Cell::new(Window::default());
}

/// What every thread does at each step.
fn look_out(reached: Step) {
    let window = WINDOW.with(Cell::get);
    if window.at_once && window.from == Some(reached) {
        WINDOW.with(|cell| cell.set(Window { from: None, at_once: false, ..window }));
        loom::explore();
    } else if !window.at_once && window.to == Some(reached) {
        WINDOW.with(|cell| cell.set(Window { to: None, at_once: true, ..window }));
        loom::stop_exploring();
    }
}

fn within<R>(from: Option<Step>, to: Option<Step>, body: impl FnOnce() -> R) -> R {
    set_step_hook(Some(Rc::new(look_out)));
    let at_once = from.is_some();
    WINDOW.with(|cell| cell.set(Window { from, to, at_once }));
    if at_once {
        loom::stop_exploring();
    }
    let result = body();
    if WINDOW.with(|cell| cell.replace(Window::default())).at_once {
        loom::explore();
    }
    result
}

/// Runs `body`, up to `step` in one go; all of it, if it does not come there. Nothing may wait before
/// `step`.
///
/// For threads that are to meet late in what they do: what they do before has models of its own.
pub fn at_once_until<R>(step: Step, body: impl FnOnce() -> R) -> R {
    within(Some(step), None, body)
}

/// Runs `body`, from `step` on in one go, if it comes there. Nothing may wait beyond `step`.
pub fn at_once_from<R>(step: Step, body: impl FnOnce() -> R) -> R {
    within(None, Some(step), body)
}

/// Runs `body`, up to `from` and then from `to` on in one go: both of the above.
pub fn at_once_but<R>(from: Step, to: Step, body: impl FnOnce() -> R) -> R {
    within(Some(from), Some(to), body)
}
