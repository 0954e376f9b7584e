//! What shares a cache line? Six slots, their tags, their clock bits.

use std::ops::Range;

use crate::clock;
use crate::dumped::Standing;
use crate::seed::{Seed, planted};
use crate::slot::{Slot, Word};
use crate::sync::{AtomicU64, Ordering};
use crate::tags::{Lane, SLOTS, Tags};

/// One cache line of the table. All words zero is the empty bucket.
///
/// | word | written by | partner of its orderings |
/// |---|---|---|
/// | `tags`, a tag byte | the claimer of the slot, by exchange of the whole word | readers' Acquire; other announcers' RMW |
/// | `tags`, overflow count | claimers that pass, one more; whoever empties a displaced slot, one less; by exchange | the same |
/// | `tags`, beyond | claimers in an appended segment, at home in the first; in an appended one see `survey`; by exchange, once and for all | the same |
/// | `clock` | readers (used), the hand, who publishes or promotes an entry | none: advice |
/// | `slots` | see `slot` | see `slot` |
#[repr(C, align(64))]
pub(crate) struct Bucket<N> {
    tags: AtomicU64,
    clock: AtomicU64,
    pub(crate) slots: [Slot<N>; SLOTS],
}

impl<N> Bucket<N> {
    #[cfg_attr(not(hotset_loom), allow(dead_code, reason = "real tables are zeroed memory"))]
    pub(crate) fn new() -> Self {
        Self {
            tags: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            slots: std::array::from_fn(|_| Slot::new()),
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self, lane: Lane) -> &Slot<N> {
        // What is subtracted is a constant.
        // SAFETY: what is added, less seven, is the size of a slot times its number, which is below
        // `SLOTS`.
        unsafe { &*self.slots.as_ptr().byte_add(offset(lane, size_of::<Slot<N>>())).byte_sub(7) }
    }

    #[inline(always)]
    pub(crate) fn tags(&self) -> Tags {
        // ORDERING: Acquire. Partner: the AcqRel RMWs below. An entry whose insertion happened
        // before this load has its tag, or the overflow counts on the way to it, in the word.
        Tags(self.tags.load(Ordering::Acquire))
    }

    /// Writes the tag of a slot that the caller has claimed. `None` if the claim was aborted.
    ///
    /// The exchange also announces the claim when the bucket is the key's home. An exchange and
    /// not an XOR: a rival aborts a claim only after it has seen the claim's tag in the word, so
    /// while the byte differs the claim stands, and once it is equal this writes nothing new. A
    /// late writer can therefore not corrupt the tag of the slot's next owner.
    pub(crate) fn write_tag(
        &self,
        slot: Lane,
        tag: u8,
        still_claimed: impl Fn() -> bool,
    ) -> Option<Tags> {
        loop {
            let seen = self.tags();
            if !still_claimed() {
                return None;
            }
            let new = seen.with_tag(slot.slot(), tag);
            if planted(Seed::TornTag) {
                // ORDERING: of a planted bug, and not what is wrong with it.
                self.tags.store(new.0, Ordering::Release);
                return Some(new);
            }
            // ORDERING: AcqRel. Any two inserters of a key do an RMW on its home word. Release:
            // the second one sees the first one's claim. Acquire: this one sees the claims of all
            // that came before. Relaxed on failure: the loop reads again.
            let written =
                self.tags.compare_exchange_weak(seen.0, new.0, Ordering::AcqRel, Ordering::Relaxed);
            if written.is_ok() {
                return Some(new);
            }
        }
    }

    /// Counts an entry that is placed beyond this bucket. For the home bucket this announces.
    pub(crate) fn pass(&self) -> Tags {
        // ORDERING: AcqRel, as in `write_tag`: on the home word this is the announcement, also where
        // the count stays what it is.
        self.recount(Tags::with_one_more, Ordering::AcqRel)
    }

    /// Notes that a key with this tag, whose home this is, goes into an appended segment, and so announces it.
    pub(crate) fn pass_beyond(&self, tag: u8) -> Tags {
        // ORDERING: AcqRel, as in `pass`, also where the word stays what it is.
        self.recount(|tags| tags.with_beyond(tag), Ordering::AcqRel)
    }

    /// Notes, in an appended segment, that a key with this tag, whose home this is, may be in an older one.
    pub(crate) fn mark_beyond(&self, tag: u8) {
        // ORDERING: Relaxed, the load. Who sees the mark and says so to others, by announcing or by surveying, lets
        // them see it, too.
        if !Tags(self.tags.load(Ordering::Relaxed)).beyond(tag) {
            self.pass_beyond(tag);
        }
    }

    /// An announcement, and nothing else: a planted bug.
    pub(crate) fn announce(&self) -> Tags {
        self.recount(|tags| tags, Ordering::AcqRel) // ORDERING: as in `pass`
    }

    /// Takes back a `pass`, after the entry's slot was emptied.
    pub(crate) fn unpass(&self) {
        // ORDERING: Relaxed. A reader that sees the lower count misses only the entry that is
        // already gone. The RMW continues the release sequences that it stands in.
        self.recount(Tags::with_one_less, Ordering::Relaxed);
    }

    fn recount(&self, change: impl Fn(Tags) -> Tags, order: Ordering) -> Tags {
        // ORDERING: Relaxed, here and on failure. The exchange confirms what was read.
        let mut seen = self.tags.load(Ordering::Relaxed);
        loop {
            let new = change(Tags(seen));
            if planted(Seed::TornPassed) {
                // ORDERING: of a planted bug, and not what is wrong with it.
                self.tags.store(new.0, Ordering::Release);
                return new;
            }
            // ORDERING: the caller's.
            match self.tags.compare_exchange_weak(seen, new.0, order, Ordering::Relaxed) {
                Ok(_) => return new,
                Err(now) => seen = now,
            }
        }
    }

    #[inline(always)]
    pub(crate) fn clock(&self) -> u64 {
        // ORDERING: Relaxed. The clock word is advice.
        self.clock.load(Ordering::Relaxed)
    }

    /// The first empty slot.
    #[inline(always)]
    pub(crate) fn first_empty(&self) -> Option<Lane> {
        // All slots are read, without branches: which one is empty cannot be predicted.
        let mut empty = 0_u64;
        for slot in 0..SLOTS {
            empty |= u64::from(self.slots[slot].load().is_empty()) << (8 * slot + 7);
        }
        (empty != 0).then(|| Lane::first_of(empty))
    }

    /// Those of these slots from `from` on that have an entry, as the top bit of each slot's byte, the layout of the
    /// clock word.
    #[inline(always)]
    pub(crate) fn ready_in(&self, part: Range<usize>, from: usize) -> u64 {
        let (start, slots) = (part.start, &self.slots[part]);
        let mut states = 0;
        for (at, slot) in slots.iter().enumerate() {
            states |= u64::from(slot.load().low_byte()) << (8 * at);
        }
        // All are at most SLOTS, so the shifts are at most 48.
        Word::<N>::ready_of_low_bytes(states) << (8 * start) & u64::MAX << (8 * from)
    }

    /// Marks `lane` as used. Writes nothing unless the hand has passed since it was used last.
    #[inline(always)]
    pub(crate) fn touch(&self, lane: Lane) {
        if clock::is_stale(self.clock(), lane) {
            if planted(Seed::AgeInSlot) {
                self.slot(lane).write_back();
            }
            self.rejuvenate(lane);
        }
    }

    /// What others change in between is lost, as in `chill` and `flip`: a use that is not counted is
    /// cheaper than a locked instruction for each that is.
    #[cold]
    #[inline(never)]
    fn rejuvenate(&self, lane: Lane) {
        // ORDERING: Relaxed. The clock word is advice.
        self.clock.store(self.clock() & !clock::used(self.clock(), lane), Ordering::Relaxed);
    }

    /// Marks `lane` as not used since it came. What others change in between is lost.
    #[inline(always)]
    pub(crate) fn chill(&self, lane: Lane, new: bool) {
        if planted(Seed::AgeInSlot) {
            self.slot(lane).write_back();
        }
        // ORDERING: Relaxed. The clock word is advice.
        self.clock.store(clock::with_cold(self.clock(), lane, new), Ordering::Relaxed);
    }

    /// The standing of the entry of `lane`, with one reference bit or two.
    pub(crate) fn standing(&self, lane: Lane, one_level: bool) -> Standing {
        clock::standing(self.clock(), lane, one_level)
    }

    /// Gives the entry of `lane` so many uses. What others change in between is lost.
    pub(crate) fn credit(&self, lane: Lane, uses: u8, one_level: bool) {
        let word = clock::with_uses(self.clock(), lane, uses, one_level);
        // ORDERING: Relaxed. The clock word is advice.
        self.clock.store(word, Ordering::Relaxed);
    }

    /// Flips the bits that the hand changes in this bucket. What others change in between is lost.
    #[inline(always)]
    pub(crate) fn flip(&self, bits: u64) {
        // ORDERING: Relaxed. The clock word is advice, not worth a locked instruction per bucket.
        self.clock.store(self.clock() ^ bits, Ordering::Relaxed);
    }
}

/// Where the slot of `lane` is among slots of `size` bytes, plus seven. A lane is eight times its slot,
/// plus seven: where slots have eight bytes, nothing is left to compute.
#[inline(always)]
const fn offset(lane: Lane, size: usize) -> usize {
    if size == 8 { lane.top_bit() as usize } else { lane.slot() * size + 7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_both_widths_are_found() {
        for size in [4, 8] {
            for slot in 0..SLOTS {
                assert_eq!(offset(Lane::of(slot), size), slot * size + 7);
            }
        }
    }
}
