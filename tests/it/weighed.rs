//! Do both policies evict exactly whom their description says, where entries are weighed? One short
//! reference model for each, told where the hasher puts a key, the 32 bits by which it is remembered and
//! the table's shape, predicts every victim. What is the same without weights is in `clock` and
//! `adaptive`; here a newcomer may need several victims, and quotas are in weight.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use hotset::{Cache, Cause, Policy};
use proptest::prelude::*;

use crate::common::{Log, Random, cases, check, times};
use crate::ghosts::Ghosts;
use crate::trials::{TRIAL_PASSES, Trials, Uses, is_over, passes};

type Fixed = BuildHasherDefault<DefaultHasher>;

/// Thousandths of a whole, and one at least.
fn part(whole: u64, thousandths: u64) -> u64 {
    (whole * thousandths / 1000).max(1)
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: Option<u64>,
    weight: u64,
    new: bool,
    uses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    Main,
    Probation,
}

/// How far the hand goes.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    TwoTurns,
    Buckets,
    Passed(u32),
}

/// One shard, one thread; the first segment only.
struct Model {
    policy: Policy,
    shape: [usize; 4],
    max: u64,
    slots: Vec<Slot>,
    at: HashMap<u64, usize>,
    places: HashMap<u64, u32>,
    /// Slots, with the weights that came with them.
    queue: VecDeque<(usize, u64)>,
    longest: usize,
    quota: u64,
    arrivals: u32,
    early: Ghosts,
    late: Ghosts,
    trials: Trials,
    uses: Uses,
    /// The number of entries and the bound by which ages and quotas are reckoned.
    followed: (u64, u64),
    hand: (usize, usize),
    /// Whom the hand passes over: the entry for whose heavier value somebody leaves.
    spared: Option<u64>,
}

impl Model {
    fn new(shape: [usize; 4], policy: Policy, max: u64, expected: u64) -> Self {
        assert_eq!(shape[0], 1);
        let most = part(max, 900);
        Self {
            policy,
            shape,
            max,
            slots: vec![Slot::default(); shape[1] * shape[2]],
            at: HashMap::new(),
            places: HashMap::new(),
            queue: VecDeque::new(),
            longest: (part(expected, 900) + part(expected, 10)).next_power_of_two() as usize,
            quota: (most * 30 / 900).clamp(part(max, 10), most),
            arrivals: 0,
            early: Ghosts::new(part(expected, 1200) as usize),
            late: Ghosts::new(part(expected, 100) as usize),
            trials: Trials::default(),
            uses: Uses::default(),
            followed: (expected, max),
            hand: (0, 0),
            spared: None,
        }
    }

    fn weight(&self) -> u64 {
        self.at.values().map(|&at| self.slots[at].weight).sum()
    }

    fn waiting(&self) -> u64 {
        self.queue.iter().map(|entry| entry.1).sum()
    }

    fn touch(&mut self, key: u64) -> bool {
        self.at.get(&key).is_some_and(|&at| {
            self.slots[at].uses = (self.slots[at].uses + 1).min(2);
            true
        })
    }

    /// A value of a key, new or not: who leaves for it. Outer `None`: the probe is full, which this model
    /// does not cover.
    fn write(&mut self, key: u64, weight: u64, home: usize, place: u32) -> Option<Vec<u64>> {
        let mut victims = Vec::new();
        if let Some(&at) = self.at.get(&key) {
            let old = self.slots[at].weight;
            let wanted = weight.saturating_sub(old);
            while self.weight() + wanted > self.max {
                self.touch(key);
                self.spared = Some(key);
                let other = self.displace_any();
                self.spared = None;
                let victim = other.or_else(|| self.displace_any()).expect("somebody to evict");
                victims.push(victim.0);
            }
            if self.at.contains_key(&key) {
                self.slots[at].weight = weight;
                self.touch(key);
                return Some(victims);
            }
            // It left to make room for its own successor, which comes as a newcomer.
        }
        victims.extend(self.enter(key, weight, home, place)?);
        Some(victims)
    }

    fn enter(&mut self, key: u64, weight: u64, home: usize, place: u32) -> Option<Vec<u64>> {
        let [_, buckets, slots, probe] = self.shape;
        let mut probed = (0..probe.min(buckets)).flat_map(|step| {
            let bucket = (home + step) % buckets;
            (0..slots).map(move |slot| bucket * slots + slot)
        });
        let at = probed.find(|&at| self.slots[at].key.is_none())?;
        let (victims, class) = if self.weight() + weight <= self.max {
            let main = self.weight() + weight <= self.max.saturating_sub(self.quota);
            (Vec::new(), if main { Class::Main } else { Class::Probation })
        } else {
            self.make_room(weight, place)
        };
        let adaptive = self.policy == Policy::Adaptive;
        let new = adaptive && class == Class::Probation && self.queue.len() < self.longest;
        if new {
            self.queue.push_back((at, weight));
            self.arrivals += 1;
        }
        let uses = if adaptive { 0 } else { 1 };
        self.slots[at] = Slot { key: Some(key), weight, new, uses };
        self.at.insert(key, at);
        self.places.insert(key, place);
        Some(victims)
    }

