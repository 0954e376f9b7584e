//! Which failures are remembered, and for how long? The backoff.
//!
//! A failure with backoff `b` refuses asks for the time `b`, and is forgotten after `2 b`: an ask in
//! between loads again, and counts on from it. At most `MOST` are remembered, the oldest goes.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::resource::scheduler::{Due, Effects, Litter, Refusal, Scheduler, Time, Tokens};

/// Failures that are remembered at a time.
const MOST: usize = 1024;

pub(super) struct Remembered<T: Tokens> {
    number: u64,
    pub(super) attempts: u32,
    pub(super) retry_at: Time,
    forget_at: Time,
    pub(super) failure: T::Failure,
}

/// The failures of keys.
pub(super) struct Memory<T: Tokens> {
    failures: HashMap<T::Name, Remembered<T>>,
    /// Their names, in the order of their numbers.
    order: BTreeMap<u64, T::Name>,
    next: u64,
}

impl<T: Tokens> Memory<T> {
    pub(super) fn new() -> Self {
        Self { failures: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&T::Name, &Remembered<T>)> {
        self.order.values().map(|name| (name, &self.failures[name]))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.failures.len(), self.order.len());
        self.failures.len()
    }
}

/// How long after `attempts` failures in a row nothing is tried.
fn backoff_after(attempts: u32, (min, max): (Duration, Duration)) -> Duration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    min.checked_mul(factor).map_or(max, |wait| wait.min(max))
}

impl<T: Tokens> Scheduler<T> {
    /// Why `name` is not loaded now, if it failed a short time ago.
    pub(super) fn backoff(&self, name: &T::Name) -> Option<Refusal<T>> {
        let Remembered { attempts, retry_at, failure, .. } = self.memory.failures.get(name)?;
        let (now, retry_at, attempts) = (self.now, *retry_at, *attempts);
        (now < retry_at).then(|| Refusal::Backoff {
            retry_at,
            now,
            attempts,
            failure: failure.clone(),
        })
    }

    /// Failures in a row of the key at `at`, as far as they are remembered.
    pub(super) fn attempts(&self, at: usize) -> u32 {
        let name = &self.records[at].as_ref().expect("it is asked for").name;
        self.memory.failures.get(name).map_or(0, |remembered| remembered.attempts)
    }

    /// The key at `at` has failed, for the `attempts`th time in a row.
    pub(super) fn failed(
        &mut self,
        at: usize,
        failure: T::Failure,
        attempts: u32,
        out: &mut Effects<T>,
    ) {
        self.counts.load_failures += 1;
        let name = self.record(at).name.clone();
        self.forget_name(&name, out);
        let Some(bounds) = self.rules.backoff.filter(|_| !self.stopping) else {
            out.litter.push(Litter::Failure(failure));
            return out.drop_name(name);
        };
        let wait = backoff_after(attempts, bounds);
        let retry_at = self.now.saturating_add(wait);
        let forget_at = retry_at.saturating_add(wait);
        let number = self.memory.next;
        self.memory.next += 1;
        let remembered = Remembered { number, attempts, retry_at, forget_at, failure };
        self.memory.failures.insert(name.clone(), remembered);
        self.memory.order.insert(number, name);
        self.due.insert((forget_at, Due::Forget(number)));
        if self.memory.order.len() > MOST {
            let oldest = *self.memory.order.first_key_value().expect("there are many").0;
            self.forget(oldest, out);
        }
    }

    /// The key at `at` has been loaded.
    pub(super) fn succeeded(&mut self, at: usize, out: &mut Effects<T>) {
        let name = self.record(at).name.clone();
        self.forget_name(&name, out);
        out.drop_name(name);
    }

    /// Whether there was a failure of `name` to forget.
    pub(super) fn forget_name(&mut self, name: &T::Name, out: &mut Effects<T>) -> bool {
        let number = self.memory.failures.get(name).map(|remembered| remembered.number);
        number.map(|number| self.forget(number, out)).is_some()
    }

    pub(super) fn forget(&mut self, number: u64, out: &mut Effects<T>) {
        let Some(name) = self.memory.order.remove(&number) else { return };
        if let Some((key, remembered)) = self.memory.failures.remove_entry(&name) {
            self.due.remove(&(remembered.forget_at, Due::Forget(number)));
            out.litter.push(Litter::Failure(remembered.failure));
            out.drop_name(key);
        }
        out.drop_name(name);
    }

    pub(super) fn forget_all(&mut self, out: &mut Effects<T>) {
        while let Some((&number, _)) = self.memory.order.first_key_value() {
            self.forget(number, out);
        }
    }
}
