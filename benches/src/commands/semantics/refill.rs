//! A full cache is cleared and filled again. Does it hold as much as before?

use mini_moka::sync::ConcurrentCacheExt as _;

use super::case::{Case, Outcome, Pace, Peer};
use crate::report::grouped;

pub const CASE: Case = Case {
    name: "clear-and-refill",
    asks: "10,000 entries into a cache for 10,000; cleared; 10,000 others: as many stay, within a tenth",
    run,
};

const ENTRIES: u64 = 10_000;

fn run(peer: Peer, _: Pace) -> Option<Outcome> {
    let keys = [0..ENTRIES, ENTRIES..2 * ENTRIES];
    let [first, second] = match peer {
        Peer::Hotset => {
            let cache = hotset::Cache::new(ENTRIES as usize);
            keys.map(|keys| {
                cache.clear();
                keys.for_each(|key| drop(cache.insert(key, key)));
                cache.len()
            })
        }
        Peer::Moka => {
            let cache = moka::sync::Cache::new(ENTRIES);
            keys.map(|keys| {
                cache.invalidate_all();
                keys.for_each(|key| cache.insert(key, key));
                cache.run_pending_tasks();
                cache.iter().count()
            })
        }
        Peer::MiniMoka => {
            let cache = mini_moka::sync::Cache::new(ENTRIES);
            keys.map(|keys| {
                cache.invalidate_all();
                keys.for_each(|key| cache.insert(key, key));
                cache.sync();
                cache.iter().count()
            })
        }
        Peer::QuickCache => {
            let cache = quick_cache::sync::Cache::new(ENTRIES as usize);
            keys.map(|keys| {
                cache.clear();
                keys.for_each(|key| cache.insert(key, key));
                cache.len()
            })
        }
        Peer::Foyer => {
            let cache: foyer_memory::Cache<u64, u64> =
                foyer_memory::CacheBuilder::new(ENTRIES as usize).build();
            keys.map(|keys| {
                cache.clear();
                keys.for_each(|key| drop(cache.insert(key, key)));
                cache.entries()
            })
        }
        Peer::Scc => {
            let cache = scc::HashCache::with_capacity(0, ENTRIES as usize);
            keys.map(|keys| {
                cache.clear_sync();
                for key in keys {
                    let _ = cache.put_sync(key, key);
                }
                cache.len()
            })
        }
        Peer::Stretto => {
            let cache = stretto::Cache::builder(ENTRIES as usize * 10, ENTRIES as i64)
                .set_ignore_internal_cost(true)
                .finalize()
                .expect("valid bounds");
            keys.map(|keys| {
                cache.clear().expect("its threads run");
                for key in keys {
                    cache.insert(key, key, 1);
                }
                cache.wait().expect("its threads run");
                cache.len()
            })
        }
    };
    let [first, second] = [first as u64, second as u64];
    let observed =
        format!("holds {} the first time, {} the second", grouped(first), grouped(second));
    Some(Outcome::of(second <= ENTRIES && second * 10 >= first * 9, observed))
}
