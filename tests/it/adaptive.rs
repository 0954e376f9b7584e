//! Does `Policy::Adaptive` evict exactly whom its description says? A short reference model, told only
//! where the hasher puts a key, the 32 bits by which it is remembered and the table's shape, predicts
//! every victim and the class of every newcomer. Then what the policy is for, in miniature.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use hotset::{Cache, Cause};
use proptest::prelude::*;

use crate::common::{Log, Random, cases, check, times};
use crate::ghosts::{Ghosts, Sampled};
use crate::trials::{TRIAL_PASSES, Trials, Uses, is_over, passes};

type Fixed = BuildHasherDefault<DefaultHasher>;
type Adaptive = Cache<u64, u64, Fixed>;

/// Thousandths of `entries`, and one at least.
fn part(entries: usize, thousandths: usize) -> usize {
    (entries * thousandths / 1000).max(1)
}

/// A slot, and what stays of its last entry once it is empty.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: Option<u64>,
    new: bool,
    uses: u32,
}

/// How far the hand goes.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    TwoTurns,
    Buckets(usize),
    Passed(u32),
}

/// The reference model: the first segment of each shard, one hand, one thread.
#[derive(Clone)]
struct Model {
    shape: [usize; 4],
    bound: usize,
    slots: Vec<Slot>,
    at: HashMap<u64, usize>,
    places: HashMap<u64, u32>,
    /// Slots, who came first first.
    queue: VecDeque<usize>,
    quota: usize,
    arrivals: u32,
    /// Numbers that the queue has room for.
    longest: usize,
    early: Ghosts,
    late: Sampled,
    trials: Trials,
    uses: Uses,
    /// Entries in use that the hand passed over when it was driven last.
    passed: u32,
    /// The hand: buckets swept, slots of the present one swept.
    hand: (usize, usize),
}

impl Model {
    fn new(shape: [usize; 4], bound: usize) -> Self {
        let quota = (part(bound, 900) * 30 / 900).clamp(part(bound, 10), part(bound, 900));
        Self {
            shape,
            bound,
            slots: vec![Slot::default(); shape[..3].iter().product()],
            at: HashMap::new(),
            places: HashMap::new(),
            queue: VecDeque::new(),
            quota,
            arrivals: 0,
            longest: (part(bound, 900) + part(bound, 10)).next_power_of_two(),
            early: Ghosts::new(part(bound, 1200)),
            late: Sampled::new(part(bound, 100), bound),
            trials: Trials::default(),
            uses: Uses::default(),
            passed: 0,
            hand: (0, 0),
        }
    }

    fn touch(&mut self, key: u64) -> bool {
        self.at.get(&key).is_some_and(|&at| {
            self.slots[at].uses = (self.slots[at].uses + 1).min(2);
            true
        })
    }

    /// A new key takes the first empty slot of its probe; who leaves for it, if the cache is full.
    /// Outer `None`: the probe is full, which this model does not cover.
    fn enter(
        &mut self,
        key: u64,
        (shard, home): (usize, usize),
        place: u32,
    ) -> Option<Option<u64>> {
        let [_, buckets, slots, probe] = self.shape;
        let mut probed = (0..probe.min(buckets)).flat_map(|step| {
            let bucket = shard * buckets + (home + step) % buckets;
            (0..slots).map(move |slot| bucket * slots + slot)
        });
        let at = probed.find(|&at| self.slots[at].key.is_none())?;
        let (victim, probation) = if self.at.len() < self.bound {
            // The main class is filled first.
            (None, self.at.len() >= self.bound.saturating_sub(self.quota))
        } else {
            let (victim, probation) = self.displace(place);
            (Some(victim), probation)
        };
        let new = probation && self.queue.len() < self.longest;
        if new {
            self.queue.push_back(at);
            self.arrivals = self.arrivals.wrapping_add(1);
        }
        self.slots[at] = Slot { key: Some(key), new, uses: 0 };
        self.at.insert(key, at);
        self.places.insert(key, place);
        Some(victim)
    }

