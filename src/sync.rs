//! Which atomics, which threads? The only file that names `std::sync::atomic` or loom.
//!
//! With `--cfg hotset_loom` and the feature `loom` every primitive below is loom's, so that the
//! models in `loom-tests` run the code that ships. Nothing here is weaker or stronger than what
//! ships, with one exception that is argued where it stands: `reclaim::fences`.

/// LOOM: what the models watch for leaks.
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) type Tracked = loom::alloc::Track<()>;

/// What the models watch for leaks; here nothing.
#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) struct Tracked;

#[cfg(not(all(hotset_loom, feature = "loom")))]
impl Tracked {
    pub(crate) const fn new((): ()) -> Self {
        Self
    }
}

/// LOOM: stands for what loom does not see of a thing that is published: its making is a write, and a model
/// fails in which that does not happen before a look.
#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) struct Made(loom::cell::UnsafeCell<()>);

#[cfg(all(hotset_loom, feature = "loom"))]
impl Made {
    pub(crate) fn new() -> Self {
        let made = loom::cell::UnsafeCell::new(());
        made.with_mut(|_| ());
        Self(made)
    }

    pub(crate) fn seen(&self) {
        self.0.with(|_| ());
    }

    /// It is made anew.
    pub(crate) fn remade(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Of what is published, for the models; here nothing.
#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) struct Made;

#[cfg(not(all(hotset_loom, feature = "loom")))]
impl Made {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn seen(&self) {}
}

#[cfg(all(hotset_loom, feature = "loom"))]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Condvar, Mutex}, // for the shell of `resource::model`
    thread::{Thread, current, park, yield_now},
    thread_local,
};

#[cfg(not(all(hotset_loom, feature = "loom")))]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread::{Thread, current, park, yield_now},
    thread_local,
};

/// True in a build for the model checker: sizes and thresholds shrink to one or two, so that the
/// interesting path is met within a few steps.
pub(crate) const MODEL: bool = cfg!(all(hotset_loom, feature = "loom"));

/// How many threads can run at a time, as it was when it was first asked for.
pub(crate) fn cores() -> usize {
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// Whether the processor has an instruction that fetches a line for writing: 1 if not, 2 if it has, 0 before somebody
/// has asked.
#[cfg(all(target_arch = "x86_64", not(miri), not(target_env = "sgx")))]
static FETCHES_FOR_WRITE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Asks the processor, once, what `prefetch_for_write` may do.
pub(crate) fn learn_to_prefetch() {
    #[cfg(all(target_arch = "x86_64", not(miri), not(target_env = "sgx")))]
    // ORDERING: Relaxed, both. It publishes nothing.
    if FETCHES_FOR_WRITE.load(Ordering::Relaxed) == 0 {
        use std::arch::x86_64::__cpuid;
        const EXTENDED: u32 = 0x8000_0000;
        #[allow(unused_unsafe, reason = "it is a safe function in later versions of the library")]
        // SAFETY: every x86-64 has the instruction, and allows it outside of enclaves.
        let [most, bits] = [0, 1].map(|leaf| unsafe { __cpuid(EXTENDED | leaf) });
        let has = most.eax > EXTENDED && bits.ecx >> 8 & 1 == 1;
        FETCHES_FOR_WRITE.store(1 + u32::from(has), Ordering::Relaxed);
    }
}

/// Asks the processor to fetch the line at `address`, which is to be written, from whichever processor has it. It need
/// not be valid. No effect on what the program does.
#[inline(always)]
pub(crate) fn prefetch_for_write<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(target_env = "sgx")))]
    // ORDERING: Relaxed. It publishes nothing.
    if FETCHES_FOR_WRITE.load(Ordering::Relaxed) == 2 {
        // SAFETY: the processor has said that it has the instruction, which is a hint without effect on memory and never
        // faults, whatever the address.
        unsafe {
            std::arch::asm!(
                "prefetchw [{}]",
                in(reg) address,
                options(nostack, preserves_flags, readonly)
            );
        }
        return;
    }
    prefetch(address);
}

/// Asks the processor to fetch the line at `address`, which need not be valid. No effect on what
/// the program does.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address is a hint without effect on memory and never faults; SSE
    // is part of every x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
