//! Who fences, readers or collectors?
//!
//! A reader writes down what it protects and then looks at the slot; a collector has unlinked and then looks at what is
//! protected. A fence must stand between the two steps of either, or both may miss the other (store buffering). The
//! reader's is half of a hit that is in the processor's cache. Where the system lets a collector make all threads pass a
//! barrier (`barrier`), the reader can do without; but that takes 0.1 us, or 15 where other threads run, who are
//! interrupted for it. So readers do without while there are many reads for each collection, which is reckoned for each
//! cache by counts alone. A collector that finds, as the one before it has, that since the last collection there were as
//! many fenced reads as are `worth` it for so many threads *hands over*. After some collections more, readers fence again
//! for two of them, so that reads can be counted: after `FIRST`, and then after twice as many as the last time, if that
//! was worth it, up to `MOST`. (Once would be too little to go by: the first collection after a quiet time has many reads
//! behind it, whatever follows.) What is reckoned only at a collection does not change without one: a cache that was
//! written to and then is only read from goes on as it was at the last one, or at the second `maintain`.
//!
//! | state | readers | collectors |
//! |---|---|---|
//! | READERS | fence | fence |
//! | HANDING | fence | fence, and make all pass a barrier |
//! | COLLECTORS | do not | the same |
//! | RETURNING | fence | the same |
//!
//! | arrow | who | by |
//! |---|---|---|
//! | READERS -> HANDING | a collector that has reckoned | exchange |
//! | HANDING -> COLLECTORS | whoever has seen HANDING and fenced since | exchange |
//! | HANDING -> READERS | whoever has asked the system in vain | exchange; the next generation |
//! | COLLECTORS -> RETURNING | a collector, when the budget is spent or the system helps no more | exchange |
//! | RETURNING -> READERS | whoever has seen RETURNING and made all pass a barrier since | exchange; the next generation |
//!
//! The generation is in the same word, so an exchange that was long in coming fails. A thread that is stopped
//! anywhere stops nobody: in the states between both sides fence, and the next collector goes on from there.
//!
//! If the system, which has promised to help, does not (it should, but a sandbox that is entered later may forbid it),
//! nothing is known of readers that did not fence, so nothing is freed, and writes are refused when what waits has
//! reached its bound. Each collection asks it again; as soon as it has helped once more, readers fence, for good. (Where
//! readers fence already, and a sandbox is entered then, they go on so: before it hands over, a collector tries.)
//!
//! *A reader that did not fence, and a collector.* The reader wrote its protection `P`, read COLLECTORS of some
//! generation `g` (`M`), and then looked at the slot (`L`). The collector has unlinked, fenced, and then read the word.
//!
//! 1. It reads READERS of `g` or before. Then its read comes before HANDING of `g` was written, after which somebody
//!    fenced before COLLECTORS was: so the collector's fence is before that one, which happens before `L`, and `L` sees
//!    the unlinking.
//! 2. It reads READERS of a later generation. Whoever wrote that had seen RETURNING of `g` and then made all pass a
//!    barrier. The reader passed it after `M`, or `M` would have said RETURNING. So `P`, which stands before `M`, was
//!    visible then, and is to the collector.
//! 3. It reads anything else, and makes all pass a barrier. If the reader passes it after `P`, the collector sees `P`;
//!    if before, `L` sees the unlinking.
//!
//! `P` stands before `M` in the program, for the compiler as well; that the processor may have `M` first does no harm,
//! since it is the barrier that divides what came before from what comes after. (The other way round, `M` and then `P`, a
//! reader that was interrupted between the two would not fence in READERS.) Loom knows no such barriers, so its models
//! have READERS for good; the test in `orders` goes through all orders of this protocol instead, on a machine on which all
//! threads see writes in one order, as they do on those for which there is a `barrier`. There HANDING could be left out:
//! it is case 1 in the memory model of the language that needs it. In that no barrier takes part, so it has a model of
//! its own (`loom-tests/tests/fences.rs`).

#![forbid(unsafe_code)]

#[cfg(all(test, not(hotset_loom)))]
mod orders;

