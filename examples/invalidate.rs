//! Invalidation while a load is under way: the explicit write wins, nobody is given stale data
//! later, and whoever waited is served.
//!
//! Run with `cargo run --example invalidate`.

use std::sync::Barrier;
use std::thread;

use hotset::{Cache, Cause};

fn main() {
    let cache: Cache<&str, u32> = Cache::builder()
        .max_entries(16)
        .on_evict(|key, value, cause| println!("{key} = {value} left: {cause:?}"))
        .build()
        .expect("16 is in range");
    let (loading, removed) = (Barrier::new(2), Barrier::new(2));

    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            cache.get_or_insert_with("price", || {
                let read_before_the_change = 10;
                loading.wait();
                removed.wait();
                read_before_the_change
            })
        });
        loading.wait();
        assert!(cache.remove("price").is_none()); // it is only being loaded
        removed.wait();
        assert_eq!(reader.join().expect("the loader returns"), 10); // who asked before gets it
    });

    assert_eq!(cache.get("price"), None); // but it is not kept
    assert_eq!(cache.stats().evictions(Cause::Rejected), 1);
    assert_eq!(cache.get_or_insert_with("price", || 12), 12);
}
