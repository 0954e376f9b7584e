//! What other caches test of their listeners: who is told of, with which cause, in which order.

use std::sync::Arc;
use std::time::Duration;

use hotset::{Cache, Cause, Insert, ManualTime};

use crate::common::{Ledger, Log, POLICIES, check, with_policy};

const LIFE: Duration = Duration::from_secs(10);

/// A cache whose listener writes down all, the time it lives by, and what was written down.
fn written_down(max_entries: usize) -> (Cache<String, u64>, ManualTime, Log<String, u64>) {
    let (time, log) = (ManualTime::new(), Log::default());
    let told = Arc::clone(&log);
    let cache = Cache::builder()
        .max_entries(max_entries)
        .time_to_live(LIFE)
        .time_source(time.clone())
        .on_evict(move |key: &String, &value, cause| {
            told.lock().unwrap().push((key.clone(), value, cause));
        })
        .build()
        .unwrap();
    (cache, time, log)
}

/// What was told since the last call, in order.
fn told(log: &Log<String, u64>) -> Vec<(String, u64, Cause)> {
    std::mem::take(&mut log.lock().unwrap())
}

/// One entry that left.
fn one(key: &str, value: u64, cause: Cause) -> Vec<(String, u64, Cause)> {
    vec![(key.to_owned(), value, cause)]
}

#[test]
fn causes_come_in_the_order_of_what_happened() {
    let (cache, time, log) = written_down(3);
    cache.insert("a".into(), 1);
    assert_eq!(told(&log), []);
    cache.insert("a".into(), 2);
    assert_eq!(told(&log), one("a", 1, Cause::Replaced));
    assert_eq!(*cache.replace("a".into(), 3).unwrap(), 2);
    assert_eq!(told(&log), one("a", 2, Cause::Replaced));
    assert_eq!(*cache.remove("a").unwrap(), 3);
    assert_eq!(told(&log), one("a", 3, Cause::Removed));
    assert!(cache.remove("a").is_none() && cache.replace("a".into(), 4).is_err());
    assert_eq!(told(&log), [], "nothing was there");

    for (key, value) in [("a", 10), ("b", 20), ("c", 30)] {
        cache.insert(key.into(), value);
    }
    let victim = cache.coldest_first()[0].clone();
    let value = cache.peek(&victim).unwrap();
    cache.insert("d".into(), 40);
    assert_eq!(told(&log), one(&victim, value, Cause::Capacity));

    // Reads find nothing after its time, and tell nobody.
    time.advance(LIFE);
    assert!(["a", "b", "c", "d"].iter().all(|key| cache.get(*key).is_none()));
    assert_eq!((cache.iter().count(), cache.pin().iter().count()), (0, 0));
    assert_eq!(told(&log), []);
    // A write of its key is no replacement of what was over.
    assert!(matches!(cache.insert("d".into(), 41), Insert::New));
    assert_eq!(told(&log), one("d", 40, Cause::Expired));
    assert_eq!(cache.sweep(), 2);
    let swept = told(&log);
    assert!(swept.len() == 2 && swept.iter().all(|(_, _, cause)| *cause == Cause::Expired));
    // Nor is a removal, or a load.
    cache.insert("e".into(), 50);
    time.advance(LIFE);
    assert!(cache.remove("d").is_none());
    assert_eq!(told(&log), one("d", 41, Cause::Expired));
    assert_eq!(cache.get_or_insert_with("e".into(), || 51), 51);
    assert_eq!(told(&log), one("e", 50, Cause::Expired));
    cache.clear();
    assert_eq!(told(&log), one("e", 51, Cause::Removed));
    check(&cache);
}

#[test]
fn a_new_value_begins_a_new_life() {
    let (cache, time, log) = written_down(10);
    cache.insert("a".into(), 1);
    time.advance(LIFE * 3 / 4);
    cache.insert("a".into(), 2);
    time.advance(LIFE * 3 / 4);
    assert_eq!(cache.get("a"), Some(2));
    // Reads of whatever kind do not.
    assert!(cache.contains_key("a") && cache.peek("a").is_some());
    time.advance(LIFE / 4);
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.sweep(), 1);
    assert_eq!(told(&log), [one("a", 1, Cause::Replaced), one("a", 2, Cause::Expired)].concat());
}

