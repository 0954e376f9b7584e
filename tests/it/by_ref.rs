//! Is a key that is lent owned by the call that loads, and by no other, and is all else as with a key that is
//! given?

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt::Debug;
use std::future::{Future, pending, poll_fn, ready};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use hotset::{Builder, Cache, Equivalent, LoadError, ManualTime};

use crate::common::{Ledger, OneHash, Tracked, boom, booms, check, panic_text, times};

type Act = Box<dyn FnOnce() + Send>;

/// Sees what is done with the forms of keys.
#[derive(Default)]
struct Desk {
    hashed: AtomicUsize,
    owned: AtomicUsize,
    ledger: Arc<Ledger>,
    act: Mutex<Option<Act>>,
}

impl Desk {
    fn form(self: &Arc<Self>, id: u64) -> Form {
        Form { id, desk: Arc::clone(self) }
    }

    fn key(self: &Arc<Self>, id: u64) -> Key {
        Key { form: self.form(id), tracked: self.ledger.make(id) }
    }

    /// What is to happen while the next key is made of its form.
    fn next_time(&self, act: impl FnOnce() + Send + 'static) {
        *self.act.lock().unwrap() = Some(Box::new(act));
    }

    /// How often a form was hashed and made a key since this was asked.
    fn counts(&self) -> (usize, usize) {
        (self.hashed.swap(0, SeqCst), self.owned.swap(0, SeqCst))
    }
}

/// A form of a key that is not a key, and no `Clone` either.
struct Form {
    id: u64,
    desk: Arc<Desk>,
}

struct Key {
    form: Form,
    tracked: Tracked,
}

impl Hash for Form {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.desk.hashed.fetch_add(1, SeqCst);
        self.id.hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.form.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.tracked.n() == other.tracked.n()
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Form {
    fn equivalent(&self, key: &Key) -> bool {
        self.id == key.tracked.n()
    }
}

impl Borrow<Form> for Key {
    fn borrow(&self) -> &Form {
        &self.form
    }
}

impl ToOwned for Form {
    type Owned = Key;

    fn to_owned(&self) -> Key {
        self.desk.owned.fetch_add(1, SeqCst);
        let key = self.desk.key(self.id);
        let act = self.desk.act.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
        key
    }
}

/// Each of the four methods, of which two fail only by a panic.
const WAYS: [&str; 4] = ["with", "try with", "async", "try async"];

fn ask<K, V, Q>(cache: &Cache<K, V>, way: &str, key: &Q, load: impl FnOnce() -> V) -> V
where
    K: Hash + Eq,
    V: Clone + Debug,
    Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    match way {
        "with" => cache.get_or_insert_with_by_ref(key, load),
        "try with" => cache.try_get_or_insert_with_by_ref(key, || Ok::<_, ()>(load())).unwrap(),
        "async" => block_on(cache.get_or_insert_async_by_ref(key, async { load() })),
        "try async" => {
            let load = async { Ok::<_, ()>(load()) };
            block_on(cache.try_get_or_insert_async_by_ref(key, load)).unwrap()
        }
        _ => unreachable!("{way}"),
    }
}

/// A cache of keys that are seen, with what a builder can add, and its time.
fn seen<V: Clone>(
    configure: impl FnOnce(Builder<Key, V>) -> Builder<Key, V>,
) -> (Arc<Cache<Key, V>>, Arc<Desk>, ManualTime) {
    let time = ManualTime::new();
    let builder = Cache::builder().max_entries(100).stats(true).time_source(time.clone());
    (Arc::new(configure(builder).build().unwrap()), Arc::default(), time)
}

