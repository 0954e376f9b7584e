//! How long, on how many threads? All start together and stop at one common deadline.

use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// The moment at which all threads of a round stop.
pub struct Deadline(Instant);

impl Deadline {
    #[inline]
    pub fn passed(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// The time that a round took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the common start to the last thread's end.
    pub clock: Duration,
    /// Of a single thread, its time on the processor. Others on the machine may take the core
    /// away, which is no cost of the operations; on a machine of one's own it is the same.
    pub own: Option<Duration>,
}

/// Runs `body` once per element of `states`, each on its own thread, until a deadline `budget`
/// away; returns what they return, and the time that it took.
///
/// A common deadline, not one per thread: with more threads than cores some start late, and a
/// round in which the stragglers run alone would measure something else.
pub fn until_deadline<S: Send, T: Send>(
    states: &mut [S],
    budget: Duration,
    body: impl Fn(&mut S, &Deadline) -> T + Sync,
) -> (Vec<T>, Took) {
    if let [state] = states {
        let (start, own_start) = (Instant::now(), ThreadTime::now());
        let result = body(state, &Deadline(start + budget));
        let (own, clock) = (own_start.elapsed(), start.elapsed());
        return (vec![result], Took { clock, own: Some(own) });
    }
    let barrier = Barrier::new(states.len());
    let start = OnceLock::new();
    let ended: Vec<(T, Instant)> = std::thread::scope(|scope| {
        let threads: Vec<_> = states
            .iter_mut()
            .map(|state| {
                scope.spawn(|| {
                    barrier.wait();
                    let start = *start.get_or_init(Instant::now);
                    let result = body(state, &Deadline(start + budget));
                    (result, Instant::now())
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("a worker panicked")).collect()
    });
    let start = *start.get().expect("every thread has set or read it");
    let last = ended.iter().map(|(_, end)| *end).max().unwrap_or(start);
    let took = Took { clock: last - start, own: None };
    (ended.into_iter().map(|(result, _)| result).collect(), took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_visited_and_the_time_is_kept() {
        let budget = Duration::from_millis(5);
        for threads in [1, 3] {
            let mut states = vec![0_u32; threads];
            let begin = Instant::now();
            let (results, took) = until_deadline(&mut states, budget, |state, deadline| {
                *state += 1;
                while !deadline.passed() {}
                *state
            });
            assert_eq!((states, results), (vec![1; threads], vec![1; threads]));
            assert!(begin.elapsed() >= budget);
            assert!(took.clock >= budget && took.clock <= begin.elapsed());
            assert_eq!(took.own.is_some(), threads == 1);
            assert!(took.own.is_none_or(|own| own > Duration::ZERO && own <= begin.elapsed()));
        }
    }
}
