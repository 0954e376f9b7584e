//! What is cached, and how is it made? Values that are counted and say themselves what they weigh.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::time::Duration;

use arbitrary::Arbitrary;

/// A tenth of the shortest pause between two refreshes.
const UNIT: Duration = Duration::from_micros(100);
/// When the books' time begins: so late that they can name moments before the cache's clock began. More
/// than all times together.
pub(crate) const START: Duration = Duration::from_secs(1);
pub(crate) const NEVER: u64 = u64::MAX;
pub(crate) const KEYS: u8 = 8;

/// What a value says of itself.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) weight: u8,
    pub(crate) life: Option<u8>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Value,
    Failure,
    Panic,
}

/// A loader of one key.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Loader {
    pub(crate) key: u8,
    pub(crate) spec: Spec,
    pub(crate) end: End,
    /// By the function that can give an error.
    pub(crate) fallible: bool,
    /// With a key that is lent.
    pub(crate) by_ref: bool,
}

impl Loader {
    pub(crate) fn known(self) -> Self {
        Self { key: self.key % KEYS, ..self }
    }
}

/// A counted value with memory of its own.
#[derive(Debug)]
pub(crate) struct Value(pub(crate) Box<u64>, pub(crate) Spec, pub(crate) Arc<AtomicIsize>);

impl Clone for Value {
    fn clone(&self) -> Self {
        self.2.fetch_add(1, SeqCst);
        Self(self.0.clone(), self.1, Arc::clone(&self.2))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.2.fetch_sub(1, SeqCst);
    }
}

/// Light ones, and the heaviest that there are.
pub(crate) fn heft(weight: u8) -> u64 {
    match weight {
        254 => u64::MAX / 2,
        255 => u64::MAX,
        light => u64::from(light),
    }
}

pub(crate) fn units(n: u8) -> Duration {
    UNIT * u32::from(n)
}

pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

pub(crate) fn at_least_one(n: u8) -> Duration {
    units(n.max(1))
}

/// What makes values, and knows of those that loaders gave.
#[derive(Default)]
pub(crate) struct Maker {
    pub(crate) live: Arc<AtomicIsize>,
    pub(crate) last: Cell<u64>,
    /// Key, number and nature of values that are in the cache after this step, unless it says otherwise.
    pub(crate) came: RefCell<Vec<(u8, u64, Spec)>>,
    /// Whether a loader has come to its end.
    pub(crate) ended: Cell<bool>,
}

impl Maker {
    pub(crate) fn value(&self, spec: Spec) -> Value {
        self.last.set(self.last.get() + 1);
        self.live.fetch_add(1, SeqCst);
        Value(Box::new(self.last.get()), spec, Arc::clone(&self.live))
    }

    pub(crate) fn loaded(&self, key: u8, spec: Spec) -> Value {
        let value = self.value(spec);
        self.came.borrow_mut().push((key, *value.0, spec));
        value
    }

    pub(crate) fn end(&self, Loader { key, spec, end, .. }: Loader) -> Result<Value, u8> {
        self.ended.set(true);
        match end {
            End::Value => Ok(self.loaded(key, spec)),
            End::Failure => Err(key),
            End::Panic => resume_unwind(Box::new(Boom)),
        }
    }
}

pub(crate) struct Boom;
