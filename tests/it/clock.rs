//! Does `Policy::Clock` evict exactly whom its description says? A short reference model, told only
//! where the hasher puts a key and the table's shape, predicts every victim.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hotset::{Cache, Cause, Policy};
use proptest::prelude::*;

use crate::common::{Log, Random, cases, check, times};

type Fixed = BuildHasherDefault<DefaultHasher>;
type Clocked = Cache<u64, u64, Fixed>;

/// The reference model: the first segment of each shard, one hand, one thread.
#[derive(Clone)]
struct Model {
    shape: [usize; 4],
    bound: usize,
    /// By shard, bucket, slot: the entry, and whether the hand has passed since it was used.
    slots: Vec<(Option<u64>, bool)>,
    at: HashMap<u64, usize>,
    /// The hand: buckets swept, slots of the present one swept.
    hand: (usize, usize),
}

impl Model {
    fn new(shape: [usize; 4], bound: usize) -> Self {
        let slots = vec![(None, false); shape[..3].iter().product()];
        Self { shape, bound, slots, at: HashMap::new(), hand: (0, 0) }
    }

    fn touch(&mut self, key: u64) -> bool {
        self.at.get(&key).is_some_and(|&at| {
            self.slots[at].1 = false;
            true
        })
    }

    /// A new key takes the first empty slot of its probe; who leaves for it, if the cache is full.
    /// Outer `None`: the probe is full, which this model does not cover.
    fn enter(&mut self, key: u64, (shard, home): (usize, usize)) -> Option<Option<u64>> {
        let [_, buckets, slots, probe] = self.shape;
        let mut places = (0..probe.min(buckets)).flat_map(|step| {
            let bucket = shard * buckets + (home + step) % buckets;
            (0..slots).map(move |slot| bucket * slots + slot)
        });
        let at = places.find(|&at| self.slots[at].0.is_none())?;
        let victim = (self.at.len() >= self.bound).then(|| self.evict());
        self.slots[at] = (Some(key), false);
        self.at.insert(key, at);
        Some(victim)
    }

    fn evict(&mut self) -> u64 {
        let [shards, buckets, slots, _] = self.shape;
        let per_pass = buckets.div_ceil(8);
        loop {
            let (turn, shard) = (self.hand.0 / shards, self.hand.0 % shards);
            let (pass, row) = (turn / per_pass % 8, turn % per_pass);
            let row = row * 8 + [0, 4, 2, 6, 1, 5, 3, 7][pass];
            while row < buckets && self.hand.1 < slots {
                let at = (shard * buckets + row) * slots + self.hand.1;
                self.hand.1 += 1;
                match self.slots[at] {
                    (Some(key), true) => {
                        self.remove(key);
                        return key;
                    }
                    (Some(_), false) => self.slots[at].1 = true,
                    (None, _) => {}
                }
            }
            self.hand = (self.hand.0 + 1, 0);
        }
    }

    fn remove(&mut self, key: u64) -> bool {
        self.at.remove(&key).is_some_and(|at| self.slots[at].0.take().is_some())
    }

    fn coldest_first(&self) -> Vec<u64> {
        let mut copy = self.clone();
        (0..copy.at.len()).map(|_| copy.evict()).collect()
    }
}

/// The cache and its model, side by side.
struct Pair {
    cache: Clocked,
    log: Log<u64, u64>,
    model: Model,
}

impl Pair {
    fn new(bound: usize) -> Self {
        let log: Log<u64, u64> = Log::default();
        let told = std::sync::Arc::clone(&log);
        let cache = Cache::builder()
            .max_entries(bound)
            .policy(Policy::Clock)
            .hasher(Fixed::default())
            .on_evict(move |k, v, cause| told.lock().unwrap().push((*k, *v, cause)))
            .build()
            .unwrap();
        let model = Model::new(cache.clock_shape(), bound);
        Self { cache, log, model }
    }

    fn victims(&self) -> Vec<u64> {
        let told = std::mem::take(&mut *self.log.lock().unwrap());
        told.iter().filter(|t| t.2 == Cause::Capacity).map(|t| t.0).collect()
    }

    /// One operation on both. `None`: the model does not cover what comes.
    fn step(&mut self, op: Op, key: u64) -> Option<()> {
        let (cache, model) = (&self.cache, &mut self.model);
        let mut expected = Vec::new();
        match op {
            Op::Get => assert_eq!(cache.get(&key).is_some(), model.touch(key)),
            Op::With => assert_eq!(cache.with(&key, |_, _| ()).is_some(), model.touch(key)),
            Op::Pinned => assert_eq!(cache.pin().get(&key).is_some(), model.touch(key)),
            Op::Peek => {
                assert_eq!(cache.peek(&key).is_some(), model.at.contains_key(&key));
                cache.contains_key(&key);
                cache.pin().peek(&key);
                cache.iter().count();
            }
            Op::Insert | Op::Load => {
                if !model.touch(key) {
                    expected.extend(model.enter(key, cache.clock_home(&key))?);
                }
                match op {
                    Op::Insert => assert!(cache.insert(key, key).is_admitted()),
                    _ => assert_eq!(cache.get_or_insert_with(key, || key), key),
                }
            }
            Op::FailedLoad => {
                let failed = cache.try_get_or_insert_with(key, || Err::<u64, ()>(())).is_err();
                assert_eq!(failed, !model.touch(key));
            }
            Op::Replace => assert_eq!(cache.replace(key, key).is_ok(), model.touch(key)),
            Op::Remove => assert_eq!(cache.remove(&key).is_some(), model.remove(key)),
            Op::Clear => {
                cache.clear();
                for key in model.at.keys().copied().collect::<Vec<_>>() {
                    model.remove(key);
                }
            }
            Op::Coldest => assert_eq!(cache.coldest_first(), model.coldest_first()),
            Op::Bound => {
                model.bound = 1 + key as usize % 40;
                while model.at.len() > model.bound {
                    expected.push(model.evict());
                }
                cache.set_max_entries(model.bound).unwrap();
            }
        }
        assert_eq!(self.victims(), expected, "the victims of {op:?} {key}");
        assert_eq!(self.cache.len(), self.model.at.len());
        Some(())
    }

