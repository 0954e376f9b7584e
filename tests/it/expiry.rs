//! Is nothing found after its time, and does what is over leave once, with the right cause?

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use hotset::{BuildError, Builder, Cache, Cause, Insert, LoadError, ManualTime, TimeSource};

use crate::common::{
    Ledger, Log, POLICIES, Random, Stop, Tracked, boom, booms, check, stress_time, timed,
};

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn to_live<V: Clone + Send + 'static>() -> (Cache<u64, V>, ManualTime, Log<u64, V>) {
    timed(|builder| builder.time_to_live(MINUTE))
}

fn told<V: Clone>(log: &Log<u64, V>) -> Vec<(u64, V, Cause)> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[test]
fn an_entry_lives_exactly_as_long_as_it_may() {
    let (cache, time, _) = to_live();
    cache.insert(1, "a");
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get(&1), Some("a"));
    time.advance(NANO);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_write_begins_a_new_life_and_a_read_does_not() {
    let (cache, time, log) = to_live();
    cache.insert(1, "a");
    time.advance(MINUTE / 2);
    assert_eq!(cache.get(&1), Some("a"));
    assert!(matches!(cache.insert(1, "b"), Insert::Replaced(old) if *old == "a"));
    time.advance(MINUTE / 2);
    assert_eq!(cache.get(&1), Some("b")); // that of "a" would be over
    assert_eq!(*cache.replace(1, "c").unwrap(), "b");
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get(&1), Some("c"));
    time.advance(NANO);
    assert_eq!(cache.get(&1), None);
    assert_eq!(told(&log), [(1, "a", Cause::Replaced), (1, "b", Cause::Replaced)]);
}

#[test]
fn hits_keep_an_idle_entry_and_looks_do_not() {
    let (cache, time, _) = timed(|builder| builder.time_to_idle(MINUTE));
    for key in 0..4 {
        cache.insert(key, key);
    }
    time.advance(MINUTE / 2);
    assert_eq!(cache.get(&0), Some(0));
    assert_eq!(cache.pin().get(&1), Some(&1));
    assert_eq!(cache.peek(&2), Some(2));
    assert!(cache.contains_key(&3) && cache.pin().peek(&3).is_some());
    assert_eq!(cache.iter().count(), 4);
    time.advance(MINUTE / 2);
    let found: Vec<_> = (0..4).map(|key| cache.contains_key(&key)).collect();
    assert_eq!(found, [true, true, false, false]);
    time.advance(MINUTE / 2);
    assert_eq!(cache.sweep(), 4);
}

#[test]
fn a_loading_caller_that_hits_keeps_an_idle_entry() {
    let (cache, time, _) = timed(|builder| builder.time_to_idle(MINUTE));
    for round in 0..5 {
        assert_eq!(cache.get_or_insert_with(1, || round), 0);
        time.advance(MINUTE - NANO);
    }
}

#[test]
fn a_hit_soon_after_the_last_one_writes_nothing() {
    let (cache, time, _) = timed(|builder| builder.time_to_idle(MINUTE));
    cache.insert(1, 1);
    time.advance(MINUTE / 16 - NANO);
    assert_eq!(cache.get(&1), Some(1)); // too soon to be written down
    time.advance(MINUTE - MINUTE / 16);
    assert_eq!(cache.get(&1), Some(1)); // a nanosecond is left of the first life; written down
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get(&1), Some(1));
    time.advance(MINUTE);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn the_earliest_end_counts() {
    let own = |_: &u64, v: &Option<u64>| v.map(Duration::from_secs);
    let (cache, time, _) = timed(|builder| {
        builder.time_to_live(MINUTE).time_to_idle(Duration::from_secs(50)).expire_with(own)
    });
    cache.insert(10, Some(10)); // its own end is first
    cache.insert(50, Some(1000)); // it asks for more than it gets: idle
    cache.insert(60, None); // to live, as it is used
    for second in 0..70 {
        assert_eq!(cache.contains_key(&10), second < 10, "at {second}");
        assert_eq!(cache.contains_key(&50), second < 50, "at {second}");
        assert_eq!(cache.get(&60).is_some(), second < 60, "at {second}");
        time.advance(Duration::from_secs(1));
    }
}

