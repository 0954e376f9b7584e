//! Can it be built, held, sent and understood? Builders that refuse, types that go where they must,
//! errors that say what to do next.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hotset::resource::Failure;
use hotset::{
    Async, AsyncLoader, Job, Lease, LeaseError, LoadContext, Loaded, Phase, Reentrant, Report,
    ResourceBuildError, ResourceCache, Snapshot, from_fn,
};

use crate::gate::{limited, until};
use crate::hand::block_on;
use crate::world::{Broken, World, spec};

fn shared<T: Send + Sync + 'static>(_: &T) {}
fn sent<T: Send>(_: &T) {}
fn is_error<T: Error + Send + Sync + 'static>() {}
fn is_plain<T: Clone + Debug + Send + Sync + 'static>() {}

#[test]
fn the_cache_and_its_leases_go_everywhere() {
    let cache = ResourceCache::builder(World::new()).max_entries(1).build().unwrap();
    shared(&cache);
    shared(&cache.clone());
    let lease = cache.lease(&spec(1)).unwrap();
    shared(&lease);
    shared(&lease.clone());
    let wanted = spec(1);
    sent(&cache.lease_async(&wanted));
    sent(&cache.lease_within_async(&wanted, Duration::ZERO));
    sent(&cache.unload_async(&1));
    sent(&cache.evict_idle_async());
    sent(&cache.evict_all_async());
    sent(&cache.shutdown_async(Duration::ZERO));
    is_error::<LeaseError<u32, Broken>>();
    is_error::<ResourceBuildError>();
    is_error::<Reentrant>();
    is_plain::<Report<u32>>();
    is_plain::<Snapshot<u32, Broken>>();
}

/// A lease is owned: it goes into a thread, and lives longer than the cache.
#[test]
fn a_lease_goes_into_a_thread_and_outlives_the_cache() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone()).max_entries(1).build().unwrap();
    let lease: Lease<World> = cache.lease(&spec(1)).unwrap();
    drop(cache);
    let key =
        std::thread::spawn(move || (lease.key, *lease.id(), lease.spec().key)).join().unwrap();
    assert_eq!(key, (1, 1, 1));
    world.await_empty();
}

#[test]
fn what_cannot_be_built_is_refused_and_says_what_is_allowed() {
    let builder = || ResourceCache::builder(World::new()).max_entries(1);
    let refused = |build: Result<ResourceCache<World>, ResourceBuildError>| {
        build.expect_err("it is out of range").to_string()
    };
    let none = ResourceCache::builder(World::new()).build();
    assert_eq!(refused(none), "no bound: call max_entries on the builder");
    let zero = builder().max_entries(0).build();
    assert_eq!(refused(zero), "max_entries must be >= 1, got 0");
    let huge = builder().max_entries(usize::MAX).build();
    assert_eq!(refused(huge), format!("max_entries must be <= {}, got {}", 1 << 20, usize::MAX));
    assert_eq!(refused(builder().max_weight(0).build()), "max_weight must be >= 1, got 0");
    let loads = builder().max_concurrent_loads(0).build();
    assert_eq!(refused(loads), "max_concurrent_loads must be >= 1, got 0");
    let closes = builder().max_concurrent_closes(0).build();
    assert_eq!(refused(closes), "max_concurrent_closes must be >= 1, got 0");
}

fn lengths() -> impl Fn(&String, &LoadContext) -> Result<usize, Infallible> + Send + Sync {
    |name, _| Ok(name.len())
}

/// A weight bound without an estimate would bound nothing.
#[test]
fn a_weight_bound_needs_an_estimate() {
    let loader = from_fn(lengths(), |_: &String, _| Ok(()));
    let refused = ResourceCache::builder(loader).max_entries(1).max_weight(10).build().err();
    assert_eq!(refused, Some(ResourceBuildError::NoEstimate));

    let loader = from_fn(lengths(), |_: &String, _| Ok(())).estimate(|name| Ok(name.len() as u64));
    let cache = ResourceCache::builder(loader).max_entries(9).max_weight(10).build().unwrap();
    assert_eq!(*cache.lease(&"four".to_string()).unwrap(), 4);
    assert_eq!(cache.snapshot().charged_weight, 4);
    let too_large = cache.lease(&"more than ten".to_string());
    assert!(matches!(too_large, Err(LeaseError::TooLarge { need: 13, limit: 10 })));
}

#[test]
fn a_weight_bound_cannot_be_had_later() {
    let cache = ResourceCache::builder(World::new()).max_entries(1).build().unwrap();
    assert_eq!(cache.resize(1, Some(5)), Err(ResourceBuildError::Unweighed));
}

/// A ready thing can be asked for by what is equal to its id.
#[test]
fn a_borrowed_id_finds_what_is_ready() {
    let loader = from_fn(lengths(), |_: &String, _| Ok(()));
    let cache = ResourceCache::builder(loader).max_entries(2).build().unwrap();
    assert!(cache.lease_ready("four").is_none());
    drop(cache.lease(&"four".to_string()).unwrap());
    assert_eq!(cache.lease_ready("four").map(|lease| *lease), Some(4));
}

