//! What if there is no trace? Four made ones: skew, skew broken by scans, a loop, and all in turn.
//! And four made against caches: a hot set among floods of keys that come once or twice.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::trace::Trace;
use crate::workload::zipf_numbers;

/// Sets the parts of a mix apart, so that none of their keys coincide.
const APART: u64 = 1 << 40;

/// The traces, each of `requests` requests. The same seed gives the same traces.
pub fn traces(requests: usize, seed: u64) -> Vec<Trace> {
    let universe = (requests / 5).clamp(100, 1_000_000) as u32;
    let zipf: Vec<u64> =
        zipf_numbers(universe, 0.99, requests, seed).into_iter().map(u64::from).collect();
    let scans = broken_by_scans(&zipf, universe, seed);
    // Longer than the two smaller of the default capacities, shorter than the third would be
    // of the whole mix.
    let period = u64::from(universe) / 20;
    let looping: Vec<u64> = (0..requests as u64).map(|i| APART + i % period).collect();
    let part = requests / 4;
    let mix = [&zipf[..part], &looping[..part], &scans[..part], &zipf[part..2 * part]].concat();
    let named = |name: &str, keys| Trace { name: format!("synthetic {name}"), keys };
    vec![named("zipf", zipf), named("zipf+scan", scans), named("loop", looping), named("mix", mix)]
}

/// The skewed requests with a scan of new keys now and then: a backup, a crawler, a full table.
fn broken_by_scans(skewed: &[u64], universe: u32, seed: u64) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    let scan = u64::from(universe) / 10;
    let mut next_new = 2 * APART;
    let mut keys = Vec::with_capacity(skewed.len());
    let mut skewed_left = skewed.iter();
    while keys.len() < skewed.len() {
        let until_scan = rng.random_range(scan..4 * scan) as usize;
        keys.extend(skewed_left.by_ref().take(until_scan));
        keys.extend(next_new..next_new + scan);
        next_new += scan;
    }
    keys.truncate(skewed.len());
    keys
}

/// Streams against a cache of `entries`: a hot set of half as many keys, Zipf-distributed, that
/// would fit with ease, among keys that come once or twice and never again, as half of the
/// requests or as nine of ten.
pub fn floods(entries: usize, requests: usize, seed: u64) -> Vec<Trace> {
    let mut made = Vec::new();
    for (share, words) in [(0.5, "half"), (0.9, "nine tenths")] {
        for twice in [false, true] {
            let times = if twice { "twice" } else { "once" };
            let name = format!("flood {times}, {words}");
            made.push(Trace { name, keys: flood(entries, requests, share, twice, seed) });
        }
    }
    made
}

/// A key that comes twice does so again after a twentieth of the cache's entries in the flood: soon
/// enough to look promising to every policy that watches newcomers.
fn flood(entries: usize, requests: usize, share: f64, twice: bool, seed: u64) -> Vec<u64> {
    let hot = (entries / 2).max(1) as u32;
    let mut hot = zipf_numbers(hot, 0.99, requests, seed).into_iter().map(u64::from);
    let mut rng = StdRng::seed_from_u64(seed ^ 2);
    let gap = entries as u64 / 20 + 1;
    let mut flooded = 0;
    (0..requests)
        .filter_map(|_| {
            if !rng.random_bool(share) {
                return hot.next();
            }
            flooded += 1;
            // Of each two requests one brings a new key, the other the one of some time ago.
            let number = match (twice, flooded % 2) {
                (false, _) => flooded,
                (true, 1) => flooded / 2 + gap,
                (true, _) => flooded / 2,
            };
            Some(APART + number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbered::Numbered;

    #[test]
    fn same_seed_same_traces_of_the_length_asked_for() {
        let (one, two) = (traces(10_000, 3), traces(10_000, 3));
        for (a, b) in one.iter().zip(&two) {
            assert_eq!((&a.name, &a.keys), (&b.name, &b.keys));
            assert_eq!(a.keys.len(), 10_000, "{}", a.name);
        }
        assert_ne!(one[0].keys, traces(10_000, 4)[0].keys);
    }

    #[test]
    fn each_kind_is_what_it_says() {
        let made = traces(10_000, 1);
        let unique: Vec<usize> = made.iter().map(|trace| Numbered::new(trace).unique).collect();
        assert!(unique[1] > unique[0], "scans bring new keys: {unique:?}");
        assert_eq!(unique[2], 100, "the loop has one period of keys");
        assert!(made[1].keys.iter().any(|&key| key >= 2 * APART));
    }

    #[test]
    fn floods_bring_keys_once_or_twice() {
        for trace in floods(1_000, 20_000, 1) {
            assert_eq!(trace.keys.len(), 20_000);
            let mut counts = std::collections::HashMap::new();
            trace.keys.iter().for_each(|key| *counts.entry(key).or_insert(0) += 1);
            let flood =
                |times| counts.iter().filter(|(key, n)| ***key >= APART && **n == times).count();
            let hot = counts.keys().filter(|key| ***key < APART).count();
            assert!((300..=500).contains(&hot), "{}: {hot} hot keys", trace.name);
            let (once, twice) = (flood(1), flood(2));
            if trace.name.contains("twice") {
                // The first and the last few have no partner.
                assert!(once <= 2 * 51 && twice > 4_000, "{}: {once}, {twice}", trace.name);
            } else {
                assert!(once > 9_000 && twice == 0, "{}: {once}, {twice}", trace.name);
            }
        }
    }
}
