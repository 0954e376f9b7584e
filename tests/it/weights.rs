//! What does `max_weight` promise? One value at a time, then against a map that knows weights.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Instant;

use hotset::{BuildError, Cache, Cause, Compute, Computed, Insert, Policy};
use proptest::prelude::*;

use crate::common::{
    Ledger, POLICIES, Random, Stop, Tracked, boom, booms, cases, check, stress_time, times,
};

/// A cache of values that are their own weights.
fn plain(max_weight: u64) -> Cache<u64, u64> {
    Cache::builder().max_weight(max_weight).weigher(|_, &weight| weight).build().unwrap()
}

fn plain_with(max_weight: u64, policy: Policy) -> Cache<u64, u64> {
    let builder = Cache::builder().max_weight(max_weight).weigher(|_, &weight: &u64| weight);
    builder.policy(policy).build().unwrap()
}

#[test]
fn nobody_leaves_for_its_own_heavier_value_while_there_are_others() {
    for (policy, max, others) in
        POLICIES.into_iter().flat_map(|p| (8..60).flat_map(move |m| (1..5).map(move |n| (p, m, n))))
    {
        let cache = plain_with(max, policy);
        let weight = max / (others + 1);
        (0..=others).for_each(|key| drop(cache.insert(key, weight)));
        if cache.peek(&0).is_none() {
            continue; // the queue is short, and it was the first
        }
        // What is decided on the old value must not be asked again as if there were none.
        let heavier = (weight + 2).min(max);
        let mut asked = Vec::new();
        let done = cache.compute(0, |old| {
            asked.push(old.copied());
            Compute::Insert(heavier)
        });
        assert_eq!(asked, [Some(weight)], "{policy:?}, {max}, {others}");
        assert!(matches!(done, Computed::Written(Insert::Replaced(_))), "{done:?}");
        let heaviest = (heavier + weight).min(max);
        assert!(matches!(cache.insert(0, heaviest), Insert::Replaced(_)));
        assert_eq!(cache.get(&0), Some(heaviest));
        cache.validate().unwrap();
    }
}

#[test]
fn what_contradicts_is_refused() {
    let builder = Cache::<u64, u64>::builder;
    let text = |error: BuildError| error.to_string();
    let error = builder().max_weight(0).weigher(|_, _| 1).build().unwrap_err();
    assert_eq!(text(error), "max_weight must be >= 1, got 0");
    let error = builder().max_weight(5).build().unwrap_err();
    assert_eq!(
        (&error, text(error.clone())),
        (
            &BuildError::NoWeigher,
            "max_weight needs a weigher: call weigher on the builder, too".into()
        )
    );
    let error = builder().max_weight(5).max_entries(5).build().unwrap_err();
    assert_eq!(error, BuildError::NoWeigher);
    let error = builder().max_entries(5).weigher(|_, _| 1).build().unwrap_err();
    assert_eq!(text(error), "a weigher needs a bound: call max_weight on the builder, too");
    let error = builder().max_entries(5).expected_entries(0).build().unwrap_err();
    assert_eq!(text(error), "expected_entries must be >= 1, got 0");
    let error = builder().max_entries(5).expected_entries(6).build().unwrap_err();
    assert_eq!(text(error), "expected_entries must be <= 5, got 6");
    let error = plain(1).set_max_weight(0).unwrap_err();
    assert_eq!(text(error), "max_weight must be >= 1, got 0");
    let cache = Cache::<u64, u64>::new(3);
    assert_eq!((cache.max_weight(), cache.weight()), (None, 0));
    assert_eq!(cache.set_max_weight(7).unwrap_err(), BuildError::NoWeigher);
    cache.insert(1, 1);
    assert_eq!((cache.weight(), cache.stats().weight), (1, 1));
}

#[test]
fn a_heavy_one_puts_out_as_many_as_it_takes_and_no_more() {
    for policy in POLICIES {
        let cache = plain_with(100, policy);
        (0..10).for_each(|key| drop(cache.insert(key, 10)));
        assert_eq!((cache.len(), cache.weight()), (10, 100));
        assert!(matches!(cache.insert(10, 35), Insert::New));
        assert_eq!((cache.len(), cache.weight()), (7, 95), "{policy:?}");
        assert!(matches!(cache.insert(11, 5), Insert::New));
        assert_eq!((cache.len(), cache.weight()), (8, 100), "what was too much was given back");
        check(&cache);
    }
}

