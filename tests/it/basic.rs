//! Does every public method do what its documentation says, in one thread?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use hotset::{BuildError, Cache, Cause, Insert, Policy, Removed};

use crate::common::{OneHash, check, logged, panic_text};

fn filled(n: u64) -> Cache<u64, u64> {
    let cache = Cache::new(n as usize);
    for key in 0..n {
        assert!(matches!(cache.insert(key, key * 10), Insert::New));
    }
    cache
}

#[test]
fn a_bound_of_zero_is_refused() {
    let text = panic_text(|| drop(Cache::<u64, u64>::new(0)));
    assert_eq!(text, "max_entries must be >= 1, got 0");
    let error = Cache::<u64, u64>::builder().max_entries(0).build().unwrap_err();
    assert_eq!(error.to_string(), "max_entries must be >= 1, got 0");
    let cache = Cache::<u64, u64>::new(3);
    let error = cache.set_max_entries(0).unwrap_err();
    assert_eq!(error.to_string(), "max_entries must be >= 1, got 0");
    assert_eq!(cache.capacity(), 3);
}

#[test]
fn other_build_errors_say_what_is_wrong() {
    let error = Cache::<u64, u64>::builder().build().unwrap_err();
    assert_eq!(error, BuildError::NoBound);
    assert_eq!(
        error.to_string(),
        "no bound: call max_entries on the builder, or max_weight and weigher"
    );
    let error = Cache::<u64, u64>::builder().max_entries(usize::MAX).build().unwrap_err();
    let BuildError::MaxEntries { given, max } = error else { panic!("{error:?}") };
    assert_eq!(given, usize::MAX);
    assert!(max > 1 << 24);
    assert_eq!(error.to_string(), format!("max_entries must be <= {max}, got {given}"));
    let error = Cache::<u64, u64>::builder().max_entries(8).reclamation_slack(0).build();
    assert_eq!(error.unwrap_err().to_string(), "reclamation_slack must be >= 1, got 0");
    let cache = filled(3);
    assert!(cache.set_max_entries(usize::MAX).is_err());
    assert_eq!((cache.capacity(), cache.len()), (3, 3));
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(BuildError::NoBound);
    assert!(boxed.source().is_none());
}

#[test]
fn insert_and_get() {
    let cache = Cache::new(8);
    assert!(cache.is_empty() && cache.get(&1).is_none());
    let outcome = cache.insert(1, "one");
    assert!(outcome.is_admitted() && outcome.replaced().is_none());
    assert_eq!((cache.len(), cache.is_empty(), cache.capacity()), (1, false, 8));
    assert_eq!(cache.get(&1), Some("one"));
    let outcome = cache.insert(1, "uno");
    assert!(outcome.is_admitted());
    let old = outcome.replaced().unwrap();
    assert_eq!((*old.key(), *old.value(), *old), (1, "one", "one"));
    assert_eq!((cache.get(&1), cache.len()), (Some("uno"), 1));
    check(&cache);
}

#[test]
fn a_refused_insert_hands_back_and_invalidates() {
    let cache = Cache::builder().max_entries(4).reclamation_slack(2).build().unwrap();
    let pinned = cache.pin();
    let mut key = 0;
    let (back, value) = loop {
        cache.insert(0, 0);
        match cache.insert(key, key + 1) {
            Insert::NotAdmitted(key, value) => break (key, value),
            _ => key += 1,
        }
        assert!(key < 20, "a slack of 2 must be used up under a pin");
    };
    assert_eq!((back, value), (key, key + 1));
    assert!(!cache.contains_key(&key));
    let stats = cache.stats();
    assert!(stats.not_admitted > 0);
    // An old value of a refused key is no longer true.
    while !cache.is_empty() {
        let stale = *cache.pin().iter().next().unwrap().0;
        match cache.insert(stale, 99) {
            Insert::NotAdmitted(..) => assert!(!cache.contains_key(&stale)),
            _ => assert_eq!(cache.peek(&stale), Some(99)),
        }
        if cache.stats().not_admitted > stats.not_admitted + 10 {
            break;
        }
    }
    drop(pinned);
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert!(cache.insert(0, 0).is_admitted(), "admitted again when the pin is gone");
    check(&cache);
}

