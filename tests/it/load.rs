//! Is a missing key loaded once, whatever its loader does, and does nobody wait for ever?

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use hotset::{Cache, Cause, Insert, LoadError};

use crate::common::{Ledger, Random, boom, booms, check, logged, panic_text, times};

const THREADS: usize = if cfg!(miri) { 4 } else { 16 };

/// Runs `f` in many threads that start together; gives back what they return.
fn together<T: Send>(f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS)
            .map(|t| {
                let (start, f) = (&start, &f);
                scope.spawn(move || {
                    start.wait();
                    f(t)
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A loader takes this long so that others come while it runs. Nothing depends on it but how
/// much a test sees.
fn linger() {
    thread::sleep(Duration::from_millis(1));
}

#[test]
fn one_load_of_a_missing_key() {
    let cache = Cache::new(100);
    for round in 0..times(200) {
        let loads = AtomicUsize::new(0);
        let values = together(|t| {
            cache.get_or_insert_with(round, || {
                loads.fetch_add(1, SeqCst);
                if round % 2 == 0 {
                    linger();
                }
                t
            })
        });
        assert_eq!(loads.into_inner(), 1, "round {round}");
        assert!(values.iter().all(|v| *v == values[0]));
        assert_eq!(cache.get(&round), Some(values[0]));
    }
    assert_eq!(cache.stats().loads, times(200) as u64);
    check(&cache);
}

#[test]
fn a_failure_is_shared_and_not_kept() {
    let cache: Cache<usize, u32> = Cache::new(100);
    let mut all_shared = 0;
    for round in 0..times(50) {
        let loads = AtomicUsize::new(0);
        let errors = together(|t| {
            cache
                .try_get_or_insert_with(round, || {
                    loads.fetch_add(1, SeqCst);
                    linger();
                    Err(format!("{t} failed"))
                })
                .unwrap_err()
        });
        let distinct: HashSet<*const String> =
            errors.iter().map(|e| Arc::as_ptr(e.failure().unwrap())).collect();
        // Whoever came too late for one flight was in another.
        assert_eq!(distinct.len(), loads.into_inner());
        all_shared += usize::from(distinct.len() == 1);
        assert!(errors.iter().all(LoadError::is_failed));
        assert!(errors[0].to_string().starts_with("the load failed: "));
        assert!(!cache.contains_key(&round));
        // The next call starts anew.
        assert_eq!(cache.try_get_or_insert_with(round, || Ok::<_, String>(7)).unwrap(), 7);
        cache.remove(&round);
    }
    assert!(all_shared > 0, "no error was shared by all");
    let stats = cache.stats();
    assert_eq!(stats.loads - stats.load_failures, times(50) as u64);
    check(&cache);
}

#[test]
fn a_panic_wakes_everyone() {
    let cache: Cache<usize, u32> = Cache::new(100);
    let mut all_told = 0;
    for round in 0..times(50) {
        let loads = AtomicUsize::new(0);
        let outcomes = together(|_| {
            let mut told = false;
            let panicked = booms(|| {
                let error = cache.try_get_or_insert_with(round, || -> Result<u32, ()> {
                    loads.fetch_add(1, SeqCst);
                    linger();
                    boom()
                });
                told = error.unwrap_err().is_panicked();
            });
            assert!(panicked != told, "its own caller sees the panic, the others an error");
            panicked
        });
        let panics = outcomes.iter().filter(|panicked| **panicked).count();
        assert_eq!(panics, loads.into_inner());
        all_told += usize::from(panics == 1);
        assert_eq!(cache.get_or_insert_with(round, || 7), 7);
    }
    assert!(all_told > 0, "no panic was told to all");
    assert_eq!(LoadError::<()>::Panicked.to_string_or_debug(), "Panicked");
    check(&cache);
}

trait ToText {
    fn to_string_or_debug(&self) -> String;
}

impl ToText for LoadError<()> {
    fn to_string_or_debug(&self) -> String {
        format!("{self:?}")
    }
}

#[test]
fn infallible_waiters_of_a_panic_go_to_one_successor() {
    let cache = Cache::new(100);
    for round in 0..times(50) {
        let loads = AtomicUsize::new(0);
        let panics = AtomicUsize::new(0);
        let values = together(|t| {
            let mut value = None;
            let panicked = booms(|| {
                value = Some(cache.get_or_insert_with(round, || {
                    linger();
                    if loads.fetch_add(1, SeqCst) == 0 { boom() } else { t }
                }));
            });
            panics.fetch_add(usize::from(panicked), SeqCst);
            value
        });
        assert_eq!((loads.into_inner(), panics.into_inner()), (2, 1), "round {round}");
        let values: HashSet<usize> = values.into_iter().flatten().collect();
        assert_eq!(values.len(), 1);
    }
    check(&cache);
}

#[test]
fn waiters_that_cannot_express_an_error_go_to_one_successor() {
    #[derive(Debug)]
    struct Other;
    let cache = Cache::new(100);
    for round in 0..times(50) {
        let (loads, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (leads, led) = mpsc::channel();
        thread::scope(|scope| {
            let (cache, loads, failed) = (&cache, &loads, &failed);
            scope.spawn(move || {
                let error = cache.try_get_or_insert_with(round, || {
                    leads.send(()).unwrap();
                    linger();
                    Err::<u32, _>("first")
                });
                assert!(matches!(error.unwrap_err(), LoadError::Failed(e) if *e == "first"));
            });
            led.recv().unwrap();
            for t in 0..8 {
                scope.spawn(move || {
                    let load = || {
                        loads.fetch_add(1, SeqCst);
                        linger();
                        5
                    };
                    match t % 3 {
                        0 => assert_eq!(cache.get_or_insert_with(round, load), 5),
                        1 => {
                            let value =
                                cache.try_get_or_insert_with(round, || Ok::<_, Other>(load()));
                            assert_eq!(value.unwrap(), 5);
                        }
                        _ => {
                            // Can express it: is in the first flight, or came after it.
                            match cache.try_get_or_insert_with(round, || Ok::<_, &str>(load())) {
                                Ok(value) => assert_eq!(value, 5),
                                Err(error) => {
                                    assert_eq!(**error.failure().unwrap(), "first");
                                    failed.fetch_add(1, SeqCst);
                                }
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(
            loads.into_inner(),
            1,
            "one successor, {} shared the error",
            failed.into_inner()
        );
    }
    check(&cache);
}

#[test]
fn a_loader_that_asks_for_its_own_key() {
    let cache: Cache<u32, u32> = Cache::new(8);
    let mut inner = None;
    let value = cache.try_get_or_insert_with(1, || {
        inner = Some(cache.try_get_or_insert_with(1, || Ok::<_, String>(2)));
        Ok::<_, ()>(3)
    });
    assert_eq!(value.unwrap(), 3);
    let error = inner.unwrap().unwrap_err();
    assert!(error.is_reentrant() && error.failure().is_none());
    assert_eq!(error.to_string(), "a loader asked the cache for the key that it loads");
    // The infallible form panics; the panic is the loader's, which its caller sees.
    let text = panic_text(|| cache.get_or_insert_with(2, || cache.get_or_insert_with(2, || 1)));
    assert_eq!(text, "a loader asked the cache for the key that it loads");
    assert!(!cache.contains_key(&2));
    // Through another key, and past a key that is not on the stack.
    let value = cache.try_get_or_insert_with(3, || {
        cache.try_get_or_insert_with(4, || {
            assert!(cache.try_get_or_insert_with(4, || Ok::<_, ()>(1)).unwrap_err().is_reentrant());
            cache.try_get_or_insert_with(3, || Ok::<_, ()>(1))
        })
    });
    assert!(
        matches!(value.unwrap_err(), LoadError::Failed(e) if matches!(*e, LoadError::Failed(ref e) if e.is_reentrant()))
    );
    assert_eq!(cache.get(&1), Some(3));
    // A miss for everything else.
    cache.get_or_insert_with(5, || {
        assert_eq!(cache.get(&5), None);
        assert!(!cache.contains_key(&5) && cache.pin().get(&5).is_none());
        assert_eq!(cache.replace(5, 9).unwrap_err(), (5, 9));
        assert!(cache.iter().all(|(k, _)| k != 5));
        5
    });
    check(&cache);
}

#[test]
fn other_keys_may_be_loaded_inside_a_load() {
    let cache: Cache<u64, u64> = Cache::new(100);
    fn fibonacci(cache: &Cache<u64, u64>, n: u64) -> u64 {
        cache.get_or_insert_with(n, || {
            if n < 2 { n } else { fibonacci(cache, n - 1) + fibonacci(cache, n - 2) }
        })
    }
    assert_eq!(fibonacci(&cache, 80), 23_416_728_348_467_685);
    assert_eq!(cache.stats().loads, 81);
    let tiny: Cache<u64, u64> = Cache::new(2);
    assert_eq!(fibonacci(&tiny, 20), 6765);
    check(&tiny);
    // A loader of another cache may ask for the same key there.
    assert_eq!(cache.get_or_insert_with(1000, || tiny.get_or_insert_with(1000, || 3)), 3);
}

/// A load of key 1 that gives 10, while `meanwhile` happens; a waiter that came before that.
fn during(cache: &Cache<u64, u64>, meanwhile: impl FnOnce() + Send) -> (u64, u64) {
    let (loading, go) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let (loading, go) = (&loading, &go);
        let leader = scope.spawn(move || {
            cache.get_or_insert_with(1, || {
                loading.wait();
                go.wait();
                10
            })
        });
        loading.wait();
        let waiter = scope.spawn(|| cache.get_or_insert_with(1, || 20));
        linger();
        meanwhile();
        go.wait();
        (leader.join().unwrap(), waiter.join().unwrap())
    })
}

#[test]
fn an_explicit_write_wins() {
    for _ in 0..times(50) {
        let (cache, log) = logged::<u64, u64>(8);
        let (led, waited) = during(&cache, || {
            assert!(matches!(cache.insert(1, 99), Insert::New));
            assert_eq!(cache.get(&1), Some(99));
        });
        assert_eq!(led, 10, "its caller gets what it loaded");
        assert!(waited == 10 || waited == 99, "a waiter, or one that came after the write");
        assert_eq!(cache.get(&1), Some(99), "the loaded value is never published");
        assert_eq!(*log.lock().unwrap(), [(1, 10, Cause::Rejected)]);
        check(&cache);
    }
}

#[test]
fn a_removal_detaches() {
    for by in ["remove", "remove_if", "clear", "insert and remove"] {
        for _ in 0..times(20) {
            let (cache, log) = logged::<u64, u64>(8);
            let (led, waited) = during(&cache, || match by {
                "remove" => assert!(cache.remove(&1).is_none()),
                "remove_if" => assert!(cache.remove_if(&1, |_, _| unreachable!()).is_none()),
                "clear" => cache.clear(),
                _ => {
                    cache.insert(1, 5);
                    assert_eq!(*cache.remove(&1).unwrap(), 5);
                }
            });
            assert_eq!(led, 10);
            // The waiter was in that flight, or it came after the removal and led one itself.
            let rejected = log.lock().unwrap().contains(&(1, 10, Cause::Rejected));
            assert!(rejected, "{by}: a value from before the removal was kept");
            match waited {
                10 => assert_eq!(cache.get(&1), None, "{by}"),
                20 => assert_eq!(cache.get(&1), Some(20), "{by}"),
                5 => {} // between the two
                other => panic!("{by}: {other}"),
            }
            check(&cache);
        }
    }
}

#[test]
fn a_detached_flight_may_fail_or_panic() {
    let (cache, log) = logged::<u64, u64>(8);
    let error = cache.try_get_or_insert_with(1, || {
        cache.insert(1, 5);
        Err("no")
    });
    assert_eq!(**error.unwrap_err().failure().unwrap(), "no");
    assert_eq!(cache.get(&1), Some(5));
    assert!(booms(|| cache.get_or_insert_with(2, || {
        cache.clear();
        boom()
    })));
    // A loader that removed its own key may load it anew, nested.
    let value = cache.get_or_insert_with(3, || {
        cache.remove(&3);
        cache.get_or_insert_with(3, || 30) + 1
    });
    assert_eq!((value, cache.get(&3)), (31, Some(30)));
    assert_eq!(log.lock().unwrap().last(), Some(&(3, 31, Cause::Rejected)));
    check(&cache);
}

#[test]
fn no_room_means_rejected_but_handed_out() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let cache = Cache::builder()
        .max_entries(2)
        .reclamation_slack(1)
        .on_evict(move |k: &u64, v: &u64, cause| log.lock().unwrap().push((*k, *v, cause)))
        .build()
        .unwrap();
    let pinned = cache.pin();
    for n in 0..100 {
        assert_eq!(cache.get_or_insert_with(n, || n + 1), n + 1);
        assert!(cache.len() <= 2);
    }
    let rejected = told.lock().unwrap().iter().filter(|t| t.2 == Cause::Rejected).count();
    assert!(rejected > 10, "{rejected}");
    assert_eq!(cache.stats().evictions(Cause::Rejected), rejected as u64);
    assert_eq!(cache.stats().not_admitted, rejected as u64);
    drop(pinned);
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    cache.get_or_insert_with(1000, || 1);
    assert!(cache.contains_key(&1000));
    check(&cache);
}

#[test]
fn many_keys_at_once_in_a_tiny_cache() {
    for bound in [1, 2, 7] {
        let ledger = Ledger::new();
        let cache = Cache::new(bound);
        let all = Barrier::new(if cfg!(miri) { 5 } else { 100 });
        thread::scope(|scope| {
            for t in 0..if cfg!(miri) { 5 } else { 100 } {
                let (cache, all, ledger) = (&cache, &all, &ledger);
                scope.spawn(move || {
                    let value = cache.get_or_insert_with(t, || {
                        all.wait(); // all keys are being loaded at one time
                        ledger.make(t)
                    });
                    assert_eq!(value.n(), t);
                    assert!(cache.len() <= bound);
                    let again = cache.get_or_insert_with(t % 5, || ledger.make(t % 5));
                    assert_eq!(again.n(), t % 5);
                });
            }
        });
        assert_eq!(cache.len(), bound);
        check(&cache);
        drop(cache);
        ledger.assert_all_dropped();
    }
}

#[test]
fn get_never_waits() {
    let cache: Cache<u64, u64> = Cache::new(8);
    let (loading, go) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.get_or_insert_with(1, || {
                loading.wait();
                go.wait();
                10
            })
        });
        loading.wait();
        // Would never return if it waited: the loader goes on only after this.
        assert_eq!((cache.get(&1), cache.peek(&1)), (None, None));
        assert!(cache.with(&1, |_, _| ()).is_none() && !cache.contains_key(&1));
        assert!(cache.pin().get(&1).is_none() && cache.pin().get_key_value(&1).is_none());
        assert!(cache.iter().next().is_none() && cache.pin().iter().next().is_none());
        assert_eq!((cache.len(), cache.coldest_first()), (0, vec![]));
        assert_eq!(cache.replace(1, 3).unwrap_err(), (1, 3));
        cache.retain(|_, _| false);
        cache.set_max_entries(4).unwrap();
        (2..50).for_each(|n| drop(cache.insert(n, n)));
        assert_eq!(cache.get_or_insert_with(60, || 6), 6);
        cache.maintain();
        go.wait();
    });
    assert_eq!(cache.get(&1), Some(10));
    check(&cache);
}

#[test]
fn a_storm_of_loads_leaves_no_flight() {
    let ledger = Ledger::new();
    let cache = Cache::new(20);
    let starts = AtomicUsize::new(0);
    thread::scope(|scope| {
        for t in 0..THREADS as u64 {
            let (cache, ledger, starts) = (&cache, &ledger, &starts);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                for _ in 0..times(1500) {
                    let (key, dice) = (random.below(30), random.below(12));
                    let load = || {
                        starts.fetch_add(1, SeqCst);
                        match dice {
                            0 => Err(key),
                            1 => boom(),
                            2 => {
                                cache.remove(&key);
                                Ok(ledger.make(key))
                            }
                            3 => {
                                cache.insert(key, ledger.make(key));
                                Ok(ledger.make(key))
                            }
                            4 => {
                                thread::yield_now();
                                Ok(ledger.make(key))
                            }
                            _ => Ok(ledger.make(key)),
                        }
                    };
                    booms(|| match cache.try_get_or_insert_with(key, load) {
                        Ok(value) => assert_eq!(value.n(), key),
                        Err(LoadError::Failed(error)) => assert_eq!(*error, key),
                        Err(error) => assert!(error.is_panicked()),
                    });
                    if dice > 8 {
                        cache.remove(&random.below(30));
                    }
                }
            });
        }
    });
    check(&cache);
    assert_eq!(cache.stats().loads, starts.into_inner() as u64);
    // No key is wedged.
    for key in 0..30 {
        assert_eq!(cache.get_or_insert_with(key, || ledger.make(key)).n(), key);
    }
    cache.clear();
    cache.maintain();
    ledger.assert_all_dropped();
}
