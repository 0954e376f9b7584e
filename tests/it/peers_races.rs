//! What other caches test, or had to learn, of races: a read after a write never gives what was before
//! it, and each value leaves once, to one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use hotset::{Cache, Insert, ManualTime};

use crate::common::{POLICIES, Random, Stop, check, times};

/// A source that has numbers which only grow, and a cache before it.
struct ReadThrough {
    source: Vec<AtomicU64>,
    /// The number of each key after whose write the cache was told.
    written: Vec<AtomicU64>,
    cache: Cache<u64, u64>,
}

const KEYS: u64 = 4;

impl ReadThrough {
    fn new(cache: Cache<u64, u64>) -> Self {
        let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        Self { source: zeros(), written: zeros(), cache }
    }

    /// Writes a number to the source and then tells the cache by `tell`. One writer for each key.
    fn write(&self, key: u64, n: u64, tell: impl FnOnce(&Cache<u64, u64>)) {
        self.source[key as usize].store(n, SeqCst);
        tell(&self.cache);
        self.written[key as usize].store(n, SeqCst);
    }

    /// Reads through the cache; what was written before is seen.
    fn read(&self, key: u64, fallible: bool) {
        let least = self.written[key as usize].load(SeqCst);
        let load = || {
            let n = self.source[key as usize].load(SeqCst);
            thread::yield_now(); // on its way from the source
            n
        };
        let seen = if fallible {
            self.cache.try_get_or_insert_with(key, || Ok::<_, ()>(load())).unwrap()
        } else {
            self.cache.get_or_insert_with(key, load)
        };
        assert!(seen >= least, "key {key}: read {seen} after {least} was written");
        if let Some(seen) = self.cache.get(&key) {
            assert!(seen >= least, "key {key}: found {seen} after {least} was written");
        }
    }
}

/// One writer of all keys, three readers, and a thread that does `else_` meanwhile.
fn never_stale(cache: Cache<u64, u64>, else_: impl Fn(&Cache<u64, u64>, &mut Random) + Sync) {
    let through = ReadThrough::new(cache);
    let (stop, over) = (Stop::default(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for reader in 0..3_u64 {
            let (through, stop) = (&through, &stop);
            scope.spawn(move || {
                let mut random = Random::new(reader + 1);
                while !stop.said() {
                    through.read(random.below(KEYS), reader == 0);
                }
            });
        }
        scope.spawn(|| {
            let mut random = Random::new(99);
            while !stop.said() {
                else_(&through.cache, &mut random);
                over.fetch_add(1, SeqCst);
            }
        });
        let _end = stop.at_end();
        let mut random = Random::new(7);
        for n in 1..=times(20_000) as u64 {
            let key = random.below(KEYS);
            let way = random.below(3);
            through.write(key, n, |cache| match way {
                0 => drop(cache.insert(key, n)),
                1 => drop(cache.remove(&key)),
                // It detaches a load that runs; `retain`, which looks at what is there, does not.
                _ => drop(cache.remove_if(&key, |_, old| *old < n)),
            });
        }
    });
    through.cache.sweep(); // what is over counts in `len` and is not found
    check(&through.cache);
}

#[test]
fn a_read_after_a_write_gives_nothing_older() {
    for policy in POLICIES {
        let cache = Cache::builder().max_entries(100).policy(policy).build().unwrap();
        never_stale(cache, |_, _| thread::yield_now());
    }
}

#[test]
fn nor_while_entries_are_evicted() {
    for policy in POLICIES {
        let cache = Cache::builder().max_entries(2).policy(policy).build().unwrap();
        never_stale(cache, |cache, random| drop(cache.insert(KEYS + random.below(5), 0)));
    }
}

#[test]
fn nor_while_entries_expire() {
    let time = ManualTime::new();
    let cache = Cache::builder()
        .max_entries(100)
        .time_to_live(Duration::from_millis(10))
        .time_source(time.clone())
        .build()
        .unwrap();
    never_stale(cache, |cache, random| {
        time.advance(Duration::from_millis(random.below(8)));
        if random.below(10) == 0 {
            cache.sweep();
        }
    });
}

#[test]
fn nor_while_the_cache_is_cleared() {
    never_stale(Cache::new(100), |cache, _| {
        cache.clear();
        thread::yield_now();
    });
}

#[test]
fn of_many_that_remove_one_gets_it() {
    const THREADS: usize = 4;
    let cache = Cache::new(10);
    let (start, end) = (Barrier::new(THREADS), Barrier::new(THREADS));
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        for t in 0..THREADS {
            let (cache, start, end, got) = (&cache, &start, &end, &got);
            scope.spawn(move || {
                for n in 0..times(2_000) {
                    if t == 0 {
                        cache.insert(1, n);
                        got.store(0, SeqCst);
                    }
                    start.wait();
                    let removed = match t % 2 {
                        0 => cache.remove(&1),
                        _ => cache.remove_if(&1, |_, value| *value == n),
                    };
                    if let Some(value) = removed {
                        assert_eq!(*value, n);
                        got.fetch_add(1, SeqCst);
                    }
                    end.wait();
                    if t == 0 {
                        assert_eq!(got.load(SeqCst), 1, "round {n}");
                    }
                }
            });
        }
    });
}

#[test]
fn each_value_is_given_back_once() {
    const THREADS: u64 = 4;
    // Room for all keys: nothing is evicted, so who replaces or removes a value is told of it.
    let cache = Cache::new(100);
    let back: Mutex<HashMap<u64, u32>> = Mutex::default();
    let each = times(5_000) as u64;
    thread::scope(|scope| {
        for t in 0..THREADS {
            let (cache, back) = (&cache, &back);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                let mut mine = Vec::new();
                for n in 0..each {
                    let (key, value) = (random.below(3), n * THREADS + t);
                    match cache.insert(key, value) {
                        Insert::New => {}
                        Insert::Replaced(old) => mine.push(*old),
                        Insert::NotAdmitted(_, value) | Insert::TooHeavy(_, value) => {
                            mine.push(value);
                        }
                    }
                    match random.below(4) {
                        0 => mine.extend(cache.remove(&key).map(|old| *old)),
                        1 => mine.extend(cache.remove_if(&key, |_, v| v % 2 == 0).map(|old| *old)),
                        _ => {}
                    }
                }
                let mut back = back.lock().unwrap();
                mine.into_iter().for_each(|value| *back.entry(value).or_default() += 1);
            });
        }
    });
    let mut back = back.into_inner().unwrap();
    cache.iter().for_each(|(_, value)| *back.entry(value).or_default() += 1);
    // `NotAdmitted` drops the old value unseen but for the listener: none was refused here.
    assert_eq!(cache.stats().not_admitted, 0);
    assert!(back.values().all(|&times| times == 1), "a value was given back twice");
    assert_eq!(back.len() as u64, THREADS * each, "a value was lost");
    check(&cache);
}
