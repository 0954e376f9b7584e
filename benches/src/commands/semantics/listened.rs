//! Who tells a listener what leaves? One face for the cases about listeners.

use std::sync::Arc;

use super::case::Peer;

/// Told of each entry that leaves, if the peer does.
pub type Listener = Arc<dyn Fn(u64) + Send + Sync>;

/// A cache of numbers, each its own key, that tells a listener.
pub trait Listened: Send + Sync + 'static {
    fn insert(&self, key: u64);
    fn remove(&self, key: u64);
    fn clear(&self);
    /// Has postponed work done.
    fn settle(&self) {}
    fn len(&self) -> usize;
}

/// An empty one with room for `entries`; `None` if the peer has no listeners.
pub fn listened(peer: Peer, entries: usize, listener: Listener) -> Option<Arc<dyn Listened>> {
    Some(match peer {
        Peer::Hotset => Arc::new(Hotset(
            hotset::Cache::builder()
                .max_entries(entries)
                .on_evict(move |_, &value: &u64, _| listener(value))
                .build()
                .expect("a bound of some entries is valid"),
        )),
        Peer::Moka => Arc::new(Moka(
            moka::sync::Cache::builder()
                .max_capacity(entries as u64)
                .eviction_listener(move |_, value, _| listener(value))
                .build(),
        )),
        Peer::QuickCache => Arc::new(QuickCache(quick_cache::sync::Cache::with(
            entries,
            entries as u64,
            quick_cache::UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            Lifecycle(listener),
        ))),
        Peer::Foyer => Arc::new(Foyer(
            foyer_memory::CacheBuilder::new(entries)
                .with_shards(1)
                .with_event_listener(Arc::new(OnLeave(listener)))
                .build(),
        )),
        Peer::Stretto => Arc::new(Stretto(
            stretto::Cache::builder(entries * 10, entries as i64)
                .set_ignore_internal_cost(true)
                .set_callback(Callback(listener))
                .finalize()
                .expect("valid bounds"),
        )),
        Peer::MiniMoka | Peer::Scc => return None,
    })
}

struct Hotset(hotset::Cache<u64, u64>);

impl Listened for Hotset {
    fn insert(&self, key: u64) {
        self.0.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Moka(moka::sync::Cache<u64, u64>);

impl Listened for Moka {
    fn insert(&self, key: u64) {
        self.0.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.0.invalidate(&key);
    }

    fn clear(&self) {
        self.0.invalidate_all();
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }

    fn len(&self) -> usize {
        self.0.iter().count()
    }
}

#[derive(Clone)]
struct Lifecycle(Listener);

impl quick_cache::Lifecycle<u64, u64> for Lifecycle {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: u64, value: u64) {
        (self.0)(value);
    }
}

struct QuickCache(
    quick_cache::sync::Cache<
        u64,
        u64,
        quick_cache::UnitWeighter,
        quick_cache::DefaultHashBuilder,
        Lifecycle,
    >,
);

impl Listened for QuickCache {
    fn insert(&self, key: u64) {
        self.0.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct OnLeave(Listener);

impl foyer_common::event::EventListener for OnLeave {
    type Key = u64;
    type Value = u64;

    fn on_leave(&self, _: foyer_common::event::Event, _: &u64, value: &u64) {
        (self.0)(*value);
    }
}

struct Foyer(foyer_memory::Cache<u64, u64>);

impl Listened for Foyer {
    fn insert(&self, key: u64) {
        self.0.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

struct Callback(Listener);

impl stretto::CacheCallback for Callback {
    type Value = u64;

    fn on_exit(&self, value: Option<u64>) {
        if let Some(value) = value {
            (self.0)(value);
        }
    }
}

type StrettoCache = stretto::Cache<
    u64,
    u64,
    stretto::DefaultKeyBuilder<u64>,
    stretto::DefaultCoster<u64>,
    stretto::DefaultUpdateValidator<u64>,
    Callback,
>;

struct Stretto(StrettoCache);

impl Listened for Stretto {
    fn insert(&self, key: u64) {
        self.0.insert(key, key, 1);
    }

    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }

    fn clear(&self) {
        // It fails if its threads have ended; then there is nothing to clear it with.
        let _ = self.0.clear();
    }

    fn settle(&self) {
        // As above.
        let _ = self.0.wait();
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