#[test]
fn retain_and_clear_tell_of_each_that_goes() {
    let (cache, _, log) = written_down(100);
    for n in 0..20 {
        cache.insert(n.to_string(), n);
    }
    cache.retain(|_, value| value % 2 == 0);
    let mut gone = told(&log);
    gone.sort_by_key(|(_, value, _)| *value);
    let expected = |n: u64| (n.to_string(), n, Cause::Removed);
    assert_eq!(gone, (0..20).filter(|n| n % 2 == 1).map(expected).collect::<Vec<_>>());
    cache.clear();
    let mut gone = told(&log);
    gone.sort_by_key(|(_, value, _)| *value);
    assert_eq!(gone, (0..20).filter(|n| n % 2 == 0).map(expected).collect::<Vec<_>>());
}

#[test]
fn heavier_and_lighter_values_of_one_key() {
    let log: Log<&str, u64> = Log::default();
    let inside = Arc::clone(&log);
    let cache = Cache::builder()
        .max_weight(31)
        .weigher(|_, &weight: &u64| weight)
        .on_evict(move |&key: &&str, &value, cause| {
            inside.lock().unwrap().push((key, value, cause))
        })
        .build()
        .unwrap();
    let told = || std::mem::take(&mut *log.lock().unwrap());
    // a, b, c and d weigh 31 together.
    for (key, weight) in [("a", 10), ("b", 15), ("c", 5), ("d", 1)] {
        cache.insert(key, weight);
    }
    assert_eq!((cache.weight(), told()), (31, vec![]));
    // A lighter value makes room, a heavier one takes it from others.
    cache.insert("b", 5);
    assert_eq!((cache.weight(), told()), (21, vec![("b", 15, Cause::Replaced)]));
    cache.insert("b", 25);
    assert!(cache.weight() <= 31 && cache.peek("b") == Some(25));
    let mut gone = told();
    gone.sort_unstable_by_key(|(key, ..)| *key);
    let (replaced, evicted): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|(_, _, cause)| *cause == Cause::Replaced);
    assert_eq!(replaced, [("b", 5, Cause::Replaced)]);
    assert!(evicted.iter().all(|(key, _, cause)| *key != "b" && *cause == Cause::Capacity));
    let left: u64 = evicted.iter().map(|(_, weight, _)| weight).sum();
    assert_eq!(cache.weight(), 10 + 25 + 5 + 1 - left);
    // Too heavy: it comes back, and the value that was is no longer true.
    assert!(matches!(cache.insert("b", 32), Insert::TooHeavy("b", 32)));
    assert_eq!(told(), [("b", 25, Cause::Removed)]);
    check(&cache);
}

#[test]
fn values_are_gone_soon_after_they_left() {
    for policy in POLICIES {
        let ledger = Ledger::new();
        let cache = with_policy(10, policy);
        let alive = |what: &str| {
            cache.maintain();
            assert_eq!(ledger.live(), cache.len() as isize, "{what}");
        };
        for n in 0..100 {
            cache.insert(n, ledger.make(n));
            alive("evicted");
        }
        let held: Vec<u64> = cache.iter().map(|(key, _)| key).collect();
        for &key in &held {
            cache.insert(key, ledger.make(key));
            alive("replaced");
        }
        cache.remove(&held[0]);
        alive("removed");
        cache.retain(|key, _| *key != held[1]);
        alive("not retained");
        cache.get_or_insert_with(1_000, || ledger.make(0));
        alive("loaded");
        cache.set_max_entries(3).unwrap();
        alive("a lower bound");
        cache.clear();
        alive("cleared");
        assert_eq!(ledger.live(), 0);
        drop(cache);
        ledger.assert_all_dropped();
    }
}
