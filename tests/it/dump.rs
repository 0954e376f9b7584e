//! Does a cache come back as it was? Dumps, and what is restored of them.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use hotset::{Builder, Cache, Cause, ManualTime, Policy};
use proptest::prelude::*;

use crate::common::{Ledger, POLICIES, boom, booms, check, times};

const MINUTE: Duration = Duration::from_secs(60);

type Fixed = BuildHasherDefault<DefaultHasher>;
type C = Cache<u64, u64, Fixed>;

fn builder(max_entries: usize, policy: Policy) -> Builder<u64, u64, Fixed> {
    Cache::builder().max_entries(max_entries).policy(policy).hasher(Fixed::default())
}

fn cache(max_entries: usize, policy: Policy) -> C {
    builder(max_entries, policy).build().unwrap()
}

/// Uses a cache in a way that gives entries all standings.
fn live(cache: &C, keys: u64) {
    for round in 0..4 {
        for key in 0..keys {
            cache.get_or_insert_with(key, || key);
            if key % 3 < round {
                cache.get(&(key % (keys / 4)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(60) as u32))]

    #[test]
    fn all_comes_back_with_its_standing(
        max in 1..300_usize,
        ops in proptest::collection::vec((0..500_u64, any::<bool>()), 0..2000),
    ) {
        for policy in POLICIES {
            let before = cache(max, policy);
            for &(key, reads) in &ops {
                if reads { before.get(&key); } else { before.insert(key, key + 1); }
            }
            let dump = before.dump();
            let order: Vec<_> = dump.iter().map(|(key, _)| *key).collect();
            prop_assert_eq!(&order, &before.coldest_first());
            let after = cache(max, policy);
            prop_assert_eq!(after.restore(dump), before.len());
            check(&after);
            for key in order {
                prop_assert_eq!(after.peek(&key), Some(key + 1));
                let class = after.adaptive_class(&key);
                prop_assert_eq!(class, before.adaptive_class(&key), "{:?} {}", policy, key);
            }
        }
    }
}

#[test]
fn a_smaller_cache_takes_the_warmest() {
    for policy in POLICIES {
        let before = cache(1000, policy);
        live(&before, 2000);
        let dump = before.dump();
        let warmest: Vec<u64> = dump.iter().map(|(key, _)| *key).skip(dump.len() - 100).collect();
        let after = cache(100, policy);
        assert_eq!(after.restore(dump), 100);
        assert!(warmest.iter().all(|key| after.contains_key(key)), "{policy:?}");
        check(&after);
    }
}

#[test]
fn a_restored_cache_is_as_steadfast_as_it_was() {
    // Hot entries survive a flood of newcomers, which they would not if they came back as such.
    let before = cache(1000, Policy::Adaptive);
    for round in 0..20 {
        (0..300).for_each(|key| drop(before.insert(key, key).replaced().or(None)));
        (0..300).for_each(|key| assert!(before.get(&key).is_some(), "{round}"));
        (0..800).for_each(|key| drop(before.insert(1000 + round * 800 + key, 0)));
    }
    let after = cache(1000, Policy::Adaptive);
    after.restore(before.dump());
    let survivors = |cache: &C| {
        (0..2000).for_each(|key| drop(cache.insert(100_000 + key, 0)));
        (0..300).filter(|key| cache.contains_key(key)).count()
    };
    let (kept, restored) = (survivors(&before), survivors(&after));
    assert!(kept > 200 && restored + 30 >= kept, "{kept} kept, {restored} of the restored");
}

#[test]
fn what_is_there_stays_and_nobody_leaves() {
    for policy in POLICIES {
        let before = cache(10, policy);
        (0..10).for_each(|key| drop(before.insert(key, 0)));
        let after = cache(10, policy);
        (5..12).for_each(|key| drop(after.insert(key, 1)));
        let dump = before.dump();
        let came = after.get_or_insert_with(4, || {
            // 7 are there, and 4 is loading, hence younger than the dump.
            let came = after.restore(dump.clone());
            assert!((2..=3).contains(&came), "{policy:?}: {came} of 0 to 3");
            1
        });
        assert_eq!((came, after.peek(&5)), (1, Some(1)));
        assert_eq!(after.stats().evictions(Cause::Rejected), 0);
    }
}

#[test]
fn a_restored_value_is_weighed() {
    let weighed = |max| {
        let builder = Cache::builder().max_weight(max).weigher(|_: &u64, v: &u64| *v);
        builder.policy(Policy::Clock).build().unwrap()
    };
    let before = weighed(1000);
    for (key, weight) in [(1, 100), (2, 400), (3, 20), (4, 30)] {
        before.insert(key, weight);
    }
    let after = weighed(200);
    let came = after.restore(before.dump());
    // The one of 400 is too heavy for this cache.
    assert_eq!((came, after.len(), after.weight()), (3, 3, 150));
    assert!(!after.contains_key(&2) && after.validate().is_ok());
}

#[test]
fn what_is_left_of_a_life_is_left() {
    let make = || {
        let time = ManualTime::new();
        let builder = builder(100, Policy::Adaptive).time_to_live(MINUTE).time_source(time.clone());
        (builder.build().unwrap(), time)
    };
    let (before, time) = make();
    before.insert(1, 1);
    time.advance(MINUTE / 2);
    before.insert(2, 2);
    time.advance(MINUTE / 4);
    let (after, time) = make();
    time.advance(MINUTE * 100); // another process, another origin
    assert_eq!(after.restore(before.dump()), 2);
    time.advance(MINUTE / 4);
    assert_eq!((after.get(&1), after.get(&2)), (None, Some(2)));
    time.advance(MINUTE / 2);
    assert_eq!((after.get(&2), after.sweep()), (None, 2));

    // The time between the processes.
    let (after, _) = make();
    assert_eq!(after.restore(before.dump().aged(MINUTE / 4)), 1);
    let (after, _) = make();
    assert_eq!(after.restore(before.dump().aged(Duration::MAX)), 0);

    // What is over is not dumped.
    let (before, time) = make();
    before.insert(1, 1);
    time.advance(MINUTE);
    assert!(before.dump().is_empty());

    // A cache whose times are shorter keeps to them; one without, to none.
    let (before, _) = make();
    before.insert(1, 1);
    let time = ManualTime::new();
    let short = builder(10, Policy::Clock).time_to_live(MINUTE / 10).time_source(time.clone());
    let short = short.build().unwrap();
    short.restore(before.dump());
    time.advance(MINUTE / 10);
    assert_eq!(short.get(&1), None);
    let lasting = cache(10, Policy::Clock);
    lasting.restore(before.dump().aged(MINUTE / 2));
    assert_eq!(lasting.get(&1), Some(1));
}

#[test]
fn idle_entries_come_back_idle() {
    // Also where the clock began after they were used.
    for age in [Duration::ZERO, MINUTE * 2] {
        idle_entries_come_back(age);
    }
}

fn idle_entries_come_back(age: Duration) {
    let make = || {
        let time = ManualTime::new();
        let builder = builder(10, Policy::Clock).time_to_idle(MINUTE).time_source(time.clone());
        time.advance(age);
        (builder.build().unwrap(), time)
    };
    let (before, time) = make();
    before.insert(1, 1);
    time.advance(MINUTE / 2);
    before.insert(2, 2);
    let (after, time) = make();
    assert_eq!(after.restore(before.dump()), 2);
    time.advance(MINUTE / 2);
    assert_eq!((after.get(&1), after.get(&2)), (None, Some(2)));
    let (after, _) = make();
    assert_eq!(after.restore(before.dump().aged(MINUTE / 2)), 1);
}

#[test]
fn a_panic_in_a_restore_loses_what_had_not_come_and_no_more() {
    let ledger = Ledger::new();
    let before = Cache::new(10);
    (0..10_u64).for_each(|key| drop(before.insert(key, ledger.make(key))));
    let dump = before.dump();
    drop(before);
    let after = Cache::builder()
        .max_entries(10)
        .expire_with(|key, _| if *key == 5 { boom() } else { None })
        .build()
        .unwrap();
    assert!(booms(|| after.restore(dump)));
    assert!(after.is_empty());
    check(&after);
    drop(after);
    ledger.assert_all_dropped();
}

#[test]
fn a_dump_shows_nothing_of_users() {
    let cache = Cache::new(10);
    cache.insert("secret", "password");
    assert_eq!(format!("{:?}", cache.dump()), "Dump { len: 1, .. }");
}

#[cfg(feature = "serde")]
mod written {
    use super::*;
    use hotset::Dump;

    #[test]
    fn a_dump_survives_json() {
        let time = ManualTime::new();
        let before = Cache::builder()
            .max_entries(100)
            .time_to_live(MINUTE)
            .time_source(time.clone())
            .build()
            .unwrap();
        for n in 0..80_u32 {
            before.insert(format!("key {n}"), vec![n; 3]);
        }
        (0..40).for_each(|n| assert!(before.get(&format!("key {n}")).is_some()));
        time.advance(MINUTE / 3);
        let dump = before.dump();
        let json = serde_json::to_string(&dump).unwrap();
        let back: Dump<String, Vec<u32>> = serde_json::from_str(&json).unwrap();
        assert!(back == dump);
        let after = Cache::new(100);
        assert_eq!(after.restore(back), 80);
        assert_eq!(after.get("key 7"), Some(vec![7; 3]));
    }

    #[test]
    fn the_form_is_as_documented() {
        let cache = Cache::builder().max_entries(10).policy(Policy::Clock).build().unwrap();
        cache.insert(1, "one");
        let json = serde_json::to_value(cache.dump()).unwrap();
        let expected = serde_json::json!({
            "version": 1,
            "entries": [{
                "key": 1,
                "value": "one",
                "on_probation": false,
                "uses": 1,
                "to_live": null,
                "idle": { "secs": 0, "nanos": 0 },
            }],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_not_a_dump_is_refused() {
        let read = |json: &str| serde_json::from_str::<Dump<u64, u64>>(json).map(|dump| dump.len());
        let error = read(r#"{"version": 2, "entries": []}"#).unwrap_err().to_string();
        assert!(error.contains("expected version 1 of a dump"), "{error}");
        assert!(read(r#"{"entries": []}"#).is_err());
        assert!(read(r#"{"version": 1, "entries": [{"key": 1}]}"#).is_err());
        assert_eq!(read(r#"{"version": 1, "entries": []}"#).unwrap(), 0);
        // Standings are advice: any number will do.
        let wild = r#"{"version": 1, "entries": [{"key": 1, "value": 2, "on_probation": true,
            "uses": 200, "to_live": {"secs": 18446744073709551615, "nanos": 0},
            "idle": {"secs": 18446744073709551615, "nanos": 0}}]}"#;
        let dump: Dump<u64, u64> = serde_json::from_str(wild).unwrap();
        for policy in POLICIES {
            let cache = cache(10, policy);
            assert_eq!(cache.restore(dump.clone()), 1);
            check(&cache);
        }
    }
}
