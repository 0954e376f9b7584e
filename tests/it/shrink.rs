//! Does a table that has grown lose nothing when it is made smaller again, whoever is in the middle of
//! something?
//!
//! What is freed too early AddressSanitizer sees (`ci/asan.sh`), and the models of `loom-tests/tests/shrink.rs`.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hotset::{Cache, Compute, Insert, ManualTime, Policy};

use crate::common::{
    Ledger, POLICIES, Random, Stop, Tracked, check, check_values, stress_time, times,
};

/// Entries of a table that has grown.
fn many() -> u64 {
    times(40_000).max(17_000) as u64
}

fn builder(policy: Policy) -> hotset::Builder<u64, u64> {
    Cache::builder().policy(policy).max_weight(many()).weigher(|_, _| 1).expected_entries(100)
}

fn fill(cache: &Cache<u64, u64>) {
    (0..many()).for_each(|key| assert!(matches!(cache.insert(key, key), Insert::New)));
}

/// One that has grown, and keys of it that came last, which are in its last segment.
fn grown(policy: Policy) -> (Cache<u64, u64>, [u64; 3]) {
    let cache = builder(policy).build().unwrap();
    fill(&cache);
    (cache, [many() - 1, many() - 2, many() - 3])
}

/// Empties a cache and takes back what its table has grown by.
fn shrink(cache: &Cache<u64, u64>) {
    cache.clear();
    cache.maintain();
}

#[test]
fn it_grows_and_shrinks_again_and_again() {
    for policy in POLICIES {
        let cache = builder(policy).build().unwrap();
        for round in 0..4 {
            fill(&cache);
            assert!((0..many()).all(|key| cache.get(&key) == Some(key)));
            check(&cache);
            // The hand knows all rows, and those that are no more do not hinder it.
            for key in many()..many() + many() / 2 {
                assert!(matches!(cache.insert(key, key), Insert::New), "{key} in round {round}");
            }
            assert_eq!(cache.len() as u64, many());
            assert_eq!(cache.coldest_first().len() as u64, many());
            check(&cache);
            match round {
                0 => cache.clear(),
                1 => cache.retain(|&key, _| key % 1000 == 0),
                2 => cache.set_max_weight(10).unwrap(),
                _ => (0..2 * many()).for_each(|key| drop(cache.remove(&key))),
            }
            cache.maintain();
            check(&cache);
            assert!(cache.len() as u64 <= many() / 400);
            cache.set_max_weight(many()).unwrap();
            cache.clear();
            assert!((0..2 * many()).all(|key| cache.get(&key).is_none()));
        }
    }
}

/// A few entries in a table that was large are evicted as in one that never was.
#[test]
fn a_table_that_was_large_evicts() {
    for policy in POLICIES {
        let (cache, _) = grown(policy);
        shrink(&cache);
        cache.set_max_weight(50).unwrap();
        for key in 0..times(20_000) as u64 {
            assert!(matches!(cache.insert(key, key), Insert::New));
            assert_eq!(cache.get(&key), Some(key));
            assert!(cache.len() <= 50);
        }
        assert_eq!(cache.len(), 50);
        check(&cache);
    }
}

#[test]
fn what_is_read_stays() {
    for policy in POLICIES {
        let (cache, [a, b, c]) = grown(policy);
        let seen = cache.with(&a, |_, value| {
            thread::scope(|scope| drop(scope.spawn(|| shrink(&cache)).join()));
            shrink(&cache);
            assert_eq!(cache.get(&b), None);
            fill(&cache);
            (*value, cache.get(&b))
        });
        assert_eq!(seen, Some((a, Some(b))));
        let pin = cache.pin();
        let (seen, mut all) = (pin.get(&c), pin.iter());
        let first = all.next();
        thread::scope(|scope| drop(scope.spawn(|| shrink(&cache)).join()));
        assert_eq!(seen, Some(&c));
        assert!(first.is_some_and(|(key, value)| key == value) && all.count() == 0);
        drop(pin);
        fill(&cache);
        let mut walk = cache.iter();
        assert!(walk.next().is_some());
        shrink(&cache);
        assert_eq!(walk.next(), None);
        check(&cache);
    }
}

#[test]
fn a_load_ends_whose_slot_is_no_more() {
    for policy in POLICIES {
        let (cache, _) = grown(policy);
        let key = many();
        let loaded = cache.get_or_insert_with(key, || {
            shrink(&cache);
            7
        });
        assert_eq!((loaded, cache.get(&key)), (7, None));
        fill(&cache);
        let failed = cache.try_get_or_insert_with(key, || {
            shrink(&cache);
            fill(&cache);
            Err("no")
        });
        assert_eq!((failed.is_err(), cache.get(&key)), (true, None));
        // One that stays where it was registered, while others go and come.
        assert_eq!(
            cache.get_or_insert_with(key, || {
                cache.retain(|_, _| false);
                fill(&cache);
                8
            }),
            8
        );
        assert_eq!(cache.get(&key), Some(8));
        check(&cache);
    }
}

