//! What do subscribers of `tracing` hear of a cache?
//!
//! A binary of its own, and one test at a time: `tracing` asks once for each place of an event whether
//! anybody wants it, and while there is one subscriber it asks that of the thread that comes there first. A
//! thread without one that got there first, in another test, silenced the place for the test that listens.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use hotset::Cache;

#[path = "it/common.rs"]
#[allow(dead_code, reason = "what other tests need of it")]
mod common;

use common::{boom, booms};

/// A subscriber that writes everything down.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hotset"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0.trim().to_string()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is said while `f` runs.
fn said(f: impl FnOnce()) -> Vec<(Level, String)> {
    let scribe = Scribe::default();
    tracing::subscriber::with_default(scribe.clone(), f);
    std::mem::take(&mut *scribe.0.lock().unwrap())
}

fn line(level: Level, text: &str) -> (Level, String) {
    (level, text.to_string())
}

#[test]
fn departures_and_loads_are_events_and_hits_are_not() {
    let _alone = alone();
    let cache = Cache::new(1);
    assert_eq!(said(|| drop(cache.insert("key", "value"))), []);
    assert_eq!(said(|| assert!(cache.get("key").is_some() && cache.get("other").is_none())), []);
    let left = |cause| line(Level::TRACE, &format!("message=entry left cause=\"{cause}\""));
    assert_eq!(said(|| drop(cache.insert("key", "new"))), [left("replaced")]);
    assert_eq!(said(|| drop(cache.insert("other", "x"))), [left("capacity")]);
    assert_eq!(said(|| drop(cache.remove("other"))), [left("removed")]);
    let loaded = said(|| {
        cache.get_or_insert_with("key", || "loaded");
    });
    assert_eq!(loaded, [line(Level::TRACE, "message=loaded")]);
    let failed = said(|| drop(cache.try_get_or_insert_with("k", || Err::<&str, _>("secret"))));
    assert_eq!(failed, [line(Level::DEBUG, "message=load failed panicked=false")]);
    let panicked = said(|| assert!(booms(|| cache.get_or_insert_with("k", || boom()))));
    assert_eq!(panicked, [line(Level::DEBUG, "message=load failed panicked=true")]);
}

#[test]
fn what_goes_wrong_is_said_louder() {
    let _alone = alone();
    let cache = Cache::builder()
        .max_entries(10)
        .reclamation_slack(1)
        .on_evict(|_: &u64, _: &u64, _| boom())
        .build()
        .unwrap();
    cache.insert(1, 1);
    let all = said(|| drop(cache.insert(1, 2)));
    let warning = line(Level::WARN, "message=listener panicked cause=\"replaced\"");
    assert!(all.contains(&warning), "{all:?}");
    let pinned = cache.pin();
    let all = said(|| (0..200).for_each(|n| drop(cache.insert(n, n))));
    assert!(all.contains(&line(Level::DEBUG, "message=not admitted")), "{all:?}");
    drop(pinned);
}

#[test]
fn a_sweep_says_how_many() {
    let _alone = alone();
    let time = hotset::ManualTime::new();
    let second = std::time::Duration::from_secs(1);
    let cache = Cache::builder()
        .max_entries(10)
        .time_to_live(second)
        .time_source(time.clone())
        .build()
        .unwrap();
    (0..3).for_each(|n| drop(cache.insert(n, n)));
    time.advance(second);
    let all = said(|| assert_eq!(cache.sweep(), 3));
    assert_eq!(all.last(), Some(&line(Level::DEBUG, "message=swept entries=3")));
}

/// A subscriber may use the cache, and what it is told of has left.
#[test]
fn a_subscriber_may_call_the_cache() {
    let _alone = alone();
    struct Curious(Arc<Cache<u64, u64>>, Scribe);
    impl Subscriber for Curious {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            assert!(self.0.len() <= 5 && self.0.get(&100).is_none());
            self.0.get_or_insert_with(7, || 7);
            self.1.event(event);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    let (cache, scribe) = (Arc::new(Cache::new(5)), Scribe::default());
    let curious = Curious(Arc::clone(&cache), scribe.clone());
    tracing::subscriber::with_default(curious, || {
        (0..20).for_each(|n| drop(cache.insert(n, n)));
    });
    assert!(scribe.0.lock().unwrap().len() >= 15);
    common::check(&cache);
}
