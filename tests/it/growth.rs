//! Does a table that has grown find, remember and give up what one does that was made for so many?

use hotset::{Cache, Cause, Insert, Policy};

use crate::common::{POLICIES, Random, check, times, with_policy};

/// A cache for so many entries by weight that has not been told how many.
fn untold(entries: u64, policy: Policy) -> Cache<u64, u64> {
    let builder = Cache::builder().max_weight(7 * entries).weigher(|_, _| 7);
    builder.policy(policy).build().unwrap()
}

/// Whether an entry is on probation.
fn is_new(cache: &Cache<u64, u64>, key: u64) -> Option<bool> {
    cache.adaptive_class(&key).map(|class| class.0)
}

#[test]
fn what_came_is_there_in_every_segment() {
    let entries = times(100_000) as u64;
    for policy in POLICIES {
        let cache = untold(entries, policy);
        for key in 0..entries {
            assert!(matches!(cache.insert(key, key), Insert::New));
        }
        assert_eq!(cache.stats().evictions(Cause::Capacity), 0);
        assert!((0..entries).all(|key| cache.get(&key) == Some(key)));
        assert!((entries..2 * entries).all(|key| cache.get(&key).is_none()));
        check(&cache);
        // Those that came first are in the first segments; others come into their holes.
        for key in (0..entries).filter(|key| key % 3 == 0) {
            assert_eq!(cache.remove(&key).map(|removed| *removed), Some(key));
            assert!(cache.get(&key).is_none());
        }
        for key in 0..entries {
            let outcome = cache.insert(key, key + 1);
            assert!(matches!(outcome, Insert::New) == (key % 3 == 0), "{key}");
        }
        assert_eq!(cache.len() as u64, entries);
        assert!((0..entries).all(|key| cache.peek(&key) == Some(key + 1)));
        check(&cache);
        cache.clear();
        assert!(cache.is_empty() && (0..entries).all(|key| cache.get(&key).is_none()));
        check(&cache);
    }
}

#[test]
fn a_grown_table_evicts() {
    let entries = times(40_000) as u64;
    for policy in POLICIES {
        let cache = untold(entries, policy);
        for key in 0..4 * entries {
            assert!(matches!(cache.insert(key, key), Insert::New));
            assert_eq!(cache.get(&key), Some(key));
        }
        assert_eq!((cache.len() as u64, cache.weight()), (entries, 7 * entries));
        assert_eq!(cache.coldest_first().len() as u64, entries);
        check(&cache);
    }
}

/// Who left long ago, as counted in the entries that the cache has now, is remembered.
fn remembers(cache: &Cache<u64, u64>, entries: u64) {
    let bound = 3 * entries;
    (0..bound).for_each(|key| drop(cache.insert(key, key)));
    let gone: Vec<u64> = (0..bound).filter(|key| !cache.contains_key(key)).collect();
    // Those who came last left last, and from probation.
    let lately = &gone[gone.len() - entries as usize / 2..];
    let mut back = 0;
    for &key in lately.iter().rev().step_by(100) {
        assert!(matches!(cache.insert(key, key), Insert::New));
        back += u64::from(is_new(cache, key) == Some(false));
    }
    assert!(back > entries / 200 * 4 / 5, "{back} of {} remembered", entries / 200);
}

#[test]
fn a_grown_cache_remembers_as_one_that_was_told() {
    let entries = times(100_000) as u64;
    remembers(&untold(entries, Policy::Adaptive), entries);
}

#[test]
fn a_raised_bound_raises_the_memory() {
    let entries = times(20_000) as u64;
    for first in [1, 10, 1000] {
        let cache = with_policy(first, Policy::Adaptive);
        (0..5000).for_each(|key| drop(cache.insert(u64::MAX - key, key)));
        cache.set_max_entries(entries as usize).unwrap();
        remembers(&cache, entries);
        check(&cache);
    }
}

/// A small cache is not made for more by the table's growth, since it need not grow.
#[test]
fn a_bound_that_is_raised_by_little_raises_the_memory() {
    let cache = with_policy(10, Policy::Adaptive);
    cache.set_max_entries(40).unwrap();
    (0..40).for_each(|key| drop(cache.insert(key, key)));
    let mut left = Vec::new();
    for key in 100..140 {
        let before = cache.coldest_first();
        cache.insert(key, key);
        left.extend(before.into_iter().filter(|key| !cache.contains_key(key)));
    }
    // Of 40 who left one after the other.
    let early: Vec<u64> = left.into_iter().filter(|&key| key >= 100).collect();
    assert!(early.len() > 20);
    let back = early.iter().rev().take(20).filter(|&&key| {
        cache.insert(key, key);
        is_new(&cache, key) == Some(false)
    });
    let back = back.count();
    assert!(back >= 12, "{back} of 20 remembered");
}

#[test]
fn the_queue_of_newcomers_grows_with_the_cache() {
    let entries = times(40_000) as u64;
    let told = Cache::<u64, u64>::builder().max_weight(7 * entries).weigher(|_, _| 7);
    let told = told.expected_entries(entries as usize).build().unwrap();
    let raised = with_policy(100, Policy::Adaptive);
    raised.set_max_entries(entries as usize).unwrap();
    let mut waiting = Vec::new();
    for cache in [told, untold(entries, Policy::Adaptive), raised] {
        // Whoever comes back lengthens the queue.
        for round in 0..6 {
            let from = round * entries / 2;
            (from..from + entries).for_each(|key| drop(cache.insert(key, key)));
        }
        let new = (0..4 * entries).filter(|&key| is_new(&cache, key) == Some(true)).count();
        waiting.push(new as f64);
    }
    assert!(waiting[0] > entries as f64 * 0.02, "{waiting:?}");
    for other in &waiting[1..] {
        assert!((0.7..1.4).contains(&(other / waiting[0])), "{waiting:?}");
    }
}

/// Hits of a read-through of a skewed workload with a scan in it now and then.
fn hits(cache: &Cache<u64, u64>, entries: u64) -> f64 {
    let (mut random, mut hits, most) = (Random::new(3), 0, 10 * entries);
    for n in 0..most {
        let (a, b) = (random.below(4 * entries), random.below(4 * entries));
        let key = if n % 5 == 0 { n << 32 } else { a * b / (4 * entries) };
        if cache.get(&key).is_some() {
            hits += 1;
        } else {
            cache.insert(key, n);
        }
    }
    hits as f64 / most as f64
}

#[test]
fn a_grown_cache_hits_as_one_that_was_told() {
    let entries = times(40_000) as u64;
    let told = Cache::<u64, u64>::builder().max_weight(7 * entries).weigher(|_, _| 7);
    let told = told.expected_entries(entries as usize).build().unwrap();
    let (grown, told) = (hits(&untold(entries, Policy::Adaptive), entries), hits(&told, entries));
    assert!((grown - told).abs() < 0.01, "{grown} and {told}");
}
