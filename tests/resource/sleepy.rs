//! How is the world loaded by futures? The same scripts, after a few naps.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use hotset::resource::Source;
use hotset::{AsyncLoader, CloseError, LoadContext, Loaded, Loader};

use crate::world::{Broken, Spec, Thing, World};

/// A loader of either kind, of a world's things.
pub(crate) trait OfWorld:
    Source<Spec = Spec, Id = u32, Resource = Thing, Error = Broken> + Sized
{
}

impl<L: Source<Spec = Spec, Id = u32, Resource = Thing, Error = Broken>> OfWorld for L {}

/// Pending for so many polls.
pub(crate) struct Naps(pub(crate) usize);

impl Future for Naps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The world, loaded from and closed by futures.
pub(crate) struct Sleepy(pub(crate) World);

impl AsyncLoader for Sleepy {
    type Spec = Spec;
    type Id = u32;
    type Resource = Thing;
    type Error = Broken;

    const ESTIMATES: bool = true;

    fn identity(&self, spec: &Spec) -> u32 {
        spec.key
    }

    fn estimate(&self, spec: &Spec) -> Result<u64, Broken> {
        Loader::estimate(&self.0, spec)
    }

    async fn load(&self, spec: &Spec, _: &LoadContext) -> Result<Loaded<Thing>, Broken> {
        let act = self.0.begin_load(spec);
        Naps(2).await;
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(Ok(_)) => {
                let thing = self.0.end_load(spec, Some(spec.weight)).expect("it has a weight");
                Ok(Loaded::new(thing))
            }
            Ok(Err(broken)) => {
                self.0.end_load(spec, None);
                Err(broken)
            }
            Err(panic) => {
                self.0.end_load(spec, None);
                resume_unwind(panic)
            }
        }
    }

    async fn close(&self, key: &u32, thing: Thing) -> Result<(), CloseError> {
        let act = self.0.begin_close(*key, &thing);
        Naps(2).await;
        let result = catch_unwind(AssertUnwindSafe(act));
        self.0.end_close(&thing);
        Ok(result.unwrap_or_else(|panic| resume_unwind(panic))?)
    }
}
