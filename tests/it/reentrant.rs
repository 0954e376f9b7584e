//! What if a user's `Hash`, `Eq`, `Clone`, `Drop` or closure calls the cache that calls it?

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use hotset::Cache;

use crate::common::{Ledger, OneHash, Random, Tracked, check, times};

type Inner = Cache<Nosy, Nosy, OneHash>;

/// Where the cache is, and what to do with it.
struct Back {
    cache: OnceLock<Weak<Inner>>,
    ledger: Arc<Ledger>,
}

/// A key and value whose every trait calls the cache.
struct Nosy {
    inner: Tracked,
    back: Arc<Back>,
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static DICE: Cell<u64> = const { Cell::new(0x1234_5678_9ABC_DEF1) };
}

impl Back {
    fn nosy(self: &Arc<Self>, n: u64) -> Nosy {
        Nosy { inner: self.ledger.make(n), back: Arc::clone(self) }
    }

    /// One random operation, unless enough of them are nested already.
    fn call(self: &Arc<Self>) {
        let Some(cache) = self.cache.get().and_then(Weak::upgrade) else { return };
        let depth = DEPTH.get();
        if depth >= 3 {
            return;
        }
        DEPTH.set(depth + 1);
        let mut random = Random::new(DICE.get());
        let (key, choice) = (random.below(8), random.below(40));
        DICE.set(random.next());
        match choice {
            0 => drop(cache.get(&self.nosy(key))),
            1 => drop(cache.insert(self.nosy(key), self.nosy(key))),
            2 => drop(cache.remove(&self.nosy(key))),
            3 => drop(cache.replace(self.nosy(key), self.nosy(key))),
            4 => {
                let value = cache.try_get_or_insert_with(self.nosy(key), || {
                    self.call();
                    Ok::<_, ()>(self.nosy(key))
                });
                assert!(value.is_ok_and(|v| v.inner.n() == key) || depth > 0);
            }
            5 => cache.clear(),
            6 => drop(cache.pin().get(&self.nosy(key))),
            7 => cache.maintain(),
            8 => cache.retain(|k, _| k.inner.n() != key),
            9 => drop(cache.iter().take(2).collect::<Vec<_>>()),
            10 => {
                cache.remove_if(&self.nosy(key), |_, v| {
                    self.call();
                    v.inner.n() == key
                });
            }
            11 => drop(cache.with(&self.nosy(key), |_, _| self.call())),
            12 => cache.set_max_entries(1 + key as usize).unwrap(),
            13 => {
                let value = cache.try_get_or_insert_with_by_ref(&self.nosy(key), || {
                    self.call();
                    Ok::<_, ()>(self.nosy(key))
                });
                assert!(value.is_ok_and(|v| v.inner.n() == key) || depth > 0);
            }
            _ => {}
        }
        DEPTH.set(depth);
    }
}

impl Hash for Nosy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.back.call();
        self.inner.n().hash(state);
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        self.back.call();
        self.inner.n() == other.inner.n()
    }
}

impl Eq for Nosy {}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.back.call();
        Self { inner: self.inner.clone(), back: Arc::clone(&self.back) }
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.back.call();
    }
}

fn world() -> (Arc<Inner>, Arc<Back>) {
    let back = Arc::new(Back { cache: OnceLock::new(), ledger: Ledger::new() });
    let nosy = Arc::downgrade(&back);
    let cache = Cache::builder()
        .max_entries(4)
        .hasher(OneHash)
        .on_evict(move |_, _, _| {
            if let Some(back) = nosy.upgrade() {
                back.call();
            }
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    back.cache.set(Arc::downgrade(&cache)).unwrap();
    (cache, back)
}

/// Ends a world; nothing may be left.
fn end(cache: Arc<Inner>, back: &Back) {
    DEPTH.set(u32::MAX); // from here on nobody calls
    check(&cache);
    cache.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    back.ledger.assert_all_dropped();
    drop(cache);
    DEPTH.set(0);
}

fn turn(back: &Arc<Back>, operations: usize, seed: u64) {
    DICE.set(seed);
    for _ in 0..operations {
        back.call();
    }
}

#[test]
fn everything_calls_the_cache() {
    for seed in 1..times(40) as u64 {
        let (cache, back) = world();
        DEPTH.set(0);
        turn(&back, times(500), seed * 77);
        end(cache, &back);
    }
}

#[test]
fn everything_calls_the_cache_in_many_threads() {
    // No loads of keys inside loads of others here: two threads could wait for each other, as
    // documented. `call` avoids them at depth 3 only, so loads get keys of their own thread.
    let (cache, back) = world();
    thread::scope(|scope| {
        for t in 0..4 {
            let (cache, back) = (&cache, &back);
            scope.spawn(move || {
                DEPTH.set(2); // what is called calls no further
                let mut random = Random::new(t + 1);
                for _ in 0..times(4000) {
                    let key = random.below(6);
                    match random.below(6) {
                        0 => drop(cache.get(&back.nosy(key))),
                        1 | 2 => drop(cache.insert(back.nosy(key), back.nosy(key))),
                        3 => drop(cache.remove(&back.nosy(key))),
                        4 => drop(cache.get_or_insert_with(back.nosy(key), || back.nosy(key))),
                        _ => drop(cache.pin().get(&back.nosy(key))),
                    }
                }
                DEPTH.set(u32::MAX);
            });
        }
    });
    DEPTH.set(u32::MAX);
    end(cache, &back);
}

#[test]
fn closures_may_use_the_cache() {
    let cache = Cache::new(10);
    (0..10).for_each(|n| drop(cache.insert(n, n)));
    cache.with(&1, |_, _| {
        assert_eq!(cache.get(&2), Some(2));
        cache.insert(1, 100);
        assert_eq!(cache.with(&1, |_, v| cache.with(&2, |_, w| v + w)), Some(Some(102)));
        cache.remove(&2);
        cache.clear();
    });
    assert!(cache.is_empty());
    (0..10).for_each(|n| drop(cache.insert(n, n)));
    cache.retain(|k, _| cache.get(&(9 - k)).is_some());
    cache.remove_if(&cache.coldest_first()[0], |k, _| cache.contains_key(k)).unwrap();
    let mut asked = 0;
    let key = cache.coldest_first()[0];
    let removed = cache.remove_if(&key, |_, v| {
        asked += 1;
        if asked == 1 {
            cache.insert(key, 50); // it changes meanwhile: asked again about the new one
        }
        *v == 50 || asked == 1
    });
    assert_eq!((asked, *removed.unwrap()), (2, 50));
    check(&cache);
}

#[test]
fn a_destructor_may_use_the_cache() {
    struct Friend(u64, Weak<Cache<u64, Friend>>);
    impl Drop for Friend {
        fn drop(&mut self) {
            if let Some(cache) = self.1.upgrade() {
                cache.contains_key(&self.0);
                cache.maintain(); // a collection inside a collection
                if self.0 < 1000 {
                    cache.insert(self.0 + 1000, Friend(self.0 + 1000, Weak::clone(&self.1)));
                }
            }
        }
    }
    let cache = Arc::new(Cache::new(8));
    for n in 0..times(2000) as u64 % 1000 + 200 {
        cache.insert(n, Friend(n, Arc::downgrade(&cache)));
        assert!(cache.len() <= 8);
    }
    cache.clear();
    for _ in 0..3 {
        cache.maintain();
    }
    check(&cache);
}
