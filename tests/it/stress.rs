//! Does everything hold when many threads do everything at once? More threads than cores, few keys,
//! few entries, values that are counted. `HOTSET_STRESS_SECONDS` makes it longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use hotset::{Cache, Insert, LoadError, Policy};

use crate::common::{
    Ledger, OneHash, POLICIES, Random, Stop, Tracked, boom, booms, check, check_values,
    stress_time, with_policy,
};

const THREADS: u64 = if cfg!(miri) { 3 } else { 12 };

/// A value of `key`: which one it is stands in the high bits.
fn value(ledger: &Arc<Ledger>, key: u64) -> Tracked {
    ledger.make(key)
}

struct World<S> {
    cache: Cache<u64, Tracked, S>,
    ledger: Arc<Ledger>,
    keys: u64,
    entries: usize,
    resize: bool,
    told: Arc<AtomicU64>,
}

impl<S: std::hash::BuildHasher + Send + Sync> World<S> {
    fn new(
        entries: usize,
        keys: u64,
        resize: bool,
        slack: Option<usize>,
        hasher: S,
        policy: Policy,
    ) -> Self {
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let mut builder = Cache::builder()
            .max_entries(entries)
            .policy(policy)
            .hasher(hasher)
            .stats(true)
            .on_evict(move |k: &u64, v: &Tracked, _| {
                assert_eq!(*k, v.n());
                count.fetch_add(1, SeqCst);
                if k % 5 == 4 {
                    boom();
                }
            });
        if let Some(slack) = slack {
            builder = builder.reclamation_slack(slack);
        }
        let cache = builder.build().unwrap();
        Self { cache, ledger: Ledger::new(), keys, entries, resize, told }
    }

