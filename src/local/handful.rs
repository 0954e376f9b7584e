//! What does a thread have in hand of the queue of newcomers? (`table::probation`)
//!
//! | ticket | of | its number is in |
//! |---|---|---|
//! | `next .. end`, leaving | the ring, which it has drawn; its own, if `own` | the ring; `numbers` |
//! | `first .. came`, coming | its own | `numbers` |
//!
//! Its own are those of newcomers that were never in the ring: what is put in gives its tickets back. Where
//! nothing is left to look at and the ring has nothing, what was coming is leaving.
//!
//! Where entries are weighed there are none of its own, and in `numbers` is what those weigh that it has drawn: two of
//! them for each, and two for the sum.
//!
//! Beside it, who left last from the queue, until the next one does (`table::ghost`).

#![forbid(unsafe_code)]

use crate::advice::Hint;
use crate::counter::OwnedWord;

/// Newcomers that a thread keeps to itself at most.
pub(crate) const MOST_KEPT: usize = 32;
/// And numbers that it has drawn at most where entries are weighed.
pub(crate) const MOST_WEIGHTS: usize = 8;
/// After so many of its own a thread that keeps them tells how many have come, and after so many it hears how
/// many others have: not sooner, since they tell of so many at a time.
const TELLING: u32 = 64;
const HEARING: u32 = 512;
/// For so many of its own a thread keeps them that has lost a race.
const KEEPING: u32 = 1024;

/// What a thread has in hand of the queue.
#[derive(Debug, Default)]
pub(crate) struct Handful {
    pub(crate) next: Hint,
    pub(crate) end: Hint,
    pub(crate) own: Hint,
    pub(crate) first: Hint,
    pub(crate) came: Hint,
    /// So far `came` may go until it has to look again.
    pub(crate) full: Hint,
    /// A ring of its own tickets' numbers.
    numbers: [Hint; MOST_KEPT],
    /// How many wait, in hand or in the ring, and how many were ever in the ring, as far as the thread knows.
    pub(crate) waiting: Hint,
    entered: Hint,
    /// How many may be coming, as it was when it last looked; 0 before the first time.
    pub(crate) most: Hint,
    /// What it has in hand counts so many times where it reckons how many wait: for what others keep as well. 0 while the
    /// thread is not counted.
    pub(crate) times: Hint,
    /// How many of its newcomers were put into the ring, and how many came of which it has told.
    put: Hint,
    told: Hint,
    /// How many times as many had come in all when it last heard of them, or 0; and how many of its own and of all
    /// had come by then.
    known: Hint,
    since: Hint,
    heard: Hint,
    /// Whom the thread put out last from the queue and has not remembered yet (`table::ghost`), or 0.
    pub(crate) parted: OwnedWord,
    /// From so many rows of ghosts on `parted` is used.
    pub(crate) deferring: Hint,
    /// How many of its own will have come when the last race that it lost is long ago.
    until: Hint,
    /// How many newcomers had come when the thread found last that one of the queue was used.
    pub(crate) used_at: Hint,
}

impl Handful {
    #[inline(always)]
    pub(crate) fn leaving(&self) -> u32 {
        self.end.get().wrapping_sub(self.next.get())
    }

    #[inline(always)]
    pub(crate) fn coming(&self) -> u32 {
        self.came.get().wrapping_sub(self.first.get())
    }

    /// The place of a ticket of its own.
    #[inline(always)]
    pub(crate) fn number(&self, ticket: u32) -> &Hint {
        &self.numbers[ticket as usize % MOST_KEPT]
    }

    /// Where tickets of its own have their numbers.
    #[inline(always)]
    pub(crate) fn numbers(&self) -> &[Hint] {
        &self.numbers
    }

    #[inline]
    fn wide(&self, at: usize) -> u64 {
        u64::from(self.numbers[2 * at + 1].get()) << 32 | u64::from(self.numbers[2 * at].get())
    }

