//! What if there is no trace? Four made ones: skew, skew broken by scans, a loop, and all in turn.

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

#[cfg(test)]
mod tests {
    use super::*;

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
        let unique: Vec<usize> = made.iter().map(Trace::unique).collect();
        assert!(unique[1] > unique[0], "scans bring new keys: {unique:?}");
        assert_eq!(unique[2], 100, "the loop has one period of keys");
        assert!(made[1].keys.iter().any(|&key| key >= 2 * APART));
    }
}