    /// Who leaves for a newcomer, and whether that one is on probation.
    fn displace(&mut self, place: u32) -> (u64, bool) {
        let [memory, margin, main_margin] = [1200, 75, 100].map(|share| part(self.bound, share));
        let step = self.late.stands_for(self.bound);
        let (least, most) = (part(self.bound, 10), part(self.bound, 900));
        let mut back = None;
        if let Some(age) = self.early.take(place) {
            back = passes(age, memory);
            if age < margin && self.late.includes(place) {
                self.quota = (self.quota + step).clamp(least, most);
            }
        } else if self.late.take(place).is_some_and(|age| age < main_margin) {
            self.quota = self.quota.saturating_sub(step).clamp(least, most);
        }
        let waiting = self.queue.len();
        if let Some(passes) = back {
            let own = if waiting > self.quota { self.evict_early() } else { None };
            if let Some(victim) = own.or_else(|| self.evict_late(Until::Passed(passes))) {
                return (victim, false);
            }
        } else if self.trials.include(place, self.arrivals) {
            let victim = self.evict_late(Until::Passed(TRIAL_PASSES));
            self.trials.tried(victim.is_some(), self.passed, self.bound);
            let (quota, come) = ((self.quota as u64, least as u64), (waiting, self.arrivals));
            self.quota = self.uses.tried(self.passed, quota, come) as usize;
            if let Some(victim) = victim {
                return (victim, false);
            }
        } else if is_over(waiting as u64, self.quota as u64, 1) {
            if let Some(victim) = self.evict_early() {
                return (victim, false);
            }
        } else if waiting < self.quota
            && let Some(victim) = self.evict_late(Until::Buckets(64))
        {
            return (victim, true);
        }
        let victim = self
            .evict_early()
            .or_else(|| self.evict_late(Until::Buckets(64)))
            .or_else(|| self.evict_late(Until::TwoTurns));
        (victim.expect("a full cache has somebody to evict"), true)
    }

    /// Who leaves when the bound was lowered: first of a queue that is too long.
    fn evict_any(&mut self) -> u64 {
        loop {
            let over = self.queue.len() > self.quota;
            let victim = if over { self.evict_early() } else { None }
                .or_else(|| self.evict_late(Until::TwoTurns))
                .or_else(|| self.evict_early());
            if let Some(victim) = victim {
                return victim;
            }
        }
    }

    /// The first in the queue that was not used leaves; those before it come to the main class.
    fn evict_early(&mut self) -> Option<u64> {
        let mut promoted = 0;
        for _ in 0..64 {
            let at = self.queue.pop_front()?;
            let slot = &mut self.slots[at];
            let Some(key) = slot.key.filter(|_| slot.new) else { continue };
            if slot.uses > 0 && promoted < 8 {
                (slot.new, slot.uses) = (false, 0);
                self.uses.used();
                promoted += 1;
                continue;
            }
            self.early.add_later(self.places[&key]);
            self.remove(key);
            return Some(key);
        }
        None
    }

    /// The hand: takes a use from whom it meets, passes over the new ones, and evicts the first that
    /// has none left.
    fn evict_late(&mut self, until: Until) -> Option<u64> {
        let [shards, buckets, slots, _] = self.shape;
        let per_pass = buckets.div_ceil(8);
        let round = per_pass * 8 * shards;
        let turn = 2 * round;
        let mut visited = 0;
        self.passed = 0;
        let mut least_used: Option<(u32, u64)> = None;
        loop {
            // A few buckets are taken from the hand at a time.
            let range = (buckets * shards / 64).clamp(1, 8);
            if (self.hand.0 % range, self.hand.1) == (0, 0) && visited > 2 * turn {
                return None;
            }
            let last_resort = until == Until::TwoTurns;
            let anyone = last_resort && visited > turn;
            let adopts = last_resort || self.hand.0 / turn % 16 == 15;
            // Half of the slots of each bucket in one round, half in the next.
            let half = self.hand.0 / round % 2 * (slots / 2);
            self.hand.1 = self.hand.1.max(half);
            let (step, shard) = (self.hand.0 / shards, self.hand.0 % shards);
            let (pass, row) = (step / per_pass % 8, step % per_pass);
            let row = row * 8 + [0, 4, 2, 6, 1, 5, 3, 7][pass];
            let mut met = Vec::new();
            while row < buckets && self.hand.1 < half + slots / 2 {
                let at = (shard * buckets + row) * slots + self.hand.1;
                self.hand.1 += 1;
                let slot = &mut self.slots[at];
                match slot.key {
                    None => {}
                    Some(key) if anyone => return Some(self.leaves_main(key)),
                    Some(_) if slot.new => slot.new = !adopts,
                    Some(key) if slot.uses == 0 => return Some(self.leaves_main(key)),
                    Some(_) if until == Until::Passed(self.passed) => {
                        self.hand.1 -= 1; // it stands before who would be one too many
                        return None;
                    }
                    Some(key) => {
                        slot.uses -= 1;
                        self.passed += 1;
                        met.push((slot.uses, key));
                    }
                }
            }
            self.hand = (self.hand.0 + 1, 0);
            visited += 1;
            // The first without a use left; if there is none, the first of all.
            for &(uses, key) in met.iter().filter(|met| met.0 == 0).chain(met.first()) {
                if least_used.is_none_or(|least| least.0 > 0 && uses == 0) {
                    least_used = Some((uses, key));
                }
            }
            match until {
                Until::Passed(_) if visited >= 64 => return None,
                Until::Buckets(most) if visited >= most => {
                    return least_used.map(|(_, key)| self.leaves_main(key));
                }
                _ => {}
            }
        }
    }

