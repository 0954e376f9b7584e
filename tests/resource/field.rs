//! Would the field's bugs be caught? One test for each of the pains that users of such caches
//! report, named after it; the systems in which it was seen stand beside it.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hotset::resource::Unloaded;
use hotset::{Lease, LeaseError, ResourceCache, State};

use crate::gate::{Gate, limited, lock, until};
use crate::hand::Hand;
use crate::world::{Broken, Event, Spec, World, boom, spec, weighing};

const SOON: Duration = Duration::from_millis(50);

fn cache(world: &World, max_entries: usize) -> ResourceCache<World> {
    ResourceCache::builder(world.clone()).max_entries(max_entries).no_backoff().build().unwrap()
}

fn weighted(world: &World, max_weight: u64) -> ResourceCache<World> {
    ResourceCache::builder(world.clone())
        .max_entries(100)
        .max_weight(max_weight)
        .no_backoff()
        .build()
        .unwrap()
}

type Outcome = Result<Lease<World>, LeaseError<u32, Broken>>;

/// Asks in a thread of its own.
fn ask(cache: &ResourceCache<World>, spec: Spec) -> JoinHandle<Outcome> {
    let cache = cache.clone();
    thread::spawn(move || cache.lease(&spec))
}

fn async_ask(cache: &ResourceCache<World>, spec: Spec) -> Hand<Outcome> {
    let cache = cache.clone();
    Hand::new(async move { cache.lease_async(&spec).await })
}

#[test]
fn a_lease_is_held_across_eviction_pressure() {
    let world = World::new();
    let cache = cache(&world, 2);
    let kept = cache.lease(&spec(0)).unwrap();
    let inside = kept.enter();
    for key in 1..50 {
        assert_eq!(cache.lease(&spec(key)).unwrap().key, key);
    }
    assert_eq!(cache.loaded_keys(), [0, 49]);
    assert_eq!(cache.lease(&spec(0)).unwrap().serial, kept.serial);
    assert_eq!(world.totals().closed, 48);
    drop(inside);
    world.check_most(2);
}

/// llama.cpp 28698: an entry that was just loaded is idle for an instant, and is the victim before
/// the request that loaded it gets it.
#[test]
fn a_fresh_entry_is_not_evicted_between_ready_and_its_grant() {
    let world = World::new();
    let cache = cache(&world, 1);
    let load = world.hold_load(1);
    let mut first = async_ask(&cache, spec(1));
    first.poll_pending();
    load.await_arrivals(1);
    let mut second = async_ask(&cache, spec(2));
    second.poll_pending();
    load.open();
    first.await_wake("the first load is over");

    // The lease is granted, though its owner has not looked yet.
    thread::sleep(SOON);
    second.poll_pending();
    assert_eq!(world.totals().closed, 0);
    let lease = first.finish("it is granted").unwrap();
    assert_eq!((lease.key, world.loads_of(1)), (1, 1));
    drop(lease);
    assert_eq!(second.finish("there is room").unwrap().key, 2);
    world.check_most(1);
}

/// ddalcu/mlx-serve 40, ray 37516, typelevel/keypool 440.
#[test]
fn many_loads_at_a_budget_of_one_are_one_at_a_time() {
    let world = World::new();
    let cache = cache(&world, 1);
    let asks: Vec<_> = (0..16).map(|key| ask(&cache, spec(key))).collect();
    for (key, ask) in (0..).zip(asks) {
        // Not joined in the order in which they are served: each gives its lease back.
        thread::spawn(move || assert_eq!(ask.join().unwrap().unwrap().key, key));
    }
    until("all have been loaded", || world.totals().loads == 16);
    cache.shutdown(Duration::from_secs(10));
    world.await_empty();
    world.check_most(1);
}

