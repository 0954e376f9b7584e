//! Does a key get one load whoever asks, tasks and threads, and whoever goes away in the middle?

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use hotset::{Cache, Cause, LoadError};

use crate::common::{Ledger, OneHash, Tracked, boom, booms, check, logged, panic_text, times};

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future that is polled by hand.
struct Stepped<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    bell: Arc<Bell>,
}

impl<'a, T> Stepped<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: Box::pin(future), bell: Arc::default() }
    }

    fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    #[track_caller]
    fn pends(&mut self) {
        assert!(self.poll().is_pending());
    }

    #[track_caller]
    fn gives(&mut self) -> T {
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// With a new waker from now on.
    fn changed(mut self) -> Self {
        self.bell = Arc::default();
        self
    }

    fn rings(&self) -> usize {
        self.bell.0.load(SeqCst)
    }
}

/// A load that is done when it is told so.
#[derive(Clone, Default)]
struct Gate(Rc<Cell<bool>>);

impl Gate {
    fn open(&self) {
        self.0.set(true);
    }

    async fn pass(self) {
        poll_fn(|_| if self.0.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn then<T>(self, value: T) -> T {
        self.pass().await;
        value
    }
}

/// Returns `Pending` this many times, ready to go on at once.
async fn steps(n: usize) {
    let mut left = n;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn block_on<F: Future>(future: F) -> F::Output {
    futures_lite::future::block_on(future)
}

#[test]
fn a_hit_and_a_miss() {
    let cache = Cache::new(8);
    let load = async { 1 };
    let asked = cache.get_or_insert_async("a", load);
    assert!(!cache.contains_key("a"), "nothing happens before it is polled");
    assert_eq!(block_on(asked), 1);
    assert_eq!(block_on(cache.get_or_insert_async("a", async { unreachable!() })), 1);
    assert_eq!(block_on(cache.try_get_or_insert_async("b", ready(Ok::<_, ()>(2)))).unwrap(), 2);
    let error = block_on(cache.try_get_or_insert_async("c", ready(Err(7)))).unwrap_err();
    assert_eq!(error.failure().map(|e| **e), Some(7));
    assert_eq!((cache.len(), cache.stats().loads, cache.stats().load_failures), (2, 3, 1));
    check(&cache);
}

#[test]
fn waiters_share_the_load() {
    let (cache, gate) = (Cache::new(8), Gate::default());
    let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(10)));
    leader.pends();
    let mut waiters: Vec<_> = (0..5)
        .map(|_| Stepped::new(cache.get_or_insert_async(1, async { unreachable!() })))
        .collect();
    waiters.iter_mut().for_each(Stepped::pends);
    waiters.iter_mut().for_each(Stepped::pends); // polled again, without need
    gate.open();
    assert_eq!(leader.gives(), 10);
    for waiter in &mut waiters {
        assert_eq!(waiter.rings(), 1, "woken once");
        assert_eq!(waiter.gives(), 10);
    }
    assert_eq!(cache.stats().loads, 1);
    check(&cache);
}

#[test]
fn the_latest_waker_is_woken() {
    let (cache, gate) = (Cache::new(8), Gate::default());
    let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(10)));
    leader.pends();
    let mut waiter = Stepped::new(cache.get_or_insert_async(1, ready(0)));
    waiter.pends();
    let first = Arc::clone(&waiter.bell);
    let mut waiter = waiter.changed();
    waiter.pends();
    gate.open();
    leader.gives();
    assert_eq!((first.0.load(SeqCst), waiter.rings()), (0, 1));
    assert_eq!(Arc::strong_count(&first), 1, "the old waker is gone");
    assert_eq!(waiter.gives(), 10);
}

