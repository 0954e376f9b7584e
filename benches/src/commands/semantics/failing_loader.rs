//! A loader fails while seven others wait for its key. Are they told, or does each try again?

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use super::case::{Case, Outcome, Pace, Peer, counted};
use super::loading::{Loader, loading};

const CALLERS: usize = 8;

pub const CASE: Case = Case {
    name: "failing-loader",
    asks: "8 callers ask for one key, whose loader fails: one load, and all of them get its error",
    run,
};

fn run(peer: Peer, pace: Pace) -> Option<Outcome> {
    // A caller that comes only after the failure starts a load of its own, and rightly: on a busy
    // machine this happens, and then the scene is played again.
    let mut outcome = None;
    for _ in 0..5 {
        let (loads, seen) = play(peer, pace)?;
        outcome = Some(seen);
        if loads == 1 || loads == CALLERS {
            break;
        }
    }
    outcome
}

fn play(peer: Peer, pace: Pace) -> Option<(usize, Outcome)> {
    let cache = loading(peer)?;
    let (loads, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let loader: Loader = Arc::new({
        let (loads, arrived) = (Arc::clone(&loads), Arc::clone(&arrived));
        move || {
            loads.fetch_add(1, SeqCst);
            while arrived.load(SeqCst) < CALLERS {
                std::thread::yield_now();
            }
            std::thread::sleep(pace.linger);
            Err("the database is down".to_owned())
        }
    });
    let start = Barrier::new(CALLERS);
    let began = Instant::now();
    let errors = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    arrived.fetch_add(1, SeqCst);
                    cache.load(1, &loader).is_err_and(|e| e.contains("the database is down"))
                })
            })
            .collect();
        callers.into_iter().map(|c| c.join().unwrap_or(false)).filter(|told| *told).count()
    });
    let loads = loads.load(SeqCst);
    let times = began.elapsed().as_secs_f64() / pace.linger.as_secs_f64();
    let observed = format!(
        "{}, {times:.1} x the time of one; {errors} of {CALLERS} got the error",
        counted(loads, "load")
    );
    Some((loads, Outcome::of(loads == 1 && errors == CALLERS, observed)))
}
