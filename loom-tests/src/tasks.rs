//! Who polls? Futures of a cache, polled once or to their end by a thread of a model.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::thread::{self, Thread};

use crate::{Cache, Canary};

/// A load that a task waits for.
pub type Task = Pin<Box<dyn Future<Output = Canary>>>;

/// Asks for `key`; the own load gives a canary of `number` when it is polled for the `polls`-th time.
pub fn task(cache: &Arc<Cache>, key: u64, number: u64, polls: usize) -> Task {
    let cache = Arc::clone(cache);
    Box::pin(async move {
        let mut left = polls;
        let load = poll_fn(move |_| {
            left = left.saturating_sub(1);
            if left > 0 { Poll::Pending } else { Poll::Ready(Canary::new(number)) }
        });
        cache.get_or_insert_async(key, load).await
    })
}

/// Polls once, with a waker that does nothing.
pub fn poll_once(task: &mut Task) -> Option<Canary> {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(canary) => Some(canary),
        Poll::Pending => None,
    }
}

/// Polls whenever it is woken, until it is ready.
pub fn block_on(mut task: Task) -> Canary {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(canary) => return canary,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
