//! Which clocks has the machine? Both count from one beginning, and stand still while it sleeps.
//!
//! Where there is a coarse clock, both are asked of the C library that the standard library is linked
//! with: `std::time::Instant`, which reads the exact one of the two, keeps its number to itself.

#![allow(unsafe_code, reason = "the room of the foreign function")]

pub(super) use machine::System;

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod machine {
    use std::ffi::{c_int, c_long};

    /// `struct timespec` where a `long` has 64 bits.
    #[repr(C)]
    struct Timespec {
        seconds: c_long,
        nanoseconds: c_long,
    }

    const MONOTONIC: c_int = 1;
    const MONOTONIC_COARSE: c_int = 6;

    unsafe extern "C" {
        fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    }

    /// The two monotonic clocks of Linux.
    pub(crate) struct System(());

    impl System {
        pub(crate) fn new() -> Self {
            Self(())
        }

        pub(crate) fn exact(&self) -> u64 {
            read(MONOTONIC).expect("a system with a monotonic clock")
        }

        /// The exact time as of the last tick.
        #[inline]
        pub(crate) fn coarse(&self) -> u64 {
            read(MONOTONIC_COARSE).unwrap_or_else(|| self.exact())
        }
    }

    #[inline]
    fn read(clock: c_int) -> Option<u64> {
        let mut time = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: the declaration is that of POSIX for targets whose `time_t` is a `long`, as it is
        // on all 64-bit targets of Linux; `time` is a valid place for the answer.
        let failed = unsafe { clock_gettime(clock, &mut time) };
        (failed == 0).then_some(time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64)
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
mod machine {
    use std::time::Instant;

    /// The one clock that the standard library knows.
    pub(crate) struct System(Instant);

    impl System {
        pub(crate) fn new() -> Self {
            Self(Instant::now())
        }

        pub(crate) fn exact(&self) -> u64 {
            u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
        }

        #[inline]
        pub(crate) fn coarse(&self) -> u64 {
            self.exact()
        }
    }
}