#[test]
fn with_peek_and_contains() {
    let cache = filled(4);
    assert_eq!(cache.with(&2, |k, v| (*k, *v)), Some((2, 20)));
    assert_eq!(cache.with(&7, |_, _| unreachable!()), None::<()>);
    assert_eq!(cache.peek(&3), Some(30));
    assert_eq!(cache.peek(&7), None);
    assert_eq!(cache.peek_with(&3, |k, v| k + v), Some(33));
    assert!(cache.contains_key(&0) && !cache.contains_key(&9));
}

#[test]
fn a_hit_protects_and_a_peek_does_not() {
    for get in [true, false] {
        let (cache, log) = logged::<u64, u64>(20);
        for key in 0..20 {
            cache.insert(key, key);
        }
        // The first eviction passes over everything, so all bits say "not used" afterwards.
        cache.insert(20, 20);
        let doomed = cache.coldest_first()[0];
        if get {
            assert_eq!(cache.get(&doomed), Some(doomed));
        } else {
            assert_eq!(cache.peek(&doomed), Some(doomed));
            assert!(cache.contains_key(&doomed));
            assert_eq!(cache.peek_with(&doomed, |_, v| *v), Some(doomed));
            let pinned = cache.pin();
            assert_eq!(pinned.peek(&doomed), Some(&doomed));
            assert!(pinned.contains_key(&doomed));
        }
        cache.insert(21, 21);
        let left = log.lock().unwrap()[1];
        assert_eq!(left.0 != doomed, get, "a hit keeps it, a peek does not");
        assert_eq!(cache.contains_key(&doomed), get);
    }
}

#[test]
fn replace_needs_an_entry() {
    let cache = filled(4);
    assert_eq!(cache.replace(9, 90).unwrap_err(), (9, 90));
    assert!(!cache.contains_key(&9));
    let old = cache.replace(3, 31).unwrap();
    assert_eq!((*old.key(), *old), (3, 30));
    assert_eq!((cache.peek(&3), cache.len()), (Some(31), 4));
    check(&cache);
}

#[test]
fn remove_and_remove_if() {
    let cache = filled(4);
    assert!(cache.remove(&9).is_none());
    assert_eq!(*cache.remove(&0).unwrap(), 0);
    assert!(cache.remove(&0).is_none());
    let mut asked = 0;
    assert!(
        cache
            .remove_if(&1, |k, v| {
                asked += 1;
                assert_eq!((*k, *v), (1, 10));
                false
            })
            .is_none()
    );
    assert_eq!((asked, cache.peek(&1)), (1, Some(10)));
    assert_eq!(*cache.remove_if(&1, |_, _| true).unwrap(), 10);
    assert!(cache.remove_if(&1, |_, _| unreachable!()).is_none());
    assert_eq!(cache.len(), 2);
    check(&cache);
}

#[test]
fn retain_asks_once_about_each() {
    let cache = filled(100);
    let mut asked = HashSet::new();
    cache.retain(|k, v| {
        assert_eq!(*v, k * 10);
        assert!(asked.insert(*k));
        k % 3 == 0
    });
    assert_eq!((asked.len(), cache.len()), (100, 34));
    assert!((0..100).all(|k| cache.contains_key(&k) == (k % 3 == 0)));
    check(&cache);
}

#[test]
fn clear_leaves_nothing() {
    let cache = filled(100);
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count(), cache.pin().iter().count()), (0, 0, 0));
    assert!((0..100).all(|k| cache.get(&k).is_none()));
    cache.clear();
    check(&cache);
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn iter_gives_each_entry_once() {
    let cache = filled(1000);
    let all: BTreeMap<u64, u64> = cache.iter().collect();
    assert_eq!((all.len(), cache.iter().count()), (1000, 1000));
    assert!(all.iter().all(|(k, v)| *v == k * 10));
    let mut iter = cache.iter();
    assert!(iter.by_ref().count() == 1000 && iter.next().is_none() && iter.next().is_none());
    let pinned = cache.pin();
    let borrowed: BTreeMap<&u64, &u64> = pinned.iter().collect();
    assert!(borrowed.iter().map(|(k, v)| (**k, **v)).eq(all));
    // It holds no protection between its steps: the cache may change meanwhile.
    let mut rest = 0;
    for (n, (key, _)) in cache.iter().enumerate() {
        rest += 1;
        cache.remove(&key).unwrap();
        if n == 499 {
            cache.clear();
        }
    }
    assert_eq!(rest, 500);
}

