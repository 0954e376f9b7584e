//! Is an old entry loaded anew by one caller while it serves the others, and does a failure or a write
//! meanwhile do no harm?

use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use hotset::{BuildError, Builder, Cache, Cause, Compute, LoadError, ManualTime, TimeSource};

use crate::common::{Ledger, Log, POLICIES, Random, boom, booms, check, timed};

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

/// A cache that refreshes after a minute: see [`timed`].
fn refreshed<V: Clone + Send + 'static>(
    configure: impl FnOnce(Builder<u64, V>) -> Builder<u64, V>,
) -> (Cache<u64, V>, ManualTime, Log<u64, V>) {
    timed(|builder| configure(builder.refresh_after(MINUTE)))
}

/// The same with an entry of 1 that is due.
fn due(
    configure: impl FnOnce(Builder<u64, &'static str>) -> Builder<u64, &'static str>,
) -> (Cache<u64, &'static str>, ManualTime, Log<u64, &'static str>) {
    let (cache, time, log) = refreshed(configure);
    cache.insert(1, "old");
    time.advance(MINUTE);
    (cache, time, log)
}

fn plain<V>(builder: Builder<u64, V>) -> Builder<u64, V> {
    builder
}

fn told<V: Clone>(log: &Log<u64, V>) -> Vec<(u64, V, Cause)> {
    std::mem::take(&mut *log.lock().unwrap())
}

/// Refreshes and failures.
fn counts<V>(cache: &Cache<u64, V>) -> (u64, u64) {
    let stats = cache.stats();
    (stats.refreshes, stats.refresh_failures)
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn fails() -> Result<&'static str, &'static str> {
    Err("down")
}

#[test]
fn no_age_is_an_error() {
    let error = Cache::<u64, u64>::builder().max_entries(1).refresh_after(Duration::ZERO).build();
    let error = error.unwrap_err();
    assert_eq!(error, BuildError::ZeroTime { what: "refresh_after" });
    assert_eq!(error.to_string(), "refresh_after must be > 0, got 0");
}

#[test]
fn an_old_entry_is_loaded_anew_by_who_can_load_and_read_by_who_cannot() {
    for policy in POLICIES {
        let (cache, time, log) = refreshed(|builder| builder.policy(policy));
        assert_eq!(cache.get_or_insert_with(1, || "a"), "a");
        time.advance(MINUTE - NANO);
        assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "a");
        time.advance(NANO);
        assert_eq!((cache.get(&1), cache.pin().get(&1).copied()), (Some("a"), Some("a")));
        assert_eq!(*cache.load_many([1], |_| Err::<[_; 0], _>(()))[0].as_ref().unwrap(), "a");
        assert_eq!(cache.get_or_insert_with(1, || "b"), "b");
        assert_eq!((cache.get(&1), cache.len()), (Some("b"), 1));
        assert_eq!(told(&log), [(1, "a", Cause::Replaced)]);
        time.advance(MINUTE - NANO); // the new one is as young as it is
        assert_eq!(cache.try_get_or_insert_with(1, fails).unwrap(), "b");
        time.advance(NANO);
        assert_eq!(cache.try_get_or_insert_with(1, || Ok::<_, ()>("c")).unwrap(), "c");
        assert_eq!(counts(&cache), (2, 0));
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.inserts, stats.hits, stats.misses), (1, 3, 8, 1));
        check(&cache);
    }
}

#[test]
fn a_write_makes_young() {
    let (cache, time, _) = due(plain);
    cache.insert(1, "insert");
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "insert");
    cache.replace(1, "replace").unwrap();
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "replace");
    cache.compute(1, |_| Compute::Insert("compute"));
    time.advance(MINUTE - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "compute");
    let (next, later, _) = refreshed(plain);
    assert_eq!(next.restore(cache.dump()), 1);
    later.advance(MINUTE - NANO);
    assert_eq!(next.get_or_insert_with(1, || unreachable!()), "compute");
    later.advance(NANO);
    assert_eq!(next.get_or_insert_with(1, || "new"), "new");
}

