//! Are the faults of the original gone? One test for each row of the list of its faults that a
//! library can repeat, and for those that a spec can repeat.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use hotset::{LeaseError, Loader, ResourceCache};

use crate::gate::{Gate, limited, until};
use crate::model_spec::{Device, Dtype, Folder, Kind, ModelId, Models, Request};
use crate::world::{Broken, Event, World, chain, spec};

fn cache(world: &World, max_entries: usize) -> ResourceCache<World> {
    ResourceCache::builder(world.clone()).max_entries(max_entries).no_backoff().build().unwrap()
}

fn id(request: &Request) -> ModelId {
    Models::default().identity(&request.resolve().unwrap())
}

/// Row 1: eviction closed what a request was using.
#[test]
fn row_1_nothing_is_closed_under_its_user() {
    let world = World::new();
    let cache = cache(&world, 1);
    let lease = cache.lease(&spec(1)).unwrap();
    let inside = lease.enter();

    // Whatever asks for its end: capacity, unload, evict_idle, evict_all.
    let refused = cache.lease_within(&spec(2), Duration::from_millis(20)).err();
    assert!(matches!(refused, Some(LeaseError::Capacity { .. })), "{refused:?}");
    assert_eq!(cache.evict_idle().unwrap().closed, 0);
    assert_eq!(cache.evict_all().unwrap().draining, 1);
    assert_eq!(world.totals().closed, 0);
    assert_eq!(lease.key, 1);

    drop(inside);
    drop(lease);
    world.await_empty();
    assert_eq!(world.totals().closed, 1);
}

/// Row 2: a slow close held the lock that hits need.
#[test]
fn row_2_a_slow_close_makes_nobody_wait() {
    let world = World::new();
    let cache = cache(&world, 2);
    drop(cache.lease(&spec(1)).unwrap());
    drop(cache.lease(&spec(2)).unwrap());
    let close = world.hold_close(1);
    let third = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease(&spec(3)).map(|lease| lease.key))
    };
    close.await_arrivals(1);

    let probe = cache.clone();
    limited("what must not wait for a close", move || {
        for _ in 0..1_000 {
            assert_eq!(probe.lease(&spec(2)).unwrap().key, 2);
            assert!(probe.try_lease(&spec(2)).is_some());
            assert!(probe.try_lease(&spec(1)).is_none());
            assert!(probe.lease_ready(&2).is_some());
        }
        assert_eq!(probe.loaded_keys(), [2]);
        assert_eq!(probe.snapshot().entries.len(), 3); // 1 is closing, 2 is ready, 3 waits
    });
    assert_eq!(close.arrivals(), 1);
    close.open();
    assert_eq!(third.join().unwrap().unwrap(), 3);
    world.check_most(2);
}

/// Row 3: parallel loads of different keys went over the budget.
#[test]
fn row_3_parallel_loads_stay_within_the_budget() {
    let world = World::new();
    let cache = cache(&world, 3);
    let start = Barrier::new(12);
    thread::scope(|scope| {
        for key in 0..12 {
            world.on_load(key, || {
                thread::sleep(Duration::from_millis(5));
                Ok(None)
            });
            let (cache, start) = (&cache, &start);
            scope.spawn(move || {
                start.wait();
                assert_eq!(cache.lease(&spec(key)).unwrap().key, key);
            });
        }
    });
    assert_eq!(world.totals().loads, 12);
    world.check_most(3);
}

/// Row 4: those who waited for a load that failed tried again, one after the other.
#[test]
fn row_4_a_failure_is_shared_by_all_who_waited() {
    let world = World::new();
    let cache = cache(&world, 2);
    let gate = Gate::new();
    let held = gate.clone();
    world.on_load(1, move || {
        held.pass();
        Err(Broken("no such model"))
    });
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let cache = cache.clone();
            thread::spawn(move || cache.lease(&spec(1)).map(drop))
        })
        .collect();
    until("eight wait", || cache.snapshot().waiters == 8);
    gate.open();
    let mut errors: Vec<Arc<Broken>> = Vec::new();
    for ask in asks {
        match ask.join().unwrap() {
            Err(LeaseError::Load { source, .. }) => errors.push(source),
            other => panic!("{other:?}"),
        }
    }
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
    assert_eq!(world.totals().loads, 1);
}

