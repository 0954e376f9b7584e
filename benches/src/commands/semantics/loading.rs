//! Who can load a missing key, and by which methods? One face for the cases about loads.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::case::Peer;

/// A loader; its error is a text.
pub type Loader = Arc<dyn Fn() -> Result<u64, String> + Send + Sync>;

/// A cache that loads a missing key for those who ask.
pub trait Loading: Send + Sync + 'static {
    /// Its methods that load. The first can say that the load failed.
    fn methods(&self) -> &'static [&'static str];

    /// The value of `key`, loaded if need be, by `methods()[method]`.
    fn load_by(&self, method: usize, key: u64, loader: &Loader) -> Result<u64, String>;

    fn load(&self, key: u64, loader: &Loader) -> Result<u64, String> {
        self.load_by(0, key, loader)
    }

    fn get(&self, key: u64) -> Option<u64>;
    fn insert(&self, key: u64, value: u64);
    fn remove(&self, key: u64);
}

/// An empty one with room for some hundred entries; `None` if the peer does not load.
pub fn loading(peer: Peer) -> Option<Arc<dyn Loading>> {
    Some(match peer {
        Peer::Hotset => Arc::new(Hotset(hotset::Cache::new(1_000))),
        Peer::Moka => Arc::new(Moka(moka::sync::Cache::new(1_000))),
        Peer::QuickCache => Arc::new(QuickCache(quick_cache::sync::Cache::new(1_000))),
        Peer::Foyer => Arc::new(Foyer::new()),
        Peer::Scc => Arc::new(Scc(scc::HashCache::with_capacity(0, 1_000))),
        Peer::MiniMoka | Peer::Stretto => return None,
    })
}

/// The value of a loader that does not fail.
fn sure(loader: &Loader) -> u64 {
    loader().expect("the cases that take other methods have loaders that do not fail")
}

struct Hotset(hotset::Cache<u64, u64>);

impl Loading for Hotset {
    fn methods(&self) -> &'static [&'static str] {
        &["try_get_or_insert_with", "get_or_insert_with", "get_or_insert_async"]
    }

    fn load_by(&self, method: usize, key: u64, loader: &Loader) -> Result<u64, String> {
        match method {
            0 => self.0.try_get_or_insert_with(key, || loader()).map_err(|e| e.to_string()),
            1 => Ok(self.0.get_or_insert_with(key, || sure(loader))),
            _ => Ok(block_on(self.0.get_or_insert_async(key, async { sure(loader) }))),
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }
}

struct Moka(moka::sync::Cache<u64, u64>);

impl Loading for Moka {
    fn methods(&self) -> &'static [&'static str] {
        &["try_get_with", "get_with", "optionally_get_with"]
    }

    fn load_by(&self, method: usize, key: u64, loader: &Loader) -> Result<u64, String> {
        match method {
            0 => self.0.try_get_with(key, || loader()).map_err(|e| e.to_string()),
            1 => Ok(self.0.get_with(key, || sure(loader))),
            _ => self.0.optionally_get_with(key, || loader().ok()).ok_or_else(String::new),
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: u64) {
        self.0.invalidate(&key);
    }
}

struct QuickCache(quick_cache::sync::Cache<u64, u64>);

impl Loading for QuickCache {
    fn methods(&self) -> &'static [&'static str] {
        &["get_or_insert_with", "get_value_or_guard", "get_or_insert_async"]
    }

    fn load_by(&self, method: usize, key: u64, loader: &Loader) -> Result<u64, String> {
        use quick_cache::sync::GuardResult;
        match method {
            0 => self.0.get_or_insert_with(&key, || loader()),
            1 => match self.0.get_value_or_guard(&key, None) {
                GuardResult::Value(value) => Ok(value),
                GuardResult::Guard(guard) => {
                    let value = sure(loader);
                    // An error means that somebody else wrote the key meanwhile.
                    let _ = guard.insert(value);
                    Ok(value)
                }
                GuardResult::Timeout => Err("a time-out, although none was asked for".to_owned()),
            },
            _ => Ok(block_on(async {
                let load = async { Ok::<_, Infallible>(sure(loader)) };
                let Ok(value) = self.0.get_or_insert_async(&key, load).await;
                value
            })),
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }
}

/// It loads in tasks of its own, on tokio.
struct Foyer {
    cache: foyer_memory::Cache<u64, u64>,
    runtime: tokio::runtime::Runtime,
}

impl Foyer {
    fn new() -> Self {
        // Loaders block here, each a worker: more of them than there are loads.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(16)
            .build()
            .expect("16 threads can be started");
        // One shard: otherwise a key may lack room where the cache has some.
        Self { cache: foyer_memory::CacheBuilder::new(1_000).with_shards(1).build(), runtime }
    }
}

impl Loading for Foyer {
    fn methods(&self) -> &'static [&'static str] {
        &["get_or_fetch"]
    }

    fn load_by(&self, _: usize, key: u64, loader: &Loader) -> Result<u64, String> {
        let loader = Arc::clone(loader);
        let _inside = self.runtime.enter();
        let fetch =
            self.cache.get_or_fetch(&key, || async move { loader().map_err(anyhow::Error::msg) });
        block_on(fetch).map(|entry| *entry.value()).map_err(|error| format!("{error:#}"))
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.cache.get(&key).map(|entry| *entry.value())
    }

    fn insert(&self, key: u64, value: u64) {
        self.cache.insert(key, value);
    }

    fn remove(&self, key: u64) {
        self.cache.remove(&key);
    }
}

/// It has no loaders; its users load while they hold a vacant entry.
struct Scc(scc::HashCache<u64, u64>);

impl Loading for Scc {
    fn methods(&self) -> &'static [&'static str] {
        &["entry_sync", "entry_async"]
    }

    fn load_by(&self, method: usize, key: u64, loader: &Loader) -> Result<u64, String> {
        use scc::hash_cache::Entry;
        let entry = match method {
            0 => self.0.entry_sync(key),
            _ => block_on(self.0.entry_async(key)),
        };
        match entry {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let value = loader()?;
                entry.put_entry(value);
                Ok(value)
            }
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.read_sync(&key, |_, value| *value)
    }

    fn insert(&self, key: u64, value: u64) {
        // `put_sync` leaves an old value; this is how its users write one.
        match self.0.entry_sync(key) {
            scc::hash_cache::Entry::Occupied(mut entry) => drop(entry.put(value)),
            scc::hash_cache::Entry::Vacant(entry) => drop(entry.put_entry(value)),
        }
    }

    fn remove(&self, key: u64) {
        self.0.remove_sync(&key);
    }
}

/// Runs a future on this thread alone.
pub fn block_on<F: Future>(future: F) -> F::Output {
    block_on_for(future, Duration::MAX).expect("there is no end to it")
}

/// Runs a future on this thread alone; `None` if it is not done after `patience`.
pub fn block_on_for<F: Future>(future: F, patience: Duration) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match patience.checked_sub(start.elapsed()) {
            Some(left) if patience < Duration::MAX => std::thread::park_timeout(left),
            Some(_) => std::thread::park(),
            None => return None,
        }
    }
}
