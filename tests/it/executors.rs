//! Do loads behave alike under executors that have nothing in common? Storms of tasks of which some
//! give up, abort, or block. And loads that outlive those who asked for them.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use hotset::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::common::{check, times};

/// What the executors run: many tasks, few keys, and a third of them gives up.
async fn storm(cache: &Cache<u64, u64>, task: u64, yields: impl AsyncFn()) {
    for round in 0..times(60) as u64 {
        let key = (task + round) % 5;
        let load = async {
            for _ in 0..(task + round) % 4 {
                yields().await;
            }
            if round % 7 == 3 { Err(key) } else { Ok(key) }
        };
        let asked = cache.try_get_or_insert_async(key, load);
        let given_up = async {
            for _ in 0..(task * 7 + round) % 5 {
                yields().await;
            }
            None
        };
        let asked = async { Some(asked.await) };
        let outcome = if (task + round).is_multiple_of(3) {
            futures_lite::future::or(asked, given_up).await
        } else {
            asked.await
        };
        match outcome {
            Some(Ok(value)) => assert_eq!(value, key),
            Some(Err(error)) => assert_eq!(**error.failure().unwrap(), key),
            None => {}
        }
        if round % 3 == 0 {
            cache.remove(&key);
        }
    }
}

fn calm(cache: &Cache<u64, u64>) {
    check(cache);
    for key in 0..5 {
        assert_eq!(cache.get_or_insert_with(key, || key), key, "no key is wedged");
    }
    cache.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
}

#[test]
fn under_tokio_with_threads() {
    let cache = Arc::new(Cache::new(3));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..24)
            .map(|task| {
                let cache = Arc::clone(&cache);
                // The future is `Send`.
                tokio::spawn(async move { storm(&cache, task, tokio::task::yield_now).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    calm(&cache);
}

#[test]
fn under_tokio_on_one_thread_with_aborted_tasks() {
    let cache = Arc::new(Cache::new(3));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..24)
            .map(|task| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { storm(&cache, task, tokio::task::yield_now).await })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            if n % 3 == 0 {
                task.abort();
            }
            tokio::task::yield_now().await;
            assert!(!task.await.is_err_and(|error| error.is_panic()));
        }
    });
    drop(runtime);
    calm(&cache);
}

#[test]
fn under_a_local_executor_with_futures_that_are_not_send() {
    let cache = Rc::new(Cache::new(3));
    let executor = async_executor::LocalExecutor::new();
    let tasks: Vec<_> = (0..24)
        .map(|task| {
            let cache = Rc::clone(&cache); // not `Send`
            executor.spawn(async move {
                storm(&cache, task, futures_lite::future::yield_now).await;
                let held = Rc::new(task);
                let load = async {
                    futures_lite::future::yield_now().await;
                    *held
                };
                assert!(cache.get_or_insert_async(100, load).await < 24);
            })
        })
        .collect();
    block_on(executor.run(async {
        for (n, task) in tasks.into_iter().enumerate() {
            if n % 4 == 0 {
                task.cancel().await;
            } else {
                task.await;
            }
        }
    }));
    cache.remove(&100);
    calm(&cache);
}

#[test]
fn under_executor_threads_and_with_calls_that_block() {
    let cache = Arc::new(Cache::new(3));
    let done = AtomicUsize::new(0);
    let executor = async_executor::Executor::new();
    thread::scope(|scope| {
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let (cache, done) = (Arc::clone(&cache), &done);
                executor.spawn(async move {
                    storm(&cache, task, futures_lite::future::yield_now).await;
                    done.fetch_add(1, SeqCst);
                })
            })
            .collect();
        tasks.into_iter().for_each(async_executor::Task::detach);
        for _ in 0..2 {
            scope.spawn(|| {
                block_on(executor.run(async {
                    while done.load(SeqCst) < 16 {
                        futures_lite::future::yield_now().await;
                    }
                }));
            });
        }
        for t in 0..2 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..times(500) as u64 {
                    let key = (t + round) % 5;
                    assert_eq!(cache.get_or_insert_with(key, || key), key);
                }
            });
        }
    });
    calm(&cache);
}

/// A cache and a load that is done when its gate is opened.
struct Slow {
    cache: Cache<u64, u64>,
    loads: AtomicUsize,
    gate: Semaphore,
}