    /// One random operation.
    fn operate(&self, random: &mut Random, kept: &mut Vec<hotset::Removed<u64, Tracked>>) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let key = random.below(self.keys);
        match random.below(40) {
            0..=7 => {
                if let Some(found) = cache.get(&key) {
                    assert_eq!(found.n(), key, "a value of another key");
                }
            }
            8..=13 => match cache.insert(key, value(ledger, key)) {
                Insert::Replaced(old) => {
                    assert_eq!((*old.key(), old.n()), (key, key));
                    if random.below(4) == 0 {
                        kept.push(old);
                    }
                }
                Insert::NotAdmitted(k, v) => assert_eq!((k, v.n()), (key, key)),
                _ => {}
            },
            14..=16 => {
                if let Some(old) = cache.remove(&key) {
                    assert_eq!((*old.key(), old.n()), (key, key));
                    // With readers about this may fail; then the handle comes back.
                    match old.try_into_inner() {
                        Ok((k, v)) => assert_eq!((k, v.n()), (key, key)),
                        Err(old) => assert_eq!(old.n(), key),
                    }
                }
            }
            17 => {
                let old = cache.replace(key, value(ledger, key));
                assert!(old.map_or_else(|(k, v)| (k, v.n()), |r| (*r.key(), r.n())) == (key, key));
            }
            18..=25 => self.load(key, random.below(10), random.below(self.keys)),
            26..=29 => {
                let pinned = cache.pin();
                for _ in 0..random.below(6) {
                    let key = random.below(self.keys);
                    if let Some((k, v)) = pinned.get_key_value(&key) {
                        assert_eq!((*k, v.n()), (key, key));
                        if random.below(4) == 0 {
                            cache.remove(&key);
                        }
                        assert_eq!((*k, v.n()), (key, key), "changed under a pin");
                    }
                }
            }
            30 => {
                let pinned = cache.pin();
                for (k, v) in pinned.iter() {
                    assert_eq!(*k, v.n());
                }
            }
            31 => cache.iter().for_each(|(k, v)| assert_eq!(k, v.n())),
            32 => {
                cache.with(&key, |k, v| {
                    thread::yield_now();
                    assert_eq!(*k, v.n());
                    cache.get(&((key + 1) % self.keys));
                });
            }
            33 => drop(cache.remove_if(&key, |k, v| {
                assert_eq!(*k, v.n());
                k % 2 == 0
            })),
            34 => match random.below(20) {
                0 => cache.clear(),
                1 => cache.retain(|k, _| k % 3 != 0),
                2 => assert!(cache.coldest_first().len() <= cache.len() + 4 * self.entries),
                3 if self.resize => {
                    let bound = 1 + random.below(2 * self.entries as u64) as usize;
                    cache.set_max_entries(bound).unwrap();
                }
                _ => cache.maintain(),
            },
            35 => kept.clear(),
            36 => {
                let twins: Vec<_> = kept.iter().take(3).cloned().collect();
                assert!(twins.iter().all(|twin| *twin.key() == twin.n()));
            }
            37 => {
                if let Some(handle) = kept.pop() {
                    drop(handle.try_into_inner());
                }
            }
            _ => {
                let found = cache.contains_key(&key);
                cache.peek_with(&key, |k, v| assert_eq!(*k, v.n()));
                assert!(cache.len() <= 2 * self.entries || !found);
            }
        }
    }

    fn load(&self, key: u64, dice: u64, other: u64) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let run = || match dice {
            0 => Err(key),
            1 => boom(),
            2 => {
                cache.remove(&key);
                Ok(value(ledger, key))
            }
            3 => {
                cache.insert(key, value(ledger, key));
                Ok(value(ledger, key))
            }
            4 => {
                thread::yield_now();
                Ok(value(ledger, key))
            }
            // Only upwards, so that no two loads wait for each other in a circle.
            5 if other > key => {
                booms(|| drop(cache.get_or_insert_with(other, || value(ledger, other))));
                Ok(value(ledger, key))
            }
            _ => Ok(value(ledger, key)),
        };
        booms(|| {
            if dice == 9 {
                assert_eq!(cache.get_or_insert_with(key, || value(ledger, key)).n(), key);
                return;
            }
            match cache.try_get_or_insert_with(key, run) {
                Ok(found) => assert_eq!(found.n(), key),
                Err(LoadError::Failed(error)) => assert_eq!(*error, key),
                Err(error) => assert!(error.is_panicked()),
            }
        });
    }

    fn run(self, share: u32) {
        let stop = Stop::default();
        let operations = AtomicU64::new(0);
        thread::scope(|scope| {
            for t in 0..THREADS {
                let (world, stop, operations) = (&self, &stop, &operations);
                scope.spawn(move || {
                    let mut random = Random::new(t + 1);
                    let mut kept = Vec::new();
                    while !stop.said() {
                        for _ in 0..16 {
                            world.operate(&mut random, &mut kept);
                        }
                        kept.truncate(8);
                        operations.fetch_add(16, SeqCst);
                    }
                });
            }
            let _stop = stop.at_end();
            let end = Instant::now() + stress_time() / share;
            while Instant::now() < end {
                let len = self.cache.len();
                let most = if self.resize { 2 * self.entries } else { self.entries };
                assert!(len <= most, "{len} of {most}");
                thread::yield_now();
            }
        });
        assert!(operations.into_inner() > 0);
        self.conclude();
    }

    /// All is quiet: counts agree, nothing is lost.
    fn conclude(self) {
        let Self { cache, ledger, told, keys, .. } = self;
        check(&cache);
        let stats = cache.stats();
        let left = [
            hotset::Cause::Capacity,
            hotset::Cause::Replaced,
            hotset::Cause::Removed,
            hotset::Cause::Rejected,
            hotset::Cause::Expired,
        ];
        let left: u64 = left.into_iter().map(|cause| stats.evictions(cause)).sum();
        assert_eq!(told.load(SeqCst), left, "the listener and the counters");
        let rejected = stats.evictions(hotset::Cause::Rejected);
        assert_eq!(stats.inserts + rejected, left + cache.len() as u64, "entered and left");
        cache.maintain();
        assert_eq!(cache.awaiting_reclamation(), 0);
        assert_eq!(ledger.live(), cache.len() as isize);
        // No key is wedged, and the bound is usable as before.
        for key in 0..keys {
            assert_eq!(cache.get_or_insert_with(key, || value(&ledger, key)).n(), key);
        }
        let full = (keys as usize).min(cache.capacity());
        assert_eq!(cache.len(), full);
        check(&cache);
        drop(cache);
        ledger.assert_all_dropped();
    }
}