#[test]
fn a_failure_is_shared() {
    let (cache, gate) = (Cache::<u64, u64>::new(8), Gate::default());
    let mut leader = Stepped::new(cache.try_get_or_insert_async(1, gate.clone().then(Err("no"))));
    leader.pends();
    let mut same = Stepped::new(cache.try_get_or_insert_async(1, ready(Ok::<_, &str>(1))));
    let mut other = Stepped::new(cache.try_get_or_insert_async(1, ready(Ok::<_, String>(2))));
    let mut none = Stepped::new(cache.get_or_insert_async(1, ready(3)));
    same.pends();
    other.pends();
    none.pends();
    gate.open();
    let first = leader.gives().unwrap_err();
    let second = same.gives().unwrap_err();
    assert!(Arc::ptr_eq(first.failure().unwrap(), second.failure().unwrap()));
    // The two that cannot express it: one load for both.
    assert_eq!(other.gives().unwrap(), 2);
    assert_eq!(none.gives(), 2);
    assert_eq!(cache.stats().loads, 2);
    check(&cache);
}

#[test]
fn a_dropped_leader_hands_over_to_one() {
    let (cache, gate) = (Cache::new(8), Gate::default());
    let loads = Cell::new(0);
    let load = |n: u64| {
        let (gate, loads) = (gate.clone(), &loads);
        async move {
            loads.set(loads.get() + 1);
            gate.then(n).await
        }
    };
    let mut leader = Stepped::new(cache.get_or_insert_async(1, load(10)));
    leader.pends();
    let mut waiters: Vec<_> =
        (0..4).map(|n| Stepped::new(cache.get_or_insert_async(1, load(n)))).collect();
    waiters.iter_mut().for_each(Stepped::pends);
    assert_eq!(loads.get(), 1);
    drop(leader);
    assert_eq!(waiters.iter().map(Stepped::rings).sum::<usize>(), 1, "one is told");
    let heir = waiters.iter().position(|waiter| waiter.rings() == 1).unwrap();
    let mut heir = waiters.remove(heir);
    heir.pends();
    assert_eq!(loads.get(), 2, "its own future runs");
    waiters.iter_mut().for_each(Stepped::pends);
    gate.open();
    let value = heir.gives();
    assert!(waiters.iter_mut().all(|waiter| waiter.gives() == value));
    assert_eq!((loads.get(), cache.get(&1)), (2, Some(value)));
    check(&cache);
}

#[test]
fn one_that_was_told_and_is_dropped_tells_the_next() {
    let cache = Cache::new(8);
    let mut leader = Stepped::new(cache.get_or_insert_async(1, std::future::pending()));
    leader.pends();
    let mut waiters: Vec<_> =
        (0..4).map(|n| Stepped::new(cache.get_or_insert_async(1, ready(n)))).collect();
    waiters.iter_mut().for_each(Stepped::pends);
    drop(leader);
    while waiters.len() > 1 {
        let told = waiters.iter().position(|waiter| waiter.rings() == 1).expect("one is told");
        drop(waiters.remove(told));
    }
    let mut last = waiters.pop().unwrap();
    assert_eq!(last.rings(), 1);
    let value = last.gives();
    assert_eq!(cache.get(&1), Some(value));
    check(&cache);
}

#[test]
fn a_newcomer_may_take_the_lead() {
    let cache = Cache::new(8);
    let mut leader = Stepped::new(cache.get_or_insert_async(1, std::future::pending()));
    leader.pends();
    let mut waiter = Stepped::new(cache.get_or_insert_async(1, async { unreachable!() }));
    waiter.pends();
    drop(leader);
    // The waiter is told, but its task does not run yet.
    assert_eq!(block_on(cache.get_or_insert_async(1, ready(5))), 5);
    assert_eq!(waiter.gives(), 5);
    check(&cache);
}

#[test]
fn when_all_are_dropped_nothing_is_left() {
    for order in 0..3_usize {
        let (cache, log) = logged::<u64, u64>(8);
        let mut all: Vec<_> = (0..3)
            .map(|_| Stepped::new(cache.get_or_insert_async(1, std::future::pending())))
            .collect();
        all.iter_mut().for_each(Stepped::pends);
        all.rotate_left(order);
        drop(all);
        check(&cache); // a flight that nobody is in would be found
        assert_eq!((cache.len(), log.lock().unwrap().len()), (0, 0));
        assert_eq!(cache.stats().loads, 0, "no load came to its end");
        assert_eq!(cache.get_or_insert_with(1, || 7), 7);
        cache.clear();
        cache.maintain();
        assert_eq!(cache.awaiting_reclamation(), 0);
    }
}

