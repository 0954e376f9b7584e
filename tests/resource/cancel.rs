//! May a future be dropped anywhere? Tasks, loads and closes are stepped by hand here, on one thread,
//! so that "anywhere" is a number: after 0 steps, after 1, and so on to the end.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use hotset::{Job, LeaseError, ManualClock, Reentrant, ResourceBuilder, ResourceCache};

use crate::gate::{limited, lock, until};
use crate::hand::{Hand, block_on};
use crate::sleepy::{Naps, OfWorld, Sleepy};
use crate::world::{Broken, World, boom, spec};

/// Jobs that move when a test says so.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Jobs>>);

#[derive(Default)]
struct Jobs {
    ready: VecDeque<usize>,
    all: BTreeMap<usize, Job>,
    spawned: usize,
}

struct Ready(Steps, usize);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        lock(&self.0.0).ready.push_back(self.1);
    }
}

impl Steps {
    /// Hands jobs over. The cache does not own its executor: when the test is over, jobs that come
    /// late are dropped, and run elsewhere.
    fn executor(&self) -> impl Fn(Job) + Send + Sync + 'static {
        let steps = Arc::downgrade(&self.0);
        move |job| match steps.upgrade() {
            Some(steps) => Self(steps).spawn(job),
            None => drop(job),
        }
    }

    fn spawn(&self, job: Job) {
        let mut jobs = lock(&self.0);
        jobs.spawned += 1;
        let number = jobs.spawned;
        jobs.all.insert(number, job);
        jobs.ready.push_back(number);
    }

    /// Polls the job that has been ready longest, once. False if there is none.
    fn step(&self) -> bool {
        let (number, mut job) = {
            let mut jobs = lock(&self.0);
            let Some(number) = jobs.ready.pop_front() else { return false };
            let Some(job) = jobs.all.remove(&number) else { return true };
            (number, job)
        };
        let waker = Waker::from(Arc::new(Ready(self.clone(), number)));
        if Pin::new(&mut job).poll(&mut Context::from_waker(&waker)).is_pending() {
            lock(&self.0).all.insert(number, job);
        }
        true
    }

    fn step_times(&self, n: usize) {
        for _ in 0..n {
            self.step();
        }
    }

    fn run(&self) {
        while self.step() {}
    }

    /// What a runtime does when it is shut down.
    fn drop_all(&self) {
        let all = std::mem::take(&mut lock(&self.0).all);
        drop(all);
    }
}

/// What both kinds of loader have in common here.
trait Tested: OfWorld {
    fn builder(world: &World, steps: &Steps) -> ResourceBuilder<Self>;
}

impl Tested for World {
    fn builder(world: &World, steps: &Steps) -> ResourceBuilder<Self> {
        ResourceCache::builder(world.clone()).executor(steps.executor())
    }
}

impl Tested for hotset::Async<Sleepy> {
    fn builder(world: &World, steps: &Steps) -> ResourceBuilder<Self> {
        ResourceCache::builder_async(Sleepy(world.clone()), steps.executor())
    }
}

type Task<L> = Hand<Result<hotset::Lease<L>, LeaseError<u32, Broken>>>;

/// One thread with a cache in it.
struct Stage<L: Tested> {
    world: World,
    steps: Steps,
    cache: ResourceCache<L>,
}

impl<L: Tested> Stage<L> {
    fn new(max_entries: usize) -> Self {
        let (world, steps) = (World::new(), Steps::default());
        let builder = L::builder(&world, &steps).max_entries(max_entries).no_backoff();
        let cache = builder.clock(&ManualClock::new()).build().unwrap();
        Self { world, steps, cache }
    }

    fn ask(&self, key: u32) -> Task<L> {
        let cache = self.cache.clone();
        Hand::new(async move { cache.lease_async(&spec(key)).await })
    }

    /// Steps jobs and the task until it is ready.
    #[track_caller]
    fn finish(&self, mut task: Task<L>) -> Result<hotset::Lease<L>, LeaseError<u32, Broken>> {
        for _ in 0..1_000 {
            if let Poll::Ready(outcome) = task.poll() {
                return outcome;
            }
            self.steps.run();
            assert!(task.woken(), "nothing moves, and the task sleeps");
        }
        panic!("woken for ever");
    }

    fn lease(&self, key: u32) -> hotset::Lease<L> {
        self.finish(self.ask(key)).unwrap()
    }