/// All keys that are alive are in the cache.
#[track_caller]
fn check_keys<V>(cache: &Cache<Key, V>, desk: &Desk) {
    check(cache);
    cache.maintain();
    assert_eq!(desk.ledger.live(), cache.len() as isize);
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_hit_owns_nothing_and_a_miss_once() {
    let (cache, desk, _) = seen(|builder| builder);
    for (n, way) in (1..).zip(WAYS) {
        let form = desk.form(n);
        assert_eq!(ask(&cache, way, &form, || 10 * n), 10 * n);
        assert_eq!(desk.counts(), (1, 1), "{way}: a miss");
        assert_eq!(ask(&cache, way, &form, || unreachable!()), 10 * n);
        assert_eq!(desk.counts(), (1, 0), "{way}: a hit");
        let stats = cache.stats();
        assert_eq!((stats.misses, stats.hits, stats.loads), (n, n, n), "{way}");
    }
    // They find what others brought, and bring what others find.
    cache.insert(desk.key(9), 90);
    assert_eq!(ask(&cache, "with", &desk.form(9), || unreachable!()), 90);
    assert_eq!(cache.get_or_insert_with(desk.key(1), || unreachable!()), 10);
    check_keys(&cache, &desk);
}

#[test]
fn keys_of_the_standard_library() {
    fn run<K, Q>(forms: [&Q; 3])
    where
        K: Hash + Eq,
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let cache: Cache<K, usize> = Cache::new(8);
        for way in WAYS {
            for (n, form) in forms.into_iter().enumerate() {
                let mut loads = 0;
                let mut load = || {
                    loads += 1;
                    n
                };
                assert_eq!(ask(&cache, way, form, &mut load), n);
                assert_eq!(ask(&cache, way, form, &mut load), n);
                assert_eq!((loads, cache.get(form)), (1, Some(n)));
            }
            assert_eq!(cache.len(), 3);
            cache.clear();
        }
        check(&cache);
    }
    run::<String, str>(["", "a", "ab"]);
    run::<Vec<u8>, [u8]>([b"", b"a", b"ab"]);
    run::<PathBuf, std::path::Path>(["".as_ref(), "a".as_ref(), "a/b".as_ref()]);
    run::<u64, u64>([&0, &1, &2]); // which is its own form
    run::<&str, &str>([&"", &"a", &"ab"]);
}

#[test]
fn an_error_owns_once_and_the_next_call_anew() {
    let (cache, desk, _) = seen::<u64>(|builder| builder);
    let form = desk.form(1);
    let failed = cache.try_get_or_insert_with_by_ref(&form, || Err("down")).unwrap_err();
    assert!(matches!(failed, LoadError::Failed(error) if *error == "down"));
    assert_eq!(desk.counts(), (1, 1));
    let load = ready(Err("off"));
    let failed = block_on(cache.try_get_or_insert_async_by_ref(&form, load)).unwrap_err();
    assert!(matches!(failed, LoadError::Failed(error) if *error == "off"));
    assert_eq!(desk.counts(), (1, 1));
    assert!(booms(|| cache.get_or_insert_with_by_ref(&form, || boom())));
    assert!(booms(|| block_on(cache.get_or_insert_async_by_ref(&form, async { boom() }))));
    assert_eq!(desk.counts(), (2, 2));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.misses), (4, 4, 4));
    check_keys(&cache, &desk);
    assert_eq!(cache.get_or_insert_with_by_ref(&form, || 1), 1);
    check_keys(&cache, &desk);
}

#[test]
fn who_waits_owns_nothing() {
    let (cache, desk, _) = seen(|builder| builder);
    let open = Cell::new(false);
    let gate = poll_fn(|_| if open.get() { Poll::Ready(10) } else { Poll::Pending });
    let form = desk.form(1);
    let mut leader = Box::pin(cache.get_or_insert_async_by_ref(&form, gate));
    assert_eq!(desk.counts(), (1, 0), "nothing is owned before it is polled");
    assert!(poll(&mut leader).is_pending());
    assert_eq!(desk.counts(), (0, 1));
    let forms = [(); 5].map(|()| desk.form(1));
    let mut waiters: Vec<_> = forms
        .iter()
        .map(|form| Box::pin(cache.get_or_insert_async_by_ref(form, async { unreachable!() })))
        .collect();
    let given = cache.get_or_insert_async(desk.key(1), async { unreachable!() });
    let mut given = Box::pin(given);
    waiters.iter_mut().for_each(|waiter| assert!(poll(waiter).is_pending()));
    assert!(poll(&mut given).is_pending());
    open.set(true);
    assert_eq!(poll(&mut leader), Poll::Ready(10));
    waiters.iter_mut().for_each(|waiter| assert_eq!(poll(waiter), Poll::Ready(10)));
    assert_eq!(poll(&mut given), Poll::Ready(10));
    assert_eq!(desk.owned.load(SeqCst), 0);
    assert_eq!(cache.stats().loads, 1);
    drop((leader, waiters, given));
    check_keys(&cache, &desk);
}

