//! How much memory does a cache ask for that grows, and what does `clear` give back?
//!
//! A binary of its own, since its allocator counts, and one test, since it counts for all threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hotset::{Cache, Insert};

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed on to `System`, and its answer is given as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All keys have one hash.
#[derive(Clone, Copy)]
struct OneHash;

impl BuildHasher for OneHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for OneHash {
    fn finish(&self) -> u64 {
        0x1234_5678_9ABC_DEF0
    }

    fn write(&mut self, _: &[u8]) {}
}

const WEIGHT: u64 = 100;
/// What an entry takes beside the table: key, value, header, weight.
const ENTRY: usize = 64;

fn builder(max_weight: u64) -> hotset::Builder<u64, u64> {
    Cache::builder().max_weight(max_weight).weigher(|_, _| WEIGHT)
}

#[test]
fn memory_follows_the_entries() {
    // Filled, as the bound says.
    for entries in [50_000, 150_000_usize] {
        let before = LIVE.load(Relaxed);
        let each = || (LIVE.load(Relaxed) - before) / entries;
        let cache = builder(entries as u64 * WEIGHT).build().unwrap();
        let empty = LIVE.load(Relaxed) - before;
        let fill = || {
            for key in 0..entries as u64 {
                assert!(matches!(cache.insert(key, key), Insert::New));
            }
        };
        fill();
        let full = each();
        assert!(full < ENTRY + 70, "{full} bytes for each of {entries}");
        // The table goes back, and what is remembered of those who leave, unless they are looked at.
        let pin = cache.pin();
        cache.clear();
        cache.maintain();
        let pinned = LIVE.load(Relaxed) - before;
        drop(pin);
        cache.maintain();
        let left = LIVE.load(Relaxed) - before;
        assert!(left < empty + 16_384, "{left} bytes after clear, {empty} at first");
        assert!(pinned > left + entries * (ENTRY + 11), "{pinned} bytes under a pin, {left} after");
        fill();
        cache.retain(|_, _| false);
        cache.maintain();
        let again = LIVE.load(Relaxed) - before;
        assert!(again <= left + (left >> 6), "{again} bytes the second time, {left} the first");
        drop(cache);
        assert!(each() == 0, "{} bytes left", each());
    }

    // A bound that is never reached: thirty-two times as much table as there are entries at the most.
    let before = LIVE.load(Relaxed);
    let cache = builder(u64::MAX).build().unwrap();
    let mut most = 0;
    for key in 0..100_000 {
        assert!(matches!(cache.insert(key, key), Insert::New));
        if key > 20_000 {
            most = most.max((LIVE.load(Relaxed) - before) / key as usize);
        }
    }
    assert!(most < ENTRY + 32 * 50, "{most} bytes an entry");
    drop(cache);

    // A bound that was raised to whatever is not a reason to ask for as much.
    let before = LIVE.load(Relaxed);
    let cache = Cache::new(100);
    cache.set_max_entries(1 << 30).unwrap();
    (0..10_000_u64).for_each(|key| drop(cache.insert(key, key)));
    assert_eq!(cache.len(), 10_000);
    let each = (LIVE.load(Relaxed) - before) / 10_000;
    assert!(each < ENTRY + 32 * 50, "{each} bytes an entry");
    drop(cache);

    // Keys that share one hash do not blow the table up.
    let before = LIVE.load(Relaxed);
    let cache = builder(u64::MAX).hasher(OneHash).build().unwrap();
    let empty = LIVE.load(Relaxed) - before;
    let admitted = (0..2000).filter(|&key| cache.insert(key, key).is_admitted()).count();
    assert!((400..1000).contains(&admitted), "{admitted} admitted");
    let grown = LIVE.load(Relaxed) - before - empty;
    assert!(grown < 16 * 4096 * 64 + admitted * 2 * ENTRY, "{grown} bytes more than {empty}");
    assert!(grown < 4 << 20, "{grown} bytes more than {empty}");
    drop(cache);

    // Whatever way entries leave, the memory of most goes back once few are left.
    let live = || LIVE.load(Relaxed);
    let cache = Cache::new(100_000);
    let empty = live();
    let fill = || (0..100_000_u64).for_each(|key| drop(cache.insert(key, key)));
    fill();
    let full = live() - empty;
    assert!((32 * 100_000..40 * 100_000).contains(&full), "{full} bytes");
    cache.retain(|&key, _| key < 100);
    assert!(live() - empty < full / 4, "{} of {full} bytes after retain", live() - empty);
    fill();
    cache.set_max_entries(10).unwrap();
    assert!(live() - empty < full / 4, "{} of {full} bytes of 10 entries", live() - empty);
    cache.set_max_entries(100_000).unwrap();
    fill();
    // Threads that have gone keep no more than what a few of their last blocks lie in.
    std::thread::scope(|scope| {
        for part in 0..4 {
            let cache = &cache;
            scope
                .spawn(move || (part..100_000).step_by(4).for_each(|key| drop(cache.remove(&key))));
        }
    });
    cache.maintain();
    assert!(live() - empty < full / 4 + (4 << 18), "{} of {full} bytes", live() - empty);
    fill();
    let mut handles: Vec<_> = (0..100_000).filter_map(|key| cache.remove(&key)).collect();
    drop(cache);
    let gone = live();
    handles.truncate(10);
    let freed = gone - live();
    assert!(freed > full / 4 * 3, "{freed} of {full} bytes after all handles but 10");
    drop(handles);

    // A bound is not a wish: the table is there for it, but nobody has touched it.
    if let Some(before) = resident() {
        let cache = Cache::new(20_000_000);
        // So few that it holds where the system gives pages of two megabytes, too.
        (0..10_u64).for_each(|key| drop(cache.insert(key, key)));
        let touched = resident().unwrap().saturating_sub(before);
        assert!(touched < 100 << 20, "{touched} bytes touched by 10 entries of 20,000,000");
        assert!(LIVE.load(Relaxed) > 400 << 20);
    } else {
        eprintln!("not told how much memory is resident: not checked that a table is not touched");
    }

    #[cfg(hotset_pause)]
    too_late::room_made_when_its_segment_is_gone();
}

