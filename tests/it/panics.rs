//! What if a user's `Hash`, `Eq`, `Clone`, `Drop` or closure panics? Each of their calls in a long
//! script is made to panic once; the cache must stay whole, and nothing be lost or dropped twice.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use hotset::{Cache, Pinned};

use crate::common::{Ledger, OneHash, Tracked, boom, booms, check};

/// Which call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Hash,
    Eq,
    Clone,
    Drop,
    Closure,
}

/// Panics at the n-th call of one kind.
struct Fuse {
    kind: Kind,
    left: AtomicI64,
}

impl Fuse {
    fn call(&self, kind: Kind) {
        if kind == self.kind && self.left.fetch_sub(1, SeqCst) == 1 {
            boom();
        }
    }

    fn burnt(&self) -> bool {
        self.left.load(SeqCst) <= 0
    }
}

struct Touchy {
    inner: Tracked,
    fuse: Arc<Fuse>,
}

impl Touchy {
    fn n(&self) -> u64 {
        self.inner.n()
    }
}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fuse.call(Kind::Hash);
        self.n().hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        self.fuse.call(Kind::Eq);
        self.n() == other.n()
    }
}

impl Eq for Touchy {}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        self.fuse.call(Kind::Clone);
        Self { inner: self.inner.clone(), fuse: Arc::clone(&self.fuse) }
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.fuse.call(Kind::Drop);
    }
}

struct World<S> {
    ledger: Arc<Ledger>,
    fuse: Arc<Fuse>,
    cache: Cache<Touchy, Touchy, S>,
    booms: usize,
}

impl<S: std::hash::BuildHasher> World<S> {
    fn new(kind: Kind, hasher: S, max_entries: usize) -> Self {
        let fuse = Arc::new(Fuse { kind, left: AtomicI64::new(i64::MAX) });
        let listening = Arc::clone(&fuse);
        let cache = Cache::builder()
            .max_entries(max_entries)
            .hasher(hasher)
            .on_evict(move |_, _, _| listening.call(Kind::Closure))
            .build()
            .unwrap();
        Self { ledger: Ledger::new(), fuse, cache, booms: 0 }
    }

    fn touchy(&self, n: u64) -> Touchy {
        Touchy { inner: self.ledger.make(n), fuse: Arc::clone(&self.fuse) }
    }

    /// One operation, which may panic; then the check, with the fuse taken out.
    fn step(&mut self, operation: impl FnOnce(&Self)) {
        self.booms += usize::from(booms(|| operation(self)));
        let left = self.fuse.left.swap(i64::MAX, SeqCst);
        check(&self.cache);
        for (key, value) in self.cache.pin().iter() {
            assert_eq!(key.n() % 1000, value.n() % 1000, "a value under another's key");
        }
        self.fuse.left.store(left, SeqCst);
    }

    fn script(&mut self) {
        for n in 0..7 {
            self.step(|w| drop(w.cache.insert(w.touchy(n), w.touchy(n))));
        }
        for n in [6, 5, 99] {
            self.step(|w| drop(w.cache.get(&w.touchy(n))));
            self.step(|w| drop(w.cache.peek(&w.touchy(n))));
            self.step(|w| {
                w.cache.with(&w.touchy(n), |_, _| w.fuse.call(Kind::Closure)).unwrap_or(())
            });
            self.step(|w| {
                let pinned = w.cache.pin();
                pinned.get(&w.touchy(n));
            });
            self.step(|w| drop(w.cache.insert(w.touchy(n), w.touchy(n + 1000))));
            self.step(|w| drop(w.cache.replace(w.touchy(n), w.touchy(n + 2000))));
            self.step(|w| {
                w.cache.get_or_insert_with(w.touchy(n + 50), || {
                    w.fuse.call(Kind::Closure);
                    w.touchy(n + 50)
                });
            });
            self.step(|w| {
                w.cache.get_or_insert_with_by_ref(&w.touchy(n + 60), || {
                    w.fuse.call(Kind::Closure);
                    w.touchy(n + 60)
                });
            });
            self.step(|w| {
                let load = || {
                    w.fuse.call(Kind::Closure);
                    Err::<Touchy, _>(w.ledger.make(1))
                };
                drop(w.cache.try_get_or_insert_with(w.touchy(n + 70), load));
            });
            self.step(|w| {
                // The flight is detached: its value is handed out and rejected.
                w.cache.get_or_insert_with(w.touchy(n + 80), || {
                    w.cache.insert(w.touchy(n + 80), w.touchy(n + 80));
                    w.touchy(n + 80)
                });
            });
            self.step(|w| {
                drop(w.cache.remove_if(&w.touchy(n), |_, _| {
                    w.fuse.call(Kind::Closure);
                    true
                }));
            });
            self.step(|w| drop(w.cache.remove(&w.touchy(n + 50))));
        }
        self.step(|w| drop(w.cache.iter().collect::<Vec<_>>()));
        self.step(|w| drop(w.cache.coldest_first()));
        self.step(|w| {
            let handle = w.cache.insert(w.touchy(6), w.touchy(6)).replaced();
            let twin = handle.clone();
            drop((handle, twin));
        });
        self.step(|w| {
            if let Some(Ok(entry)) = w.cache.remove(&w.touchy(6)).map(|r| r.try_into_inner()) {
                drop(entry);
            }
        });
        self.step(|w| {
            w.cache.retain(|k, _| {
                w.fuse.call(Kind::Closure);
                k.n() % 2 == 0
            });
        });
        self.step(|w| w.cache.set_max_entries(2).unwrap());
        self.step(|w| w.cache.maintain());
        self.step(|w| w.cache.set_max_entries(5).unwrap());
        self.step(|w| w.cache.clear());
        for n in 0..7 {
            self.step(|w| drop(w.cache.insert(w.touchy(n), w.touchy(n))));
        }
        self.step(|w| w.cache.maintain());
    }
}

