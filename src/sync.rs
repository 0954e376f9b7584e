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
