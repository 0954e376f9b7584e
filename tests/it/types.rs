//! Do unusual types work? Without size, over-aligned, large, not `Clone`, borrowed.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use hotset::{Cache, Insert};

use crate::common::{check, times};

#[test]
fn without_size() {
    let cache: Cache<(), ()> = Cache::new(4);
    assert_eq!(cache.get(&()), None);
    assert!(matches!(cache.insert((), ()), Insert::New));
    assert!(matches!(cache.insert((), ()), Insert::Replaced(_)));
    assert_eq!((cache.get(&()), cache.len()), (Some(()), 1));
    assert_eq!(cache.pin().get_key_value(&()), Some((&(), &())));
    cache.get_or_insert_with((), || unreachable!());
    cache.remove(&()).unwrap();
    cache.get_or_insert_with((), || ());
    check(&cache);
    assert_eq!(cache.remove(&()).unwrap().try_into_inner().unwrap(), ((), ()));

    let cache: Cache<u64, ()> = Cache::new(4);
    (0..100).for_each(|n| drop(cache.insert(n, ())));
    assert_eq!((cache.len(), cache.iter().count()), (4, 4));
    check(&cache);
}

#[test]
fn over_aligned() {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(align(128))]
    struct Key(u64);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Value(u64);
    let cache = Cache::new(100);
    for n in 0..300 {
        cache.insert(Key(n), Value(!n));
        let pinned = cache.pin();
        let (key, value) = pinned.get_key_value(&Key(n)).unwrap();
        assert_eq!((*key, *value), (Key(n), Value(!n)));
        assert_eq!(
            (std::ptr::from_ref(key).addr() % 128, std::ptr::from_ref(value).addr() % 64),
            (0, 0)
        );
    }
    assert_eq!(cache.get_or_insert_with(Key(1000), || Value(3)), Value(3));
    check(&cache);

    // Aligned beyond all fields of a node.
    #[derive(Clone, Debug)]
    #[repr(align(4096))]
    struct Page([u8; 100]);
    let cache = Cache::new(3);
    for n in 0..10_u8 {
        cache.insert(n, Page([n; 100]));
        let aligned = cache
            .with(&n, |_, page| std::ptr::from_ref(page).addr() % 4096 == 0 && page.0[99] == n);
        assert_eq!(aligned, Some(true));
    }
}

#[test]
fn large_values() {
    let cache: Cache<u32, [u32; 1024]> = Cache::new(20);
    thread::scope(|scope| {
        for t in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..times(1000) as u32 {
                    let key = (n * 7 + t) % 50;
                    cache.insert(key, [n; 1024]);
                    if let Some(value) = cache.get(&(n % 50)) {
                        assert!(value.iter().all(|&x| x == value[0]), "a torn value");
                    }
                    let whole = cache.with(&key, |_, v| v.iter().all(|&x| x == v[0]));
                    assert_ne!(whole, Some(false), "a torn value");
                }
            });
        }
    });
    check(&cache);
}

#[test]
fn values_that_cannot_be_cloned() {
    let cache: Cache<String, Mutex<Vec<u32>>> = Cache::new(2);
    cache.insert("a".into(), Mutex::default());
    cache.with("a", |_, list| list.lock().unwrap().push(1)).unwrap();
    let pinned = cache.pin();
    let list = pinned.get("a").unwrap();
    list.lock().unwrap().push(2);
    let removed = cache.remove("a").unwrap();
    assert_eq!(*removed.lock().unwrap(), [1, 2]);
    drop(pinned);
    let (key, list) = removed.try_into_inner().unwrap();
    assert_eq!((key.as_str(), list.into_inner().unwrap()), ("a", vec![1, 2]));
}