#[test]
fn one_of_eight_loads_and_seven_do_not_wait() {
    let (cache, time, _) = refreshed(plain);
    for round in 0..50 {
        cache.insert(1, round);
        time.advance(MINUTE);
        let (start, end, loads) = (Barrier::new(8), Barrier::new(8), AtomicUsize::new(0));
        let one = || {
            start.wait();
            let mut led = false;
            let found = cache.get_or_insert_with(1, || {
                led = true;
                loads.fetch_add(1, SeqCst);
                end.wait(); // which the other seven reach once they have been served
                round + 1000
            });
            assert_eq!(found, if led { round + 1000 } else { round });
            if !led {
                end.wait();
            }
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(one))));
        assert_eq!(loads.into_inner(), 1);
        assert_eq!(cache.get(&1), Some(round + 1000));
    }
    assert_eq!(counts(&cache), (50, 0));
    check(&cache);
}

#[test]
fn a_failure_keeps_the_old_value_and_is_tried_again_after_a_pause() {
    let (cache, time, log) = due(plain);
    let pause = MINUTE / 16;
    assert_eq!(cache.try_get_or_insert_with(1, fails).unwrap(), "old");
    assert_eq!(counts(&cache), (1, 1));
    time.advance(pause - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "old");
    time.advance(NANO);
    assert!(booms(|| cache.get_or_insert_with(1, || boom())));
    assert_eq!((counts(&cache), cache.get(&1)), ((2, 2), Some("old")));
    time.advance(pause - NANO);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "old");
    time.advance(NANO);
    assert_eq!(cache.get_or_insert_with(1, || "new"), "new");
    assert_eq!(counts(&cache), (3, 2));
    assert_eq!(told(&log), [(1, "old", Cause::Replaced)]);
    assert_eq!(cache.stats().load_failures, 0);
    check(&cache);
}

#[test]
fn whoever_asks_while_it_is_refreshed_is_served_the_loader_too() {
    let (cache, time, _) = due(plain);
    let loaded = cache.get_or_insert_with(1, || {
        time.advance(MINUTE * 100); // however long it takes
        assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "old");
        assert_eq!(poll(cache.get_or_insert_async(1, pending())), Poll::Ready("old"));
        "new"
    });
    assert_eq!((loaded, cache.get(&1)), ("new", Some("new")));
}

