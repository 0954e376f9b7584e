//! A batch of look-ups under one pin: borrows instead of clones, one fence instead of one each.
//!
//! Run with `cargo run --example pinned_batch`.

use hotset::Cache;

fn main() {
    let cache: Cache<String, Vec<u8>> = Cache::new(1000);
    for n in 0..1000_usize {
        assert!(cache.insert(format!("page/{n}"), vec![n as u8; n]).is_admitted());
    }

    let wanted = ["page/3", "page/500", "page/999", "page/1000"];
    let bytes: usize = {
        let pinned = cache.pin();
        wanted.iter().filter_map(|key| pinned.get(*key)).map(|page| page.len()).sum()
    };
    println!("{bytes} bytes in {} pages", wanted.len());
    assert_eq!(bytes, 3 + 500 + 999);

    // A long-running reader renews its pin from time to time, so that memory can be freed.
    let mut pinned = cache.pin();
    for n in 0..10_000_usize {
        if n % 64 == 0 {
            pinned.refresh();
        }
        assert_eq!(pinned.get(&format!("page/{}", n % 1000)).map(Vec::len), Some(n % 1000));
    }
}