    fn end(self) {
        check(&self.cache);
        let expected = self.model.coldest_first();
        assert_eq!(self.cache.coldest_first(), expected);
        self.cache.set_max_entries(1).unwrap();
        let left = self.victims();
        assert_eq!(left, expected[..expected.len().saturating_sub(1)]);
        for (key, _) in self.cache.iter() {
            assert_eq!(Some(&key), expected.last());
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Get,
    With,
    Pinned,
    Peek,
    Insert,
    Load,
    FailedLoad,
    Replace,
    Remove,
    Clear,
    Coldest,
    Bound,
}

fn ops() -> impl Strategy<Value = Vec<(Op, u64)>> {
    let op = prop_oneof![
        8 => Just(Op::Insert),
        4 => Just(Op::Get),
        1 => Just(Op::With),
        1 => Just(Op::Pinned),
        2 => Just(Op::Peek),
        3 => Just(Op::Load),
        1 => Just(Op::FailedLoad),
        1 => Just(Op::Replace),
        2 => Just(Op::Remove),
        1 => Just(Op::Coldest),
        1 => prop_oneof![3 => Just(Op::Bound), 1 => Just(Op::Clear), 6 => Just(Op::Get)],
    ];
    prop::collection::vec((op, 0..80_u64), 0..300)
}

proptest! {
    #![proptest_config(cases(300))]

    /// At most 40 entries, so that a probe of 48 slots always has room.
    #[test]
    fn every_victim_is_predicted(bound in 1..=40_usize, ops in ops()) {
        let mut pair = Pair::new(bound);
        for (op, key) in ops {
            pair.step(op, key).expect("a probe has more slots than there are entries");
        }
        pair.end();
    }

    /// Keys that all have their homes in a few buckets, so that most are displaced.
    #[test]
    fn displaced_entries_too(bound in 7..=40_usize, homes in 1..=3_usize, ops in ops()) {
        let mut pair = Pair::new(bound);
        let last = pair.model.shape[1] - 1;
        let keys: Vec<u64> = (0..)
            .filter(|key| (pair.cache.clock_home(key).1 + 1) % (last + 1) < homes)
            .take(80)
            .collect();
        for (op, key) in ops {
            pair.step(op, keys[key as usize]).expect("as above");
        }
        pair.end();
    }
}

/// The documentation of `Policy::Clock` tells the table's shape and a key's home as they are.
#[test]
fn the_table_is_as_documented() {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    for bound in [1, 4, 40, 1000, 8191, 8192, 20_000, times(300_000)] {
        let cache = Pair::new(bound).cache;
        let shards = 1 << (bound / 4096).min(4 * cores).clamp(1, 1024).ilog2();
        let buckets = (2 * bound.div_ceil(shards) + 64).div_ceil(6);
        assert_eq!(cache.clock_shape(), [shards, buckets, 6, 8], "{bound}");
        for key in 0..1000_u64 {
            let hash = Fixed::default().hash_one(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let home = ((hash >> 32) * (shards * buckets) as u64) >> 32;
            let (shard, index) = cache.clock_home(&key);
            assert_eq!(home as usize, shard * buckets + index, "{bound}, {key}");
        }
    }
}

/// Many entries, several shards.
fn long_run(bound: usize, operations: usize) {
    let mut pair = Pair::new(bound);
    let mut random = Random::new(bound as u64);
    let span = bound as u64 * 3 / 2;
    let mut evictions = 0;
    for n in 0..operations {
        // Half of the operations are on a quarter of the keys.
        let key = random.below(if n % 2 == 0 { span } else { span / 4 });
        let op = match random.below(16) {
            0..=8 => Op::Load,
            9..=11 => Op::Insert,
            12..=13 => Op::Get,
            14 => Op::Remove,
            _ => Op::FailedLoad,
        };
        evictions += usize::from(pair.cache.len() == bound);
        if pair.step(op, key).is_none() {
            panic!("a probe was full at operation {n}: choose another seed");
        }
    }
    assert!(evictions > operations / 10);
    pair.end();
}

#[test]
fn a_long_run_with_one_shard() {
    long_run(1000, times(60_000));
}

#[test]
fn a_long_run_with_several_shards() {
    assert!(Pair::new(20_000).model.shape[0] > 1);
    long_run(20_000, times(150_000).max(20_000));
}