#[test]
fn what_befalls_the_entry_meanwhile_wins() {
    type Act = fn(&Cache<u64, &'static str>);
    let acts: [(Act, Option<&str>); 6] = [
        (|cache| drop(cache.insert(1, "written")), Some("written")),
        (|cache| drop(cache.replace(1, "written")), Some("written")),
        (|cache| drop(cache.compute(1, |_| Compute::Insert("written"))), Some("written")),
        (|cache| drop(cache.remove(&1)), None),
        (|cache| cache.clear(), None),
        (|cache| cache.retain(|_, _| false), None),
    ];
    for policy in POLICIES {
        for (act, left) in acts {
            let (cache, _, log) = due(|builder| builder.policy(policy));
            let loaded = cache.get_or_insert_with(1, || {
                act(&cache);
                cache.maintain(); // the old entry's memory would be free for others by now
                (2..50).for_each(|key| drop(cache.insert(key, "other")));
                "refreshed"
            });
            assert_eq!((loaded, cache.get(&1)), ("refreshed", left));
            let told = told(&log);
            assert_eq!((told.len(), told[1]), (2, (1, "refreshed", Cause::Rejected)));
            assert_eq!(counts(&cache), (1, 0));
            check(&cache);
        }
    }
}

#[test]
fn an_entry_that_is_over_is_missing_and_not_due() {
    let (cache, time, log) = due(|builder| builder.time_to_live(2 * MINUTE));
    time.advance(MINUTE);
    assert!(cache.try_get_or_insert_with(1, fails).unwrap_err().is_failed());
    assert_eq!((counts(&cache), cache.stats().load_failures), ((0, 0), 1));
    assert_eq!(told(&log), [(1, "old", Cause::Expired)]);
    // Over while it is refreshed: what failed is not hidden behind what must not be found any more.
    cache.insert(1, "second");
    time.advance(MINUTE);
    let late = || {
        time.advance(MINUTE);
        fails()
    };
    assert!(matches!(cache.try_get_or_insert_with(1, late), Err(LoadError::Failed(_))));
    assert_eq!((counts(&cache), cache.get(&1)), ((1, 1), None));
    // And a new value takes the place all the same.
    cache.insert(1, "third");
    time.advance(MINUTE);
    let late = || {
        time.advance(MINUTE);
        "fourth"
    };
    assert_eq!(cache.get_or_insert_with(1, late), "fourth");
    assert_eq!(cache.get(&1), Some("fourth"));
    let expired = |value| (1, value, Cause::Expired);
    assert_eq!(told(&log), [expired("second"), expired("third")]);
    check(&cache);
}

#[test]
fn a_task_that_refreshes_may_go_away() {
    let (cache, time, _) = due(plain);
    let mut gone = Box::pin(cache.get_or_insert_async(1, pending()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(gone.as_mut().poll(&mut context).is_pending());
    assert_eq!(poll(cache.get_or_insert_async(1, pending())), Poll::Ready("old"));
    time.advance(MINUTE);
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "old"); // it is under way
    drop(gone);
    assert_eq!((counts(&cache), cache.get(&1)), ((1, 1), Some("old")));
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), "old");
    time.advance(MINUTE / 16);
    // The next one, in two steps, while the first one's caller is forgotten.
    let mut polls = 0;
    let slow = poll_fn(|_| {
        polls += 1;
        if polls == 1 { Poll::Pending } else { Poll::Ready("new") }
    });
    let mut next = Box::pin(cache.get_or_insert_async(1, slow));
    assert!(next.as_mut().poll(&mut context).is_pending());
    assert_eq!(next.as_mut().poll(&mut context), Poll::Ready("new"));
    drop(next);
    assert_eq!((counts(&cache), cache.get(&1)), ((2, 1), Some("new")));
    // And the errors and panics of futures.
    time.advance(MINUTE);
    let failed = poll(cache.try_get_or_insert_async(1, ready(fails())));
    assert!(matches!(failed, Poll::Ready(Ok("new"))));
    time.advance(MINUTE);
    assert!(booms(|| poll(cache.get_or_insert_async(1, poll_fn(|_| boom())))));
    assert_eq!(counts(&cache), (4, 3));
    check(&cache);
}

#[test]
fn a_task_whose_entry_is_removed_meanwhile_keeps_its_value_to_itself() {
    let (cache, _, log) = due(plain);
    let mut polls = 0;
    let slow = poll_fn(|_| {
        polls += 1;
        if polls == 1 { Poll::Pending } else { Poll::Ready("refreshed") }
    });
    let mut task = Box::pin(cache.get_or_insert_async(1, slow));
    let mut context = Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    drop(cache.remove(&1));
    assert_eq!(cache.get_or_insert_with(1, || "loaded"), "loaded"); // another flight of the key
    assert_eq!(task.as_mut().poll(&mut context), Poll::Ready("refreshed"));
    assert_eq!(cache.get(&1), Some("loaded"));
    assert_eq!(told(&log), [(1, "old", Cause::Removed), (1, "refreshed", Cause::Rejected)]);
}

fn weighed() -> (Cache<u64, u64>, ManualTime, Log<u64, u64>) {
    refreshed::<u64>(|builder| {
        builder.max_weight(10).weigher(|_, value| *value).policy(hotset::Policy::Clock)
    })
}

/// For which somebody leaves; where there are only two it may be the old value itself.
#[test]
fn a_heavier_value_finds_its_room() {
    let mut kept = 0;
    for _ in 0..100 {
        let (cache, time, log) = weighed();
        cache.insert(1, 4);
        cache.insert(2, 3);
        time.advance(MINUTE);
        assert_eq!((cache.get_or_insert_with(1, || 7), cache.weight()), (7, 10)); // what is free will do
        assert_eq!(told(&log), [(1, 4, Cause::Replaced)]);
        time.advance(MINUTE);
        assert_eq!(cache.get_or_insert_with(1, || 8), 8);
        if cache.contains_key(&1) {
            kept += 1;
            assert_eq!((cache.weight(), cache.len()), (8, 1));
            assert_eq!(told(&log), [(1, 7, Cause::Replaced), (2, 3, Cause::Capacity)]);
        } else {
            assert_eq!((cache.weight(), cache.len()), (3, 1));
            assert_eq!(told(&log), [(1, 8, Cause::Rejected), (1, 7, Cause::Capacity)]);
        }
        check(&cache);
    }
    assert!(kept > 0);
}

