//! Does one caller refresh an entry, and does whatever befalls the entry meanwhile win?
//! (`src/store/refreshing`)
//!
//! M2: of all that meet an entry which is due one loads, once. M3 by the canaries, M1, M5 and M8 by `settle`.
//! What was written or removed is not undone by a value that was loaded for what was there before. The
//! time is moved before the race and stands during it.

use std::sync::Arc;
use std::time::Duration;

use hotset::{Insert, ManualTime};
use hotset_loom_tests::{Cache, Canary, Identity, Job, fill, job, keys, race, settle, suite};

suite! {
    sound: two_refresh, refresh_against_get, refresh_against_insert, refresh_against_remove,
        refresh_against_clear, refresh_against_retain, refresh_against_eviction, failure_against_remove,
        failure_of_a_loaded_entry_against_remove;
    wide:;
    widest:;
    campaign:;
    seeded:
        torn_refresh = TornRefresh in two_refresh => "loads",
        takes_any = RefreshTakesAny in refresh_against_insert => "the write is undone",
        unconfirmed_share = UnconfirmedShare in failure_against_remove => "Causality violation",
        clear_spares_refresh = ClearSparesRefresh in refresh_against_clear => "entries after a clear",
        empty_between = EmptyBetween in refresh_against_get => "it serves all the time",
        torn_refreshed = TornExchange in refresh_against_remove => "created and dropped",
        torn_refreshed_retained = TornExchange in refresh_against_retain => "created and dropped",
        torn_refreshed_evicted = TornExchange in refresh_against_eviction => "created and dropped",
        relaxed_share =
            RelaxedShare in failure_of_a_loaded_entry_against_remove => "Causality violation",
}

/// A cache for two.
fn refreshing() -> (Arc<Cache>, ManualTime) {
    let time = ManualTime::new();
    let cache = hotset::Cache::<u64, Canary>::builder()
        .max_entries(2)
        .policy(hotset::Policy::Clock)
        .hasher(Identity)
        .refresh_after(Duration::from_nanos(1))
        .time_source(time.clone())
        .on_evict(|_, value: &Canary, _| {
            value.read();
        })
        .build()
        .expect("2 is in range");
    (Arc::new(cache), time)
}

/// With an entry that is due.
fn due() -> (Arc<Cache>, u64) {
    let (cache, time) = refreshing();
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    time.advance(Duration::from_nanos(1));
    (cache, key)
}

/// What a refresh loads.
fn fresh(key: u64) -> Canary {
    Canary::new(key + 1)
}

/// What somebody else writes.
fn written(key: u64) -> Canary {
    Canary::new(key + 2)
}

/// Asks for a key whose entry is due or gone; says how often its loader ran.
fn ask(key: u64) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        let mut loads = 0;
        let found = cache.get_or_insert_with(key, || {
            loads += 1;
            fresh(key)
        });
        assert!(found.read() >= key, "a value of the key");
        loads
    })
}

/// Asks in vain.
fn fail(key: u64) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        match cache.try_get_or_insert_with(key, || Err::<Canary, ()>(())) {
            Ok(old) => assert_eq!(old.read(), key, "the old value"),
            Err(error) => assert!(error.is_failed(), "it was gone, so this was a load"),
        }
        0
    })
}

/// A thread that loads nothing.
fn other(body: impl FnOnce(&Cache) + 'static) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        body(cache);
        0
    })
}

/// The number of the value of a key.
fn number(cache: &Cache, key: u64) -> Option<u64> {
    cache.peek_with(&key, |_, value| value.read())
}

fn two_refresh() {
    let (cache, key) = due();
    let loads: usize = race(&cache, [ask(key), ask(key)]).into_iter().sum();
    assert!(loads <= 1 || number(&cache, key).is_none(), "{loads} loads of one entry");
    assert_eq!(settle(&cache), [key]);
}

fn refresh_against_get() {
    let (cache, key) = due();
    let get = other(move |cache| {
        let found = cache.get(&key).expect("it serves all the time").read();
        assert!(found == key || found == key + 1);
    });
    race(&cache, [ask(key), get]);
    assert_eq!((settle(&cache), number(&cache, key)), (vec![key], Some(key + 1)));
}

fn refresh_against_insert() {
    let (cache, key) = due();
    let insert = other(move |cache| match cache.insert(key, written(key)) {
        Insert::Replaced(old) => assert!(old.read() <= key + 1),
        wrong => panic!("{wrong:?}"),
    });
    race(&cache, [ask(key), insert]);
    assert_eq!(number(&cache, key), Some(key + 2), "the write is undone");
    assert_eq!(settle(&cache), [key]);
}

/// Who asks after the removal loads; that one's value is kept. A refreshed one is not.
fn load_if_missing(key: u64) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        cache.get_or_insert_with(key, || fresh(key)).read();
        cache.stats().loads as usize
    })
}

fn refresh_against_remove() {
    let (cache, key) = due();
    let remove = other(move |cache| {
        let old = cache.remove(&key).expect("it is there all the time before");
        assert!(old.read() <= key + 1);
    });
    let [loaded, _] = race(&cache, [load_if_missing(key), remove]);
    assert_eq!(settle(&cache).len(), loaded, "entries after a removal");
}

fn refresh_against_clear() {
    let (cache, key) = due();
    let [loaded, _] = race(&cache, [load_if_missing(key), other(Cache::clear)]);
    assert_eq!(settle(&cache).len(), loaded, "entries after a clear");
}

fn refresh_against_retain() {
    let (cache, key) = due();
    let retain = other(|cache| cache.retain(|_, _| false));
    let [loaded, _] = race(&cache, [load_if_missing(key), retain]);
    assert_eq!(settle(&cache).len(), loaded, "entries after nothing was retained");
}

/// The old value is read after a failure: the refresher's share must keep it.
fn failure_against_remove() {
    let (cache, key) = due();
    fail_against_remove(&cache, key);
}

fn fail_against_remove(cache: &Arc<Cache>, key: u64) {
    let remove = other(move |cache| {
        drop(cache.remove(&key));
        cache.maintain();
    });
    race(cache, [fail(key), remove]);
    assert!(settle(cache).is_empty());
}

/// The same where the entry was loaded: the shares of such are counted down to nothing.
fn failure_of_a_loaded_entry_against_remove() {
    let (cache, time) = refreshing();
    let [key] = keys(&cache, 0);
    cache.get_or_insert_with(key, || Canary::new(key)).read();
    time.advance(Duration::from_nanos(1));
    fail_against_remove(&cache, key);
}

/// The entry may have to leave while it is refreshed.
fn refresh_against_eviction() {
    let (cache, key) = due();
    let [_, second, third] = keys(&cache, 0);
    fill(&cache, [second]);
    let insert = other(move |cache| {
        cache.insert(third, Canary::new(third));
    });
    race(&cache, [ask(key), insert]);
    settle(&cache);
}
