//! Does a runtime of tokio drive an async loader, and what if it is shut down?

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotset::{AsyncLoader, CloseError, LoadContext, Loaded, ResourceCache};
use tokio::runtime::Builder;
use tokio::task::yield_now;

struct Pools(Arc<AtomicUsize>);

impl AsyncLoader for Pools {
    type Spec = u32;
    type Id = u32;
    type Resource = u32;
    type Error = Infallible;

    fn identity(&self, spec: &u32) -> u32 {
        *spec
    }

    async fn load(&self, spec: &u32, _: &LoadContext) -> Result<Loaded<u32>, Infallible> {
        yield_now().await;
        Ok(Loaded::new(spec * 10))
    }

    async fn close(&self, _: &u32, _: u32) -> Result<(), CloseError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn loads_and_closes_are_tasks_of_the_runtime() {
    let closed = Arc::<AtomicUsize>::default();
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let cache = ResourceCache::builder_async(Pools(Arc::clone(&closed)), runtime.handle().clone())
        .max_entries(1)
        .build()
        .expect("in range");
    runtime.block_on(async {
        for number in 1..=3 {
            assert_eq!(*cache.lease_async(&number).await.expect("it is loaded"), number * 10);
        }
        assert_eq!(closed.load(Ordering::Relaxed), 2);
        assert!(cache.shutdown_async(Duration::from_secs(10)).await.is_complete());
    });
    assert_eq!(closed.load(Ordering::Relaxed), 3);
}

#[test]
fn what_a_runtime_drops_goes_on_without_it() {
    let closed = Arc::<AtomicUsize>::default();
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let cache = ResourceCache::builder_async(Pools(Arc::clone(&closed)), runtime.handle().clone())
        .max_entries(1)
        .build()
        .expect("in range");
    drop(runtime.block_on(cache.lease_async(&1)));
    drop(runtime); // and with it whatever its tasks would do from now on
    let report = cache.shutdown(Duration::from_secs(10));
    assert_eq!((report.closed, report.is_complete()), (1, true));
    assert_eq!(closed.load(Ordering::Relaxed), 1);
}
