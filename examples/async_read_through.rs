//! Pages of a slow origin, asked for by requests that have less patience than it takes. Each call is
//! spawned whole, so the load belongs to a task of its own: it is one for all who ask, and goes on when
//! they have given up.
//!
//! Run with `cargo run --example async_read_through`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use hotset::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The other side. It answers when it is told to.
struct Origin {
    fetches: AtomicUsize,
    answers: Semaphore,
}

impl Origin {
    async fn fetch(&self, page: u32) -> Arc<str> {
        self.fetches.fetch_add(1, SeqCst);
        self.answers.acquire().await.expect("it is never closed").forget();
        format!("page {page}").into()
    }
}

struct Server {
    cache: Cache<u32, Arc<str>>,
    origin: Origin,
}

impl Server {
    /// What a request calls. It may be dropped at any time: the task that it waits for goes on.
    async fn page(self: &Arc<Self>, page: u32) -> Arc<str> {
        let server = Arc::clone(self);
        let call =
            async move { server.cache.get_or_insert_async(page, server.origin.fetch(page)).await };
        tokio::spawn(call).await.expect("a fetch does not panic")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let origin = Origin { fetches: AtomicUsize::new(0), answers: Semaphore::new(0) };
    let server = Arc::new(Server { cache: Cache::new(100), origin });

    // Ten requests for one page, none of which waits for the origin.
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { timeout(Duration::from_millis(2), server.page(7)).await })
        })
        .collect();
    for request in requests {
        assert!(request.await.expect("it does not panic").is_err(), "the origin has not answered");
    }
    assert_eq!(server.origin.fetches.load(SeqCst), 1, "one fetch for all of them");

    // The origin answers, and the page is there although nobody waited for it.
    server.origin.answers.add_permits(1);
    while !server.cache.contains_key(&7) {
        tokio::task::yield_now().await;
    }
    assert_eq!(&*server.page(7).await, "page 7");
    assert_eq!(server.origin.fetches.load(SeqCst), 1);

    // Called without a task of its own, the load ends with the last of those who asked.
    let direct = server.cache.get_or_insert_async(8, server.origin.fetch(8));
    assert!(timeout(Duration::from_millis(2), direct).await.is_err());
    server.origin.answers.add_permits(1);
    tokio::task::yield_now().await;
    assert!(!server.cache.contains_key(&8));

    let fetches = server.origin.fetches.load(SeqCst);
    println!("{fetches} fetches: one that eleven requests shared, one that was given up");
}
