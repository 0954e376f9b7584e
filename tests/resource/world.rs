//! What do the caches of these tests load? Things whose every opening and closing is written down,
//! as scripted per key and checked against the rules while it happens.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hotset::{CloseError, LoadContext, Loaded, Loader};

use crate::gate::{Gate, lock, until};

/// What a test asks for. Only `key` is identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) key: u32,
    /// What the loader estimates.
    pub(crate) weight: u64,
    /// A name that says nothing about the thing.
    pub(crate) name: &'static str,
}

/// A thing of weight 1.
pub(crate) fn spec(key: u32) -> Spec {
    weighing(key, 1)
}

/// A thing that is estimated at `weight`.
pub(crate) fn weighing(key: u32, weight: u64) -> Spec {
    Spec { key, weight, name: "" }
}

/// What goes wrong in a loader or a close, as scripted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    LoadBegun(u32),
    LoadEnded(u32),
    CloseBegun(u32),
    CloseEnded(u32),
}

/// The actual weight, if it is not the estimate.
pub(crate) type LoadAct = Box<dyn FnOnce() -> Result<Option<u64>, Broken> + Send>;
pub(crate) type CloseAct = Box<dyn FnOnce() -> Result<(), Broken> + Send>;
pub(crate) type EstimateAct = Box<dyn FnOnce() -> Result<u64, Broken> + Send>;

#[derive(Default)]
struct Script {
    estimates: VecDeque<EstimateAct>,
    loads: VecDeque<LoadAct>,
    closes: VecDeque<CloseAct>,
}

/// Sums over all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) estimates: usize,
    /// Calls of `load`.
    pub(crate) loads: usize,
    /// Things that `load` returned.
    pub(crate) opened: usize,
    /// Calls of `close` that are over, however they ended.
    pub(crate) closed: usize,
    /// From the call of `load` to the end of `close`.
    pub(crate) live: usize,
    pub(crate) most_live: usize,
    pub(crate) weight: u64,
    pub(crate) most_weight: u64,
    /// Things dropped without a call of `close`.
    pub(crate) unclosed: usize,
}

#[derive(Default)]
struct State {
    totals: Totals,
    loads_of: BTreeMap<u32, usize>,
    /// How many of one key are loading or loaded or closing.
    live_of: BTreeMap<u32, usize>,
    events: Vec<Event>,
    scripts: BTreeMap<u32, Script>,
    chaos: Option<Random>,
    broken_rules: Vec<String>,
}

