//! R4: does user code ever run under a lock? Everything that a user can give here asks the cache for
//! a snapshot and for a lease, whenever it is called. If a lock were held, that would be the end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use hotset::{CloseError, Job, LeaseError, LoadContext, Loaded, Loader, ResourceCache};

use crate::gate::{Gate, limited, lock, until};
use crate::world::{Boom, boom};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hook {
    Identity,
    Estimate,
    Load,
    Close,
    CloseFailed,
    Spawn,
    CloneSpec,
    CloneId,
    DropSpec,
    DropId,
    DropResource,
    DropError,
    CloneWaker,
    Wake,
    DropWaker,
}

const HOOKS: [Hook; 15] = [
    Hook::Identity,
    Hook::Estimate,
    Hook::Load,
    Hook::Close,
    Hook::CloseFailed,
    Hook::Spawn,
    Hook::CloneSpec,
    Hook::CloneId,
    Hook::DropSpec,
    Hook::DropId,
    Hook::DropResource,
    Hook::DropError,
    Hook::CloneWaker,
    Hook::Wake,
    Hook::DropWaker,
];

/// What every hook does.
#[derive(Clone, Default)]
struct Probe(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cache: Mutex<Option<ResourceCache<Hooked>>>,
    probed: Mutex<BTreeMap<Hook, usize>>,
    /// Loads and closes of key 9 wait here.
    gate: Gate,
}

thread_local! {
    /// A hook that runs inside a hook does nothing, or there would be no end.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Probe {
    fn call(&self, hook: Hook) {
        if INSIDE.replace(true) {
            return;
        }
        let cache = lock(&self.0.cache).clone();
        if let Some(cache) = cache {
            drop(cache.snapshot());
            for key in [1, 2] {
                drop(cache.try_lease(&self.spec(key)));
            }
            *lock(&self.0.probed).entry(hook).or_default() += 1;
        }
        INSIDE.set(false);
    }

    fn spec(&self, key: u32) -> Spec {
        Spec(Keyed { probe: self.clone(), key })
    }

    fn count(&self, hook: Hook) -> usize {
        lock(&self.0.probed).get(&hook).copied().unwrap_or(0)
    }
}

#[derive(Clone)]
struct Keyed {
    probe: Probe,
    key: u32,
}

struct Spec(Keyed);
struct Id(Keyed);
struct Resource(Keyed);
struct Failed(Keyed);

impl Clone for Spec {
    fn clone(&self) -> Self {
        self.0.probe.call(Hook::CloneSpec);
        Self(self.0.clone())
    }
}

impl Clone for Id {
    fn clone(&self) -> Self {
        self.0.probe.call(Hook::CloneId);
        Self(self.0.clone())
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Id {}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.0.key)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failure of key {}", self.0.key)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failed {}

macro_rules! drop_hooks {
    ($($type:ident: $hook:ident),*) => {$(
        impl Drop for $type {
            fn drop(&mut self) {
                self.0.probe.call(Hook::$hook);
            }
        }
    )*};
}

drop_hooks!(Spec: DropSpec, Id: DropId, Resource: DropResource, Failed: DropError);

const SOON: Duration = Duration::from_millis(10);
const TTL: Duration = Duration::from_millis(100);

/// Loads anything; what happens is in the key.
struct Hooked(Probe);

const FAILS: u32 = 5;
const PANICS: u32 = 6;
const CLOSE_FAILS: u32 = 7;
const CLOSE_PANICS: u32 = 8;
const SLOW: u32 = 9;

impl Loader for Hooked {
    type Spec = Spec;
    type Id = Id;
    type Resource = Resource;
    type Error = Failed;

    const ESTIMATES: bool = true;

    fn identity(&self, spec: &Spec) -> Id {
        self.0.call(Hook::Identity);
        Id(spec.0.clone())
    }

    fn estimate(&self, _: &Spec) -> Result<u64, Failed> {
        self.0.call(Hook::Estimate);
        Ok(1)
    }

    fn load(&self, spec: &Spec, _: &LoadContext) -> Result<Loaded<Resource>, Failed> {
        self.0.call(Hook::Load);
        match spec.0.key {
            FAILS => return Err(Failed(spec.0.clone())),
            PANICS => boom(),
            SLOW => self.0.0.gate.pass(),
            _ => {}
        }
        Ok(Loaded::new(Resource(spec.0.clone())))
    }

    fn close(&self, id: &Id, resource: Resource) -> Result<(), CloseError> {
        self.0.call(Hook::Close);
        drop(resource);
        match id.0.key {
            CLOSE_FAILS => Err("scripted".into()),
            CLOSE_PANICS => boom(),
            _ => Ok(()),
        }
    }
}

/// A waker whose every use is a hook.
fn hooked_waker(probe: &Probe) -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, forget);

    fn raw(probe: Probe) -> RawWaker {
        RawWaker::new(Box::into_raw(Box::new(probe)).cast(), &TABLE)
    }

    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: `data` is from `raw`, and the waker that it belongs to lives.
        let probe = unsafe { &*data.cast::<Probe>() };
        probe.call(Hook::CloneWaker);
        raw(probe.clone())
    }

    unsafe fn wake(data: *const ()) {
        // SAFETY: `data` is from `raw`; this call consumes the waker, as `forget` does.
        unsafe {
            wake_by_ref(data);
            forget(data);
        }
    }

    unsafe fn wake_by_ref(data: *const ()) {
        // SAFETY: `data` is from `raw`, and the waker that it belongs to lives.
        unsafe { &*data.cast::<Probe>() }.call(Hook::Wake);
    }

    unsafe fn forget(data: *const ()) {
        // SAFETY: `data` is from `raw`, and nobody uses it again.
        let probe = unsafe { Box::from_raw(data.cast_mut().cast::<Probe>()) };
        probe.call(Hook::DropWaker);
    }

    // SAFETY: the table's functions keep the contract of `RawWaker`: `clone` makes a box of its own,
    // `wake` and `forget` end one, and a `Probe` may be used by several threads.
    unsafe { Waker::from_raw(raw(probe.clone())) }
}

