//! A task that loads is dropped in the middle, or is not polled any more. What of those who wait?

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use super::case::{Case, Outcome, Pace, Peer, Verdict, counted};
use super::loading::block_on_for;

pub const CANCELLED: Case = Case {
    name: "cancelled-leader",
    asks: "the task that loads is dropped while 7 others wait: all get a value, of one more load at most",
    run: cancelled,
};

pub const PARKED: Case = Case {
    name: "parked-leader",
    asks: "the task that loads is not polled any more: another caller still gets a value",
    run: parked,
};

const WAITERS: usize = 7;

type Load = Pin<Box<dyn Future<Output = u64> + Send>>;
type Loaded<'a> = Pin<Box<dyn Future<Output = u64> + Send + 'a>>;

/// A cache whose loads are futures.
trait Tasks: Send + Sync {
    fn load(&self, key: u64, load: Load) -> Loaded<'_>;
}

fn tasks(peer: Peer) -> Option<Arc<dyn Tasks>> {
    Some(match peer {
        Peer::Hotset => Arc::new(Hotset(hotset::Cache::new(1_000))),
        Peer::Moka => Arc::new(Moka(moka::future::Cache::new(1_000))),
        Peer::QuickCache => Arc::new(QuickCache(quick_cache::sync::Cache::new(1_000))),
        Peer::Foyer => Arc::new(Foyer::new()),
        Peer::Scc => Arc::new(Scc(scc::HashCache::with_capacity(0, 1_000))),
        Peer::MiniMoka | Peer::Stretto => return None,
    })
}

fn cancelled(peer: Peer, pace: Pace) -> Option<Outcome> {
    let cache = tasks(peer)?;
    let mut leader = cache.load(1, Box::pin(OneMorePoll { polled: false, value: 1 }));
    if let Poll::Ready(value) = poll_once(&mut leader) {
        return Some(Outcome::of(false, format!("the leader was done at once, with {value}")));
    }
    let (further, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let further = Arc::new(further);
    let served = std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| {
                let (cache, asked, further) = (&cache, &asked, Arc::clone(&further));
                scope.spawn(move || {
                    let load = async move {
                        further.fetch_add(1, SeqCst);
                        2
                    };
                    asked.fetch_add(1, SeqCst);
                    block_on_for(cache.load(1, Box::pin(load)), pace.linger * 10).is_some()
                })
            })
            .collect();
        while asked.load(SeqCst) < WAITERS {
            std::thread::yield_now();
        }
        // Those who said that they ask may still be on their way.
        std::thread::sleep(pace.linger);
        drop(leader);
        waiters.into_iter().map(|w| w.join().unwrap_or(false)).filter(|served| *served).count()
    });
    let further = further.load(SeqCst);
    let observed =
        format!("{served} of {WAITERS} get a value; {} after the first", counted(further, "load"));
    Some(Outcome::of(served == WAITERS && further <= 1, observed))
}

fn parked(peer: Peer, pace: Pace) -> Option<Outcome> {
    let cache = tasks(peer)?;
    let mut leader = cache.load(1, Box::pin(OneMorePoll { polled: false, value: 1 }));
    if let Poll::Ready(value) = poll_once(&mut leader) {
        return Some(Outcome::of(false, format!("the leader was done at once, with {value}")));
    }
    let patience = pace.linger * 5;
    let outcome = match block_on_for(cache.load(1, Box::pin(async { 2 })), patience) {
        Some(value) => Outcome::of(true, format!("the other caller gets a value, {value}")),
        None => {
            let seconds = patience.as_secs_f64();
            let observed = format!("the other caller waits (gave up after {seconds} s)");
            let hotset = peer == Peer::Hotset;
            Outcome::new(if hotset { Verdict::Documented } else { Verdict::No }, observed)
        }
    };
    drop(leader);
    Some(outcome)
}

/// A load that has its value when it is polled for the second time.
struct OneMorePoll {
    polled: bool,
    value: u64,
}

impl Future for OneMorePoll {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(self.value);
        }
        // Whoever polls it in a task of its own is to go on.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn poll_once(future: &mut Loaded<'_>) -> Poll<u64> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

struct Hotset(hotset::Cache<u64, u64>);

impl Tasks for Hotset {
    fn load(&self, key: u64, load: Load) -> Loaded<'_> {
        Box::pin(self.0.get_or_insert_async(key, load))
    }
}

struct Moka(moka::future::Cache<u64, u64>);

impl Tasks for Moka {
    fn load(&self, key: u64, load: Load) -> Loaded<'_> {
        Box::pin(self.0.get_with(key, load))
    }
}

struct QuickCache(quick_cache::sync::Cache<u64, u64>);

impl Tasks for QuickCache {
    fn load(&self, key: u64, load: Load) -> Loaded<'_> {
        Box::pin(async move {
            let load = async { Ok::<_, std::convert::Infallible>(load.await) };
            let Ok(value) = self.0.get_or_insert_async(&key, load).await;
            value
        })
    }
}

/// Its loads are tasks on tokio, whoever waits for them.
struct Foyer {
    cache: foyer_memory::Cache<u64, u64>,
    runtime: tokio::runtime::Runtime,
}

impl Foyer {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("2 threads can be started");
        Self { cache: foyer_memory::CacheBuilder::new(1_000).with_shards(1).build(), runtime }
    }
}

impl Tasks for Foyer {
    fn load(&self, key: u64, load: Load) -> Loaded<'_> {
        Box::pin(async move {
            let fetch = {
                let _inside = self.runtime.enter();
                self.cache.get_or_fetch(&key, || async move { anyhow::Ok(load.await) })
            };
            // A load that was given up is an error; the caller would have to ask again.
            fetch.await.map_or(0, |entry| *entry.value())
        })
    }
}

struct Scc(scc::HashCache<u64, u64>);

impl Tasks for Scc {
    fn load(&self, key: u64, load: Load) -> Loaded<'_> {
        Box::pin(async move {
            match self.0.entry_async(key).await {
                scc::hash_cache::Entry::Occupied(entry) => *entry.get(),
                scc::hash_cache::Entry::Vacant(entry) => {
                    let value = load.await;
                    entry.put_entry(value);
                    value
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_load_needs_two_polls() {
        let mut load: Loaded<'_> = Box::pin(OneMorePoll { polled: false, value: 5 });
        assert!(poll_once(&mut load).is_pending());
        assert_eq!(poll_once(&mut load), Poll::Ready(5));
        assert_eq!(block_on_for(std::future::pending::<()>(), Duration::from_millis(1)), None);
    }
}