#[test]
fn zero_counts_as_one() {
    let cache = plain(3);
    (0..10).for_each(|key| drop(cache.insert(key, 0)));
    assert_eq!((cache.len(), cache.weight(), cache.stats().weight), (3, 3, 3));
    check(&cache);
}

#[test]
fn what_is_heavier_than_the_bound_is_handed_back_and_puts_nobody_out() {
    let cache = plain(100);
    cache.insert(1, 50);
    cache.insert(2, 50);
    assert!(matches!(cache.insert(3, 101), Insert::TooHeavy(3, 101)));
    assert!(matches!(cache.insert(3, u64::MAX), Insert::TooHeavy(3, u64::MAX)));
    assert_eq!((cache.len(), cache.weight()), (2, 100));
    // It was written, so what the key had is no longer true.
    assert!(matches!(cache.insert(1, 101), Insert::TooHeavy(1, 101)));
    assert_eq!((cache.get(&1), cache.weight()), (None, 50));
    assert_eq!(cache.replace(2, 101).unwrap_err(), (2, 101));
    assert_eq!((cache.get(&2), cache.weight()), (None, 0));
    // A load gives its value.
    assert_eq!(cache.get_or_insert_with(4, || 500), 500);
    assert_eq!((cache.len(), cache.stats().evictions(Cause::Rejected)), (0, 1));
    assert_eq!(cache.stats().evictions(Cause::Capacity), 0);
    assert_eq!(cache.get_or_insert_with(4, || 100), 100);
    assert_eq!(cache.weight(), 100);
    check(&cache);
}

#[test]
fn a_new_value_is_weighed_anew() {
    for policy in POLICIES {
        let cache = plain_with(100, policy);
        (0..4).for_each(|key| drop(cache.insert(key, 20)));
        let Insert::Replaced(old) = cache.insert(0, 5) else { panic!() };
        assert_eq!((*old, cache.weight()), (20, 65));
        assert_eq!(*cache.replace(0, 40).unwrap(), 5);
        assert_eq!((cache.len(), cache.weight()), (4, 100), "there was room for it");
        // There is not: others leave, or the old value does and the new one comes as a new entry.
        assert!(cache.insert(0, 80).is_admitted());
        assert_eq!((cache.get(&0), cache.len(), cache.weight()), (Some(80), 2, 100));
        assert!(cache.insert(0, 100).is_admitted());
        assert_eq!((cache.get(&0), cache.len(), cache.weight()), (Some(100), 1, 100));
        check(&cache);
    }
}

#[test]
fn whoever_leaves_gives_its_weight_back() {
    let cache = plain(100);
    (1..=13).for_each(|key| drop(cache.insert(key, key)));
    assert_eq!(cache.weight(), 91);
    cache.remove(&13);
    cache.remove_if(&12, |_, _| true);
    assert_eq!(cache.weight(), 66);
    cache.retain(|key, _| *key != 11);
    assert_eq!(cache.weight(), 55);
    cache.clear();
    assert_eq!((cache.weight(), cache.len()), (0, 0));
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    check(&cache);
}

#[test]
fn a_lowered_bound_holds_when_the_call_returns() {
    for policy in POLICIES {
        let cache = plain_with(1000, policy);
        (0..100).for_each(|key| drop(cache.insert(key, 1 + key % 19)));
        for bound in [500, 499, 1000, 17, 16, 3, 1, 2000] {
            cache.set_max_weight(bound).unwrap();
            assert!(cache.weight() <= bound && cache.max_weight() == Some(bound));
            check(&cache);
        }
        cache.insert(7, 1999);
        assert_eq!((cache.get(&7), cache.max_weight()), (Some(1999), Some(2000)));
    }
}