    fn make_room(&mut self, weight: u64, place: u32) -> (Vec<u64>, Class) {
        let mut victims = Vec::new();
        if self.policy == Policy::Clock {
            while self.weight() + weight > self.max {
                victims.push(self.evict_late(Until::TwoTurns, &mut 0).expect("somebody").0);
            }
            return (victims, Class::Main);
        }
        let entries = self.at.len() as u64;
        let far = |old: u64, new: u64| old.abs_diff(new) > old / 8;
        if far(self.followed.0, entries) || far(self.followed.1, self.max) {
            self.follow(entries);
        }
        let [memory, margin, main_margin] =
            [1200, 75, 100].map(|share| part(self.followed.0, share));
        let (least, most) = (part(self.max, 10), part(self.max, 900));
        let mut back = None;
        if let Some(age) = self.early.take(place) {
            back = passes(age, memory as usize);
            let age = age as u64;
            if age < margin {
                self.quota = (self.quota + weight).clamp(least, most);
            }
        } else if self.late.take(place).is_some_and(|age| (age as u64) < main_margin) {
            self.quota = self.quota.saturating_sub(weight).clamp(least, most);
        }
        let mut tried = back.is_none() && self.trials.include(place, self.arrivals);
        let most = back.unwrap_or(TRIAL_PASSES);
        let mut class = if back.is_some() || tried { Class::Main } else { Class::Probation };
        let over = class == Class::Probation && is_over(self.waiting(), self.quota, weight);
        let mut passed = 0;
        while self.weight() + weight > self.max {
            if class == Class::Main {
                let over = back.is_some() && self.waiting() > self.quota;
                let victim = if over { self.evict_early() } else { None };
                let victim = victim.or_else(|| self.evict_late(Until::Passed(most), &mut passed));
                if std::mem::take(&mut tried) {
                    self.trials.tried(victim.is_some(), passed, entries as usize);
                    let come = (self.queue.len(), self.arrivals);
                    self.quota = self.uses.tried(passed, (self.quota, least), come);
                }
                if let Some(victim) = victim {
                    victims.push(victim.0);
                    continue;
                }
                class = Class::Probation;
            }
            let short = self.waiting() < self.quota;
            let first = if short { None } else { self.evict_early() };
            let victim = first
                .or_else(|| self.evict_late(Until::Buckets, &mut 0))
                .or_else(|| if short { self.evict_early() } else { None })
                .or_else(|| self.evict_late(Until::TwoTurns, &mut 0));
            victims.push(victim.expect("a full cache has somebody to evict").0);
        }
        (victims, if over { Class::Main } else { class })
    }

    fn follow(&mut self, entries: u64) {
        self.followed = (entries, self.max);
        self.quota = self.quota.clamp(part(self.max, 10), part(self.max, 900));
    }

    /// Who leaves for the heavier value of an entry.
    fn displace_any(&mut self) -> Option<(u64, u64)> {
        let adaptive = self.policy == Policy::Adaptive;
        let over = adaptive && self.waiting() > self.quota;
        let victim = if over { self.evict_early() } else { None };
        let victim = match adaptive {
            true => victim
                .or_else(|| self.evict_late(Until::Buckets, &mut 0))
                .or_else(|| self.evict_early()),
            false => None,
        };
        victim.or_else(|| self.evict_late(Until::TwoTurns, &mut 0))
    }

    /// The bound is lower: who leaves.
    fn evict_any(&mut self) -> (u64, u64) {
        let over = self.policy == Policy::Adaptive && self.waiting() > self.quota;
        let victim = if over { self.evict_early() } else { None };
        victim
            .or_else(|| self.evict_late(Until::TwoTurns, &mut 0))
            .or_else(|| self.evict_early())
            .expect("somebody to evict")
    }

    fn evict_early(&mut self) -> Option<(u64, u64)> {
        let mut promoted = 0;
        for _ in 0..64 {
            let (at, _) = self.queue.pop_front()?;
            let slot = &mut self.slots[at];
            let Some(key) = slot.key.filter(|_| slot.new) else { continue };
            if slot.uses > 0 && promoted < 8 {
                (slot.new, slot.uses) = (false, 0);
                self.uses.used();
                promoted += 1;
                continue;
            }
            self.early.add(self.places[&key]);
            return self.remove(key);
        }
        None
    }