/// Row 9 of the original's faults, step by step.
#[test]
fn a_key_that_comes_again_while_old_waiters_sleep_is_loaded_once() {
    let world = World::new();
    let cache = cache(&world, 1);
    drop(cache.lease(&spec(1)).unwrap());
    let close = world.hold_close(1);
    let other = ask(&cache, spec(2)); // evicts 1
    close.await_arrivals(1);
    let again: Vec<_> = (0..3).map(|_| ask(&cache, spec(1))).collect();
    until("four wait", || cache.snapshot().waiters == 4);
    close.open();
    drop(other.join().unwrap().unwrap());
    let leases: Vec<_> = again.into_iter().map(|ask| ask.join().unwrap().unwrap()).collect();
    assert!(leases.iter().all(|lease| lease.serial == 3));
    assert_eq!(world.loads_of(1), 2);
    world.check_most(1);
}

/// ollama 17408: the victim was revived by a hit while the evictor waited for that victim.
#[test]
fn a_hit_does_not_revive_a_victim_while_somebody_waits() {
    let world = World::new();
    let cache = cache(&world, 1);
    let lease = cache.lease(&spec(1)).unwrap();
    let waits = ask(&cache, spec(2));
    until("one waits", || cache.snapshot().waiters == 1);
    assert!(cache.try_lease(&spec(1)).is_some(), "it is leased, not yet chosen");

    let close = world.hold_close(1);
    drop(lease); // the last release and the retirement are one step
    assert!(cache.try_lease(&spec(1)).is_none());
    assert!(cache.lease_ready(&1).is_none());
    close.open();
    assert_eq!(waits.join().unwrap().unwrap().key, 2);
    world.check_most(1);
}

/// ollama 14407: under continuous load no count was ever zero. Ours are, between two hits that do
/// not overlap, and that is enough.
#[test]
fn hits_on_every_entry_that_do_not_overlap_let_a_waiter_through() {
    let world = World::new();
    let cache = cache(&world, 2);
    drop(cache.lease(&spec(1)).unwrap());
    drop(cache.lease(&spec(2)).unwrap());
    thread::scope(|scope| {
        for key in [1, 2] {
            let (world, cache) = (&world, &cache);
            scope.spawn(move || {
                while world.loads_of(3) == 0 {
                    if let Some(lease) = cache.try_lease(&spec(key)) {
                        assert_eq!(lease.key, key);
                    }
                }
            });
        }
        assert_eq!(cache.lease(&spec(3)).unwrap().key, 3);
    });
    world.check_most(2);
}

/// The rest of ollama 14407: leases that overlap for ever end the waiter, and say who they are.
#[test]
fn hits_that_overlap_for_ever_end_a_waiter_in_capacity() {
    let world = World::new();
    let cache = cache(&world, 2);
    let mut chain = [1, 2].map(|key| cache.lease(&spec(key)).unwrap());
    let waits = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease_within(&spec(3), SOON).map(drop))
    };
    while !waits.is_finished() {
        for lease in &mut chain {
            *lease = cache.try_lease(&spec(lease.key)).expect("leased all the time");
        }
    }
    match waits.join().unwrap() {
        Err(LeaseError::Capacity { holders }) => {
            let mut keys: Vec<u32> = holders.iter().map(|holder| holder.id).collect();
            keys.sort_unstable();
            assert_eq!(keys, [1, 2]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cache.snapshot().waiters, 0);
}

/// bb8 59, hibernate-reactive 4133: a waiter that goes away takes a place with it. The ways in
/// which it may go are in `cancel`; this is what it must leave: nothing.
#[test]
fn a_thousand_waiters_that_leave_take_no_place_with_them() {
    let world = World::new();
    let cache = cache(&world, 1);
    let lease = cache.lease(&spec(1)).unwrap();
    for round in 0..1_000 {
        let mut waits = async_ask(&cache, spec(2 + round % 3));
        waits.poll_pending();
    }
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.waiters, snapshot.entries.len()), (0, 1));
    drop(lease);
    for key in 0..5 {
        drop(cache.lease(&spec(key)).unwrap());
    }
    world.check_most(1);
}