#[test]
fn iter_is_linear() {
    // 50,000 entries took a minute when each step began at the first bucket.
    let cache = filled(50_000);
    assert_eq!(cache.iter().count(), 50_000);
}

#[test]
fn coldest_first_is_what_leaves() {
    let (cache, log) = logged::<u64, u64>(50);
    for key in 0..70 {
        cache.insert(key, key);
        cache.get(&(key / 2));
    }
    let expected = cache.coldest_first();
    assert_eq!(expected.len(), 50);
    assert_eq!(expected.iter().collect::<HashSet<_>>().len(), 50);
    log.lock().unwrap().clear();
    cache.set_max_entries(1).unwrap();
    let left: Vec<u64> = log.lock().unwrap().iter().map(|entry| entry.0).collect();
    assert_eq!(left, expected[..49]);
    assert_eq!(cache.coldest_first(), expected[49..]);
}

#[test]
fn the_bound_can_be_raised_far_above_the_table() {
    for (built, raised) in [(1, 2), (1, 1000), (10, 4096), (100, 50_000)] {
        let (cache, log) = logged::<u64, u64>(built);
        cache.set_max_entries(raised).unwrap();
        for key in 0..raised as u64 {
            assert!(matches!(cache.insert(key, key), Insert::New), "{built} -> {raised}: {key}");
        }
        assert_eq!((cache.len(), cache.capacity()), (raised, raised));
        assert!(log.lock().unwrap().is_empty(), "{built} -> {raised}");
        assert!((0..raised as u64).all(|key| cache.get(&key) == Some(key)));
        check(&cache);
        for key in 0..10 {
            cache.insert(u64::MAX - key, key);
        }
        assert_eq!((cache.len(), log.lock().unwrap().len()), (raised, 10));
        assert_eq!(cache.coldest_first().len(), raised);
        check(&cache);
    }
}

#[test]
fn the_bound_can_be_lowered() {
    let (cache, log) = logged::<u64, u64>(1000);
    (0..1000).for_each(|key| drop(cache.insert(key, key)));
    for bound in [999, 500, 10, 1] {
        cache.set_max_entries(bound).unwrap();
        assert_eq!((cache.len(), cache.capacity()), (bound, bound));
        check(&cache);
    }
    assert_eq!(log.lock().unwrap().len(), 999);
    assert!(log.lock().unwrap().iter().all(|entry| entry.2 == Cause::Capacity));
    // Not full: nothing has to leave. (New keys: the one that is left may be any of the old ones.)
    cache.set_max_entries(100).unwrap();
    for key in 1000..1050 {
        assert!(matches!(cache.insert(key, key), Insert::New));
    }
    let len = cache.len();
    cache.set_max_entries(len).unwrap();
    assert_eq!((cache.len(), log.lock().unwrap().len()), (len, 999));
}

#[test]
fn stats_count() {
    let cache = Cache::builder().max_entries(4).stats(true).build().unwrap();
    assert_eq!(cache.stats().hit_ratio(), None);
    for key in 0..6 {
        cache.insert(key, key);
    }
    let present = cache.coldest_first()[0];
    cache.insert(present, 7);
    cache.get(&present);
    cache.with(&present, |_, _| ());
    cache.pin().get(&present);
    cache.pin().get_key_value(&present);
    cache.get(&100);
    cache.peek(&100);
    cache.peek(&present);
    cache.contains_key(&present);
    cache.remove(&present);
    assert!(cache.replace(100, 0).is_err());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (4, 1));
    assert_eq!(stats.hit_ratio(), Some(0.8));
    assert_eq!((stats.inserts, stats.entries, stats.not_admitted), (7, 3, 0));
    assert_eq!(stats.evictions(Cause::Capacity), 2);
    assert_eq!(stats.evictions(Cause::Replaced), 1);
    assert_eq!(stats.evictions(Cause::Removed), 1);
    assert_eq!(stats.evictions(Cause::Expired) + stats.evictions(Cause::Rejected), 0);

    assert_eq!(cache.get_or_insert_with(100, || 1), 1);
    assert_eq!(cache.get_or_insert_with(100, || 2), 1);
    assert!(cache.try_get_or_insert_with(101, || Err::<i32, _>("no")).is_err());
    let later = cache.stats();
    assert_eq!((later.loads, later.load_failures, later.inserts), (2, 1, 8));
    assert_eq!((later.hits, later.misses), (5, 3));
    cache.maintain();
    assert_eq!(cache.stats().awaiting_reclamation, 0);

    let quiet = filled(4);
    quiet.get(&1);
    quiet.get(&100);
    assert_eq!((quiet.stats().hits, quiet.stats().misses, quiet.stats().inserts), (0, 0, 4));
}

