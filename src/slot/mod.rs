//! How does a slot change? The only code that writes slot words, one function per arrow.
//!
//! ```text
//!             claim                 publish (insert)
//!   EMPTY ------------> CLAIMED ----------------------> READY <--+
//!    ^ ^                  | |                            |  |    | exchange (replace)
//!    | |  withdraw, abort | | register (load)            |  +----+
//!    | +------------------+ |                            |
//!    |                      v      publish_load          |
//!    |                   LOADING ----------------------->|
//!    |                      | <------ renew (expired) ---|
//!    |                      | exchange (insert wins) --->|
//!    |        detach        |                            |  unlink (remove, evict, clear)
//!    +----------------------+----------------------------+
//! ```
//!
//! | from -> to | who may | ordering | what it carries |
//! |---|---|---|---|
//! | EMPTY -> CLAIMED | an inserter | AcqRel | nothing yet; its tag follows |
//! | CLAIMED -> EMPTY | its claimer; a rival that has seen the claim's tag | AcqRel | the claimer takes its overflow counts back |
//! | CLAIMED -> READY | its claimer, after its post-scan, holding room for one entry | AcqRel | the node, the slot's share of it, the room |
//! | CLAIMED -> LOADING | its claimer, after its post-scan | AcqRel | the node, the slot's share |
//! | LOADING -> READY, same node | the loader, holding room | AcqRel | the room |
//! | LOADING -> READY, other node | an insert of the key, holding room | AcqRel | takes the old node's share: the flight is detached |
//! | LOADING -> EMPTY | a failed loader; `remove`, `clear` | AcqRel | as above |
//! | READY -> READY, other node | `insert`, `replace` of the key, the old node protected | AcqRel | takes the old node's share; class and room stay |
//! | READY -> LOADING | who asks first for a key whose entry's time is over, the old node protected | AcqRel | takes the old node's share and its room; the key's overflow counts stay |
//! | READY -> READY, same node | `compute` and refreshes, the node protected, after it was joined | AcqRel | nothing; whoever unlinks the node after this sees the share |
//! | READY -> EMPTY | `remove`, `retain`, `clear`, the hand | AcqRel | takes the node's share, its room, its overflow counts |
//!
//! Every arrow is one compare-exchange, so exactly one thread takes each; what it "takes" it
//! alone must release. ABA: an exchange that expects a node is done either under protection of
//! that node (`remove`, `replace`, `renew`, `publish_load` by the owner of a share), so that the address
//! cannot have come back, or by one that does not care which entry it is (`clear`, the hand: if
//! the address came back, a younger entry leaves in the older one's stead).

#![forbid(unsafe_code)]

pub(crate) mod word;

#[allow(unused_imports, reason = "the models name states")]
pub(crate) use word::{MAX_THREADS, NODE_ALIGN, State, Word};

use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, Ordering};

/// A slot of a bucket.
#[repr(transparent)]
pub(crate) struct Slot<N>(AtomicPtr<N>);

impl<N> Slot<N> {
    #[cfg_attr(not(any(test, hotset_loom)), allow(dead_code, reason = "tables are zeroed"))]
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(Word::EMPTY.into_raw()))
    }

    /// Reads the slot.
    #[inline(always)]
    pub(crate) fn load(&self) -> Word<N> {
        // ORDERING: Acquire. Partner: the AcqRel exchange in `change`: a node seen here is
        // completely written.
        Word::from_raw(self.0.load(Ordering::Acquire))
    }

    /// Whether the slot still says `word`, read after a hazard was published.
    #[inline(always)]
    pub(crate) fn still(&self, word: Word<N>) -> bool {
        // ORDERING: SeqCst. Partner: the fence in `Fences::after_unlinking`; see `Fences::publish`.
        Word::from_raw(self.0.load(Ordering::SeqCst)) == word
    }

    /// The one instruction by which a slot changes. True if this thread took the arrow.
    #[inline]
    fn change(&self, from: Word<N>, to: Word<N>) -> bool {
        // ORDERING: AcqRel on success. Release partners `load` and `still`: the new node, or the
        // emptiness, is seen with all that was written before it. Acquire partners the Release
        // half of the previous change: the next owner of a slot sees the tag and counts that the
        // previous one wrote before leaving, so tags are written in the order of ownership.
        // Relaxed on failure: the caller reads the slot anew.
        let success = if planted(Seed::RelaxedSlot) { Ordering::Relaxed } else { Ordering::AcqRel };
        self.0.compare_exchange(from.into_raw(), to.into_raw(), success, Ordering::Relaxed).is_ok()
    }

    /// The same, or by a load and a store where `torn` is planted.
    #[inline]
    fn change_or_tear(&self, from: Word<N>, to: Word<N>, torn: Seed) -> bool {
        if planted(torn) { self.tear(from, to) } else { self.change(from, to) }
    }

    /// `change` by a load and a store: a planted bug.
    fn tear(&self, from: Word<N>, to: Word<N>) -> bool {
        let same = self.load() == from;
        if same {
            // ORDERING: of a planted bug, and not what is wrong with it.
            self.0.store(to.into_raw(), Ordering::Release);
        }
        same
    }

    /// Writes back what the slot says: a planted bug.
    pub(crate) fn write_back(&self) {
        let word = self.load();
        self.tear(word, word);
    }

    /// EMPTY -> CLAIMED.
    #[inline]
    pub(crate) fn claim(&self, claim: Word<N>) -> bool {
        debug_assert_eq!(claim.state(), State::Claimed);
        self.change_or_tear(Word::EMPTY, claim, Seed::TornClaim)
    }

    /// CLAIMED -> EMPTY, by the claimer or by a rival.
    #[inline]
    pub(crate) fn abort(&self, claim: Word<N>) -> bool {
        debug_assert_eq!(claim.state(), State::Claimed);
        self.change(claim, Word::EMPTY)
    }

    /// CLAIMED -> READY or LOADING, by the claimer.
    #[inline]
    pub(crate) fn finalise(&self, claim: Word<N>, to: Word<N>) -> bool {
        debug_assert_eq!(claim.state(), State::Claimed);
        debug_assert!(matches!(to.state(), State::Ready | State::Loading));
        self.change_or_tear(claim, to, Seed::TornFinalise)
    }

    /// LOADING or READY -> READY, another node or the loaded one.
    #[inline]
    pub(crate) fn exchange(&self, from: Word<N>, to: Word<N>) -> bool {
        debug_assert!(matches!(from.state(), State::Ready | State::Loading));
        debug_assert_eq!(to.state(), State::Ready);
        if planted(Seed::EmptyBetween) {
            return self.change(from, Word::EMPTY) && self.change(Word::EMPTY, to);
        }
        self.change_or_tear(from, to, Seed::TornExchange)
    }

    /// READY -> READY, the same node: whether it is there still. A load would not do: what this thread did
    /// before, all see who change the slot after.
    pub(crate) fn confirm(&self, word: Word<N>) -> bool {
        debug_assert_eq!(word.state(), State::Ready);
        self.change(word, word)
    }

    /// READY -> LOADING.
    #[inline]
    pub(crate) fn renew(&self, from: Word<N>, to: Word<N>) -> bool {
        debug_assert_eq!((from.state(), to.state()), (State::Ready, State::Loading));
        self.change_or_tear(from, to, Seed::TornRenew)
    }

    /// LOADING or READY -> EMPTY.
    #[inline]
    pub(crate) fn unlink(&self, from: Word<N>) -> bool {
        debug_assert!(matches!(from.state(), State::Ready | State::Loading));
        self.change_or_tear(from, Word::EMPTY, Seed::TornUnlink)
    }
}
