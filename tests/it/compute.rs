//! Is a value decided on the one that it takes the place of?

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use hotset::{Cache, Cause, Compute, Computed, Insert};

use crate::common::{Ledger, POLICIES, boom, booms, check, logged, times, with_policy};

#[test]
fn every_decision_on_every_state() {
    let (cache, log) = logged::<u64, u64>(4);
    let keep = |expected: Option<u64>| {
        move |now: Option<&u64>| {
            assert_eq!(now.copied(), expected);
            Compute::Keep
        }
    };
    assert!(matches!(cache.compute(1, keep(None)), Computed::Unchanged));
    assert!(matches!(cache.compute(1, |_| Compute::Remove), Computed::Unchanged));
    assert!(matches!(
        cache.compute(1, |now| {
            assert!(now.is_none());
            Compute::Insert(10)
        }),
        Computed::Written(Insert::New)
    ));
    assert!(matches!(cache.compute(1, keep(Some(10))), Computed::Unchanged));
    match cache.compute(1, |now| Compute::Insert(now.unwrap() + 1)) {
        Computed::Written(Insert::Replaced(old)) => assert_eq!((*old.key(), *old), (1, 10)),
        other => panic!("{other:?}"),
    }
    match cache.compute(1, |now| if now == Some(&11) { Compute::Remove } else { Compute::Keep }) {
        Computed::Removed(old) => assert_eq!((*old.key(), *old), (1, 11)),
        other => panic!("{other:?}"),
    }
    assert_eq!(*log.lock().unwrap(), [(1, 10, Cause::Replaced), (1, 11, Cause::Removed)]);
    assert!(cache.is_empty());
    check(&cache);
}

#[test]
fn a_full_cache_evicts_one() {
    for policy in POLICIES {
        let cache = with_policy(8, policy);
        for n in 0..100_u64 {
            let written = cache.compute(n, |_| Compute::Insert(n));
            assert!(matches!(written, Computed::Written(Insert::New)));
            assert_eq!(cache.len(), 8.min(n as usize + 1));
        }
        assert_eq!(cache.stats().evictions(Cause::Capacity), 92);
        check(&cache);
    }
}

#[test]
fn no_increment_is_lost() {
    const THREADS: u64 = 4;
    let rounds = times(5_000) as u64;
    let (cache, asked) = (Cache::new(16), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..rounds {
                    cache.compute(n % 3, |now: Option<&u64>| {
                        asked.fetch_add(1, SeqCst);
                        Compute::Insert(now.map_or(1, |now| now + 1))
                    });
                }
            });
        }
    });
    let sum: u64 = (0..3).map(|key| cache.get(&key).unwrap()).sum();
    assert_eq!(sum, THREADS * rounds);
    assert!(asked.into_inner() >= sum);
    check(&cache);
}