#[test]
fn debug_of_everything() {
    let cache = Cache::new(8);
    cache.insert(1, "one");
    assert_eq!(format!("{cache:?}"), r#"Cache { len: 1, capacity: 8, entries: {1: "one"} }"#);
    assert_eq!(format!("{:?}", cache.pin()), r#"{1: "one"}"#);
    assert!(format!("{:?}", cache.iter()).starts_with("Iter"));
    assert!(format!("{:?}", cache.stats()).starts_with("Stats"));
    assert_eq!(format!("{:?}", cache.insert(2, "two")), "New");
    let replaced = format!("{:?}", cache.insert(2, "zwei"));
    assert_eq!(replaced, r#"Replaced(Removed { key: 2, value: "two" })"#);
    assert_eq!(format!("{:?}", cache.remove(&2)), r#"Some(Removed { key: 2, value: "zwei" })"#);
    let builder = Cache::<u8, u8>::builder().max_entries(3).on_evict(|_, _, _| ());
    let text = format!("{builder:?}");
    assert!(text.contains("max_entries: Some(3)") && text.contains("listens: true"), "{text}");
    assert_eq!(format!("{:?} {:?}", Policy::Clock, Cause::Capacity), "Clock Capacity");
    assert!(format!("{:?}", BuildError::NoBound).starts_with("NoBound"));
}

#[test]
fn removed_is_shared_and_outlives_the_cache() {
    let cache = Cache::new(8);
    cache.insert(1, "one".to_string());
    cache.insert(2, "two".to_string());
    let first = cache.remove(&1).unwrap();
    let second = first.clone();
    let first = first.try_into_inner().expect_err("there is a clone");
    drop(second);
    assert_eq!(first.try_into_inner().unwrap(), (1, "one".to_string()));
    let last = cache.remove(&2).unwrap();
    drop(cache);
    let moved = std::thread::spawn(move || {
        assert_eq!(last.value(), "two");
        last
    });
    let last = moved.join().unwrap();
    assert_eq!(last.len(), 3, "dereferences to the value");
    assert_eq!(last.try_into_inner().unwrap(), (2, "two".to_string()));
}

#[test]
fn try_into_inner_waits_for_readers() {
    let cache = Cache::new(8);
    cache.insert(1, "one".to_string());
    let mut handle: Option<Removed<i32, String>> = None;
    // In the middle of a read of the entry.
    cache.with(&1, |_, value| {
        let removed = cache.remove(&1).unwrap();
        handle = Some(removed.try_into_inner().expect_err("it is being read"));
        assert_eq!(value, "one");
    });
    // While the cache is pinned, even if the pin has not seen it.
    let pinned = cache.pin();
    let removed = handle.unwrap().try_into_inner().expect_err("a pin may see it");
    drop(pinned);
    assert_eq!(removed.try_into_inner().unwrap().1, "one");
}

#[test]
fn any_equivalent_key_finds() {
    let cache: Cache<String, u32> = Cache::new(8);
    cache.insert("a".to_string(), 1);
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.get(&"a".to_string()), Some(1));
    assert_eq!(cache.pin().get("a"), Some(&1));

    #[derive(Hash)]
    struct Parts<'a>(&'a str, u32);
    impl equivalent::Equivalent<(String, u32)> for Parts<'_> {
        fn equivalent(&self, key: &(String, u32)) -> bool {
            self.0 == key.0 && self.1 == key.1
        }
    }
    let cache: Cache<(String, u32), &str> = Cache::new(8);
    cache.insert(("a".into(), 1), "a1");
    assert_eq!(cache.get(&Parts("a", 1)), Some("a1"));
    assert_eq!(cache.get(&Parts("a", 2)), None);
    assert!(cache.contains_key(&Parts("a", 1)));
    assert_eq!(*cache.remove(&Parts("a", 1)).unwrap(), "a1");
}

#[test]
fn a_hasher_of_ones_own() {
    let cache = Cache::builder()
        .max_entries(100)
        .hasher(BuildHasherDefault::<DefaultHasher>::default())
        .build()
        .unwrap();
    (0..100).for_each(|n| drop(cache.insert(n, n)));
    assert!((0..100).all(|n| cache.get(&n) == Some(n)));
    check(&cache);
    let cache = Cache::builder()
        .hasher(std::hash::RandomState::new())
        .max_entries(2)
        .policy(Policy::Clock)
        .stats(false)
        .build()
        .unwrap();
    assert_eq!(cache.get_or_insert_with("k", || 1), 1);
}

#[test]
fn one_hash_for_all_keys() {
    for bound in [1, 5, 48, 49, 200, 400] {
        let cache = Cache::builder().max_entries(bound).hasher(OneHash).build().unwrap();
        let span = bound as u64 + 7;
        for n in 0..3 * bound as u64 {
            assert!(cache.insert(n % span, n).is_admitted());
            assert!(cache.len() <= bound);
        }
        assert_eq!(cache.len(), bound);
        for (key, value) in cache.iter() {
            assert_eq!(key, value % span);
        }
        check(&cache);
        assert_eq!(cache.get_or_insert_with(1 << 40, || 7), 7);
        for key in (0..span).chain([1 << 40]) {
            cache.remove(&key);
        }
        assert!(cache.is_empty());
        check(&cache);
    }
}

#[test]
fn more_keys_of_one_hash_than_any_probe_has_slots() {
    let cache = Cache::builder().max_entries(800).hasher(OneHash).build().unwrap();
    let mut model = HashMap::new();
    for n in 0..1200 {
        let key = n % 790;
        match cache.insert(key, n) {
            Insert::NotAdmitted(k, v) => {
                assert_eq!((k, v), (key, n));
                assert!(n > 700 && !cache.contains_key(&key), "refused at {n}");
                model.remove(&key);
            }
            _ => drop(model.insert(key, n)),
        }
    }
    assert!(cache.stats().not_admitted > 0);
    // Nothing left: the bound was not reached.
    assert_eq!(cache.len(), model.len());
    assert!(model.iter().all(|(key, value)| cache.get(key) == Some(*value)));
    // A load that finds nowhere to register gives its value all the same.
    assert_eq!(cache.get_or_insert_with(1 << 40, || 7), 7);
    assert!(cache.try_get_or_insert_with(1 << 41, || Err::<u64, _>(())).is_err());
    for key in 0..790 {
        assert_eq!(cache.remove(&key).map(|old| *old), model.remove(&key));
    }
    assert!(cache.is_empty());
}

#[test]
fn pins_read_what_has_left() {
    let cache = Cache::new(4);
    cache.insert("a", Arc::new(1));
    let mut pinned = cache.pin();
    let value = pinned.get("a").unwrap();
    let (key, same) = pinned.get_key_value("a").unwrap();
    assert_eq!((*key, Arc::as_ptr(value)), ("a", Arc::as_ptr(same)));
    cache.clear();
    cache.maintain();
    for n in 0..100 {
        cache.insert(["b", "c", "d"][n % 3], Arc::new(n));
    }
    assert_eq!((**value, Arc::strong_count(value)), (1, 1));
    assert_eq!((pinned.get("a"), pinned.peek("a"), pinned.contains_key("a")), (None, None, false));
    let inner = cache.pin();
    assert!(cache.awaiting_reclamation() > 0);
    pinned.refresh(); // no effect while `inner` lives
    cache.maintain();
    assert!(cache.awaiting_reclamation() > 0);
    drop(inner);
    pinned.refresh();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert_eq!(pinned.iter().count(), 3);
}

#[test]
fn two_caches_do_not_disturb_each_other() {
    let (one, two) = (Cache::new(4), Cache::new(4));
    let pinned = one.pin();
    for n in 0..1000 {
        two.insert(n, n);
        one.insert(n % 4, n);
        two.with(&n, |_, v| assert_eq!(one.get(&(v % 4)), Some(n)));
    }
    two.maintain();
    assert_eq!(two.awaiting_reclamation(), 0, "a pin holds back only its own cache");
    drop(pinned);
    check(&one);
    check(&two);
}
