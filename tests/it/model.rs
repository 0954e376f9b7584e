//! Does a cache behave like a plain map that forgets only when it is full? Arbitrary sequences of
//! operations in one thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hotset::{Cache, Cause, Insert, LoadError};
use proptest::prelude::*;

use crate::common::{Ledger, OneHash, Tracked, boom, booms, cases, check};

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert,
    Get,
    Peek,
    Pinned,
    Replace,
    Remove,
    RemoveIf,
    Retain,
    Clear,
    Load,
    FailingLoad,
    PanickingLoad,
    /// A load whose loader writes the key itself.
    OvertakenLoad,
    /// A load whose loader clears the cache.
    ClearedLoad,
    SetBound,
    Iter,
    Maintain,
    /// Pins the cache for the operations that follow, and ends the pin.
    Pin,
    Unpin,
    /// Keeps the handle of a removal, or lets all go.
    Keep,
    Release,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => Just(Op::Insert),
        6 => prop_oneof![Just(Op::Get), Just(Op::Peek), Just(Op::Pinned)],
        2 => Just(Op::Replace),
        4 => prop_oneof![Just(Op::Remove), Just(Op::RemoveIf), Just(Op::Keep)],
        4 => Just(Op::Load),
        3 => prop_oneof![
            Just(Op::FailingLoad),
            Just(Op::PanickingLoad),
            Just(Op::OvertakenLoad),
            Just(Op::ClearedLoad),
        ],
        1 => prop_oneof![Just(Op::Retain), Just(Op::Clear), Just(Op::SetBound)],
        1 => prop_oneof![Just(Op::Iter), Just(Op::Maintain), Just(Op::Release)],
        1 => prop_oneof![Just(Op::Pin), Just(Op::Unpin), Just(Op::Unpin)],
    ]
}

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

/// A cache, the map that it should be like, and what the listener said since the last look.
struct Pair<S> {
    cache: Arc<Cache<u64, Tracked, S>>,
    map: HashMap<u64, u64>,
    told: Told,
    ledger: Arc<Ledger>,
    next: u64,
}

impl<S: std::hash::BuildHasher> Pair<S> {
    fn new(bound: usize, slack: Option<usize>, hasher: S) -> Self {
        let told = Told::default();
        let log = Arc::clone(&told);
        let mut builder = Cache::builder().max_entries(bound).hasher(hasher).on_evict(
            move |k: &u64, v: &Tracked, cause| log.lock().unwrap().push((*k, v.n(), cause)),
        );
        if let Some(slack) = slack {
            builder = builder.reclamation_slack(slack);
        }
        let cache = Arc::new(builder.build().unwrap());
        Self { cache, map: HashMap::new(), told, ledger: Ledger::new(), next: 0 }
    }

    fn fresh(&mut self) -> Tracked {
        self.next += 1;
        self.ledger.make(self.next)
    }

    /// Takes what was told; entries that were evicted leave the map. How many were.
    fn evicted(&mut self) -> usize {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let mut count = 0;
        for (key, value, cause) in told {
            if cause == Cause::Capacity {
                assert_eq!(self.map.remove(&key), Some(value), "an eviction of what is not there");
                count += 1;
            }
        }
        count
    }

    /// After something that admits `key`: at most one left, and only if the cache was full.
    fn admitted(&mut self, key: u64, value: u64) {
        let full = self.map.len() == self.cache.capacity() && !self.map.contains_key(&key);
        assert_eq!(self.evicted(), usize::from(full));
        self.map.insert(key, value);
    }