use crossbeam_utils::CachePadded;

use crate::advice::Hint;
use crate::barrier;
use crate::pause::{Step, reach};
use crate::reclaim::SINGLE;
use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU64, MODEL, Ordering, cores, fence};

const READERS: u64 = 0b000;
const COLLECTORS: u64 = 0b001;
const HANDING: u64 = 0b010;
const RETURNING: u64 = 0b100;
const STATE: u64 = 0b111;
const GENERATION: u64 = STATE + 1;

/// So many reads are worth a collection that makes all pass a barrier, for one thread. Few where all states should be
/// met: where use after the end is watched for, and where threads are stopped.
const WORTH: u32 = if cfg!(hotset_pause) {
    0
} else if SINGLE {
    1 << 6
} else {
    1 << 12
};
/// After so many collections that make all pass a barrier it is reckoned anew, the first time and at most.
const FIRST: u32 = 4;
const MOST: u32 = 256;

/// The word that says who fences in a domain, and what is counted for it.
pub(super) struct Fences {
    word: AtomicU64,
    counts: CachePadded<Counts>,
}

/// What is counted. From a wrong one follows that readers fence too long or not long enough.
struct Counts {
    /// Reads that were fenced, when it was reckoned last; it wraps.
    reads: Hint,
    /// 1 if there had been enough of them then.
    enough: Hint,
    /// Collections yet to come until the fences return.
    left: Hint,
    /// How many there will be the next time.
    budget: Hint,
    /// 1 once the system has not helped.
    alone: Hint,
}

/// How many reads are worth one, where so many threads read: each of them may be interrupted for it.
fn worth(threads: u32) -> u32 {
    WORTH.saturating_mul(threads.max(1).saturating_mul(3) - 2)
}

/// What becomes of a word that was read before all threads passed a barrier, if anything.
fn after_barrier(word: u64, is_spent: bool) -> Option<u64> {
    match word & STATE {
        HANDING => Some(word - HANDING + COLLECTORS),
        COLLECTORS if is_spent => Some(returning(word)),
        RETURNING => Some((word - RETURNING).wrapping_add(GENERATION)),
        _ => None,
    }
}

/// What becomes of it if the system has not helped: nobody who did not fence has read HANDING's generation.
fn without_barrier(word: u64) -> Option<u64> {
    match word & STATE {
        HANDING => Some((word - HANDING).wrapping_add(GENERATION)),
        COLLECTORS => Some(returning(word)),
        _ => None,
    }
}

fn returning(word: u64) -> u64 {
    word & !STATE | RETURNING
}

/// What READERS becomes first when the fences are to be handed over, and then.
fn handing(word: u64) -> Option<[u64; 2]> {
    (word & STATE == READERS).then_some([word | HANDING, word | COLLECTORS])
}

/// Counts a read that was fenced, in its thread's record.
#[inline(always)]
fn count(fenced: &Hint) {
    fenced.set(fenced.get().wrapping_add(1));
}

impl Fences {
    /// Asks the system, which may take some milliseconds once in a process. Readers do without from the start, if they
    /// can: there may be no collection soon.
    pub(super) fn new() -> Self {
        barrier::prepare();
        // It may have been forbidden since.
        let helps = barrier::is_granted() && barrier::heavy();
        let first = if helps { COLLECTORS } else { READERS };
        let counts = Counts {
            reads: Hint::default(),
            enough: Hint::default(),
            left: Hint::new(FIRST),
            budget: Hint::new(FIRST),
            alone: Hint::default(),
        };
        Self { word: AtomicU64::new(first), counts: CachePadded::new(counts) }
    }

    /// Whether a reader that has just written down what it protects need not fence.
    #[inline(always)]
    fn spares(&self) -> bool {
        barrier::keep_order();
        // ORDERING: Acquire. Partner: the exchange to COLLECTORS in `hand_over`, case 1 of the module.
        !MODEL && self.word.load(Ordering::Acquire) & COLLECTORS != 0
    }