fn poll_once<F: Future>(future: Pin<&mut F>, probe: &Probe) -> Poll<F::Output> {
    let waker = hooked_waker(probe);
    future.poll(&mut Context::from_waker(&waker))
}

fn build(probe: &Probe) -> ResourceCache<Hooked> {
    let (spawns, hears) = (probe.clone(), probe.clone());
    let cache = ResourceCache::builder(Hooked(probe.clone()))
        .max_entries(3)
        .max_weight(3)
        .max_waiters(3)
        .wait_timeout(Duration::from_secs(10))
        .idle_ttl(TTL)
        .executor(move |job: Job| {
            spawns.call(Hook::Spawn);
            thread::spawn(|| job.run());
        })
        .on_close_error(move |_, _| hears.call(Hook::CloseFailed))
        .build()
        .unwrap();
    *lock(&probe.0.cache) = Some(cache.clone());
    cache
}

#[test]
fn no_hook_of_the_user_runs_under_a_lock() {
    let probe = Probe::default();
    let runs = probe.clone();
    limited("hooks that use the cache", move || everything(&runs));
    for hook in HOOKS {
        assert!(probe.count(hook) > 0, "{hook:?} was never called: this tests less than it says");
    }
}

/// All that can be done with a cache.
fn everything(probe: &Probe) {
    let cache = build(probe);
    let spec = |key| probe.spec(key);
    let id = |key| Id(spec(key).0.clone());

    // Misses, hits, copies, the end of a lease.
    for key in 1..=4 {
        let lease = cache.lease(&spec(key)).unwrap();
        assert_eq!(lease.0.key, key);
        drop(lease.clone());
        assert_eq!(lease.id().0.key, lease.spec().0.key);
    }
    drop(cache.loaded_keys());
    drop(cache.snapshot());
    drop(cache.lease_ready(&id(3)));
    cache.lease(&spec(3)).unwrap().retire();

    // Failures, remembered and not.
    for key in [FAILS, PANICS] {
        for _ in 0..2 {
            assert!(cache.lease(&spec(key)).is_err());
        }
        cache.reset(&id(key));
    }
    for key in [CLOSE_FAILS, CLOSE_PANICS] {
        drop(cache.lease(&spec(key)).unwrap());
        cache.unload(&id(key)).unwrap();
    }

    // No room: threads and tasks that wait, give up, are too many, or are served.
    let held: Vec<_> = (1..=3).map(|key| cache.lease(&spec(key)).unwrap()).collect();
    let refused = cache.lease_within(&spec(4), 50 * SOON);
    assert!(matches!(refused, Err(LeaseError::Capacity { .. })));
    {
        let wanted = [4, 10, 11, 12].map(spec);
        let mut waits: Vec<_> = wanted.iter().map(|s| Box::pin(cache.lease_async(s))).collect();
        let last = waits.pop().expect("there are four");
        for wait in &mut waits {
            assert!(poll_once(wait.as_mut(), probe).is_pending());
            assert!(poll_once(wait.as_mut(), probe).is_pending()); // with another waker
        }
        let full = poll_once(pin!(last), probe);
        assert!(matches!(full, Poll::Ready(Err(LeaseError::QueueFull { .. }))));
        drop(waits.pop()); // goes away while it waits
        drop(held); // serves one, or two
        until("the first is served or given up", || poll_once(waits[0].as_mut(), probe).is_ready());
    }

    // A load that is under way when its key is unloaded, and when nobody waits any more.
    assert!(cache.lease_within(&spec(SLOW), SOON).is_err(), "its time is over");
    cache.unload(&id(SLOW)).unwrap();
    probe.0.gate.open();
    cache.evict_idle().unwrap();
    drop(cache.lease(&spec(1)));
    cache.resize(2, None).unwrap();
    cache.evict_all().unwrap();

    // Time: an idle entry expires.
    until("a lease", || cache.lease(&spec(1)).is_ok());
    until("it has expired", || {
        thread::sleep(2 * TTL); // a look at the ids is a use, by their hooks
        cache.snapshot().counts.expirations > 0
    });

    // The end, with a waiter, an idle entry and one that is leased.
    let held = cache.lease(&spec(1)).unwrap();
    drop(cache.lease(&spec(2)));
    drop(cache.shutdown(SOON));
    assert!(cache.lease(&spec(1)).is_err());
    drop(held);
    drop(cache.shutdown(Duration::from_secs(10)));
    drop(lock(&probe.0.cache).take());
    drop(cache);
}

/// The same with the drop of a cache that was not shut down.
#[test]
fn a_drop_of_the_cache_runs_no_hook_under_a_lock() {
    let probe = Probe::default();
    let runs = probe.clone();
    limited("a drop of the cache", move || {
        let cache = build(&runs);
        let held = cache.lease(&runs.spec(1)).unwrap();
        drop(cache.lease(&runs.spec(2)).unwrap());
        drop(cache.lease(&runs.spec(FAILS)));
        let last = lock(&runs.0.cache).take();
        drop(cache);
        drop(last);
        drop(held);
    });
    until("all is gone but the test's own share", || Arc::strong_count(&probe.0) == 1);
}

/// The harness's own panic, which must not be printed.
#[test]
fn a_scripted_panic_is_recognised() {
    let panic = std::panic::catch_unwind(|| boom()).expect_err("it panics");
    assert!(panic.is::<Boom>());
}