#[test]
fn both_bounds_hold() {
    for policy in POLICIES {
        let builder = Cache::builder().max_weight(100).weigher(|_, &n: &u64| n).max_entries(5);
        let cache = builder.policy(policy).build().unwrap();
        (0..50).for_each(|key| drop(cache.insert(key, 3)));
        assert_eq!((cache.len(), cache.weight(), cache.capacity()), (5, 15, 5));
        (0..50).for_each(|key| drop(cache.insert(key, 40)));
        assert_eq!((cache.len(), cache.weight()), (2, 80));
        cache.set_max_entries(1).unwrap();
        assert_eq!((cache.len(), cache.weight()), (1, 40));
        cache.set_max_entries(50).unwrap();
        (0..50).for_each(|key| drop(cache.insert(key, 3)));
        assert!(cache.len() >= 20 && cache.weight() <= 100);
        check(&cache);
    }
}

#[test]
fn nobody_leaves_while_there_is_room() {
    for policy in POLICIES {
        for expected in [1, 100, 3000] {
            let cache = Cache::builder()
                .max_weight(2 * 3000)
                .weigher(|_, _: &u64| 2)
                .expected_entries(expected)
                .policy(policy)
                .build()
                .unwrap();
            (0..3000).for_each(|key| drop(cache.insert(key, key)));
            assert_eq!((cache.len(), cache.weight()), (3000, 6000), "{expected} expected");
            assert_eq!(cache.stats().evictions(Cause::Capacity), 0);
            assert!((0..3000).all(|key| cache.get(&key) == Some(key)));
            check(&cache);
        }
    }
}

#[test]
fn the_largest_weights_do_not_wrap() {
    for policy in POLICIES {
        let cache = plain_with(u64::MAX, policy);
        let half = u64::MAX / 2 + 1;
        for key in 0..40 {
            assert!(cache.insert(key, half).is_admitted());
            assert_eq!((cache.len(), cache.weight()), (1, half));
        }
        assert!(cache.insert(3, half - 1).is_admitted());
        assert_eq!((cache.len(), cache.weight()), (2, u64::MAX));
        for key in 0..40 {
            assert!(cache.insert(key, u64::MAX).is_admitted());
            assert_eq!((cache.len(), cache.weight()), (1, u64::MAX));
        }
        cache.set_max_weight(10).unwrap();
        assert_eq!(cache.weight(), 0);
        check(&cache);
    }
}

#[test]
fn each_value_is_weighed_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let cache = Cache::builder()
        .max_weight(10)
        .weigher(move |_: &u64, &n: &u64| {
            counted.fetch_add(1, SeqCst);
            n
        })
        .build()
        .unwrap();
    let mut expected = 0;
    let mut told = |n: usize| {
        expected += n;
        assert_eq!(calls.load(SeqCst), expected);
    };
    cache.insert(1, 1);
    told(1);
    cache.insert(1, 5);
    told(1);
    assert!(cache.replace(2, 1).is_err());
    told(1);
    cache.get_or_insert_with(2, || 5);
    told(1);
    cache.get_or_insert_with(2, || 5);
    cache.get(&1);
    cache.remove(&1);
    told(0);
    cache.insert(3, 11);
    told(1);
    let failed: Result<u64, _> = cache.try_get_or_insert_with(9, || Err(()));
    assert!(failed.is_err());
    told(0);
}

#[test]
fn a_weigher_may_use_the_cache() {
    type Shared = Arc<Cache<u64, u64>>;
    let cell: Arc<Mutex<Option<Shared>>> = Arc::default();
    let inside = Arc::clone(&cell);
    let cache = Cache::builder()
        .max_weight(10)
        .weigher(move |&key: &u64, &n: &u64| {
            let cache = inside.lock().unwrap().clone();
            if let Some(cache) = cache.filter(|_| key < 100) {
                cache.insert(key + 100, 1);
                cache.remove(&(key + 101));
            }
            n
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    *cell.lock().unwrap() = Some(Arc::clone(&cache));
    for key in 0..30 {
        assert!(cache.insert(key, 3).is_admitted());
        assert_eq!(cache.get_or_insert_with(key + 30, || 2), 2);
    }
    *cell.lock().unwrap() = None;
    check(&cache);
}

#[test]
fn a_weigher_that_panics_changes_nothing() {
    let ledger = Ledger::new();
    let weigh = |_: &u64, value: &Tracked| if value.n() == 13 { boom() } else { value.n() };
    let cache = Cache::builder().max_weight(100).weigher(weigh).build().unwrap();
    cache.insert(1, ledger.make(40));
    cache.insert(2, ledger.make(40));
    assert!(booms(|| cache.insert(1, ledger.make(13))));
    assert!(booms(|| cache.insert(3, ledger.make(13))));
    assert!(booms(|| cache.replace(1, ledger.make(13))));
    assert!(booms(|| cache.get_or_insert_with(4, || ledger.make(13))));
    assert_eq!((cache.len(), cache.weight(), cache.peek(&1).map(|v| v.n())), (2, 80, Some(40)));
    assert_eq!(cache.stats().load_failures, 1);
    // The key is not wedged.
    assert_eq!(cache.get_or_insert_with(4, || ledger.make(20)).n(), 20);
    assert_eq!(cache.weight(), 100);
    check(&cache);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn those_who_waited_for_a_value_too_heavy_get_it() {
    let cache = plain(10);
    let loads = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let ask = || {
            cache.get_or_insert_with(1, || {
                loads.fetch_add(1, SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(50));
                11
            })
        };
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() == 11));
    });
    assert!(loads.load(SeqCst) <= 4 && cache.is_empty());
    check(&cache);
}

