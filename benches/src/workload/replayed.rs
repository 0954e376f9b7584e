//! A trace from beginning to end, by several threads that keep to its order.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::read_through::each_through;
use super::{Sample, Tally, key, until_deadline};
use crate::peers::Cache;

/// Requests that a thread takes at a time: few, to keep to the order of the trace.
const TURN: usize = 64;

/// Nobody waits so long: a pass ends with its trace, not with a deadline.
const NEVER: Duration = Duration::from_secs(86_400);

/// Reads the trace through `cache`, `passes` times on `threads` threads, which take turns. What is
/// missing takes as long as `load` to load.
///
/// A fixed piece of work, not a fixed time: the parts of a trace differ, and whoever is faster
/// would be measured on another part of it.
pub fn replayed<C: Cache>(
    cache: &C,
    ids: &[u32],
    passes: usize,
    threads: usize,
    load: Duration,
) -> Sample {
    // ORDERING: hands out numbers alone.
    let next = AtomicUsize::new(0);
    let turns = ids.len().div_ceil(TURN);
    let mut states = vec![(); threads];
    let (tallies, took) = until_deadline(&mut states, NEVER, |_state, _never| {
        let mut tally = Tally::default();
        loop {
            let turn = next.fetch_add(1, Relaxed);
            if turn >= turns * passes {
                return tally;
            }
            let start = turn % turns * TURN;
            let ids = &ids[start..ids.len().min(start + TURN)];
            let keys = ids.iter().map(|&id| key(u64::from(id)));
            each_through(cache, keys, load, &mut tally);
            tally.ops += ids.len() as u64;
        }
    });
    let mut tally = Tally::default();
    tallies.into_iter().for_each(|t| tally += t);
    Sample { tally, took }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{MutexLru, Reader};

    #[test]
    fn every_request_is_made_once_in_each_pass() {
        // Not a multiple of a turn.
        let ids: Vec<u32> = (0..1_000).collect();
        for threads in [1, 3] {
            let cache = MutexLru::with_capacity(2_000);
            let load = Duration::from_nanos(if threads == 1 { 0 } else { 500 });
            let sample = replayed(&cache, &ids, 3, threads, load);
            let tally = sample.tally;
            assert_eq!((tally.ops, tally.hits + tally.inserts), (3_000, 3_000));
            // A thread that lags behind with a key while another is there in the next pass: both miss.
            assert!(tally.inserts == 1_000 || threads > 1 && tally.inserts > 1_000);
        }
    }
}
