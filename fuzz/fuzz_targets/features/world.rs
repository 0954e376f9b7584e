//! What must be in the cache? A map, and what may become of its entries.

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotset::{Cache, Cause, Insert, LoadError, ManualTime};

use crate::Setup;
use crate::few::Few;
use crate::values::{Loader, Maker, NEVER, Spec, Value, at_least_one, heft, nanos, units};

pub(crate) type Features = Cache<u8, Value, Few>;
pub(crate) type Told = Arc<Mutex<Vec<(u8, u64, Cause)>>>;
pub(crate) type Outcome = Result<Value, LoadError<u8>>;

/// An entry as the map has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) n: u64,
    pub(crate) weight: u64,
    pub(crate) deadline: u64,
    pub(crate) used: u64,
    /// When it is to be refreshed.
    pub(crate) due: u64,
}

/// What a call with a loader meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Met {
    Value(u64),
    /// A value that it refreshes.
    Due(u64),
    /// Nothing; the number of the flight that it leads or joins.
    Flight(u64),
}

pub(crate) struct Task<'c> {
    pub(crate) loader: Loader,
    pub(crate) future: Pin<Box<dyn Future<Output = Outcome> + 'c>>,
    /// `None` before it is polled; and the last value that there was then.
    pub(crate) met: Option<(Met, u64)>,
}

pub(crate) struct World<'c> {
    pub(crate) cache: &'c Features,
    pub(crate) setup: &'c Setup,
    pub(crate) time: ManualTime,
    pub(crate) now: u64,
    pub(crate) map: HashMap<u8, Entry>,
    pub(crate) maker: Rc<Maker>,
    pub(crate) told: Told,
    /// What the listener must be told of in this step.
    pub(crate) due: Vec<(u8, u64, Cause)>,
    pub(crate) left: HashMap<Cause, u64>,
    pub(crate) tasks: Vec<Task<'c>>,
    /// The flights that are in the table, and whether they are led by a call on the stack.
    pub(crate) flights: HashMap<u8, (u64, bool)>,
    pub(crate) last_flight: u64,
    /// Flights of tasks that have their outcome.
    pub(crate) over: HashSet<u64>,
}

impl<'c> World<'c> {
    pub(crate) fn weight(&self, spec: Spec) -> u64 {
        if self.cache.max_weight().is_some() { heft(spec.weight).max(1) } else { 1 }
    }

    pub(crate) fn is_too_heavy(&self, spec: Spec) -> bool {
        self.cache.max_weight().is_some_and(|max| self.weight(spec) > max)
    }

    /// An entry that comes now.
    pub(crate) fn entry(&self, n: u64, spec: Spec) -> Entry {
        let own = spec.life.filter(|_| self.setup.own).map(units);
        let longest = own.into_iter().chain(self.setup.to_live.map(at_least_one)).min();
        let after = |time: Option<Duration>| time.map_or(NEVER, |time| self.now + nanos(time));
        Entry {
            n,
            weight: self.weight(spec),
            deadline: after(longest),
            used: self.now,
            due: after(self.setup.refresh.map(at_least_one)),
        }
    }

    pub(crate) fn is_over(&self, entry: &Entry) -> bool {
        self.is_over_at(entry, self.now)
    }

    pub(crate) fn is_over_at(&self, entry: &Entry, now: u64) -> bool {
        let idle = self.setup.to_idle.map(at_least_one);
        now >= entry.deadline || idle.is_some_and(|idle| now >= entry.used + nanos(idle))
    }

    pub(crate) fn seen(&self, key: u8) -> Option<u64> {
        self.map.get(&key).filter(|entry| !self.is_over(entry)).map(|entry| entry.n)
    }

    /// As `seen`, by somebody who uses it.
    pub(crate) fn used(&mut self, key: u8) -> Option<u64> {
        let seen = self.seen(key)?;
        let entry = self.map.get_mut(&key).expect("seen");
        // A use is written down only if the last one that was is so old.
        let pause = self.setup.to_idle.map(|idle| nanos(at_least_one(idle) / 16));
        if pause.is_some_and(|pause| self.now >= entry.used + pause) {
            entry.used = self.now;
        }
        Some(seen)
    }

    /// As `used`, by somebody who can load.
    pub(crate) fn meet(&mut self, key: u8, on_stack: bool) -> Met {
        let Some(n) = self.used(key) else { return Met::Flight(self.join(key, on_stack)) };
        let entry = self.map.get_mut(&key).expect("seen");
        if self.now < entry.due {
            return Met::Value(n);
        }
        entry.due = NEVER;
        Met::Due(n)
    }

    /// The flight of a key that is missing: the one that there is, or a new one.
    pub(crate) fn join(&mut self, key: u8, on_stack: bool) -> u64 {
        self.last_flight += 1;
        self.flights.entry(key).or_insert((self.last_flight, on_stack)).0
    }

