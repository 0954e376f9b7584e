//! What may a listener do? It panics once; it inserts into the cache that calls it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use super::case::{Case, Outcome, Pace, Peer};
use super::listened::{Listened, Listener, listened};

pub const PANICS: Case = Case {
    name: "listener-panics",
    asks: "a listener panics at its first call: inserts go on, and it is told of all others that leave",
    run: panics,
};

pub const INSERTS: Case = Case {
    name: "listener-inserts",
    asks: "a listener inserts into the cache that calls it: it may",
    run: inserts,
};

const ENTRIES: usize = 10;
const INSERTED: u64 = 1_000;

fn panics(peer: Peer, _: Pace) -> Option<Outcome> {
    let calls = Arc::new(AtomicUsize::new(0));
    let listener: Listener = Arc::new({
        let calls = Arc::clone(&calls);
        move |_| {
            if calls.fetch_add(1, SeqCst) == 0 {
                resume_unwind(Box::new("the listener's panic"));
            }
        }
    });
    let cache = listened(peer, ENTRIES, listener)?;
    let mut thrown = 0;
    for key in 0..INSERTED {
        let insert = catch_unwind(AssertUnwindSafe(|| {
            cache.insert(key);
            cache.settle();
        }));
        thrown += usize::from(insert.is_err());
    }
    let (calls, held) = (calls.load(SeqCst), cache.len());
    let left = INSERTED as usize - held.min(INSERTED as usize);
    let mut observed = format!("told of {calls} of {left} that left; holds {held}");
    if thrown > 0 {
        observed.push_str(&format!("; the panic came out of {thrown} of {INSERTED} inserts"));
    }
    Some(Outcome::of(calls == left && thrown == 0 && held <= ENTRIES, observed))
}

fn inserts(peer: Peer, _: Pace) -> Option<Outcome> {
    let itself: Arc<OnceLock<Arc<dyn Listened>>> = Arc::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let listener: Listener = Arc::new({
        let (itself, calls) = (Arc::clone(&itself), Arc::clone(&calls));
        move |key| {
            calls.fetch_add(1, SeqCst);
            // What it inserts itself makes it insert nothing more: there is an end.
            if let Some(cache) = itself.get().filter(|_| key < INSERTED) {
                cache.insert(key + INSERTED);
            }
        }
    });
    let cache = listened(peer, ENTRIES, listener)?;
    // They hold each other to the end of the process, which is near.
    if itself.set(Arc::clone(&cache)).is_err() {
        unreachable!("set once");
    }
    for key in 0..INSERTED {
        cache.insert(key);
    }
    // Where eviction is postponed, each round of it makes the listener insert anew.
    for _ in 0..100 {
        cache.settle();
        if cache.len() <= ENTRIES {
            break;
        }
    }
    let held = cache.len();
    Some(Outcome::of(held <= ENTRIES, format!("told of {}; holds {held}", calls.load(SeqCst))))
}
