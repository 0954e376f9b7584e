//! What does a caller wait for, in which order, for how long, and what is it told in the end?

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hotset::resource::Unloaded;
use hotset::{Lease, LeaseError, Phase, Reentrant, ResourceBuildError, ResourceCache, State};

use crate::gate::{Gate, limited, until};
use crate::hand::block_on;
use crate::world::{Broken, Event, Spec, World, boom, spec, weighing};

const SOON: Duration = Duration::from_millis(30);
/// Enough for an estimate to end, however busy the machine.
const PATIENCE: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(10);

type Outcome = Result<Lease<World>, LeaseError<u32, Broken>>;

fn cache(world: &World, max_entries: usize) -> ResourceCache<World> {
    ResourceCache::builder(world.clone()).max_entries(max_entries).no_backoff().build().unwrap()
}

/// Asks in a thread of its own, and returns when it waits.
fn ask(cache: &ResourceCache<World>, spec: Spec) -> JoinHandle<Outcome> {
    let before = cache.snapshot().waiters;
    let asks = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease(&spec))
    };
    until("it waits", || cache.snapshot().waiters > before);
    asks
}

#[test]
fn who_comes_first_is_served_first() {
    let world = World::new();
    let cache = cache(&world, 1);
    let held = cache.lease(&spec(0)).unwrap();
    let (send, served) = mpsc::channel();
    let waits: Vec<_> = [5, 3, 4, 1, 2]
        .into_iter()
        .map(|key| {
            let before = cache.snapshot().waiters;
            let (cache, send) = (cache.clone(), send.clone());
            let probe = cache.clone();
            let waits = thread::spawn(move || {
                let lease = cache.lease(&spec(key)).unwrap();
                send.send(lease.key).unwrap();
            });
            until("it waits", || probe.snapshot().waiters > before);
            waits
        })
        .collect();
    drop(held);
    waits.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(served.try_iter().collect::<Vec<_>>(), [5, 3, 4, 1, 2]);
    world.check_most(1);
}

/// Who asks for a key that already waits shares its place.
#[test]
fn who_asks_for_a_key_that_waits_joins_it() {
    let world = World::new();
    let cache = cache(&world, 1);
    let held = cache.lease(&spec(0)).unwrap();
    let waits = [1, 2, 1, 2].map(|key| ask(&cache, spec(key)));
    drop(held);
    // Both who want 1 have it at one time: the place of the first served both.
    let mut waits = waits.into_iter();
    let (first, second) = (waits.next().unwrap(), waits.next().unwrap());
    let (third, fourth) = (waits.next().unwrap(), waits.next().unwrap());
    let (one, again) = (first.join().unwrap().unwrap(), third.join().unwrap().unwrap());
    assert_eq!((one.key, one.serial), (1, again.serial));
    drop((one, again));
    let (two, again) = (second.join().unwrap().unwrap(), fourth.join().unwrap().unwrap());
    assert_eq!((two.key, two.serial), (2, again.serial));
    assert_eq!(world.totals().loads, 3);
}

/// A hit passes those who wait for room, since it needs none.
#[test]
fn a_hit_does_not_queue() {
    let world = World::new();
    let cache = cache(&world, 1);
    let held = cache.lease(&spec(1)).unwrap();
    let waits = ask(&cache, spec(2));
    assert_eq!(cache.lease(&spec(1)).unwrap().serial, held.serial);
    drop(held);
    assert_eq!(waits.join().unwrap().unwrap().key, 2);
}

#[test]
fn a_wait_for_room_ends_in_capacity_and_says_who_holds_it() {
    let world = World::new();
    let cache = cache(&world, 2);
    let one = cache.lease(&spec(1)).unwrap();
    let copy = one.clone();
    let two = cache.lease(&spec(2)).unwrap();
    let begun = Instant::now();
    let error = cache.lease_within(&spec(3), SOON).expect_err("there is no room");
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
    let text = error.to_string();
    let LeaseError::Capacity { holders } = error else { panic!("{text}") };
    let mut held: Vec<_> = holders.iter().map(|holder| (holder.id, holder.leases)).collect();
    held.sort_unstable();
    assert_eq!(held, [(1, 2), (2, 1)]);
    assert!(holders.iter().all(|holder| holder.held_for >= SOON), "{holders:?}");
    assert!(text.contains('1') && text.contains('2'), "{text}");

    // Who is not served leaves nothing, and remembers nothing.
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.waiters, snapshot.entries.len(), snapshot.failures.len()), (0, 2, 0));
    drop((one, copy, two));
    assert_eq!(cache.lease(&spec(3)).unwrap().key, 3);
}