    fn evict_late(&mut self, until: Until, passed: &mut u32) -> Option<(u64, u64)> {
        let [_, buckets, slots, _] = self.shape;
        let per_pass = buckets.div_ceil(8);
        let clock = self.policy == Policy::Clock;
        // Slots of a bucket that the hand looks at in a round, and the buckets until it has looked at all.
        let (part, round) = (if clock { slots } else { slots / 2 }, per_pass * 8);
        let turn = slots / part * round;
        let mut visited = 0;
        let mut least_used: Option<(u32, u64)> = None;
        loop {
            let range = (buckets / 64).clamp(1, 8);
            if (self.hand.0 % range, self.hand.1) == (0, 0) && visited > 2 * turn {
                return None;
            }
            let last_resort = until == Until::TwoTurns && !clock;
            let anyone = last_resort && visited > turn;
            let adopts = last_resort || self.hand.0 / turn % 16 == 15;
            let from = self.hand.0 / round % (slots / part) * part;
            self.hand.1 = self.hand.1.max(from);
            let (pass, row) = (self.hand.0 / per_pass % 8, self.hand.0 % per_pass);
            let row = row * 8 + [0, 4, 2, 6, 1, 5, 3, 7][pass];
            let mut met = Vec::new();
            while row < buckets && self.hand.1 < from + part {
                let at = row * slots + self.hand.1;
                self.hand.1 += 1;
                let slot = &mut self.slots[at];
                match slot.key {
                    None => {}
                    Some(key)
                        if self.spared == Some(key) && (anyone || !slot.new && slot.uses == 0) => {}
                    Some(key) if anyone => return self.leaves_main(key),
                    Some(_) if slot.new => slot.new = !adopts,
                    Some(key) if slot.uses == 0 => return self.leaves_main(key),
                    Some(_) if until == Until::Passed(*passed) => {
                        self.hand.1 -= 1;
                        return None;
                    }
                    Some(key) => {
                        // The plain clock has one bit.
                        slot.uses = if clock { 0 } else { slot.uses - 1 };
                        *passed += 1;
                        met.push((slot.uses, key));
                    }
                }
            }
            self.hand = (self.hand.0 + 1, 0);
            visited += 1;
            for &(uses, key) in met.iter().filter(|met| met.0 == 0).chain(met.first()) {
                if least_used.is_none_or(|least| least.0 > 0 && uses == 0) {
                    least_used = Some((uses, key));
                }
            }
            match until {
                Until::Passed(_) if visited >= 64 => return None,
                Until::Buckets if visited >= 64 => {
                    let least_used = least_used.filter(|least| self.spared != Some(least.1));
                    return least_used.and_then(|(_, key)| self.leaves_main(key));
                }
                _ => {}
            }
        }
    }

    fn leaves_main(&mut self, key: u64) -> Option<(u64, u64)> {
        self.late.add(self.places[&key]);
        self.remove(key)
    }

    fn remove(&mut self, key: u64) -> Option<(u64, u64)> {
        let at = self.at.remove(&key)?;
        self.slots[at].key = None;
        Some((key, self.slots[at].weight))
    }
}

/// The cache, whose values are weights, and its model, side by side.
struct Pair {
    cache: Cache<u64, u64, Fixed>,
    log: Log<u64, u64>,
    model: Model,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Get,
    Insert,
    Load,
    Replace,
    Remove,
    Bound(u64),
}

impl Pair {
    fn new(policy: Policy, max: u64, expected: usize) -> Self {
        let log: Log<u64, u64> = Log::default();
        let told = std::sync::Arc::clone(&log);
        let cache = Cache::builder()
            .max_weight(max)
            .weigher(|_, &weight| weight)
            .expected_entries(expected)
            .policy(policy)
            .hasher(Fixed::default())
            .on_evict(move |k, v, cause| told.lock().unwrap().push((*k, *v, cause)))
            .build()
            .unwrap();
        let model = Model::new(cache.clock_shape(), policy, max, expected as u64);
        Self { cache, log, model }
    }

