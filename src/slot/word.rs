//! What does a slot say? Its word as a pure value: a pointer with a state, or a claim.
//!
//! ```text
//! 64-bit   63                                     2 1 0
//!         +----------------------------------------+-----+
//! EMPTY   | 0                                      | 0 0 |
//! READY   | address of the node                    | 1 0 |
//! CLAIMED | 26 b hash | 16 b turn | 20 b thread    | 0 1 |
//! LOADING | address of the node                    | 1 1 |
//!         +----------------------------------------+-----+
//! ```
//!
//! Zeroed memory is EMPTY, and one comparison of the low bits tells READY from all else.
//!
//! A claim carries no pointer: a claimer's node stays private until its key is known to be
//! unique, so it can always be handed back. It carries the claimer's thread number and a turn that
//! the thread counts, so that a claim which was aborted or withdrawn is not mistaken for a later
//! one: a thread number belongs to one living thread, and a rival would have to be stopped between
//! two instructions for exactly a multiple of 2^16 claims of that thread on that slot and hash.

#![forbid(unsafe_code)]

use std::ptr;

use crate::hash::Hashed;
use crate::tags::HIGHS;

const STATE: usize = 0b11;
const CLAIMED: usize = 0b01;
const READY: usize = 0b10;
const LOADING: usize = 0b11;
const STATE_BITS: u32 = STATE.count_ones();

/// The fields of a claim in this machine's words.
const FIELDS: Fields = Fields::of(usize::BITS);
/// Threads that can use caches at one time.
pub(crate) const MAX_THREADS: usize = 1 << FIELDS.thread;
/// Nodes must be aligned to this, so that the low bits of their addresses are free.
pub(crate) const NODE_ALIGN: usize = 1 << STATE_BITS;

/// How many bits the fields of a claim have, from the top of the word down to its state. Arithmetic
/// on numbers, so nothing follows from the order of bytes, and both widths are tested on any machine.
#[derive(Clone, Copy, Debug)]
struct Fields {
    /// Of the hash.
    identity: u32,
    /// They tell a thread's claims apart.
    turn: u32,
    /// They name the claimer.
    thread: u32,
}

impl Fields {
    /// For words of `bits` bits: 64, or less.
    const fn of(bits: u32) -> Self {
        let (turn, thread) = if bits == 64 { (16, 20) } else { (8, 12) };
        Self { identity: bits - turn - thread - STATE_BITS, turn, thread }
    }

    /// The word of a claim.
    #[inline]
    const fn claim(self, identity: u64, turn: u64, thread: u64) -> u64 {
        let turn = turn & ((1 << self.turn) - 1);
        let fields = (self.cut(identity) << self.turn | turn) << self.thread | thread;
        fields << STATE_BITS | CLAIMED as u64
    }

    /// What of a hash fits in a claim.
    #[inline]
    const fn cut(self, identity: u64) -> u64 {
        identity & ((1 << self.identity) - 1)
    }

    /// What a claim says of its hash.
    #[inline]
    const fn identity_of(self, word: u64) -> u64 {
        word >> (self.turn + self.thread + STATE_BITS)
    }
}

/// The states of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's. Any inserter may claim it.
    Empty,
    /// Tentative and invisible to readers: its claimer is finding out whether its key is unique.
    Claimed,
    /// The key is registered and its value is being loaded.
    Loading,
    /// An entry.
    Ready,
}

/// One value of a slot. Equality is that of all bits.
pub(crate) struct Word<N>(*mut N);

impl<N> Clone for Word<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Word<N> {}

impl<N> PartialEq for Word<N> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl<N> std::fmt::Debug for Word<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({:p})", self.state(), self.0)
    }
}

impl<N> Word<N> {
    pub(crate) const EMPTY: Self = Self(ptr::null_mut());

    #[inline(always)]
    pub(crate) fn from_raw(raw: *mut N) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut N {
        self.0
    }

    #[inline]
    pub(crate) fn ready(node: *mut N) -> Self {
        debug_assert!(!node.is_null() && node.addr() & STATE == 0);
        Self(node.map_addr(|addr| addr | READY))
    }

    #[inline]
    pub(crate) fn loading(node: *mut N) -> Self {
        debug_assert!(!node.is_null() && node.addr() & STATE == 0);
        Self(node.map_addr(|addr| addr | LOADING))
    }

    /// The `turn`-th claim of thread `thread`, for a key that hashes to `hash`.
    #[inline]
    pub(crate) fn claim(hash: Hashed, thread: usize, turn: u64) -> Self {
        debug_assert!(thread < MAX_THREADS);
        let word = FIELDS.claim(hash.identity(), turn, thread as u64);
        Self(ptr::without_provenance_mut(word as usize))
    }