impl Slow {
    fn new() -> Arc<Self> {
        let gate = Semaphore::new(0);
        Arc::new(Self { cache: Cache::new(8), loads: AtomicUsize::new(0), gate })
    }

    async fn load(self: Arc<Self>) -> u64 {
        self.loads.fetch_add(1, SeqCst);
        drop(self.gate.acquire().await.unwrap());
        10
    }

    /// As the documentation of `get_or_insert_async` advises: the whole call is a task.
    async fn in_a_task(self: Arc<Self>) -> u64 {
        let call = async move { self.cache.get_or_insert_async(1, Arc::clone(&self).load()).await };
        tokio::spawn(call).await.unwrap()
    }

    /// As it advises against: the load alone is.
    async fn load_in_a_task(self: Arc<Self>) -> u64 {
        let load = tokio::spawn(Arc::clone(&self).load());
        self.cache.try_get_or_insert_async(1, load).await.unwrap()
    }

    /// Ten callers at a time that all give up.
    async fn given_up<F>(self: &Arc<Self>, call: impl Fn(Arc<Self>) -> F)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let callers: Vec<_> = (0..10)
            .map(|_| tokio::spawn(timeout(Duration::from_millis(2), call(Arc::clone(self)))))
            .collect();
        for caller in callers {
            assert!(caller.await.unwrap().is_err(), "it gives up");
        }
    }
}

fn on_one_thread(scene: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(scene);
}

async fn let_all_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_call_in_a_task_outlives_those_who_asked() {
    on_one_thread(async {
        let slow = Slow::new();
        slow.given_up(Slow::in_a_task).await;
        slow.gate.add_permits(1);
        let_all_run().await;
        assert_eq!((slow.cache.peek(&1), slow.loads.load(SeqCst)), (Some(10), 1));
        check(&slow.cache);
    });
}

#[test]
fn a_load_in_a_task_does_not() {
    on_one_thread(async {
        let slow = Slow::new();
        slow.given_up(Slow::load_in_a_task).await;
        slow.gate.add_permits(1);
        let_all_run().await;
        assert_eq!((slow.cache.peek(&1), slow.loads.load(SeqCst)), (None, 10));
        check(&slow.cache);
    });
}

#[test]
fn who_waits_for_a_call_in_a_task_and_is_not_polled_holds_nobody_up() {
    for in_a_task in [true, false] {
        on_one_thread(async {
            let slow = Slow::new();
            let mut parked = if in_a_task {
                Box::pin(Arc::clone(&slow).in_a_task())
                    as std::pin::Pin<Box<dyn Future<Output = _>>>
            } else {
                Box::pin(Arc::clone(&slow).load_in_a_task())
            };
            assert!(poll_once(&mut parked).await.is_none());
            let_all_run().await;
            let mut waiter = Box::pin(slow.cache.get_or_insert_async(1, async { unreachable!() }));
            assert!(poll_once(&mut waiter).await.is_none());
            slow.gate.add_permits(1);
            let_all_run().await;
            assert_eq!(poll_once(&mut waiter).await, in_a_task.then_some(10));
            assert_eq!(parked.await, 10);
        });
    }
}

/// Polls `future` this often, and drops it.
async fn at_most<T>(mut polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// One of three callers is dropped after each number of polls.
async fn dropped_at_every_point(yields: impl AsyncFn()) {
    for polls in 0..8 {
        for dropped in 0..3 {
            let cache = Cache::new(3);
            let call = async |n| {
                let load = async {
                    for _ in 0..3 {
                        yields().await;
                    }
                    Ok::<_, ()>(n)
                };
                let call = cache.try_get_or_insert_async(1, load);
                at_most(if n == dropped { polls } else { usize::MAX }, call).await
            };
            let all =
                futures_lite::future::zip(call(0), futures_lite::future::zip(call(1), call(2)));
            let (a, (b, c)) = all.await;
            let kept = cache.peek(&1);
            for (n, value) in [a, b, c].into_iter().enumerate() {
                match value {
                    Some(value) => assert_eq!(value.ok(), kept),
                    None => assert_eq!(n, dropped),
                }
            }
            assert!(kept.is_some());
            check(&cache);
        }
    }
}

#[test]
fn dropped_at_every_point_under_two_executors() {
    on_one_thread(dropped_at_every_point(tokio::task::yield_now));
    let executor = async_executor::LocalExecutor::new();
    block_on(executor.run(dropped_at_every_point(futures_lite::future::yield_now)));
}