/// What waits for readers is bounded by weight, and by the heaviest that came in.
#[test]
fn a_pin_that_stays_holds_back_no_more_than_the_slack() {
    for weight in [1, 10, 400, 1000] {
        let ledger = Ledger::new();
        let build = Cache::builder().max_weight(1000).weigher(move |_: &u64, _: &Tracked| weight);
        let cache = build.build().unwrap();
        let pinned = cache.pin();
        let mut refused = 0;
        for key in 0..5000 {
            refused += u32::from(!cache.insert(key, ledger.make(key)).is_admitted());
            let most = 1000 + 125_u64.max(weight) + 2 * weight;
            assert!(ledger.live() as u64 * weight <= most, "{} of {weight}", ledger.live());
        }
        assert!(refused > 0);
        drop(pinned);
        cache.maintain();
        assert!(cache.insert(1, ledger.make(1)).is_admitted());
        drop(cache);
        ledger.assert_all_dropped();
    }
}

/// Where a few heavy entries are all that fits, the slack is that of one or two: a writer does not leave it used
/// up behind itself, or else the next one finds nothing to free that is in its reach, and is refused.
#[test]
fn a_writer_leaves_half_of_the_slack_free() {
    for (entries, weight) in [(2, 500), (4, 250), (10, 100), (100, 10)] {
        let cache = Cache::builder().max_weight(1000).weigher(move |_: &u64, _: &u64| weight);
        let cache = cache.build().unwrap();
        let slack = 125_u64.max(weight);
        for key in 0..10 * entries {
            assert!(cache.insert(key, key).is_admitted());
            let waits = cache.stats().awaiting_reclamation as u64;
            assert!(waits <= slack / 2, "{waits} of {slack} wait, {entries} entries");
        }
        check(&cache);
    }
}

/// A thread takes of what may wait a little more than its victim weighs, for the next ones. It may rest with that while the
/// bound is lowered.
#[test]
fn who_rests_with_a_part_of_the_slack_keeps_nobody_out() {
    let (cache, turn) = (plain(1 << 20), Barrier::new(5));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, turn) = (&cache, &turn);
            scope.spawn(move || {
                for key in 0..15_000 + thread {
                    assert!(cache.insert(thread << 32 | key, 100).is_admitted());
                }
                turn.wait();
                turn.wait();
            });
        }
        turn.wait();
        cache.set_max_weight(1000).unwrap();
        let admitted = (0..100).filter(|&key| cache.insert(key, 100).is_admitted()).count();
        turn.wait();
        assert_eq!(admitted, 100);
    });
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    check(&cache);
}

// ---- a map that knows weights ---------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert,
    Get,
    Replace,
    Remove,
    Load,
    OvertakenLoad,
    FailedLoad,
    Retain,
    Clear,
    Bound,
    Maintain,
}

struct Pair {
    cache: Arc<Cache<u64, Tracked>>,
    /// Each key's value; a value's weight is its number modulo 64, or 1.
    map: HashMap<u64, u64>,
    told: Arc<Mutex<Vec<(u64, u64, Cause)>>>,
    ledger: Arc<Ledger>,
    bound: u64,
    next: u64,
}

fn weight_of(value: u64) -> u64 {
    (value % 64).max(1)
}