/// Where the things are.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A world in which what has no script fails, panics and takes its time at random.
    pub(crate) fn of_chaos(seed: u64) -> Self {
        let world = Self::new();
        lock(&world.0).chaos = Some(Random::new(seed));
        world
    }

    /// Scripts the next load of `key` that has no script yet. Without a script a load succeeds.
    pub(crate) fn on_load(
        &self,
        key: u32,
        act: impl FnOnce() -> Result<Option<u64>, Broken> + Send + 'static,
    ) {
        lock(&self.0).scripts.entry(key).or_default().loads.push_back(Box::new(act));
    }

    /// Scripts the next close of `key` that has no script yet. Without a script a close succeeds.
    pub(crate) fn on_close(
        &self,
        key: u32,
        act: impl FnOnce() -> Result<(), Broken> + Send + 'static,
    ) {
        lock(&self.0).scripts.entry(key).or_default().closes.push_back(Box::new(act));
    }

    /// Scripts the next estimate of `key` that has no script yet. Without one it is the spec's.
    pub(crate) fn on_estimate(
        &self,
        key: u32,
        act: impl FnOnce() -> Result<u64, Broken> + Send + 'static,
    ) {
        lock(&self.0).scripts.entry(key).or_default().estimates.push_back(Box::new(act));
    }

    /// The next load of `key` waits at the gate that is returned.
    pub(crate) fn hold_load(&self, key: u32) -> Gate {
        let gate = Gate::new();
        let held = gate.clone();
        self.on_load(key, move || {
            held.pass();
            Ok(None)
        });
        gate
    }

    /// The next close of `key` waits at the gate that is returned.
    pub(crate) fn hold_close(&self, key: u32) -> Gate {
        let gate = Gate::new();
        let held = gate.clone();
        self.on_close(key, move || {
            held.pass();
            Ok(())
        });
        gate
    }

    pub(crate) fn totals(&self) -> Totals {
        lock(&self.0).totals
    }

    pub(crate) fn loads_of(&self, key: u32) -> usize {
        lock(&self.0).loads_of.get(&key).copied().unwrap_or(0)
    }

    /// What happened since this was asked for the last time.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.0).events)
    }

    /// Waits until as many are closed as were opened and nothing is loading.
    #[track_caller]
    pub(crate) fn await_empty(&self) {
        until("all that was opened is closed", || {
            let totals = self.totals();
            totals.live == 0 && totals.opened == totals.closed
        });
        self.check();
    }

    /// No rule was broken so far.
    #[track_caller]
    pub(crate) fn check(&self) {
        let state = lock(&self.0);
        assert!(state.broken_rules.is_empty(), "broken rules: {:#?}", state.broken_rules);
        assert_eq!(state.totals.unclosed, 0, "things that were dropped without a close");
    }

    /// There were never more than `entries` at a time, and no rule was broken.
    #[track_caller]
    pub(crate) fn check_most(&self, entries: usize) {
        let most = self.totals().most_live;
        assert!(most <= entries, "{most} were alive at a time, the budget is {entries}");
        self.check();
    }

    /// Books the beginning of a load; gives its script.
    pub(crate) fn begin_load(&self, spec: &Spec) -> LoadAct {
        let mut state = lock(&self.0);
        state.events.push(Event::LoadBegun(spec.key));
        state.totals.loads += 1;
        *state.loads_of.entry(spec.key).or_default() += 1;
        let of_key = state.live_of.entry(spec.key).or_default();
        *of_key += 1;
        if *of_key > 1 {
            let rule = format!("R3: {} of key {} at a time", *of_key, spec.key);
            state.broken_rules.push(rule);
        }
        let totals = &mut state.totals;
        totals.live += 1;
        totals.most_live = totals.most_live.max(totals.live);
        totals.weight += spec.weight;
        totals.most_weight = totals.most_weight.max(totals.weight);
        let scripted = state.scripts.get_mut(&spec.key).and_then(|s| s.loads.pop_front());
        scripted.unwrap_or_else(|| {
            let fate = Fate::draw(state.chaos.as_mut());
            Box::new(move || fate.befall().map(|()| None))
        })
    }

    /// Books the end of a load. `actual` is what the thing weighs, if there is one.
    pub(crate) fn end_load(&self, spec: &Spec, actual: Option<u64>) -> Option<Thing> {
        let mut state = lock(&self.0);
        state.events.push(Event::LoadEnded(spec.key));
        state.totals.weight -= spec.weight;
        let Some(weight) = actual else {
            state.totals.live -= 1;
            *state.live_of.get_mut(&spec.key).expect("booked") -= 1;
            return None;
        };
        state.totals.weight += weight;
        state.totals.opened += 1;
        Some(Thing {
            key: spec.key,
            serial: state.totals.opened,
            weight,
            users: AtomicUsize::new(0),
            world: self.clone(),
            passed_to_close: AtomicBool::new(false),
        })
    }

    /// Books the beginning of a close; gives its script.
    pub(crate) fn begin_close(&self, key: u32, thing: &Thing) -> CloseAct {
        let again = thing.passed_to_close.swap(true, SeqCst);
        let users = thing.users.load(SeqCst);
        let mut state = lock(&self.0);
        state.events.push(Event::CloseBegun(key));
        if users != 0 {
            state.broken_rules.push(format!("R2: closed under {users} users: {thing:?}"));
        }
        if again {
            state.broken_rules.push(format!("R2: closed twice: {thing:?}"));
        }
        if key != thing.key {
            state.broken_rules.push(format!("closed as {key}: {thing:?}"));
        }
        let scripted = state.scripts.get_mut(&key).and_then(|s| s.closes.pop_front());
        scripted.unwrap_or_else(|| {
            let fate = Fate::draw(state.chaos.as_mut());
            Box::new(move || fate.befall())
        })
    }

    /// Books the end of a close.
    pub(crate) fn end_close(&self, thing: &Thing) {
        let mut state = lock(&self.0);
        state.events.push(Event::CloseEnded(thing.key));
        state.totals.closed += 1;
        state.totals.live -= 1;
        state.totals.weight -= thing.weight;
        *state.live_of.get_mut(&thing.key).expect("booked") -= 1;
    }
}