#[test]
fn borrowed_values() {
    let text = String::from("the quick brown fox jumps over the lazy dog");
    let kept;
    {
        let cache: Cache<&str, &str> = Cache::new(4);
        for word in text.split(' ') {
            cache.insert(word, &word[..1]);
            assert_eq!(cache.get(word), Some(&word[..1]));
        }
        assert_eq!(cache.get_or_insert_with(&text[..3], || &text), cache.get("the").unwrap());
        kept = cache.insert(&text[4..9], "x").replaced();
        thread::scope(|scope| {
            scope.spawn(|| cache.insert(&text, "all"));
        });
        check(&cache);
    }
    // The handle may outlive the cache, not the text.
    if let Some(kept) = kept {
        assert_eq!((*kept.key(), *kept), ("quick", "q"));
    }
}

#[test]
fn interior_change_is_seen_by_all() {
    let cache = Arc::new(Cache::new(8));
    cache.insert("hits", AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..times(1000) {
                    cache.with("hits", |_, n| n.fetch_add(1, SeqCst)).unwrap();
                }
            });
        }
    });
    assert_eq!(cache.pin().get("hits").unwrap().load(SeqCst), 4 * times(1000) as u64);
}

#[test]
fn a_cache_in_a_cache() {
    let outer: Cache<u8, Arc<Cache<u8, String>>> = Cache::new(2);
    for n in 0..20 {
        let inner = outer.get_or_insert_with(n % 5, || Arc::new(Cache::new(2)));
        for m in 0..5 {
            inner.get_or_insert_with(m, || format!("{n}.{m}"));
        }
        assert_eq!(inner.len(), 2);
    }
    assert_eq!(outer.len(), 2);
}

#[test]
fn use_in_the_destructors_of_thread_locals() {
    static CACHE: std::sync::OnceLock<Cache<u64, String>> = std::sync::OnceLock::new();
    struct AtExit(u64);
    impl Drop for AtExit {
        fn drop(&mut self) {
            // hotset's own thread-locals may be gone already.
            let cache = CACHE.get().unwrap();
            for n in 0..200 {
                cache.insert(self.0 + n, "late".into());
                assert_eq!(cache.pin().get(&(self.0 + n)).unwrap(), "late");
                cache.get_or_insert_with(n, || "load".into());
            }
        }
    }
    thread_local! {
        static EARLY: AtExit = const { AtExit(1000) };
        static LATE: AtExit = const { AtExit(2000) };
    }
    CACHE.get_or_init(|| Cache::new(300));
    for _ in 0..10 {
        let worker = thread::spawn(|| {
            EARLY.with(|_| ());
            CACHE.get().unwrap().insert(1, "one".into());
            LATE.with(|_| ());
        });
        worker.join().unwrap();
    }
    check(CACHE.get().unwrap());
}

#[test]
fn a_pin_in_a_thread_local() {
    // Its destructor may run after hotset's own thread-locals are gone and another thread has
    // been given this one's records.
    static CACHE: std::sync::LazyLock<Cache<u64, u64>> = std::sync::LazyLock::new(|| {
        Cache::builder().max_entries(8).reclamation_slack(64).build().unwrap()
    });
    type Held =
        std::cell::RefCell<Option<hotset::Pinned<'static, u64, u64, hotset::DefaultHashBuilder>>>;
    thread_local! {
        static HELD: Held = const { std::cell::RefCell::new(None) };
    }
    for _ in 0..times(200) {
        let all = [0, 1, 2, 3].map(|t| {
            thread::spawn(move || {
                HELD.with(|held| {
                    CACHE.insert(t, t);
                    *held.borrow_mut() = Some(CACHE.pin());
                });
                for n in 0..20 {
                    CACHE.get(&n);
                    CACHE.insert(n, n);
                    CACHE.pin().get(&n);
                }
            })
        });
        // Joined one by one: the end of a scope does not wait for destructors of thread-locals.
        all.into_iter().for_each(|thread| thread.join().unwrap());
    }
    // All pins are gone: nothing is held back.
    CACHE.clear();
    CACHE.maintain();
    assert_eq!(CACHE.awaiting_reclamation(), 0);
    assert!(CACHE.insert(1, 1).is_admitted());
    check(&CACHE);
}