#[test]
fn a_waiter_in_a_loop_leaves_nothing() {
    let (cache, gate) = (Cache::new(8), Gate::default());
    let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(10)));
    leader.pends();
    let mut kept = Stepped::new(cache.get_or_insert_async(1, ready(0)));
    kept.pends();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    for _ in 0..times(10_000) {
        let mut two = [0, 1].map(|n| Box::pin(cache.get_or_insert_async(1, ready(n))));
        for waiter in &mut two {
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    assert_eq!(Arc::strong_count(&bell), 2, "no waker is left behind");
    gate.open();
    assert_eq!((leader.gives(), kept.gives()), (10, 10));
    assert_eq!(bell.0.load(SeqCst), 0);
    check(&cache);
}

/// A load of several steps, dropped after each number of polls, with others in each role.
#[test]
fn dropped_at_every_point() {
    dropped_at_every_point_of(|cache, key, load| {
        Stepped::new(cache.get_or_insert_async(key, load))
    });
    dropped_at_every_point_of(|cache, key, load| {
        let load = async { Ok::<_, ()>(load.await) };
        let asked = cache.try_get_or_insert_async(key, load);
        Stepped::new(async { asked.await.unwrap() })
    });
}

type Ask = for<'a> fn(&'a Cache<u64, Tracked>, u64, Fetch<'a>) -> Stepped<'a, Tracked>;
type Fetch<'a> = Pin<Box<dyn Future<Output = Tracked> + 'a>>;

fn dropped_at_every_point_of(ask: Ask) {
    const STEPS: usize = 4;
    for polls in 0..=STEPS + 1 {
        for waiters in 0..3 {
            let ledger = Ledger::new();
            let cache = Cache::new(8);
            let load = |n| -> Fetch<'_> {
                let ledger = Arc::clone(&ledger);
                let cache = &cache;
                Box::pin(async move {
                    let held = ledger.make(99); // lives across all steps
                    steps(1).await;
                    cache.get_or_insert_async(2, async { ledger.make(2) }).await;
                    steps(STEPS - 1).await;
                    drop(held);
                    ledger.make(n)
                })
            };
            let mut leader = ask(&cache, 1, load(10));
            let mut others: Vec<_> = Vec::new();
            let mut done = None;
            for _ in 0..polls {
                if done.is_none() {
                    done = match leader.poll() {
                        Poll::Ready(value) => Some(value),
                        Poll::Pending => None,
                    };
                }
                while others.len() < waiters {
                    others.push(ask(&cache, 1, load(20)));
                }
                others.iter_mut().for_each(|other| drop(other.poll()));
            }
            let finished = done.is_some();
            drop(leader);
            drop(done);
            if finished || waiters == 0 || polls == 0 {
                others.clear();
            }
            let mut values = Vec::new();
            while let Some(mut other) = others.pop() {
                let value = loop {
                    match other.poll() {
                        Poll::Ready(value) => break value,
                        Poll::Pending => assert!(
                            other.rings() > 0 || !others.is_empty(),
                            "asleep for ever: {polls} polls, {waiters} waiters"
                        ),
                    }
                    others.iter_mut().for_each(|other| drop(other.poll()));
                };
                assert_eq!(value.n(), 20);
                values.push(value);
                others.retain_mut(|other| other.poll().is_pending());
            }
            drop(values);
            drop(others);
            check(&cache);
            assert_eq!(cache.get_or_insert_with(3, || ledger.make(3)).n(), 3);
            cache.clear();
            cache.maintain();
            ledger.assert_all_dropped();
        }
    }
}

/// A thread that is in the middle of `load`, where that calls what it is given. Gives what lets it go on, and
/// tells what it came to.
fn held<'s, R: Send + 's>(
    scope: &'s thread::Scope<'s, '_>,
    load: impl FnOnce(&dyn Fn()) -> R + Send + 's,
) -> impl FnOnce() -> R {
    let (leads, led) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let leader = scope.spawn(move || {
        load(&|| {
            leads.send(()).unwrap();
            gone.recv().unwrap();
        })
    });
    led.recv().unwrap();
    move || {
        go.send(()).unwrap();
        leader.join().unwrap()
    }
}

