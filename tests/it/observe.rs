//! What can be seen of a cache from outside? `Debug`, and with their features events and metrics.

use hotset::{Cache, Cause};

#[test]
fn debug_shows_sixteen_entries_and_says_if_there_are_more() {
    let cache = Cache::new(100);
    (0..16).for_each(|n: u64| drop(cache.insert(n, 1000 + n)));
    let whole = format!("{cache:?}");
    assert!(whole.starts_with("Cache { len: 16, capacity: 100,"), "{whole}");
    assert_eq!(whole.matches(": 10").count(), 16 + 1, "{whole}"); // and the capacity
    assert!(!whole.contains(".."), "{whole}");
    (16..100).for_each(|n| drop(cache.insert(n, 1000 + n)));
    let part = format!("{:?}", cache.pin());
    assert_eq!(part.matches(": 10").count(), 16, "{part}");
    assert!(part.ends_with(", ..}"), "{part}");
}

#[test]
fn causes_have_names() {
    let names = ["capacity", "expired", "replaced", "removed", "rejected"];
    let all = [Cause::Capacity, Cause::Expired, Cause::Replaced, Cause::Removed, Cause::Rejected];
    assert_eq!(all.map(Cause::name), names);
}

#[cfg(feature = "tracing")]
mod events {
    use std::fmt::Write;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;
    use crate::common::{boom, booms};

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
        let cache = Cache::new(1);
        assert_eq!(said(|| drop(cache.insert("key", "value"))), []);
        assert_eq!(
            said(|| assert!(cache.get("key").is_some() && cache.get("other").is_none())),
            []
        );
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
        crate::common::check(&cache);
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use ::metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder,
        SharedString, Unit, with_local_recorder,
    };

    use super::*;

    /// A recorder that keeps what it is told last.
    #[derive(Clone, Default)]
    struct Book(Arc<Mutex<BTreeMap<String, f64>>>);

    struct Page(Book, String);

    impl Page {
        fn write(&self, value: f64) {
            self.0.0.lock().unwrap().insert(self.1.clone(), value);
        }
    }

    impl CounterFn for Page {
        fn increment(&self, _: u64) {
            panic!("counters are absolute");
        }

        fn absolute(&self, value: u64) {
            self.write(value as f64);
        }
    }

    impl GaugeFn for Page {
        fn increment(&self, _: f64) {
            panic!("gauges are set");
        }

        fn decrement(&self, _: f64) {
            panic!("gauges are set");
        }

        fn set(&self, value: f64) {
            self.write(value);
        }
    }

    impl Book {
        fn page(&self, key: &Key) -> Arc<Page> {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Page(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }
    }

    impl Recorder for Book {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.page(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.page(key))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("there are no histograms")
        }
    }

    #[test]
    fn the_names_are_those_of_the_docs() {
        let cache = Cache::builder().max_entries(2).stats(true).build().unwrap();
        (0..5).for_each(|n| drop(cache.insert(n, n)));
        cache.get(&4);
        cache.get(&100);
        cache.get(&101);
        drop(cache.try_get_or_insert_with(9, || Err::<u64, ()>(())));
        let book = Book::default();
        with_local_recorder(&book, || cache.stats().record_metrics("tokens"));
        let waiting = cache.stats().awaiting_reclamation as f64;
        let expected = [
            ("hotset_awaiting_reclamation{cache=tokens}", waiting),
            ("hotset_entries{cache=tokens}", 2.0),
            ("hotset_evictions_total{cache=tokens,cause=capacity}", 3.0),
            ("hotset_evictions_total{cache=tokens,cause=expired}", 0.0),
            ("hotset_evictions_total{cache=tokens,cause=rejected}", 0.0),
            ("hotset_evictions_total{cache=tokens,cause=removed}", 0.0),
            ("hotset_evictions_total{cache=tokens,cause=replaced}", 0.0),
            ("hotset_expired_misses_total{cache=tokens}", 0.0),
            ("hotset_hits_total{cache=tokens}", 1.0),
            ("hotset_inserts_total{cache=tokens}", 5.0),
            ("hotset_load_failures_total{cache=tokens}", 1.0),
            ("hotset_loads_total{cache=tokens}", 1.0),
            ("hotset_misses_total{cache=tokens}", 3.0),
            ("hotset_not_admitted_total{cache=tokens}", 0.0),
            ("hotset_refresh_failures_total{cache=tokens}", 0.0),
            ("hotset_refreshes_total{cache=tokens}", 0.0),
            ("hotset_weight{cache=tokens}", 2.0),
        ];
        let book = book.0.lock().unwrap();
        assert_eq!(book.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), expected);
    }
}
