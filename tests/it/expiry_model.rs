//! Does a cache whose entries expire behave like a map with deadlines? Arbitrary sequences of operations
//! in one thread, with a time that is moved by hand.
//!
//! The model knows each entry's deadline and when it was written down last that it was used, and
//! from that predicts every answer, what the listener is told, and `len`, to the nanosecond.

use std::collections::HashMap;
use std::time::Duration;

use hotset::{Cache, Cause, Insert, ManualTime, Policy};
use proptest::prelude::*;

use crate::common::{Log, POLICIES, times};

/// Nanoseconds; few, so that all meet.
const MOST: u64 = 60;
const KEYS: u8 = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// With a life of its own.
    Insert(Option<u64>),
    Replace(Option<u64>),
    Load(Option<u64>),
    FailingLoad,
    Get,
    Pinned,
    Peek,
    Iterate,
    Remove,
    RemoveIf,
    Retain,
    Sweep,
    Clear,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let own = || proptest::option::of(0..MOST);
    prop_oneof![
        4 => own().prop_map(Op::Insert),
        1 => own().prop_map(Op::Replace),
        3 => own().prop_map(Op::Load),
        1 => Just(Op::FailingLoad),
        4 => Just(Op::Get),
        2 => Just(Op::Pinned),
        2 => Just(Op::Peek),
        1 => Just(Op::Iterate),
        1 => Just(Op::Remove),
        1 => Just(Op::RemoveIf),
        1 => Just(Op::Retain),
        1 => Just(Op::Sweep),
        1 => Just(Op::Clear),
        6 => (0..MOST / 2).prop_map(Op::Wait),
    ]
}

/// What a value says: its number and how long it may live.
type Value = (usize, Option<u64>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    value: Value,
    deadline: Option<u64>,
    used: u64,
}

/// A map with deadlines.
struct Model {
    to_live: Option<u64>,
    to_idle: Option<u64>,
    now: u64,
    entries: HashMap<u8, Entry>,
    left: Vec<(u8, Value, Cause)>,
}

impl Model {
    fn is_over(&self, entry: &Entry) -> bool {
        entry.deadline.is_some_and(|end| self.now >= end)
            || self.to_idle.is_some_and(|idle| self.now >= entry.used + idle)
    }

    /// The entry of `key`; if its time is over it leaves.
    fn met(&mut self, key: u8) -> Option<Entry> {
        let entry = *self.entries.get(&key)?;
        if self.is_over(&entry) {
            self.leave(key, Cause::Expired);
            return None;
        }
        Some(entry)
    }

    fn leave(&mut self, key: u8, cause: Cause) {
        let entry = self.entries.remove(&key).expect("it is there");
        self.left.push((key, entry.value, cause));
    }

    fn seen(&self, key: u8) -> Option<Entry> {
        self.entries.get(&key).copied().filter(|entry| !self.is_over(entry))
    }

    fn used(&mut self, key: u8) -> Option<Value> {
        let entry = self.seen(key)?;
        if self.to_idle.is_some_and(|idle| self.now >= entry.used + idle / 16) {
            self.entries.get_mut(&key).expect("seen").used = self.now;
        }
        Some(entry.value)
    }

    fn write(&mut self, key: u8, value: Value) {
        let longest = [self.to_live, value.1].into_iter().flatten().min();
        let deadline = longest.map(|time| self.now + time);
        self.entries.insert(key, Entry { value, deadline, used: self.now });
    }

    /// All keys with their causes, if they leave now for `cause`.
    fn all_leave(&mut self, cause: Cause, goes: impl Fn(u8) -> bool) {
        for key in self.entries.keys().copied().collect::<Vec<_>>() {
            if self.met(key).is_some() && goes(key) {
                self.leave(key, cause);
            }
        }
    }
}

