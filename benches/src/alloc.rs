//! How many bytes are asked of the allocator? A counting wrapper round the system's.
//!
//! It counts only while it is told to: an atomic addition per allocation would slow every peer
//! that allocates per insert, and by unlike amounts. Switched off it costs one relaxed load of a
//! line that nobody writes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
static LIVE_BLOCKS: AtomicI64 = AtomicI64::new(0);

/// The system allocator, with requested bytes counted between [`start`] and [`stop`].
pub struct Counting;

/// What has been requested and not yet given back, counted from [`start`].
#[derive(Clone, Copy, Debug)]
pub struct Requested {
    pub bytes: i64,
    pub blocks: i64,
}

/// Starts counting at zero.
pub fn start() {
    LIVE_BYTES.store(0, Relaxed);
    LIVE_BLOCKS.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
}

/// Stops counting.
pub fn stop() {
    COUNTING.store(false, Relaxed);
}

/// What is requested now. Negative if blocks from before [`start`] were freed since.
pub fn requested() -> Requested {
    Requested { bytes: LIVE_BYTES.load(Relaxed), blocks: LIVE_BLOCKS.load(Relaxed) }
}

fn count(bytes: i64, blocks: i64) {
    if COUNTING.load(Relaxed) {
        // ORDERING: plain statistics; they are read when the threads that wrote them have ended.
        LIVE_BYTES.fetch_add(bytes, Relaxed);
        LIVE_BLOCKS.fetch_add(blocks, Relaxed);
    }
}

// SAFETY: every call is handed on to `System` with the caller's own arguments, and its answer is
// returned as it is; counting allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller's promise on `layout` is exactly what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), -1);
        // SAFETY: the block came from `System` through this type, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64, 0);
        // SAFETY: as in `dealloc`; the caller vouches for `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_between_start_and_stop() {
        // Other tests allocate beside this one, so only a lower bound can be asserted.
        start();
        let block = vec![0_u8; 64 << 20];
        assert!(requested().bytes > 32 << 20, "{:?}", requested());
        stop();
        let before = requested().bytes;
        let more = vec![0_u8; 64 << 20];
        assert!(requested().bytes < before + (32 << 20), "{:?}", requested());
        drop((block, more));
    }
}
