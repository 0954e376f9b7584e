//! An entry is heavier than the whole cache may be. Is it refused, is one told, do others suffer?

use super::case::{Case, Outcome, Pace, Peer};

pub const CASE: Case = Case {
    name: "oversize",
    asks: "an entry of 5,000 into a cache of 1,000 that holds 10 of 10: refused, given back, no other leaves",
    run,
};

const MAX_WEIGHT: u64 = 1_000;
const SMALL: u64 = 10;
const SMALL_WEIGHT: u64 = 10;
const HEAVY: u64 = 5_000;
/// The key of the heavy one.
const KEY: u64 = 999;

/// What became of it.
struct Seen {
    /// Whether `insert` said that it did not keep it.
    told: bool,
    /// Whether it was found just after.
    found: bool,
    /// What the cache weighed just after, as far as it says.
    weight: u64,
    /// Of the small ones, how many are there at last.
    left: usize,
}

fn run(peer: Peer, _: Pace) -> Option<Outcome> {
    // A value is its weight.
    let seen = match peer {
        Peer::Hotset => {
            let cache = hotset::Cache::builder()
                .max_weight(MAX_WEIGHT)
                .weigher(|_, &weight: &u64| weight)
                .build()
                .expect("a valid bound");
            small().for_each(|key| drop(cache.insert(key, SMALL_WEIGHT)));
            let told = matches!(cache.insert(KEY, HEAVY), hotset::Insert::TooHeavy(KEY, HEAVY));
            let (found, weight) = (cache.contains_key(&KEY), cache.weight());
            Seen { told, found, weight, left: small().filter(|k| cache.contains_key(k)).count() }
        }
        Peer::Moka => {
            let cache = moka::sync::Cache::builder()
                .max_capacity(MAX_WEIGHT)
                .weigher(|_, &weight: &u64| weight as u32)
                .build();
            small().for_each(|key| cache.insert(key, SMALL_WEIGHT));
            cache.run_pending_tasks();
            cache.insert(KEY, HEAVY);
            let found = cache.contains_key(&KEY);
            let weight = cache.iter().map(|(_, weight)| weight).sum();
            cache.run_pending_tasks();
            let left = small().filter(|k| cache.contains_key(k)).count();
            Seen { told: false, found, weight, left }
        }
        Peer::MiniMoka => {
            use mini_moka::sync::ConcurrentCacheExt as _;
            let cache = mini_moka::sync::Cache::builder()
                .max_capacity(MAX_WEIGHT)
                .weigher(|_: &u64, &weight: &u64| weight as u32)
                .build();
            small().for_each(|key| cache.insert(key, SMALL_WEIGHT));
            cache.sync();
            cache.insert(KEY, HEAVY);
            let found = cache.contains_key(&KEY);
            let weight = cache.iter().map(|entry| *entry.value()).sum();
            cache.sync();
            let left = small().filter(|k| cache.contains_key(k)).count();
            Seen { told: false, found, weight, left }
        }
        Peer::QuickCache => {
            #[derive(Clone)]
            struct Weighter;
            impl quick_cache::Weighter<u64, u64> for Weighter {
                fn weight(&self, _: &u64, &weight: &u64) -> u64 {
                    weight
                }
            }
            let cache = quick_cache::sync::Cache::with_weighter(100, MAX_WEIGHT, Weighter);
            small().for_each(|key| cache.insert(key, SMALL_WEIGHT));
            cache.insert(KEY, HEAVY);
            let (found, weight) = (cache.contains_key(&KEY), cache.weight());
            let left = small().filter(|k| cache.contains_key(k)).count();
            Seen { told: false, found, weight, left }
        }
        Peer::Foyer => {
            let cache: foyer_memory::Cache<u64, u64> =
                foyer_memory::CacheBuilder::new(MAX_WEIGHT as usize)
                    .with_shards(1)
                    .with_weighter(|_: &u64, weight: &u64| *weight as usize)
                    .build();
            small().for_each(|key| drop(cache.insert(key, SMALL_WEIGHT)));
            drop(cache.insert(KEY, HEAVY));
            let (found, weight) = (cache.contains(&KEY), cache.usage() as u64);
            let left = small().filter(|k| cache.contains(k)).count();
            Seen { told: false, found, weight, left }
        }
        Peer::Stretto => {
            let cache = stretto::Cache::builder(1_000, MAX_WEIGHT as i64)
                .set_ignore_internal_cost(true)
                .finalize()
                .expect("valid bounds");
            for key in small() {
                cache.insert(key, SMALL_WEIGHT, SMALL_WEIGHT as i64);
            }
            cache.wait().expect("its threads run");
            let accepted = cache.insert(KEY, HEAVY, HEAVY as i64);
            let found = cache.get(&KEY).is_some();
            let weight =
                small().chain([KEY]).filter_map(|k| cache.get(&k).map(|v| *v.value())).sum();
            cache.wait().expect("its threads run");
            let left = small().filter(|k| cache.get(k).is_some()).count();
            Seen { told: !accepted, found, weight, left }
        }
        Peer::Scc => return None,
    };
    let kept = if seen.found { "found just after" } else { "not kept" };
    let told = if seen.told { "the caller is told" } else { "the caller is not told" };
    let observed = format!(
        "{kept}, {told}; then the cache weighs {} of {MAX_WEIGHT}, {} of {SMALL} others are left",
        seen.weight, seen.left
    );
    let asked =
        seen.told && !seen.found && seen.weight <= MAX_WEIGHT && seen.left == SMALL as usize;
    Some(Outcome::of(asked, observed))
}

fn small() -> std::ops::Range<u64> {
    0..SMALL
}
