//! A writer writes to the source and then invalidates the key, while others read through the cache.
//! Does a read that starts after that ever give what was before?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use super::case::{Case, Outcome, Pace, Peer};
use super::loading::{Loader, loading};
use crate::report::grouped;

pub const CASE: Case = Case {
    name: "stale-reads",
    asks: "3 threads read through the cache, one writes the source and invalidates: no later read gives older",
    run,
};

fn run(peer: Peer, pace: Pace) -> Option<Outcome> {
    let cache = loading(peer)?;
    let [source, written, reads, stale]: [Arc<AtomicU64>; 4] = Default::default();
    let stop = AtomicBool::new(false);
    let loader: Loader = Arc::new({
        let source = Arc::clone(&source);
        move || {
            let value = source.load(SeqCst);
            std::thread::yield_now(); // on its way from the source
            Ok(value)
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let least = written.load(SeqCst);
                    let seen = cache.load(1, &loader);
                    reads.fetch_add(1, SeqCst);
                    if seen.is_ok_and(|seen| seen < least) {
                        stale.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let end = Instant::now() + pace.churn;
        let mut value = 0;
        while Instant::now() < end {
            value += 1;
            source.store(value, SeqCst);
            cache.remove(1);
            written.store(value, SeqCst);
            std::thread::yield_now();
        }
        stop.store(true, SeqCst);
    });
    let (stale, reads) = (stale.load(SeqCst), reads.load(SeqCst));
    Some(Outcome::of(stale == 0, format!("{} of {} reads", grouped(stale), grouped(reads))))
}