#[test]
fn who_takes_a_load_over_has_its_key_already() {
    let (cache, desk, _) = seen(|builder| builder);
    let form = desk.form(1);
    let mut leader = Box::pin(cache.get_or_insert_async_by_ref(&form, pending()));
    let mut heir = Box::pin(cache.get_or_insert_async_by_ref(&form, ready(5)));
    assert!(poll(&mut leader).is_pending() && poll(&mut heir).is_pending());
    thread::scope(|scope| {
        // And a thread, which waits in any case: it is the heir, or comes later.
        let waiter = scope.spawn(|| cache.get_or_insert_with_by_ref(&desk.form(1), || 5));
        drop(leader);
        assert_eq!(block_on(heir), 5);
        assert_eq!(waiter.join().unwrap(), 5);
    });
    assert_eq!((desk.owned.load(SeqCst), cache.stats().loads), (1, 1));
    check_keys(&cache, &desk);
}

#[test]
fn a_load_that_came_to_nothing_is_followed_by_one_with_its_own_key() {
    let (cache, desk, _) = seen::<u64>(|builder| builder);
    let form = desk.form(1);
    for fails in [true, false] {
        let open = Cell::new(false);
        let gate = poll_fn(|_| match (open.get(), fails) {
            (false, _) => Poll::Pending,
            (true, true) => Poll::Ready(Err::<u64, _>("down")),
            (true, false) => boom(),
        });
        let mut leader = Box::pin(cache.try_get_or_insert_async_by_ref(&form, gate));
        let mut next = Box::pin(cache.get_or_insert_async_by_ref(&form, ready(5)));
        assert!(poll(&mut leader).is_pending() && poll(&mut next).is_pending());
        assert_eq!(desk.counts(), (2, 1));
        open.set(true);
        if fails {
            assert!(matches!(poll(&mut leader), Poll::Ready(Err(LoadError::Failed(_)))));
        } else {
            assert!(booms(|| poll(&mut leader)));
        }
        assert_eq!(poll(&mut next), Poll::Ready(5));
        assert_eq!(desk.counts(), (0, 1));
        drop((leader, next));
        cache.clear();
        check_keys(&cache, &desk);
    }
}

/// A key that was made for a lead that another got is kept for the next one.
#[test]
fn a_call_owns_once_however_often_it_asks() {
    let (cache, desk, _) = seen::<u64>(|builder| builder);
    let rival = Arc::<Desk>::default();
    let (spawned, threads) = mpsc::channel();
    let lost = {
        let (cache, rival) = (Arc::clone(&cache), Arc::clone(&rival));
        move || {
            // Leads first, and fails once the caller waits for it, as a rule.
            let (leads, led) = mpsc::channel();
            let thread = thread::spawn(move || {
                let failed = cache.try_get_or_insert_with_by_ref(&rival.form(1), || {
                    leads.send(()).unwrap();
                    thread::sleep(Duration::from_millis(20));
                    Err::<u64, _>("rival")
                });
                failed.unwrap_err();
            });
            led.recv().unwrap();
            spawned.send(thread).unwrap();
        }
    };
    desk.next_time(lost);
    assert_eq!(cache.get_or_insert_with_by_ref(&desk.form(1), || 5), 5);
    threads.recv().unwrap().join().unwrap();
    assert_eq!((desk.counts(), rival.counts()), ((1, 1), (1, 1)));
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (2, 1));
    check_keys(&cache, &desk);
    drop(cache);
    desk.ledger.assert_all_dropped();
}