#[test]
fn extreme_times() {
    let own = |_: &u64, v: &Duration| Some(*v);
    let (cache, time, log) = timed(|builder| builder.expire_with(own));
    assert!(matches!(cache.insert(1, Duration::ZERO), Insert::New));
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.get_or_insert_with(1, || Duration::ZERO), Duration::ZERO); // given, not found
    assert_eq!(cache.get(&1), None);
    cache.insert(2, Duration::MAX);
    time.advance(Duration::MAX);
    assert!(cache.contains_key(&2), "for ever means for ever");
    let (cache, time, _) =
        timed(|builder| builder.time_to_live(Duration::MAX).time_to_idle(Duration::MAX));
    time.advance(Duration::from_secs(u32::MAX.into()));
    cache.insert(1, 1);
    time.advance(Duration::MAX);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(told(&log), [(1, Duration::ZERO, Cause::Expired)]);
}

#[test]
fn what_cannot_be_built() {
    let zero = |configure: fn(Builder<u64, u64>) -> Builder<u64, u64>| {
        configure(Cache::builder().max_entries(1)).build().unwrap_err()
    };
    let error = zero(|builder| builder.time_to_live(Duration::ZERO));
    assert_eq!(error, BuildError::ZeroTime { what: "time_to_live" });
    assert_eq!(error.to_string(), "time_to_live must be > 0, got 0");
    let error = zero(|builder| builder.time_to_idle(Duration::ZERO));
    assert_eq!(error.to_string(), "time_to_idle must be > 0, got 0");
}

/// Time that stands still and counts who asks for it.
#[derive(Default)]
struct Watched(AtomicUsize);

impl TimeSource for Watched {
    fn now(&self) -> Duration {
        self.0.fetch_add(1, SeqCst);
        Duration::ZERO
    }
}

#[test]
fn only_a_cache_with_expiry_reads_a_clock() {
    let uses = |cache: &Cache<u64, u64>| {
        (0..20).for_each(|n| drop(cache.insert(n, n)));
        assert_eq!(cache.get(&30).or(cache.peek(&31)), cache.pin().get(&32).copied());
        cache.get_or_insert_with(30, || 1);
        cache.remove(&30);
        cache.sweep();
        cache.retain(|key, _| key % 2 == 0);
        cache.clear();
    };
    let source = Arc::new(Watched::default());
    let build = || Cache::builder().max_entries(10).time_source(Arc::clone(&source));
    uses(&build().build().unwrap());
    assert_eq!(source.0.load(SeqCst), 0);
    uses(&build().time_to_live(MINUTE).build().unwrap());
    assert!(source.0.load(SeqCst) > 0);
}

/// Ten entries whose time is over.
fn ten_over() -> (Cache<u64, u64>, ManualTime, Log<u64, u64>) {
    let (cache, time, log) = to_live();
    (0..10).for_each(|key| drop(cache.insert(key, key)));
    time.advance(MINUTE);
    (cache, time, log)
}

#[test]
fn reads_find_nothing_and_change_nothing() {
    let (cache, _, log) = ten_over();
    assert_eq!(cache.get(&0), None);
    assert_eq!(cache.with(&0, |_, _| ()), None);
    assert_eq!(cache.peek(&0), None);
    assert!(!cache.contains_key(&0));
    assert_eq!(cache.iter().count(), 0);
    assert_eq!(cache.coldest_first(), Vec::<u64>::new());
    let pinned = cache.pin();
    assert_eq!((pinned.get(&0), pinned.peek(&0), pinned.get_key_value(&0)), (None, None, None));
    assert!(!pinned.contains_key(&0));
    assert_eq!(pinned.iter().count(), 0);
    drop(pinned);
    assert!(format!("{cache:?}").contains("entries: {}"));
    assert_eq!((cache.len(), told(&log)), (10, vec![]), "a read made something leave");
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 4));
    assert_eq!(cache.stats().expired_misses, 4);
    assert!(cache.validate().is_ok());
}

