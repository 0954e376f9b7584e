//! What do several test modules share? Counted values, quiet panics, poor hashers, random numbers.

use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use hotset::{Builder, Cache, Cause, ManualTime, Policy};
use proptest::prelude::ProptestConfig;

/// How often to do something that Miri does slowly.
pub(crate) fn times(n: usize) -> usize {
    if cfg!(miri) { (n / 50).max(2) } else { n }
}

/// So many cases of a property, of which nothing is written to disk.
pub(crate) fn cases(n: usize) -> ProptestConfig {
    ProptestConfig {
        cases: times(n) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// How long a stress test runs, with each policy.
pub(crate) fn stress_time() -> Duration {
    let seconds = std::env::var("HOTSET_STRESS_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(if cfg!(miri) { 0.01 } else { 0.6 }))
}

/// For what must hold whoever leaves.
pub(crate) const POLICIES: [Policy; 2] = [Policy::Adaptive, Policy::Clock];

/// A cache with this bound and this policy.
pub(crate) fn with_policy<K, V>(max_entries: usize, policy: Policy) -> Cache<K, V>
where
    K: std::hash::Hash + Eq,
{
    Cache::builder().max_entries(max_entries).policy(policy).build().unwrap()
}

/// Tells other threads to stop, also when a test fails.
#[derive(Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn said(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Says it when dropped.
    pub(crate) fn at_end(&self) -> impl Drop + '_ {
        struct AtEnd<'a>(&'a Stop);
        impl Drop for AtEnd<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, SeqCst);
            }
        }
        AtEnd(self)
    }
}

/// Counts the [`Tracked`] values that are alive, and notices those that are dropped twice.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    live: AtomicIsize,
    made: AtomicUsize,
    corrupt: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn make(self: &Arc<Self>, n: u64) -> Tracked {
        self.live.fetch_add(1, SeqCst);
        self.made.fetch_add(1, SeqCst);
        Tracked { n, check: AtomicU32::new(ALIVE), heap: Box::new(!n), ledger: Arc::clone(self) }
    }

    pub(crate) fn live(&self) -> isize {
        self.live.load(SeqCst)
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(SeqCst)
    }

    /// Nothing is alive, and nothing was dropped twice or read after its end.
    #[track_caller]
    pub(crate) fn assert_all_dropped(&self) {
        assert_eq!(self.live(), 0, "values that are still alive, of {}", self.made());
        assert_eq!(self.corrupt.load(SeqCst), 0, "values dropped twice or read after their end");
    }
}

const ALIVE: u32 = 0x0A11_FE00;
const DEAD: u32 = 0xDEAD_DEAD;

/// A value whose drops are counted. It owns heap memory, so that checkers see a use after its end.
#[derive(Debug)]
pub(crate) struct Tracked {
    n: u64,
    check: AtomicU32,
    heap: Box<u64>,
    ledger: Arc<Ledger>,
}

impl Tracked {
    /// The number it was made with. Notices a value that was dropped already.
    pub(crate) fn n(&self) -> u64 {
        if self.check.load(SeqCst) != ALIVE || *self.heap != !self.n {
            self.ledger.corrupt.fetch_add(1, SeqCst);
        }
        self.n
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        self.ledger.make(self.n())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.check.swap(DEAD, SeqCst) != ALIVE {
            self.ledger.corrupt.fetch_add(1, SeqCst);
        }
        self.ledger.live.fetch_sub(1, SeqCst);
    }
}

/// What [`boom`] panics with.
#[derive(Debug)]
pub(crate) struct Boom;

/// Panics without a message on the screen.
pub(crate) fn boom() -> ! {
    resume_unwind(Box::new(Boom))
}

/// Runs `f`; true if it ended with a [`boom`]. Any other panic goes on.
pub(crate) fn booms<T>(f: impl FnOnce() -> T) -> bool {
    match catch_unwind(AssertUnwindSafe(|| drop(f()))) {
        Ok(()) => false,
        Err(panic) if panic.is::<Boom>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

/// The text of a panic.
pub(crate) fn panic_text<T>(f: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else { panic!("no panic") };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic without a text")).to_string(),
    }
}

/// The worst hasher: all keys have one hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OneHash;

impl BuildHasher for OneHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for OneHash {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        42
    }
}

/// A small generator of random numbers (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 32) % n
    }
}

/// What a listener was told, in order.
pub(crate) type Log<K, V> = Arc<std::sync::Mutex<Vec<(K, V, Cause)>>>;

/// A cache with `Policy::Clock` and a listener that writes down what it is told.
pub(crate) fn logged<K, V>(max_entries: usize) -> (Cache<K, V>, Log<K, V>)
where
    K: std::hash::Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    let log: Log<K, V> = Arc::default();
    let told = Arc::clone(&log);
    let cache = Cache::builder()
        .max_entries(max_entries)
        .policy(Policy::Clock)
        .on_evict(move |k: &K, v: &V, cause| {
            // A test that fails while it holds the log drops its cache: it is to fail of one cause.
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.push((k.clone(), v.clone(), cause));
        })
        .build()
        .unwrap();
    (cache, log)
}

/// Checks what can be checked of any cache in a quiet moment.
#[track_caller]
pub(crate) fn check<K: Eq + std::hash::Hash, V, S: BuildHasher>(cache: &Cache<K, V, S>) {
    if let Err(fault) = cache.validate() {
        panic!("the cache is corrupt: {fault}");
    }
    let pinned = cache.pin();
    let keys: Vec<&K> = pinned.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), cache.len(), "len() and what is there");
    assert!(cache.len() <= cache.capacity(), "{} of {}", cache.len(), cache.capacity());
    let distinct: std::collections::HashSet<&K> = keys.iter().copied().collect();
    assert_eq!(distinct.len(), keys.len(), "a key is there twice");
}

/// The same of values that are counted, when all threads have ended: what is in the cache is alive, and nothing else.
pub(crate) fn check_values(cache: &Cache<u64, Tracked>, ledger: &Ledger) {
    check(cache);
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert_eq!(ledger.live(), cache.len() as isize);
}

/// A cache for 100 with counted hits and a time that is moved by hand, that time, and what its listener was
/// told.
pub(crate) fn timed<V: Clone + Send + 'static>(
    configure: impl FnOnce(Builder<u64, V>) -> Builder<u64, V>,
) -> (Cache<u64, V>, ManualTime, Log<u64, V>) {
    let (time, log) = (ManualTime::new(), Log::<u64, V>::default());
    let told = Arc::clone(&log);
    let builder =
        Cache::builder().max_entries(100).stats(true).time_source(time.clone()).on_evict(
            move |k: &u64, v: &V, cause| told.lock().unwrap().push((*k, v.clone(), cause)),
        );
    (configure(builder).build().unwrap(), time, log)
}
