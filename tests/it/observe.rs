//! What can be seen of a cache from outside? `Debug`, and with their features events and metrics.

use futures_lite::future::{block_on, yield_now, zip};
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
fn debug_of_stats_names_the_causes() {
    let cache = Cache::new(8);
    (0..10).for_each(|n| drop(cache.insert(n, n)));
    let all = format!("{:?}", cache.stats());
    assert!(all.starts_with("Stats { hits: 0, misses: 0, "), "{all}");
    let left = "left: {Capacity: 2, Expired: 0, Replaced: 0, Removed: 0, Rejected: 0} }";
    assert!(all.ends_with(left), "{all}");
}

#[test]
fn misses_are_those_of_waiters_and_of_repeated_keys_too() {
    let cache = Cache::builder().max_entries(8).stats(true).build().unwrap();
    let load = async || {
        yield_now().await;
        10
    };
    let call = || cache.get_or_insert_async(1, load());
    assert_eq!(block_on(zip(call(), call())), (10, 10));
    assert_eq!((cache.stats().misses, cache.stats().loads), (2, 1));
    let loaded = cache.load_many([2, 2, 3, 1], |_| Ok::<_, ()>([(2, 20), (3, 30)]));
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!((cache.stats().hits, cache.stats().misses, cache.stats().loads), (1, 5, 3));
}

#[test]
fn causes_have_names() {
    let names = ["capacity", "expired", "replaced", "removed", "rejected"];
    let all = [Cause::Capacity, Cause::Expired, Cause::Replaced, Cause::Removed, Cause::Rejected];
    assert_eq!(all.map(Cause::name), names);
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