impl Pair {
    fn new(bound: u64, expected: usize, policy: Policy) -> Self {
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let log = Arc::clone(&told);
        let builder = Cache::builder()
            .max_weight(bound)
            .weigher(|_, value: &Tracked| value.n() % 64)
            .expected_entries(expected)
            .policy(policy)
            .on_evict(move |k: &u64, v: &Tracked, cause| {
                log.lock().unwrap().push((*k, v.n(), cause))
            });
        let cache = Arc::new(builder.build().unwrap());
        Self { cache, map: HashMap::new(), told, ledger: Ledger::new(), bound, next: 0 }
    }

    fn weight(&self) -> u64 {
        self.map.values().map(|&value| weight_of(value)).sum()
    }

    fn fresh(&mut self, weight: u64) -> Tracked {
        self.next += 64;
        self.ledger.make(self.next + weight)
    }

    /// Those who were evicted leave the map, one by one; what the bound did not ask for is a fault.
    /// `key` needs room for a value of weight `weight`, beside what its old value has while that is there.
    fn evicted(&mut self, key: u64, weight: u64) {
        let wanted = (key, weight);
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let victims: Vec<_> = told.iter().filter(|t| t.2 == Cause::Capacity).collect();
        for &&(key, value, _) in &victims {
            let own = self.map.get(&wanted.0).map_or(0, |&old| weight_of(old));
            let (weight, room) = (self.weight(), wanted.1.saturating_sub(own));
            assert!(weight + room > self.bound, "{key} left: {weight} + {room} would have fitted");
            assert_eq!(self.map.remove(&key), Some(value), "an eviction of what is not there");
        }
    }

