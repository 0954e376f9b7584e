//! Who runs against whom? Threads that start together, of which any may be the first.

use std::sync::Arc;

use loom::thread;

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
    let threads = jobs.map(|job| {
        let shared = Arc::clone(shared);
        thread::spawn(move || job(&shared))
    });
    threads.map(|thread| thread.join().expect("a thread of a model ended"))
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