#[test]
fn a_wait_for_a_load_ends_in_timeout_and_the_load_goes_on() {
    let world = World::new();
    let cache = cache(&world, 2);
    let load = world.hold_load(1);
    match cache.lease_within(&spec(1), SOON) {
        Err(LeaseError::Timeout { phase }) => assert_eq!(phase, Phase::Loading),
        other => panic!("{other:?}"),
    }
    load.await_arrivals(1);
    load.open();
    until("its result stays, idle", || cache.loaded_keys() == [1]);
    assert_eq!(cache.try_lease(&spec(1)).expect("it is there").serial, 1);
    assert_eq!(world.totals().loads, 1);
}

/// One bound over the whole wait, whatever it is for at the moment.
#[test]
fn a_wait_for_the_close_of_ones_own_key_ends_in_timeout() {
    let world = World::new();
    let cache = cache(&world, 2);
    let close = world.hold_close(1);
    cache.lease(&spec(1)).unwrap().retire();
    close.await_arrivals(1);
    match cache.lease_within(&spec(1), SOON) {
        Err(LeaseError::Timeout { phase }) => assert_eq!(phase, Phase::Closing),
        other => panic!("{other:?}"),
    }
    close.open();
    assert_eq!(cache.lease(&spec(1)).unwrap().serial, 2);
}

#[test]
fn a_wait_of_zero_still_takes_what_is_ready() {
    let world = World::new();
    let cache = cache(&world, 1);
    let lease = cache.lease(&spec(1)).unwrap();
    assert_eq!(cache.lease_within(&spec(1), Duration::ZERO).unwrap().serial, lease.serial);
    assert!(cache.lease_within(&spec(2), Duration::ZERO).is_err());
    assert_eq!(cache.snapshot().waiters, 0);
}

#[test]
fn more_waiters_than_allowed_are_refused_at_once() {
    let world = World::new();
    let cache =
        ResourceCache::builder(world.clone()).max_entries(1).max_waiters(2).build().unwrap();
    let held = cache.lease(&spec(1)).unwrap();
    let waits = [2, 3].map(|key| ask(&cache, spec(key)));
    let refused = cache.lease(&spec(4)).err();
    assert!(matches!(refused, Some(LeaseError::QueueFull { .. })), "{refused:?}");
    let refused = block_on(cache.lease_async(&spec(4))).err();
    assert!(matches!(refused, Some(LeaseError::QueueFull { .. })), "{refused:?}");
    assert!(cache.lease(&spec(1)).is_ok(), "a hit is no waiter");
    drop(held);
    for waits in waits {
        assert!(waits.join().unwrap().is_ok());
    }
    assert_eq!(cache.lease(&spec(4)).unwrap().key, 4, "it was not remembered");
}