/// An id with the worst hash there can be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OneHash(u32);

impl Hash for OneHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

/// Slow, but right: a hit is a hit, the order is the order, and all is closed.
#[test]
fn ids_that_all_have_one_hash_are_told_apart() {
    let closes = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&closes);
    let load = |id: &OneHash, _: &LoadContext| Ok::<_, Infallible>(id.0);
    let loader = from_fn(load, move |_, _| {
        counts.fetch_add(1, SeqCst);
        Ok(())
    });
    let cache = ResourceCache::builder(loader).max_entries(400).build().unwrap();
    for n in 0..400 {
        assert_eq!(*cache.lease(&OneHash(n)).unwrap(), n);
    }
    for n in 0..400 {
        assert_eq!(cache.try_lease(&OneHash(n)).map(|lease| *lease), Some(n));
        assert_eq!(*cache.lease(&OneHash(n)).unwrap(), n);
    }
    assert_eq!((cache.snapshot().counts.loads, closes.load(SeqCst)), (400, 0));
    for n in 400..500 {
        assert_eq!(*cache.lease(&OneHash(n)).unwrap(), n);
    }
    let left: Vec<u32> = cache.loaded_keys().into_iter().map(|id| id.0).collect();
    assert_eq!(left, (100..500).collect::<Vec<_>>());
    assert!(cache.shutdown(Duration::from_secs(10)).is_complete());
    assert_eq!(closes.load(SeqCst), 500);
}

/// The index grows with the limit.
#[test]
fn a_limit_that_is_raised_far_holds_as_many() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone()).max_entries(1).build().unwrap();
    cache.resize(2_000, None).unwrap();
    (0..2_000).for_each(|key| drop(cache.lease(&spec(key)).unwrap()));
    assert!((0..2_000).all(|key| cache.lease_ready(&key).is_some()));
    assert_eq!(world.totals().closed, 0);
    cache.resize(3, None).unwrap();
    until("all but three are closed", || world.totals().closed == 1_997);
    assert_eq!(cache.loaded_keys(), [1_997, 1_998, 1_999]);
}

#[test]
fn every_error_says_what_it_is_about_and_when_to_come_again() {
    type Failed = LeaseError<&'static str, Broken>;
    let source = || Arc::new(Broken("the disk is full"));
    let cases: [(Failed, &[&str], bool); 10] = [
        (LeaseError::Load { id: "m", source: source() }, &["m", "the disk is full"], false),
        (LeaseError::LoadPanicked { id: "m" }, &["m", "panic"], false),
        (
            LeaseError::Backoff {
                id: "m",
                retry_at: Instant::now(),
                retry_in: Duration::from_secs(3),
                attempts: 7,
                source: Failure::Failed(source()),
            },
            &["m", "3s", "7", "the disk is full"],
            true,
        ),
        (LeaseError::Capacity { holders: Vec::new() }, &["room"], true),
        (LeaseError::QueueFull { max_waiters: 9 }, &["9", "max_waiters"], true),
        (LeaseError::TooLarge { need: 11, limit: 10 }, &["11", "10", "max_weight"], false),
        (LeaseError::Underestimated { estimate: 5, actual: 6 }, &["5", "6", "estimate"], false),
        (LeaseError::Timeout { phase: Phase::Loading }, &["load"], true),
        (LeaseError::Reentrant, &["try_lease"], false),
        (LeaseError::ShuttingDown, &["shut down"], false),
    ];
    for (error, parts, again) in cases {
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert_eq!(error.retry_after().is_some(), again, "{text}");
    }
}

/// A future that is a loader, without a runtime and with its own types.
struct Doubles;

impl AsyncLoader for Doubles {
    type Spec = u32;
    type Id = u32;
    type Resource = u32;
    type Error = Infallible;

    fn identity(&self, n: &u32) -> u32 {
        *n
    }

    async fn load(&self, n: &u32, context: &LoadContext) -> Result<Loaded<u32>, Infallible> {
        assert_eq!((context.attempt(), context.reserved_weight()), (1, 0));
        Ok(Loaded::new(2 * n))
    }
}

#[test]
fn an_async_loader_serves_threads_and_tasks() {
    limited("an async loader", || {
        let spawn = |job: Job| drop(std::thread::spawn(|| job.run()));
        let builder = ResourceCache::builder_async(Doubles, spawn);
        let cache: ResourceCache<Async<Doubles>> = builder.max_entries(1).build().unwrap();
        assert_eq!(*cache.lease(&4).unwrap(), 8);
        assert_eq!(*block_on(cache.lease_async(&5)).unwrap(), 10);
        assert_eq!(cache.loaded_keys(), [5]);
        assert!(block_on(cache.shutdown_async(Duration::from_secs(10))).is_complete());
    });
}