    /// A load is over, and gave this value, which must not be kept if the flight was detached or the entry
    /// that it was to refresh has left.
    pub(crate) fn landed(&mut self, key: u8, met: Met, gave: Option<u64>) {
        let keeps = match met {
            Met::Due(old) => self.map.get(&key).is_some_and(|entry| entry.n == old),
            Met::Flight(flight) => {
                let attached = self.flights.get(&key).is_some_and(|it| it.0 == flight);
                attached && self.flights.remove(&key).is_some()
            }
            Met::Value(_) => unreachable!("there is no load"),
        };
        if let (Some(n), false) = (gave, keeps) {
            self.maker.came.borrow_mut().retain(|came| came.1 != n);
            self.due.push((key, n, Cause::Rejected));
        }
    }

    /// After a refresh: if the old value is still there, it is tried again after a pause.
    pub(crate) fn put_off(&mut self, key: u8, met: Met) {
        if let (Some(entry), Met::Due(old), Some(after)) =
            (self.map.get_mut(&key), met, self.setup.refresh)
            && entry.n == old
        {
            let after = at_least_one(after);
            let pause = (after / 16).max(Duration::from_millis(1)).min(after);
            entry.due = self.now + nanos(pause);
        }
    }

    /// Who has come and who has left in this step, and whether that may be.
    pub(crate) fn settle(&mut self) {
        let mut came = take(&mut *self.maker.came.borrow_mut());
        let told = take(&mut *self.told.lock().unwrap());
        let (mut victims, mut evicted) = (Vec::new(), false);
        for &(key, n, cause) in &told {
            *self.left.entry(cause).or_default() += 1;
            if let Some(at) = self.due.iter().position(|due| *due == (key, n, cause)) {
                self.due.swap_remove(at);
                continue;
            }
            let new = came
                .iter()
                .position(|it| (it.0, it.1) == (key, n))
                .map(|at| came.swap_remove(at).2);
            if cause == Cause::Rejected {
                let spec = new.expect("what is rejected was loaded");
                assert!(self.is_too_heavy(spec), "there was room for it");
                continue;
            }
            // Some may leave for those who come with them.
            let entry = match new {
                Some(spec) => self.entry(n, spec),
                None => self.map.remove(&key).filter(|entry| entry.n == n).expect("it was there"),
            };
            assert_eq!(cause == Cause::Expired, self.is_over(&entry), "{entry:?}: {cause:?}");
            match cause {
                Cause::Replaced => assert!(came.iter().any(|it| it.0 == key)),
                cause => assert!(matches!(cause, Cause::Expired | Cause::Capacity), "{cause:?}"),
            }
            evicted |= cause == Cause::Capacity;
            victims.push(u128::from(entry.weight));
        }
        assert_eq!(self.due, [], "the listener was not told");
        for (key, n, spec) in came {
            let known = self.map.insert(key, self.entry(n, spec));
            assert!(known.is_none(), "{known:?} is gone, and nobody was told");
        }
        let (len, max) = (self.cache.len(), self.cache.max_weight().map_or(u128::MAX, u128::from));
        let weight = self.map.values().map(|entry| u128::from(entry.weight)).sum::<u128>();
        assert_eq!((len, u128::from(self.cache.weight())), (self.map.len(), weight));
        assert!(len <= self.cache.capacity() && weight <= max);
        // The last one who had to leave would not have found room.
        let full = len == self.cache.capacity();
        let needed = |victim: &u128| full || weight + victim > max;
        assert!(!evicted || victims.iter().any(needed), "there was room: {victims:?}");
    }

    /// A write of `key` has ended so.
    pub(crate) fn written(&mut self, key: u8, (n, spec): (u64, Spec), outcome: Insert<u8, Value>) {
        let known = self.seen(key);
        self.flights.remove(&key);
        assert_eq!(self.is_too_heavy(spec), matches!(outcome, Insert::TooHeavy(..)));
        match outcome {
            Insert::New => {
                assert_eq!(known, None, "an old one is replaced, and puts itself out for nobody");
            }
            Insert::Replaced(old) => {
                assert_eq!((*old.key(), Some(*old.0)), (key, known));
                self.leaves(key, Cause::Replaced);
            }
            Insert::TooHeavy(k, v) => {
                assert_eq!((k, *v.0), (key, n));
                return self.leaves(key, Cause::Removed);
            }
            Insert::NotAdmitted(..) => panic!("nobody reads, and nobody else writes"),
        }
        self.maker.came.borrow_mut().push((key, n, spec));
    }

    /// The entry of `key`, if it has one that is not over, leaves in this step for `cause`.
    pub(crate) fn leaves(&mut self, key: u8, cause: Cause) {
        if let Some(n) = self.seen(key) {
            self.map.remove(&key);
            self.due.push((key, n, cause));
        }
    }
}
