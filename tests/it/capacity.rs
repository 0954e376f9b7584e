//! Is the bound a bound, and is all of it usable?

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Instant;

use hotset::{Cache, Cause, Insert, Policy};

use crate::common::{Random, Stop, check, logged, stress_time, times};

/// Fills a cache to its bound: nothing leaves. One more: one leaves.
fn fill(bound: usize, key: impl Fn(u64) -> u64) {
    let (cache, log) = logged::<u64, u64>(bound);
    for n in 0..bound as u64 {
        assert_eq!(cache.len() as u64, n);
        assert!(matches!(cache.insert(key(n), n), Insert::New), "{n} of {bound}");
    }
    assert_eq!(cache.len(), bound);
    assert!(log.lock().unwrap().is_empty(), "an eviction below the bound of {bound}");
    for n in 0..bound as u64 {
        assert_eq!(cache.peek(&key(n)), Some(n));
    }
    // Writing what is there evicts nothing either.
    assert!(matches!(cache.insert(key(0), 0), Insert::Replaced(_)));
    log.lock().unwrap().clear();
    for more in 1..=3 {
        assert!(matches!(cache.insert(key(bound as u64 + more), 0), Insert::New));
        assert_eq!(cache.len(), bound);
        let told = log.lock().unwrap();
        assert_eq!(told.len() as u64, more, "one more evicts one");
        assert!(told.iter().all(|entry| entry.2 == Cause::Capacity));
        assert!(!cache.contains_key(&told.last().unwrap().0) || bound == 1 && more == 0);
    }
    check(&cache);
}

#[test]
fn small_bounds_are_usable_exactly() {
    for bound in (1..=64).chain([100, 127, 128, 1000]) {
        fill(bound, |n| n);
    }
}

#[test]
fn large_bounds_are_usable_exactly() {
    for bound in [4096, 5000, 8191, 8192, 20_000, times(100_000)] {
        fill(bound, |n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
}

#[test]
fn a_hole_is_filled_before_anything_leaves() {
    let (cache, log) = logged::<u64, u64>(1000);
    let mut random = Random::new(7);
    (0..1000).for_each(|n| drop(cache.insert(n, n)));
    for n in 1000..times(20_000) as u64 {
        let gone = loop {
            let key = random.below(n);
            if cache.remove(&key).is_some() {
                break key;
            }
        };
        assert_eq!(cache.len(), 999);
        assert!(matches!(cache.insert(if n % 5 == 0 { gone } else { n }, n), Insert::New));
        assert_eq!(cache.len(), 1000);
    }
    assert!(log.lock().unwrap().iter().all(|entry| entry.2 == Cause::Removed));
    check(&cache);
}

#[test]
fn len_is_never_above_the_bound() {
    for bound in [1, 3, 64, 1000] {
        let cache = Cache::new(bound);
        let stop = Stop::default();
        thread::scope(|scope| {
            for t in 0..6 {
                let (cache, stop) = (&cache, &stop);
                scope.spawn(move || {
                    let mut random = Random::new(t + 1);
                    while !stop.said() {
                        let key = random.below(3 * bound as u64 + 2);
                        match random.below(8) {
                            0 => drop(cache.remove(&key)),
                            1 => drop(cache.get_or_insert_with(key, || key)),
                            _ => drop(cache.insert(key, key)),
                        }
                    }
                });
            }
            let _stop = stop.at_end();
            let end = Instant::now() + stress_time() / 8;
            let mut most = 0;
            while Instant::now() < end {
                most = most.max(cache.len());
                assert!(most <= bound, "{most} of {bound}");
                assert!(cache.pin().iter().count() <= 8 * bound.max(64));
            }
        });
        check(&cache);
    }
}

#[test]
fn nothing_leaves_below_the_bound_with_many_threads() {
    let bound = times(8000);
    let (cache, log) = logged::<u64, u64>(bound);
    thread::scope(|scope| {
        for t in 0..8_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..bound as u64 / 8 {
                    assert!(matches!(cache.insert(n * 8 + t, n), Insert::New));
                }
            });
        }
    });
    assert_eq!(cache.len(), bound / 8 * 8);
    assert!(log.lock().unwrap().is_empty());
    check(&cache);
}

