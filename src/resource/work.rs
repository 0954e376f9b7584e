//! What does a job do? Estimate, load, close: the user's code, and the event that it ends with.
//!
//! One form for both kinds of loaders: a future, which a blocking loader ends in its first poll.
//! Whatever the user's code does, panics included, the event comes, once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::resource::core::{Core, discard, quietly};
use crate::resource::entry::{Entry, Event, Name, Real};
use crate::resource::error::Failure;
use crate::resource::inside::Inside;
use crate::resource::job::Work;
use crate::resource::loader::{CloseError, LoadContext, Loaded};
use crate::resource::scheduler::{Id, Job, Time};
use crate::resource::source::Source;
use crate::resource::vault::Vault;

impl<L: Source> Core<L> {
    /// What `job` is to do.
    pub(crate) fn work(self: Arc<Self>, job: Job<Real<L>>) -> Work {
        match job {
            Job::Estimate { id, spec } => Box::pin(self.estimate(id, spec)),
            Job::Load { id, name, spec, reserved, attempt } => {
                let context = LoadContext { generation: id.number, reserved, attempt };
                Box::pin(self.load(id, name, spec, context))
            }
            Job::Close { id, gate } => Box::pin(self.close(id, gate)),
        }
    }

    async fn estimate(self: Arc<Self>, id: Id, spec: Arc<L::Spec>) {
        let outcome = {
            let (core, spec) = (&self, &spec);
            Guarded::new(self.address(), async move { core.source.weigh(spec) }).await
        };
        quietly(|| drop(spec));
        let outcome = match outcome {
            Some(Ok(weight)) => Ok(weight),
            Some(Err(error)) => Err(Failure::Failed(Arc::new(error))),
            None => Err(Failure::Panicked),
        };
        self.step(Event::Estimated { id, outcome });
    }

    async fn load(
        self: Arc<Self>,
        id: Id,
        name: Name<L::Id>,
        spec: Arc<L::Spec>,
        context: LoadContext,
    ) {
        let start = self.now();
        let outcome = {
            let (core, spec, context) = (&self, &spec, &context);
            let load = async move { core.source.open(spec, context).outcome().await };
            Guarded::new(self.address(), load).await
        };
        let failure = match outcome {
            Some(Ok(loaded)) => {
                self.loaded(id, name, spec, loaded, start);
                return;
            }
            Some(Err(error)) => Failure::Failed(Arc::new(error)),
            None => Failure::Panicked,
        };
        quietly(|| drop(spec));
        quietly(|| drop(name));
        self.step(Event::LoadFailed { id, failure });
    }

    fn loaded(
        &self,
        id: Id,
        name: Name<L::Id>,
        spec: Arc<L::Spec>,
        loaded: Loaded<L::Resource>,
        start: Time,
    ) {
        let Loaded { resource, weight } = loaded;
        let load_time = self.now().saturating_sub(start);
        let gate = Arc::new(Entry {
            vault: Vault::new(resource),
            id,
            name,
            spec,
            load_time,
            stamps: self.stamps,
            core: self.weak(),
        });
        self.publish(&gate);
        self.step(Event::Loaded { id, gate, weight, load_time });
    }

    async fn close(self: Arc<Self>, id: Id, gate: Arc<Entry<L>>) {
        self.unpublish(&gate);
        // SAFETY: the scheduler hands out one close for each entry, after it has found its vault empty
        // and retired, or has never opened it. What it found by Acquire came here by its lock and by
        // the hand-over of this job.
        let resource = unsafe { gate.vault.take() };
        let name = gate.name.clone();
        quietly(|| drop(gate));
        let resource = resource.expect("a resource is closed once");
        let outcome = {
            let (core, name) = (&self, &name);
            let close = async move { core.source.shut(name.id(), resource).outcome().await };
            Guarded::new(self.address(), close).await
        };
        let error: Option<CloseError> = match outcome {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error),
            None => Some("the close panicked".into()),
        };
        let failure = error.map(|error| self.close_failed(name.id(), error));
        quietly(|| drop(name));
        self.step(Event::Closed { id, failure });
    }

    /// Reports a failed close. What its error says.
    fn close_failed(&self, id: &L::Id, error: CloseError) -> String {
        let mut text = String::from("the error of the close panicked when it was asked");
        quietly(|| text = error.to_string());
        #[cfg(feature = "tracing")]
        quietly(|| tracing::warn!(?id, error = %text, "the close of a resource failed"));
        if let Some(listener) = &self.on_close_error {
            let _inside = Inside::enter(self.address());
            quietly(|| listener(id, &error));
        }
        quietly(|| drop(error));
        text
    }
}

/// A user's future: marked as running inside the cache while it is polled, its panics caught.
/// `None` if it panicked.
struct Guarded<F> {
    cache: usize,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Guarded<F> {
    fn new(cache: usize, future: F) -> Self {
        Self { cache, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _inside = Inside::enter(self.cache);
        let future = self.future.as_mut().expect("it is not polled after its end");
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => Some(outcome),
            Err(panic) => {
                discard(panic);
                None
            }
        };
        let rest = self.future.take();
        quietly(|| drop(rest));
        Poll::Ready(outcome)
    }
}