    fn step(&mut self, op: Op, key: u64) {
        let known = self.map.get(&key).copied();
        match op {
            Op::Insert => {
                let value = self.fresh();
                let n = value.n();
                match self.cache.insert(key, value) {
                    Insert::New => {
                        assert_eq!(known, None);
                        self.admitted(key, n);
                    }
                    Insert::Replaced(old) => {
                        assert_eq!((*old.key(), Some(old.n())), (key, known));
                        self.admitted(key, n);
                    }
                    Insert::NotAdmitted(k, v) => {
                        assert_eq!((k, v.n()), (key, n));
                        assert!(!self.cache.contains_key(&key), "refused, and the old value stays");
                        self.map.remove(&key);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Op::Get => assert_eq!(self.cache.get(&key).map(|v| v.n()), known),
            Op::Peek => {
                assert_eq!(self.cache.peek_with(&key, |k, v| (*k, v.n())), known.map(|v| (key, v)));
            }
            Op::Pinned => assert_eq!(self.cache.pin().get(&key).map(Tracked::n), known),
            Op::Replace => {
                let value = self.fresh();
                let n = value.n();
                match self.cache.replace(key, value) {
                    Ok(old) => {
                        assert_eq!(Some(old.n()), known);
                        self.map.insert(key, n);
                    }
                    Err((k, v)) => {
                        assert_eq!((k, v.n()), (key, n));
                        // Without an entry, or without room for what the old one would leave
                        // behind: then the old one has left all the same.
                        assert!(known.is_none() || self.cache.awaiting_reclamation() > 0);
                        assert!(!self.cache.contains_key(&key), "refused, and the old value stays");
                        self.map.remove(&key);
                    }
                }
            }
            Op::Remove | Op::Keep => {
                let removed = self.cache.remove(&key);
                assert_eq!(removed.map(|r| (*r.key(), r.n())), known.map(|v| (key, v)));
                self.map.remove(&key);
            }
            Op::RemoveIf => {
                let removed = self.cache.remove_if(&key, |k, v| k % 2 == 0 && v.n() > 0);
                assert_eq!(removed.is_some(), known.is_some() && key.is_multiple_of(2));
                if removed.is_some() {
                    self.map.remove(&key);
                }
            }
            Op::Retain => {
                self.cache.retain(|k, v| (k + v.n()) % 3 != 0);
                self.map.retain(|k, v| (*k + *v) % 3 != 0);
            }
            Op::Clear => {
                self.cache.clear();
                self.map.clear();
            }
            Op::Load => {
                let value = self.fresh();
                let n = value.n();
                let given = self.cache.get_or_insert_with(key, || value).n();
                assert_eq!(given, known.unwrap_or(n));
                if known.is_none() && self.cache.contains_key(&key) {
                    self.admitted(key, n);
                }
            }
            Op::FailingLoad => {
                let error = self.cache.try_get_or_insert_with(key, || Err::<Tracked, _>(key));
                match (error, known) {
                    (Ok(value), Some(n)) => assert_eq!(value.n(), n),
                    (Err(LoadError::Failed(e)), None) => assert_eq!(*e, key),
                    (other, _) => panic!("{other:?}"),
                }
            }
            Op::PanickingLoad => {
                let panicked = booms(|| drop(self.cache.get_or_insert_with(key, || boom())));
                assert_eq!(panicked, known.is_none());
            }
            Op::OvertakenLoad => {
                let (inner, outer) = (self.fresh(), self.fresh());
                let (written, loaded) = (inner.n(), outer.n());
                let cache = &self.cache;
                let mut wrote = false;
                let given = cache.get_or_insert_with(key, || {
                    wrote = cache.insert(key, inner).is_admitted();
                    outer
                });
                assert_eq!(given.n(), known.unwrap_or(loaded));
                if wrote {
                    self.admitted(key, written);
                    assert_eq!(self.cache.peek(&key).map(|v| v.n()), Some(written));
                } else if known.is_none() && self.cache.contains_key(&key) {
                    // The write was refused, and there was room again for the load.
                    self.admitted(key, loaded);
                }
            }
            Op::ClearedLoad => {
                let value = self.fresh();
                let n = value.n();
                let cache = &self.cache;
                let given = cache.get_or_insert_with(key, || {
                    cache.clear();
                    value
                });
                assert_eq!(given.n(), known.unwrap_or(n));
                if known.is_none() {
                    self.map.clear();
                    assert!(cache.is_empty());
                }
            }
            Op::SetBound => {
                let bound = 1 + key as usize;
                let over = self.map.len().saturating_sub(bound);
                self.cache.set_max_entries(bound).unwrap();
                assert_eq!(self.evicted(), over);
            }
            Op::Iter => {
                let all: HashMap<u64, u64> = self.cache.iter().map(|(k, v)| (k, v.n())).collect();
                assert_eq!(all, self.map);
                assert_eq!(self.cache.coldest_first().len(), self.map.len());
            }
            Op::Maintain => self.cache.maintain(),
            Op::Pin | Op::Unpin | Op::Release => {}
        }
        self.evicted();
        assert_eq!(self.cache.len(), self.map.len(), "after {op:?} {key}");
    }
}

fn run<S: std::hash::BuildHasher>(mut pair: Pair<S>, ops: &[(Op, u64)]) {
    let mut rest = ops.iter();
    while rest.len() > 0 {
        // A part without a pin of ours.
        for &(op, key) in rest.by_ref().take_while(|(op, _)| !matches!(op, Op::Pin)) {
            pair.step(op, key);
        }
        // A part under a pin that was made here, with everything that it saw then.
        let cache = Arc::clone(&pair.cache);
        let pinned = cache.pin();
        let seen: Vec<(&u64, &Tracked, u64)> = pinned.iter().map(|(k, v)| (k, v, v.n())).collect();
        for &(op, key) in rest.by_ref().take_while(|(op, _)| !matches!(op, Op::Unpin)) {
            pair.step(op, key);
        }
        assert!(seen.iter().all(|(k, v, n)| v.n() == *n && **k < 30));
    }
    check(&pair.cache);
    let all: HashMap<u64, u64> = pair.cache.iter().map(|(k, v)| (k, v.n())).collect();
    assert_eq!(all, pair.map);
    pair.cache.maintain();
    assert_eq!(pair.cache.awaiting_reclamation(), 0);
    assert_eq!(pair.ledger.live(), pair.map.len() as isize);
    let ledger = Arc::clone(&pair.ledger);
    drop(pair);
    ledger.assert_all_dropped();
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_sequence(
        bound in 1..30_usize,
        slack in prop_oneof![3 => Just(None), 1 => (1..40_usize).prop_map(Some)],
        ops in prop::collection::vec((op(), 0..30_u64), 0..250),
    ) {
        run(Pair::new(bound, slack, hotset::DefaultHashBuilder::default()), &ops);
    }

    #[test]
    fn any_sequence_with_one_hash(
        bound in 1..30_usize,
        ops in prop::collection::vec((op(), 0..30_u64), 0..250),
    ) {
        run(Pair::new(bound, None, OneHash), &ops);
    }
}
