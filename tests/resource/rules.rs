//! Do the seven rules hold, with real threads? The world writes down who breaks them while it
//! happens: R1 the budget, R2 closed exactly once and never in use, R3 one of a key at a time. R4, no
//! user code under a lock, is in `hooks`. R5 no trace, R6 progress, R7 nothing after shutdown.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hotset::{Job, Lease, LeaseError, ResourceBuilder, ResourceCache};

use crate::gate::{Gate, lock, until};
use crate::hand::{Hand, block_on};
use crate::sleepy::{OfWorld, Sleepy};
use crate::world::{Broken, Random, World, spec, weighing};

const LONG: Duration = Duration::from_secs(10);

fn cache(world: &World, max_entries: usize) -> ResourceCache<World> {
    ResourceCache::builder(world.clone()).max_entries(max_entries).no_backoff().build().unwrap()
}

/// One of the things that a caller may do.
fn do_something<L: OfWorld>(cache: &ResourceCache<L>, random: &mut Random, served: &AtomicUsize) {
    let wanted = weighing(random.below(12) as u32, 1 + random.below(3));
    let serve = |lease: Lease<L>| {
        let copy = lease.clone();
        let inside = copy.enter();
        assert_eq!(lease.key, wanted.key);
        drop(lease);
        thread::yield_now();
        drop(inside);
        served.fetch_add(1, SeqCst);
        copy
    };
    match random.below(20) {
        0..8 => match cache.lease(&wanted) {
            Ok(lease) => drop(serve(lease)),
            Err(LeaseError::Load { .. } | LeaseError::LoadPanicked { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        8..10 => drop(cache.lease_within(&wanted, Duration::from_micros(300)).map(serve)),
        10..12 => drop(cache.try_lease(&wanted).map(serve)),
        12 => drop(cache.lease_ready(&wanted.key).map(serve)),
        13 => drop(block_on(cache.lease_async(&wanted)).map(serve)),
        14..17 => {
            // Begins, looks a few times, and goes away.
            let (cache, wanted) = (cache.clone(), wanted.clone());
            let mut task = Hand::new(async move { cache.lease_async(&wanted).await });
            for _ in 0..random.below(4) {
                if task.poll().is_ready() {
                    break;
                }
                thread::yield_now();
            }
        }
        17 => {
            if let Some(lease) = cache.try_lease(&wanted) {
                serve(lease).retire();
            }
        }
        18 => _ = cache.unload(&wanted.key).unwrap(),
        _ => _ = cache.evict_idle().unwrap(),
    }
}

/// R1, R2, R3 and R6 under everything at once.
#[test]
fn sixty_four_threads_that_fail_panic_and_go_away_break_no_rule() {
    rounds(|seed| {
        let world = World::of_chaos(seed);
        everything_at_once(&world, ResourceCache::builder(world.clone()), seed);
    });
}

/// The same by futures, on an executor that now and then loses a job, or a part of one.
#[test]
fn an_async_loader_on_an_executor_that_loses_jobs_breaks_no_rule() {
    rounds(|seed| {
        let world = World::of_chaos(seed);
        let lot = Mutex::new(Random::new(seed));
        let executor = move |job: Job| {
            let fate = lock(&lot).below(4);
            match fate {
                0 => drop(job),
                1 => drop(Hand::new(job).poll()),
                2 => drop(thread::spawn(|| block_on(job))),
                _ => drop(thread::spawn(|| job.run())),
            }
        };
        let builder = ResourceCache::builder_async(Sleepy(world.clone()), executor);
        everything_at_once(&world, builder, seed);
    });
}

/// One round, or as many as fit into the time that the environment gives.
fn rounds(round: impl Fn(u64)) {
    let seconds = std::env::var("HOTSET_STRESS_SECONDS").ok().and_then(|s| s.parse().ok());
    let (time, start) = (Duration::from_secs_f64(seconds.unwrap_or(0.0)), Instant::now());
    for seed in 1.. {
        round(seed);
        if start.elapsed() >= time {
            return;
        }
    }
}

fn everything_at_once<L: OfWorld>(world: &World, builder: ResourceBuilder<L>, seed: u64) {
    let cache = builder.max_entries(4).max_weight(9).no_backoff().build().unwrap();
    let served = AtomicUsize::new(0);
    let start = Barrier::new(64);
    thread::scope(|scope| {
        for t in 0..64 {
            let (cache, served, start) = (&cache, &served, &start);
            scope.spawn(move || {
                let mut random = Random::new(64 * seed + t);
                start.wait();
                for _ in 0..40 {
                    do_something(cache, &mut random, served);
                }
            });
        }
    });
    world.check_most(4);
    assert!(world.totals().most_weight <= 9, "{:?}", world.totals());
    assert!(served.load(SeqCst) > 200, "{} leases: this tests nothing", served.load(SeqCst));
    assert_eq!(cache.snapshot().waiters, 0);

    let report = cache.shutdown(LONG);
    assert!(report.leased.is_empty(), "{report:?}");
    let totals = world.totals();
    assert_eq!((totals.opened, totals.live), (totals.closed, 0), "opens and closes");
    world.check();
}

/// R2: many who hold one thing, and let go at once, while others ask for its end.
#[test]
fn of_many_last_releases_one_closes() {
    let world = World::new();
    let cache = cache(&world, 1);
    for round in 1..=100 {
        let lease = cache.lease(&spec(1)).unwrap();
        let start = Barrier::new(5);
        thread::scope(|scope| {
            for t in 0..4 {
                let (lease, start) = (lease.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    drop(lease.enter());
                    if t == 0 {
                        lease.retire();
                    }
                });
            }
            drop(lease);
            start.wait();
            cache.evict_all().unwrap();
        });
        until("it is closed", || world.totals().closed == round);
    }
    world.await_empty();
}

/// R2: leases that outlive the cache.
#[test]
fn a_lease_that_outlives_the_cache_closes_at_its_last_release() {
    let world = World::new();
    let cache = cache(&world, 2);
    let lease = cache.lease(&spec(1)).unwrap();
    drop(cache.lease(&spec(2)).unwrap());
    let copy = lease.clone();
    drop(cache);
    until("what was idle is closed", || world.totals().closed == 1);
    drop(lease);
    assert_eq!(copy.key, 1);
    assert_eq!(world.totals().closed, 1);
    drop(copy);
    world.await_empty();
    assert_eq!(world.totals().closed, 2);
}

/// R2: also what a load returns that nobody waits for any more, and nobody can ask for.
#[test]
fn what_nobody_waits_for_is_kept_and_closed_in_the_end() {
    let world = World::new();
    let cache = cache(&world, 2);
    let load = world.hold_load(1);
    assert!(matches!(
        cache.lease_within(&spec(1), Duration::from_millis(5)),
        Err(LeaseError::Timeout { .. })
    ));
    load.open();
    until("it stays, idle", || cache.loaded_keys() == [1]);
    assert_eq!(cache.lease(&spec(1)).unwrap().serial, 1);
    drop(cache);
    world.await_empty();
}

/// R2: a drop of the cache blocks nobody, whatever closes take.
#[test]
fn a_drop_of_the_cache_does_not_wait_for_closes() {
    let world = World::new();
    let cache = cache(&world, 3);
    let gates = [0, 1, 2].map(|key| world.hold_close(key));
    (0..3).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    crate::gate::limited("the drop of a cache", move || drop(cache));
    assert_eq!(world.totals().closed, 0);
    gates.iter().for_each(Gate::open);
    world.await_empty();
}

/// R3: the next generation of a key loads after the last one is closed, whatever ended it.
#[test]
fn the_next_generation_loads_after_the_last_one_is_closed() {
    let world = World::new();
    let cache = cache(&world, 4);
    for round in 1..=3 {
        let lease = cache.lease(&spec(1)).unwrap();
        assert_eq!(lease.serial, round);
        let close = world.hold_close(1);
        match round {
            1 => lease.retire(),
            2 => {
                assert_eq!(cache.evict_all().unwrap().draining, 1);
                drop(lease);
            }
            _ => {
                drop(lease);
                let cache = cache.clone();
                thread::spawn(move || cache.unload(&1));
            }
        }
        close.await_arrivals(1);
        assert!(cache.try_lease(&spec(1)).is_none());
        let refused = cache.lease_within(&spec(1), Duration::from_millis(20)).err();
        assert!(matches!(refused, Some(LeaseError::Timeout { .. })), "{refused:?}");
        assert_eq!(world.loads_of(1), round, "it waits for the close");
        close.open();
    }
    assert_eq!(cache.lease(&spec(1)).unwrap().serial, 4);
    world.check();
}

/// R5: failures are remembered, at most 1,024 of them, the oldest dropped first.
#[test]
fn at_most_1024_failures_are_remembered() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone())
        .max_entries(1)
        .backoff(Duration::from_secs(1_000), Duration::from_secs(2_000))
        .build()
        .unwrap();
    for key in 0..1_100 {
        world.on_load(key, || Err(Broken("no")));
        assert!(matches!(cache.lease(&spec(key)), Err(LeaseError::Load { .. })));
    }
    assert_eq!(cache.snapshot().failures.len(), 1_024);
    assert!(matches!(cache.lease(&spec(1_099)), Err(LeaseError::Backoff { .. })));
    assert_eq!(cache.lease(&spec(0)).unwrap().key, 0, "the oldest is forgotten");
}

