//! How are leases counted, and who may touch the resource? One word and what it guards.
//!
//! ```text
//!  word   [ 1 bit RETIRED | 1 bit WATCHED | 1 bit REVIVED | 61 bits: how many are inside ]
//! ```
//!
//! | arrow | who | by | ordering |
//! |---|---|---|---|
//! | shut -> open, with so many inside | the scheduler, once | store | Release |
//! | n -> n + 1, unless RETIRED, or WATCHED and n = 0; from 0 also REVIVED | a hit | exchange | Acquire |
//! | n -> n + 1, n > 0 | whoever is inside (a lease is cloned) | `fetch_add` | Relaxed |
//! | n -> n + 1, not RETIRED | the scheduler | `fetch_add` | Acquire |
//! | n -> n - 1 | whoever is inside | exchange | Release |
//! | WATCHED set, cleared | the scheduler | `fetch_or` Acquire, `fetch_and` Relaxed | |
//! | RETIRED set, for good | the scheduler | `fetch_or` Acquire; from n = 0 only: exchange Acquire | |
//! | REVIVED cleared | the scheduler | `fetch_and` | Relaxed |
//!
//! "The scheduler" is whoever holds its lock, so those arrows exclude each other. Shut is RETIRED with
//! nobody inside: a resource is in the index before it is open.
//!
//! * Whoever is inside may read the resource; whoever finds RETIRED and nobody inside may take it out,
//!   and does so once, as the scheduler hands out one close (R2).
//! * Every change is a read-modify-write of one word, so each continues the release sequences of all
//!   that came before: who finds nobody inside with Acquire has seen all that those inside have done.
//! * The release that leaves nobody inside a WATCHED or RETIRED vault tells the scheduler (`leave`).
//!   WATCHED is set by an instruction that also says whether anybody is inside: if not, nobody gets in
//!   any more but through the scheduler; if so, the last of them tells. So no release is missed, and
//!   the release and the end of the lease's reach are one step.
//!
//! Beside the word: `used`, when somebody got in last, in the order of all hits of the cache, and
//! `idle_since`, written before the release that leaves nobody inside. Models: `loom-tests/tests/resource.rs`.

use std::cell::UnsafeCell;

use crate::resource::scheduler::Time;
use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, Ordering};

const RETIRED: u64 = 1 << 63;
const WATCHED: u64 = 1 << 62;
const REVIVED: u64 = 1 << 61;
const INSIDE: u64 = REVIVED - 1;

/// One resource, and the count of its leases.
#[repr(C)]
pub(crate) struct Vault<R> {
    word: AtomicU64,
    used: AtomicU64,
    /// In nanoseconds since the cache was built. Only with `idle_ttl`.
    idle_since: AtomicU64,
    resource: UnsafeCell<Option<R>>,
}

// SAFETY: the resource is read through a shared reference by those inside, which needs `Sync`, and
// taken out by a thread that need not be the one that put it in, which needs `Send`. The word orders
// the taking after all reading.
unsafe impl<R: Send + Sync> Sync for Vault<R> {}

impl<R> Vault<R> {
    /// A vault that is shut.
    pub(crate) fn new(resource: R) -> Self {
        Self {
            word: AtomicU64::new(RETIRED),
            used: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            resource: UnsafeCell::new(Some(resource)),
        }
    }

    /// Opens it for `leases` who are inside from the start.
    pub(crate) fn open(&self, leases: u32, retired: bool, now: Time, ticks: &AtomicU64) {
        self.idle_since.store(nanoseconds(now), Ordering::Relaxed); // ORDERING: published by the next store
        self.touch(ticks);
        let word = u64::from(leases) | if retired { RETIRED } else { 0 };
        // ORDERING: Release. Partner: the Acquire exchange of `enter`: who gets in sees the resource.
        // The index publishes it as well; this way the vault does not depend on how it is found.
        self.word.store(word, Ordering::Release);
    }

