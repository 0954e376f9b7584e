//! Is a key loaded once, does everybody hear of it, and is nothing brought back? (`src/load`,
//! `src/store/loading`)
//!
//! M2: one attached flight per key, and a detached one never publishes. M4: every waiter returns
//! (loom reports a deadlock otherwise). M6: an outcome is seen whole. M3 by the canaries, M1 and M8
//! by `settle`.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use hotset::__model::Step;
use hotset::LoadError;
use loom::sync::atomic::{AtomicBool, Ordering};

use hotset_loom_tests::{
    Cache, Canary, Job, at_once_from, cache, fill, job, keys, race, settle, start, suite,
};

suite! {
    sound: leader_and_waiter, leader_panics, leader_panics_before_infallible_waiter,
        failure_is_shared_and_forgotten, insert_wins, remove_detaches, clear_detaches,
        replace_spares_the_flight, no_room_for_the_loaded, failure_against_insert,
        one_joins_one_removes, one_joins_one_inserts;
    wide: two_join, two_join_a_failure, two_join_a_panic, one_joins_one_evicts;
    widest:;
    campaign:;
    seeded:
        lost_waiter = LostWaiter in leader_and_waiter => "deadlock",
        relaxed_outcome = RelaxedOutcome in leader_and_waiter => "Causality violation",
        silent_panic = SilentPanic in leader_panics => "deadlock",
        failure_stays = FailureStays in failure_is_shared_and_forgotten => "the old failure",
        remove_spares_flight = RemoveSparesFlight in remove_detaches => "was brought back",
        clear_spares_flight = ClearSparesFlight in clear_detaches => "was brought back",
        no_rescan = NoRescan in leader_and_waiter => "two loads",
        stale_snapshot = StaleSnapshot in leader_and_waiter => "two loads",
        insert_spares_flight = InsertSparesFlight in insert_wins => "over what was written",
        insert_spares_joined = InsertSparesFlight in one_joins_one_inserts => "left == right",
        load_takes_any = LoadTakesAny in insert_wins at Wide => "2 counted",
        load_takes_any_joined =
            LoadTakesAny in one_joins_one_inserts at Wide => "read after its death",
        remove_spares_joined = RemoveSparesFlight in one_joins_one_removes => "left.read()",
        replace_detaches = ReplaceDetaches in replace_spares_the_flight => "left == right",
        torn_room = TornRoom in no_room_for_the_loaded => "counted",
        torn_room_joined = TornRoom in one_joins_one_evicts => "counted",
        torn_failure = TornUnlink in failure_against_insert => "counted",
        silent_panic_before_infallible =
            SilentPanic in leader_panics_before_infallible_waiter => "deadlock",
        silent_panic_before_two = SilentPanic in two_join_a_panic => "deadlock",
        lost_waiter_of_two = LostWaiter in two_join => "deadlock",
        no_rescan_after_a_failure = NoRescan in two_join_a_failure => "a key has two entries",
}

type Loaded = Result<Canary, LoadError<u32>>;

/// How often loaders ran. Bookkeeping of the model, not a step of it.
#[derive(Clone, Default)]
struct Loads(Rc<Cell<usize>>);

impl Loads {
    fn count(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn are(&self, expected: usize) {
        assert_eq!(self.0.get(), expected, "two loads, or none");
    }
}

/// Asks for a key; the loader makes a canary of its number.
fn load(key: u64, loads: &Loads) -> Job<Cache> {
    let loads = loads.clone();
    job(move |cache: &Cache| {
        let load = || {
            loads.count();
            Canary::new(key)
        };
        assert_eq!(cache.get_or_insert_with(key, load).read(), key);
    })
}

/// An empty cache for two, and a key.
fn empty() -> (Arc<Cache>, u64) {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    (cache, key)
}

/// M2, M4, M6.
fn leader_and_waiter() {
    let ((cache, key), loads) = (empty(), Loads::default());
    race(&cache, [load(key, &loads), load(key, &loads)]);
    loads.are(1);
    assert_eq!(settle(&cache), [key]);
}

/// Asks for a key with a loader that panics; says whether it was this one that did.
fn panicking(key: u64) -> Job<Cache, bool> {
    job(move |cache: &Cache| {
        // No message: the hook is for panics that nobody expects.
        let load = || -> Result<Canary, u32> { resume_unwind(Box::new("loader")) };
        catch_unwind(AssertUnwindSafe(|| cache.try_get_or_insert_with(key, load))).is_err()
    })
}

/// M4: the other one is told, or loads itself.
fn leader_panics() {
    let (cache, key) = empty();
    let other = job(move |cache: &Cache| {
        let loaded: Loaded = cache.try_get_or_insert_with(key, || Ok(Canary::new(key)));
        match loaded {
            Ok(canary) => assert_eq!(canary.read(), key),
            Err(error) => assert!(error.is_panicked(), "{error:?}"),
        }
        false
    });
    race(&cache, [panicking(key), other]);
    assert!(settle(&cache).iter().all(|&found| found == key));
}

/// M4: one who cannot be told loads itself.
fn leader_panics_before_infallible_waiter() {
    let (cache, key) = empty();
    let other = job(move |cache: &Cache| {
        assert_eq!(cache.get_or_insert_with(key, || Canary::new(key)).read(), key);
        true
    });
    race(&cache, [panicking(key), other]);
    assert_eq!(settle(&cache), [key]);
}

/// M2, M4, M6: whoever asks after a failure was told is not told it again.
fn failure_is_shared_and_forgotten() {
    let (cache, key) = empty();
    let told = job(move |cache: &Cache| {
        let first: Loaded = cache.try_get_or_insert_with(key, || Ok(Canary::new(key)));
        if let Err(error) = first {
            assert_eq!(error.failure().map(|code| **code), Some(7));
            let second: Loaded = cache.try_get_or_insert_with(key, || Ok(Canary::new(key)));
            assert!(second.is_ok(), "the old failure again: {second:?}");
        }
    });
    race(&cache, [fail(key), told]);
    assert!(settle(&cache).iter().all(|&found| found == key));
}

/// Asks for a key with a loader that fails.
fn fail(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        let loaded: Loaded = cache.try_get_or_insert_with(key, || Err(7));
        match loaded {
            Ok(canary) => assert_eq!(canary.read(), key),
            Err(error) => assert_eq!(error.failure().map(|code| **code), Some(7)),
        }
    })
}