    #[inline(always)]
    pub(crate) fn is_ready(self) -> bool {
        self.0.addr() & STATE == READY
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_null()
    }

    /// The byte with the state bits.
    #[inline(always)]
    pub(crate) fn low_byte(self) -> u8 {
        self.0.addr() as u8
    }

    /// Of a bucket's low bytes at once, in the top bit of each, which are of READY words.
    #[inline(always)]
    pub(crate) fn ready_of_low_bytes(bytes: u64) -> u64 {
        // READY is the state with the upper bit only.
        (bytes << 6) & !(bytes << 7) & HIGHS
    }

    #[inline]
    pub(crate) fn state(self) -> State {
        match self.0.addr() & STATE {
            CLAIMED => State::Claimed,
            LOADING => State::Loading,
            READY => State::Ready,
            _ => State::Empty,
        }
    }

    /// The node of a READY word, which the caller has seen to be one.
    ///
    /// A subtraction, which disappears in the address of whatever is read from the node.
    #[inline(always)]
    pub(crate) fn ready_node(self) -> *mut N {
        debug_assert!(self.is_ready());
        self.0.map_addr(|addr| addr.wrapping_sub(READY))
    }

    /// The node of a word that is READY or LOADING.
    #[inline(always)]
    pub(crate) fn node(self) -> *mut N {
        self.0.map_addr(|addr| addr & !STATE)
    }

    /// Whether a claimed word claims for a key that hashes to `hash` (or, one in 2^26 on 64-bit
    /// machines, to one that looks like it: then two inserters needlessly wait for each other).
    #[inline]
    pub(crate) fn claims(self, hash: Hashed) -> bool {
        FIELDS.identity_of(self.0.addr() as u64) == FIELDS.cut(hash.identity())
    }

    /// The word of the same state with another node.
    #[inline]
    pub(crate) fn with_node(self, node: *mut N) -> Self {
        Self(node.map_addr(|addr| addr | (self.0.addr() & STATE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashed(n: u64) -> Hashed {
        Hashed::new(&foldhash::fast::FixedState::default(), &n)
    }

    proptest! {
        #[test]
        fn a_node_survives_every_state(addr in 1..=usize::MAX >> STATE_BITS) {
            let node = ptr::without_provenance_mut::<u8>(addr << STATE_BITS);
            let (ready, loading) = (Word::ready(node), Word::loading(node));
            prop_assert_eq!((ready.state(), ready.node()), (State::Ready, node));
            prop_assert_eq!((loading.state(), loading.node()), (State::Loading, node));
            prop_assert!(ready.is_ready() && !loading.is_ready() && ready != loading);
            prop_assert_eq!(ready.with_node(node), ready);
        }

        #[test]
        fn a_claim_names_its_hash_thread_and_turn(a: u64, b: u64, t in 0..MAX_THREADS, n in 0_u64..256, u in 0..MAX_THREADS, m in 0_u64..256) {
            let (ha, hb) = (hashed(a), hashed(b));
            let claim = Word::<u8>::claim(ha, t, n);
            prop_assert_eq!(claim.state(), State::Claimed);
            prop_assert!(claim.claims(ha));
            prop_assert_eq!(claim.claims(hb), FIELDS.cut(ha.identity()) == FIELDS.cut(hb.identity()));
            prop_assert_eq!(claim == Word::claim(ha, u, m), (t, n) == (u, m));
        }
    }

    proptest! {
        /// Whatever the machine's own words are.
        #[test]
        fn claims_fit_words_of_both_widths(
            identity: u64, turn: u64, other in 0..1_u64 << 12, thread in 0..1_u64 << 12,
        ) {
            for bits in [32, 64] {
                let fields = Fields::of(bits);
                prop_assert_eq!(fields.identity + fields.turn + fields.thread + STATE_BITS, bits);
                prop_assert!(fields.identity >= 10, "two inserters would often be taken for one");
                let word = fields.claim(identity, turn, thread);
                prop_assert!(bits == 64 || word >> bits == 0, "{word:x} in {bits} bits");
                prop_assert_eq!(word as usize & STATE, CLAIMED);
                prop_assert_eq!(fields.identity_of(word), fields.cut(identity));
                let same = fields.claim(identity, turn, other) == word;
                prop_assert_eq!(same, other == thread);
                let next = fields.claim(identity, turn.wrapping_add(1), thread);
                prop_assert!(next != word);
            }
        }
    }

    #[test]
    fn empty_is_null() {
        assert_eq!(Word::<u8>::EMPTY.state(), State::Empty);
        assert!(!Word::<u8>::EMPTY.is_ready());
    }
}
