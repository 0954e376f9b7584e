//! Do the packed words hold what was put into them? Checks on private values for `fuzz/`; compiled
//! only with `--cfg fuzzing`.

#![forbid(unsafe_code)]

use std::ptr;

use crate::hash::{Hashed, home};
use crate::slot::{MAX_THREADS, NODE_ALIGN, State, Word};
use crate::tags::{HIGHS, Lane, SLOTS, Tags};

/// Hashes a number as a cache would.
fn hashed(n: u64) -> Hashed {
    Hashed::new(&foldhash::fast::FixedState::default(), &n)
}

/// A node's address survives every state, and states are told apart.
pub fn check_node(addr: usize) {
    let addr = (addr % (1 << (usize::BITS - 16))).max(1) * NODE_ALIGN;
    let node = ptr::without_provenance_mut::<u8>(addr);
    let (ready, loading) = (Word::ready(node), Word::loading(node));
    assert_eq!((ready.state(), ready.node(), ready.is_ready()), (State::Ready, node, true));
    assert_eq!(
        (loading.state(), loading.node(), loading.is_ready()),
        (State::Loading, node, false)
    );
    assert_ne!(ready, loading);
    let other = ptr::without_provenance_mut::<u8>(addr ^ (1 << 12) | NODE_ALIGN);
    assert_eq!(ready.with_node(other).node(), other);
    assert_eq!(loading.with_node(other).state(), State::Loading);
    assert_eq!(Word::from_raw(ready.into_raw()), ready);
    assert_eq!((Word::<u8>::EMPTY.state(), Word::<u8>::EMPTY.is_ready()), (State::Empty, false));
}

/// A claim names its hash, its thread and its turn.
pub fn check_claim(a: u64, b: u64, (thread, turn): (usize, u64), (rival, other): (usize, u64)) {
    let (thread, rival) = (thread % MAX_THREADS, rival % MAX_THREADS);
    let (a, b) = (hashed(a), hashed(b));
    let claim = Word::<u8>::claim(a, thread, turn);
    assert_eq!((claim.state(), claim.is_ready()), (State::Claimed, false));
    assert!(claim.claims(a));
    assert_eq!(claim.claims(b), Word::<u8>::claim(b, thread, turn) == claim);
    assert_eq!(claim.claims(b), Word::<u8>::claim(b, rival, other).claims(a));
    // Turns may wrap, but not soon.
    let (turn, other) = (turn as u8, other as u8);
    let (mine, theirs) =
        (Word::<u8>::claim(a, thread, turn.into()), Word::claim(a, rival, other.into()));
    assert_eq!(mine == theirs, (thread, turn) == (rival, other));
}

/// The READY words among eight are found by their low bytes as one by one.
pub fn check_low_bytes(bytes: u64) {
    let found = Word::<u8>::ready_of_low_bytes(bytes);
    for (slot, byte) in bytes.to_le_bytes().into_iter().enumerate().take(SLOTS) {
        let word = Word::<u8>::from_raw(ptr::without_provenance_mut(usize::from(byte)));
        assert_eq!(found >> (8 * slot) & 0xFF, u64::from(word.is_ready()) << 7, "{bytes:x}");
        assert_eq!(word.low_byte(), byte);
    }
}

/// Tags are found where a loop finds them, and do not disturb each other or the count.
pub fn check_tags(word: u64, slot: usize, key: u64) {
    let (slot, tag) = (slot % SLOTS, hashed(key).tag());
    assert!(tag < 0x80);
    let word = word & !HIGHS;
    let naive: Vec<usize> = (0..SLOTS).filter(|&s| word.to_le_bytes()[s] == tag).collect();
    assert_eq!(Tags(word).matches(tag).map(Lane::slot).collect::<Vec<_>>(), naive);
    let written = Tags(word).with_tag(slot, tag);
    assert_eq!((written.tag(slot), written.passed()), (tag, Tags(word).passed()));
    assert!(written.matches(tag).any(|lane| lane == Lane::of(slot)));
    for other in (0..SLOTS).filter(|&other| other != slot) {
        assert_eq!(written.tag(other), Tags(word).tag(other));
    }
}

/// A home is one of the buckets, and larger places never have smaller homes.
pub fn check_home(a: u32, b: u32, buckets: u32) {
    let buckets = buckets.max(1);
    let (low, high) = (home(a.min(b), buckets), home(a.max(b), buckets));
    assert!(low <= high && high < buckets as usize);
}