    /// One operation on both. `None`: the model does not cover what comes.
    fn step(&mut self, op: Op, key: u64, weight: u64) -> Option<()> {
        let (cache, model) = (&self.cache, &mut self.model);
        let mut expected = Vec::new();
        let home = |key| (cache.clock_home(&key).1, cache.adaptive_place(&key));
        match op {
            Op::Get => assert_eq!(cache.get(&key).is_some(), model.touch(key)),
            Op::Insert | Op::Replace if weight > model.max => {
                let there = model.at.contains_key(&key);
                match op {
                    Op::Insert => assert!(!cache.insert(key, weight).is_admitted()),
                    _ => assert!(cache.replace(key, weight).is_err()),
                }
                assert_eq!(model.remove(key).is_some(), there);
            }
            Op::Insert => {
                let (home, place) = home(key);
                expected.extend(model.write(key, weight, home, place)?);
                assert!(cache.insert(key, weight).is_admitted());
            }
            Op::Load => {
                let known = model.at.get(&key).map(|&at| model.slots[at].weight);
                if !model.touch(key) && weight <= model.max {
                    let (home, place) = home(key);
                    expected.extend(model.enter(key, weight, home, place)?);
                }
                assert_eq!(cache.get_or_insert_with(key, || weight), known.unwrap_or(weight));
            }
            Op::Replace => {
                if !model.at.contains_key(&key) {
                    assert!(cache.replace(key, weight).is_err());
                } else {
                    let old = model.slots[model.at[&key]].weight;
                    if old < weight {
                        return Some(()); // it may leave for itself; `Insert` has that
                    }
                    let (home, place) = home(key);
                    expected.extend(model.write(key, weight, home, place)?);
                    assert!(cache.replace(key, weight).is_ok());
                }
            }
            Op::Remove => assert_eq!(cache.remove(&key).is_some(), model.remove(key).is_some()),
            Op::Bound(max) => {
                model.max = max;
                if model.policy == Policy::Adaptive {
                    model.follow(model.at.len() as u64);
                }
                while model.weight() > max {
                    expected.push(model.evict_any().0);
                }
                cache.set_max_weight(max).unwrap();
            }
        }
        let told = std::mem::take(&mut *self.log.lock().unwrap());
        let victims: Vec<u64> =
            told.iter().filter(|t| t.2 == Cause::Capacity).map(|t| t.0).collect();
        assert_eq!(victims, expected, "the victims of {op:?} {key}, weight {weight}");
        assert_eq!(cache.len(), model.at.len());
        assert_eq!(cache.weight(), model.weight());
        if model.policy == Policy::Adaptive {
            let slot = model.at.get(&key).map(|&at| model.slots[at]);
            let class = slot.map(|slot| (slot.new, slot.uses));
            assert_eq!(cache.adaptive_class(&key), class, "the class of {key}");
        }
        Some(())
    }
}

fn ops(max: u64) -> impl Strategy<Value = Vec<(Op, u64, u64)>> {
    let op = prop_oneof![
        8 => Just(Op::Insert),
        5 => Just(Op::Get),
        8 => Just(Op::Load),
        1 => Just(Op::Replace),
        1 => Just(Op::Remove),
        1 => prop_oneof![
            1 => (1..=max).prop_map(Op::Bound),
            1 => Just(Op::Bound(max)),
            15 => Just(Op::Get),
        ],
    ];
    let weight = prop_oneof![6 => 1..=1 + max / 40, 2 => 1..=1 + max / 8, 1 => 1..=1 + max];
    prop::collection::vec((op, 0_u64..120, weight), 0..500)
}

/// Runs until the model has had enough. How many operations that was.
fn run(policy: Policy, max: u64, ops: &[(Op, u64, u64)]) -> usize {
    let mut pair = Pair::new(policy, max, 60);
    let done = ops.iter().take_while(|op| pair.step(op.0, op.1, op.2).is_some()).count();
    check(&pair.cache);
    done
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_victim_is_predicted((max, ops) in (1_u64..2000).prop_flat_map(|max| (Just(max), ops(max)))) {
        for policy in [Policy::Adaptive, Policy::Clock] {
            prop_assert_eq!(run(policy, max, &ops), ops.len());
        }
    }
}

/// Skewed traffic with scans among it, of entries whose weights vary by a factor of forty.
#[test]
fn a_long_run() {
    for (policy, entries, operations) in [
        (Policy::Adaptive, 1_000, 60_000),
        (Policy::Adaptive, 2_500, 80_000),
        (Policy::Clock, 1_000, 60_000),
    ] {
        let mut pair = Pair::new(policy, 20 * entries, entries as usize);
        let mut random = Random::new(5);
        for n in 0..times(operations) as u64 {
            let unit = random.below(1 << 20) as f64 / f64::from(1 << 20);
            let skewed = (unit.powi(3) * 4.0 * entries as f64) as u64;
            let key = if n / (4 * entries) % 3 == 1 { (1 << 32) + n } else { skewed };
            let op = match random.below(32) {
                0..=23 => Op::Load,
                24..=27 => Op::Insert,
                28..=29 => Op::Get,
                30 => Op::Remove,
                _ => Op::Replace,
            };
            let weight = 1 + key.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 40;
            pair.step(op, key, weight + random.below(2)).expect("a probe is not filled by these");
        }
        check(&pair.cache);
    }
}