#[test]
fn a_value_too_heavy_leaves_the_old_one() {
    let (cache, time, log) = weighed();
    cache.insert(1, 8);
    time.advance(MINUTE);
    assert_eq!((cache.get_or_insert_with(1, || 11), cache.get(&1)), (11, Some(8)));
    assert_eq!(told(&log), [(1, 11, Cause::Rejected)]);
    assert_eq!((cache.stats().not_admitted, counts(&cache)), (1, (1, 0)));
    assert_eq!(cache.get_or_insert_with(1, || unreachable!()), 8); // put off
    time.advance(MINUTE / 16);
    assert_eq!((cache.get_or_insert_with(1, || 1), cache.weight()), (1, 1));
    check(&cache);
}

/// Says how often it was asked.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl TimeSource for Asked {
    fn now(&self) -> Duration {
        self.0.fetch_add(1, SeqCst);
        Duration::ZERO
    }
}

#[test]
fn reads_ask_no_clock() {
    let asked = Asked::default();
    let builder = Cache::builder().max_entries(10).time_source(asked.clone());
    let cache = builder.refresh_after(MINUTE).build().unwrap();
    cache.insert(1, 1);
    let before = asked.0.load(SeqCst);
    assert_eq!((cache.get(&1), cache.peek(&1), cache.pin().get(&1)), (Some(1), Some(1), Some(&1)));
    assert_eq!(asked.0.load(SeqCst), before);
    cache.get_or_insert_with(1, || 2);
    assert_eq!(asked.0.load(SeqCst), before + 1);

    let asked = Asked::default();
    let cache = Cache::builder().max_entries(10).time_source(asked.clone()).build().unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.get_or_insert_with(1, || 2), 1);
    assert_eq!(asked.0.load(SeqCst), 0, "a cache without refresh");
}

#[test]
fn an_entry_keeps_its_class() {
    let (cache, time, _) = refreshed::<u64>(plain);
    for key in 0..300 {
        cache.insert(key, key);
        cache.get(&key);
    }
    let classes: Vec<_> = (0..300).map(|key| cache.adaptive_class(&key)).collect();
    time.advance(MINUTE);
    for key in (0..300).filter(|key| cache.contains_key(key)) {
        cache.get_or_insert_with(key, || key + 1000);
    }
    let mut seen = [false; 2];
    for (key, before) in (0..300).zip(classes) {
        let after = cache.adaptive_class(&key);
        assert_eq!(after.map(|class| class.0), before.map(|class| class.0));
        before.inspect(|class| seen[usize::from(class.0)] = true);
    }
    assert_eq!((seen, cache.len()), ([true; 2], 100));
    check(&cache);
}

/// Everything at once: nothing is lost, dropped twice, or left behind, and what was removed stays away.
#[test]
fn threads_that_refresh_write_and_remove() {
    let ledger = Ledger::new();
    for policy in POLICIES {
        let time = ManualTime::new();
        let builder = Cache::builder().max_entries(16).policy(policy).time_source(time.clone());
        let cache = builder.refresh_after(NANO * 3).build().unwrap();
        thread::scope(|scope| {
            for seed in 0..4 {
                let (cache, ledger, time) = (&cache, &ledger, &time);
                scope.spawn(move || {
                    let mut random = Random::new(seed + 1);
                    for _ in 0..4_000 {
                        let key = random.below(24);
                        match random.below(8) {
                            0 => drop(cache.insert(key, ledger.make(key))),
                            1 => drop(cache.remove(&key)),
                            2 => time.advance(NANO),
                            3 => {
                                let failed = cache.try_get_or_insert_with(key, || Err(()));
                                assert!(failed.is_err() || failed.unwrap().n() == key);
                            }
                            _ => {
                                let found = cache.get_or_insert_with(key, || ledger.make(key));
                                assert_eq!(found.n(), key);
                            }
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        assert!(stats.refreshes > stats.refresh_failures && stats.refresh_failures > 0);
        check(&cache);
    }
    ledger.assert_all_dropped();
}
