//! Is every value dropped exactly once, and when?

use std::sync::Arc;
use std::thread;

use hotset::{Cache, Insert};

use crate::common::{Ledger, Random, Tracked, boom, booms, check, times};

type Counted = Cache<u64, Tracked>;

#[test]
fn all_operations_drop_once() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(20);
    let mut random = Random::new(3);
    let mut kept = Vec::new();
    for round in 0..times(20_000) as u64 {
        let key = random.below(40);
        let value = || ledger.make(key);
        match random.below(14) {
            0..=3 => drop(cache.insert(key, value())),
            4 => drop(cache.get(&key)),
            5 => drop(cache.replace(key, value())),
            6 => drop(cache.remove(&key)),
            7 => drop(cache.remove_if(&key, |_, v| v.n() % 2 == 0)),
            8 => drop(cache.get_or_insert_with(key, value)),
            9 => drop(cache.try_get_or_insert_with(key, || Err::<Tracked, _>(ledger.make(key)))),
            10 => drop(booms(|| drop(cache.get_or_insert_with(key, || boom())))),
            11 => kept.extend(cache.remove(&key)),
            12 => kept.truncate(3),
            _ => match round % 50 {
                0 => cache.clear(),
                1 => cache.retain(|_, v| v.n() % 3 == 0),
                2 => drop(cache.iter().collect::<Vec<_>>()),
                3 => cache.maintain(),
                4 => cache.set_max_entries(1 + random.below(30) as usize).unwrap(),
                5 => {
                    for handle in kept.drain(..) {
                        drop(handle.try_into_inner().unwrap());
                    }
                }
                _ => {}
            },
        }
    }
    check(&cache);
    kept.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert_eq!(ledger.live(), cache.len() as isize);
    cache.clear();
    cache.maintain();
    ledger.assert_all_dropped();
    assert!(ledger.made() > times(20_000) / 4);
}

#[test]
fn nothing_is_alive_after_clear_and_maintain() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(1000);
    thread::scope(|scope| {
        for t in 0..4 {
            let (cache, ledger) = (&cache, &ledger);
            scope.spawn(move || {
                for n in 0..times(3000) as u64 {
                    cache.insert(n * 4 + t, ledger.make(n));
                }
            });
        }
    });
    assert!(ledger.live() >= cache.len() as isize);
    // The threads are gone; what they left behind is freed by this one.
    cache.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    ledger.assert_all_dropped();
}

#[test]
fn the_drop_of_the_cache_drops_all() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(100);
    for n in 0..300 {
        cache.insert(n, ledger.make(n));
    }
    drop(cache);
    ledger.assert_all_dropped();
    // Also what other threads left behind.
    let cache: Arc<Counted> = Arc::new(Cache::new(100));
    let other = Arc::clone(&cache);
    let values = Arc::clone(&ledger);
    thread::spawn(move || (0..300).for_each(|n| drop(other.insert(n, values.make(n)))))
        .join()
        .unwrap();
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn keys_are_dropped_too() {
    #[derive(Debug)]
    struct Key(Tracked);
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.n().hash(state);
        }
    }
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.0.n() == other.0.n()
        }
    }
    impl Eq for Key {}
    let ledger = Ledger::new();
    let key = |n| Key(ledger.make(n));
    let cache = Cache::new(10);
    for n in 0..200 {
        cache.insert(key(n % 15), n);
        assert_eq!(cache.get_or_insert_with(key(n % 15), || 0), n);
        assert_eq!(cache.get_or_insert_with(key(100 + n % 7), || 0), 0);
        assert!(cache.try_get_or_insert_with(key(200), || Err(())).is_err());
        assert!(cache.replace(key(200), 0).is_err());
    }
    check(&cache);
    cache.maintain();
    assert_eq!(ledger.live(), 10);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn a_pin_keeps_what_it_has_seen() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(8);
    cache.insert(1, ledger.make(1));
    let pinned = cache.pin();
    let seen = pinned.get(&1).unwrap();
    cache.insert(1, ledger.make(2));
    cache.remove(&1);
    cache.maintain();
    thread::scope(|scope| {
        scope.spawn(|| cache.maintain());
    });
    assert_eq!((seen.n(), ledger.live()), (1, 2));
    drop(pinned);
    cache.maintain();
    ledger.assert_all_dropped();
}

#[test]
fn a_short_read_keeps_what_it_reads() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(8);
    cache.insert(1, ledger.make(1));
    cache.with(&1, |_, value| {
        cache.insert(1, ledger.make(2));
        for n in 0..1000 {
            cache.insert(n, ledger.make(n));
        }
        cache.clear();
        cache.maintain();
        assert_eq!((value.n(), ledger.live()), (1, 1), "this one is kept, and only this");
    });
    cache.maintain();
    ledger.assert_all_dropped();
}

#[test]
fn a_handle_keeps_its_entry() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(8);
    cache.insert(1, ledger.make(1));
    cache.insert(2, ledger.make(2));
    let handle = cache.remove(&1).unwrap();
    let clone = handle.clone();
    let Insert::Replaced(other) = cache.insert(2, ledger.make(3)) else { panic!() };
    cache.clear();
    cache.maintain();
    assert_eq!(ledger.live(), 2);
    drop(handle);
    cache.maintain();
    assert_eq!((ledger.live(), clone.n()), (2, 1));
    drop(clone);
    cache.maintain();
    assert_eq!((ledger.live(), other.n()), (1, 2));
    drop(other.try_into_inner());
    ledger.assert_all_dropped();
    assert_eq!(cache.awaiting_reclamation(), 0);
}

#[test]
fn a_handle_may_be_dropped_after_the_cache() {
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(8);
    for n in 0..5 {
        cache.insert(n, ledger.make(n));
    }
    let handles: Vec<_> = (0..5).map(|n| cache.remove(&n).unwrap()).collect();
    let again = handles[4].clone();
    drop(cache);
    assert_eq!(ledger.live(), 5);
    let mut handles = handles.into_iter();
    drop(handles.next());
    assert_eq!(ledger.live(), 4, "at once, as the cache is gone");
    let (key, value) = handles.next().unwrap().try_into_inner().unwrap();
    assert_eq!((key, value.n()), (1, 1));
    drop(value);
    let rest: Vec<_> = handles.collect();
    thread::spawn(move || drop(rest)).join().unwrap();
    assert_eq!(ledger.live(), 1);
    drop(again);
    ledger.assert_all_dropped();
}

#[test]
fn a_reader_drops_nothing() {
    // Values are dropped by writes and by `maintain`, never inside a read.
    let ledger = Ledger::new();
    let cache: Counted = Cache::new(100);
    for n in 0..150 {
        cache.insert(n, ledger.make(n));
    }
    cache.remove(&cache.coldest_first()[0]);
    let (live, waiting) = (ledger.live(), cache.awaiting_reclamation());
    assert!(waiting > 0, "a batch is not full yet");
    for n in 0..150 {
        cache.with(&n, |_, _| ());
        cache.pin().get(&n);
        cache.contains_key(&n);
    }
    assert_eq!((ledger.live(), cache.awaiting_reclamation()), (live, waiting));
    cache.maintain();
    assert_eq!(ledger.live(), cache.len() as isize);
}