    fn step(&mut self, op: Op, key: u64, weight: u64) {
        let known = self.map.get(&key).copied();
        match op {
            Op::Insert => {
                let value = self.fresh(weight);
                let n = value.n();
                match self.cache.insert(key, value) {
                    Insert::New => {
                        // The old one may have been among those who left for the new one.
                        self.evicted(key, weight_of(n));
                        assert_eq!(self.map.insert(key, n), None);
                    }
                    Insert::Replaced(old) => {
                        assert_eq!(Some(old.n()), known);
                        self.evicted(key, weight_of(n));
                        self.map.insert(key, n);
                    }
                    Insert::TooHeavy(_, value) => {
                        assert!(weight_of(value.n()) > self.bound);
                        self.map.remove(&key);
                    }
                    Insert::NotAdmitted(..) => panic!("nothing else writes, nothing is pinned"),
                }
            }
            Op::Get => assert_eq!(self.cache.get(&key).map(|v| v.n()), known),
            Op::Replace => {
                let value = self.fresh(weight);
                let n = value.n();
                match self.cache.replace(key, value) {
                    Ok(old) => {
                        assert_eq!(Some(old.n()), known);
                        self.evicted(key, weight_of(n));
                        self.map.insert(key, n);
                    }
                    Err((_, value)) => {
                        // Not there, or it left to make room for its own successor.
                        self.evicted(key, weight_of(value.n()));
                        self.map.remove(&key);
                    }
                }
            }
            Op::Remove => assert_eq!(self.cache.remove(&key).map(|v| v.n()), self.map.remove(&key)),
            Op::Load | Op::OvertakenLoad => {
                let value = self.fresh(weight);
                let n = value.n();
                let cache = Arc::clone(&self.cache);
                let got = cache.get_or_insert_with(key, || {
                    if matches!(op, Op::OvertakenLoad) {
                        self.step(Op::Insert, key, 1 + weight / 2);
                    }
                    value
                });
                assert_eq!(got.n(), known.unwrap_or(n));
                if known.is_none() && matches!(op, Op::Load) {
                    self.evicted(key, weight_of(n));
                    if weight_of(n) <= self.bound {
                        self.map.insert(key, n);
                    }
                }
            }
            Op::FailedLoad => {
                let failed = self.cache.try_get_or_insert_with(key, || Err::<Tracked, ()>(()));
                assert_eq!(failed.ok().map(|v| v.n()), known);
            }
            Op::Retain => {
                self.cache.retain(|key, _| key % 3 > 0);
                self.map.retain(|key, _| key % 3 > 0);
            }
            Op::Clear => {
                self.cache.clear();
                self.map.clear();
            }
            Op::Bound => {
                self.bound = 1 + weight * 8;
                self.cache.set_max_weight(self.bound).unwrap();
                self.evicted(u64::MAX, 0);
            }
            Op::Maintain => self.cache.maintain(),
        }
        self.told.lock().unwrap().clear();
        assert_eq!((self.cache.len(), self.cache.weight()), (self.map.len(), self.weight()));
        assert!(self.weight() <= self.bound);
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => Just(Op::Insert),
        4 => Just(Op::Get),
        3 => Just(Op::Replace),
        3 => Just(Op::Remove),
        6 => Just(Op::Load),
        2 => prop_oneof![Just(Op::OvertakenLoad), Just(Op::FailedLoad)],
        1 => prop_oneof![Just(Op::Retain), Just(Op::Clear), Just(Op::Bound), Just(Op::Maintain)],
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn it_is_a_map_that_forgets_only_when_it_is_too_heavy(
        bound in 1_u64..600,
        expected in 1_usize..40,
        clock: bool,
        ops in prop::collection::vec((op(), 0_u64..60, 0_u64..64), 0..400),
    ) {
        let policy = if clock { Policy::Clock } else { Policy::Adaptive };
        let mut pair = Pair::new(bound, expected, policy);
        for (op, key, weight) in ops {
            pair.step(op, key, weight);
        }
        check(&pair.cache);
        let Pair { cache, ledger, .. } = pair;
        drop(cache);
        ledger.assert_all_dropped();
    }
}

// ---- many threads ---------------------------------------------------------------------------

/// Six threads write what they like, one changes the bound, one looks from outside.
#[test]
fn the_weight_is_never_above_the_bound() {
    for policy in POLICIES {
        for bound in [1_u64, 40, 1000, 30_000] {
            let ledger = Ledger::new();
            let builder = Cache::builder().max_weight(bound).policy(policy);
            let cache = builder.weigher(|_: &u64, value: &Tracked| value.n() % 64).build().unwrap();
            let stop = Stop::default();
            thread::scope(|scope| {
                for t in 0..6 {
                    let (cache, stop, ledger) = (&cache, &stop, &ledger);
                    scope.spawn(move || {
                        let mut random = Random::new(t + 1);
                        while !stop.said() {
                            let key = random.below(bound / 8 + 3);
                            let value = ledger.make(random.below(1 << 20));
                            match random.below(10) {
                                0 => drop(cache.remove(&key)),
                                1 => drop(cache.replace(key, value)),
                                2 => drop(cache.get_or_insert_with(key, || value)),
                                3 if key < 2 => cache.clear(),
                                4 if key < 3 => cache.retain(|key, _| key % 2 == 0),
                                5 => drop(cache.get(&key).map(|value| value.n())),
                                _ => drop(cache.insert(key, value)),
                            }
                        }
                    });
                }
                scope.spawn(|| {
                    let mut random = Random::new(99);
                    while !stop.said() {
                        // Only this thread changes the bound, so what it set holds until it sets another.
                        let now = 1 + random.below(bound);
                        cache.set_max_weight(now).unwrap();
                        for _ in 0..50 {
                            let weight = cache.weight();
                            assert!(weight <= now, "{weight} of {now}");
                        }
                    }
                });
                let _stop = stop.at_end();
                let end = Instant::now() + stress_time() / 8;
                while Instant::now() < end {
                    let weight = cache.weight();
                    assert!(weight <= bound, "{weight} of {bound}");
                }
            });
            check(&cache);
            // Nothing has leaked out of the books: all of the bound is there.
            cache.set_max_weight(bound).unwrap();
            cache.clear();
            (0..bound.min(500)).for_each(|key| drop(cache.insert(key, ledger.make(1))));
            assert_eq!(cache.weight(), bound.min(500));
            check(&cache);
            drop(cache);
            ledger.assert_all_dropped();
        }
    }
}

#[test]
fn nobody_leaves_below_the_bound_with_many_threads() {
    let each = times(2000) as u64;
    let sum = 8 * (1..=each).map(|n| n % 7 + 1).sum::<u64>();
    let cache = Cache::builder().max_weight(sum).weigher(|_, &n: &u64| n).build().unwrap();
    thread::scope(|scope| {
        for t in 0..8_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 1..=each {
                    assert!(matches!(cache.insert(n * 8 + t, n % 7 + 1), Insert::New));
                }
            });
        }
    });
    assert_eq!((cache.weight(), cache.len() as u64), (sum, 8 * each));
    assert_eq!(cache.stats().evictions(Cause::Capacity), 0);
    check(&cache);
}