/// One that waits for a thread's load of two keys, of which the second gets no value, is dropped after
/// each number of polls, before and after that load's end.
#[test]
fn dropped_at_every_point_behind_a_load_of_many() {
    for (polls, after) in [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1)] {
        let cache: Cache<u64, u64> = Cache::new(8);
        thread::scope(|scope| {
            let cache = &cache;
            let release = held(scope, move |hold| {
                cache.load_many([1, 2], |_| {
                    hold();
                    Ok::<_, ()>([(1, 10)])
                })
            });
            let ask = |key| {
                let [kept, dropped] = [0, 1].map(|n| {
                    Stepped::new(cache.try_get_or_insert_async(key, ready(Ok::<_, ()>(n))))
                });
                (kept, dropped, Stepped::new(cache.get_or_insert_async(key, ready(20))))
            };
            let mut asked = [ask(1), ask(2)];
            for (kept, dropped, heir) in &mut asked {
                kept.pends();
                heir.pends();
                (0..polls).for_each(|_| dropped.pends());
            }
            let asked =
                asked.map(|(kept, dropped, heir)| (kept, (after == 1).then_some(dropped), heir));
            assert_eq!(release().len(), 2);
            let [(mut kept, dropped, mut heir), (mut none, left, mut loads)] = asked;
            drop((dropped, left));
            assert_eq!((kept.rings(), heir.rings()), (1, 1));
            assert_eq!((kept.gives().unwrap(), heir.gives()), (10, 10));
            assert!(none.gives().unwrap_err().is_missing());
            assert_eq!(loads.gives(), 20, "it cannot be told of that, and loads itself");
        });
        check(&cache);
        assert_eq!(cache.len(), 2);
    }
}

#[test]
fn a_panic_in_the_future() {
    let cache: Cache<u64, u64> = Cache::new(8);
    let gate = Gate::default();
    let failing = async {
        gate.clone().pass().await;
        boom()
    };
    let mut leader = Stepped::new(cache.get_or_insert_async(1, failing));
    leader.pends();
    let mut told = Stepped::new(cache.try_get_or_insert_async(1, ready(Ok::<_, ()>(1))));
    let mut heir = Stepped::new(cache.get_or_insert_async(1, ready(2)));
    told.pends();
    heir.pends();
    gate.open();
    assert!(booms(|| leader.poll()), "its own poller sees the panic");
    assert!(told.gives().unwrap_err().is_panicked());
    assert_eq!(heir.gives(), 2);
    assert!(panic_text(|| leader.poll()).contains("after its end"));
    check(&cache);
    // In the destructor of the caller's future.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            boom();
        }
    }
    let bomb = Bomb;
    let mut leader = Stepped::new(cache.get_or_insert_async(7, async move {
        let _bomb = &bomb;
        std::future::pending().await
    }));
    leader.pends();
    let mut heir = Stepped::new(cache.get_or_insert_async(7, ready(70)));
    heir.pends();
    assert!(booms(|| drop(leader)));
    assert_eq!(heir.gives(), 70, "handed over before that destructor ran");
    check(&cache);
}

#[test]
fn a_waker_that_panics_does_not_silence_the_others() {
    struct Rude;
    impl Wake for Rude {
        fn wake(self: Arc<Self>) {
            boom();
        }
    }
    let (cache, gate) = (Cache::new(8), Gate::default());
    let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(10)));
    leader.pends();
    let mut first = Stepped::new(cache.get_or_insert_async(1, ready(0)));
    first.pends();
    let mut rude = pin!(cache.get_or_insert_async(1, ready(0)));
    let waker = Waker::from(Arc::new(Rude));
    assert!(rude.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut last = Stepped::new(cache.get_or_insert_async(1, ready(0)));
    last.pends();
    gate.open();
    assert_eq!(leader.gives(), 10);
    assert_eq!((first.rings(), last.rings()), (1, 1));
    assert_eq!((first.gives(), last.gives()), (10, 10));
}