    /// Makes `block` visible in `hazard` before any later look of this thread at a slot, for all that matters to
    /// a collector.
    ///
    /// ORDERING: `SeqCst` swap. Partner: the fence in `after_unlinking`. A reader swaps and then loads the slot with
    /// `SeqCst`; a collector has unlinked and then fences. In the single total order either the reader's load comes
    /// after the fence and sees the unlinking, or the collector's load of the hazard comes after the swap and sees it.
    /// A `Release` store alone would let the reader's load pass it, where collectors only fence.
    ///
    /// LOOM: loom treats `SeqCst` accesses as acquire-release and honours only fences, so the model
    /// runs a store and a `SeqCst` fence, to which the swap is equivalent for the pair above: the
    /// store is coherence-ordered before whatever reads past it and sits before the fence.
    #[inline(always)]
    pub(super) fn publish<T>(&self, hazard: &AtomicPtr<T>, block: *mut T, fenced: &Hint) {
        // ORDERING: Release. Partner: the Acquire load in `Protections::read`, which may see this and not what the
        // hazard named before: the last look at that happens before it is freed.
        hazard.store(block, Ordering::Release);
        if MODEL {
            if !planted(Seed::NoHazardFence) {
                fence(Ordering::SeqCst); // ORDERING: LOOM: see above
            }
        } else if !self.spares() {
            hazard.swap(block, Ordering::SeqCst); // ORDERING: see above
            count(fenced); // not before, or the swap waits for it
        }
    }

    /// Lets a reader pass that has just published a pin.
    #[inline]
    pub(super) fn after_pinning(&self, fenced: &Hint) {
        if !self.spares() {
            // ORDERING: SeqCst. Partner: the fence in `after_unlinking`: the collector sees this pin, or every slot
            // that is read from here on shows what that collector's blocks had been unlinked from.
            fence(Ordering::SeqCst);
            count(fenced);
        }
    }

    /// Lets a collector pass that has unlinked. False if nothing is known of what readers protect.
    #[must_use]
    pub(super) fn after_unlinking(&self) -> bool {
        // ORDERING: SeqCst. Partners: `publish` and `after_pinning`.
        fence(Ordering::SeqCst);
        if MODEL {
            return true;
        }
        // ORDERING: Acquire. Partner: the exchange to READERS below, case 2 of the module.
        let word = self.word.load(Ordering::Acquire);
        if word & STATE == READERS {
            return true;
        }
        if !barrier::heavy() {
            self.is_left_alone(word);
            return false;
        }
        if let Some(next) = after_barrier(word, self.counts.left.get() == 0) {
            self.exchange(word, next);
        }
        true
    }

    /// At the end of a collection, which may have made all pass several barriers. `fenced` tells how many threads have
    /// fenced how many reads in all, and is asked where that decides.
    pub(super) fn reckon(&self, fenced: impl FnOnce() -> (u32, u32)) {
        let Counts { left, alone, .. } = &*self.counts;
        // ORDERING: Relaxed. What follows is confirmed by exchanges.
        match self.word.load(Ordering::Relaxed) & STATE {
            _ if MODEL => {}
            READERS if barrier::is_granted() && alone.get() == 0 => self.reckon_reads(fenced()),
            COLLECTORS => left.set(left.get().saturating_sub(1)),
            _ => {}
        }
    }

    fn reckon_reads(&self, (threads, reads): (u32, u32)) {
        let Counts { reads: before, enough, left, budget, .. } = &*self.counts;
        let since = reads.wrapping_sub(before.get()) as i32;
        before.set(reads);
        if since < 0 {
            return; // another has counted later, and was sooner
        }
        let times = budget.get();
        match (since as u32 >= worth(threads.min(cores() as u32)), enough.get()) {
            (true, 0) => enough.set(1),
            (true, _) => {
                enough.set(0);
                left.set(times);
                budget.set((2 * times).min(MOST));
                self.hand_over();
            }
            (false, _) => {
                enough.set(0);
                budget.set(FIRST);
            }
        }
    }