/// The table grows under readers: what was written is found, always.
#[test]
fn readers_find_their_entries_while_the_table_grows() {
    for policy in POLICIES {
        let builder = Cache::builder().max_weight(1 << 40).weigher(|_, _: &u64| 1);
        let cache = builder.expected_entries(64).policy(policy).build().unwrap();
        let (written, most) = (AtomicU64::new(0), times(60_000) as u64);
        thread::scope(|scope| {
            let done = || written.load(SeqCst) == most;
            for t in 0..3 {
                let (cache, written) = (&cache, &written);
                scope.spawn(move || {
                    let mut random = Random::new(t + 1);
                    while !done() {
                        let n = written.load(SeqCst);
                        if n > 0 {
                            let key = random.below(n);
                            assert_eq!(cache.get(&key), Some(key));
                            assert_eq!(cache.pin().get(&(n - 1)), Some(&(n - 1)));
                        }
                    }
                });
            }
            for key in 0..most {
                assert!(matches!(cache.insert(key, key), Insert::New));
                written.store(key + 1, SeqCst);
            }
        });
        assert_eq!(cache.len() as u64, most);
        check(&cache);
    }
}

/// Several write, each finds what it wrote at once and later, and takes some of it out, while the table grows from
/// next to nothing: what a look-up says at the newest segment holds for the older ones.
#[test]
fn writers_find_what_they_wrote_while_the_table_grows() {
    for round in 0..times(40) as u64 {
        let builder = Cache::builder().max_weight(1 << 40).weigher(|_, _: &u64| 1);
        let cache = builder.expected_entries(1).build().unwrap();
        let kept: usize = thread::scope(|scope| {
            let writers = [0_u64, 1, 2].map(|t| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Random::new(3 * round + t + 1);
                    let mut mine = Vec::new();
                    for n in 0..3000 {
                        let key = 3 * n + t;
                        assert!(matches!(cache.insert(key, key), Insert::New));
                        assert_eq!(cache.get(&key), Some(key));
                        mine.push(key);
                        let at = random.below(mine.len() as u64) as usize;
                        assert_eq!(cache.pin().get(&mine[at]), Some(&mine[at]));
                        if n % 3 == 0 {
                            let key = mine.swap_remove(at);
                            assert_eq!(cache.remove(&key).as_deref(), Some(&key));
                            assert_eq!(cache.get(&key), None);
                        }
                        if n % 512 == 511 {
                            cache.maintain();
                        }
                    }
                    assert!(mine.iter().all(|key| cache.get(key) == Some(*key)));
                    mine.len()
                })
            });
            writers.map(|writer| writer.join().unwrap()).iter().sum()
        });
        assert_eq!(cache.len(), kept);
        check(&cache);
    }
}

/// A load that is detached while it runs weighs what it weighs until it is freed.
#[test]
fn what_detached_loads_leave_is_owed_by_its_weight() {
    use std::sync::atomic::AtomicI64;
    static LIVE: AtomicI64 = AtomicI64::new(0);
    struct Heavy(i64);
    impl Heavy {
        fn new(weight: i64) -> Self {
            LIVE.fetch_add(weight, SeqCst);
            Self(weight)
        }
    }
    impl Clone for Heavy {
        fn clone(&self) -> Self {
            Self::new(self.0)
        }
    }
    impl Drop for Heavy {
        fn drop(&mut self) {
            LIVE.fetch_sub(self.0, SeqCst);
        }
    }
    let weigher = |_: &u32, value: &Heavy| value.0 as u64;
    let cache = Cache::builder().max_weight(1000).weigher(weigher).build().unwrap();
    for key in 0..1000 {
        drop(cache.get_or_insert_with(key, || {
            cache.remove(&key);
            Heavy::new(500)
        }));
        // The bound, a slack of one such value, and the one in hand.
        assert!(LIVE.load(SeqCst) <= 1000 + 2 * 500, "{} alive", LIVE.load(SeqCst));
    }
}
