//! The scenes in which caches are known to fail, one test each. `hotset-bench semantics` plays the
//! same with other caches.
//!
//! Nothing here depends on how long anything takes: where a thread must not wait for ever, a watchdog
//! says so after a minute.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock, Weak, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use hotset::{Cache, Cause, Insert, LoadError};

use crate::common::{Ledger, POLICIES, boom, booms, check, logged, times, with_policy};

/// Runs a scene; fails if it does not come to an end.
fn watched<T: Send + 'static>(scene: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let actor = thread::spawn(move || {
        let ending = scene();
        // Nobody listens any more if the watchdog has barked.
        let _ = done.send(ending);
    });
    match outcome.recv_timeout(Duration::from_secs(if cfg!(miri) { 3_600 } else { 60 })) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match actor.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it ends with an outcome or a panic"),
        },
    }
}

#[test]
fn a_failing_loader_with_8_waiters() {
    const CALLERS: usize = 9;
    watched(|| {
        let cache: Cache<usize, u64> = Cache::new(100);
        let mut one_load = false;
        for round in 0..times(200) {
            let (loads, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let call = || {
                arrived.fetch_add(1, SeqCst);
                let outcome = cache.try_get_or_insert_with(round, || {
                    loads.fetch_add(1, SeqCst);
                    while arrived.load(SeqCst) < CALLERS {
                        thread::yield_now();
                    }
                    // Those who have said that they come may be one step away.
                    thread::sleep(Duration::from_millis(2));
                    Err("the database is down")
                });
                match outcome {
                    Err(LoadError::Failed(error)) => error,
                    other => panic!("{other:?}"),
                }
            };
            let errors: Vec<Arc<&str>> = thread::scope(|scope| {
                let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
                callers.into_iter().map(|caller| caller.join().unwrap()).collect()
            });
            // Everybody has the error of the one load that it waited for: nobody tries by itself.
            let distinct: HashSet<_> = errors.iter().map(Arc::as_ptr).collect();
            assert_eq!(distinct.len(), loads.load(SeqCst));
            assert!(!cache.contains_key(&round), "an error is not kept");
            one_load |= distinct.len() == 1;
            if one_load {
                break;
            }
        }
        assert!(one_load, "not once did all {CALLERS} share one load");
        check(&cache);
    });
}

/// A load of key 1 that read 10 before `write` happened, and comes back after it.
fn write_during_load(write: impl Fn(&Cache<u64, u64>) + Send + Sync + 'static) -> Option<u64> {
    watched(move || {
        let (cache, log) = logged(8);
        let (read, go) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                cache.get_or_insert_with(1, || {
                    read.wait();
                    go.wait();
                    10
                })
            });
            read.wait();
            write(&cache); // does not wait for the load
            go.wait();
            assert_eq!(load.join().unwrap(), 10, "who asked for the load has its value");
        });
        assert!(log.lock().unwrap().contains(&(1, 10, Cause::Rejected)));
        check(&cache);
        cache.get(&1)
    })
}

#[test]
fn an_insert_during_a_load_stays() {
    assert_eq!(write_during_load(|cache| drop(cache.insert(1, 20))), Some(20));
}

#[test]
fn an_invalidation_during_a_load_stays() {
    assert_eq!(write_during_load(|cache| drop(cache.remove(&1))), None);
    assert_eq!(write_during_load(Cache::clear), None);
}

#[test]
fn all_methods_one_load() {
    watched(|| {
        for round in 0..times(50) {
            let cache: Cache<u64, usize> = Cache::new(100);
            let (loads, start) = (AtomicUsize::new(0), Barrier::new(5));
            let load = || {
                thread::sleep(Duration::from_millis(round as u64 % 2));
                loads.fetch_add(1, SeqCst)
            };
            let plain = || cache.get_or_insert_with(1, load);
            let fallible = || cache.try_get_or_insert_with(1, || Ok::<_, String>(load())).unwrap();
            let task = || block_on(cache.get_or_insert_async(1, async { load() }));
            let fallible_task = || {
                let load = async { Ok::<_, String>(load()) };
                block_on(cache.try_get_or_insert_async(1, load)).unwrap()
            };
            let many = || {
                let loaded = cache.load_many([1], |_| Ok::<_, String>([(1, load())]));
                *loaded[0].as_ref().unwrap()
            };
            let methods: [&(dyn Fn() -> usize + Sync); 5] =
                [&plain, &fallible, &task, &fallible_task, &many];
            thread::scope(|scope| {
                for method in methods {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        assert_eq!(method(), 0);
                    });
                }
            });
            assert_eq!(loads.load(SeqCst), 1);
        }
    });
}

#[test]
fn a_loader_that_asks_for_its_own_key() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(8);
        let value = cache.try_get_or_insert_with(1, || {
            let own = cache.try_get_or_insert_with(1, || Ok::<_, ()>(0));
            assert!(own.unwrap_err().is_reentrant());
            Ok::<_, ()>(2)
        });
        assert_eq!((value.unwrap(), cache.get(&1)), (2, Some(2)));
    });
}

#[test]
fn a_listener_that_panics_is_called_again() {
    watched(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let cache = Cache::builder()
            .max_entries(10)
            .on_evict(move |_, _, _| {
                if count.fetch_add(1, SeqCst) == 0 {
                    boom();
                }
            })
            .build()
            .unwrap();
        for key in 0..1_000 {
            assert!(!booms(|| cache.insert(key, key)), "the panic came out of an insert");
        }
        assert_eq!((calls.load(SeqCst), cache.len()), (990, 10));
        check(&cache);
    });
}

