//! The scenes about tasks in which caches are known to fail. All futures are polled by hand, so who
//! leads, who waits and when is exact.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;

use hotset::{Cache, LoadError};

use crate::common::check;

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A load that counts that it began, and has its value once the gate is open.
async fn load<T>(loads: &Cell<u32>, gate: &Cell<bool>, value: T) -> T {
    loads.set(loads.get() + 1);
    poll_fn(|_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    value
}

#[test]
fn a_dropped_leader_hands_the_load_to_one_of_those_who_wait() {
    let cache = Cache::new(8);
    let (loads, gate) = (Cell::new(0), Cell::new(false));
    let mut leader = Box::pin(cache.get_or_insert_async(1, load(&loads, &gate, 0)));
    assert!(poll(&mut leader).is_pending());
    let mut waiters: Vec<_> =
        (1..8).map(|n| Box::pin(cache.get_or_insert_async(1, load(&loads, &gate, n)))).collect();
    assert!(waiters.iter_mut().all(|waiter| poll(waiter).is_pending()));
    assert_eq!(loads.get(), 1);
    drop(leader);
    assert!(waiters.iter_mut().all(|waiter| poll(waiter).is_pending()));
    assert_eq!(loads.get(), 2, "one of them loads, and no other");
    gate.set(true);
    // The one that leads may be polled last.
    let mut values = vec![None; waiters.len()];
    for _ in 0..2 {
        for (value, waiter) in values.iter_mut().zip(&mut waiters) {
            if value.is_none() {
                *value = match poll(waiter) {
                    Poll::Ready(value) => Some(value),
                    Poll::Pending => None,
                };
            }
        }
    }
    assert_eq!((loads.get(), cache.get(&1).is_some()), (2, true));
    assert!(values.iter().all(|value| value.is_some() && *value == values[0]), "{values:?}");
    drop(waiters);
    check(&cache);
}

#[test]
fn a_leader_that_is_not_polled_holds_the_others_up_until_it_is() {
    let cache = Cache::new(8);
    let (loads, gate) = (Cell::new(0), Cell::new(true));
    let once = Cell::new(false);
    let slow = async {
        poll_fn(|_| if once.replace(true) { Poll::Ready(()) } else { Poll::Pending }).await;
        load(&loads, &gate, 1).await
    };
    let mut leader = Box::pin(cache.get_or_insert_async(1, slow));
    assert!(poll(&mut leader).is_pending());
    let mut waiter = Box::pin(cache.get_or_insert_async(1, load(&loads, &gate, 2)));
    // As documented: a load makes progress only while its task is polled.
    assert!((0..100).all(|_| poll(&mut waiter).is_pending()));
    assert_eq!(cache.get(&1), None, "a look-up never waits");
    assert_eq!(poll(&mut leader), Poll::Ready(1));
    assert_eq!((poll(&mut waiter), loads.get()), (Poll::Ready(1), 1));
}

#[test]
fn a_failing_load_with_8_waiters_is_one_load() {
    let cache: Cache<u64, u64> = Cache::new(8);
    let (loads, gate) = (Cell::new(0), Cell::new(false));
    let ask = || Box::pin(cache.try_get_or_insert_async(1, load(&loads, &gate, Err("down"))));
    let mut callers: Vec<_> = (0..9).map(|_| ask()).collect();
    assert!(callers.iter_mut().all(|caller| poll(caller).is_pending()));
    gate.set(true);
    let errors: Vec<Arc<&str>> = callers
        .iter_mut()
        .map(|caller| match poll(caller) {
            Poll::Ready(Err(LoadError::Failed(error))) => error,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
    assert_eq!((loads.get(), cache.len()), (1, 0));
    drop(callers);
    check(&cache);
}

#[test]
fn threads_and_tasks_that_ask_for_one_key_are_one_load() {
    let cache = Cache::new(8);
    let threads_loads = AtomicUsize::new(0);
    let (loads, gate) = (Cell::new(0), Cell::new(false));
    let mut leader = Box::pin(cache.get_or_insert_async(1, load(&loads, &gate, 10)));
    assert!(poll(&mut leader).is_pending());
    let count = || threads_loads.fetch_add(1, SeqCst) as u64;
    thread::scope(|scope| {
        let (cache, count) = (&cache, &count);
        let plain = scope.spawn(move || cache.get_or_insert_with(1, count));
        let fallible =
            scope.spawn(move || cache.try_get_or_insert_with(1, || Ok::<_, ()>(count())).unwrap());
        gate.set(true);
        assert_eq!(poll(&mut leader), Poll::Ready(10));
        assert_eq!((plain.join().unwrap(), fallible.join().unwrap()), (10, 10));
    });
    assert_eq!((loads.get(), threads_loads.load(SeqCst)), (1, 0));
}

#[test]
fn a_write_during_a_tasks_load_stays() {
    for stays in [Some(20), None] {
        let cache = Cache::new(8);
        let (loads, gate) = (Cell::new(0), Cell::new(false));
        let mut leader = Box::pin(cache.get_or_insert_async(1, load(&loads, &gate, 10)));
        assert!(poll(&mut leader).is_pending());
        match stays {
            Some(value) => drop(cache.insert(1, value)),
            None => drop(cache.remove(&1)),
        }
        gate.set(true);
        assert_eq!(poll(&mut leader), Poll::Ready(10), "who asked for the load has its value");
        assert_eq!(cache.get(&1), stays);
        drop(leader);
        check(&cache);
    }
}

#[test]
fn a_tasks_load_that_asks_for_its_own_key() {
    let cache: Cache<u64, u64> = Cache::new(8);
    let load = async {
        let own = pin!(cache.try_get_or_insert_async(1, async { Ok::<_, ()>(0) })).await;
        assert!(own.unwrap_err().is_reentrant());
        Ok::<_, ()>(2)
    };
    let mut outer = Box::pin(cache.try_get_or_insert_async(1, load));
    assert!(matches!(poll(&mut outer), Poll::Ready(Ok(2))));
    assert_eq!(cache.get(&1), Some(2));
}

#[test]
fn futures_can_be_sent_if_their_loads_can() {
    fn needs_send<T: Send>(future: T) -> T {
        future
    }
    let cache = Cache::new(8);
    let load: Pin<Box<dyn Future<Output = u64> + Send>> = Box::pin(async { 1 });
    let mut future = Box::pin(needs_send(cache.get_or_insert_async(1, load)));
    assert_eq!(poll(&mut future), Poll::Ready(1));
}