    /// Nobody waits, nothing is half done, all can be had, and everything closes.
    #[track_caller]
    fn check(self, context: &str) {
        self.steps.run();
        let snapshot = self.cache.snapshot();
        assert_eq!((snapshot.waiters, snapshot.failures.len()), (0, 0), "{context}");
        for key in [1, 2, 3] {
            assert_eq!(self.lease(key).key, key, "{context}");
        }
        self.world.check_most(snapshot.max_entries);
        let cache = self.cache.clone();
        let mut shutdown =
            Hand::new(async move { cache.shutdown_async(Duration::from_secs(1)).await });
        let report = loop {
            if let Poll::Ready(report) = shutdown.poll() {
                break report;
            }
            self.steps.run();
            assert!(shutdown.woken(), "{context}: shutdown sleeps");
        };
        assert!(report.is_complete(), "{context}: {report:?}");
        let totals = self.world.totals();
        assert_eq!((totals.opened, totals.live), (totals.closed, 0), "{context}");
        self.world.check();
    }
}

/// One turn of everything: the task if it was woken, then one step of one job.
/// True when the task is done.
fn turn<L: Tested>(stage: &Stage<L>, task: &mut Task<L>, first: bool) -> bool {
    if (first || task.woken()) && task.poll().is_ready() {
        return true;
    }
    stage.steps.step();
    false
}

/// Drops a task after every number of turns. `prepare` gives a stage in which key 2 is asked for, and
/// what is to happen at turn 3.
fn drop_at_every_point<L: Tested>(what: &str, prepare: impl Fn() -> (Stage<L>, Box<dyn FnOnce()>)) {
    let mut drop_after = 0;
    loop {
        let (stage, event) = prepare();
        let mut event = Some(event);
        let mut task = Some(stage.ask(2));
        let mut done = false;
        for at in 0..drop_after {
            if at == 3 {
                event.take().expect("once")();
            }
            done = done || turn(&stage, task.as_mut().expect("it is there"), at == 0);
        }
        drop(task.take());
        if let Some(event) = event {
            event();
        }
        stage.check(&format!("{what}, dropped after {drop_after} turns"));
        if done {
            assert!(drop_after > 1, "{what}: only {drop_after} turns, this tests nothing");
            return;
        }
        drop_after += 1;
        assert!(drop_after < 200, "{what}: never ready");
    }
}

/// The same, with a second task on the same key, which must get its lease from the one load.
fn drop_the_first_of_two<L: Tested>(what: &str, prepare: impl Fn() -> Stage<L>) {
    for drop_after in 0..30 {
        let stage = prepare();
        let loads = stage.world.loads_of(2);
        let mut first = stage.ask(2);
        let mut second = stage.ask(2);
        first.poll_pending();
        second.poll_pending();
        for _ in 0..drop_after {
            if turn(&stage, &mut first, false) {
                break;
            }
        }
        drop(first);
        let context = format!("{what}, the first of two dropped after {drop_after} turns");
        assert_eq!(stage.finish(second).unwrap().key, 2, "{context}");
        assert_eq!(stage.world.loads_of(2), loads + 1, "{context}");
        stage.check(&context);
    }
}

fn nothing() -> Box<dyn FnOnce()> {
    Box::new(|| ())
}

/// A miss with room; a miss that evicts; a miss that waits for a lease; a miss that waits for the last
/// generation of its own key.
fn every_way_of_waiting<L: Tested>() {
    let empty = || Stage::<L>::new(2);
    let full = || {
        let stage = Stage::<L>::new(1);
        drop(stage.lease(1));
        stage
    };
    let leased = || {
        let stage = Stage::<L>::new(1);
        let lease = stage.lease(1);
        (stage, Box::new(move || drop(lease)) as Box<dyn FnOnce()>)
    };
    let retired = || {
        let stage = Stage::<L>::new(2);
        let lease = stage.lease(2);
        lease.clone().retire();
        (stage, Box::new(move || drop(lease)) as Box<dyn FnOnce()>)
    };
    drop_at_every_point("a miss with room", || (empty(), nothing()));
    drop_at_every_point("a miss that evicts", || (full(), nothing()));
    drop_at_every_point("a miss that waits for a lease", leased);
    drop_at_every_point("a miss that waits for its own key", retired);
    drop_the_first_of_two("a miss with room", empty);
    drop_the_first_of_two("a miss that evicts", full);
}

/// bb8 59: "waiter dropped at every await point".
#[test]
fn a_waiter_may_be_dropped_at_every_point_with_a_blocking_loader() {
    limited("every point", every_way_of_waiting::<World>);
}

#[test]
fn a_waiter_may_be_dropped_at_every_point_with_an_async_loader() {
    limited("every point", every_way_of_waiting::<hotset::Async<Sleepy>>);
}

