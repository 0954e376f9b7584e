//! A key is written, or invalidated, while its load runs. Can the load bring back what was before?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::case::{Case, Outcome, Pace, Peer};
use super::loading::{Loader, Loading, loading};

pub const INSERT: Case = Case {
    name: "insert-during-load",
    asks: "a key is written while its load runs: the newer value stays",
    run: |peer, pace| run(peer, pace, |cache| cache.insert(1, NEW), Some(NEW)),
};

pub const INVALIDATE: Case = Case {
    name: "invalidate-during-load",
    asks: "a key is invalidated while its load runs: the value from before is not kept",
    run: |peer, pace| run(peer, pace, |cache| cache.remove(1), None),
};

const OLD: u64 = 1;
const NEW: u64 = 2;

fn run(peer: Peer, pace: Pace, write: fn(&dyn Loading), must_stay: Option<u64>) -> Option<Outcome> {
    let cache = loading(peer)?;
    let [running, written, waited]: [Arc<AtomicBool>; 3] = Default::default();
    // The value is read first and brought later, as from a database. The load ends once the write
    // is over, or after a while if the write waits for the load.
    let loader: Loader = Arc::new({
        let [running, written, waited] = [&running, &written, &waited].map(Arc::clone);
        move || {
            running.store(true, SeqCst);
            wait_for(&written, pace.linger * 4);
            waited.store(!written.load(SeqCst), SeqCst);
            Ok(OLD)
        }
    });
    let loaded = std::thread::scope(|scope| {
        let load = scope.spawn(|| cache.load(1, &loader));
        wait_for(&running, Duration::MAX);
        let write = scope.spawn(|| {
            write(&*cache);
            written.store(true, SeqCst);
        });
        let loaded = load.join().expect("the loader does not panic");
        write.join().expect("writes do not panic");
        loaded
    });
    let stays = cache.get(1);
    let word = |value| match value {
        Some(OLD) => "the load's older value",
        Some(_) => "the newer value",
        None => "nothing",
    };
    let mut observed = format!("the cache then holds {}", word(stays));
    if waited.load(SeqCst) {
        observed.push_str("; the write waited for the load");
    } else if loaded != Ok(OLD) {
        observed.push_str(&format!("; the loader's caller got {}", word(loaded.ok())));
    }
    Some(Outcome::of(stays == must_stay, observed))
}

fn wait_for(flag: &AtomicBool, patience: Duration) {
    let start = Instant::now();
    while !flag.load(SeqCst) && start.elapsed() < patience {
        std::thread::sleep(Duration::from_micros(100));
    }
}
