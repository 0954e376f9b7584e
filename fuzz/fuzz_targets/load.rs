//! Does any nesting of loads end as documented? Loaders that give a value, fail, panic, write or
//! remove any key, clear the cache, and ask for keys, their own included; to any depth.

#![no_main]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};

use arbitrary::Arbitrary;
use hotset::{Cache, LoadError};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    bound: u8,
    slack: Option<u8>,
    pinned: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Load { key: u8, infallible: bool, inside: Vec<Step>, end: End },
    Insert(u8),
    Remove(u8),
    Clear,
    Get(u8),
    Shrink(u8),
    Pinned(Vec<Step>),
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum End {
    Value,
    Failure,
    Panic,
}

struct Value(Box<u8>, Arc<AtomicIsize>);

impl Value {
    fn new(key: u8, live: &Arc<AtomicIsize>) -> Self {
        live.fetch_add(1, SeqCst);
        Self(Box::new(key), Arc::clone(live))
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::new(*self.0, &self.1)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.1.fetch_sub(1, SeqCst);
    }
}

struct Boom;

struct World {
    cache: Cache<u8, Value>,
    live: Arc<AtomicIsize>,
    loaders: Cell<u64>,
    failures: Cell<u64>,
}

impl World {
    fn run(&self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Load { key, infallible, inside, end } => {
                    self.load(*key % 16, *infallible, inside, *end);
                }
                Step::Insert(key) => drop(self.cache.insert(key % 16, self.value(key % 16))),
                Step::Remove(key) => {
                    assert!(self.cache.remove(&(key % 16)).is_none_or(|v| *v.0 == key % 16));
                }
                Step::Clear => self.cache.clear(),
                Step::Get(key) => {
                    assert!(self.cache.get(&(key % 16)).is_none_or(|v| *v.0 == key % 16));
                }
                Step::Shrink(bound) => {
                    self.cache.set_max_entries(1 + usize::from(bound % 16)).unwrap();
                }
                Step::Pinned(steps) => {
                    let pinned = self.cache.pin();
                    let seen: Vec<(&u8, &Value)> = pinned.iter().collect();
                    self.run(steps);
                    assert!(seen.iter().all(|(k, v)| **k == *v.0));
                }
            }
            assert!(self.cache.len() <= self.cache.capacity());
        }
    }

    fn value(&self, key: u8) -> Value {
        Value::new(key, &self.live)
    }

    fn load(&self, key: u8, infallible: bool, inside: &[Step], end: End) {
        let ran = Cell::new(false);
        // Every loader that begins is counted at its end, however it ends.
        let loader = || {
            ran.set(true);
            let unwound = catch_unwind(AssertUnwindSafe(|| self.run(inside)));
            self.loaders.set(self.loaders.get() + 1);
            let failed = unwound.is_err() || end != End::Value;
            self.failures.set(self.failures.get() + u64::from(failed));
            if let Err(panic) = unwound {
                resume_unwind(panic);
            }
            match end {
                End::Value => Ok(self.value(key)),
                End::Failure => Err(key),
                End::Panic => resume_unwind(Box::new(Boom)),
            }
        };
        if infallible {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.cache
                    .get_or_insert_with(key, || loader().unwrap_or_else(|_| self.fail()))
                    .0
                    .clone()
            }));
            match outcome {
                Ok(found) => assert_eq!(*found, key),
                // Its own panic, or the documented one of a loader that asks for its own key.
                Err(panic) => assert!(panic.is::<Boom>() || panic.is::<String>()),
            }
            return;
        }
        match catch_unwind(AssertUnwindSafe(|| self.cache.try_get_or_insert_with(key, loader))) {
            Ok(Ok(found)) => assert!(*found.0 == key && (!ran.get() || end == End::Value)),
            Ok(Err(LoadError::Failed(error))) => {
                assert!(*error == key && ran.get() && end == End::Failure);
            }
            Ok(Err(error)) => assert!(error.is_reentrant() && !ran.get()),
            Err(panic) => assert!(ran.get() && panic.is::<Boom>() && end == End::Panic),
        }
    }

    fn fail(&self) -> ! {
        resume_unwind(Box::new(Boom))
    }
}

fuzz_target!(|input: Input| {
    let mut builder = Cache::builder().max_entries(1 + usize::from(input.bound % 16));
    if let Some(slack) = input.slack {
        builder = builder.reclamation_slack(1 + usize::from(slack));
    }
    let world = World {
        cache: builder.build().unwrap(),
        live: Arc::default(),
        loaders: Cell::new(0),
        failures: Cell::new(0),
    };
    // The documented panic of an infallible load is expected here; keep the log quiet.
    quiet();
    {
        let _pinned = input.pinned.then(|| world.cache.pin());
        world.run(&input.steps);
    }
    world.cache.validate().unwrap();
    let stats = world.cache.stats();
    assert_eq!((stats.loads, stats.load_failures), (world.loaders.get(), world.failures.get()));
    // No key is wedged.
    for key in 0..16 {
        assert_eq!(*world.cache.get_or_insert_with(key, || world.value(key)).0, key);
    }
    world.cache.maintain();
    assert_eq!(world.cache.awaiting_reclamation(), 0);
    assert_eq!(world.live.load(SeqCst), world.cache.len() as isize);
    let live = Arc::clone(&world.live);
    drop(world);
    assert_eq!(live.load(SeqCst), 0);
});

/// libFuzzer's hook aborts on every panic, also on one that is caught; the documented panic for
/// reentrance is not a fault.
fn quiet() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if text != "a loader asked the cache for the key that it loads" {
                default(info);
            }
        }));
    });
}
