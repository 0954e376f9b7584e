//! What do only some caches keep of an entry? Its weight and its times, as words behind its node.

#![forbid(unsafe_code)]

use crate::expiry::{Stamp, Times};
use crate::seed::{Seed, planted};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;

/// What only some caches keep of an entry. Times are in the unit and from the origin of the cache's
/// clock.
///
/// | word | written by | read by |
/// |---|---|---|
/// | `weight` | whoever makes the entry, before it is published | whoever has unlinked or found it |
/// | `deadline` | the same; who prolongs the entry | readers |
/// | `used_at` | the same; readers, now and then | readers |
/// | `refresh_at` | the same; who refreshes the entry, see below | who asks for a value or a load |
///
/// ```text
///                begin: exchange                     the entry is exchanged for the new one
///  due at t ------------------------> NEVER: refreshed -----------------------------------> gone
///     ^                                     |
///     +--- put_off: store, by the one ------+  failed, panicked, dropped, not admitted
/// ```
///
/// One exchange takes the first arrow, so one caller at a time reloads an entry, and it alone may take
/// the others.
#[derive(Debug)]
pub(crate) struct Tail {
    weight: AtomicU64,
    deadline: AtomicU64,
    used_at: AtomicU64,
    refresh_at: AtomicU64,
}

/// The deadline of what does not expire, and when what needs no refresh has its next.
const NEVER: u64 = Moment::NEVER.to_bits();

impl Default for Tail {
    fn default() -> Self {
        let never = || AtomicU64::new(NEVER);
        let (weight, used_at) = (AtomicU64::new(1), AtomicU64::new(0));
        Self { weight, deadline: never(), used_at, refresh_at: never() }
    }
}

impl Tail {
    /// As by default, in a block that is used again.
    #[inline]
    pub(super) fn reset(&self) {
        // ORDERING: Relaxed, all. The node is private; the slot's exchange publishes it.
        self.weight.store(1, Ordering::Relaxed);
        self.deadline.store(NEVER, Ordering::Relaxed);
        self.used_at.store(0, Ordering::Relaxed);
        self.refresh_at.store(NEVER, Ordering::Relaxed);
    }

    /// What the entry weighs; 1 where nothing is weighed.
    #[inline]
    pub(crate) fn weight(&self) -> u64 {
        // ORDERING: Relaxed. Written before the node was published, seen through the slot's Acquire,
        // and not written again before the block is reused.
        self.weight.load(Ordering::Relaxed)
    }

    /// When the entry's time is over, and when it was used last.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        // ORDERING: Relaxed, both. Written before the node was published, seen through the slot's
        // Acquire; what hits write later is advice (`expiry`).
        Stamp {
            deadline: Moment::from_bits(self.deadline.load(Ordering::Relaxed)),
            used: Moment::from_bits(self.used_at.load(Ordering::Relaxed)),
        }
    }

    /// The moments of an entry that comes, those that its cache has.
    #[inline]
    pub(crate) fn set_times(&self, times: Times) {
        // ORDERING: Relaxed, all. The node is private, or a flight's, whose outcome and slot's exchange
        // follow.
        if let Some(stamp) = times.stamp {
            self.deadline.store(stamp.deadline.to_bits(), Ordering::Relaxed);
            self.used_at.store(stamp.used.to_bits(), Ordering::Relaxed);
        }
        if let Some(due) = times.refresh {
            self.refresh_at.store(due.to_bits(), Ordering::Relaxed);
        }
    }

    /// When the entry is to be refreshed; `NEVER` while somebody does that.
    #[inline]
    pub(crate) fn refresh_at(&self) -> Moment {
        // ORDERING: Relaxed. Written before the node was published, seen through the slot's Acquire;
        // whoever acts on a later value does so by `begin_refresh`.
        Moment::from_bits(self.refresh_at.load(Ordering::Relaxed))
    }

    /// Takes the refresh that is due at `due`. True for one of all that try.
    pub(crate) fn begin_refresh(&self, due: Moment) -> bool {
        if planted(Seed::TornRefresh) {
            // ORDERING: Relaxed. The bug is that it is a load and a store.
            self.refresh_at.store(NEVER, Ordering::Relaxed);
            return true;
        }
        // ORDERING: Relaxed, both. The word guards nothing but itself: who wins runs its loader, and what
        // becomes of the value is decided by the slot's exchange. The last one's `put_off` need not be
        // seen with anything.
        let (from, to) = (due.to_bits(), NEVER);
        self.refresh_at.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Gives the refresh back, which came to nothing: the next one may begin at `due`.
    pub(crate) fn put_off_refresh(&self, due: Moment) {
        // ORDERING: Relaxed, as above. Between `begin_refresh` and this nobody else writes the word.
        self.refresh_at.store(due.to_bits(), Ordering::Relaxed);
    }

    /// The entry is used now.
    #[inline]
    pub(crate) fn set_used(&self, now: Moment) {
        // ORDERING: Relaxed. Advice: nothing but the entry's end follows from it.
        self.used_at.store(now.to_bits(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_weight(&self, weight: u64) {
        // ORDERING: Relaxed. The node is private, or a flight's, whose slot's exchange follows.
        self.weight.store(weight, Ordering::Relaxed);
    }
}
