//! Is the listener told of every entry that leaves, exactly once, with the right cause?

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;

use hotset::{Cache, Cause, Insert};

use crate::common::{Random, boom, check, logged, times};

#[test]
fn each_cause() {
    let (cache, log) = logged::<u64, u64>(3);
    let told = || std::mem::take(&mut *log.lock().unwrap());
    (0..3).for_each(|n| drop(cache.insert(n, n)));
    assert!(told().is_empty());

    cache.insert(1, 11);
    assert_eq!(told(), [(1, 1, Cause::Replaced)]);
    cache.replace(1, 12).unwrap();
    assert_eq!(told(), [(1, 11, Cause::Replaced)]);
    let coldest = cache.coldest_first()[0];
    let value = cache.peek(&coldest).unwrap();
    cache.insert(3, 3);
    assert_eq!(told(), [(coldest, value, Cause::Capacity)]);
    cache.remove(&3);
    assert_eq!(told(), [(3, 3, Cause::Removed)]);
    cache.remove_if(&3, |_, _| true);
    let key = cache.coldest_first()[0];
    let value = cache.peek(&key).unwrap();
    cache.remove_if(&key, |_, _| false);
    assert!(told().is_empty());
    cache.remove_if(&key, |_, _| true);
    assert_eq!(told(), [(key, value, Cause::Removed)]);
    cache.clear();
    let last = told();
    assert_eq!((last.len(), last[0].2), (1, Cause::Removed));

    (0..3).for_each(|n| drop(cache.insert(n, n)));
    cache.retain(|k, _| *k == 1);
    let mut gone = told();
    gone.sort_by_key(|entry| entry.0);
    assert_eq!(gone, [(0, 0, Cause::Removed), (2, 2, Cause::Removed)]);
    cache.insert(0, 0);
    cache.set_max_entries(1).unwrap();
    assert_eq!(told()[0].2, Cause::Capacity);
    let rest = cache.coldest_first()[0];
    drop(cache);
    assert_eq!(told(), [(rest, rest, Cause::Removed)], "the drop of the cache tells, too");
}

#[test]
fn a_refused_write_tells_of_the_old_value() {
    let told: Arc<Mutex<Vec<(u64, u64, Cause)>>> = Arc::default();
    let log = Arc::clone(&told);
    let cache = Cache::builder()
        .max_entries(4)
        .reclamation_slack(1)
        .on_evict(move |k, v, cause| log.lock().unwrap().push((*k, *v, cause)))
        .build()
        .unwrap();
    let _pinned = cache.pin();
    cache.insert(1, 0);
    let mut last = 0;
    for n in 1..50 {
        told.lock().unwrap().clear();
        match cache.insert(1, n) {
            Insert::Replaced(old) => {
                assert_eq!(*old, last);
                assert_eq!(*told.lock().unwrap(), [(1, last, Cause::Replaced)]);
            }
            Insert::NotAdmitted(1, back) => {
                assert_eq!(back, n);
                assert_eq!(*told.lock().unwrap(), [(1, last, Cause::Removed)]);
                return;
            }
            other => panic!("{other:?}"),
        }
        last = n;
    }
    panic!("never refused");
}

#[test]
fn once_for_each_with_many_threads() {
    let told: Arc<Mutex<HashMap<u64, Cause>>> = Arc::default();
    let log = Arc::clone(&told);
    let cache = Cache::builder()
        .max_entries(50)
        .on_evict(move |_, v: &u64, cause| {
            assert_eq!(log.lock().unwrap().insert(*v, cause), None, "told twice of {v}");
        })
        .build()
        .unwrap();
    let admitted = AtomicUsize::new(0);
    let loaded = AtomicUsize::new(0);
    thread::scope(|scope| {
        for t in 0..8_u64 {
            let (cache, admitted, loaded) = (&cache, &admitted, &loaded);
            scope.spawn(move || {
                let mut random = Random::new(t + 10);
                for n in 0..times(3000) as u64 {
                    let (key, value) = (random.below(100), n * 8 + t);
                    match random.below(10) {
                        0 => drop(cache.remove(&key)),
                        1 if n % 100 == 0 => cache.clear(),
                        2 => {
                            cache.get_or_insert_with(key, || {
                                loaded.fetch_add(1, SeqCst);
                                value
                            });
                        }
                        3 => {
                            if cache.replace(key, value).is_ok() {
                                admitted.fetch_add(1, SeqCst);
                            }
                        }
                        _ => {
                            if cache.insert(key, value).is_admitted() {
                                admitted.fetch_add(1, SeqCst);
                            }
                        }
                    }
                }
            });
        }
    });
    check(&cache);
    let stats = cache.stats();
    let by_cause = |cause| told.lock().unwrap().values().filter(|c| **c == cause).count() as u64;
    for cause in [Cause::Capacity, Cause::Replaced, Cause::Removed, Cause::Rejected, Cause::Expired]
    {
        assert_eq!(by_cause(cause), stats.evictions(cause), "{cause:?}");
    }
    let entered = admitted.into_inner() + loaded.into_inner();
    assert_eq!(told.lock().unwrap().len() + cache.len(), entered);
    let values: Vec<u64> = cache.iter().map(|(_, v)| v).collect();
    assert!(values.iter().all(|v| !told.lock().unwrap().contains_key(v)));
    drop(cache);
    assert_eq!(told.lock().unwrap().len(), entered);
}