#[test]
fn a_read_inside_a_read_finds_nothing_either() {
    let (cache, time, _) = to_live();
    cache.insert(1, 1);
    time.advance(MINUTE / 2);
    cache.insert(2, 2);
    time.advance(MINUTE / 2);
    assert_eq!(cache.with(&2, |_, _| (cache.get(&1), cache.get(&2))), Some((None, Some(2))));
}

#[test]
fn writes_meet_an_entry_that_is_over_as_none_and_it_leaves() {
    let (cache, _, log) = ten_over();
    assert!(matches!(cache.insert(0, 100), Insert::New));
    assert_eq!(told(&log), [(0, 0, Cause::Expired)]);
    assert_eq!(cache.replace(1, 100).unwrap_err(), (1, 100));
    assert_eq!(told(&log), [(1, 1, Cause::Expired)]);
    assert!(cache.remove(&2).is_none());
    assert_eq!(told(&log), [(2, 2, Cause::Expired)]);
    assert!(cache.remove_if(&3, |_, _| unreachable!("asked about the dead")).is_none());
    assert_eq!(told(&log), [(3, 3, Cause::Expired)]);
    cache.retain(|key, _| *key == 0 || unreachable!("asked about the dead"));
    let mut rest = told(&log);
    rest.sort_by_key(|entry| entry.0);
    assert_eq!(rest, (4..10).map(|n| (n, n, Cause::Expired)).collect::<Vec<_>>());
    assert_eq!(cache.iter().collect::<Vec<_>>(), [(0, 100)]);
    assert_eq!(cache.stats().evictions(Cause::Expired), 10);
    check(&cache);
}

#[test]
fn sweeping_removes_all_that_are_over_and_no_others() {
    let (cache, _, log) = ten_over();
    (5..12).for_each(|key| drop(cache.insert(key, key)));
    log.lock().unwrap().clear();
    assert_eq!((cache.len(), cache.sweep(), cache.sweep(), cache.len()), (12, 5, 0, 7));
    assert!(told(&log).iter().all(|&(key, _, cause)| key < 5 && cause == Cause::Expired));
    check(&cache);
    assert_eq!(Cache::<u64, u64>::new(5).sweep(), 0);
}

#[test]
fn clearing_and_dropping_say_what_was_over() {
    for drops in [false, true] {
        let (cache, _, log) = ten_over();
        cache.insert(10, 10);
        if drops {
            drop(cache)
        } else {
            cache.clear()
        }
        let (over, others): (Vec<_>, Vec<_>) =
            told(&log).into_iter().partition(|&(_, _, cause)| cause == Cause::Expired);
        assert_eq!((over.len(), others), (10, vec![(10, 10, Cause::Removed)]));
    }
}

#[test]
fn a_full_cache_gives_up_the_dead_first() {
    for policy in POLICIES {
        let (cache, time, log) =
            timed(|builder| builder.policy(policy).max_entries(1000).time_to_live(MINUTE));
        (0..500_u64).for_each(|key| drop(cache.insert(key, key)));
        time.advance(MINUTE / 2);
        (500..1000).for_each(|key| drop(cache.insert(key, key)));
        // All are in use, those that are over as well.
        (0..1000).for_each(|key| assert!(cache.get(&key).is_some()));
        time.advance(MINUTE / 2);
        assert_eq!(cache.len(), 1000);
        (1000..1500).for_each(|key| assert!(cache.insert(key, key).is_admitted()));
        let early = told(&log).iter().filter(|told| told.2 != Cause::Expired).count();
        assert!(early <= 50, "{policy:?}: {early} of 500 newcomers cost a live entry");
        // And the search ends: it does not go on where nothing is over.
        assert_eq!(cache.len(), 1000);
        check_live(&cache, 1000);
    }
}