fn fast() -> hotset::DefaultHashBuilder {
    hotset::DefaultHashBuilder::default()
}

#[test]
fn one_entry() {
    for policy in POLICIES {
        World::new(1, 3, false, None, fast(), policy).run(2);
    }
}

#[test]
fn few_keys_few_entries() {
    for policy in POLICIES {
        World::new(4, 8, false, None, fast(), policy).run(1);
    }
}

#[test]
fn all_keys_fit() {
    for policy in POLICIES {
        World::new(16, 10, false, None, fast(), policy).run(2);
    }
}

#[test]
fn with_a_bound_that_changes() {
    for policy in POLICIES {
        World::new(10, 20, true, None, fast(), policy).run(1);
    }
}

#[test]
fn with_a_slack_of_a_few() {
    for policy in POLICIES {
        World::new(8, 16, false, Some(2), fast(), policy).run(2);
    }
}

#[test]
fn one_hash() {
    for policy in POLICIES {
        World::new(6, 12, true, None, OneHash, policy).run(1);
    }
}

#[test]
fn more_entries() {
    for policy in POLICIES {
        World::new(300, 600, false, None, fast(), policy).run(2);
    }
}

#[test]
fn growth_by_one_hash() {
    // More keys of one hash than one probe has slots: segments are appended while others read.
    for policy in POLICIES {
        World::new(120, 200, false, None, OneHash, policy).run(2);
    }
}

#[test]
fn threads_that_come_and_go() {
    POLICIES.into_iter().for_each(threads_that_come_and_go_by);
}

fn threads_that_come_and_go_by(policy: Policy) {
    let ledger = Ledger::new();
    let cache = Arc::new(with_policy(50, policy));
    let end = Instant::now() + stress_time() / 2;
    let mut turn = 0;
    while Instant::now() < end {
        turn += 1;
        let batch: Vec<_> = (0..6)
            .map(|t| {
                let (cache, ledger) = (Arc::clone(&cache), Arc::clone(&ledger));
                thread::spawn(move || {
                    let mut random = Random::new(turn * 8 + t);
                    let pinned = (t == 0).then(|| cache.pin());
                    for _ in 0..100 {
                        let key = random.below(100);
                        match random.below(4) {
                            0 => drop(cache.get(&key)),
                            1 => drop(cache.remove(&key)),
                            2 => drop(cache.get_or_insert_with(key, || ledger.make(key))),
                            _ => drop(cache.insert(key, ledger.make(key))),
                        }
                    }
                    drop(pinned);
                })
            })
            .collect();
        batch.into_iter().for_each(|thread| thread.join().unwrap());
    }
    check_values(&cache, &ledger);
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn lowering_the_bound_while_others_insert() {
    POLICIES.into_iter().for_each(lowering_the_bound_while_others_insert_by);
}

fn lowering_the_bound_while_others_insert_by(policy: Policy) {
    // When `set_max_entries` has returned, the bound holds: also against an insert that had
    // looked at the old bound and not yet taken its room.
    let cache: Cache<u64, u64> = with_policy(64, policy);
    let stop = Stop::default();
    thread::scope(|scope| {
        for t in 0..3 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                while !stop.said() {
                    let key = random.below(200);
                    if random.below(3) == 0 {
                        cache.remove(&key);
                    } else {
                        cache.insert(key, key);
                    }
                }
            });
        }
        let _stop = stop.at_end();
        let end = Instant::now() + stress_time();
        let mut random = Random::new(99);
        while Instant::now() < end {
            let bound = 1 + random.below(64) as usize;
            cache.set_max_entries(bound).unwrap();
            for _ in 0..random.below(40) {
                let len = cache.len();
                assert!(len <= bound, "{len} of {bound}");
            }
        }
    });
    check(&cache);
}

#[test]
fn handles_are_taken_apart_while_waiters_join() {
    POLICIES.into_iter().for_each(handles_are_taken_apart_while_waiters_join_by);
}

