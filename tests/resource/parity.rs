//! Does it do what the original did? One test for each promise that the original kept.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use hotset::{Lease, Loader, ResourceBuildError, ResourceCache};

use crate::model_spec::{Folder, Kind, ModelId, Models, Request};
use crate::world::{Broken, Event, World, chain, spec};

fn cache(world: &World, max_entries: usize) -> ResourceCache<World> {
    ResourceCache::builder(world.clone()).max_entries(max_entries).build().unwrap()
}

fn id(request: &Request) -> ModelId {
    Models::default().identity(&request.resolve().unwrap())
}

#[test]
fn max_entries_of_zero_is_refused() {
    let refused = ResourceCache::builder(World::new()).max_entries(0).build().err();
    let refused = refused.expect("0 is out of range");
    assert!(matches!(refused, ResourceBuildError::MaxEntries { given: 0, .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "max_entries must be >= 1, got 0");
}

#[test]
fn the_key_is_stable_across_equal_specs() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    assert_eq!(id(&Request::new(&base)), id(&Request::new(&base)));
}

#[test]
fn the_key_differs_on_base() {
    let folder = Folder::new().unwrap();
    let one = folder.write("one", "weights").unwrap();
    let other = folder.write("other", "other weights").unwrap();
    assert_ne!(id(&Request::new(one)), id(&Request::new(other)));
}

#[test]
fn the_key_differs_on_adapter() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let with = |name: &str| Request {
        adapter: Some(folder.write(name, name).unwrap()),
        ..Request::new(&base)
    };
    let none = id(&Request::new(&base));
    assert_ne!(none, id(&with("a")));
    assert_ne!(id(&with("a")), id(&with("b")));
    assert_eq!(id(&with("a")), id(&with("a")));
}

/// The label says what a run is called, in logs. The loader does nothing with it.
#[test]
fn a_label_is_not_identity_and_does_not_split_entries() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    let lease = |label: &str| {
        let request = Request { label: label.into(), ..Request::new(&base) };
        cache.lease(&request.resolve().unwrap()).unwrap()
    };
    let (morning, evening) = (lease("morning"), lease("evening"));
    assert!(std::ptr::eq(&*morning, &*evening));
    assert_eq!(cache.loaded_keys().len(), 1);
}

/// The original left `trust_remote_code` out of its key.
#[test]
fn who_refuses_remote_code_is_not_given_a_model_that_ran_it() {
    let folder = Folder::new().unwrap();
    let base = folder.write("base", "weights").unwrap();
    let cache = ResourceCache::builder(Models::default()).max_entries(4).build().unwrap();
    let lease = |trust_remote_code| {
        let custom = Request { kind: Kind::Custom, trust_remote_code, ..Request::new(&base) };
        cache.lease(&custom.resolve().unwrap()).unwrap()
    };
    assert!(lease(true).ran_remote_code);
    assert!(!lease(false).ran_remote_code);
    assert_eq!(cache.loaded_keys().len(), 2);
}

#[test]
fn a_hit_gives_the_same_object_and_moves_its_key_last() {
    let world = World::new();
    let cache = cache(&world, 2);
    let first = cache.lease(&spec(1)).unwrap().serial;
    drop(cache.lease(&spec(2)).unwrap());
    assert_eq!(cache.loaded_keys(), [1, 2]);

    assert_eq!(cache.lease(&spec(1)).unwrap().serial, first);
    assert_eq!(cache.loaded_keys(), [2, 1]);
    assert_eq!(world.totals().loads, 2);

    // The other ways to a lease are hits as well.
    assert_eq!(cache.try_lease(&spec(2)).expect("it is there").serial, 2);
    assert_eq!(cache.loaded_keys(), [1, 2]);
    assert_eq!(cache.lease_ready(&1).expect("it is there").serial, first);
    assert_eq!(cache.loaded_keys(), [2, 1]);
}

/// Releases do not change the order; acquires do.
#[test]
fn recency_is_the_order_of_acquires() {
    let world = World::new();
    let cache = cache(&world, 2);
    let one = cache.lease(&spec(1)).unwrap();
    let two = cache.lease(&spec(2)).unwrap();
    drop(two);
    drop(one);
    assert_eq!(cache.loaded_keys(), [1, 2]);
    drop(cache.lease(&spec(3)).unwrap());
    assert_eq!(cache.loaded_keys(), [2, 3]);
}

