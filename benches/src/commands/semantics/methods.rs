//! One missing key, asked for by every method that loads. Is that one load?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::case::{Case, Outcome, Pace, Peer, counted};
use super::loading::{Loader, loading};

pub const CASE: Case = Case {
    name: "three-methods",
    asks: "one missing key is asked for by all methods that load, at one time: one load",
    run,
};

fn run(peer: Peer, pace: Pace) -> Option<Outcome> {
    let cache = loading(peer)?;
    let methods = cache.methods();
    if methods.len() < 2 {
        return Some(Outcome::new(
            super::case::Verdict::NoFeature,
            format!("has one method, {}", methods[0]),
        ));
    }
    let (loads, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let loader: Loader = Arc::new({
        let (loads, asked) = (Arc::clone(&loads), Arc::clone(&asked));
        let all = methods.len();
        move || {
            loads.fetch_add(1, SeqCst);
            while asked.load(SeqCst) < all {
                std::thread::yield_now();
            }
            // Those who said that they ask may still be on their way.
            std::thread::sleep(pace.linger * 2);
            Ok(7)
        }
    });
    std::thread::scope(|scope| {
        for method in 0..methods.len() {
            let (cache, loader, asked) = (&cache, &loader, &asked);
            scope.spawn(move || {
                asked.fetch_add(1, SeqCst);
                cache.load_by(method, 1, loader)
            });
        }
    });
    let loads = loads.load(SeqCst);
    let observed = format!("{} for {}", counted(loads, "load"), methods.join(", "));
    Some(Outcome::of(loads == 1, observed))
}
