//! What is handed to an executor? One load, estimate or close, to be run or awaited.

#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::resource::pool::Pool;

/// What a job does.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A load, an estimate or a close of a [`ResourceCache`](crate::ResourceCache), as a [`Spawn`] gets it.
///
/// [`run`](Self::run) it on a thread that may block, or await it: it is a future, which a blocking
/// loader ends in one poll. It does not panic. A job that is dropped before its end is not lost: it
/// goes on, on a thread of the cache's own.
///
/// [`Spawn`]: crate::Spawn
#[must_use = "a job that is dropped runs on a thread of the cache's own"]
pub struct Job {
    /// `None` once it has ended.
    work: Option<Work>,
    home: Arc<Pool>,
}

impl Job {
    pub(crate) fn new(work: Work, home: Arc<Pool>) -> Self {
        Self { work: Some(work), home }
    }

    /// Runs the job to its end on this thread. Blocks as long as the loader does.
    pub fn run(mut self) {
        if let Some(work) = self.work.take() {
            drive(work);
        }
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        let poll = work.as_mut().poll(context);
        if poll.is_ready() {
            self.work = None;
        }
        poll
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.home.submit(work);
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("ended", &self.work.is_none()).finish()
    }
}

/// Polls `work` to its end on this thread.
pub(crate) fn drive(mut work: Work) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    while work.as_mut().poll(&mut context).is_pending() {
        std::thread::park();
    }
}

/// The waker of a thread that drives a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