/// The cache has `n` entries that are found, but for those whose time is over.
fn check_live(cache: &Cache<u64, u64>, n: usize) {
    assert!(cache.validate().is_ok());
    assert!(cache.iter().count() + cache.sweep() == n);
}

#[test]
fn below_the_bound_nothing_waits_for_the_dead() {
    let (cache, _, log) = ten_over();
    for key in 100..190 {
        assert!(matches!(cache.insert(key, key), Insert::New));
    }
    assert_eq!((cache.len(), told(&log)), (100, vec![]));
}

#[test]
fn a_lower_bound_says_what_was_over() {
    let (cache, _, log) = ten_over();
    cache.set_max_entries(1).unwrap();
    assert_eq!(told(&log).iter().filter(|told| told.2 == Cause::Expired).count(), 9);
}

#[test]
fn weighed_entries_give_their_weight_back() {
    for policy in POLICIES {
        let time = ManualTime::new();
        let cache = Cache::builder()
            .max_weight(100)
            .weigher(|_: &u64, weight: &u64| *weight)
            .policy(policy)
            .time_to_live(MINUTE)
            .time_source(time.clone())
            .build()
            .unwrap();
        (0..10_u64).for_each(|key| drop(cache.insert(key, 10)));
        time.advance(MINUTE);
        assert!(cache.insert(0, 30).is_admitted(), "a heavier value of a key that is over");
        assert!(cache.insert(100, 65).is_admitted(), "one that needs the room of many");
        assert!(cache.stats().evictions(Cause::Capacity) <= 1, "{policy:?}: the dead go first");
        assert!((65..=100).contains(&cache.weight()) && cache.validate().is_ok());
        time.advance(MINUTE);
        assert_eq!(cache.get_or_insert_with(100, || 20), 20);
        cache.sweep();
        assert_eq!((cache.len(), cache.weight()), (1, 20));
        assert!(cache.validate().is_ok());
    }
}

// ---- loads -----------------------------------------------------------------------------------

#[test]
fn a_load_renews_what_is_over() {
    let (cache, time, log) = ten_over();
    let seen = Arc::clone(&log);
    let value = cache.get_or_insert_with(1, || {
        assert_eq!(told(&seen), [(1, 1, Cause::Expired)], "it left when the load began");
        100
    });
    assert_eq!((value, cache.get(&1), cache.len()), (100, Some(100), 10));
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!("it lives")), 100);
    assert_eq!(told(&log), []);
    assert!(cache.validate().is_ok());
}

#[test]
fn a_life_begins_when_the_load_ends() {
    let (cache, time, _) = to_live();
    cache.get_or_insert_with(1, || {
        time.advance(MINUTE * 10);
        1
    });
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get(&1), Some(1));
    time.advance(NANO);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn an_entry_that_ends_during_another_load_is_over() {
    let (cache, time, _) = to_live();
    cache.insert(1, 1);
    cache.get_or_insert_with(2, || {
        time.advance(MINUTE);
        assert_eq!(cache.get(&1), None);
        2
    });
    assert_eq!(cache.get(&2), Some(2));
}

#[test]
fn a_renewal_that_fails_leaves_nothing() {
    let (cache, _, log) = ten_over();
    assert!(cache.try_get_or_insert_with(1, || Err::<u64, _>("down")).unwrap_err().is_failed());
    assert!(booms(|| cache.get_or_insert_with(2, || boom())));
    assert_eq!((cache.get(&1), cache.get(&2), cache.len()), (None, None, 8));
    assert_eq!(told(&log), [(1, 1, Cause::Expired), (2, 2, Cause::Expired)]);
    assert_eq!(cache.get_or_insert_with(1, || 5), 5);
    assert!(cache.validate().is_ok());
}