/// golang/go 33519, groupcache 38, moka 43: a panic in the loader wedged its key.
#[test]
fn a_loader_that_panics_wedges_nothing() {
    let world = World::new();
    let cache = cache(&world, 1);
    let gate = Gate::new();
    let held = gate.clone();
    world.on_load(1, move || {
        held.pass();
        boom()
    });
    let asks: Vec<_> = (0..4).map(|_| ask(&cache, spec(1))).collect();
    until("four wait", || cache.snapshot().waiters == 4);
    gate.open();
    for ask in asks {
        let outcome = ask.join().unwrap();
        assert!(matches!(outcome, Err(LeaseError::LoadPanicked { .. })), "{outcome:?}");
    }
    assert_eq!((world.totals().loads, world.totals().live), (1, 0));
    assert_eq!(cache.lease(&spec(1)).unwrap().key, 1); // the room came back, and the key
}

/// A close that panics has consumed its resource.
#[test]
fn a_close_that_panics_frees_its_slot_and_is_counted() {
    let world = World::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let cache = ResourceCache::builder(world.clone())
        .max_entries(1)
        .on_close_error(move |key: &u32, _| lock(&hears).push(*key))
        .build()
        .unwrap();
    world.on_close(1, || boom());
    drop(cache.lease(&spec(1)).unwrap());
    assert_eq!(cache.lease(&spec(2)).unwrap().key, 2);
    until("the panic is reported", || *lock(&told) == [1]);
    assert_eq!(cache.snapshot().counts.close_failures, 1);
    assert_eq!(world.totals().closed, 1);
    world.check_most(1);
}

/// Nor does a listener that panics harm anybody.
#[test]
fn a_listener_that_panics_harms_nobody() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(1)
        .on_close_error(|_, _| boom())
        .build()
        .unwrap();
    for failures in 1..=3 {
        world.on_close(1, || Err(Broken("no")));
        drop(cache.lease(&spec(1)).unwrap());
        drop(cache.lease(&spec(2)).unwrap());
        assert_eq!(cache.snapshot().counts.close_failures, failures);
    }
    let last = cache.snapshot().last_close_failure;
    assert_eq!(last, Some((1, "no".to_string())));
    world.check_most(1);
}

/// ollama 7779, 12179: "Stopping..." for hours. A close that hangs holds its own room and nothing
/// else; and it is seen.
#[test]
fn a_close_that_hangs_keeps_its_room_and_is_seen_and_harms_no_other() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(2)
        .close_timeout(Duration::from_millis(10))
        .build()
        .unwrap();
    let close = world.hold_close(1);
    drop(cache.lease(&spec(1)).unwrap());
    let unload = {
        let cache = cache.clone();
        thread::spawn(move || cache.unload(&1))
    };
    close.await_arrivals(1);
    until("it is wedged", || {
        cache.snapshot().entries.iter().any(|entry| entry.id == 1 && entry.state == State::Wedged)
    });

    // One place is left, and works.
    for key in 2..6 {
        drop(cache.lease(&spec(key)).unwrap());
    }
    world.check_most(2);
    // Who asks for the wedged key, or for a second place, is told in time.
    assert!(cache.lease_within(&spec(1), SOON).is_err());
    let held = cache.lease(&spec(2)).unwrap();
    assert!(matches!(cache.lease_within(&spec(3), SOON), Err(LeaseError::Capacity { .. })));
    drop(held);

    close.open();
    unload.join().unwrap().unwrap();
    until("the place is back", || cache.snapshot().charged_entries < 2);
    assert_eq!(cache.lease(&spec(1)).unwrap().key, 1);
    world.check_most(2);
}

/// llama-swap 946: the timer stopped the process behind the scheduler's back, and who asked
/// meanwhile slept for ever.
#[test]
fn a_request_that_comes_while_an_expired_entry_closes_gets_the_next_one() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(1)
        .idle_ttl(Duration::from_millis(5))
        .build()
        .unwrap();
    let close = world.hold_close(1);
    drop(cache.lease(&spec(1)).unwrap());
    close.await_arrivals(1); // the timer did it
    let again = ask(&cache, spec(1));
    until("one waits", || cache.snapshot().waiters == 1);
    assert_eq!(world.loads_of(1), 1);
    close.open();
    assert_eq!(again.join().unwrap().unwrap().serial, 2);
    let events = world.take_events();
    assert_eq!(
        events[..6],
        [
            Event::LoadBegun(1),
            Event::LoadEnded(1),
            Event::CloseBegun(1),
            Event::CloseEnded(1),
            Event::LoadBegun(1),
            Event::LoadEnded(1)
        ]
    );
}