    fn leaves_main(&mut self, key: u64) -> u64 {
        self.late.add(self.places[&key]);
        self.remove(key);
        key
    }

    fn remove(&mut self, key: u64) -> bool {
        self.at.remove(&key).is_some_and(|at| self.slots[at].key.take().is_some())
    }

    /// Unused ones of the queue, then from the hand on the unused ones, then the others.
    fn coldest_first(&self) -> Vec<u64> {
        let [shards, buckets, slots, _] = self.shape;
        let per_pass = buckets.div_ceil(8);
        let round = per_pass * 8 * shards;
        let (first, resume) = self.hand;
        let numbers = |ordinal: usize, from: usize| {
            let (step, shard) = (ordinal / shards, ordinal % shards);
            let row = step % per_pass * 8 + [0, 4, 2, 6, 1, 5, 3, 7][step / per_pass % 8];
            let bucket = (row < buckets).then_some(shard * buckets + row);
            let half = ordinal / round % 2 * (slots / 2);
            bucket.into_iter().flat_map(move |bucket| {
                (half.max(from)..half + slots / 2).map(move |slot| bucket * slots + slot)
            })
        };
        let later = (first + 1..=first + 2 * round).flat_map(|ordinal| numbers(ordinal, 0));
        let swept: Vec<usize> = numbers(first, resume).chain(later).collect();
        let waiting = self.queue.iter().copied();
        let mut order: Vec<usize> =
            waiting.filter(|&at| self.slots[at].new && self.slots[at].uses == 0).collect();
        order.extend(swept.iter().filter(|&&at| self.slots[at].uses == 0));
        order.extend(swept.iter().filter(|&&at| self.slots[at].uses > 0));
        let mut listed = std::collections::HashSet::new();
        order.retain(|&at| listed.insert(at));
        order.into_iter().filter_map(|at| self.slots[at].key).collect()
    }
}

/// The cache and its model, side by side.
struct Pair {
    cache: Adaptive,
    log: Log<u64, u64>,
    model: Model,
}

impl Pair {
    fn new(bound: usize) -> Self {
        let log: Log<u64, u64> = Log::default();
        let told = std::sync::Arc::clone(&log);
        let cache = Cache::builder()
            .max_entries(bound)
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
                    let (home, place) = (cache.clock_home(&key), cache.adaptive_place(&key));
                    expected.extend(model.enter(key, home, place)?);
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
            Op::Bound(bound) => {
                model.bound = bound;
                model.quota = model.quota.clamp(part(bound, 10), part(bound, 900));
                while model.at.len() > bound {
                    expected.push(model.evict_any());
                }
                cache.set_max_entries(bound).unwrap();
            }
        }
        assert_eq!(self.victims(), expected, "the victims of {op:?} {key}");
        assert_eq!(self.cache.len(), self.model.at.len());
        self.same_class(key);
        Some(())
    }

    /// Whether an entry is on probation, and the uses to its credit.
    fn same_class(&self, key: u64) {
        let slot = self.model.at.get(&key).map(|&at| self.model.slots[at]);
        let expected = slot.map(|slot| (slot.new, slot.uses));
        assert_eq!(self.cache.adaptive_class(&key), expected, "the class of {key}");
    }

    fn end(mut self) {
        check(&self.cache);
        self.model.at.keys().for_each(|&key| self.same_class(key));
        assert_eq!(self.cache.coldest_first(), self.model.coldest_first());
        self.step(Op::Bound(1), 0).unwrap();
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
    Bound(usize),
}

