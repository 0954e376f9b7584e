//! Are many keys treated as each would be alone, and loaded by one call?

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;

use hotset::{Cache, LoadError};

use crate::common::{Ledger, OneHash, boom, booms, check, times};

type Pairs = Vec<(u64, u64)>;

fn tenfold(keys: &[&u64]) -> Result<Pairs, String> {
    Ok(keys.iter().map(|key| (**key, **key * 10)).collect())
}

#[test]
fn one_call_for_all_that_is_missing() {
    let cache = Cache::new(100);
    cache.insert(2, 99);
    let calls = Mutex::new(Vec::new());
    let load = |keys: &[&u64]| {
        calls.lock().unwrap().push(keys.iter().map(|key| **key).collect::<Vec<_>>());
        tenfold(keys)
    };
    let loaded = cache.load_many([1, 2, 3, 1, 4], load);
    let values: Vec<u64> = loaded.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, [10, 99, 30, 10, 40]);
    assert_eq!(*calls.lock().unwrap(), [[1, 3, 4]], "each once, in order");
    assert_eq!(cache.get_many(&[4, 5, 2, 4]), [Some(40), None, Some(99), Some(40)]);
    // Nothing is missing: no call.
    assert!(cache.load_many([1, 2, 3], |_| -> Result<Pairs, ()> { unreachable!() }).len() == 3);
    assert!(cache.load_many([], |_| -> Result<Pairs, ()> { unreachable!() }).is_empty());
    assert_eq!(cache.stats().loads, 3);
    check(&cache);
}

#[test]
fn keys_that_are_left_out_or_not_asked_for() {
    let ledger = Ledger::new();
    let cache = Cache::new(100);
    let load =
        |_: &[&u64]| Ok::<_, ()>([(9, ledger.make(9)), (2, ledger.make(2)), (2, ledger.make(22))]);
    let loaded = cache.load_many([1, 2], load);
    assert!(loaded[0].as_ref().unwrap_err().is_missing());
    assert_eq!(loaded[1].as_ref().unwrap().n(), 2, "the first value counts");
    assert!(!cache.contains_key(&1) && !cache.contains_key(&9));
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (2, 1));
    let error: LoadError<()> = loaded.into_iter().next().unwrap().unwrap_err();
    assert_eq!(format!("{error:?}"), "Missing");
    assert_eq!(
        LoadError::<String>::Missing.to_string(),
        "the loader of several keys gave no value for this one"
    );
    check(&cache);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn a_failure_is_that_of_all_its_keys() {
    let cache: Cache<u64, u64> = Cache::new(100);
    cache.insert(1, 1);
    let loaded = cache.load_many([1, 2, 3], |_| Err::<Pairs, _>("no"));
    assert_eq!(*loaded[0].as_ref().unwrap(), 1);
    let [two, three] = [1, 2].map(|n| loaded[n].as_ref().unwrap_err().failure().unwrap());
    assert!(Arc::ptr_eq(two, three));
    // A panic: nothing is left behind, and the caller sees it.
    assert!(booms(|| cache.load_many([4, 5], |_| -> Result<Pairs, ()> { boom() })));
    // In the iterator that it returned, too.
    let lazily = |keys: &[&u64]| {
        let keys: Vec<u64> = keys.iter().map(|key| **key).collect();
        Ok::<_, ()>(keys.into_iter().map(|key| if key == 7 { boom() } else { (key, key) }))
    };
    assert!(booms(|| cache.load_many([6, 7], lazily)));
    assert_eq!(cache.len(), 1);
    assert_eq!(cache.stats().load_failures, 6);
    assert!(cache.load_many(1..8, tenfold).iter().all(Result::is_ok));
    check(&cache);
}

#[test]
fn waiters_of_one_key_hear_of_it() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let (started, go) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let many = scope.spawn(|| {
            cache.load_many([1, 2, 3], |keys| {
                started.wait();
                go.wait();
                tenfold(&keys[..2])
            })
        });
        started.wait();
        let one = scope.spawn(|| cache.get_or_insert_with(1, || 0));
        let fallible = scope.spawn(|| cache.try_get_or_insert_with(3, || Ok::<_, ()>(33)));
        let infallible = scope.spawn(|| cache.get_or_insert_with(3, || 33));
        let overlapping = scope.spawn(|| cache.load_many([4, 2], tenfold));
        while !cache.contains_key(&4) {
            thread::yield_now(); // it loads its own before it waits for the others
        }
        go.wait();
        assert_eq!(one.join().unwrap(), 10);
        assert!(many.join().unwrap()[2].as_ref().unwrap_err().is_missing());
        assert_eq!(infallible.join().unwrap(), 33, "it cannot be told, and loads next");
        // It was told, or came later.
        assert!(fallible.join().unwrap().map_or_else(|error| error.is_missing(), |v| v == 33));
        assert_eq!(overlapping.join().unwrap().pop().unwrap().unwrap(), 20);
    });
    check(&cache);
}

#[test]
fn no_circle_between_calls_that_share_keys() {
    // For all, since who is evicted before all have asked for it is loaded twice.
    let cache: Cache<u64, u64> = Cache::new(times(100) * 40);
    for round in 0..times(100) as u64 {
        let loads = AtomicUsize::new(0);
        let keys: Vec<u64> = (0..20).map(|n| round * 20 + n).collect();
        thread::scope(|scope| {
            for t in 0..4 {
                let (cache, loads, mut keys) = (&cache, &loads, keys.clone());
                scope.spawn(move || {
                    if t % 2 == 1 {
                        keys.reverse();
                    }
                    keys.rotate_left(5 * t);
                    let load = |missing: &[&u64]| {
                        loads.fetch_add(missing.len(), SeqCst);
                        thread::yield_now();
                        tenfold(missing)
                    };
                    let loaded = cache.load_many(keys.clone(), load);
                    for (key, value) in keys.iter().zip(loaded) {
                        assert_eq!(value.unwrap(), key * 10);
                    }
                });
            }
        });
        assert_eq!(loads.into_inner(), 20, "each key once");
    }
    check(&cache);
}