/// A lease that was granted to a task that never looks goes back.
#[test]
fn a_lease_that_nobody_fetches_goes_back() {
    let stage = Stage::<World>::new(1);
    let mut first = stage.ask(1);
    first.poll_pending();
    stage.steps.run();
    assert!(first.woken());
    let mut second = stage.ask(2);
    second.poll_pending();
    stage.steps.run();
    assert!(!second.woken(), "the lease of the first is granted");
    drop(first);
    assert_eq!(stage.finish(second).unwrap().key, 2);
    stage.check("after a lease that nobody fetched");
}

/// A future that is never polled does nothing.
#[test]
fn a_future_that_is_never_polled_does_nothing() {
    let stage = Stage::<World>::new(1);
    drop(stage.ask(1));
    drop(stage.cache.lease_async(&spec(1)));
    assert_eq!((stage.world.totals().loads, stage.cache.snapshot().waiters), (0, 0));
    assert!(stage.cache.snapshot().entries.is_empty());
}

/// The waker of the last poll is the one that counts.
#[test]
fn a_task_that_moves_is_woken_where_it_is() {
    let stage = Stage::<World>::new(1);
    let cache = stage.cache.clone();
    let mut future = Box::pin(async move { cache.lease_async(&spec(1)).await.map(|l| l.key) });
    let bells: [Arc<crate::hand::Bell>; 2] = Default::default();
    for bell in &bells {
        let waker = Waker::from(Arc::clone(bell));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    stage.steps.run();
    assert!(bells[1].rings() > 0, "the waker of the last poll");
    let waker = Waker::from(Arc::clone(&bells[1]));
    let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
        panic!("woken too early");
    };
    assert_eq!(outcome.unwrap(), 1);
}

/// The other calls that wait may be dropped as well; what they began goes on.
#[test]
fn what_a_dropped_future_began_goes_on() {
    let stage = Stage::<hotset::Async<Sleepy>>::new(3);
    for (round, key) in [1, 2, 3].into_iter().enumerate() {
        drop(stage.lease(key));
        let cache = stage.cache.clone();
        let mut task: Hand<Result<(), Reentrant>> = match round {
            0 => Hand::new(async move { cache.unload_async(&key).await.map(drop) }),
            1 => Hand::new(async move { cache.evict_idle_async().await.map(drop) }),
            _ => Hand::new(async move { cache.evict_all_async().await.map(drop) }),
        };
        task.poll_pending();
        drop(task);
        stage.steps.run();
        assert_eq!(stage.world.totals().closed, round + 1);
    }
    assert!(stage.cache.snapshot().entries.is_empty());
    stage.check("after calls that were dropped");
}

#[test]
fn a_shutdown_that_is_dropped_goes_on() {
    let stage = Stage::<hotset::Async<Sleepy>>::new(3);
    drop(stage.lease(1));
    let cache = stage.cache.clone();
    let mut ends =
        Hand::new(async move { cache.shutdown_async(Duration::from_secs(1)).await.closed });
    ends.poll_pending();
    drop(ends);
    stage.steps.run();
    assert_eq!(stage.world.totals().closed, 1);
    assert!(matches!(stage.finish(stage.ask(1)), Err(LeaseError::ShuttingDown)));
}

