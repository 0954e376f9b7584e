//! One thread: what does a short read, a pinned read, a swap cost?

use std::hint::black_box;

use super::scheme::{Pinned, Scheme, is_of};

/// Reads under one pin.
const PIN: usize = 64;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Task {
    Short,
    Pinned,
    /// All reads under one pin: what a read costs that needs no protection of its own.
    Floor,
    Swap,
    CompareSwap,
}

/// A scheme to be measured, with its type erased. Between calls nothing of it is in use.
pub(super) trait Subject {
    /// Thread CPU nanoseconds of one operation out of `count`. None if there is no such thing.
    fn measure(&self, task: Task, count: usize) -> Option<f64>;
}

pub(super) struct Solo<S> {
    scheme: S,
    slots: usize,
}

impl<S: Scheme + 'static> Solo<S> {
    pub(super) fn boxed(slots: usize) -> Box<dyn Subject> {
        Box::new(Self { scheme: S::new(slots, None), slots })
    }
}

impl<S: Scheme> Subject for Solo<S> {
    fn measure(&self, task: Task, count: usize) -> Option<f64> {
        let (scheme, slots) = (&self.scheme, self.slots);
        if matches!(task, Task::Pinned | Task::Floor) && !S::SPANS {
            return None;
        }
        let mut rng = Rng::new(count as u64);
        // A warm-up as long as a tenth of the measurement, then the measurement.
        let mut start = 0;
        for count in [count / 10, count] {
            start = cpu_ns();
            match task {
                Task::Short => {
                    let mut sum = 0;
                    for _ in 0..count {
                        sum ^= scheme.read(rng.below(slots));
                    }
                    black_box(sum);
                }
                Task::Pinned => {
                    let mut sum = 0;
                    for _ in 0..count / PIN {
                        let mut pin = scheme.pin(0);
                        for _ in 0..PIN {
                            sum ^= pin.read(rng.below(slots));
                        }
                    }
                    black_box(sum);
                }
                Task::Floor => {
                    let mut sum = 0;
                    let mut pin = scheme.pin(0);
                    for _ in 0..count {
                        sum ^= pin.read(rng.below(slots));
                    }
                    black_box(sum);
                }
                Task::Swap | Task::CompareSwap => {
                    for n in 0..count as u64 {
                        let index = rng.below(slots);
                        scheme.replace(index, n << 32 | index as u64, task == Task::CompareSwap);
                    }
                }
            }
        }
        let spent = (cpu_ns() - start) as f64 / count as f64;
        let index = rng.below(slots);
        assert!(is_of(scheme.read(index), index), "a node of another slot");
        Some(spent)
    }
}

/// CPU time of the running thread: other people's builds on this machine do not count.
pub(super) fn cpu_ns() -> u64 {
    if cfg!(miri) {
        return 0; // it does not know this clock
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and `time` is ours to be written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "no CPU clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// xorshift64*: 1 to 2 ns a number, the same for every scheme.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[inline(always)]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }
}