/// Row 5: a key that never loads left its lock behind.
#[test]
fn row_5_keys_that_never_load_leave_nothing() {
    let world = World::new();
    let cache = cache(&world, 2);
    for key in 0..200 {
        world.on_load(key, || Err(Broken("no such model")));
        assert!(cache.lease(&spec(key)).is_err());
        assert!(cache.try_lease(&spec(1_000 + key)).is_none());
    }
    until("nothing is left", || {
        let snapshot = cache.snapshot();
        snapshot.entries.is_empty() && snapshot.failures.is_empty() && snapshot.waiters == 0
    });
    assert_eq!(world.totals().live, 0);
}

/// Row 8: the budget believed memory that might not be free, because the close had failed or had
/// not returned yet.
#[test]
fn row_8_the_budget_is_charged_until_the_close_has_returned() {
    let world = World::new();
    let cache = cache(&world, 1);
    drop(cache.lease(&spec(1)).unwrap());
    let gate = Gate::new();
    let held = gate.clone();
    world.on_close(1, move || {
        held.pass();
        Err(Broken("it would not go"))
    });
    let next = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease(&spec(2)).map(|lease| lease.key))
    };
    gate.await_arrivals(1);
    assert_eq!(world.loads_of(2), 0);
    assert_eq!(cache.snapshot().charged_entries, 1, "what is closing is charged");
    gate.open();
    assert_eq!(next.join().unwrap().unwrap(), 2);

    // The failure is not swallowed.
    assert_eq!(cache.snapshot().counts.close_failures, 1);
    world.check_most(1);
}

/// Row 9: an older waiter kept the lock of a key that was evicted meanwhile, and two loads of the
/// key ran; of one the result was never closed.
#[test]
fn row_9_a_key_never_loads_twice_at_a_time_around_an_eviction() {
    let world = World::new();
    let cache = cache(&world, 1);
    let start = Barrier::new(6);
    thread::scope(|scope| {
        for t in 0..6_u32 {
            let (cache, start) = (&cache, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..40 {
                    let key = (t + round) % 2;
                    let lease = cache.lease(&spec(key)).unwrap();
                    let _inside = lease.enter();
                    assert_eq!(lease.key, key);
                }
            });
        }
    });
    world.check_most(1); // two of one key break a rule of the world
    cache.shutdown(Duration::from_secs(10));
    world.await_empty();
}

/// Row 10: even one thread had `max_size + 1`, because the victim was closed after the load.
#[test]
fn row_10_the_victim_is_closed_before_the_load_begins() {
    let world = World::new();
    let cache = cache(&world, 1);
    drop(cache.lease(&spec(1)).unwrap());
    world.take_events();
    drop(cache.lease(&spec(2)).unwrap());
    let events = world.take_events();
    let closed = events.iter().position(|event| *event == Event::CloseEnded(1));
    let begun = events.iter().position(|event| *event == Event::LoadBegun(2));
    assert!(closed.is_some() && closed < begun, "{events:?}");
    world.check_most(1);
}

/// Row 11: a load that was under way when all was closed came into the cache afterwards.
#[test]
fn row_11_a_load_that_ends_after_shutdown_is_closed_and_not_admitted() {
    let world = World::new();
    let cache = cache(&world, 2);
    let load = world.hold_load(1);
    let (send, receive) = mpsc::channel();
    {
        let cache = cache.clone();
        thread::spawn(move || send.send(cache.lease(&spec(1)).map(drop)));
    }
    load.await_arrivals(1);
    cache.shutdown(Duration::from_millis(20));
    load.open();
    let outcome = receive.recv_timeout(Duration::from_secs(10)).expect("the waiter returns");
    assert!(matches!(outcome, Err(LeaseError::ShuttingDown)), "{outcome:?}");
    world.await_empty();
    assert_eq!((world.totals().opened, world.totals().closed), (1, 1));
    assert!(cache.loaded_keys().is_empty());
}

