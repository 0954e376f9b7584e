//! Does any sequence of operations leave a cache whole, and equal to a plain map that forgets only
//! what the cache said it evicted? Values are counted.

#![no_main]

mod few;

use std::collections::HashMap;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use arbitrary::Arbitrary;
use few::Few;
use hotset::{Cache, Cause, Insert, Policy};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    bound: u8,
    slack: Option<u8>,
    /// `Policy::Clock`, else the default.
    clock: bool,
    /// How many different hashes there are.
    hashes: u8,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(u8),
    Get(u8),
    Peek(u8),
    Pinned(u8),
    Replace(u8),
    Remove(u8),
    Keep(u8),
    Release,
    RemoveIf(u8, bool),
    Retain(u8),
    Clear,
    SetBound(u8),
    Load(u8),
    Iter,
    Coldest,
    Maintain,
    Validate,
    /// Reads the first, pins, does the rest, and looks again at what was read.
    UnderPin(u8, Vec<(u8, bool)>),
    /// The same in the middle of a `with`.
    InWith(u8, Vec<(u8, bool)>),
}

/// A counted value with memory of its own.
#[derive(Debug)]
struct Value(Box<u64>, Arc<AtomicIsize>);

impl Value {
    fn new(n: u64, live: &Arc<AtomicIsize>) -> Self {
        live.fetch_add(1, SeqCst);
        Self(Box::new(n), Arc::clone(live))
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

struct World {
    cache: Arc<Cache<u8, Value, Few>>,
    map: HashMap<u8, u64>,
    told: Arc<Mutex<Vec<(u8, u64, Cause)>>>,
    live: Arc<AtomicIsize>,
    next: u64,
}

impl World {
    fn value(&mut self) -> (Value, u64) {
        self.next += 1;
        (Value::new(self.next, &self.live), self.next)
    }

    fn evictions(&mut self) -> usize {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let gone = told.iter().filter(|t| t.2 == Cause::Capacity);
        gone.map(|(k, v, _)| assert_eq!(self.map.remove(k), Some(*v))).count()
    }

    fn admitted(&mut self, key: u8, n: u64) {
        let full = self.map.len() == self.cache.capacity() && !self.map.contains_key(&key);
        assert_eq!(self.evictions(), usize::from(full));
        self.map.insert(key, n);
    }

    fn insert(&mut self, key: u8) {
        let (value, n) = self.value();
        let known = self.map.get(&key).copied();
        match self.cache.insert(key, value) {
            Insert::New => assert_eq!(known, None),
            Insert::Replaced(old) => assert_eq!((*old.key(), Some(*old.0)), (key, known)),
            Insert::NotAdmitted(k, v) => {
                assert_eq!((k, *v.0), (key, n));
                self.map.remove(&key);
                return;
            }
            other => panic!("{other:?}"),
        }
        self.admitted(key, n);
    }

    fn remove(&mut self, key: u8) -> Option<hotset::Removed<u8, Value>> {
        let removed = self.cache.remove(&key);
        assert_eq!(removed.as_ref().map(|r| *r.0), self.map.remove(&key));
        removed
    }

    fn change(&mut self, changes: Vec<(u8, bool)>) {
        for (key, insert) in changes {
            if insert { self.insert(key) } else { drop(self.remove(key)) }
        }
    }
}

fuzz_target!(|input: Input| {
    let told: Arc<Mutex<Vec<(u8, u64, Cause)>>> = Arc::default();
    let log = Arc::clone(&told);
    let mut builder = Cache::builder()
        .max_entries(1 + usize::from(input.bound))
        .policy(if input.clock { Policy::Clock } else { Policy::Adaptive })
        .hasher(Few(input.hashes))
        .on_evict(move |k: &u8, v: &Value, cause| log.lock().unwrap().push((*k, *v.0, cause)));
    if let Some(slack) = input.slack {
        builder = builder.reclamation_slack(1 + usize::from(slack));
    }
    let cache = Arc::new(builder.build().unwrap());
    let live = Arc::new(AtomicIsize::new(0));
    let mut world = World { cache, map: HashMap::new(), told, live: Arc::clone(&live), next: 0 };
    let mut kept = Vec::new();
    for op in input.ops {
        match op {
            Op::Insert(key) => world.insert(key),
            Op::Get(key) => {
                assert_eq!(world.cache.get(&key).map(|v| *v.0), world.map.get(&key).copied());
            }
            Op::Peek(key) => {
                assert_eq!(world.cache.peek(&key).map(|v| *v.0), world.map.get(&key).copied());
            }
            Op::Pinned(key) => {
                let pinned = world.cache.pin();
                assert_eq!(pinned.get(&key).map(|v| *v.0), world.map.get(&key).copied());
            }
            Op::Replace(key) => {
                let (value, n) = world.value();
                match world.cache.replace(key, value) {
                    Ok(old) => assert_eq!(world.map.insert(key, n), Some(*old.0)),
                    Err((k, v)) => {
                        assert_eq!((k, *v.0), (key, n));
                        assert!(!world.cache.contains_key(&key));
                        world.map.remove(&key);
                    }
                }
            }
            Op::Remove(key) => drop(world.remove(key)),
            Op::Keep(key) => kept.extend(world.remove(key).map(|r| (r.clone(), r))),
            Op::Release => {
                for (twin, handle) in kept.drain(..) {
                    drop(twin);
                    let (key, value) = handle.try_into_inner().expect("nobody reads");
                    assert!(*value.0 <= world.next && u64::from(key) < 256);
                }
            }
            Op::RemoveIf(key, yes) => {
                let removed = world.cache.remove_if(&key, |_, _| yes);
                assert_eq!(removed.is_some(), yes && world.map.contains_key(&key));
                if yes {
                    world.map.remove(&key);
                }
            }
            Op::Retain(bits) => {
                world.cache.retain(|k, _| k & bits != 0);
                world.map.retain(|k, _| k & bits != 0);
            }
            Op::Clear => {
                world.cache.clear();
                world.map.clear();
            }
            Op::SetBound(bound) => {
                let bound = 1 + usize::from(bound);
                let over = world.map.len().saturating_sub(bound);
                world.cache.set_max_entries(bound).unwrap();
                assert_eq!(world.evictions(), over);
            }
            Op::Load(key) => {
                let (value, n) = world.value();
                let known = world.map.get(&key).copied();
                let given = *world.cache.get_or_insert_with(key, || value).0;
                assert_eq!(given, known.unwrap_or(n));
                if known.is_none() && world.cache.contains_key(&key) {
                    world.admitted(key, n);
                }
            }
            Op::Iter => {
                let all: HashMap<u8, u64> = world.cache.iter().map(|(k, v)| (k, *v.0)).collect();
                assert_eq!(all, world.map);
            }
            Op::Coldest => {
                let order = world.cache.coldest_first();
                assert_eq!(order.len(), world.map.len());
                assert!(order.iter().all(|k| world.map.contains_key(k)));
            }
            Op::Maintain => world.cache.maintain(),
            Op::Validate => world.cache.validate().unwrap(),
            Op::UnderPin(key, changes) => {
                let cache = Arc::clone(&world.cache);
                let pinned = cache.pin();
                let seen = pinned.get(&key);
                let all: Vec<(&Value, u64)> = pinned.iter().map(|(_, v)| (v, *v.0)).collect();
                world.change(changes);
                assert!(seen.is_none_or(|v| *v.0 > 0));
                assert!(all.iter().all(|(v, n)| *v.0 == *n));
            }
            Op::InWith(key, changes) => {
                let cache = Arc::clone(&world.cache);
                let before = world.map.get(&key).copied();
                let found = cache.with(&key, |_, value| {
                    world.change(changes);
                    *value.0
                });
                assert_eq!(found, before);
            }
        }
        world.evictions();
        assert_eq!(world.cache.len(), world.map.len());
    }
    world.cache.validate().unwrap();
    drop(kept);
    world.cache.maintain();
    assert_eq!(world.cache.awaiting_reclamation(), 0);
    assert_eq!(live.load(SeqCst), world.map.len() as isize);
    drop(world);
    assert_eq!(live.load(SeqCst), 0);
});