#[test]
fn writes_during_a_renewal_win() {
    let (cache, _, _) = ten_over();
    let value = cache.get_or_insert_with(1, || {
        assert!(matches!(cache.insert(1, 7), Insert::New));
        100
    });
    assert_eq!((value, cache.get(&1)), (100, Some(7)));
    cache.get_or_insert_with(2, || {
        assert!(cache.remove(&2).is_none());
        100
    });
    assert_eq!(cache.get(&2), None);
    assert!(cache.validate().is_ok());
}

#[test]
fn one_of_many_renews() {
    let (cache, time, log) = to_live();
    let cache = Arc::new(cache);
    for round in 0..20 {
        let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    let value = cache.get_or_insert_with(1, || {
                        loads.fetch_add(1, SeqCst);
                        round
                    });
                    assert_eq!(value, round);
                });
            }
        });
        assert_eq!(loads.load(SeqCst), 1);
        time.advance(MINUTE);
    }
    let expected: Vec<_> = (0..19).map(|round| (1, round, Cause::Expired)).collect();
    assert_eq!(told(&log), expected);
}

#[test]
fn a_listener_that_asks_for_the_renewed_key_does_not_wait_for_itself() {
    static CACHE: OnceLock<Weak<Cache<u64, u64>>> = OnceLock::new();
    static ANSWERS: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    let time = ManualTime::new();
    let cache = Cache::builder()
        .max_entries(10)
        .time_to_live(MINUTE)
        .time_source(time.clone())
        .on_evict(|key: &u64, _: &u64, _| {
            if let Some(cache) = CACHE.get().unwrap().upgrade() {
                let answer = cache.try_get_or_insert_with(*key, || Ok::<_, ()>(5));
                ANSWERS.lock().unwrap().push(matches!(answer, Err(LoadError::Reentrant)));
            }
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    CACHE.set(Arc::downgrade(&cache)).unwrap();
    cache.insert(1, 1);
    time.advance(MINUTE);
    assert_eq!(cache.get_or_insert_with(1, || 2), 2);
    assert_eq!(*ANSWERS.lock().unwrap(), [true]);
}

// ---- functions of the user's -------------------------------------------------------------------

#[test]
fn a_panic_in_expire_with_is_that_of_the_writer_or_the_loader() {
    let ledger = Ledger::new();
    let (cache, _, log) = timed::<Arc<Tracked>>(|builder| {
        builder.expire_with(|_, v: &Arc<Tracked>| if v.n() == 13 { boom() } else { Some(MINUTE) })
    });
    let make = |n| Arc::new(ledger.make(n));
    cache.insert(1, make(1));
    assert!(booms(|| cache.insert(1, make(13))));
    assert!(booms(|| cache.replace(1, make(13))));
    assert_eq!(cache.get(&1).unwrap().n(), 1, "nothing has happened");
    let loading = Barrier::new(2);
    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            loading.wait();
            cache.try_get_or_insert_with(2, || Ok::<_, ()>(make(2)))
        });
        assert!(booms(|| cache.get_or_insert_with(2, || {
            loading.wait();
            std::thread::sleep(Duration::from_millis(20));
            make(13)
        })));
        waiter.join().unwrap()
    });
    // It came in time to wait, or after.
    assert!(waiter.map_or_else(|error| error.is_panicked(), |value| value.n() == 2));
    cache.clear();
    drop(told(&log));
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn expire_with_may_use_the_cache() {
    static CACHE: OnceLock<Weak<Cache<u64, u64>>> = OnceLock::new();
    let cache = Cache::builder()
        .max_entries(10)
        .expire_with(|key: &u64, _: &u64| {
            let cache = CACHE.get()?.upgrade()?;
            cache.get(&(key + 1)).map(|_| MINUTE).or_else(|| {
                (*key < 5).then(|| drop(cache.insert(key + 1, 0)));
                None
            })
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    CACHE.set(Arc::downgrade(&cache)).unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.len(), 5);
    check(&cache);
}

#[test]
fn the_system_clock_will_do() {
    let cache =
        Cache::builder().max_entries(10).time_to_live(Duration::from_millis(300)).build().unwrap();
    let start = std::time::Instant::now();
    cache.insert(1, 1);
    let after = std::time::Instant::now();
    loop {
        let before = std::time::Instant::now();
        let found = cache.get(&1).is_some();
        // Exact: a time this short is measured by the exact clock.
        if found {
            assert!(before.duration_since(after) < Duration::from_millis(300), "found too late");
        } else {
            assert!(start.elapsed() >= Duration::from_millis(300), "over too early");
            break;
        }
    }
}

// ---- several threads -----------------------------------------------------------------------------

/// Nothing is found after its time; each entry leaves once.
#[test]
fn stress() {
    for policy in POLICIES {
        stress_with(policy);
    }
}

fn stress_with(policy: hotset::Policy) {
    const KEYS: u64 = 400;
    let time = ManualTime::new();
    let (left, ledger) = (Arc::new(AtomicUsize::new(0)), Ledger::new());
    let count = Arc::clone(&left);
    // A value is the moment at which its time is over; to be exact, time stands while one comes.
    let still = Arc::new(RwLock::new(()));
    let source = time.clone();
    let cache: Cache<u64, Tracked> = Cache::builder()
        .max_entries(200)
        .policy(policy)
        .expire_with(move |_, v: &Tracked| {
            Some(Duration::from_nanos(v.n()).saturating_sub(source.now()))
        })
        .time_source(time.clone())
        .on_evict(move |_, v: &Tracked, _| {
            v.n();
            count.fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    let (stop, came) = (Stop::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _end = stop.at_end();
        for thread in 0..4 {
            let (cache, time, still, stop, came, ledger) =
                (&cache, &time, &still, &stop, &came, &ledger);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                while !stop.said() {
                    let key = random.below(KEYS);
                    let fresh = |random: &mut Random| {
                        ledger.make(time.now().as_nanos() as u64 + random.below(100))
                    };
                    let before = time.now().as_nanos() as u64;
                    let alive = |end: u64| assert!(end > before, "found {} ns late", before - end);
                    match random.below(10) {
                        0..3 => drop(cache.with(&key, |_, value| alive(value.n()))),
                        3 => drop(cache.pin().get(&key).map(|value| alive(value.n()))),
                        4 => drop(cache.remove(&key).map(|removed| alive(removed.n()))),
                        5 => cache.iter().take(5).for_each(|(_, value)| alive(value.n())),
                        6 if random.below(50) == 0 => drop(cache.sweep()),
                        7 => {
                            let _still = still.read().unwrap();
                            cache.get_or_insert_with(key, || {
                                came.fetch_add(1, SeqCst);
                                fresh(&mut random)
                            });
                        }
                        _ => {
                            let _still = still.read().unwrap();
                            let value = fresh(&mut random);
                            if cache.insert(key, value).is_admitted() {
                                came.fetch_add(1, SeqCst);
                            }
                        }
                    }
                }
            });
        }
        let mut random = Random::new(99);
        let start = std::time::Instant::now();
        while start.elapsed() < stress_time() {
            let moves = still.write().unwrap();
            time.advance(Duration::from_nanos(random.below(30)));
            drop(moves);
            std::thread::yield_now();
            assert!(cache.len() <= 200);
        }
    });
    assert!(cache.validate().is_ok());
    cache.clear();
    assert_eq!(left.load(SeqCst), came.load(SeqCst), "each that came left once");
    drop(cache);
    ledger.assert_all_dropped();
}