#[test]
fn futures_outlast_their_slots() {
    for policy in POLICIES {
        let (cache, _) = grown(policy);
        let (key, mut context) = (many(), Context::from_waker(Waker::noop()));
        for drops_leader in [false, true] {
            let mut leader = Box::pin(cache.get_or_insert_async(key, std::future::pending()));
            let mut waiter = Box::pin(cache.get_or_insert_async(key, std::future::ready(9)));
            assert!(leader.as_mut().poll(&mut context).is_pending());
            assert!(waiter.as_mut().poll(&mut context).is_pending());
            shrink(&cache);
            fill(&cache);
            if drops_leader {
                drop(leader);
                assert!(waiter.as_mut().poll(&mut context).is_ready());
            } else {
                drop(waiter);
                drop(leader);
            }
            assert_eq!(cache.get(&key), None);
            check(&cache);
        }
    }
}

#[test]
fn a_refresh_ends_whose_slot_is_no_more() {
    let time = ManualTime::new();
    let cache = builder(Policy::Adaptive);
    let cache = cache.refresh_after(Duration::from_secs(1)).time_source(time.clone());
    let cache = cache.build().unwrap();
    fill(&cache);
    time.advance(Duration::from_secs(2));
    let key = many() - 1;
    let loaded = cache.get_or_insert_with(key, || {
        shrink(&cache);
        7
    });
    assert_eq!((loaded, cache.get(&key), cache.len()), (7, None, 0));
    fill(&cache);
    time.advance(Duration::from_secs(2));
    let loaded = cache.get_or_insert_with(key, || {
        cache.retain(|&other, _| other == key);
        cache.maintain();
        7
    });
    assert_eq!((loaded, cache.get(&key), cache.len()), (7, Some(7), 1));
    check(&cache);
}

#[test]
fn a_decision_is_taken_whose_slot_is_no_more() {
    for policy in POLICIES {
        let (cache, [a, ..]) = grown(policy);
        let mut asked = 0;
        cache.compute(a, |value| {
            asked += 1;
            if asked == 1 {
                assert_eq!(value, Some(&a));
                shrink(&cache);
            }
            Compute::Insert(value.copied().unwrap_or(1) + 1)
        });
        assert_eq!((asked, cache.get(&a)), (2, Some(2)));
        cache.compute(a, |_| {
            shrink(&cache);
            Compute::Remove
        });
        assert!(cache.is_empty());
        check(&cache);
    }
}

#[test]
fn newcomers_are_on_probation_when_it_is_small_again() {
    // Many that are light, and after that few heavy ones, for whom what waited in the queue is too light to matter.
    let cache = Cache::builder().max_weight(1_000_000).weigher(|_, weight: &u64| *weight);
    let cache = cache.expected_entries(100).build().unwrap();
    (0..250_000_u64).for_each(|key| drop(cache.insert(key, 5)));
    assert_eq!(cache.len(), 200_000);
    shrink(&cache);
    let newcomers = 300_000..303_000_u64;
    let mut on_probation = 0;
    for key in newcomers.clone() {
        cache.insert(key, 10_000);
        on_probation += usize::from(cache.adaptive_class(&key).is_some_and(|(new, _)| new));
    }
    assert!(on_probation > newcomers.count() / 10 * 9, "{on_probation} on probation");
    check(&cache);
}

#[test]
fn while_many_come_and_go() {
    for policy in POLICIES {
        let ledger = Ledger::new();
        let cache = Cache::builder().policy(policy).max_weight(4000).weigher(|_, _: &Tracked| 1);
        let cache = cache.expected_entries(50).build().unwrap();
        let stop = Stop::default();
        thread::scope(|scope| {
            for t in 0..6 {
                let (cache, ledger, stop) = (&cache, &ledger, &stop);
                scope.spawn(move || work(cache, ledger, stop, t));
            }
            let _stop = stop.at_end();
            let end = Instant::now() + stress_time() / 2;
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(2));
                cache.clear();
                thread::sleep(Duration::from_millis(2));
                cache.retain(|_, _| false);
            }
        });
        check_values(&cache, &ledger);
        drop(cache);
        ledger.assert_all_dropped();
    }
}

fn work(cache: &Cache<u64, Tracked>, ledger: &Arc<Ledger>, stop: &Stop, thread: u64) {
    let mut random = Random::new(thread + 1);
    let mut at = thread << 32;
    while !stop.said() {
        // New keys, so that the table grows, and others that all threads share.
        for _ in 0..random.below(600) {
            at += 1;
            cache.insert(at, ledger.make(at));
            let key = random.below(3000);
            match random.below(8) {
                0 => drop(cache.remove(&key)),
                1 => assert_eq!(cache.get_or_insert_with(key, || ledger.make(key)).n(), key),
                2 => drop(cache.insert(key, ledger.make(key))),
                3 => assert!(cache.pin().get(&key).is_none_or(|value| value.n() == key)),
                _ => assert!(cache.get(&key).is_none_or(|value| value.n() == key)),
            }
        }
        // Now and then nobody comes, so that all that has grown is empty after a `clear`.
        if random.below(2) == 0 {
            cache.maintain();
            thread::sleep(Duration::from_millis(2 + random.below(8)));
        }
    }
}
