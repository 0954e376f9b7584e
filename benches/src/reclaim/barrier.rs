//! A fence in every running thread of the process, for the price of a system call.

use std::sync::LazyLock;

/// From linux/membarrier.h.
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes three integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

static REGISTERED: LazyLock<bool> = LazyLock::new(|| membarrier(REGISTER_PRIVATE_EXPEDITED));

/// Whether the kernel has the call; registers the process for it.
pub(super) fn is_supported() -> bool {
    !cfg!(miri) && *REGISTERED
}

/// After this call every thread of the process has executed a full fence since it began.
pub(super) fn fence_all_threads() {
    assert!(is_supported() && membarrier(PRIVATE_EXPEDITED), "membarrier failed");
}