#[test]
fn what_can_never_fit_is_refused_at_once_and_nothing_is_closed_for_it() {
    let world = World::new();
    let cache =
        ResourceCache::builder(world.clone()).max_entries(4).max_weight(10).build().unwrap();
    drop(cache.lease(&weighing(1, 5)).unwrap());
    match cache.lease(&weighing(2, 11)) {
        Err(LeaseError::TooLarge { need: 11, limit: 10 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!((world.totals().closed, world.loads_of(2)), (0, 0));
    assert_eq!(cache.loaded_keys(), [1]);
    assert_eq!(cache.snapshot().charged_weight, 5);
}

/// The victims are planned whole; a plan that does not suffice closes nobody.
#[test]
fn nothing_is_closed_unless_it_suffices() {
    let world = World::new();
    let cache =
        ResourceCache::builder(world.clone()).max_entries(8).max_weight(10).build().unwrap();
    drop(cache.lease(&weighing(1, 2)).unwrap());
    let held = cache.lease(&weighing(2, 6)).unwrap();
    let refused = cache.lease_within(&weighing(3, 7), PATIENCE).err();
    assert!(matches!(refused, Some(LeaseError::Capacity { .. })), "{refused:?}");
    assert_eq!((cache.loaded_keys(), world.totals().closed), (vec![1, 2], 0));
    drop(held);
    assert_eq!(cache.lease(&weighing(3, 7)).unwrap().key, 3);
    assert!(world.totals().most_weight <= 10);
}

#[test]
fn an_estimate_that_fails_or_panics_is_a_failure_of_the_load() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(2)
        .max_weight(10)
        .no_backoff()
        .build()
        .unwrap();
    world.on_estimate(1, || Err(Broken("no such file")));
    match cache.lease(&spec(1)) {
        Err(LeaseError::Load { id: 1, source }) => assert_eq!(*source, Broken("no such file")),
        other => panic!("{other:?}"),
    }
    world.on_estimate(1, || boom());
    assert!(matches!(cache.lease(&spec(1)), Err(LeaseError::LoadPanicked { .. })));
    assert_eq!((world.totals().loads, cache.snapshot().charged_weight), (0, 0));
    assert_eq!(cache.lease(&spec(1)).unwrap().key, 1);
}

#[test]
fn evict_idle_closes_all_that_is_idle_and_waits() {
    let world = World::new();
    let cache = cache(&world, 4);
    let held = cache.lease(&spec(0)).unwrap();
    (1..4).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    world.on_close(2, || {
        thread::sleep(SOON);
        Err(Broken("no"))
    });
    let report = cache.evict_idle().unwrap();
    assert_eq!((report.closed, report.failed, report.draining), (2, 1, 0));
    assert_eq!(world.totals().closed, 3);
    assert_eq!(cache.loaded_keys(), [0]);
    drop(held);
    assert_eq!(cache.loaded_keys(), [0], "what was leased stays");
}

#[test]
fn evict_all_lets_what_is_leased_drain() {
    let world = World::new();
    let cache = cache(&world, 4);
    let held = cache.lease(&spec(0)).unwrap();
    (1..4).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    let report = block_on(cache.evict_all_async()).unwrap();
    assert_eq!((report.closed, report.failed, report.draining), (3, 0, 1));
    assert!(cache.loaded_keys().is_empty());
    assert!(cache.try_lease(&spec(0)).is_none(), "a draining entry gives no lease");
    assert_eq!(cache.snapshot().charged_entries, 1, "and is charged");
    drop(held);
    world.await_empty();
}

#[test]
fn unload_closes_one_and_waits() {
    let world = World::new();
    let cache = cache(&world, 4);
    (1..3).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    assert_eq!(cache.unload(&1), Ok(Unloaded::Closed));
    assert_eq!(world.totals().closed, 1);
    assert_eq!(cache.loaded_keys(), [2]);
    assert_eq!(block_on(cache.unload_async(&2)), Ok(Unloaded::Closed));
    assert_eq!(world.totals().closed, 2);
    assert_eq!(cache.unload(&2), Ok(Unloaded::Absent));

    // What is leased goes later; what fails to close is gone as well.
    let held = cache.lease(&spec(3)).unwrap();
    assert_eq!(cache.unload(&3), Ok(Unloaded::Draining));
    drop(held);
    world.await_empty();
    world.on_close(4, || Err(Broken("no")));
    drop(cache.lease(&spec(4)).unwrap());
    assert_eq!(cache.unload(&4), Ok(Unloaded::Failed));
    assert!(cache.snapshot().entries.is_empty());
}

#[test]
fn a_limit_that_is_raised_serves_who_waits() {
    let world = World::new();
    let cache = cache(&world, 1);
    let held = cache.lease(&spec(1)).unwrap();
    let waits = ask(&cache, spec(2));
    cache.resize(2, None).unwrap();
    assert_eq!(waits.join().unwrap().unwrap().key, 2);
    assert_eq!(held.key, 1);
    let refused = cache.resize(0, None).err();
    assert!(
        matches!(refused, Some(ResourceBuildError::MaxEntries { given: 0, .. })),
        "{refused:?}"
    );
    assert_eq!(cache.snapshot().max_entries, 2, "a refused limit changes nothing");
}

#[test]
fn a_weight_limit_that_is_lowered_refuses_what_can_no_longer_fit() {
    let world = World::new();
    let cache =
        ResourceCache::builder(world.clone()).max_entries(8).max_weight(10).build().unwrap();
    let held = cache.lease(&weighing(1, 6)).unwrap();
    let waits = ask(&cache, weighing(2, 9));
    until("it waits for room", || cache.snapshot().in_state(State::Queued).count() == 1);
    cache.resize(8, Some(5)).unwrap();
    let outcome = waits.join().unwrap();
    assert!(matches!(outcome, Err(LeaseError::TooLarge { need: 9, limit: 5 })), "{outcome:?}");
    assert_eq!(cache.snapshot().charged_weight, 6, "what is leased stays");
    let refused = cache.lease_within(&weighing(3, 1), PATIENCE).err();
    assert!(matches!(refused, Some(LeaseError::Capacity { .. })), "{refused:?}");
    drop(held);
    assert_eq!(cache.lease(&weighing(3, 5)).unwrap().key, 3);
    assert_eq!(cache.snapshot().charged_weight, 5);
}

#[test]
fn without_waiters_only_what_is_ready_is_given() {
    let world = World::new();
    let cache =
        ResourceCache::builder(world.clone()).max_entries(1).max_waiters(0).build().unwrap();
    assert!(matches!(cache.lease(&spec(1)), Err(LeaseError::QueueFull { max_waiters: 0 })));
    assert_eq!((world.totals().loads, cache.snapshot().entries.len()), (0, 0));
}

#[test]
fn shutdown_reports_what_is_still_leased_and_what_failed() {
    let world = World::new();
    let cache = cache(&world, 4);
    let held = cache.lease(&spec(1)).unwrap();
    (2..4).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    world.on_close(3, || Err(Broken("it sticks")));
    cache.shutdown(Duration::ZERO);
    until("two are closed", || cache.snapshot().counts.closes == 2);
    let report = cache.shutdown(SOON);
    assert_eq!(report.leased.iter().map(|holder| holder.id).collect::<Vec<_>>(), [1]);
    assert_eq!((report.closed, report.failed), (1, 1));
    assert!(!report.is_complete());

    // Once more, when all is given back.
    drop(held);
    let report = block_on(cache.shutdown_async(LONG));
    assert!(report.leased.is_empty(), "{report:?}");
    world.await_empty();
}

#[test]
fn shutdown_fails_who_waits_and_is_shared_by_who_calls_it() {
    let world = World::new();
    let cache = cache(&world, 1);
    let held = cache.lease(&spec(1)).unwrap();
    let waits = ask(&cache, spec(2));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let cache = cache.clone();
            thread::spawn(move || cache.shutdown(LONG))
        })
        .collect();
    let outcome = waits.join().unwrap();
    assert!(matches!(outcome, Err(LeaseError::ShuttingDown)), "{outcome:?}");
    drop(held);
    for call in calls {
        assert!(call.join().unwrap().leased.is_empty());
    }
    assert_eq!(world.totals().closed, 1);
}