/// M2: an explicit write during the load is what stays.
fn insert_wins() {
    let (cache, key) = empty();
    let (begun, loads) = (Arc::new(AtomicBool::new(false)), Loads::default());
    let writer = job({
        let begun = Arc::clone(&begun);
        move |cache: &Cache| {
            // ORDERING: Acquire. Partner: the Release store in the loader.
            let during = begun.load(Ordering::Acquire);
            assert!(cache.insert(key, Canary::new(key + 1)).is_admitted());
            during
        }
    });
    let [_, during] = race(&cache, [announced_load(key, begun, &loads), writer]);
    assert_eq!(settle(&cache), [key]);
    let left = cache.get(&key).expect("the key was written").read();
    assert!(left == key + 1, "what was loaded came over what was written ({during})");
}

/// Asks for a key; the loader says when it has begun.
fn announced_load(key: u64, begun: Arc<AtomicBool>, loads: &Loads) -> Job<Cache, bool> {
    let loads = loads.clone();
    job(move |cache: &Cache| {
        let load = || {
            loads.count();
            // ORDERING: Release. Partner: the Acquire load of the other thread.
            begun.store(true, Ordering::Release);
            Canary::new(key)
        };
        let found = cache.get_or_insert_with(key, load).read();
        assert!(found == key || found == key + 1);
        true
    })
}

/// M2: what was loading when `invalidate` began is not in the cache afterwards.
fn detaches(invalidate: impl FnOnce(&Cache, u64) + 'static) {
    let (cache, key) = empty();
    let (begun, loads) = (Arc::new(AtomicBool::new(false)), Loads::default());
    let other = job({
        let begun = Arc::clone(&begun);
        move |cache: &Cache| {
            // ORDERING: Acquire. Partner: the Release store in the loader.
            let during = begun.load(Ordering::Acquire);
            invalidate(cache, key);
            during
        }
    });
    let [_, during] = race(&cache, [announced_load(key, begun, &loads), other]);
    loads.are(1);
    let left = settle(&cache);
    assert!(!during || left.is_empty(), "what was removed was brought back");
}

/// See [`detaches`].
fn remove_detaches() {
    detaches(|cache, key| {
        cache.remove(&key);
    });
}

/// See [`detaches`].
fn clear_detaches() {
    detaches(|cache, _| cache.clear());
}

/// M2: a replacement needs an entry; it replaces what was loaded, or does nothing.
fn replace_spares_the_flight() {
    let ((cache, key), loads) = (empty(), Loads::default());
    let replacer = job(move |cache: &Cache| {
        if let Ok(old) = cache.replace(key, Canary::new(key)) {
            assert_eq!(old.read(), key);
        }
    });
    race(&cache, [load(key, &loads), replacer]);
    loads.are(1);
    assert_eq!(settle(&cache), [key]);
}

/// M2, M5: the value is given to who asked, whether there is room for it or not.
fn no_room_for_the_loaded() {
    let (cache, loads) = (cache(1), Loads::default());
    let [key, other] = keys(&cache, 0);
    let writer = job(move |cache: &Cache| {
        cache.insert(other, Canary::new(other));
    });
    race(&cache, [load(key, &loads), writer]);
    loads.are(1);
    assert!(settle(&cache).len() <= 1);
}

/// M2, M3: a flight that fails and an insert that takes its slot.
fn failure_against_insert() {
    let (cache, key) = empty();
    let writer = job(move |cache: &Cache| fill(cache, [key]));
    race(&cache, [fail(key), writer]);
    assert_eq!(settle(&cache), [key]);
}