fn run(
    policy: Policy,
    to_live: Option<u64>,
    to_idle: Option<u64>,
    ops: &[(u8, Op)],
) -> Result<(), TestCaseError> {
    let (time, log) = (ManualTime::new(), Log::<u8, Value>::default());
    let told = std::sync::Arc::clone(&log);
    let mut builder = Cache::builder()
        .max_entries(usize::from(KEYS))
        .policy(policy)
        .time_source(time.clone())
        .expire_with(|_, value: &Value| value.1.map(Duration::from_nanos))
        .on_evict(move |k: &u8, v: &Value, cause| told.lock().unwrap().push((*k, *v, cause)));
    if let Some(time) = to_live {
        builder = builder.time_to_live(Duration::from_nanos(time));
    }
    if let Some(time) = to_idle {
        builder = builder.time_to_idle(Duration::from_nanos(time));
    }
    let cache = builder.build().unwrap();
    let (entries, left) = (HashMap::new(), Vec::new());
    let mut model = Model { to_live, to_idle, now: 0, entries, left };

    for (step, &(key, op)) in ops.iter().enumerate() {
        match op {
            Op::Insert(own) => {
                let (value, old) = ((step, own), model.met(key));
                let outcome = cache.insert(key, value);
                match (outcome, old) {
                    (Insert::New, None) => {}
                    (Insert::Replaced(removed), Some(old)) => {
                        prop_assert_eq!(*removed, old.value);
                        model.leave(key, Cause::Replaced);
                    }
                    (outcome, old) => prop_assert!(false, "{outcome:?}, expected {old:?}"),
                }
                model.write(key, value);
            }
            Op::Replace(own) => {
                let (value, old) = ((step, own), model.met(key));
                match (cache.replace(key, value), old) {
                    (Ok(removed), Some(old)) => {
                        prop_assert_eq!(*removed, old.value);
                        model.leave(key, Cause::Replaced);
                        model.write(key, value);
                    }
                    (Err(back), None) => prop_assert_eq!(back, (key, value)),
                    (outcome, old) => prop_assert!(false, "{outcome:?}, expected {old:?}"),
                }
            }
            Op::Load(own) => {
                let found = cache.get_or_insert_with(key, || (step, own));
                if model.used(key).is_none() {
                    model.met(key);
                    model.write(key, (step, own));
                    prop_assert_eq!(found, (step, own));
                } else {
                    prop_assert_eq!(Some(found), model.seen(key).map(|entry| entry.value));
                }
            }
            Op::FailingLoad => {
                let found = cache.try_get_or_insert_with(key, || Err::<Value, ()>(())).ok();
                prop_assert_eq!(found, model.used(key));
                model.met(key);
            }
            Op::Get => prop_assert_eq!(cache.get(&key), model.used(key)),
            Op::Pinned => prop_assert_eq!(cache.pin().get(&key).copied(), model.used(key)),
            Op::Peek => {
                prop_assert_eq!(cache.peek(&key), model.seen(key).map(|entry| entry.value));
                prop_assert_eq!(cache.contains_key(&key), model.seen(key).is_some());
            }
            Op::Iterate => {
                let all: HashMap<_, _> = cache.iter().collect();
                let expected = (0..KEYS).filter_map(|key| Some((key, model.seen(key)?.value)));
                prop_assert_eq!(&all, &expected.collect::<HashMap<_, _>>());
                let mut coldest = cache.coldest_first();
                coldest.sort();
                let mut keys: Vec<_> = all.into_keys().collect();
                keys.sort();
                prop_assert_eq!(coldest, keys);
            }
            Op::Remove => {
                let expected = model.met(key);
                let removed = cache.remove(&key).map(|removed| *removed);
                prop_assert_eq!(removed, expected.map(|entry| entry.value));
                if expected.is_some() {
                    model.leave(key, Cause::Removed);
                }
            }
            Op::RemoveIf => {
                let expected = model.met(key);
                let mut asked = false;
                let removed = cache.remove_if(&key, |_, value| {
                    asked = true;
                    value.0 % 2 == 0
                });
                prop_assert_eq!(asked, expected.is_some());
                prop_assert_eq!(
                    removed.is_some(),
                    expected.is_some_and(|entry| entry.value.0 % 2 == 0)
                );
                if removed.is_some() {
                    model.leave(key, Cause::Removed);
                }
            }
            Op::Retain => {
                cache.retain(|key, _| key % 2 == 0);
                model.all_leave(Cause::Removed, |key| key % 2 != 0);
            }
            Op::Sweep => {
                let before = model.entries.len();
                model.all_leave(Cause::Removed, |_| false);
                prop_assert_eq!(cache.sweep(), before - model.entries.len());
            }
            Op::Clear => {
                cache.clear();
                model.all_leave(Cause::Removed, |_| true);
            }
            Op::Wait(nanos) => {
                time.advance(Duration::from_nanos(nanos));
                model.now += nanos;
            }
        }
        let mut told = std::mem::take(&mut *log.lock().unwrap());
        let mut left = std::mem::take(&mut model.left);
        for list in [&mut told, &mut left] {
            list.sort_by_key(|entry| entry.1.0);
        }
        prop_assert_eq!(told, left, "after {:?} of {} at {}", op, key, model.now);
        prop_assert_eq!(cache.len(), model.entries.len());
    }
    prop_assert_eq!(cache.validate(), Ok(()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(300) as u32))]

    #[test]
    fn a_map_with_deadlines(
        to_live in proptest::option::of(1..MOST),
        to_idle in proptest::option::of(1..MOST),
        ops in proptest::collection::vec((0..KEYS, op()), 1..200),
    ) {
        for policy in POLICIES {
            run(policy, to_live, to_idle, &ops)?;
        }
    }

    /// In a full cache, whoever leaves: nothing is found late, or with another value than the last.
    #[test]
    fn a_full_cache_is_never_late(
        to_live in 1..MOST,
        ops in proptest::collection::vec((0..40_u8, 0..3_u8, 0..10_u64), 1..300),
    ) {
        for policy in POLICIES {
            let time = ManualTime::new();
            let cache = Cache::builder()
                .max_entries(10)
                .policy(policy)
                .time_to_live(Duration::from_nanos(to_live))
                .time_source(time.clone())
                .build()
                .unwrap();
            let (mut now, mut written) = (0, HashMap::new());
            for (step, &(key, what, wait)) in ops.iter().enumerate() {
                match what {
                    0 => {
                        prop_assert!(cache.insert(key, step).is_admitted());
                        written.insert(key, (step, now));
                    }
                    1 => {
                        let value = cache.get_or_insert_with(key, || step);
                        if value == step {
                            written.insert(key, (step, now));
                        }
                        prop_assert!(value == step || written[&key].0 == value);
                    }
                    _ => {}
                }
                if let Some(value) = cache.get(&key) {
                    let (last, since) = written[&key];
                    prop_assert_eq!(value, last);
                    prop_assert!(now < since + to_live, "found at {}, came at {}", now, since);
                }
                now += wait;
                time.advance(Duration::from_nanos(wait));
                prop_assert!(cache.len() <= 10);
            }
            prop_assert_eq!(cache.validate(), Ok(()));
        }
    }
}
