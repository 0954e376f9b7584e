//! Many threads on few cores: how much is done, how much is alive, how much is refused?

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::epoch;
use super::scheme::{Pinned, Scheme, is_of};
use super::seat::{Seat, live};
use super::solo::{Rng, cpu_ns};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Work {
    /// Uniform swaps, nothing else.
    Churn,
    /// Zipf reads, a fifth of which are misses: followed by a swap that compares.
    Mix,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Long {
    None,
    /// A thread that pins (C, F: keeps one node) as long as the run lasts, asleep.
    Forever,
    /// A thread that pins for a millisecond, asleep, over and over.
    Millisecond,
}

#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) slots: usize,
    pub(super) limit: Option<usize>,
    pub(super) work: Work,
    /// What a miss takes before the swap, in a read-through.
    pub(super) load: Duration,
    pub(super) long: Long,
}

/// What one run showed.
#[derive(Clone, Copy, Default)]
pub(super) struct Outcome {
    /// Million operations a second over all threads; a refused swap is none.
    pub(super) throughput: f64,
    /// CPU nanoseconds of an operation, refused ones included.
    pub(super) cpu: f64,
    /// Values alive beyond the number of slots, at most, and when all threads had ended.
    pub(super) excess: f64,
    pub(super) left: f64,
    /// Percent of the attempted swaps.
    pub(super) refused: f64,
}

/// Slot numbers to draw from: Zipf with exponent 0.99, hot slots scattered over the array.
pub(super) fn zipf(slots: usize) -> Vec<u32> {
    let mut sum = 0.0;
    let weights: Vec<f64> = (1..=slots)
        .map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        })
        .collect();
    let mut rng = Rng::new(99);
    (0..1 << 18)
        .map(|_| {
            let point = (rng.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            let rank = weights.partition_point(|&weight| weight < point).min(slots - 1);
            (rank * 7_919 % slots) as u32
        })
        .collect()
}

#[derive(Default)]
struct Tally {
    done: u64,
    attempted: u64,
    refused: u64,
    cpu: u64,
}

pub(super) fn run<S: Scheme>(
    scenario: Scenario,
    draws: &[u32],
    threads: usize,
    time: Duration,
) -> Outcome {
    let floor = live();
    let array = S::new(scenario.slots, scenario.limit);
    let stop = AtomicBool::new(false);
    let pinners = usize::from(scenario.long != Long::None);
    let ready = Barrier::new(threads + pinners + 1);

    let (tallies, most, elapsed) = thread::scope(|scope| {
        let (array, stop, ready) = (&array, &stop, &ready);
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    let _seat = Seat::take();
                    ready.wait();
                    match scenario.work {
                        Work::Churn => churn(array, scenario.slots, number, stop),
                        Work::Mix => mix(array, draws, scenario.load, number, stop),
                    }
                })
            })
            .collect();
        if pinners > 0 {
            scope.spawn(move || {
                let _seat = Seat::take();
                keep_pinning(array, scenario, stop, || _ = ready.wait());
            });
        }
        ready.wait();
        let (start, mut most) = (Instant::now(), 0);
        while start.elapsed() < time {
            thread::sleep(Duration::from_micros(200));
            most = most.max(live());
        }
        stop.store(true, Ordering::Relaxed); // ORDERING: Relaxed. A wish to stop.
        let elapsed = start.elapsed();
        let tallies: Vec<Tally> =
            workers.into_iter().map(|worker| worker.join().expect("a worker failed")).collect();
        (tallies, most, elapsed)
    });

    let left = live();
    drop(array);
    epoch::drain(floor);
    assert_eq!(live(), floor, "values leaked, or were dropped twice");

    let sum = |pick: fn(&Tally) -> u64| tallies.iter().map(pick).sum::<u64>() as f64;
    let done = sum(|tally| tally.done);
    let base = floor + scenario.slots;
    Outcome {
        throughput: done / elapsed.as_secs_f64() / 1e6,
        cpu: sum(|tally| tally.cpu) / (done + sum(|tally| tally.refused)),
        excess: most.saturating_sub(base) as f64,
        left: left.saturating_sub(base) as f64,
        refused: 100.0 * sum(|tally| tally.refused) / sum(|tally| tally.attempted).max(1.0),
    }
}

/// Whether to go on; asked once in a while.
fn goes_on(stop: &AtomicBool) -> bool {
    // ORDERING: Relaxed. Nothing is read on the strength of it.
    !stop.load(Ordering::Relaxed)
}

fn churn<S: Scheme>(array: &S, slots: usize, number: usize, stop: &AtomicBool) -> Tally {
    let mut rng = Rng::new(number as u64);
    let (mut tally, mut n, start) = (Tally::default(), 0, cpu_ns());
    while goes_on(stop) {
        for _ in 0..64 {
            let index = rng.below(slots);
            n += 1;
            let admitted = array.replace(index, n << 32 | index as u64, false);
            tally.done += u64::from(admitted);
            tally.refused += u64::from(!admitted);
        }
        tally.attempted += 64;
    }
    tally.cpu = cpu_ns() - start;
    tally
}

fn mix<S: Scheme>(
    array: &S,
    draws: &[u32],
    load: Duration,
    number: usize,
    stop: &AtomicBool,
) -> Tally {
    let mut rng = Rng::new(number as u64);
    let mut place = rng.below(draws.len());
    let (mut tally, mut n, start) = (Tally::default(), 0, cpu_ns());
    while goes_on(stop) {
        for _ in 0..64 {
            place = if place + 1 == draws.len() { 0 } else { place + 1 };
            let index = draws[place] as usize;
            assert!(is_of(array.read(index), index), "a node of another slot");
            tally.done += 1;
            if rng.next() >> 32 < (u64::from(u32::MAX)) / 5 {
                n += 1;
                spin(load);
                let admitted = array.replace(index, n << 32 | index as u64, true);
                tally.attempted += 1;
                tally.done += u64::from(admitted);
                tally.refused += u64::from(!admitted);
            }
        }
    }
    tally.cpu = cpu_ns() - start;
    tally
}

/// Stands for a loader.
fn spin(time: Duration) {
    if !time.is_zero() {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }
}

fn keep_pinning<S: Scheme>(array: &S, scenario: Scenario, stop: &AtomicBool, ready: impl FnOnce()) {
    let (mut rng, mut ready) = (Rng::new(7), Some(ready));
    while goes_on(stop) {
        let index = rng.below(scenario.slots);
        let mut pin = array.pin(index);
        assert!(is_of(pin.read(index), index), "a node of another slot");
        if let Some(ready) = ready.take() {
            ready();
        }
        loop {
            thread::sleep(Duration::from_millis(1));
            if scenario.long == Long::Millisecond || !goes_on(stop) {
                break;
            }
        }
        assert!(is_of(pin.read(index), index), "a node of another slot");
    }
}