fn run<S: std::hash::BuildHasher + Copy>(kind: Kind, hasher: S) {
    // Enough for every call of the longest script; ends when the fuse outlasts it.
    for n in 1.. {
        if cfg!(miri) && n % 16 != 1 {
            continue;
        }
        let mut world = World::new(kind, hasher, 5);
        world.fuse.left.store(n, SeqCst);
        world.script();
        let burnt = world.fuse.burnt();
        world.fuse.left.store(i64::MAX, SeqCst);
        // As many work as before: nothing was lost to the panic.
        assert_eq!(world.cache.len(), 5.min(world.cache.len().max(4)), "{kind:?} at {n}");
        (0..20).for_each(|n| drop(world.cache.insert(world.touchy(n), world.touchy(n))));
        assert_eq!(world.cache.len(), 5, "{kind:?} at {n}");
        world.cache.maintain();
        assert_eq!(world.cache.awaiting_reclamation(), 0, "{kind:?} at {n}");
        assert_eq!(world.ledger.live(), 10, "{kind:?} at {n}");
        let World { ledger, cache, booms, .. } = world;
        drop(cache);
        ledger.assert_all_dropped();
        // A panic of a destructor that the cache runs, or of the listener, is contained.
        assert!(booms == usize::from(burnt) || kind == Kind::Drop || kind == Kind::Closure);
        if !burnt {
            assert!(n > 15, "the script makes only {n} calls of {kind:?}");
            return;
        }
    }
}

type Fixed = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

#[derive(Clone, Copy)]
struct Sip;

impl std::hash::BuildHasher for Sip {
    type Hasher = std::hash::DefaultHasher;

    fn build_hasher(&self) -> Self::Hasher {
        Fixed::default().build_hasher()
    }
}

#[test]
fn in_hash() {
    run(Kind::Hash, Sip);
}

#[test]
fn in_eq() {
    run(Kind::Eq, Sip);
}

#[test]
fn in_eq_with_one_hash() {
    run(Kind::Eq, OneHash);
}

#[test]
fn in_clone() {
    run(Kind::Clone, Sip);
}

#[test]
fn in_drop() {
    run(Kind::Drop, Sip);
}

#[test]
fn in_closures_and_listeners() {
    run(Kind::Closure, Sip);
}

#[test]
fn every_drop_panics() {
    struct Hostile(Tracked);
    impl Drop for Hostile {
        fn drop(&mut self) {
            self.0.n();
            boom();
        }
    }
    let ledger = Ledger::new();
    let cache = Cache::new(10);
    for n in 0..500 {
        cache.insert(n, Hostile(ledger.make(n)));
        if n % 7 == 0 {
            cache.remove(&n);
        }
    }
    check(&cache);
    cache.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    ledger.assert_all_dropped();
    cache.insert(1, Hostile(ledger.make(1)));
    drop(cache);
    ledger.assert_all_dropped();
}

#[test]
fn a_hasher_that_panics_when_built() {
    struct Broken;
    impl std::hash::BuildHasher for Broken {
        type Hasher = std::hash::DefaultHasher;
        fn build_hasher(&self) -> Self::Hasher {
            boom()
        }
    }
    let ledger = Ledger::new();
    let cache = Cache::builder().max_entries(4).hasher(Broken).build().unwrap();
    assert!(booms(|| drop(cache.insert(1, ledger.make(1)))));
    assert!(booms(|| drop(cache.get(&1))));
    assert!(booms(|| drop(cache.get_or_insert_with(1, || ledger.make(1)))));
    let pinned: Pinned<'_, u64, Tracked, Broken> = cache.pin();
    assert!(booms(|| pinned.get(&1).is_some()));
    drop(pinned);
    check_empty(&cache);
    ledger.assert_all_dropped();
}

fn check_empty<S>(cache: &Cache<u64, Tracked, S>) {
    cache.validate().unwrap();
    assert!(cache.is_empty());
}

#[test]
fn a_panic_while_pinned_ends_the_pin() {
    let cache = Cache::new(4);
    cache.insert(1, 1);
    assert!(booms(|| {
        let pinned = cache.pin();
        let _again = cache.pin();
        cache
            .with(&1, |_, _| {
                assert_eq!(pinned.get(&1), Some(&1));
                boom()
            })
            .unwrap_or(());
    }));
    cache.remove(&1);
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    check(&cache);
}