    #[inline]
    fn set_wide(&self, at: usize, value: u64) {
        self.numbers[2 * at].set(value as u32);
        self.numbers[2 * at + 1].set((value >> 32) as u32);
    }

    /// What those weigh that the thread has drawn, where entries are weighed.
    #[inline]
    pub(crate) fn weight_in_hand(&self) -> u64 {
        self.wide(MOST_WEIGHTS)
    }

    /// The thread has drawn a ticket of this weight.
    pub(crate) fn set_weight(&self, ticket: u32, weight: u64) {
        self.set_wide(ticket as usize % MOST_WEIGHTS, weight);
        self.set_wide(MOST_WEIGHTS, self.weight_in_hand().wrapping_add(weight));
    }

    /// It has looked at that ticket.
    #[inline]
    pub(crate) fn forget_weight(&self, ticket: u32) {
        let weight = self.wide(ticket as usize % MOST_WEIGHTS);
        self.set_wide(MOST_WEIGHTS, self.weight_in_hand().wrapping_sub(weight));
    }

    /// How many wait, as far as this thread knows.
    #[inline(always)]
    pub(crate) fn waiting(&self) -> u64 {
        u64::from(self.waiting.get())
    }

    /// For how many one of its own counts where it reckons how many wait.
    #[inline(always)]
    pub(crate) fn counts_for(&self) -> u64 {
        u64::from(self.times.get().max(1)) // which it does not know before its first
    }

    /// How many newcomers came so far, as far as this thread knows; it wraps.
    #[inline]
    pub(crate) fn arrivals(&self) -> u32 {
        self.entered.get().wrapping_add(self.came.get())
    }

    /// Takes in how many are in the ring, and how many ever were.
    #[inline]
    pub(crate) fn see(&self, in_ring: u32, entered: u32) {
        let in_hand = self.leaving() + self.coming();
        self.waiting.set(in_ring + in_hand * self.times.get());
        self.entered.set(entered);
    }

    /// What was coming is in the ring.
    pub(crate) fn has_put(&self) {
        self.put.set(self.put.get().wrapping_add(self.coming()));
        self.came.set(self.first.get());
    }

    /// What was coming is leaving, and was never in the ring.
    pub(crate) fn turn(&self) {
        self.own.set(1);
        self.next.set(self.first.get());
        self.end.set(self.came.get());
        self.first.set(self.came.get());
    }

    /// How many may be coming: no more than there are places for beside what leaves.
    pub(crate) fn room(&self) -> u32 {
        self.most.get().min(MOST_KEPT as u32 - self.leaving() * self.own.get())
    }

    /// How many newcomers of its own came.
    fn came_in_all(&self) -> u32 {
        self.came.get().wrapping_add(self.put.get())
    }

    /// The thread has lost a race for the ends: others are at work at the same time.
    #[cold]
    pub(crate) fn race(&self) {
        self.until.set(self.came_in_all().wrapping_add(KEEPING));
    }

    /// Whether that was not long ago.
    pub(crate) fn has_raced(&self) -> bool {
        self.until.get().wrapping_sub(self.came_in_all()).wrapping_sub(1) < KEEPING
    }

    /// How many times as many newcomers as this thread's come in all, where so many `threads` keep theirs and tell
    /// their `arrivals`: not as many times as there are threads if some of them rest.
    pub(crate) fn times_of(&self, threads: u32, arrivals: &Hint) -> u32 {
        let own = self.came_in_all();
        let untold = own.wrapping_sub(self.told.get());
        if untold >= TELLING {
            arrivals.add(untold);
            self.told.set(own);
            let mine = own.wrapping_sub(self.since.get());
            if mine >= HEARING {
                let (all, heard) = (arrivals.get(), self.heard.get());
                let times = (all.wrapping_sub(heard).saturating_add(mine / 2)) / mine;
                self.known.set(times.max(1));
                self.since.set(own);
                self.heard.set(all);
            }
        }
        if self.known.get() == 0 { threads } else { self.known.get().min(threads) }
    }
}