#[test]
fn a_listener_that_inserts() {
    for policy in POLICIES {
        watched(move || {
            let itself: Arc<OnceLock<Weak<Cache<u64, u64>>>> = Arc::default();
            let inside = Arc::clone(&itself);
            let cache = Cache::builder()
                .max_entries(10)
                .policy(policy)
                .on_evict(move |&key, _, cause| {
                    let Some(cache) = inside.get().and_then(Weak::upgrade) else { return };
                    if key < 1_000 && cause == Cause::Capacity {
                        cache.insert(key + 1_000, key);
                        assert!(cache.len() <= 10);
                    }
                })
                .build()
                .unwrap();
            let cache = Arc::new(cache);
            itself.set(Arc::downgrade(&cache)).unwrap();
            for key in 0..1_000 {
                assert!(cache.insert(key, key).is_admitted());
            }
            check(&cache);
        });
    }
}

#[test]
fn destructors_that_call_the_cache_in_clear() {
    /// A value whose destructor inserts into its cache and reads it.
    struct Nosy(Weak<Cache<u64, Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            let Some(cache) = self.0.upgrade() else { return };
            for key in 1_000..1_010 {
                cache.insert(key, Nosy(Weak::new()));
                cache.contains_key(&(key - 1_000));
            }
        }
    }
    for policy in POLICIES {
        watched(move || {
            let cache = Arc::new(with_policy(100, policy));
            for key in 0..100 {
                cache.insert(key, Nosy(Arc::downgrade(&cache)));
            }
            cache.clear();
            cache.maintain();
            assert!((0..100).all(|key| !cache.contains_key(&key)));
            check(&cache);
        });
    }
}

#[test]
fn an_entry_heavier_than_the_cache() {
    for policy in POLICIES {
        let cache = Cache::builder()
            .max_weight(1_000)
            .weigher(|_, &weight: &u64| weight)
            .policy(policy)
            .build()
            .unwrap();
        for key in 0..10 {
            assert!(matches!(cache.insert(key, 10), Insert::New));
        }
        assert!(matches!(cache.insert(999, 5_000), Insert::TooHeavy(999, 5_000)));
        assert_eq!((cache.len(), cache.weight()), (10, 100), "no other has left for it");
        assert!((0..10).all(|key| cache.contains_key(&key)) && !cache.contains_key(&999));
        // As heavy as the whole cache is not too heavy: all others leave for it.
        assert!(matches!(cache.insert(999, 1_000), Insert::New));
        assert_eq!((cache.len(), cache.weight()), (1, 1_000));
        check(&cache);
    }
}

#[test]
fn a_load_heavier_than_the_cache() {
    let rejected = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rejected);
    let cache = Cache::builder()
        .max_weight(1_000)
        .weigher(|_, &weight: &u64| weight)
        .on_evict(move |_, _, cause| {
            assert_eq!(cause, Cause::Rejected);
            count.fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    assert_eq!(cache.get_or_insert_with(1, || 5_000), 5_000, "handed to who asked");
    assert_eq!((cache.len(), cache.weight(), rejected.load(SeqCst)), (0, 0, 1));
}

#[test]
fn clear_and_refill() {
    for policy in POLICIES {
        let cache = with_policy(4_000, policy);
        for round in 0..times(5) as u64 {
            for key in round * 4_000..(round + 1) * 4_000 {
                assert!(matches!(cache.insert(key, key), Insert::New));
            }
            assert_eq!(cache.len(), 4_000, "below the bound nothing is evicted, round {round}");
            cache.clear();
            assert_eq!(cache.len(), 0);
        }
        check(&cache);
    }
}

#[test]
fn live_values_with_2_writers() {
    const ENTRIES: usize = 1_000;
    /// Default slack, and two for each thread.
    const LIMIT: isize = ENTRIES as isize + 1_024 + 2 * 2;
    for policy in POLICIES {
        let ledger = Ledger::new();
        let cache = with_policy(ENTRIES, policy);
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for writer in 0..2 {
                let (cache, ledger, most) = (&cache, &ledger, &most);
                scope.spawn(move || {
                    for n in 0..times(100_000) as u64 {
                        cache.insert(n * 2 + writer, ledger.make(n));
                        most.fetch_max(ledger.live().unsigned_abs(), SeqCst);
                    }
                });
            }
        });
        let most = most.load(SeqCst) as isize;
        assert!(most <= LIMIT, "{most} values were alive, at most {LIMIT} may be");
        cache.clear();
        cache.maintain();
        ledger.assert_all_dropped();
    }
}

#[test]
fn the_drop_of_the_cache_tells_of_each() {
    let told: Arc<Mutex<Vec<(u64, Cause)>>> = Arc::default();
    let log = Arc::clone(&told);
    let ledger = Ledger::new();
    let cache = Cache::builder()
        .max_entries(100)
        .on_evict(move |&key, _, cause| log.lock().unwrap().push((key, cause)))
        .build()
        .unwrap();
    let tell = || {
        let mut all = std::mem::take(&mut *told.lock().unwrap());
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    };
    let all = |cause| (0..10).map(|key| (key, cause)).collect::<Vec<_>>();
    (0..10).for_each(|key| drop(cache.insert(key, ledger.make(1))));
    assert_eq!(tell(), []);
    (0..10).for_each(|key| drop(cache.insert(key, ledger.make(2))));
    assert_eq!(tell(), all(Cause::Replaced));
    (0..10).for_each(|key| drop(cache.remove(&key)));
    assert_eq!(tell(), all(Cause::Removed));
    (0..10).for_each(|key| drop(cache.insert(key, ledger.make(3))));
    cache.clear();
    assert_eq!(tell(), all(Cause::Removed));
    (0..10).for_each(|key| drop(cache.insert(key, ledger.make(4))));
    drop(cache);
    assert_eq!(tell(), all(Cause::Removed));
    ledger.assert_all_dropped();
}