/// Async loads fail and panic like others.
#[test]
fn an_async_load_that_fails_or_panics_is_told_to_all() {
    let stage = Stage::<hotset::Async<Sleepy>>::new(1);
    for round in 0..2 {
        stage.world.on_load(1, move || if round == 0 { Err(Broken("no")) } else { boom() });
        let mut tasks = [stage.ask(1), stage.ask(1)];
        tasks.iter_mut().for_each(Hand::poll_pending);
        stage.steps.run();
        for task in tasks {
            match stage.finish(task) {
                Err(LeaseError::Load { .. }) => assert_eq!(round, 0),
                Err(LeaseError::LoadPanicked { .. }) => assert_eq!(round, 1),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(stage.world.totals().loads, 2);
    stage.check("after failures");
}

#[test]
fn an_async_close_that_fails_or_panics_frees_its_slot() {
    let stage = Stage::<hotset::Async<Sleepy>>::new(1);
    stage.world.on_close(1, || Err(Broken("no")));
    stage.world.on_close(1, || boom());
    for failures in 0..2 {
        drop(stage.lease(1));
        assert_eq!(stage.cache.snapshot().counts.close_failures, failures);
        drop(stage.lease(2));
    }
    assert_eq!(stage.cache.snapshot().counts.close_failures, 2);
    stage.check("after closes that failed");
}

/// A load that asks its own cache, on whichever thread it is polled, is refused and not deadlocked.
#[test]
fn inside_an_async_load_a_hit_works_and_a_wait_is_reentrant() {
    limited("an async load that asks its own cache", || {
        let stage = Stage::<hotset::Async<Sleepy>>::new(3);
        drop(stage.lease(1));
        let inner = stage.cache.clone();
        stage.world.on_load(2, move || {
            assert_eq!(inner.try_lease(&spec(1)).map(|lease| lease.key), Some(1));
            for key in [2, 3] {
                let asked = block_on(inner.lease_async(&spec(key)));
                assert!(matches!(asked, Err(LeaseError::Reentrant)));
            }
            Ok(None)
        });
        assert_eq!(stage.lease(2).key, 2);
        assert_eq!(stage.world.loads_of(3), 0);

        // Between the polls of a load this thread is free to wait.
        let mut load = stage.ask(3);
        load.poll_pending();
        assert!(stage.steps.step());
        drop(stage.lease(1));
        assert_eq!(stage.finish(load).unwrap().key, 3);
    });
}

/// A job that an executor drops unrun comes back and runs on a thread of the cache's own.
#[test]
fn an_executor_that_drops_its_jobs_loses_none() {
    limited("an executor that drops its jobs", || {
        let world = World::new();
        let cache = ResourceCache::builder(world.clone())
            .max_entries(1)
            .executor(|job: Job| drop(job))
            .build()
            .unwrap();
        for key in 0..5 {
            assert_eq!(cache.lease(&spec(key)).unwrap().key, key);
        }
        assert!(cache.shutdown(Duration::from_secs(10)).is_complete());
        world.await_empty();
        assert_eq!(world.totals().closed, 5);
    });
}

#[test]
fn an_executor_that_panics_loses_no_job() {
    limited("an executor that panics", || {
        let world = World::new();
        let refuse = |_: Job| boom();
        let cache =
            ResourceCache::builder(world.clone()).max_entries(1).executor(refuse).build().unwrap();
        for key in 0..3 {
            assert_eq!(cache.lease(&spec(key)).unwrap().key, key);
        }
        assert!(cache.shutdown(Duration::from_secs(10)).is_complete());
        world.await_empty();
    });
}

/// A runtime that ends drops jobs in the middle: a load goes on where it was, and so does a close.
#[test]
fn jobs_that_are_dropped_half_done_are_finished() {
    limited("jobs that are dropped half done", || {
        for turns in 0..4 {
            let stage = Stage::<hotset::Async<Sleepy>>::new(1);
            let mut task = stage.ask(1);
            task.poll_pending();
            stage.steps.step_times(turns);
            stage.steps.drop_all();
            let lease = task.finish("the load goes on elsewhere").unwrap();
            assert_eq!((lease.key, stage.world.totals().loads), (1, 1));

            lease.retire();
            stage.steps.step_times(turns);
            stage.steps.drop_all();
            stage.world.await_empty();
            assert_eq!(stage.world.totals().closed, 1);
        }
    });
}

/// Everything on one thread: the tasks, the loads, the closes.
#[test]
fn a_runtime_of_one_thread_is_enough() {
    limited("a runtime of one thread", || {
        let stage = Stage::<hotset::Async<Sleepy>>::new(2);
        let here = thread::current().id();
        for key in 0..6 {
            stage.world.on_load(key, move || {
                assert_eq!(thread::current().id(), here);
                Ok(None)
            });
            stage.world.on_close(key, move || {
                assert_eq!(thread::current().id(), here);
                Ok(())
            });
        }
        let mut tasks: Vec<_> = (0..6)
            .map(|key| {
                let cache = stage.cache.clone();
                Hand::new(async move {
                    let lease = cache.lease_async(&spec(key)).await.unwrap();
                    Naps(3).await;
                    lease.key
                })
            })
            .collect();
        let mut done = Vec::new();
        for _ in 0..1_000 {
            tasks.retain_mut(|task| match task.poll() {
                Poll::Ready(key) => {
                    done.push(key);
                    false
                }
                Poll::Pending => true,
            });
            stage.steps.step();
        }
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3, 4, 5]);
        assert_eq!(stage.cache.snapshot().counts.close_failures, 0, "closed on this thread");
        stage.check("after a runtime of one thread");
    });
}

/// A blocking caller and an async one share a load.
#[test]
fn threads_and_tasks_share_one_load() {
    let world = World::new();
    let cache = ResourceCache::builder(world.clone()).max_entries(1).build().unwrap();
    let load = world.hold_load(1);
    let thread = {
        let cache = cache.clone();
        thread::spawn(move || cache.lease(&spec(1)).unwrap().serial)
    };
    let task = {
        let cache = cache.clone();
        thread::spawn(move || block_on(cache.lease_async(&spec(1))).unwrap().serial)
    };
    until("both wait", || cache.snapshot().waiters == 2);
    load.open();
    assert_eq!((thread.join().unwrap(), task.join().unwrap()), (1, 1));
    assert_eq!(world.totals().loads, 1);
}