/// Exactly: not by place, not by key, not about.
#[test]
fn who_was_used_least_recently_goes_first() {
    let world = World::new();
    let cache = cache(&world, 5);
    (1..=5).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    let uses = [3, 5, 1, 4, 2];
    uses.iter().for_each(|key| drop(cache.lease(&spec(*key)).unwrap()));
    assert_eq!(cache.loaded_keys(), uses);
    world.take_events();
    (11..=15).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    let closed: Vec<u32> = world
        .take_events()
        .into_iter()
        .filter_map(|event| if let Event::CloseEnded(key) = event { Some(key) } else { None })
        .collect();
    assert_eq!(closed, uses);
    world.check_most(5);
}

#[test]
fn at_capacity_two_a_third_lease_closes_the_least_recently_used_once_before_it_returns() {
    let (a, b, c) = (1, 2, 3);
    let world = World::new();
    let cache = cache(&world, 2);
    drop(cache.lease(&spec(a)).unwrap());
    drop(cache.lease(&spec(b)).unwrap());
    world.take_events();

    let third = cache.lease(&spec(c)).unwrap();
    assert_eq!(
        world.take_events(),
        [Event::CloseBegun(a), Event::CloseEnded(a), Event::LoadBegun(c), Event::LoadEnded(c)]
    );
    assert_eq!(cache.loaded_keys(), [b, c]);
    drop(third);
    world.check_most(2);
}

#[test]
fn evict_all_closes_every_backend_once_and_the_list_is_empty() {
    let world = World::new();
    let cache = cache(&world, 5);
    (0..5).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    let report = cache.evict_all().unwrap();
    assert_eq!((report.closed, report.failed, report.draining), (5, 0, 0));
    assert!(cache.loaded_keys().is_empty());
    assert_eq!(world.totals().closed, 5);
    world.await_empty();
}

#[test]
fn a_failing_close_is_reported_and_survived_and_the_entry_is_gone() {
    let world = World::new();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = told.clone();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(1)
        .on_close_error(move |key: &u32, error| {
            hears.lock().unwrap().push((*key, error.to_string()));
        })
        .build()
        .unwrap();
    world.on_close(1, || Err(Broken("the device is gone")));
    drop(cache.lease(&spec(1)).unwrap());
    drop(cache.lease(&spec(2)).unwrap()); // closes 1; nothing reaches this caller
    assert_eq!(cache.loaded_keys(), [2]);
    crate::gate::until("the failure is reported", || !told.lock().unwrap().is_empty());
    assert_eq!(*told.lock().unwrap(), [(1, "the device is gone".to_string())]);
    assert_eq!(cache.snapshot().counts.close_failures, 1);
    assert_eq!(world.totals().closed, 1);

    // And the key can be had again.
    drop(cache.lease(&spec(1)).unwrap());
    assert_eq!(cache.loaded_keys(), [1]);
}

#[test]
fn four_threads_that_ask_for_one_spec_during_its_load_share_one_load_and_one_object() {
    let world = World::new();
    let cache = cache(&world, 2);
    world.on_load(1, || {
        thread::sleep(Duration::from_millis(50));
        Ok(None)
    });
    let start = Barrier::new(4);
    let leases: Vec<Lease<World>> = thread::scope(|scope| {
        let ask = || {
            start.wait();
            cache.lease(&spec(1)).unwrap()
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(leases.len(), 4);
    assert!(leases.iter().all(|lease| std::ptr::eq(&**lease, &*leases[0])));
    assert_eq!(world.totals().loads, 1);
}

#[test]
fn the_load_time_is_recorded() {
    let world = World::new();
    let cache = cache(&world, 1);
    let slow = Duration::from_millis(50);
    world.on_load(1, move || {
        thread::sleep(slow);
        Ok(None)
    });
    let lease = cache.lease(&spec(1)).unwrap();
    assert!(lease.load_time() >= slow, "{:?}", lease.load_time());
    assert_eq!(cache.lease(&spec(1)).unwrap().load_time(), lease.load_time());
}

#[test]
fn load_errors_carry_kind_base_and_cause() {
    let folder = Folder::new().unwrap();
    let base = folder.write("vanishing", "weights").unwrap();
    let cache = ResourceCache::builder(Models::default()).max_entries(1).build().unwrap();
    let spec = Request { kind: Kind::Custom, ..Request::new(&base) }.resolve().unwrap();
    std::fs::remove_file(&base).unwrap();
    let error = cache.lease(&spec).expect_err("the file is gone");
    let text = chain(&error);
    for part in ["Custom", "vanishing", "No such file"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(cache.loaded_keys(), []);
}

/// The example is a test, too.
#[test]
fn the_example_holds() {
    crate::model_spec::main().unwrap();
}
