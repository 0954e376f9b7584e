//! What does time do? With a clock that is moved by hand: how long failures are remembered, when idle
//! things go, when waits end, when a close is given up, and that nothing happens a moment early.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hotset::resource::{Failure, Unloaded};
use hotset::{
    Cache, Lease, LeaseError, ManualTime, Phase, ResourceBuildError, ResourceBuilder,
    ResourceCache, State, TimeSource,
};

use crate::gate::{limited, until};
use crate::hand::Hand;
use crate::world::{Broken, World, boom, spec, weighing};

const MOMENT: Duration = Duration::from_millis(1);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Stage {
    world: World,
    clock: ManualTime,
    /// When the cache was built, by the system's clock.
    built: RangeInclusive<Instant>,
    cache: ResourceCache<World>,
}

fn stage(
    max_entries: usize,
    choose: impl FnOnce(ResourceBuilder<World>) -> ResourceBuilder<World>,
) -> Stage {
    let clock = ManualTime::new();
    clock.advance(secs(1_000)); // the cache is not there from the beginning
    by(clock.clone(), clock, max_entries, choose)
}

/// A cache that takes the time from `source`, which `clock` moves.
fn by(
    source: impl TimeSource + 'static,
    clock: ManualTime,
    max_entries: usize,
    choose: impl FnOnce(ResourceBuilder<World>) -> ResourceBuilder<World>,
) -> Stage {
    let (world, before) = (World::new(), Instant::now());
    let builder = ResourceCache::builder(world.clone()).max_entries(max_entries);
    let cache = choose(builder.time_source(source)).build().unwrap();
    Stage { world, clock, built: before..=Instant::now(), cache }
}

type Outcome = Result<Lease<World>, LeaseError<u32, Broken>>;

impl Stage {
    /// Asks in a thread of its own, and returns when it waits.
    fn ask(&self, key: u32) -> JoinHandle<Outcome> {
        let before = self.cache.snapshot().waiters;
        let cache = self.cache.clone();
        let asks = thread::spawn(move || cache.lease(&spec(key)));
        until("it waits", || self.cache.snapshot().waiters > before);
        asks
    }

    /// Asks for a key whose load is scripted to fail; gives the attempts and the backoff that follow.
    #[track_caller]
    fn fail(&self, key: u32) -> (u32, Duration) {
        self.world.on_load(key, || Err(Broken("no")));
        match self.cache.lease(&spec(key)) {
            Err(LeaseError::Load { id, source }) => {
                assert_eq!((id, &*source), (key, &Broken("no")));
            }
            other => panic!("{other:?}"),
        }
        self.backoff(key)
    }

    #[track_caller]
    fn backoff(&self, key: u32) -> (u32, Duration) {
        match self.cache.lease(&spec(key)) {
            Err(LeaseError::Backoff { id, attempts, retry_in, retry_at, .. }) => {
                assert_eq!(id, key);
                self.check_instant(retry_at, retry_in);
                (attempts, retry_in)
            }
            other => panic!("{other:?}"),
        }
    }

    /// An instant is that of the cache's making, and what has passed by its own time until then.
    #[track_caller]
    fn check_instant(&self, instant: Instant, from_now: Duration) {
        let passed = self.clock.now() - secs(1_000);
        assert!(self.built.contains(&(instant - from_now - passed)));
    }

    fn state_of(&self, key: u32) -> Option<State> {
        self.cache.snapshot().entries.iter().find(|entry| entry.id == key).map(|entry| entry.state)
    }
}

fn backing_off() -> Stage {
    stage(2, |builder| builder.backoff(secs(1), secs(4)))
}

#[test]
fn a_backoff_doubles_up_to_its_longest() {
    let stage = backing_off();
    for (attempts, wait) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 4)] {
        assert_eq!(stage.fail(1), (attempts, secs(wait)));
        stage.clock.advance(secs(wait) - MOMENT);
        assert_eq!(stage.backoff(1), (attempts, MOMENT));
        stage.clock.advance(MOMENT);
    }
    assert_eq!(stage.world.totals().loads, 5, "a backoff loads nothing");
    assert_eq!(stage.cache.lease(&spec(1)).unwrap().key, 1);
}

