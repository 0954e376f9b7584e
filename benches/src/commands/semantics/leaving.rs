//! Whom is a listener told of? Of what is evicted, replaced, removed, cleared, and at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::case::{Case, Outcome, Pace, Peer};
use super::listened::{Listener, listened};

pub const CASE: Case = Case {
    name: "drop-of-the-cache",
    asks: "entries are replaced, removed, cleared, and dropped with the cache: the listener is told of each once",
    run,
};

/// Entries of each kind; the cache has room for many more.
const EACH: u64 = 10;

fn run(peer: Peer, _: Pace) -> Option<Outcome> {
    let calls = Arc::new(AtomicUsize::new(0));
    let listener: Listener = Arc::new({
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, SeqCst);
        }
    });
    let cache = listened(peer, 1_000, listener)?;
    let told = || calls.swap(0, SeqCst);
    let fill = || {
        (0..EACH).for_each(|key| cache.insert(key));
        cache.settle();
    };
    fill();
    told();
    fill();
    let replaced = told();
    (0..EACH).for_each(|key| cache.remove(key));
    cache.settle();
    let removed = told();
    fill();
    cache.clear();
    cache.settle();
    let cleared = told();
    fill();
    told();
    drop(cache);
    let dropped = told();
    let observed = format!(
        "told of {replaced} of {EACH} replaced, {removed} of {EACH} removed, {cleared} of {EACH} \
         cleared, {dropped} of {EACH} at the drop of the cache"
    );
    let all = [replaced, removed, cleared, dropped].iter().all(|&n| n as u64 == EACH);
    Some(Outcome::of(all, observed))
}