/// A hit works inside a loader; what would wait is refused, not deadlocked.
#[test]
fn inside_a_load_a_hit_works_and_a_wait_is_reentrant() {
    limited("a loader that asks its own cache", || {
        let world = World::new();
        let cache = cache(&world, 3);
        drop(cache.lease(&spec(1)).unwrap());
        let inner = cache.clone();
        world.on_load(2, move || {
            assert_eq!(inner.lease(&spec(1)).unwrap().key, 1);
            for key in [2, 3] {
                assert!(matches!(inner.lease(&spec(key)), Err(LeaseError::Reentrant)));
            }
            assert!(matches!(block_on(inner.lease_async(&spec(3))), Err(LeaseError::Reentrant)));
            assert!(inner.try_lease(&spec(2)).is_none());
            assert_eq!(inner.unload(&1), Err(Reentrant));
            assert_eq!(inner.evict_idle(), Err(Reentrant));
            assert_eq!(block_on(inner.evict_all_async()), Err(Reentrant));
            assert_eq!(inner.loaded_keys(), [1], "what is refused does nothing");
            Ok(None)
        });
        assert_eq!(cache.lease(&spec(2)).unwrap().key, 2);
        assert_eq!(world.loads_of(3), 0);
    });
}

#[test]
fn inside_an_estimate_a_hit_works_and_a_wait_is_reentrant() {
    limited("an estimate that asks its own cache", || {
        let world = World::new();
        let builder = ResourceCache::builder(world.clone()).max_entries(3).max_weight(10);
        let cache = builder.build().unwrap();
        drop(cache.lease(&spec(1)).unwrap());
        let inner = cache.clone();
        world.on_estimate(2, move || {
            assert_eq!(inner.lease(&spec(1)).unwrap().key, 1);
            assert!(matches!(inner.lease(&spec(3)), Err(LeaseError::Reentrant)));
            Ok(1)
        });
        assert_eq!(cache.lease(&spec(2)).unwrap().key, 2);
        assert_eq!(world.loads_of(3), 0);
    });
}