#[test]
fn a_backoff_says_when_and_why() {
    let stage = backing_off();
    stage.fail(1);
    let error = stage.cache.lease(&spec(1)).expect_err("too early");
    assert_eq!(error.retry_after(), Some(secs(1)));
    assert_eq!(error.load_error().map(|error| &**error), Some(&Broken("no")));
    let cause = std::error::Error::source(&error).expect("the loader's error");
    assert_eq!(cause.downcast_ref(), Some(&Broken("no")));
    let text = error.to_string();
    assert!(text.contains("no") && text.contains("1s") && text.contains('1'), "{text}");

    let failures = stage.cache.snapshot().failures;
    assert_eq!((failures.len(), failures[0].id, failures[0].attempts), (1, 1, 1));
    stage.check_instant(failures[0].retry_at, secs(1));
    assert!(matches!(&failures[0].failure, Failure::Failed(error) if **error == Broken("no")));
}

#[test]
fn a_backoff_is_of_its_key_alone_and_a_success_ends_it() {
    let stage = backing_off();
    stage.fail(1);
    assert_eq!(stage.cache.lease(&spec(2)).unwrap().key, 2);
    stage.clock.advance(secs(1));
    assert_eq!(stage.fail(1), (2, secs(2)));
    stage.clock.advance(secs(2));
    drop(stage.cache.lease(&spec(1)).unwrap());
    assert!(stage.cache.snapshot().failures.is_empty());
    assert_eq!(stage.cache.unload(&1), Ok(Unloaded::Closed));
    assert_eq!(stage.fail(1), (1, secs(1)), "it counts from the beginning");
}

#[test]
fn a_failure_is_forgotten_after_twice_its_backoff() {
    let stage = backing_off();
    stage.fail(1);
    stage.clock.advance(secs(2) - MOMENT);
    assert_eq!(stage.cache.snapshot().failures.len(), 1);
    stage.clock.advance(MOMENT);
    assert_eq!(stage.cache.snapshot().failures.len(), 0);
    assert_eq!(stage.fail(1), (1, secs(1)));
}

#[test]
fn a_reset_ends_a_backoff() {
    let stage = backing_off();
    assert!(!stage.cache.reset(&1));
    stage.fail(1);
    assert!(stage.cache.reset(&1));
    assert!(stage.cache.snapshot().failures.is_empty());
    assert_eq!(stage.fail(1), (1, secs(1)));
    stage.cache.reset(&1);
    assert_eq!(stage.cache.lease(&spec(1)).unwrap().key, 1);
}

#[test]
fn a_panic_is_a_failure_like_others() {
    let stage = backing_off();
    stage.world.on_load(1, || boom());
    let outcome = stage.cache.lease(&spec(1));
    assert!(matches!(outcome, Err(LeaseError::LoadPanicked { id: 1 })), "{outcome:?}");
    assert_eq!(stage.backoff(1), (1, secs(1)));
    let failures = stage.cache.snapshot().failures;
    assert!(matches!(failures[0].failure, Failure::Panicked));
}

/// What is wrong with the cache and not with the key is not remembered.
#[test]
fn no_room_and_a_full_queue_and_the_wrong_size_are_not_remembered() {
    let stage = stage(1, |builder| builder.max_weight(10).max_waiters(1).wait_timeout(secs(5)));
    let held = stage.cache.lease(&spec(1)).unwrap();
    let waits = stage.ask(2);
    until("it waits for room", || stage.state_of(2) == Some(State::Queued));
    assert!(matches!(stage.cache.lease(&spec(3)), Err(LeaseError::QueueFull { max_waiters: 1 })));
    stage.clock.advance(secs(5));
    assert!(matches!(waits.join().unwrap(), Err(LeaseError::Capacity { .. })));
    let too_large = stage.cache.lease(&weighing(4, 11));
    assert!(matches!(too_large, Err(LeaseError::TooLarge { .. })), "{too_large:?}");
    drop(held);
    stage.world.on_load(5, || Ok(Some(11)));
    let outcome = stage.cache.lease(&weighing(5, 10));
    let underestimated = LeaseError::<u32, Broken>::Underestimated { estimate: 10, actual: 11 };
    assert_eq!(outcome.err().map(|e| e.to_string()), Some(underestimated.to_string()));

    assert!(stage.cache.snapshot().failures.is_empty());
    for key in 2..=5 {
        assert_eq!(stage.cache.lease(&spec(key)).unwrap().key, key);
    }
}