#[test]
fn a_panic_in_it_loses_that_one_call() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let cache = Cache::builder()
        .max_entries(2)
        .on_evict(move |_, _, _| {
            count.fetch_add(1, SeqCst);
            boom()
        })
        .build()
        .unwrap();
    for n in 0..10 {
        assert!(matches!(cache.insert(n, n), Insert::New));
    }
    assert_eq!((calls.load(SeqCst), cache.len()), (8, 2));
    cache.insert(9, 0);
    assert_eq!(*cache.remove(&9).unwrap(), 0);
    cache.clear();
    check(&cache);
    assert_eq!(calls.load(SeqCst), 11);
    assert_eq!(cache.get_or_insert_with(1, || 5), 5);
    drop(cache);
    assert_eq!(calls.load(SeqCst), 12);
}

type Shared = Cache<u64, u64>;

/// A cache whose listener has the cache.
fn with_listener(
    max_entries: usize,
    listener: impl Fn(&Shared, u64, Cause) + Send + Sync + 'static,
) -> Arc<Shared> {
    let me: Arc<OnceLock<Weak<Shared>>> = Arc::default();
    let inside = Arc::clone(&me);
    let cache = Cache::builder()
        .max_entries(max_entries)
        .on_evict(move |k, _, cause| {
            if let Some(cache) = inside.get().and_then(Weak::upgrade) {
                listener(&cache, *k, cause);
            }
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    me.set(Arc::downgrade(&cache)).unwrap();
    cache
}

#[test]
fn it_may_use_the_cache() {
    let depth = AtomicUsize::new(0);
    let cache = with_listener(10, move |cache, key, cause| {
        // What it makes leave calls it again.
        if depth.fetch_add(1, SeqCst) < 6 {
            assert!(!cache.contains_key(&key) || cause == Cause::Replaced, "it has left already");
            cache.get(&(key + 1));
            cache.remove(&(key + 2));
            cache.get_or_insert_with(key + 1000, || 1);
            cache.insert(key + 500, 0);
            assert!(cache.iter().count() <= 10);
            assert!(cache.pin().iter().count() <= 10);
            cache.maintain();
        }
        depth.fetch_sub(1, SeqCst);
    });
    for n in 0..100 {
        cache.insert(n, n);
        assert!(cache.len() <= 10);
    }
    cache.insert(99, 0);
    cache.insert(99, 1);
    check(&cache);
    cache.clear();
    check(&cache);
}

#[test]
fn it_may_clear_the_cache() {
    let cache = with_listener(5, |cache, _, cause| {
        if cause == Cause::Capacity {
            cache.clear();
        }
    });
    for n in 0..30 {
        cache.insert(n, n);
        assert!(cache.contains_key(&n) || cache.is_empty());
    }
    check(&cache);
    let set = with_listener(5, |cache, key, _| {
        cache.set_max_entries(1 + key as usize % 5).unwrap();
    });
    for n in 0..30 {
        set.insert(n, n);
    }
    check(&set);
}

#[test]
fn it_is_told_under_no_protection() {
    // What has left before is freed while a listener runs, except for the entry at hand.
    let cache = with_listener(4, |cache, _, _| {
        cache.maintain();
        assert!(cache.awaiting_reclamation() == 0);
    });
    for n in 0..200 {
        cache.insert(n, n);
    }
    cache.clear();
}