    /// Gets in, unless it is retired, or watched and empty.
    #[inline]
    pub(crate) fn enter(&self, ticks: &AtomicU64) -> bool {
        // ORDERING: Relaxed. The exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let barred = (word & RETIRED != 0 && !planted(Seed::EnterRetired))
                || (word & (WATCHED | INSIDE) == WATCHED && !planted(Seed::EnterWatched));
            if barred {
                return false;
            }
            let revived = if word & INSIDE == 0 { REVIVED } else { 0 };
            // ORDERING: Acquire on success. Partner: the Release store of `open`, whose sequence all
            // later changes continue: the resource is seen. Relaxed on failure: another turn.
            match self.word.compare_exchange_weak(
                word,
                (word + 1) | revived,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        self.touch(ticks);
        true
    }

    /// Lets one more in. The caller is inside.
    #[inline]
    pub(crate) fn enter_again(&self) {
        // ORDERING: Relaxed. The caller sees the resource, and hands the lease on by other means.
        self.word.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets one in. The caller has the scheduler's lock, and the vault is not retired.
    pub(crate) fn admit(&self, ticks: &AtomicU64) {
        // ORDERING: Acquire. As in `enter`.
        let before = self.word.fetch_add(1, Ordering::Acquire);
        debug_assert!(before & RETIRED == 0, "who is retired admits nobody");
        self.touch(ticks);
    }

    /// Notes that it is the one that was entered last.
    #[inline]
    fn touch(&self, ticks: &AtomicU64) {
        // ORDERING: Relaxed, all. The order of hits that are not ordered otherwise is nobody's business;
        // ticks of one word have one order, and `used` never goes back.
        let last = ticks.load(Ordering::Relaxed);
        if self.used.load(Ordering::Relaxed) == last {
            return; // nobody got in elsewhere since
        }
        let tick = ticks.fetch_add(1, Ordering::Relaxed) + 1;
        // ORDERING: Relaxed. As above.
        self.used.fetch_max(tick, Ordering::Relaxed);
    }

    /// Goes out. Whether the scheduler is to be told: nobody is inside any more, and it wants to know.
    /// With a `clock`, notes the time if nobody is inside any more.
    #[inline]
    pub(crate) fn leave(&self, clock: Option<&dyn Fn() -> Time>) -> bool {
        // ORDERING: Relaxed. The exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if let (1, Some(clock)) = (word & INSIDE, clock) {
                // ORDERING: Relaxed; published by the exchange, which is who says that it is the last.
                self.idle_since.store(nanoseconds(clock()), Ordering::Relaxed);
            }
            let order =
                if planted(Seed::RelaxedRelease) { Ordering::Relaxed } else { Ordering::Release };
            // ORDERING: Release on success. Partner: the Acquire of `leases`, `watch`, `retire` and
            // `retire_if_idle`: who finds nobody inside sees all that was done inside. Relaxed on
            // failure: another turn.
            match self.word.compare_exchange_weak(word, word - 1, order, Ordering::Relaxed) {
                Ok(_) => return word & INSIDE == 1 && word & (RETIRED | WATCHED) != 0,
                Err(now) => word = now,
            }
        }
    }

    // ---- the scheduler's side ---------------------------------------------------------------

    pub(crate) fn watch(&self) -> bool {
        if planted(Seed::LookThenWatch) {
            let idle = self.leases() == 0;
            // ORDERING: as below.
            self.word.fetch_or(WATCHED, Ordering::Acquire);
            return idle;
        }
        // ORDERING: Acquire. Partner: the Release exchange of `leave`.
        self.word.fetch_or(WATCHED, Ordering::Acquire) & INSIDE == 0
    }

    pub(crate) fn unwatch(&self) {
        // ORDERING: Relaxed. It gives nothing away and takes nothing.
        self.word.fetch_and(!WATCHED, Ordering::Relaxed);
    }

    pub(crate) fn retire(&self) -> bool {
        if planted(Seed::LookThenRetire) {
            let idle = self.leases() == 0;
            // ORDERING: as below.
            self.word.fetch_or(RETIRED, Ordering::Acquire);
            return idle;
        }
        // ORDERING: Acquire. Partner: the Release exchange of `leave`.
        self.word.fetch_or(RETIRED, Ordering::Acquire) & INSIDE == 0
    }

    pub(crate) fn retire_if_idle(&self) -> bool {
        // ORDERING: Relaxed. The exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & INSIDE == 0 {
            // ORDERING: Acquire on success. Partner: the Release exchange of `leave`. Relaxed on
            // failure: another turn.
            match self.word.compare_exchange_weak(
                word,
                word | RETIRED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    pub(crate) fn leases(&self) -> u32 {
        // ORDERING: Acquire. Partner: the Release exchange of `leave`: who finds nobody inside a vault
        // that nobody can enter goes on to take the resource.
        u32::try_from(self.word.load(Ordering::Acquire) & INSIDE).unwrap_or(u32::MAX)
    }

    pub(crate) fn take_revived(&self) -> bool {
        // ORDERING: Relaxed, both. A hint for reports.
        self.word.load(Ordering::Relaxed) & REVIVED != 0
            && self.word.fetch_and(!REVIVED, Ordering::Relaxed) & REVIVED != 0
    }

    pub(crate) fn last_used(&self) -> u64 {
        // ORDERING: Relaxed. See `touch`.
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn idle_since(&self) -> Time {
        // ORDERING: Relaxed. The caller has found nobody inside with Acquire, which publishes it.
        Time::from_nanos(self.idle_since.load(Ordering::Relaxed))
    }

    // ---- the resource -----------------------------------------------------------------------

    /// The resource.
    ///
    /// # Safety
    /// The caller is inside as long as the reference lives.
    #[inline(always)]
    pub(crate) unsafe fn get(&self) -> &R {
        // SAFETY: nobody takes the resource while somebody is inside, by the contract of `take`, and
        // nobody writes it otherwise.
        let resource = unsafe { &*self.resource.get() };
        debug_assert!(resource.is_some(), "a resource is read after it was taken");
        // SAFETY: it was put in when the vault was made, and is not taken yet.
        unsafe { resource.as_ref().unwrap_unchecked() }
    }

    /// Takes the resource out.
    ///
    /// # Safety
    /// The vault is retired, or was never open; the caller has found nobody inside, with Acquire, after
    /// that; nobody else calls this.
    pub(crate) unsafe fn take(&self) -> Option<R> {
        // SAFETY: nobody is inside and nobody will be, so nobody else looks at the cell.
        unsafe { (*self.resource.get()).take() }
    }
}

fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