#[test]
fn asking_for_its_own_key() {
    let cache: Cache<u64, u64> = Cache::new(8);
    let inner = block_on(cache.get_or_insert_async(1, async {
        steps(2).await;
        let asked = cache.try_get_or_insert_async(1, ready(Ok::<_, ()>(2))).await;
        assert!(asked.unwrap_err().is_reentrant());
        // By a call that blocks, too.
        assert!(cache.try_get_or_insert_with(1, || Ok::<_, ()>(2)).unwrap_err().is_reentrant());
        3
    }));
    assert_eq!(inner, 3);
    let text = panic_text(|| {
        block_on(cache.get_or_insert_async(2, cache.get_or_insert_async(2, ready(1))))
    });
    assert_eq!(text, "a loader asked the cache for the key that it loads");
    // A task that is polled by a loader that blocks.
    let asked = cache.try_get_or_insert_with(3, || {
        block_on(cache.try_get_or_insert_async(3, ready(Ok::<_, ()>(1))))
    });
    assert!(matches!(asked, Err(LoadError::Failed(error)) if error.is_reentrant()));
    // One that waited before already.
    let gate = Gate::default();
    let waiter = Rc::new(Cell::new(None));
    let slot = Rc::clone(&waiter);
    let mut leader = Stepped::new(cache.get_or_insert_async(4, async {
        gate.clone().pass().await;
        let mut waiter: Stepped<'_, Result<u64, LoadError<()>>> = slot.take().unwrap();
        assert!(waiter.gives().unwrap_err().is_reentrant());
        4
    }));
    leader.pends();
    let mut early = Stepped::new(cache.try_get_or_insert_async(4, ready(Ok::<_, ()>(1))));
    early.pends();
    waiter.set(Some(early));
    gate.open();
    assert_eq!(leader.gives(), 4);
    // The same task may wait for what another of its futures loads.
    let gate = Gate::default();
    let mut both = Stepped::new(futures_lite::future::zip(
        cache.get_or_insert_async(5, gate.clone().then(50)),
        cache.get_or_insert_async(5, ready(51)),
    ));
    both.pends();
    gate.open();
    assert_eq!(both.gives(), (50, 50));
    check(&cache);
}

#[test]
fn an_explicit_write_wins() {
    for by in ["insert", "remove", "clear"] {
        let ((cache, log), gate) = (logged::<u64, u64>(8), Gate::default());
        let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(10)));
        leader.pends();
        let mut waiter = Stepped::new(cache.get_or_insert_async(1, ready(0)));
        waiter.pends();
        match by {
            "insert" => drop(cache.insert(1, 99)),
            "remove" => drop(cache.remove(&1)),
            _ => cache.clear(),
        }
        gate.open();
        assert_eq!((leader.gives(), waiter.gives()), (10, 10), "{by}: who waited gets it");
        assert_eq!(cache.get(&1), (by == "insert").then_some(99), "{by}: it is not kept");
        assert_eq!(*log.lock().unwrap(), [(1, 10, Cause::Rejected)]);
        check(&cache);
        // A detached flight that is handed over, and one whose last one leaves.
        for heirs in 0..2 {
            let mut leader = Stepped::new(cache.get_or_insert_async(2, std::future::pending()));
            leader.pends();
            let mut heir: Vec<_> =
                (0..heirs).map(|_| Stepped::new(cache.get_or_insert_async(2, ready(20)))).collect();
            heir.iter_mut().for_each(Stepped::pends);
            cache.remove(&2);
            drop(leader);
            assert!(heir.iter_mut().all(|heir| heir.gives() == 20));
            assert_eq!(cache.get(&2), None);
            check(&cache);
        }
    }
}

#[test]
fn a_thread_takes_over_from_a_task() {
    let cache: Cache<u64, u64> = Cache::new(8);
    for round in 0..times(100) as u64 {
        let mut leader = Box::pin(cache.get_or_insert_async(round, std::future::pending()));
        assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        thread::scope(|scope| {
            let all: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| cache.get_or_insert_with(round, || round + 1)))
                .collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            drop(leader);
            assert!(all.into_iter().all(|thread| thread.join().unwrap() == round + 1));
        });
    }
    assert_eq!(cache.stats().loads, times(100) as u64);
    check(&cache);
}