/// R6: every waiter is served when leases end, also when they come from all sides.
#[test]
fn every_waiter_is_served_when_leases_end() {
    let world = World::new();
    let cache = cache(&world, 2);
    thread::scope(|scope| {
        for t in 0..16_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..25 {
                    let key = (t * 7 + round) % 5;
                    assert_eq!(cache.lease(&spec(key)).unwrap().key, key);
                }
            });
        }
    });
    world.check_most(2);
}

/// R7: after shutdown has begun there is no lease, of whatever kind and however ready.
#[test]
fn there_is_no_lease_after_shutdown_has_begun() {
    let world = World::new();
    let cache = cache(&world, 2);
    let held = cache.lease(&spec(1)).unwrap();
    drop(cache.lease(&spec(2)).unwrap());
    let close = world.hold_close(2);
    let ends = {
        let cache = cache.clone();
        thread::spawn(move || cache.shutdown(LONG))
    };
    close.await_arrivals(1);
    assert!(matches!(cache.lease(&spec(1)), Err(LeaseError::ShuttingDown)));
    assert!(matches!(cache.lease(&spec(3)), Err(LeaseError::ShuttingDown)));
    assert!(matches!(block_on(cache.lease_async(&spec(1))), Err(LeaseError::ShuttingDown)));
    assert!(cache.try_lease(&spec(1)).is_none());
    assert!(cache.lease_ready(&1).is_none());
    close.open();
    drop(held);
    let report = ends.join().unwrap();
    assert!(report.leased.is_empty(), "{report:?}");
    world.await_empty();
}

/// R7, raced: leases that were given before shutdown began are drained, and none comes after.
#[test]
fn shutdown_among_busy_threads_leaves_nothing_open() {
    for round in 0..20 {
        let world = World::of_chaos(round);
        let cache = cache(&world, 3);
        let start = Barrier::new(9);
        thread::scope(|scope| {
            for t in 0..8 {
                let (cache, start) = (&cache, &start);
                scope.spawn(move || {
                    let mut random = Random::new(t + 8 * round);
                    start.wait();
                    loop {
                        match cache.lease(&spec(random.below(5) as u32)) {
                            Err(LeaseError::ShuttingDown) => break,
                            Ok(lease) => drop(lease.enter()),
                            Err(LeaseError::Load { .. } | LeaseError::LoadPanicked { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            start.wait();
            thread::sleep(Duration::from_millis(round % 4));
            let report = cache.shutdown(LONG);
            assert!(report.leased.is_empty(), "{report:?}");
            let totals = world.totals();
            assert_eq!((totals.opened, totals.live), (totals.closed, 0), "when it returned");
        });
        world.check_most(3);
    }
}