#[test]
fn a_flight_that_is_handed_over() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let (called, calls) = mpsc::channel();
    let mut leader = Box::pin(cache.get_or_insert_async(1, std::future::pending()));
    assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    thread::scope(|scope| {
        let many = scope.spawn(|| {
            cache.load_many([1, 2], |keys| {
                called.send(keys.iter().map(|key| **key).collect::<Vec<_>>()).unwrap();
                tenfold(keys)
            })
        });
        assert_eq!(calls.recv().unwrap(), [2], "its own first");
        drop(leader);
        assert_eq!(calls.recv().unwrap(), [1], "and then the one that was given up");
        assert!(many.join().unwrap().into_iter().map(Result::unwrap).eq([10, 20]));
    });
    check(&cache);
}

#[test]
fn asking_for_its_own_keys() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let loaded = cache.load_many([1, 2], |keys| {
        assert!(cache.try_get_or_insert_with(2, || Ok::<_, ()>(0)).unwrap_err().is_reentrant());
        let inner = cache.load_many([3, 1], tenfold);
        assert_eq!(*inner[0].as_ref().unwrap(), 30);
        assert!(inner[1].as_ref().unwrap_err().is_reentrant());
        tenfold(keys)
    });
    assert!(loaded.into_iter().map(Result::unwrap).eq([10, 20]));
    check(&cache);
}

#[test]
fn hundreds_of_keys_with_one_hash() {
    let cache = Cache::builder().max_entries(4).hasher(OneHash).build().unwrap();
    let loaded = cache.load_many(0..900, tenfold);
    assert!(loaded.into_iter().map(Result::unwrap).eq((0..900).map(|n| n * 10)));
    assert_eq!((cache.len(), cache.stats().loads), (4, 900));
    check(&cache);
}

#[test]
fn extending_and_collecting() {
    let pairs = (0..50_u64).map(|n| (n, n + 1));
    let cache: Cache<u64, u64> = pairs.clone().collect();
    assert_eq!((cache.len(), cache.capacity()), (50, 50));
    assert_eq!(cache.iter().collect::<HashMap<_, _>>(), pairs.clone().collect());
    (&cache).extend(pairs.clone().map(|(k, v)| (k, v * 2)));
    assert_eq!(cache.get_many(&[3, 60]), [Some(8), None]);
    let mut small = Cache::new(10);
    small.extend(pairs);
    assert_eq!(small.len(), 10);
    let twice: Cache<_, _> = [("a", 1), ("a", 2)].into_iter().collect();
    assert_eq!((twice.get("a"), twice.len(), twice.capacity()), (Some(2), 1, 2));
    let none: Cache<u8, u8> = [].into_iter().collect();
    assert_eq!(none.capacity(), 1);
    let hashed: Cache<u64, u64, OneHash> = [(1, 1), (2, 2)].into_iter().collect();
    check(&hashed);
    check(&cache);
}

/// A cache whose listener asks for `asks` when an entry with a key of 100 or more leaves; in a thread that
/// is given up when it hangs.
fn asked_by_a_listener(
    build: impl FnOnce(hotset::Builder<u32, u32>) -> hotset::Builder<u32, u32> + Send + 'static,
    asks: u32,
    act: impl FnOnce(&Cache<u32, u32>) + Send + 'static,
) {
    use std::sync::{OnceLock, Weak};
    let (done, over) = mpsc::channel();
    thread::spawn(move || {
        let cell: Arc<OnceLock<Weak<Cache<u32, u32>>>> = Arc::default();
        let inside = Arc::clone(&cell);
        let listener = move |key: &u32, _: &u32, _| {
            if *key >= 100
                && let Some(cache) = inside.get().and_then(Weak::upgrade)
            {
                let _ = cache.try_get_or_insert_with(asks, || Ok::<_, ()>(1234));
            }
        };
        let cache = Arc::new(build(Cache::builder().on_evict(listener)).build().unwrap());
        cell.set(Arc::downgrade(&cache)).unwrap();
        act(&cache);
        done.send(()).unwrap();
    });
    let patience = std::time::Duration::from_secs(60);
    assert!(over.recv_timeout(patience).is_ok(), "a load of many waits for itself");
}

fn themselves(keys: &[&u32]) -> Result<Vec<(u32, u32)>, ()> {
    Ok(keys.iter().map(|key| (**key, **key)).collect())
}

#[test]
fn a_victims_listener_may_ask_for_another_key_of_the_batch() {
    asked_by_a_listener(
        |builder| builder.max_entries(1),
        2,
        |cache| {
            assert!(cache.insert(100, 0).is_admitted());
            let loaded = cache.load_many([1, 2], themselves);
            assert!(loaded.into_iter().map(Result::unwrap).eq([1, 2]));
        },
    );
}

#[test]
fn the_listener_of_one_that_is_over_may_ask_for_another_key_of_the_batch() {
    let time = hotset::ManualTime::new();
    let source = time.clone();
    asked_by_a_listener(
        move |builder| {
            let lifetime = std::time::Duration::from_secs(1);
            builder.max_entries(8).time_source(source).time_to_live(lifetime)
        },
        1,
        move |cache| {
            assert!(cache.insert(100, 0).is_admitted());
            time.advance(std::time::Duration::from_secs(2));
            let loaded = cache.load_many([1, 100], themselves);
            assert!(loaded.into_iter().map(Result::unwrap).eq([1, 100]));
        },
    );
}
