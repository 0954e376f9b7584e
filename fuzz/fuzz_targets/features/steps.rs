//! What does each operation do, and what must it answer?

use std::collections::HashMap;

use hotset::{Cause, Compute, Computed, Insert};

use crate::values::{KEYS, Value, heft, nanos, units};
use crate::world::{Told, World};
use crate::{Change, How, Op, build};

impl World<'_> {
    pub(crate) fn read(&mut self, key: u8, how: How) {
        let (cache, n) = (self.cache, |value: Value| *value.0);
        let found = match how {
            How::Get => cache.get(&key).map(n),
            How::With => cache.with(&key, |_, value| *value.0),
            How::Pinned => cache.pin().get(&key).map(|value| *value.0),
            How::Peek => cache.peek(&key).map(n),
            How::Contains => cache.contains_key(&key).then(|| self.seen(key).expect("it is over")),
        };
        let peeks = matches!(how, How::Peek | How::Contains);
        assert_eq!(found, if peeks { self.seen(key) } else { self.used(key) });
    }

    pub(crate) fn compute(&mut self, key: u8, change: Change) {
        let (known, mut shown, mut n) = (self.seen(key), Vec::new(), 0);
        let computed = self.cache.compute(key, |value| {
            shown.push(value.map(|value| *value.0));
            match change {
                Change::Insert(spec) => {
                    let value = self.maker.value(spec);
                    n = *value.0;
                    Compute::Insert(value)
                }
                Change::Remove => Compute::Remove,
                Change::Keep => Compute::Keep,
            }
        });
        // Asked again only if an entry that was over, and so not shown, has left meanwhile.
        assert!(shown.len() == 1 || known.is_none(), "{shown:?}");
        assert!(shown.iter().all(|value| *value == known), "{shown:?}");
        match (computed, change) {
            (Computed::Written(outcome), Change::Insert(spec)) => {
                self.written(key, (n, spec), outcome);
            }
            (Computed::Removed(old), Change::Remove) => {
                assert_eq!(Some(*old.0), known);
                self.leaves(key, Cause::Removed);
            }
            (Computed::Unchanged, Change::Remove) => {
                assert_eq!(known, None);
                self.flights.remove(&key);
            }
            (Computed::Unchanged, Change::Keep) => {}
            (computed, _) => panic!("{computed:?}"),
        }
    }

    fn carry(&self, by: u8) {
        let dump = self.cache.dump();
        let live = (0..KEYS).filter(|key| self.seen(*key).is_some()).count();
        assert_eq!(dump.len(), live);
        let next = build(self.setup, &Told::default(), &self.time);
        let later = self.now + nanos(units(by));
        let came = next.restore(dump.aged(units(by)));
        for (key, value) in next.iter() {
            let entry = self.map.get(&key).expect("it was carried");
            assert!(*value.0 == entry.n && !self.is_over_at(entry, later), "{key}: {entry:?}");
        }
        assert_eq!((came, next.iter().count()), (next.len(), next.len()));
        next.validate().unwrap();
    }

    pub(crate) fn run(&mut self, ops: Vec<Op>) {
        self.settle();
        for op in ops {
            self.step(op);
            self.settle();
        }
    }

    pub(crate) fn step(&mut self, op: Op) {
        let cache = self.cache;
        match op {
            Op::Insert(key, spec) => {
                let value = self.maker.value(spec);
                let (key, n) = (key % KEYS, *value.0);
                let outcome = cache.insert(key, value);
                self.written(key, (n, spec), outcome);
            }
            Op::Read(key, how) => self.read(key % KEYS, how),
            Op::GetMany(keys) => {
                let keys: Vec<u8> = keys.into_iter().map(|key| key % KEYS).collect();
                let all =
                    cache.get_many(&keys).into_iter().map(|value| value.map(|value| *value.0));
                assert!(all.eq(keys.iter().map(|&key| self.used(key))));
            }
            Op::Replace(key, spec) => {
                let value = self.maker.value(spec);
                let (key, n, heavy) = (key % KEYS, *value.0, self.is_too_heavy(spec));
                match (cache.replace(key, value), self.seen(key)) {
                    (Ok(old), _) => self.written(key, (n, spec), Insert::Replaced(old)),
                    (Err((k, v)), _) if heavy => {
                        self.written(key, (n, spec), Insert::TooHeavy(k, v))
                    }
                    (Err((k, v)), known) => {
                        assert_eq!((k, *v.0), (key, n));
                        assert_eq!(known, None, "there was an entry, and others to leave for it");
                    }
                }
            }
            Op::Remove(key) => {
                let key = key % KEYS;
                assert_eq!(cache.remove(&key).map(|old| *old.0), self.seen(key));
                self.flights.remove(&key);
                self.leaves(key, Cause::Removed);
            }
            Op::RemoveIf(key, yes) => {
                let (key, mut asked) = (key % KEYS, None);
                let removed = cache.remove_if(&key, |_, value| {
                    asked = Some(*value.0);
                    yes
                });
                let known = self.seen(key);
                assert_eq!((asked, removed.map(|old| *old.0)), (known, known.filter(|_| yes)));
                self.flights.remove(&key);
                if yes {
                    self.leaves(key, Cause::Removed);
                }
            }
            Op::Compute(key, change) => self.compute(key % KEYS, change),
            Op::Load(loader, inside) => self.load(loader.known(), inside),
            Op::LoadMany { keys, spec, mask, end, inside } => {
                self.load_many(&keys, (spec, mask, end), inside);
            }
            Op::Spawn(loader, pauses) => self.spawn(loader.known(), pauses),
            Op::Poll(at) if !self.tasks.is_empty() => self.poll(usize::from(at) % self.tasks.len()),
            Op::Cancel(at) if !self.tasks.is_empty() => {
                self.cancel(usize::from(at) % self.tasks.len());
            }
            Op::Poll(_) | Op::Cancel(_) => {}
            Op::Retain(bits) => {
                cache.retain(|key, value| {
                    assert_eq!(Some(*value.0), self.seen(*key));
                    key & bits != 0
                });
                (0..KEYS)
                    .filter(|key| key & bits == 0)
                    .for_each(|key| self.leaves(key, Cause::Removed));
            }
            Op::Clear => {
                cache.clear();
                self.flights.clear();
                (0..KEYS).for_each(|key| self.leaves(key, Cause::Removed));
            }
            Op::Sweep => {
                let over = self.map.values().filter(|entry| self.is_over(entry)).count();
                assert_eq!(cache.sweep(), over);
                self.settle();
                assert!(!self.map.values().any(|entry| self.is_over(entry)));
            }
            Op::Maintain => {
                cache.maintain();
                cache.validate().unwrap();
            }
            Op::Iterate => {
                let known = (0..KEYS).filter_map(|key| Some((key, self.seen(key)?)));
                let known: HashMap<u8, u64> = known.collect();
                let all: Vec<(u8, u64)> =
                    cache.iter().map(|(key, value)| (key, *value.0)).collect();
                assert_eq!((all.len(), all.into_iter().collect()), (known.len(), known.clone()));
                let order = cache.coldest_first();
                assert!(
                    order.len() == known.len() && order.iter().all(|key| known.contains_key(key))
                );
            }
            Op::Carry(by) => self.carry(by),
            Op::SetEntries(bound) => {
                let bound = 1 + usize::from(bound % KEYS);
                cache.set_max_entries(bound).unwrap();
                assert_eq!(cache.capacity(), bound);
            }
            Op::SetWeight(bound) => {
                let bound = heft(bound).max(1);
                let weighs = cache.max_weight().is_some();
                assert_eq!(cache.set_max_weight(bound).is_ok(), weighs);
                assert_eq!(cache.max_weight(), weighs.then_some(bound));
            }
            Op::Advance(by) => {
                self.time.advance(units(by));
                self.now += nanos(units(by));
            }
        }
    }
}