#[test]
fn an_idle_thing_goes_after_its_time_counted_from_its_last_release() {
    let stage = stage(4, |builder| builder.idle_ttl(secs(60)));
    let held = stage.cache.lease(&spec(1)).unwrap();
    drop(stage.cache.lease(&spec(2)).unwrap());
    stage.clock.advance(secs(60) - MOMENT);
    assert_eq!(stage.cache.loaded_keys(), [1, 2]);
    stage.clock.advance(MOMENT);
    assert_eq!(stage.cache.loaded_keys(), [1]);
    stage.clock.advance(secs(1_000));
    assert_eq!(stage.cache.loaded_keys(), [1], "what is leased has all the time");

    drop(held);
    stage.clock.advance(secs(40));
    drop(stage.cache.lease(&spec(1)).unwrap()); // a use begins it anew
    stage.clock.advance(secs(40));
    assert_eq!(stage.cache.loaded_keys(), [1]);
    stage.clock.advance(secs(20));
    assert!(stage.cache.loaded_keys().is_empty());
    stage.world.await_empty();
    assert_eq!(stage.cache.snapshot().counts.expirations, 2);
}

/// A timer is about one generation, not about a key.
#[test]
fn the_time_of_one_thing_does_not_end_the_next_of_its_key() {
    let stage = stage(4, |builder| builder.idle_ttl(secs(60)));
    drop(stage.cache.lease(&spec(1)).unwrap());
    stage.clock.advance(secs(30));
    assert_eq!(stage.cache.unload(&1), Ok(Unloaded::Closed));
    drop(stage.cache.lease(&spec(1)).unwrap());
    stage.clock.advance(secs(59));
    assert_eq!(stage.cache.loaded_keys(), [1]);
    stage.clock.advance(secs(1));
    assert!(stage.cache.loaded_keys().is_empty());
}

/// What nobody fetched is idle, too.
#[test]
fn a_load_that_nobody_waits_for_any_more_expires_like_others() {
    let stage = stage(4, |builder| builder.idle_ttl(secs(60)));
    let load = stage.world.hold_load(1);
    let cache = stage.cache.clone();
    let mut task = Hand::new(async move { cache.lease_async(&spec(1)).await.map(drop) });
    task.poll_pending();
    drop(task);
    load.open();
    until("it is loaded", || stage.cache.loaded_keys() == [1]);
    stage.clock.advance(secs(60));
    stage.world.await_empty();
}

#[test]
fn one_time_bounds_the_whole_wait() {
    let stage = stage(1, |builder| builder); // 30 s unless told otherwise
    let held = stage.cache.lease(&spec(1)).unwrap();
    let waits = stage.ask(2);
    let load = stage.world.hold_load(2);
    stage.clock.advance(secs(20));
    drop(held);
    load.await_arrivals(1); // 20 s for room, and now the load
    stage.clock.advance(secs(10) - MOMENT);
    assert_eq!(stage.cache.snapshot().waiters, 1);
    assert_eq!(stage.cache.snapshot().oldest_wait, Some(secs(30) - MOMENT));
    stage.clock.advance(MOMENT);
    let outcome = waits.join().unwrap();
    assert!(matches!(outcome, Err(LeaseError::Timeout { phase: Phase::Loading })), "{outcome:?}");
    load.open();
    until("the load goes on", || stage.cache.loaded_keys() == [2]);
    assert_eq!(stage.cache.snapshot().counts.timeouts, 1);
}

/// No time at all is over at once, also by a clock that stands still.
#[test]
fn a_wait_of_no_time_does_not_wait() {
    limited("waits of no time", || {
        let stage = stage(1, |builder| builder);
        let load = stage.world.hold_load(1);
        let outcome = stage.cache.lease_within(&spec(1), Duration::ZERO);
        assert!(matches!(outcome, Err(LeaseError::Timeout { .. })), "{outcome:?}");
        load.open();
        until("the load that it began has ended", || stage.cache.loaded_keys() == [1]);

        let held = stage.cache.lease_within(&spec(1), Duration::ZERO).unwrap();
        let outcome = stage.cache.lease_within(&spec(2), Duration::ZERO);
        assert!(matches!(outcome, Err(LeaseError::Capacity { .. })), "{outcome:?}");
        assert_eq!(stage.cache.shutdown(Duration::ZERO).leased.len(), 1);
        drop(held);
    });
}

#[test]
fn who_waits_for_ever_is_not_ended() {
    let stage = stage(1, |builder| builder.wait_timeout(None));
    let held = stage.cache.lease(&spec(1)).unwrap();
    let waits = stage.ask(2);
    stage.clock.advance(secs(1_000_000));
    assert_eq!(stage.cache.snapshot().waiters, 1);
    drop(held);
    assert_eq!(waits.join().unwrap().unwrap().key, 2);
}