/// Row 11, for `evict_all`: who waits for the load is served, and then the entry goes.
#[test]
fn row_11_a_load_under_way_at_evict_all_serves_its_waiters_and_leaves() {
    let world = World::new();
    let cache = cache(&world, 2);
    let load = world.hold_load(1);
    let ask = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease(&spec(1)))
    };
    load.await_arrivals(1);
    let report = cache.evict_all().unwrap();
    assert_eq!((report.closed, report.failed, report.draining), (0, 0, 1));
    load.open();
    let lease = ask.join().unwrap().unwrap();
    assert_eq!(lease.key, 1);
    assert!(cache.loaded_keys().is_empty(), "it is draining");
    assert_eq!(world.totals().closed, 0);
    drop(lease);
    world.await_empty();
}

/// Row 6: an override that was an argument beside the spec.
#[test]
fn row_6_nothing_beside_the_spec_can_change_the_model() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let tuned = folder.write("tuned", "delta").unwrap();
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    let plain = Request::new(&base);
    let overridden = Request { adapter: Some(tuned), ..plain.clone() };
    let lease = |request: &Request| cache.lease(&request.resolve().unwrap()).unwrap();
    assert_eq!(lease(&plain).adapter, None);
    assert_eq!(lease(&overridden).adapter.as_deref(), Some(&b"delta"[..]));
    assert_eq!(lease(&plain).adapter, None);
}

/// Row 7: two custom models with one base and other code.
#[test]
fn row_7_the_entry_point_is_identity() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    for name in ["package:first", "package:second"] {
        let custom =
            Request { kind: Kind::Custom, entry_point: Some(name.into()), ..Request::new(&base) };
        let lease = cache.lease(&custom.resolve().unwrap()).unwrap();
        assert_eq!(lease.entry_point.as_deref(), Some(name));
    }
}

/// Row 12, as identity; as behaviour see above.
#[test]
fn row_12_trust_remote_code_is_identity() {
    let folder = Folder::new().unwrap();
    let refuses = Request::new(folder.write("base", "weights").unwrap());
    let trusts = Request { trust_remote_code: true, ..refuses.clone() };
    assert_ne!(id(&refuses), id(&trusts));
}

/// Row 13: "auto" and what it resolves to were loaded twice.
#[test]
fn row_13_auto_is_what_it_resolves_to() {
    let folder = Folder::new().unwrap();
    let auto = Request::new(folder.write("base", "weights").unwrap());
    let exact = Request { dtype: Some(Dtype::F32), device: Some(Device::Cpu), ..auto.clone() };
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    let one = cache.lease(&auto.resolve().unwrap()).unwrap();
    let other = cache.lease(&exact.resolve().unwrap()).unwrap();
    assert!(std::ptr::eq(&*one, &*other));
    assert_eq!((one.dtype, one.device), (Dtype::F32, Device::Cpu));
    let half = Request { dtype: Some(Dtype::F16), ..auto.clone() };
    let elsewhere = Request { device: Some(Device::Gpu(0)), ..auto.clone() };
    assert_ne!(id(&auto), id(&half));
    assert_ne!(id(&auto), id(&elsewhere));
}

/// Row 14: the key held a path, and an adapter that was trained anew in place served old weights.
#[test]
fn row_14_content_that_changes_under_one_path_is_another_model() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let adapter = folder.write("adapter", "old").unwrap();
    let tuned = Request { adapter: Some(adapter), ..Request::new(base) };
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    let stale_spec = tuned.resolve().unwrap();
    let old = cache.lease(&stale_spec).unwrap();

    folder.write("adapter", "new").unwrap();
    let new = cache.lease(&tuned.resolve().unwrap()).unwrap();
    assert_eq!(new.adapter.as_deref(), Some(&b"new"[..]));
    assert_eq!(old.adapter.as_deref(), Some(&b"old"[..]), "who uses the old one keeps it");

    // A load for the old identity cannot be had from the new file.
    drop(old);
    cache.unload(&Models::default().identity(&stale_spec)).unwrap();
    let error = cache.lease(&stale_spec).expect_err("the old content is gone");
    assert!(chain(&error).contains("has changed"), "{}", chain(&error));
}