fn handles_are_taken_apart_while_waiters_join_by(policy: Policy) {
    // `try_into_inner` must see a waiter that has just joined the flight whose entry it is.
    let ledger = Ledger::new();
    let cache = with_policy(4, policy);
    let stop = Stop::default();
    thread::scope(|scope| {
        for t in 0..6 {
            let (cache, stop, ledger) = (&cache, &stop, &ledger);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                while !stop.said() {
                    if random.below(3) > 0 {
                        assert_eq!(cache.get_or_insert_with(1, || ledger.make(1)).n(), 1);
                    } else if let Some(handle) = cache.remove(&1) {
                        match handle.try_into_inner() {
                            Ok((_, value)) => assert_eq!(value.n(), 1),
                            Err(handle) => assert_eq!(handle.n(), 1),
                        }
                    }
                }
            });
        }
        let _stop = stop.at_end();
        let end = Instant::now() + stress_time();
        while Instant::now() < end {
            thread::yield_now();
        }
    });
    check(&cache);
    drop(cache);
    ledger.assert_all_dropped();
}

/// What it holds is scribbled over when it is dropped, and it is large, so the allocator gives it to others soon.
struct Scribbled(Box<[u64; 32]>);

impl Scribbled {
    fn of(key: u64) -> Self {
        Self(Box::new([key; 32]))
    }

    fn check(&self, key: u64) {
        for word in self.0.iter() {
            // SAFETY: a reference to a word of ours; that it is read for earnest is all that is asked.
            assert_eq!(unsafe { std::ptr::read_volatile(word) }, key, "read after it was dropped");
        }
    }

    /// Takes some microseconds for it if `slowly`, in which a collector can make an end of many.
    fn check_again(&self, key: u64, slowly: bool) {
        self.check(key);
        if slowly {
            (0..100).for_each(|_| std::hint::spin_loop());
            self.check(key);
        }
    }
}

impl Drop for Scribbled {
    fn drop(&mut self) {
        // SAFETY: as above.
        self.0.iter_mut().for_each(|word| unsafe { std::ptr::write_volatile(word, u64::MAX) });
    }
}

/// Long times in which all read, so that readers do without fences, and short ones in which what they read is replaced, so
/// that they fence again; as often as there is time for.
#[test]
fn readers_are_spared_their_fences_and_keep_what_they_read() {
    const KEYS: u64 = 4;
    let cache = Cache::builder().max_entries(8).build().unwrap();
    (0..KEYS).for_each(|key| assert!(cache.insert(key, Scribbled::of(key)).is_admitted()));
    let (stop, reads) = (Stop::default(), AtomicU64::new(0));
    let (quiet, writes) = if cfg!(miri) { (200, 8) } else { (200_000, 1_300) };
    thread::scope(|scope| {
        for t in 0..3 {
            let (cache, stop, reads) = (&cache, &stop, &reads);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                while !stop.said() {
                    let pin = (t == 2).then(|| cache.pin());
                    for _ in 0..100 {
                        let (key, slowly) = (random.below(KEYS), random.below(8) == 0);
                        let check = |value: &Scribbled| value.check_again(key, slowly);
                        // It is gone for a moment if a new value was refused.
                        match &pin {
                            Some(pin) => pin.get(&key).into_iter().for_each(check),
                            None => drop(cache.with(&key, |_, value| check(value))),
                        }
                    }
                    reads.fetch_add(100, SeqCst);
                }
            });
        }
        let _stop = stop.at_end();
        let end = Instant::now() + stress_time();
        let (mut random, mut phase) = (Random::new(9), 0);
        while Instant::now() < end {
            phase += 1;
            let until = reads.load(SeqCst) + quiet;
            while reads.load(SeqCst) < until && Instant::now() < end {
                thread::yield_now();
            }
            // Who fences is decided when there was little to collect several times in turn.
            for _ in 0..if phase % 4 == 0 { writes } else { 80 } {
                let key = random.below(KEYS);
                if let Insert::NotAdmitted(key, value) = cache.insert(key, Scribbled::of(key)) {
                    value.check(key);
                    // What was refused has taken the old one with it.
                    while !cache.insert(key, Scribbled::of(key)).is_admitted() {
                        thread::yield_now();
                    }
                }
            }
        }
    });
    check(&cache);
}