impl Loader for World {
    type Spec = Spec;
    type Id = u32;
    type Resource = Thing;
    type Error = Broken;

    const ESTIMATES: bool = true;

    fn identity(&self, spec: &Spec) -> u32 {
        spec.key
    }

    fn estimate(&self, spec: &Spec) -> Result<u64, Broken> {
        let act = {
            let mut state = lock(&self.0);
            state.totals.estimates += 1;
            state.scripts.get_mut(&spec.key).and_then(|s| s.estimates.pop_front())
        };
        act.map_or(Ok(spec.weight), |act| act())
    }

    fn load(&self, spec: &Spec, _: &LoadContext) -> Result<Loaded<Thing>, Broken> {
        let act = self.begin_load(spec);
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(Ok(actual)) => {
                let weight = actual.unwrap_or(spec.weight);
                let thing = self.end_load(spec, Some(weight)).expect("it has a weight");
                Ok(Loaded::weighing(thing, weight))
            }
            Ok(Err(broken)) => {
                self.end_load(spec, None);
                Err(broken)
            }
            Err(panic) => {
                self.end_load(spec, None);
                resume_unwind(panic)
            }
        }
    }

    fn close(&self, key: &u32, thing: Thing) -> Result<(), CloseError> {
        let act = self.begin_close(*key, &thing);
        let result = catch_unwind(AssertUnwindSafe(act));
        self.end_close(&thing);
        Ok(result.unwrap_or_else(|panic| resume_unwind(panic))?)
    }
}

/// What a world opens.
pub(crate) struct Thing {
    pub(crate) key: u32,
    /// The how-manieth thing of its world this is.
    pub(crate) serial: usize,
    weight: u64,
    users: AtomicUsize,
    world: World,
    passed_to_close: AtomicBool,
}

impl Thing {
    /// Uses the thing while the guard lives. A close meanwhile breaks a rule.
    pub(crate) fn enter(&self) -> impl Drop + '_ {
        struct Inside<'a>(&'a Thing);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.users.fetch_sub(1, SeqCst);
            }
        }
        self.users.fetch_add(1, SeqCst);
        Inside(self)
    }
}

impl fmt::Debug for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thing {} of key {}", self.serial, self.key)
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        if !*self.passed_to_close.get_mut() {
            lock(&self.world.0).totals.unclosed += 1;
        }
    }
}

/// What happens to a load or a close that has no script.
#[derive(Clone, Copy)]
struct Fate {
    takes: Duration,
    /// Of 100: below 10 it fails, below 15 it panics.
    lot: u64,
}

impl Fate {
    fn draw(chaos: Option<&mut Random>) -> Self {
        chaos.map_or(Self { takes: Duration::ZERO, lot: 99 }, |random| Self {
            takes: Duration::from_micros([0, 0, 200, 3_000][random.below(4) as usize]),
            lot: random.below(100),
        })
    }

    fn befall(self) -> Result<(), Broken> {
        if !self.takes.is_zero() {
            thread::sleep(self.takes);
        }
        match self.lot {
            0..10 => Err(Broken("chance")),
            10..15 => boom(),
            _ => Ok(()),
        }
    }
}

/// A small generator of random numbers (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % n
    }
}

/// What [`boom`] panics with.
#[derive(Debug)]
pub(crate) struct Boom;

/// Panics without a message on the screen.
pub(crate) fn boom() -> ! {
    resume_unwind(Box::new(Boom))
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
