//! How are tasks stepped by hand? One future under a waker that counts, and nothing that runs by
//! itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::gate::until;

/// Counts wakes.
#[derive(Default)]
pub(crate) struct Bell(AtomicUsize);

impl Bell {
    pub(crate) fn rings(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future that is polled when the test says so.
pub(crate) struct Hand<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    bell: Arc<Bell>,
    heard: usize,
}

impl<T> Hand<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), bell: Arc::default(), heard: 0 }
    }

    /// Polls once, whether it was woken or not.
    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.heard = self.bell.0.load(SeqCst);
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls once; it must not be ready.
    #[track_caller]
    pub(crate) fn poll_pending(&mut self) {
        assert!(self.poll().is_pending(), "ready too early");
    }

    /// Whether it was woken since the last poll.
    pub(crate) fn woken(&self) -> bool {
        self.bell.0.load(SeqCst) != self.heard
    }

    /// Waits until it is woken.
    #[track_caller]
    pub(crate) fn await_wake(&self, what: &str) {
        until(what, || self.woken());
    }

    /// Polls whenever it is woken, until it is ready.
    #[track_caller]
    pub(crate) fn finish(mut self, what: &str) -> T {
        loop {
            if let Poll::Ready(value) = self.poll() {
                return value;
            }
            self.await_wake(what);
        }
    }
}

/// Drives a future on this thread: the smallest runtime there is, and it has one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}