#[test]
fn holders_are_named_with_the_time_that_they_hold() {
    let stage = stage(2, |builder| builder.wait_timeout(secs(5)));
    let old = stage.cache.lease(&spec(1)).unwrap();
    stage.clock.advance(secs(10));
    let (new, copy) = (stage.cache.lease(&spec(2)).unwrap(), old.clone());
    let waits = stage.ask(3);
    stage.clock.advance(secs(5));
    let Err(LeaseError::Capacity { holders }) = waits.join().unwrap() else { panic!("no room") };
    let holders: Vec<_> =
        holders.iter().map(|h| (h.id, h.state, h.leases, h.held_for >= secs(5))).collect();
    assert_eq!(holders, [(1, State::Ready, 2, true), (2, State::Ready, 1, true)]);
    drop((old, new, copy));
}

/// What is on its way in or out holds room as well.
#[test]
fn who_loads_and_who_closes_are_holders() {
    let stage = stage(2, |builder| builder.wait_timeout(secs(5)));
    let (load, close) = (stage.world.hold_load(1), stage.world.hold_close(2));
    let loads = stage.ask(1);
    load.await_arrivals(1);
    stage.cache.lease(&spec(2)).unwrap().retire();
    close.await_arrivals(1);
    stage.clock.advance(secs(4));
    let waits = stage.ask(3);
    stage.clock.advance(secs(1));
    assert!(matches!(loads.join().unwrap(), Err(LeaseError::Timeout { .. })));
    stage.clock.advance(secs(4));
    let Err(LeaseError::Capacity { holders }) = waits.join().unwrap() else { panic!("no room") };
    let mut states: Vec<_> = holders.iter().map(|h| (h.id, h.state)).collect();
    states.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(states, [(1, State::Loading), (2, State::Closing)]);
    load.open();
    close.open();
}

#[test]
fn a_wait_for_one_of_the_concurrent_loads_ends_in_timeout() {
    let stage = stage(4, |builder| builder.max_concurrent_loads(1).wait_timeout(secs(5)));
    let load = stage.world.hold_load(1);
    let first = stage.ask(1);
    load.await_arrivals(1);
    stage.clock.advance(secs(1));
    let second = stage.ask(2);
    assert_eq!(stage.state_of(2), Some(State::Reserved));
    stage.clock.advance(secs(4));
    assert!(matches!(first.join().unwrap(), Err(LeaseError::Timeout { phase: Phase::Loading })));
    stage.clock.advance(secs(1));
    let outcome = second.join().unwrap();
    assert!(matches!(outcome, Err(LeaseError::Timeout { phase: Phase::Starting })), "{outcome:?}");
    load.open();
}

#[test]
fn a_wait_for_the_estimate_ends_in_timeout() {
    let stage = stage(4, |builder| builder.max_weight(10).wait_timeout(secs(5)));
    let gate = crate::gate::Gate::new();
    let held = gate.clone();
    stage.world.on_estimate(1, move || {
        held.pass();
        Ok(1)
    });
    let waits = stage.ask(1);
    gate.await_arrivals(1);
    assert_eq!(stage.state_of(1), Some(State::Estimating));
    stage.clock.advance(secs(5));
    let outcome = waits.join().unwrap();
    assert!(
        matches!(outcome, Err(LeaseError::Timeout { phase: Phase::Estimating })),
        "{outcome:?}"
    );
    gate.open();
}

#[test]
fn a_close_is_wedged_when_its_time_is_over_and_still_charged() {
    let stage = stage(1, |builder| builder.close_timeout(secs(9)).wait_timeout(secs(5)));
    let close = stage.world.hold_close(1);
    drop(stage.cache.lease(&spec(1)).unwrap());
    let unloads = {
        let cache = stage.cache.clone();
        thread::spawn(move || cache.unload(&1))
    };
    close.await_arrivals(1);
    stage.clock.advance(secs(9) - MOMENT);
    assert_eq!(stage.state_of(1), Some(State::Closing));
    stage.clock.advance(MOMENT);
    assert_eq!(stage.state_of(1), Some(State::Wedged));
    assert_eq!(unloads.join().unwrap(), Ok(Unloaded::Failed), "nobody waits for it");

    let waits = stage.ask(2);
    stage.clock.advance(secs(5));
    let Err(LeaseError::Capacity { holders }) = waits.join().unwrap() else { panic!("no room") };
    assert_eq!((holders[0].id, holders[0].state), (1, State::Wedged));
    let own = stage.ask(1);
    stage.clock.advance(secs(5));
    let outcome = own.join().unwrap();
    assert!(matches!(outcome, Err(LeaseError::Timeout { phase: Phase::Closing })), "{outcome:?}");

    close.open(); // it ends after all
    until("its room is back", || stage.cache.snapshot().charged_entries == 0);
    assert_eq!(stage.cache.lease(&spec(1)).unwrap().serial, 2);
    stage.world.check_most(1);
}

