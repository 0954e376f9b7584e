//! Who pays for a pair of fences? The side that runs seldom, where the system helps.
//!
//! Two threads each write one word and then look at the other's (store buffering): with a fence between on either
//! side, one of the two sees the other. Where one side runs with every look-up and the other hardly ever, the
//! first need only keep the compiler from moving things, if the second makes every running thread of the process
//! pass a barrier meanwhile: Linux's `membarrier` (M. Desnoyers et al., "User-level implementations of RCU", IEEE TPDS
//! 2012; the pair is that of P. McKenney's proposal P1202 to C++). Whatever the frequent side had written before the
//! point at which it was interrupted the seldom side sees, and whatever it looks at later shows what that had
//! written. Where the system does not help both sides fence.
//!
//! | word | arrow | who | by |
//! |---|---|---|---|
//! | `ANSWER` | `UNASKED -> GRANTED` or `-> REFUSED`, for good | whoever [prepares](prepare) first | exchange, after the system has answered |
//!
//! A frequent side that reads anything but `GRANTED` fences. One that reads it: the seldom side must know, too,
//! or it would fence alone. So every domain [prepares](prepare) when it is made (`reclaim::fences`), before anybody can look
//! at anything of its cache, and whoever acts on the seldom side has seen it: reads of one word do not go back in time.

#![allow(unsafe_code, reason = "the room of the foreign function")]

#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) use machine::{heavy, is_granted, keep_order, light, prepare};

#[cfg(not(all(hotset_loom, feature = "loom")))]
mod machine {
    use std::sync::atomic::{AtomicU32, Ordering, compiler_fence, fence};

    use super::system;

    const UNASKED: u32 = 0;
    const GRANTED: u32 = 1;
    const REFUSED: u32 = 2;

    static ANSWER: AtomicU32 = AtomicU32::new(UNASKED);

    #[inline(always)]
    fn answer() -> u32 {
        // ORDERING: Relaxed. See the module: coherence of this one word.
        ANSWER.load(Ordering::Relaxed)
    }

    /// Asks the system, once in a process. May take some milliseconds then.
    pub(crate) fn prepare() {
        if answer() == UNASKED {
            let said = if system::register() { GRANTED } else { REFUSED };
            // ORDERING: Relaxed, both. As above; the system has granted it before.
            let _ = ANSWER.compare_exchange(UNASKED, said, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether the system helps. Once it does it always will.
    #[inline(always)]
    pub(crate) fn is_granted() -> bool {
        answer() == GRANTED
    }

    /// Keeps the compiler from moving things past it.
    #[inline(always)]
    pub(crate) fn keep_order() {
        // ORDERING: SeqCst, for the compiler alone. Partner: the system's barrier in `heavy`.
        compiler_fence(Ordering::SeqCst);
    }

    /// The frequent side's fence.
    #[inline(always)]
    pub(crate) fn light() {
        if is_granted() {
            keep_order();
        } else {
            // ORDERING: SeqCst. Partner: the fence in `heavy`.
            fence(Ordering::SeqCst);
        }
    }

    /// The seldom side's fence, for all threads. False if the system has broken its word: then nothing is
    /// known of what others do.
    #[must_use]
    pub(crate) fn heavy() -> bool {
        // ORDERING: SeqCst. Partner: those fences of `light` that are ones, and all others.
        fence(Ordering::SeqCst);
        !is_granted() || system::barrier()
    }
}

/// LOOM: what the model checker has no notion of; in models both sides fence, which is what the pair is worth.
#[cfg(all(hotset_loom, feature = "loom"))]
mod model {
    use crate::sync::{Ordering, fence};

    pub(crate) fn prepare() {}

    pub(crate) fn is_granted() -> bool {
        false
    }

    pub(crate) fn keep_order() {}

    pub(crate) fn light() {
        // ORDERING: SeqCst. Partner: `heavy`.
        fence(Ordering::SeqCst);
    }

    #[must_use]
    pub(crate) fn heavy() -> bool {
        // ORDERING: SeqCst. Partner: `light`.
        fence(Ordering::SeqCst);
        true
    }
}
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use model::{heavy, is_granted, keep_order, light, prepare};

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(miri),
    not(all(hotset_loom, feature = "loom"))
))]
mod system {
    use std::ffi::{c_int, c_long, c_uint};

    /// `__NR_membarrier`.
    const MEMBARRIER: c_long = if cfg!(target_arch = "x86_64") { 324 } else { 283 };
    /// `MEMBARRIER_CMD_PRIVATE_EXPEDITED`: all threads of the process that run.
    const BARRIER: c_int = 1 << 3;
    /// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`, once before that.
    const REGISTER: c_int = 1 << 4;

    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }

    fn membarrier(command: c_int) -> bool {
        // SAFETY: the call takes a command, flags and the number of a processor, the last two zero, and touches no
        // memory of ours. The declaration is that of the C library that the standard library is linked with.
        unsafe { syscall(MEMBARRIER, command, 0 as c_uint, 0 as c_int) == 0 }
    }

    pub(super) fn register() -> bool {
        membarrier(REGISTER)
    }

    pub(super) fn barrier() -> bool {
        membarrier(BARRIER)
    }
}

#[cfg(not(any(
    all(
        target_os = "linux",
        target_pointer_width = "64",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(miri)
    ),
    all(hotset_loom, feature = "loom")
)))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier() -> bool {
        true
    }
}

#[cfg(all(test, not(hotset_loom)))]
pub(crate) mod tests {
    use super::*;
    use crossbeam_utils::CachePadded;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Each of two threads writes its word, passes its fence, and reads the other's. In how many rounds neither saw
    /// the other.
    pub(crate) fn missed(
        rounds: u32,
        frequent: impl Fn() + Sync,
        seldom: impl Fn() + Sync,
    ) -> usize {
        // On lines of their own, or the two would see each other all the same.
        let words: [CachePadded<AtomicU32>; 2] = Default::default();
        let at: [CachePadded<AtomicU32>; 2] = Default::default();
        let side = |mine: usize, fence: &dyn Fn()| -> Vec<bool> {
            let (mine, other) = (mine, 1 - mine);
            let play = |round| {
                // ORDERING: Release, Acquire. Partners: each other; one's round begins after both ended the last.
                at[mine].store(round, Ordering::Release);
                let mut looks = 0;
                while at[other].load(Ordering::Acquire) < round {
                    looks += 1;
                    if looks % 1000 == 0 {
                        std::thread::yield_now()
                    } else {
                        std::hint::spin_loop()
                    }
                }
                // ORDERING: Relaxed, both. What is tested is the fence between.
                words[mine].store(round, Ordering::Relaxed);
                fence();
                words[other].load(Ordering::Relaxed) >= round
            };
            (1..=rounds).map(play).collect()
        };
        let (frequent, seldom) = std::thread::scope(|scope| {
            let other = scope.spawn(|| side(1, &|| seldom()));
            (side(0, &|| frequent()), other.join().unwrap())
        });
        frequent.iter().zip(&seldom).filter(|&(&a, &b)| !a && !b).count()
    }

    /// Without the seldom side's part some are missed, 6 of a thousand on an EPYC.
    #[test]
    fn one_of_the_two_sees_the_other() {
        prepare();
        prepare();
        assert_eq!(missed(20_000, light, || assert!(heavy())), 0);
    }
}