/// One that inserts only if absent, and one that removes only if present, in turns: what is inserted
/// is removed once.
#[test]
fn decisions_alternate() {
    let cache = Cache::new(4);
    let (inserted, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for t in 0..4 {
            let (cache, inserted, removed) = (&cache, &inserted, &removed);
            scope.spawn(move || {
                for _ in 0..times(5_000) {
                    let done = cache.compute(7, |now: Option<&u64>| match (t % 2, now) {
                        (0, None) => Compute::Insert(1),
                        (1, Some(_)) => Compute::Remove,
                        _ => Compute::Keep,
                    });
                    match done {
                        Computed::Unchanged => {}
                        Computed::Written(Insert::New) => drop(inserted.fetch_add(1, SeqCst)),
                        Computed::Removed(_) => drop(removed.fetch_add(1, SeqCst)),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let left = cache.len() as u64;
    assert_eq!(inserted.into_inner(), removed.into_inner() + left);
    check(&cache);
}

#[test]
fn a_key_that_is_being_loaded() {
    for decision in [Compute::Insert(5), Compute::Remove, Compute::Keep] {
        let (cache, log) = logged::<u64, u64>(4);
        let value = cache.get_or_insert_with(1, || {
            let done = cache.compute(1, |now| {
                assert!(now.is_none());
                decision
            });
            match decision {
                Compute::Insert(_) => assert!(matches!(done, Computed::Written(Insert::New))),
                _ => assert!(matches!(done, Computed::Unchanged)),
            }
            10
        });
        assert_eq!(value, 10);
        let (kept, told) = match decision {
            Compute::Insert(value) => (Some(value), true),
            Compute::Remove => (None, true),
            Compute::Keep => (Some(10), false),
        };
        assert_eq!(cache.get(&1), kept, "{decision:?}");
        assert_eq!(*log.lock().unwrap() == [(1, 10, Cause::Rejected)], told);
        check(&cache);
    }
}

#[test]
fn it_is_asked_again_when_the_value_has_changed() {
    let (cache, asked) = (Cache::new(4), Cell::new(0));
    cache.insert(1, 10);
    let done = cache.compute(1, |now: Option<&u64>| {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => drop(cache.insert(1, 20)),
            2 => drop(cache.remove(&1)),
            3 => drop(cache.insert(1, 30)),
            _ => {}
        }
        Compute::Insert(now.copied().unwrap_or(0) + 1)
    });
    assert!(matches!(done, Computed::Written(Insert::Replaced(old)) if *old == 30));
    assert_eq!((asked.get(), cache.get(&1)), (4, Some(31)));
    // A decision to keep or to remove nothing is as good as any other at that time.
    check(&cache);
}

#[test]
fn what_is_not_admitted_invalidates() {
    let ledger = Ledger::new();
    let cache = Cache::builder().max_entries(4).reclamation_slack(1).build().unwrap();
    cache.insert(1, ledger.make(1));
    let pinned = cache.pin();
    let mut refused = 0;
    for n in 0..20 {
        match cache.compute(1, |_| Compute::Insert(ledger.make(n))) {
            Computed::Written(Insert::NotAdmitted(key, value)) => {
                assert_eq!((key, value.n()), (1, n));
                assert!(!cache.contains_key(&1), "the old value is no longer true");
                refused += 1;
            }
            Computed::Written(_) => assert_eq!(cache.peek(&1).unwrap().n(), n),
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 10, "{refused}");
    assert_eq!(cache.stats().not_admitted, refused);
    drop(pinned);
    check(&cache);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn a_panic_changes_nothing() {
    let cache = Cache::new(4);
    cache.insert(1, 10);
    assert!(booms(|| cache.compute(1, |_| boom())));
    assert!(booms(|| cache.compute(2, |_| boom())));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(10), None));
    // It may use the cache.
    cache.compute(1, |now| {
        assert_eq!(cache.get(&1).as_ref(), now);
        cache.insert(3, 30);
        Compute::Keep
    });
    assert_eq!(cache.len(), 2);
    check(&cache);
}

#[test]
fn where_entries_are_weighed() {
    let cache =
        Cache::builder().max_weight(100).weigher(|_: &u64, value: &u64| *value).build().unwrap();
    for n in 0..20 {
        assert!(matches!(
            cache.compute(n, |_| Compute::Insert(10)),
            Computed::Written(Insert::New)
        ));
        assert!(cache.weight() <= 100);
    }
    let key = cache.iter().next().unwrap().0;
    cache.compute(key, |now| Compute::Insert(now.unwrap() * 5));
    assert_eq!(cache.get(&key), Some(50));
    assert!(cache.weight() <= 100);
    // Heavier than all that may be: the old value has left all the same.
    let heavy = cache.compute(key, |_| Compute::Insert(101));
    assert!(matches!(heavy, Computed::Written(Insert::TooHeavy(k, 101)) if k == key));
    assert!(!cache.contains_key(&key));
    check(&cache);
}

#[test]
fn an_entry_whose_time_is_over_is_no_value() {
    use std::time::Duration;
    let time = std::sync::Arc::new(hotset::ManualTime::new());
    let cache = Cache::builder()
        .max_entries(8)
        .time_to_live(Duration::from_secs(10))
        .time_source(std::sync::Arc::clone(&time))
        .build()
        .unwrap();
    for decision in [Compute::Insert(2), Compute::Remove, Compute::Keep] {
        cache.insert(1, 1);
        time.advance(Duration::from_secs(11));
        let done = cache.compute(1, |now| {
            assert!(now.is_none());
            decision
        });
        match decision {
            Compute::Insert(value) => {
                assert!(matches!(done, Computed::Written(Insert::New)));
                assert_eq!(cache.get(&1), Some(value));
            }
            _ => assert!(matches!(done, Computed::Unchanged) && !cache.contains_key(&1)),
        }
        cache.clear();
    }
    assert!(cache.stats().evictions(Cause::Expired) >= 2);
    check(&cache);
}

/// The entry that a closure has seen leaves while it decides, and another one of the key gets its block.
#[test]
fn an_entry_that_left_under_the_closure_is_not_taken_for_its_successor() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};

    static CACHE: OnceLock<Cache<u32, Counted>> = OnceLock::new();
    thread_local! { static ARMED: Cell<bool> = const { Cell::new(false) }; }
    #[derive(Clone)]
    struct Counted(u32, Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let new = |n| Counted(n, Arc::default());
    let cache = CACHE.get_or_init(|| {
        let weigher = |_: &u32, value: &Counted| {
            if ARMED.replace(false)
                && let Some(cache) = CACHE.get()
            {
                cache.maintain();
                cache.insert(1, Counted(777, Arc::clone(&value.1)));
            }
            1
        };
        Cache::builder().max_weight(100).weigher(weigher).build().unwrap()
    });
    cache.insert(1, new(1));
    let mut seen = Vec::new();
    let done = cache.compute(1, |now| {
        seen.push(now.map(|now| now.0));
        if seen.len() == 1 {
            drop(cache.remove(&1));
            ARMED.set(true);
        }
        Compute::Insert(new(now.map_or(0, |now| now.0) + 1))
    });
    assert_eq!(seen.first(), Some(&Some(1)));
    assert!(seen.len() > 1, "decided on an entry that had left");
    let Computed::Written(written) = done else { panic!() };
    if let Insert::Replaced(old) = written {
        let dropped = Arc::clone(&old.value().1);
        let before = dropped.load(Ordering::SeqCst);
        cache.maintain();
        assert_eq!(dropped.load(Ordering::SeqCst), before, "dropped while a handle of it lives");
        assert_eq!(old.0, 777);
    }
    check(cache);
}