/// Operations on a cache that was built for `bound` entries, on up to three times as many keys.
fn ops(bound: usize, most: usize) -> impl Strategy<Value = (usize, Vec<(Op, u64)>)> {
    let op = prop_oneof![
        8 => Just(Op::Insert),
        4 => Just(Op::Get),
        1 => Just(Op::With),
        1 => Just(Op::Pinned),
        1 => Just(Op::Peek),
        6 => Just(Op::Load),
        1 => Just(Op::FailedLoad),
        1 => Just(Op::Replace),
        1 => Just(Op::Remove),
        1 => Just(Op::Coldest),
        1 => prop_oneof![
            6 => (1..=bound).prop_map(Op::Bound),
            4 => Just(Op::Bound(bound)),
            1 => Just(Op::Clear),
            20 => Just(Op::Get),
        ],
    ];
    let bound64 = bound as u64;
    let key =
        prop_oneof![0..bound64 / 2 + 1, 0..bound64 + 2, 0..bound64 * 3 / 2 + 4, 0..bound64 * 3];
    (Just(bound), prop::collection::vec((op, key), 0..most))
}

fn run(bound: usize, ops: Vec<(Op, u64)>) {
    let mut pair = Pair::new(bound);
    for (op, key) in ops {
        pair.step(op, key).expect("a probe has more slots than these keys fill");
    }
    pair.end();
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn every_victim_is_predicted((bound, ops) in (1..=64_usize).prop_flat_map(|bound| ops(bound, 600))) {
        run(bound, ops);
    }
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn also_of_300((bound, ops) in ops(300, 6000)) {
        run(bound, ops);
    }
}

/// A power-law key below `span`: half of the draws are in the first eighth.
fn skewed(random: &mut Random, span: u64) -> u64 {
    let unit = random.below(1 << 20) as f64 / f64::from(1 << 20);
    (unit.powi(3) * span as f64) as u64
}