/// triton-inference-server/core 323: what loads while the server stops is left behind.
#[test]
fn a_load_that_ends_when_the_cache_is_gone_is_closed() {
    let world = World::new();
    let cache = cache(&world, 1);
    let load = world.hold_load(1);
    let mut waits = async_ask(&cache, spec(1));
    waits.poll_pending();
    load.await_arrivals(1);
    drop(waits);
    drop(cache);
    load.open();
    world.await_empty();
    assert_eq!(world.totals().opened, 1);
}

/// anza-xyz/agave 8861, sglang 7901: the backend's own thread held the last handle, and the close,
/// which joins that thread, ran there.
#[test]
fn the_last_lease_may_end_in_a_thread_that_the_close_joins() {
    limited("a close that joins the thread of the last lease", || {
        let world = World::new();
        let cache = cache(&world, 1);
        let lease = cache.lease(&spec(1)).unwrap();
        let callback: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
        let joined = Arc::clone(&callback);
        world.on_close(1, move || {
            let callback = lock(&joined).take().expect("it is started");
            assert_ne!(callback.thread().id(), thread::current().id());
            callback.join().expect("it ends well");
            Ok(())
        });
        let go = Gate::new();
        let goes = go.clone();
        *lock(&callback) = Some(thread::spawn(move || {
            goes.pass();
            lease.retire(); // and it was the last
        }));
        go.open();
        world.await_empty();
    });
}

/// Shrinking evicts what is idle, closes nothing that is leased, and starts no load until the use
/// fits.
#[test]
fn a_shrink_below_the_use_waits_for_its_leases() {
    let world = World::new();
    let cache = cache(&world, 4);
    let mut leases: Vec<_> = (0..3).map(|key| cache.lease(&spec(key)).unwrap()).collect();
    drop(cache.lease(&spec(3)).unwrap());
    cache.resize(2, None).unwrap();
    until("the idle one is closed", || world.totals().closed == 1);
    assert_eq!(cache.loaded_keys(), [0, 1, 2]);

    let waits = ask(&cache, spec(9));
    until("one waits", || cache.snapshot().waiters == 1);
    leases.pop(); // 2 are left: as many as are allowed
    until("the third is closed", || world.totals().closed == 2);
    assert_eq!(world.loads_of(9), 0);
    leases.pop(); // 1 is left: there is room for one
    assert_eq!(waits.join().unwrap().unwrap().key, 9);
    assert_eq!(leases[0].key, 0);
    assert!(cache.snapshot().charged_entries <= 2);
    world.check();
}

/// vllm 31731 and ModelMesh's own comment: small requests pass a large one for ever.
#[test]
fn small_requests_do_not_pass_a_large_one() {
    let world = World::new();
    let cache = weighted(&world, 10);
    let (five, other) =
        (cache.lease(&weighing(1, 5)).unwrap(), cache.lease(&weighing(2, 4)).unwrap());
    let large = ask(&cache, weighing(3, 10));
    until("it waits for room", || cache.snapshot().in_state(State::Queued).count() == 1);
    // There is room for one of these, but somebody is before them.
    let small: Vec<_> = (10..20)
        .map(|key| {
            let waits = ask(&cache, weighing(key, 1));
            let queued = key as usize - 8;
            until("one more waits", || cache.snapshot().in_state(State::Queued).count() == queued);
            waits
        })
        .collect();
    drop(five);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(world.totals().loads, 2, "what one lease frees is kept for the first");
    drop(other);
    let large = large.join().unwrap().unwrap();
    assert_eq!((large.key, world.totals().loads), (3, 3));
    drop(large);
    for waits in small {
        drop(waits.join().unwrap().unwrap());
    }
    assert!(world.totals().most_weight <= 10, "{:?}", world.totals());
    world.check();
}