    /// Makes collectors fence for readers, where the system helps and has always done so.
    #[cold]
    fn hand_over(&self) {
        // ORDERING: Relaxed. The exchange confirms it.
        let word = self.word.load(Ordering::Relaxed);
        let Some([first, then]) = handing(word) else { return };
        if !self.exchange(word, first) {
            return;
        }
        // Whether it does is asked by the call that is, or has, the fence of case 1 in the module.
        if barrier::heavy() {
            reach(Step::HandingOver);
            self.exchange(first, then);
        } else {
            self.is_left_alone(first);
        }
    }

    /// After the system has not helped somebody who has seen `word`.
    #[cold]
    fn is_left_alone(&self, word: u64) {
        self.counts.alone.set(1);
        if let Some(next) = without_barrier(word) {
            self.exchange(word, next);
        }
    }

    fn exchange(&self, from: u64, to: u64) -> bool {
        // ORDERING: AcqRel. Release: see the Acquire loads above. Acquire: whoever takes an arrow has seen all before it.
        // Relaxed on failure: somebody else took it.
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(hotset_loom)))]
mod tests {
    use super::*;
    use crate::barrier::tests::missed;
    use crate::reclaim::Protect;

    /// Blocks to read, and blocks to collect.
    type Blocks = crate::node::NodeDomain<u8, u8>;

    fn state(domain: &Blocks) -> (u64, u64) {
        // ORDERING: Relaxed. One thread.
        let word = domain.fences.word.load(Ordering::Relaxed);
        (word / GENERATION, word & STATE)
    }

    fn reads(domain: &Blocks, times: u32) {
        let hazard = domain.owner().hazard();
        for _ in 0..times {
            hazard.protect(std::ptr::null_mut());
        }
    }

    fn collections(domain: &Blocks, times: u32) {
        for _ in 0..times {
            assert!(domain.fences.after_unlinking());
            domain.owner().reckon();
        }
    }

    /// The real thing, in COLLECTORS and RETURNING, one after the other. Without the system's barrier readers and
    /// collectors miss each other some times in a thousand.
    #[test]
    fn one_of_reader_and_collector_sees_the_other() {
        let fences = Fences::new();
        let hazard = AtomicPtr::new(std::ptr::null_mut::<u8>());
        let fenced = Hint::default();
        let collect = || {
            assert!(fences.after_unlinking());
            fences.reckon(|| {
                fences.counts.left.set(500);
                fences.hand_over(); // as another collector may at any time
                (0, 0)
            });
        };
        let publish = || fences.publish(&hazard, std::ptr::null_mut(), &fenced);
        let pin = || fences.after_pinning(&fenced);
        assert_eq!(missed(30_000, publish, collect), 0);
        assert_eq!(missed(30_000, pin, collect), 0);
    }

    #[cfg(not(hotset_pause))]
    #[test]
    fn fences_go_to_and_fro() {
        let domain = Blocks::new(1, crate::reclaim::Kind::Short);
        let enough = || {
            reads(&domain, WORTH);
            collections(&domain, 1);
        };
        if !barrier::is_granted() {
            (0..3).for_each(|_| enough());
            assert_eq!(state(&domain), (0, READERS));
            return println!("skipped: the system makes nobody pass a barrier here");
        }
        let returns_after = |budget| {
            let generation = state(&domain).0;
            assert_eq!(state(&domain), (generation, COLLECTORS));
            reads(&domain, 3 * WORTH);
            collections(&domain, budget);
            assert_eq!(state(&domain), (generation, COLLECTORS));
            collections(&domain, 1);
            assert_eq!(state(&domain), (generation, RETURNING));
            enough();
            assert_eq!(state(&domain), (generation + 1, READERS));
        };
        returns_after(FIRST);
        reads(&domain, WORTH - 1);
        collections(&domain, 1);
        enough();
        assert_eq!(state(&domain), (1, READERS), "not twice in turn");
        enough();
        for turn in 0..8 {
            returns_after((FIRST << turn).min(MOST));
            enough();
        }
        returns_after(MOST);
        collections(&domain, 1);
        (0..2).for_each(|_| enough());
        returns_after(FIRST);
    }
}