/// Runs two threads against a flight that is under way: they are started by its loader.
///
/// Three threads that also race for who leads are more than can be explored.
fn during_flight<R: 'static>(
    cache: &Arc<Cache>,
    key: u64,
    outcome: impl FnOnce() -> Result<Canary, u32>,
    jobs: [Job<Cache, R>; 2],
) -> (Result<Loaded, Panic>, [R; 2]) {
    let mut racing = None;
    let load = || {
        racing = Some(start(cache, jobs));
        outcome()
    };
    let loaded = catch_unwind(AssertUnwindSafe(|| cache.try_get_or_insert_with(key, load)));
    (loaded, racing.expect("the loader ran").finish())
}

/// What a panic leaves.
type Panic = Box<dyn std::any::Any + Send>;

/// Asks for a key; the own loader, if it runs, makes a canary of the next number.
fn ask(key: u64) -> Job<Cache, Loaded> {
    job(move |cache: &Cache| cache.try_get_or_insert_with(key, || Ok(Canary::new(key + 1))))
}

/// As [`ask`]; once it has claimed a slot for a flight of its own, should there be one, that is
/// over at once: who leads has its own models.
fn ask_in_short(key: u64) -> Job<Cache, Loaded> {
    job(move |cache: &Cache| at_once_from(Step::Claimed, || ask(key)(cache)))
}

/// M2, M4, M6: both get what the leader loaded, during the flight or after it.
fn two_join() {
    let (cache, key) = empty();
    let load = || Ok(Canary::new(key));
    let (loaded, joined) = during_flight(&cache, key, load, [ask(key), ask(key)]);
    assert_eq!(loaded.expect("no panic").expect("a value").read(), key);
    for canary in joined {
        assert_eq!(canary.expect("a value").read(), key);
    }
    assert_eq!(settle(&cache), [key]);
}

/// M2, M4, M6: each of two is told the failure, or comes after it and leads or joins a new flight.
fn two_join_a_failure() {
    let (cache, key) = empty();
    let (loaded, joined) =
        during_flight(&cache, key, || Err(7), [ask_in_short(key), ask_in_short(key)]);
    assert!(loaded.expect("no panic").is_err());
    for outcome in &joined {
        match outcome {
            Ok(canary) => assert_eq!(canary.read(), key + 1),
            Err(error) => assert_eq!(error.failure().map(|code| **code), Some(7)),
        }
    }
    let all_told = joined.iter().all(Result::is_err);
    assert_eq!(settle(&cache).is_empty(), all_told);
}

/// M2, M4: as above, of a panic.
fn two_join_a_panic() {
    let (cache, key) = empty();
    let load = || resume_unwind(Box::new("loader"));
    let (loaded, joined) = during_flight(&cache, key, load, [ask_in_short(key), ask_in_short(key)]);
    assert!(loaded.is_err());
    for outcome in &joined {
        match outcome {
            Ok(canary) => assert_eq!(canary.read(), key + 1),
            Err(error) => assert!(error.is_panicked()),
        }
    }
    let all_told = joined.iter().all(Result::is_err);
    assert_eq!(settle(&cache).is_empty(), all_told);
}

/// One who asks, and one who does something else to the key, both during its flight.
fn one_joins(key: u64, cache: &Arc<Cache>, other: impl FnOnce(&Cache) + 'static) {
    let other = job(move |cache: &Cache| {
        other(cache);
        None
    });
    let asker = job(move |cache: &Cache| Some(ask_in_short(key)(cache)));
    let load = || Ok(Canary::new(key));
    let (loaded, [asked, _]) = during_flight(cache, key, load, [asker, other]);
    assert_eq!(loaded.expect("no panic").expect("a value").read(), key);
    let number = asked.expect("it asked").expect("a value").read();
    assert!((key..key + 3).contains(&number), "{number}");
}

/// M2, M4: a waiter of a flight that an insert detaches hears of it all the same.
fn one_joins_one_inserts() {
    let (cache, key) = empty();
    one_joins(key, &cache, move |cache| drop(cache.insert(key, Canary::new(key + 2))));
    assert_eq!(settle(&cache), [key]);
    assert_eq!(cache.get(&key).expect("it was written").read(), key + 2);
}

/// M2, M4: as above, for a removal. What the flight loaded does not stay.
fn one_joins_one_removes() {
    let (cache, key) = empty();
    one_joins(key, &cache, move |cache| drop(cache.remove(&key)));
    settle(&cache);
    assert!(cache.get(&key).is_none_or(|left| left.read() == key + 1));
}

/// M2, M3, M5: the hand passes over the flight, and evicts what it became.
fn one_joins_one_evicts() {
    let cache = cache(1);
    let [key, other] = keys(&cache, 0);
    one_joins(key, &cache, move |cache| drop(cache.insert(other, Canary::new(other))));
    assert!(settle(&cache).len() <= 1);
}