#[test]
fn a_shutdown_ends_when_its_time_is_over() {
    let stage = stage(3, |builder| builder);
    let held = stage.cache.lease(&spec(1)).unwrap();
    let (load, close) = (stage.world.hold_load(2), stage.world.hold_close(3));
    let loads = stage.ask(2);
    load.await_arrivals(1);
    drop(stage.cache.lease(&spec(3)).unwrap());
    let ends = {
        let cache = stage.cache.clone();
        thread::spawn(move || cache.shutdown(secs(7)))
    };
    close.await_arrivals(1);
    assert!(matches!(loads.join().unwrap(), Err(LeaseError::ShuttingDown)));
    stage.clock.advance(secs(7) - MOMENT);
    thread::sleep(Duration::from_millis(20));
    assert!(!ends.is_finished());
    stage.clock.advance(MOMENT);
    let report = ends.join().unwrap();
    let leased: Vec<_> = report.leased.iter().map(|h| (h.id, h.leases, h.held_for)).collect();
    assert_eq!(leased, [(1, 1, secs(7))]);
    let mut unfinished: Vec<_> = report.unfinished.iter().map(|h| (h.id, h.state)).collect();
    unfinished.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(unfinished, [(2, State::Loading), (3, State::Closing)]);

    load.open();
    close.open();
    drop(held);
    stage.world.await_empty();
    assert_eq!(stage.world.totals().closed, 3);
    until("the cache has heard of it", || stage.cache.snapshot().entries.is_empty());
    let report = stage.cache.shutdown(Duration::ZERO);
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.closed, 3);
}

#[test]
fn a_backoff_that_cannot_be_is_refused() {
    for (min, max) in [(0, 1), (2, 1)] {
        let builder = ResourceCache::builder(World::new()).max_entries(1);
        let refused = builder.backoff(secs(min), secs(max)).build().err();
        let expected = ResourceBuildError::Backoff { min: secs(min), max: secs(max) };
        assert_eq!(refused, Some(expected));
    }
}

/// One time for all the caches of a test, of both kinds, also behind an `Arc`.
#[test]
fn one_time_moves_all_caches_that_share_it() {
    let clock = ManualTime::new();
    let plain = Cache::builder()
        .max_entries(4)
        .time_to_live(secs(60))
        .time_source(clock.clone())
        .build()
        .unwrap();
    let choose = |builder: ResourceBuilder<World>| builder.idle_ttl(secs(60));
    let first = by(clock.clone(), clock.clone(), 4, choose);
    let second = by(Arc::new(clock.clone()), clock.clone(), 4, choose);
    plain.insert(1, 1);
    for stage in [&first, &second] {
        drop(stage.cache.lease(&spec(1)).unwrap());
    }
    clock.advance(secs(60) - MOMENT);
    assert_eq!(plain.get(&1), Some(1));
    assert_eq!((first.cache.loaded_keys(), second.cache.loaded_keys()), (vec![1], vec![1]));
    drop(first.cache);
    clock.advance(MOMENT);
    assert_eq!(plain.get(&1), None);
    assert!(second.cache.loaded_keys().is_empty());
    first.world.await_empty();
    second.world.await_empty();
}

/// Moved by hand as well, but it does not say so.
struct Silent(ManualTime);

impl TimeSource for Silent {
    fn now(&self) -> Duration {
        self.0.now()
    }
}

/// Its cache looks when it would be time by the system's clock, and again if it is not.
#[test]
fn a_source_that_tells_nobody_is_looked_at() {
    let (clock, short) = (ManualTime::new(), Duration::from_millis(30));
    let stage = by(Silent(clock.clone()), clock, 4, |builder| builder.idle_ttl(short));
    drop(stage.cache.lease(&spec(1)).unwrap());
    stage.clock.advance(short - Duration::from_nanos(1));
    thread::sleep(3 * short);
    assert_eq!(stage.cache.loaded_keys(), [1], "by its own time it has a nanosecond left");
    stage.clock.advance(Duration::from_nanos(1));
    stage.world.await_empty();
}

/// Its cache hears of a jump from the next who calls.
#[test]
fn a_call_settles_what_a_silent_source_has_made_due() {
    let clock = ManualTime::new();
    let stage = by(Silent(clock.clone()), clock, 4, |builder| builder.idle_ttl(secs(1_000)));
    drop(stage.cache.lease(&spec(1)).unwrap());
    stage.clock.advance(secs(1_000));
    drop(stage.cache.lease(&spec(2)).unwrap());
    assert_eq!(stage.cache.loaded_keys(), [2]);
}