/// In the build with pause points: `RUSTFLAGS="--cfg hotset_pause" cargo test --test memory`.
#[cfg(hotset_pause)]
mod too_late {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread;

    use hotset::__pause::{Step, set_hook};

    use super::{Cache, LIVE, Relaxed, WEIGHT, builder};

    static STOPPED: AtomicBool = AtomicBool::new(false);
    static RELEASED: AtomicBool = AtomicBool::new(false);

    thread_local! {
        static VICTIM: Cell<bool> = const { Cell::new(false) };
    }

    /// Stops the victim once.
    fn reached(step: Step) {
        if step == Step::Grown && VICTIM.replace(false) {
            STOPPED.store(true, SeqCst);
            while !RELEASED.load(SeqCst) {
                thread::yield_now();
            }
        }
    }

    /// Who makes the table grow is stopped before it makes room for what is to be known of so many, and `clear` comes
    /// meanwhile: the room is given back all the same, later.
    pub(crate) fn room_made_when_its_segment_is_gone() {
        set_hook(reached);
        // A segment that comes because one home is crowded makes no room; whether one does depends on the hasher's seed,
        // so each turn has its own.
        let makes_room = || {
            let cache = builder(1_000_000 * WEIGHT).build().unwrap();
            cache.insert(0, 0);
            cache.clear();
            let empty = LIVE.load(Relaxed);
            let made = stopped_while_it_grows(&cache).saturating_sub(empty);
            cache.clear();
            cache.maintain();
            let left = LIVE.load(Relaxed).saturating_sub(empty);
            assert!(left < 64 << 10, "{left} bytes are left");
            made > 10 << 20
        };
        assert!((0..100).any(|_| makes_room()), "nobody made room in a hundred turns");
    }

    /// Bytes, after one who makes the table grow was stopped, the table was cleared, and it went on.
    fn stopped_while_it_grows(cache: &Cache<u64, u64>) -> usize {
        // Fewer than the table needs to have seen in order to grow for a million.
        const SO_FAR: u64 = 15_000;
        (0..SO_FAR).for_each(|key| drop(cache.insert(key, key)));
        STOPPED.store(false, SeqCst);
        RELEASED.store(false, SeqCst);
        thread::scope(|scope| {
            let victim = scope.spawn(move || {
                VICTIM.set(true);
                let mut keys = SO_FAR..1_000_000;
                while !STOPPED.load(SeqCst) {
                    let key = keys.next().expect("the table has grown by now");
                    cache.insert(key, key);
                }
            });
            while !STOPPED.load(SeqCst) && !victim.is_finished() {
                thread::yield_now();
            }
            cache.clear();
            RELEASED.store(true, SeqCst);
        });
        LIVE.load(Relaxed)
    }
}

/// Bytes of this process that are in memory, where the system tells it.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}