#[test]
fn whoever_asks_while_a_key_is_made_waits_for_nobody() {
    for way in WAYS {
        let (cache, desk, _) = seen(|builder| builder);
        let other = {
            let (cache, desk) = (Arc::clone(&cache), Arc::clone(&desk));
            move || {
                let load = || cache.get_or_insert_with_by_ref(&desk.form(1), || 7);
                thread::scope(|scope| assert_eq!(scope.spawn(load).join().unwrap(), 7));
                assert_eq!(load(), 7); // so may the one who makes it
            }
        };
        desk.next_time(other);
        let form = desk.form(1);
        assert_eq!(ask(&cache, way, &form, || unreachable!()), 7);
        assert_eq!((desk.owned.load(SeqCst), cache.stats().loads), (2, 1), "{way}");
        check_keys(&cache, &desk);
    }
}

#[test]
fn a_panic_of_to_owned_leaves_nothing_and_nobody_waiting() {
    for way in WAYS {
        let (cache, desk, _) = seen(|builder| builder);
        let form = desk.form(1);
        desk.next_time(|| boom());
        assert!(booms(|| ask(&cache, way, &form, || unreachable!())));
        assert_eq!((desk.counts(), cache.stats().loads, cache.len()), ((1, 1), 0, 0));
        check_keys(&cache, &desk);
        // Beside others that ask.
        let others = {
            let (cache, desk) = (Arc::clone(&cache), Arc::clone(&desk));
            move || {
                thread::scope(|scope| {
                    scope.spawn(|| cache.get_or_insert_with_by_ref(&desk.form(1), || 7));
                });
                boom()
            }
        };
        desk.next_time(others);
        assert!(booms(|| ask(&cache, way, &form, || unreachable!())));
        assert_eq!(ask(&cache, way, &form, || unreachable!()), 7);
        assert_eq!(cache.stats().loads, 1);
        check_keys(&cache, &desk);
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn an_old_value_is_refreshed_by_one_who_owns() {
    for way in WAYS {
        let (cache, desk, time) = seen(|builder| builder.refresh_after(MINUTE));
        let form = desk.form(1);
        assert_eq!(ask(&cache, way, &form, || 1), 1);
        time.advance(MINUTE);
        desk.counts();
        let anew = || {
            // Who comes meanwhile is served, and owns nothing.
            assert_eq!(desk.counts(), (1, 1));
            assert_eq!(ask(&cache, way, &form, || unreachable!()), 1);
            assert_eq!(desk.counts(), (1, 0));
            2
        };
        assert_eq!(ask(&cache, way, &form, anew), 2);
        assert_eq!((cache.get(&form), desk.counts()), (Some(2), (1, 0)));
        let stats = cache.stats();
        assert_eq!((stats.refreshes, stats.refresh_failures, stats.loads), (1, 0, 1));
        assert_eq!((stats.misses, stats.hits), (1, 3), "{way}");
        time.advance(MINUTE);
        let failed = cache.try_get_or_insert_with_by_ref(&form, || Err("down"));
        assert_eq!(failed.unwrap(), 2);
        assert_eq!(cache.stats().refresh_failures, 1);
        check_keys(&cache, &desk);
    }
}

#[test]
fn a_panic_of_to_owned_is_a_refresh_that_failed() {
    for way in WAYS {
        let (cache, desk, time) = seen(|builder| builder.refresh_after(MINUTE));
        let form = desk.form(1);
        cache.insert(desk.key(1), 1);
        time.advance(MINUTE);
        desk.next_time(|| boom());
        assert!(booms(|| ask(&cache, way, &form, || unreachable!())));
        let stats = cache.stats();
        assert_eq!((stats.refreshes, stats.refresh_failures), (1, 1), "{way}");
        assert_eq!(ask(&cache, way, &form, || unreachable!()), 1); // put off
        time.advance(MINUTE / 16);
        assert_eq!(ask(&cache, way, &form, || 2), 2);
        assert_eq!(cache.get(&form), Some(2));
        check_keys(&cache, &desk);
    }
}

#[test]
fn an_entry_whose_time_is_over_is_loaded_anew() {
    for way in WAYS {
        let (cache, desk, time) = seen(|builder| builder.time_to_live(MINUTE));
        let form = desk.form(1);
        for n in 0..3 {
            assert_eq!(ask(&cache, way, &form, || n), n);
            assert_eq!(desk.counts(), (1, 1));
            time.advance(MINUTE);
        }
        // Another is faster.
        let other = {
            let (cache, desk) = (Arc::clone(&cache), Arc::clone(&desk));
            move || drop(cache.insert(desk.key(1), 10))
        };
        desk.next_time(other);
        assert_eq!(ask(&cache, way, &form, || unreachable!()), 10);
        assert_eq!((desk.owned.swap(0, SeqCst), cache.stats().loads), (1, 3));
        time.advance(MINUTE);
        desk.next_time(|| boom());
        assert!(booms(|| ask(&cache, way, &form, || unreachable!())));
        assert_eq!(ask(&cache, way, &form, || 11), 11);
        check_keys(&cache, &desk);
    }
}

#[test]
fn a_loader_that_asks_for_its_own_key() {
    let (cache, desk, _) = seen::<u64>(|builder| builder);
    let form = desk.form(1);
    let twice = |form: &Form| cache.try_get_or_insert_with_by_ref(form, || Ok::<_, ()>(0));
    let value = cache.get_or_insert_with_by_ref(&form, || {
        assert!(twice(&form).unwrap_err().is_reentrant());
        let again = cache.try_get_or_insert_async_by_ref(&form, ready(Ok::<_, ()>(0)));
        assert!(block_on(again).unwrap_err().is_reentrant());
        // Nor does it matter how it was asked for.
        let given = cache.try_get_or_insert_with(desk.key(1), || Ok::<_, ()>(0));
        assert!(given.unwrap_err().is_reentrant());
        1
    });
    assert_eq!((value, desk.owned.swap(0, SeqCst)), (1, 1));
    let form = desk.form(2);
    let own = "a loader asked the cache for the key that it loads";
    let again = || cache.get_or_insert_with_by_ref(&form, || 0);
    assert_eq!(panic_text(|| cache.get_or_insert_with_by_ref(&form, again)), own);
    let again = cache.get_or_insert_async_by_ref(&form, ready(0));
    let text = panic_text(|| block_on(cache.get_or_insert_async_by_ref(&form, again)));
    assert_eq!((text.as_str(), desk.owned.swap(0, SeqCst)), (own, 2));
    let again = async { twice(&form).map_err(|error| error.is_reentrant()) };
    let error = block_on(cache.try_get_or_insert_async_by_ref(&form, again)).unwrap_err();
    assert!(matches!(error, LoadError::Failed(reentrant) if *reentrant));
    check_keys(&cache, &desk);
}

#[test]
fn all_methods_are_in_one_flight() {
    const THREADS: usize = if cfg!(miri) { 3 } else { 12 };
    let cache: Cache<String, usize> = Cache::new(100);
    for round in 0..times(100) {
        let (key, start, loads) = (format!("{round}"), Barrier::new(THREADS), AtomicUsize::new(0));
        let call = |t: usize| {
            let load = || {
                loads.fetch_add(1, SeqCst);
                thread::sleep(Duration::from_millis(1));
                t
            };
            start.wait();
            match t % 6 {
                4 => cache.get_or_insert_with(key.clone(), load),
                5 => block_on(cache.get_or_insert_async(key.clone(), async { load() })),
                way => ask(&cache, WAYS[way], key.as_str(), load),
            }
        };
        let values: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(move || call(t))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(loads.into_inner(), 1, "round {round}");
        assert!(values.iter().all(|value| cache.get(&key) == Some(*value)));
    }
    check(&cache);
}

/// Each thread has a desk of its own, so each call is seen by itself.
#[test]
fn no_call_of_many_owns_twice_and_who_loads_owns() {
    let ledger = Ledger::new();
    let cache: Cache<Key, u64, OneHash> = Cache::builder()
        .max_entries(3)
        .hasher(OneHash) // so that claims meet
        .build()
        .unwrap();
    thread::scope(|scope| {
        for t in 0..4 {
            let (cache, ledger) = (&cache, Arc::clone(&ledger));
            scope.spawn(move || {
                let desk = Arc::new(Desk { ledger, ..Desk::default() });
                for n in 0..times(4000) as u64 {
                    let (form, led) = (desk.form((n * 7 + t) % 5), Cell::new(false));
                    let load = || {
                        led.set(true);
                        form.id
                    };
                    let value = match n % 3 {
                        0 => cache.get_or_insert_with_by_ref(&form, load),
                        1 => block_on(cache.get_or_insert_async_by_ref(&form, async { load() })),
                        _ => {
                            drop(cache.remove(&form));
                            form.id
                        }
                    };
                    assert_eq!(value, form.id);
                    let (hashed, owned) = desk.counts();
                    assert_eq!(hashed, 1);
                    assert!(owned == 1 || owned == 0 && !led.get(), "{owned}, {led:?}");
                }
            });
        }
    });
    check(&cache);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn a_future_may_be_dropped_at_any_point() {
    let (cache, desk, _) = seen(|builder| builder);
    let form = desk.form(1);
    let call = |polls: usize| {
        let mut left = polls;
        let load = poll_fn(move |_| {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(3) } else { Poll::Pending }
        });
        Box::pin(cache.get_or_insert_async_by_ref(&form, load))
    };
    drop(call(3)); // not polled
    assert_eq!((desk.owned.load(SeqCst), cache.stats().misses), (0, 0));
    for polls in 1..3 {
        let mut alone = call(3);
        (0..polls).for_each(|_| assert!(poll(&mut alone).is_pending()));
        drop(alone);
        check_keys(&cache, &desk);
        assert!(cache.is_empty());
        let (mut leader, mut waiter, mut heir) = (call(9), call(1), call(1));
        (0..polls).for_each(|_| assert!(poll(&mut leader).is_pending()));
        assert!(poll(&mut waiter).is_pending() && poll(&mut heir).is_pending());
        drop(waiter);
        drop(leader);
        assert_eq!(poll(&mut heir), Poll::Ready(3));
        cache.clear();
        check_keys(&cache, &desk);
    }
}

/// A future that borrows its key is `Send`, and a task that has the key may lend it.
#[test]
fn tasks_under_two_executors() {
    async fn call(cache: Arc<Cache<String, u64>>, task: u64, yields: impl AsyncFn()) {
        for round in 0..times(60) as u64 {
            let key = format!("{}", (task + round) % 5);
            let load = async {
                yields().await;
                if round % 7 == 3 { Err("down") } else { Ok(key.len() as u64) }
            };
            let mut asked = pin!(cache.try_get_or_insert_async_by_ref(key.as_str(), load));
            if (task + round).is_multiple_of(3) {
                // Given up after a poll, as a rule.
                let first = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await;
                assert!(!matches!(first, Poll::Ready(Ok(n)) if n != 1));
                continue;
            }
            match asked.await {
                Ok(value) => assert_eq!(value, 1),
                Err(error) => assert_eq!(**error.failure().unwrap(), "down"),
            }
            cache.remove(key.as_str());
        }
    }
    fn calm(cache: &Cache<String, u64>) {
        check(cache);
        (0..5).for_each(|n| assert_eq!(ask(cache, "with", n.to_string().as_str(), || 1), 1));
    }
    let cache = Arc::new(Cache::new(3));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    runtime.block_on(async {
        let call = |task| tokio::spawn(call(Arc::clone(&cache), task, tokio::task::yield_now));
        let tasks: Vec<_> = (0..24).map(call).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    calm(&cache);
    let executor = async_executor::Executor::new();
    let tasks: Vec<_> = (0..16)
        .map(|task| executor.spawn(call(Arc::clone(&cache), task, futures_lite::future::yield_now)))
        .collect();
    thread::scope(|scope| {
        let (executor, stop) = (&executor, Arc::new(tokio::sync::Notify::new()));
        let stopped = Arc::clone(&stop);
        scope.spawn(move || block_on(executor.run(stopped.notified())));
        block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
        stop.notify_one();
    });
    calm(&cache);
}