#[test]
fn a_task_waits_for_a_thread() {
    let cache: Cache<u64, u64> = Cache::new(8);
    thread::scope(|scope| {
        let cache = &cache;
        let release = held(scope, move |hold| {
            cache.get_or_insert_with(1, || {
                hold();
                10
            })
        });
        let mut waiter = Stepped::new(cache.get_or_insert_async(1, ready(0)));
        waiter.pends();
        assert_eq!(release(), 10);
        assert_eq!((waiter.rings(), waiter.gives()), (1, 10));
    });
    check(&cache);
}

#[test]
fn hundreds_of_keys_with_one_hash() {
    let cache = Cache::builder().max_entries(4).hasher(OneHash).build().unwrap();
    let gate = Gate::default();
    let mut all: Vec<_> = (0..900_u64)
        .map(|n| Stepped::new(cache.get_or_insert_async(n, gate.clone().then(n))))
        .collect();
    all.iter_mut().for_each(Stepped::pends);
    gate.open();
    for (n, load) in all.iter_mut().enumerate() {
        assert_eq!(load.gives(), n as u64);
    }
    assert_eq!(cache.stats().loads, 900);
    drop(all);
    check(&cache);
}

#[test]
fn sizes_and_auto_traits() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let cache: Cache<u64, u64> = Cache::new(8);
    let empty = size_of_val(&cache.get_or_insert_async(1, ready(1)));
    let large = send(cache.get_or_insert_async(1, async {
        let buffer = [1_u8; 1000];
        steps(1).await;
        u64::from(buffer[999])
    }));
    assert!(size_of_val(&large) < empty + 1100, "the caller's future is held once");
    assert!(empty <= 24 * size_of::<usize>(), "{empty}");
}

#[test]
fn an_entry_whose_time_is_over_is_loaded_anew() {
    use std::time::Duration;
    let time = Arc::new(hotset::ManualTime::new());
    let cache = Cache::builder()
        .max_entries(8)
        .time_to_live(Duration::from_secs(10))
        .time_source(Arc::clone(&time))
        .build()
        .unwrap();
    cache.insert(1, 1);
    time.advance(Duration::from_secs(11));
    let gate = Gate::default();
    let mut leader = Stepped::new(cache.get_or_insert_async(1, gate.clone().then(2)));
    leader.pends();
    let mut waiter = Stepped::new(cache.get_or_insert_async(1, ready(3)));
    waiter.pends();
    gate.open();
    assert_eq!((leader.gives(), waiter.gives()), (2, 2));
    assert_eq!(cache.load_many([1, 4], |_| Ok::<_, ()>([(4, 40)])).len(), 2);
    time.advance(Duration::from_secs(11));
    assert_eq!(cache.get_many(&[1, 4]), [None, None]);
    assert_eq!(cache.sweep(), 2);
    check(&cache);
}

/// The link of an entry that was loaded leads to the room of its flight while somebody is in it.
#[test]
fn victims_whose_waiters_have_not_looked_yet() {
    let cache =
        Cache::builder().max_weight(10).weigher(|_: &u64, value: &u64| *value).build().unwrap();
    let gate = Gate::default();
    let mut leaders: Vec<_> = (0..10)
        .map(|key| Stepped::new(cache.get_or_insert_async(key, gate.clone().then(1))))
        .collect();
    leaders.iter_mut().for_each(Stepped::pends);
    let mut waiters: Vec<_> =
        (0..10).map(|key| Stepped::new(cache.get_or_insert_async(key, ready(9)))).collect();
    waiters.iter_mut().for_each(Stepped::pends);
    gate.open();
    assert!(leaders.iter_mut().all(|leader| leader.gives() == 1));
    assert!(cache.insert(100, 10).is_admitted()); // puts out all the others
    assert_eq!(cache.len(), 1);
    assert!(waiters.iter_mut().all(|waiter| waiter.gives() == 1));
    drop(waiters);
    check(&cache);
}
