//! Does an entry whose time is over leave once, and is its key loaded once? (`src/store/expiring`,
//! `src/store/loading`)
//!
//! M1, M3 and M5 as ever, by `settle` and the canaries; M2: of all that ask for a key whose entry is
//! over one loads. The time is moved before the race and stands during it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hotset::{Cause, Insert, ManualTime};
use hotset_loom_tests::{Cache, Canary, Identity, Job, fill, job, keys, race, settle, suite};

suite! {
    sound: two_renew, renewal_against_get, renewal_against_insert, renewal_against_remove,
        renewal_against_sweep, two_sweep, insert_reaps_against_get,
        hit_against_sweep, renewal_against_eviction;
    wide:;
    widest:;
    campaign:;
    seeded:
        renew_decides = RenewDecides in two_renew => "Causality violation",
        renew_decides_against_insert = RenewDecides in renewal_against_insert at Wide => "it left once",
        renewed_room = RenewKeepsRoom in renewal_against_get => "counted",
        renewed_room_for_another = RenewKeepsRoom in renewal_against_eviction => "counted",
        renew_decides_against_remove = RenewDecides in renewal_against_remove => "it left once",
        renew_decides_against_sweep = RenewDecides in renewal_against_sweep => "it left once",
        torn_renewal = TornRenew in two_renew => "Causality violation",
        torn_sweep = TornUnlink in two_sweep => "left == right",
        sweep_writes_back = SweepWritesBack in hit_against_sweep => "has prolonged its life",
}

/// How often something happened. Bookkeeping of the model, not a step of it.
#[derive(Clone, Default)]
struct Count(Rc<Cell<usize>>);

impl Count {
    fn one(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Loom's threads are one system thread.
struct OneThread<T>(T);
// SAFETY: all threads of a model run on one system thread, one at a time.
unsafe impl<T> Send for OneThread<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for OneThread<T> {}

/// A cache for two with an entry of `key` whose time is over, and how often the listener was told so.
fn over() -> (Arc<Cache>, u64, Count) {
    let (time, told) = (ManualTime::new(), Count::default());
    let counts = OneThread(told.clone());
    let cache = hotset::Cache::<u64, Canary>::builder()
        .max_entries(2)
        .policy(hotset::Policy::Clock)
        .hasher(Identity)
        .time_to_live(Duration::from_nanos(1))
        .time_source(time.clone())
        .on_evict(move |_, value: &Canary, cause| {
            value.read();
            if cause == Cause::Expired {
                let counts: &OneThread<Count> = &counts;
                counts.0.one();
            }
        })
        .build()
        .expect("2 is in range");
    let cache = Arc::new(cache);
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    time.advance(Duration::from_nanos(1));
    (cache, key, told)
}

/// What is found was not over: its number is that of a new one.
fn fresh(key: u64) -> Canary {
    Canary::new(key + 1)
}

/// Asks for a key; says how often its loader ran.
fn load(key: u64) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        let mut loads = 0;
        let found = cache.get_or_insert_with(key, || {
            loads += 1;
            fresh(key)
        });
        assert_eq!(found.read(), key + 1, "found after its time");
        loads
    })
}

/// A thread that loads nothing.
fn other(body: impl FnOnce(&Cache) + 'static) -> Job<Cache, usize> {
    job(move |cache: &Cache| {
        body(cache);
        0
    })
}

/// Races a renewal with `body`; the old entry leaves once.
fn renewal_against(body: impl FnOnce(&Cache, u64) + 'static) -> (Vec<u64>, u64) {
    let (cache, key, told) = over();
    race(&cache, [load(key), other(move |cache| body(cache, key))]);
    assert_eq!(told.0.get(), 1, "it left once, for its time");
    (settle(&cache), key)
}

fn two_renew() {
    let (cache, key, told) = over();
    let loads: usize = race(&cache, [load(key), load(key)]).into_iter().sum();
    assert_eq!((loads, told.0.get()), (1, 1), "loads, and departures");
    assert_eq!(settle(&cache), [key]);
}

fn renewal_against_get() {
    let (left, key) = renewal_against(|cache, key| {
        if let Some(canary) = cache.get(&key) {
            assert_eq!(canary.read(), key + 1, "found after its time");
        }
    });
    assert_eq!(left, [key]);
}

fn renewal_against_insert() {
    let (left, key) = renewal_against(|cache, key| match cache.insert(key, fresh(key)) {
        Insert::New => {}
        Insert::Replaced(old) => assert_eq!(old.read(), key + 1, "it was over"),
        refused => panic!("{refused:?}"),
    });
    assert_eq!(left, [key]);
}

fn renewal_against_remove() {
    renewal_against(|cache, key| {
        if let Some(old) = cache.remove(&key) {
            assert_eq!(old.read(), key + 1, "it was over");
        }
    });
}

fn renewal_against_sweep() {
    let (left, key) = renewal_against(|cache, _| assert!(cache.sweep() <= 1));
    assert_eq!(left, [key]);
}

/// The other thread takes the room, and the loaded value needs room again.
fn renewal_against_eviction() {
    let (cache, key, told) = over();
    let [_, second, third] = keys(&cache, 0);
    fill(&cache, [second]);
    let insert = other(move |cache| {
        cache.insert(third, Canary::new(third));
    });
    race(&cache, [load(key), insert]);
    assert_eq!(told.0.get(), 1);
    settle(&cache);
}

fn two_sweep() {
    let (cache, _, told) = over();
    let sweep = || job(|cache: &Cache| cache.sweep());
    let swept: usize = race(&cache, [sweep(), sweep()]).into_iter().sum();
    assert_eq!((swept, told.0.get()), (1, 1));
    assert!(settle(&cache).is_empty());
}

/// In a full cache an insert takes the room of what is over, while somebody meets it. (The bugs of such a
/// meeting are planted in `evict::hit_against_evict`.)
fn insert_reaps_against_get() {
    let (cache, key, told) = over();
    let [_, second, third] = keys::<3>(&cache, 0);
    fill(&cache, [second]);
    let insert = other(move |cache| {
        assert!(matches!(cache.insert(third, Canary::new(third)), Insert::New));
    });
    let get = other(move |cache| assert!(cache.get(&key).is_none(), "found after its time"));
    race(&cache, [insert, get]);
    assert_eq!(told.0.get(), 1);
    assert_eq!(settle(&cache).len(), 2);
}

/// A hit that writes down that it happened, and one who looks at the moment that it writes.
fn hit_against_sweep() {
    let time = ManualTime::new();
    let cache = hotset::Cache::<u64, Canary>::builder()
        .max_entries(2)
        .hasher(Identity)
        .time_to_idle(Duration::from_nanos(16))
        .time_source(time.clone())
        .build()
        .expect("2 is in range");
    let cache = Arc::new(cache);
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    time.advance(Duration::from_nanos(15));
    let hit = other(move |cache| assert!(cache.get(&key).is_some()));
    race(&cache, [hit, job(|cache: &Cache| cache.sweep())]);
    time.advance(Duration::from_nanos(15));
    assert_eq!(cache.sweep(), 0, "the hit has prolonged its life");
    assert_eq!(settle(&cache), [key]);
}
