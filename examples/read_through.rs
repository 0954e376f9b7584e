//! A read-through cache before a slow store: many threads, one load per missing key.
//!
//! Run with `cargo run --example read_through`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hotset::Cache;

/// Stands for a database.
fn fetch(id: u64) -> Result<String, String> {
    thread::sleep(Duration::from_millis(20));
    if id == 13 { Err(format!("no row {id}")) } else { Ok(format!("row {id}")) }
}

fn main() {
    let cache: Cache<u64, String> = Cache::new(100);
    let fetched = AtomicUsize::new(0);

    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for id in 0..20 {
                    let row = cache.try_get_or_insert_with(id, || {
                        fetched.fetch_add(1, Ordering::Relaxed);
                        fetch(id)
                    });
                    match row {
                        Ok(row) => assert_eq!(row, format!("row {id}")),
                        Err(error) => assert_eq!(error.to_string(), "the load failed: no row 13"),
                    }
                }
            });
        }
    });

    // 19 rows once each. The missing row is not remembered: it was asked for up to 8 times.
    let fetched = fetched.into_inner();
    println!("160 requests, {fetched} fetches, {} rows kept", cache.len());
    assert_eq!(cache.len(), 19);
    assert!((20..=27).contains(&fetched));
}