/// Skewed traffic with scans and loops among it, and all other operations now and then.
fn long_run(bound: usize, operations: usize) {
    let mut pair = Pair::new(bound);
    let mut random = Random::new(bound as u64);
    let span = bound as u64;
    let (mut next, mut evictions) = (1 << 32, 0);
    for n in 0..operations {
        let key = match n * 12 / operations % 4 {
            0 => skewed(&mut random, 4 * span),
            1 if n % 4 > 0 => {
                next += 1;
                next
            }
            2 => (1 << 33) + n as u64 % (span * 5 / 4),
            3 => (1 << 34) + n as u64 / 4 + random.below(span / 8),
            _ => skewed(&mut random, 4 * span),
        };
        let op = match random.below(64) {
            0..=47 => Op::Load,
            48..=55 => Op::Insert,
            56..=59 => Op::Get,
            60 => Op::Remove,
            61 => Op::Replace,
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
    long_run(300, times(60_000));
    // The buckets of a turn are not a multiple of what is taken from the hand at a time.
    long_run(1400, times(300_000).max(20_000));
}

#[test]
fn where_the_bound_is_far_lower_one_key_stands_for_fewer() {
    let (mut pair, mut random) = (Pair::new(5_000), Random::new(9));
    for (phase, bound, step) in [(0_u64, 5_000, 8), (1, 600, 1), (2, 5_000, 8)] {
        pair.step(Op::Bound(bound), 0).expect("there is room for these");
        let (mut longest, mut moves) = (0, 0);
        for n in 0..8 * bound as u64 {
            // A loop, which makes the quota small; then recency, for which that is too small.
            let recent = n - random.below(bound as u64 / 2).min(n);
            let key =
                if n < 4 * bound as u64 { n % (bound as u64 * 5 / 4) } else { (1 << 39) + recent };
            let quota = pair.model.quota;
            pair.step(Op::Load, (phase << 40) + key).expect("a probe is not filled by these");
            longest = longest.max(pair.model.quota.abs_diff(quota));
            moves += usize::from(pair.model.quota > quota);
        }
        assert_eq!(longest, step, "{moves} moves at a bound of {bound}");
        assert!(moves >= 5, "{moves} moves at a bound of {bound}");
    }
    pair.end();
}

#[test]
fn a_long_run_with_several_shards() {
    assert!(Pair::new(20_000).model.shape[0] > 1);
    long_run(20_000, times(400_000).max(40_000));
}

fn small(bound: usize) -> Adaptive {
    Cache::builder().max_entries(bound).hasher(Fixed::default()).build().unwrap()
}

/// Reads through: whether it was there.
fn ask(cache: &Adaptive, key: u64) -> bool {
    let mut hit = true;
    assert_eq!(
        cache.get_or_insert_with(key, || {
            hit = false;
            key
        }),
        key
    );
    hit
}

/// The share of hits among some keys.
fn ratio(cache: &Adaptive, keys: impl IntoIterator<Item = u64>) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for key in keys {
        hits += u32::from(ask(cache, key));
        all += 1;
    }
    f64::from(hits) / f64::from(all)
}

/// Asks for the first `n` keys often enough that all of them are known to be in use.
fn heat(cache: &Adaptive, n: u64) {
    for _ in 0..4 {
        ratio(cache, 0..n);
    }
}

#[test]
fn tiny_caches_keep_what_is_used() {
    for bound in 2..=64 {
        let cache = small(bound);
        ask(&cache, 0);
        for n in 1..=20 * bound as u64 {
            assert!(ask(&cache, 0), "{bound} entries: lost among the first {n}");
            ask(&cache, n);
            assert!(cache.len() <= bound);
        }
        check(&cache);
    }
}

/// Numbers of entries that were removed fill the queue, so that newcomers are in no queue at all.
#[test]
fn nobody_is_refused_because_the_queue_is_full() {
    for bound in 1..=8 {
        for first in 0..10_u64 {
            let (cache, key) = (small(bound), |n: u64| 1000 * first + n);
            for n in 0..100 {
                assert!(
                    cache.insert(key(n), key(n)).is_admitted() && cache.remove(&key(n)).is_some()
                );
            }
            for n in 100..200 {
                let admitted = cache.insert(key(n), key(n)).is_admitted();
                assert!(admitted, "{bound} entries, insert {}", key(n));
                ratio(&cache, [key(n); 2]);
            }
            cache.set_max_entries(1).unwrap();
            check(&cache);
        }
    }
}

#[test]
fn what_who_rests_has_in_hand_is_adopted() {
    const BOUND: u64 = 1000;
    let cache = small(BOUND as usize);
    ratio(&cache, 0..3 * BOUND);
    let on_probation = |key: &u64| cache.adaptive_class(key).is_some_and(|(new, _)| new);
    let in_hand: Vec<u64> = (0..3 * BOUND).filter(on_probation).collect();
    assert!((10..=32).contains(&in_hand.len()), "{} newcomers", in_hand.len());
    assert_eq!(cache.coldest_first()[..in_hand.len()], in_hand);
    // Who goes on is another thread, while this one is there and has them in hand. It asks for keys that have
    // left not long ago, so that the hand goes round.
    let goes_on = |turns: u64| {
        let keys = (0..turns * BOUND).map(|n| (1 << 50) + n % (BOUND * 6 / 5));
        std::thread::scope(|scope| scope.spawn(|| ratio(&cache, keys)).join().unwrap());
    };
    goes_on(2);
    assert!(in_hand.iter().all(on_probation), "nobody takes them out of another's hand");
    goes_on(60);
    assert!(!in_hand.iter().any(on_probation));
    assert!(!in_hand.iter().any(|key| cache.contains_key(key)));
}

#[test]
fn an_only_entry_is_the_last_that_came() {
    let cache = small(1);
    for n in 0..1000 {
        assert!(!ask(&cache, n % 3) && ask(&cache, n % 3));
        assert_eq!((cache.len(), cache.peek(&(n % 3))), (1, Some(n % 3)));
    }
}

#[test]
fn a_scan_passes_through_tiny_caches() {
    for bound in 2..=64 {
        let (cache, hot) = (small(bound), bound as u64 / 2);
        heat(&cache, hot);
        assert_eq!(ratio(&cache, 1000..1000 + 10 * bound as u64), 0.0);
        assert!((0..hot).all(|key| cache.contains_key(&key)), "of {bound} entries");
    }
}

/// Half of the entries are asked for in turn; between two of those requests come `newcomers`, each of
/// which is asked for `times` times in all, `gap` newcomers apart. The share of the former that hits.
fn flooded(bound: usize, newcomers: u64, times: u64, gap: u64) -> f64 {
    let (cache, hot) = (small(bound), bound as u64 / 2);
    heat(&cache, hot);
    let (mut hits, mut next) = (0_u32, 1 << 32);
    let requests = 20 * bound as u64;
    for n in 0..requests {
        hits += u32::from(ask(&cache, n % hot));
        for _ in 0..newcomers {
            next += 1;
            (0..times)
                .for_each(|nth| assert!(ask(&cache, next - nth * gap) || nth == 0 || gap > 0));
        }
    }
    f64::from(hits) / requests as f64
}

#[test]
fn a_flood_does_not_wash_the_hot_set_away() {
    for bound in [64, 300] {
        // However fast they come, if nobody asks for them again.
        for newcomers in [1, 4, 16] {
            let hits = flooded(bound, newcomers, 1, 0);
            assert!(hits > 0.98, "{bound} entries, {newcomers} newcomers: {hits:.3}");
        }
        // Asked for twice, and all that comes between two requests for a hot key would fit.
        for gap in [0, 3, bound as u64 / 20, bound as u64 / 2] {
            let hits = flooded(bound, 1, 2, gap);
            assert!(hits > 0.95, "{bound} entries, twice, {gap} apart: {hits:.3}");
        }
        // Twice, farther apart than anything would be kept.
        let hits = flooded(bound, 4, 2, bound as u64 * 6 / 5);
        assert!(hits > 0.95, "{bound} entries, twice, far apart: {hits:.3}");
    }
}

/// Keys that drift: which are asked for most changes all the time.
fn drift(random: &mut Random, bound: u64, from: u64, n: u64) -> Vec<u64> {
    (from..from + n).map(|t| (1 << 40) + t / 2 + bound - skewed(random, 2 * bound)).collect()
}

/// Hit ratios of drifting keys, then of a loop of so many, then of drifting keys again: each after as long a time
/// of the same, of ten times the bound.
fn shifted(bound: u64, seed: u64, length: u64) -> [f64; 3] {
    let cache = small(bound as usize);
    let mut random = Random::new(seed);
    let half = 10 * bound;
    let mut recency = |from| {
        ratio(&cache, drift(&mut random, bound, from, half));
        ratio(&cache, drift(&mut random, bound, from + half, half))
    };
    let before = recency(0);
    let turn = |n: u64| (1 << 50) + n % length;
    ratio(&cache, (0..half).map(turn));
    let looped = ratio(&cache, (half..2 * half).map(turn));
    [before, looped, recency(2 * half)]
}

#[test]
fn after_a_shift_it_is_as_good_as_before() {
    // Measured: 0.381, 0.523, 0.375; 0.371, 0.570, 0.383; 0.376, 0.613, 0.381.
    for (bound, cyclic) in [(64, 0.30), (300, 0.48), (1000, 0.48)] {
        let [before, looped, after] = shifted(bound, 7, bound * 3 / 2);
        let all = format!("{bound} entries: {before:.3}, {looped:.3}, {after:.3}");
        println!("{all}");
        assert!(before > 0.34 && looped > cyclic && after > 0.34, "{all}");
    }
}

#[test]
fn after_many_shifts_it_is_as_good_as_before() {
    // Means over loops of three lengths and eight seeds, for what one alone makes of it differs by a third;
    // the loop's in parts of what could be had. Measured: 0.379, 0.52, 0.427; 0.370, 0.68, 0.403; 0.375, 0.82,
    // 0.386.
    const SEEDS: u64 = 8;
    for (bound, cyclic) in [(64, 0.5), (300, 0.6), (1000, 0.7)] {
        let mut means = [0.0; 3];
        for (seed, tenths) in (0..SEEDS).flat_map(|seed| [12, 15, 18].map(|tenths| (seed, tenths)))
        {
            let [before, looped, after] = shifted(bound, seed + 7, bound * tenths / 10);
            let ratios = [before, looped * tenths as f64 / 10.0, after];
            for (mean, ratio) in means.iter_mut().zip(ratios) {
                *mean += ratio / (3 * SEEDS) as f64;
            }
        }
        let [before, looped, after] = means;
        let all = format!("{bound} entries: {before:.3}, {looped:.3}, {after:.3}");
        println!("{all}");
        assert!(before > 0.35 && looped > cyclic && after > 0.36, "{all}");
    }
}

#[test]
fn a_hot_set_that_died_is_given_up_whatever_comes_next() {
    // All who come back do so after the same time, so with the same patience, and nobody is tried: if that
    // moved the hand for none of them, it would stand for ever. Bounds so small that a row or two know who left.
    for bound in [2, 5, 14, 20, 64] {
        for hundredths in [80, 100, 115] {
            let length = (bound * hundredths / 100).max(1);
            let mut worst = 1.0_f64;
            for seed in 0..20 {
                let cache = small(bound as usize);
                let hot = |n: u64| (seed << 32) + n % (bound - 1).max(1);
                ratio(&cache, (0..4 * bound).map(hot));
                let turn = |n: u64| (1 << 50) + (seed << 32) + n % length;
                ratio(&cache, (0..60 * length).map(turn));
                worst = worst.min(ratio(&cache, (0..10 * length).map(turn)));
            }
            // A loop as long as the bound is not always held whole: somebody is on probation.
            let least = if length < bound { 0.99 } else { 0.05 };
            let all = format!("{bound} entries, a loop of {length}: {worst:.3}");
            println!("{all}");
            assert!(worst >= least, "{all}");
        }
    }
}

#[test]
fn a_loop_is_held_though_some_of_it_comes_late() {
    // As where a thread is stopped in the middle of a few requests: of 64 in a row in each thousand or
    // four. Who comes back sooner than the others must not put them out for it, or those come back in turn: the
    // hit ratio, of 0.505 at best, sinks to 0.40 then, and to 0.41.
    const BOUND: u64 = 512;
    for every in [1024, 4096] {
        let cache = small(BOUND as usize);
        let mut late = std::collections::VecDeque::new();
        let mut loops = |from: u64, requests: u64| {
            let mut keys = Vec::new();
            for n in from..from + requests {
                match n % every / 64 {
                    0 => late.push_back((n + 2048 + n * 7 % 4096, n)),
                    _ => keys.push(n),
                }
                while late.front().is_some_and(|&(due, _)| due <= n) {
                    keys.extend(late.pop_front().map(|(_, n)| n));
                }
            }
            ratio(&cache, keys.into_iter().map(|n| n % 1011))
        };
        loops(0, 600 * BOUND);
        let hits = loops(600 * BOUND, 600 * BOUND);
        println!("64 of {every} late: {hits:.3}");
        assert!(hits > 0.46, "64 of {every} late: {hits:.3}");
    }
}

#[test]
fn a_loop_takes_the_place_of_what_nobody_wants_whatever_its_length() {
    // In a loop the same keys miss at the same distance each time. Were it this distance that decides who is
    // tried, then for some lengths the same few would be, for ever: where 800 and 1280 of them could be
    // hit at 0.64 and 0.40, it stood at 0.36 and 0.20.
    const BOUND: u64 = 512;
    for length in [768, 800, 1011, 1280] {
        let cache = small(BOUND as usize);
        let old = ratio(&cache, (0..4 * BOUND).map(|n| n % BOUND));
        assert!(old > 0.74, "{old}");
        let turn = |n: u64| (1 << 50) + n % length;
        // The main class is turned over once as the chance is to begin with, then ever faster.
        ratio(&cache, (0..400 * BOUND).map(turn));
        let hits = ratio(&cache, (0..10 * length).map(turn));
        let best = (BOUND as f64 - 1.0) / (length as f64 - 1.0);
        println!("{length}: {hits:.3} of {best:.3}");
        assert!(hits > 0.8 * best, "a loop of {length}: {hits:.3} of {best:.3}");
    }
}

#[test]
fn a_loop_gets_the_room_of_a_queue_that_nobody_needs() {
    // Recency leaves a queue of a third of the cache. From a loop that is so long that nobody is remembered until he
    // comes back there is no evidence that a shorter one would do, and it stood at 0.18 of 0.25, for good.
    for bound in [300, 1000] {
        let cache = small(bound as usize);
        ratio(&cache, drift(&mut Random::new(bound), bound, 0, 20 * bound));
        let length = 4 * bound;
        let turns =
            |from: u64, to: u64| (from * length..to * length).map(|n| (1 << 50) + n % length);
        ratio(&cache, turns(0, 60));
        let hits = ratio(&cache, turns(60, 65));
        let best = (bound as f64 - 1.0) / (length as f64 - 1.0);
        println!("{bound} entries: {hits:.3} of {best:.3}");
        assert!(hits > 0.95 * best, "{bound} entries: {hits:.3} of {best:.3}");
    }
}