#[test]
fn inside_a_close_a_hit_works_and_a_wait_is_reentrant() {
    limited("a close that asks its own cache", || {
        let world = World::new();
        let cache = cache(&world, 2);
        (1..3).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
        let inner = cache.clone();
        world.on_close(1, move || {
            assert_eq!(inner.lease(&spec(2)).unwrap().key, 2);
            for key in [1, 3] {
                assert!(matches!(inner.lease(&spec(key)), Err(LeaseError::Reentrant)));
            }
            Ok(())
        });
        assert_eq!(cache.unload(&1), Ok(Unloaded::Closed));
        assert_eq!(cache.snapshot().counts.close_failures, 0, "the close's own assertions held");
    });
}

/// A shutdown inside a load begins, and cannot wait for that load.
#[test]
fn inside_a_load_a_shutdown_begins_and_does_not_wait() {
    limited("a loader that shuts its own cache down", || {
        let world = World::new();
        let cache = cache(&world, 2);
        let inner = cache.clone();
        world.on_load(1, move || {
            assert!(!inner.shutdown(LONG).is_complete());
            Ok(None)
        });
        assert!(matches!(cache.lease(&spec(1)), Err(LeaseError::ShuttingDown)));
        assert!(cache.shutdown(LONG).is_complete());
        assert_eq!((world.totals().opened, world.totals().closed), (1, 1));
    });
}

/// Another cache is no cache of one's own.
#[test]
fn inside_a_load_another_cache_may_be_waited_for() {
    let (outer, inner) = (World::new(), World::new());
    let bases = cache(&inner, 1);
    let adapters = cache(&outer, 1);
    outer.on_load(1, move || {
        assert_eq!(bases.lease(&spec(7)).unwrap().key, 7);
        Ok(None)
    });
    assert_eq!(adapters.lease(&spec(1)).unwrap().key, 1);
}

#[test]
fn loads_and_closes_are_as_parallel_as_allowed_and_no_more() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(6)
        .max_concurrent_loads(2)
        .max_concurrent_closes(3)
        .build()
        .unwrap();
    let gate = Gate::new();
    let held = |world: &World, key| {
        let gate = gate.clone();
        world.on_load(key, move || {
            gate.pass();
            Ok(None)
        });
    };
    (0..6).for_each(|key| held(&world, key));
    let waits: Vec<_> = (0..6).map(|key| ask(&cache, spec(key))).collect();
    gate.await_arrivals(2);
    thread::sleep(SOON);
    assert_eq!(gate.arrivals(), 2);
    gate.open();
    waits.into_iter().for_each(|waits| drop(waits.join().unwrap().unwrap()));

    let gate = Gate::new();
    for key in 0..6 {
        let gate = gate.clone();
        world.on_close(key, move || {
            gate.pass();
            Ok(())
        });
    }
    let evicts = {
        let cache = cache.clone();
        thread::spawn(move || cache.evict_all())
    };
    gate.await_arrivals(3);
    thread::sleep(SOON);
    assert_eq!(gate.arrivals(), 3);
    gate.open();
    assert_eq!(evicts.join().unwrap().unwrap().closed, 6);
    assert_eq!(world.take_events().iter().filter(|e| matches!(e, Event::CloseEnded(_))).count(), 6);
}
