//! Do loads behave alike under executors that have nothing in common? Storms of tasks of which some
//! give up, abort, or block.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use futures_lite::future::block_on;
use hotset::Cache;

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