#[test]
fn many_threads_that_rest_leave_room_for_others() {
    // Whatever a thread keeps for its next write must not add up to a refusal for the others.
    let cache = Cache::new(10_000);
    let refused = resting(&cache, times(300) as u64, 1);
    assert_eq!(refused, 0, "inserts refused in a cache that is almost empty");
    check(&cache);
}

#[test]
fn many_threads_that_evicted_and_rest_leave_room_for_others() {
    let cache = Cache::new(100);
    let refused = resting(&cache, times(200) as u64, 300);
    assert_eq!(refused, 0, "inserts refused although nobody reads");
    check(&cache);
}

#[test]
fn a_small_slack_is_shared() {
    for entries in [1, 50] {
        let cache = Cache::builder().max_entries(100).reclamation_slack(1).build().unwrap();
        assert_eq!(resting(&cache, 8, entries), 0, "inserts refused although nobody reads");
    }
}

/// `threads` threads insert `entries` entries each, one after the other, and stay alive until all
/// have. How many inserts were refused.
fn resting(cache: &Cache<u64, u64>, threads: u64, entries: u64) -> usize {
    let all_done = Barrier::new(threads as usize + 1);
    thread::scope(|scope| {
        let mut refused = 0;
        for t in 0..threads {
            let (done, is_done) = mpsc::channel();
            let all_done = &all_done;
            scope.spawn(move || {
                let keys = t * entries..(t + 1) * entries;
                let refused = keys.filter(|key| !cache.insert(*key, *key).is_admitted()).count();
                done.send(refused).unwrap();
                all_done.wait();
            });
            refused += is_done.recv().unwrap();
        }
        all_done.wait();
        refused
    })
}

/// A bound raised by a factor of thousands: more entries pass the first buckets than a count can hold.
#[test]
fn a_bound_raised_by_far_loses_and_doubles_nothing() {
    for policy in [Policy::Adaptive, Policy::Clock] {
        let cache: Cache<u64, u64> =
            Cache::builder().max_entries(10).policy(policy).build().unwrap();
        let bound = 150_000;
        cache.set_max_entries(bound as usize).unwrap();
        for key in 0..bound {
            assert!(matches!(cache.insert(key, key), Insert::New));
        }
        assert!((0..bound).all(|key| cache.contains_key(&key)), "{policy:?}");
        assert_eq!(cache.iter().count(), bound as usize);
        cache.validate().unwrap();
        cache.clear();
        assert_eq!(cache.iter().count(), 0);
    }
}

/// Nothing is pinned and nobody else writes: there is always somebody who can leave, whatever came,
/// was used and was removed before.
#[test]
fn one_thread_without_pins_is_never_refused() {
    for policy in [Policy::Adaptive, Policy::Clock] {
        for bound in 1..=6_u64 {
            let cache: Cache<u64, u64> =
                Cache::builder().max_entries(bound as usize).policy(policy).build().unwrap();
            let mut random = Random::new(bound);
            for _ in 0..times(40_000) {
                let key = random.below(bound + 3);
                match random.below(4) {
                    0 | 1 => assert!(cache.insert(key, key).is_admitted(), "{policy:?} {bound}"),
                    2 => drop(cache.remove(&key)),
                    _ => drop(cache.get(&key)),
                }
            }
        }
        // All are in use when the bound falls.
        let cache: Cache<u64, u64> =
            Cache::builder().max_entries(1000).policy(policy).build().unwrap();
        for round in 0..20 {
            cache.clear();
            cache.set_max_entries(1000).unwrap();
            (0..1000).for_each(|key| drop(cache.insert(key, key)));
            (0..3).for_each(|_| assert!((0..1000).all(|key| cache.get(&key).is_some())));
            cache.set_max_entries(1).unwrap();
            assert!(cache.insert(5000 + round, 0).is_admitted(), "{policy:?}");
        }
    }
}