/// kserve 2974, mlx-serve 126: the estimate was too small.
#[test]
fn an_estimate_that_was_too_small_is_taken_from_free_room_or_refused() {
    let world = World::new();
    let cache = weighted(&world, 10);
    world.on_load(1, || Ok(Some(8)));
    let grown = cache.lease(&weighing(1, 5)).unwrap(); // 3 more were free
    assert_eq!(cache.snapshot().charged_weight, 8);

    world.on_load(2, || Ok(Some(3)));
    match cache.lease(&weighing(2, 2)) {
        Err(LeaseError::Underestimated { estimate: 2, actual: 3 }) => {}
        other => panic!("{other:?}"),
    }
    until("the thing that was too heavy is closed", || world.totals().closed == 1);
    until("its room is free", || cache.snapshot().charged_weight == 8);
    assert_eq!(grown.key, 1);
    world.check();
}

/// ollama 10631: the estimate was too large, and the rest lay idle.
#[test]
fn what_an_estimate_took_too_much_goes_to_the_next_waiter_at_once() {
    let world = World::new();
    let cache = weighted(&world, 10);
    let gate = Gate::new();
    let held = gate.clone();
    world.on_load(1, move || {
        held.pass();
        Ok(Some(2))
    });
    let first = ask(&cache, weighing(1, 10));
    gate.await_arrivals(1);
    let second = ask(&cache, weighing(2, 8));
    until("both wait", || cache.snapshot().waiters == 2);
    assert_eq!(world.loads_of(2), 0);
    gate.open();
    let leases = [first, second].map(|ask| ask.join().unwrap().unwrap());
    assert_eq!(cache.snapshot().charged_weight, 10);
    assert_eq!((leases[0].key, leases[1].key, world.totals().closed), (1, 2, 0));
}

/// sglang 13771, ollama 10948: two names of one thing were two things that evicted each other.
#[test]
fn two_names_of_one_identity_share_one_entry() {
    let world = World::new();
    let cache = cache(&world, 1);
    let named = |name| Spec { name, ..spec(1) };
    let one = cache.lease(&named("one")).unwrap();
    let other = cache.lease(&named("other")).unwrap();
    assert_eq!(one.serial, other.serial);
    assert_eq!(one.spec().name, "one", "the spec that it was loaded with");
    assert_eq!(world.totals().loads, 1);
}

/// Health was asked for and hung behind the close (row 2 of the original, ollama 17408's end).
#[test]
fn a_snapshot_and_the_keys_do_not_wait_for_a_load_or_a_close() {
    let world = World::new();
    let cache = cache(&world, 3);
    drop(cache.lease(&spec(1)).unwrap());
    let kept = cache.lease(&spec(2)).unwrap();
    let (load, close) = (world.hold_load(3), world.hold_close(1));
    let loads = ask(&cache, spec(3));
    load.await_arrivals(1);
    let unload = {
        let cache = cache.clone();
        thread::spawn(move || cache.unload(&1))
    };
    close.await_arrivals(1);
    let probe = cache.clone();
    limited("200 snapshots", move || {
        for _ in 0..200 {
            assert_eq!(probe.snapshot().entries.len(), 3);
            assert_eq!(probe.loaded_keys(), [2]);
        }
    });
    load.open();
    close.open();
    assert_eq!(loads.join().unwrap().unwrap().key, 3);
    assert_eq!(unload.join().unwrap(), Ok(Unloaded::Closed));
    assert_eq!(kept.key, 2);
}

/// What a failed load leaves is a record, and it can be taken away.
#[test]
fn a_failed_load_gives_its_room_back() {
    let world = World::new();
    let cache = cache(&world, 1);
    for _ in 0..3 {
        world.on_load(1, || Err(Broken("no")));
        assert!(cache.lease(&spec(1)).is_err());
        assert_eq!(cache.lease(&spec(2)).unwrap().key, 2);
    }
    world.check_most(1);
}
