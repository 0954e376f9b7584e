//! A database pool for each tenant, at most two of them open: connecting is async, and so is the
//! close, which says good-bye to the server. The cache waits for it before it opens another pool, so
//! the server never sees a third, and no pool is closed while somebody has a lease of it.
//!
//! No runtime is needed here: a job is a future, and a thread drives each. With tokio the executor is
//! `|job: Job| drop(tokio::spawn(job))`, and everything else stays.
//!
//! Run with `cargo run --example async_pool`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use hotset::{AsyncLoader, CloseError, Job, LeaseError, LoadContext, Loaded, ResourceCache};

/// The other side: counts the pools that are connected.
#[derive(Debug, Default)]
struct Server {
    pools: AtomicUsize,
    most_pools: AtomicUsize,
    queries: AtomicUsize,
}

/// A pool of connections to one tenant's database.
#[derive(Debug)]
struct Pool {
    server: Arc<Server>,
    tenant: String,
}

/// Why a pool cannot be opened.
#[derive(Debug)]
struct NoSuchTenant;

impl fmt::Display for NoSuchTenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such tenant")
    }
}

impl std::error::Error for NoSuchTenant {}

impl Pool {
    async fn connect(server: &Arc<Server>, tenant: &str) -> Result<Self, NoSuchTenant> {
        RoundTrip::new().await;
        if tenant.is_empty() {
            return Err(NoSuchTenant);
        }
        let pools = server.pools.fetch_add(1, SeqCst) + 1;
        server.most_pools.fetch_max(pools, SeqCst);
        Ok(Self { server: Arc::clone(server), tenant: tenant.into() })
    }

    async fn query(&self, question: &str) -> String {
        RoundTrip::new().await;
        self.server.queries.fetch_add(1, SeqCst);
        format!("{}: {question}? 42", self.tenant)
    }

    /// Ends all connections in good order.
    async fn close(self) {
        RoundTrip::new().await;
        self.server.pools.fetch_sub(1, SeqCst);
    }
}

/// Opens and closes pools. The tenant's name is the identity, and there is nothing beside it.
struct Pools(Arc<Server>);

impl AsyncLoader for Pools {
    type Spec = String;
    type Id = String;
    type Resource = Pool;
    type Error = NoSuchTenant;

    fn identity(&self, tenant: &String) -> String {
        tenant.clone()
    }

    async fn load(&self, tenant: &String, _: &LoadContext) -> Result<Loaded<Pool>, NoSuchTenant> {
        Pool::connect(&self.0, tenant).await.map(Loaded::new)
    }

    async fn close(&self, _: &String, pool: Pool) -> Result<(), CloseError> {
        pool.close().await;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Arc::new(Server::default());
    let cache = ResourceCache::builder_async(Pools(Arc::clone(&server)), |job: Job| {
        thread::spawn(|| job.run());
    })
    .max_entries(2)
    .wait_timeout(Duration::from_secs(10))
    .build()?;

    // Twelve clients of four tenants share two places.
    thread::scope(|scope| {
        for client in 0..12 {
            let cache = &cache;
            scope.spawn(move || {
                let tenant = format!("tenant {}", client % 4);
                block_on(async {
                    let pool = cache.lease_async(&tenant).await.expect("a place comes free");
                    assert_eq!(pool.query("answer").await, format!("{tenant}: answer? 42"));
                });
            });
        }
    });
    assert_eq!(server.queries.load(SeqCst), 12);
    assert!(server.most_pools.load(SeqCst) <= 2);

    // A pool that cannot be opened gives its place back, and is not tried again at once.
    assert!(matches!(cache.lease(&String::new()), Err(LeaseError::Load { .. })));
    assert!(matches!(cache.lease(&String::new()), Err(LeaseError::Backoff { .. })));

    let report = block_on(cache.shutdown_async(Duration::from_secs(10)));
    println!("{report}; at most {:?} pools at a time", server.most_pools);
    assert!(report.is_complete());
    assert_eq!(server.pools.load(SeqCst), 0);
    Ok(())
}

/// The time until the server answers: pending once.
struct RoundTrip {
    answered: bool,
}

impl RoundTrip {
    fn new() -> Self {
        Self { answered: false }
    }
}

impl Future for RoundTrip {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.answered {
            return Poll::Ready(());
        }
        self.answered = true;
        let waker = context.waker().clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            waker.wake();
        });
        Poll::Pending
    }
}

/// Drives a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
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
