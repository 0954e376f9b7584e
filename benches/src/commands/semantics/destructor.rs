//! A value's destructor calls its cache while the cache is cleared.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use super::case::{Case, Outcome, Pace, Peer};

pub const CASE: Case = Case {
    name: "destructor-in-clear",
    asks: "the destructors of values insert into the cache while it is cleared: that ends",
    run,
};

/// The keys of those whose destructors call.
const OWN: Range<u64> = 0..10;

/// The keys that a destructor inserts: some in each shard and each bucket that a peer may lock.
const OTHERS: Range<u64> = 1_000..1_064;

/// What a destructor does with the cache.
type Call = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// A value whose destructor calls.
struct Nosy {
    call: Call,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
        if let Some(call) = self.call.get() {
            call();
        }
    }
}

fn run(peer: Peer, _: Pace) -> Option<Outcome> {
    let call: Call = Arc::default();
    let dropped = Arc::new(AtomicUsize::new(0));
    let nosy = || Nosy { call: Arc::clone(&call), dropped: Arc::clone(&dropped) };
    // Peers that give clones keep the value in an `Arc`, as their users would.
    match peer {
        Peer::Hotset => {
            let cache = Arc::new(hotset::Cache::new(1_000));
            OWN.for_each(|key| drop(cache.insert(key, nosy())));
            let inside = Arc::clone(&cache);
            set(&call, move || OTHERS.for_each(|key| drop(inside.insert(key, inert()))));
            cache.clear();
            cache.maintain();
        }
        Peer::Moka => {
            let cache = moka::sync::Cache::new(1_000);
            OWN.for_each(|key| cache.insert(key, Arc::new(nosy())));
            let inside = cache.clone();
            set(&call, move || OTHERS.for_each(|key| inside.insert(key, Arc::new(inert()))));
            cache.invalidate_all();
            cache.run_pending_tasks();
        }
        Peer::MiniMoka => {
            let cache = mini_moka::sync::Cache::new(1_000);
            OWN.for_each(|key| cache.insert(key, Arc::new(nosy())));
            let inside = cache.clone();
            set(&call, move || OTHERS.for_each(|key| inside.insert(key, Arc::new(inert()))));
            cache.invalidate_all();
            mini_moka::sync::ConcurrentCacheExt::sync(&cache);
        }
        Peer::QuickCache => {
            let cache = Arc::new(quick_cache::sync::Cache::new(1_000));
            OWN.for_each(|key| cache.insert(key, Arc::new(nosy())));
            let inside = Arc::clone(&cache);
            set(&call, move || OTHERS.for_each(|key| inside.insert(key, Arc::new(inert()))));
            cache.clear();
        }
        Peer::Foyer => {
            let cache: foyer_memory::Cache<u64, Nosy> =
                foyer_memory::CacheBuilder::new(1_000).with_shards(1).build();
            OWN.for_each(|key| drop(cache.insert(key, nosy())));
            let inside = cache.clone();
            set(&call, move || OTHERS.for_each(|key| drop(inside.insert(key, inert()))));
            cache.clear();
        }
        Peer::Scc => {
            let cache = Arc::new(scc::HashCache::with_capacity(0, 1_000));
            OWN.for_each(|key| drop(cache.put_sync(key, nosy())));
            let inside = Arc::clone(&cache);
            set(&call, move || OTHERS.for_each(|key| drop(inside.put_sync(key, inert()))));
            cache.clear_sync();
        }
        Peer::Stretto => {
            let cache = stretto::Cache::new(10_000, 1_000).expect("valid bounds");
            for key in OWN {
                cache.insert(key, nosy(), 1);
            }
            cache.wait().expect("its threads run");
            let inside = cache.clone();
            set(&call, move || {
                for key in OTHERS {
                    inside.insert(key, inert(), 1);
                }
            });
            cache.clear().expect("its threads run");
        }
    }
    let (dropped, all) = (dropped.load(SeqCst), OWN.count());
    Some(Outcome::of(true, format!("ends; {dropped} of {all} values dropped by then")))
}

/// From now on destructors do this.
fn set(call: &Call, f: impl Fn() + Send + Sync + 'static) {
    if call.set(Box::new(f)).is_err() {
        unreachable!("set once");
    }
}

/// A value whose destructor does nothing that matters.
fn inert() -> Nosy {
    Nosy { call: Arc::default(), dropped: Arc::default() }
}
