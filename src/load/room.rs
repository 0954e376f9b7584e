//! Where do the waiters of one flight wait? Seats, each with a waker; one word that says what is up.
//!
//! ```text
//!  Room   word   [ 31 bits seats | 31 bits seated | vacant | settled ]
//!         first, more -> Seat -> Seat -> ...     only ever longer; freed with the room
//!  Seat   cell   FREE | TOLD | a boxed waker
//! ```
//!
//! | arrow of a cell | who | by | carries |
//! |---|---|---|---|
//! | FREE -> waker | one who sits down | exchange, AcqRel | the waker |
//! | waker or TOLD -> waker | who sits there, polled anew | swap, AcqRel | takes the old waker |
//! | waker or TOLD -> TOLD | the leader, or one who was told and leaves | exchange, AcqRel | takes the waker, wakes it |
//! | waker or TOLD -> FREE | who sits there and leaves | swap, AcqRel | takes the waker |
//!
//! | arrow of the word | who | by |
//! |---|---|---|
//! | seated + 1, seats + 1 if it brought one | who has sat down, *after* the cell | `fetch_add`, AcqRel |
//! | seated - 1 | who has left the seat | `fetch_sub`, AcqRel |
//! | vacant | a leader that gives up, *before* it tells one | `fetch_or`, AcqRel |
//! | not vacant | who takes the lead: the one that saw the bit set | `fetch_and`, AcqRel |
//! | settled | the leader, after the outcome and *before* it tells all | `fetch_or`, AcqRel |
//!
//! Who makes the room sits in its first seat; that room is published with both.
//!
//! No wake-up is lost. Who sits down writes the cell and then the word; who has something to say
//! writes the word and then goes over the cells. Of the two writes of the word, which are
//! read-modify-writes, the later one reads the earlier: so either the teller sees the waker, or the
//! waiter sees what is up and does not sleep. Who gets a new waker writes the cell alone: either it
//! finds TOLD there, and looks at the word, or the teller finds the new waker. A seat that was TOLD
//! already is told again by an exchange of TOLD for TOLD: its waiter has been woken and has not looked
//! yet, and when it does, it takes that exchange's news with its own swap.
//!
//! Of several that wait, one is told that the lead is vacant. If it leaves without having taken it, it
//! tells the next. Who comes new sees the bit, and takes it.
//!
//! Memory: seats are used again, so there are no more than ever sat at one time, plus one for each
//! thread that is about to sit down. Sitting down takes constant time while all seats are taken, and time
//! in proportion to their number at worst, if one of them is free.
//!
//! Models: `loom-tests/tests/handover.rs`, `flight.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::seed::{Seed, planted};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Tracked};

const SETTLED: u64 = 0b01;
const VACANT: u64 = 0b10;
const ONE_SEATED: u64 = 0b100;
const ONE_SEAT: u64 = 1 << 33;

/// What is up, as its word says.
#[derive(Clone, Copy)]
pub(super) struct State(u64);

impl State {
    pub(super) fn is_settled(self) -> bool {
        self.0 & SETTLED != 0
    }

    fn is_vacant(self) -> bool {
        self.0 & VACANT != 0
    }

    /// Whether there are more seats than are taken.
    fn has_free_seat(self) -> bool {
        self.0 / ONE_SEAT > self.0 % ONE_SEAT / ONE_SEATED
    }
}

/// The waiters of one flight. See the module.
pub(super) struct Room {
    word: AtomicU64,
    /// Counted shares of the flight that have not signed off, once it has an outcome; before that,
    /// less than nothing. See `load`.
    pub(super) signed_on: AtomicUsize,
    first: Seat,
    more: AtomicPtr<Seat>,
    _tracked: Tracked,
}

/// A place in the room. See the module.
struct Seat {
    cell: AtomicPtr<Waker>,
    next: *mut Seat,
}

/// A cell of a seat that nobody has.
const FREE: *mut Waker = ptr::without_provenance_mut(1);
/// A cell of a seat whose waiter was woken and has not looked since.
const TOLD: *mut Waker = ptr::without_provenance_mut(2);

/// Takes a waker that came out of a cell.
///
/// # Safety
/// `cell` is what the caller has taken out of a cell, whence nobody else can take it any more.
unsafe fn boxed(cell: *mut Waker) -> Option<Box<Waker>> {
    // SAFETY: all that is in a cell beside the two marks is a box, ours by contract.
    (cell != FREE && cell != TOLD).then(|| unsafe { Box::from_raw(cell) })
}

impl Seat {
    /// FREE -> waker. False if somebody has the seat.
    fn take(&self, waker: *mut Waker) -> bool {
        // ORDERING: AcqRel on success. Release: partner is the Acquire of who tells. Acquire: of who
        // left the seat. Relaxed on failure: nothing is read.
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        self.cell.compare_exchange(FREE, waker, success, failure).is_ok()
    }

    /// waker or TOLD -> `to`, by the one who sits there. Gives what was there.
    fn put(&self, to: *mut Waker) -> *mut Waker {
        // ORDERING: AcqRel. Release: partner is the Acquire of who tells, or sits down next.
        // Acquire: partner is the exchange of `tell`; with TOLD comes what the word said then.
        self.cell.swap(to, Ordering::AcqRel)
    }

    /// waker or TOLD -> TOLD; wakes. False if nobody sits here.
    fn tell(&self) -> bool {
        // ORDERING: Relaxed. The exchange validates it.
        let mut cell = self.cell.load(Ordering::Relaxed);
        while cell != FREE {
            // ORDERING: AcqRel on success. Release: partner is the Acquire of `put`. Acquire: partner
            // is the Release of `take` and `put`: the waker is seen. Relaxed on failure: as above. A
            // waker that was replaced by one at the same address is as good.
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            match self.cell.compare_exchange_weak(cell, TOLD, order.0, order.1) {
                Ok(_) => {
                    // SAFETY: the exchange took it out of the cell.
                    if let Some(waker) = unsafe { boxed(cell) } {
                        wake(*waker);
                    }
                    return true;
                }
                Err(now) => cell = now,
            }
        }
        false
    }
}

/// Wakes. A waker that panics is its task's misfortune: the others are to be woken all the same.
fn wake(waker: Waker) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        std::mem::forget(panic); // its destructor is a user's code, too
    }
}

impl Room {
    /// An empty room.
    pub(super) fn empty() -> Self {
        Self::with(FREE, ONE_SEAT)
    }

    /// A room where somebody sits already, in the first seat.
    pub(super) fn taken(waker: Waker) -> Self {
        Self::with(Box::into_raw(Box::new(waker)), ONE_SEAT | ONE_SEATED)
    }

    fn with(cell: *mut Waker, word: u64) -> Self {
        Self {
            word: AtomicU64::new(word),
            signed_on: AtomicUsize::new(0),
            first: Seat { cell: AtomicPtr::new(cell), next: ptr::null_mut() },
            more: AtomicPtr::new(ptr::null_mut()),
            _tracked: Tracked::new(()),
        }
    }

    fn state(&self) -> State {
        // ORDERING: Acquire. Partner: the Release of who changed it.
        State(self.word.load(Ordering::Acquire))
    }

    // ---- waiting ----------------------------------------------------------------------------

    /// Sits down. Gives the seat, and what is up since.
    fn sit(&self, waker: Waker) -> (NonNull<Seat>, State) {
        let waker = Box::into_raw(Box::new(waker));
        let before = self.state();
        let free = before.has_free_seat().then(|| self.seats().find(|seat| seat.take(waker)));
        let (seat, change) = match free.flatten() {
            Some(seat) => (NonNull::from(seat), ONE_SEATED),
            None => (self.add_seat(waker), ONE_SEATED | ONE_SEAT),
        };
        // ORDERING: AcqRel. Release: a teller that comes later sees the cell and the seat. Acquire:
        // partner is a teller that came earlier.
        let after = State(self.word.fetch_add(change, Ordering::AcqRel));
        (seat, if planted(Seed::LookThenSit) { before } else { after })
    }

    fn add_seat(&self, waker: *mut Waker) -> NonNull<Seat> {
        // ORDERING: Relaxed. Validated by the exchange; not followed here.
        let mut head = self.more.load(Ordering::Relaxed);
        let seat = Box::new(Seat { cell: AtomicPtr::new(waker), next: head });
        let seat = NonNull::from(Box::leak(seat));
        loop {
            // ORDERING: Release on success. Partner: the Acquire load in `seats`. Pushes continue each
            // other's release sequences.
            let order = (Ordering::Release, Ordering::Relaxed);
            match self.more.compare_exchange_weak(head, seat.as_ptr(), order.0, order.1) {
                Ok(_) => return seat,
                Err(now) => head = now,
            }
            // SAFETY: the seat is not in the list yet, so its place in it is ours alone.
            unsafe { (*seat.as_ptr()).next = head };
        }
    }

    fn seats(&self) -> impl Iterator<Item = &Seat> {
        // ORDERING: Acquire. Partner: the Release exchange in `add_seat`.
        let more = self.more.load(Ordering::Acquire);
        // SAFETY: seats in the list live as long as the room, and their `next` does not change.
        let follow = |seat: *mut Seat| unsafe { seat.as_ref() };
        let more = std::iter::successors(follow(more), move |seat| follow(seat.next));
        std::iter::once(&self.first).chain(more)
    }

    /// Leaves a seat. If its waiter was told that the lead is vacant, and it still is, tells another.
    fn leave(&self, seat: NonNull<Seat>) {
        // SAFETY: seats live as long as the room.
        let cell = unsafe { seat.as_ref() }.put(FREE);
        // ORDERING: AcqRel, as in `sit`.
        let state = State(self.word.fetch_sub(ONE_SEATED, Ordering::AcqRel));
        if cell == TOLD && state.is_vacant() && !planted(Seed::ToldAndGone) {
            self.tell_one();
        }
        // SAFETY: the swap took it out of the cell.
        drop(unsafe { boxed(cell) });
    }

    // ---- leading ----------------------------------------------------------------------------

    /// Whether the lead was vacant when the caller saw `state`, and is the caller's now.
    pub(super) fn take_lead(&self, state: State) -> bool {
        // ORDERING: AcqRel. Acquire: partner is the Release in `vacate`: the new leader sees what the
        // old one did. Release: it was no leader before it took the bit.
        state.is_vacant() && State(self.word.fetch_and(!VACANT, Ordering::AcqRel)).is_vacant()
    }

    /// Whether the lead is vacant and is the caller's now.
    pub(super) fn take_lead_now(&self) -> bool {
        self.take_lead(self.state())
    }

    /// The leader gives up: one of those who sit here is told.
    pub(super) fn vacate(&self) {
        // ORDERING: AcqRel. Release: the next leader sees what this one did. Acquire: who sat down
        // before is seen.
        self.word.fetch_or(VACANT, Ordering::AcqRel);
        if !planted(Seed::SilentVacancy) {
            self.tell_one();
        }
    }

    fn tell_one(&self) {
        let _ = self.seats().any(Seat::tell);
    }

    /// The flight has its outcome: all are told.
    pub(super) fn settle(&self) {
        if planted(Seed::LostWaiter) {
            self.tell_all();
        }
        // ORDERING: AcqRel. Release: who sees the bit sees the outcome. Acquire: who sat down before
        // is seen.
        let order =
            if planted(Seed::RelaxedOutcome) { Ordering::Acquire } else { Ordering::AcqRel };
        self.word.fetch_or(SETTLED, order);
        if !planted(Seed::LostWaiter) {
            self.tell_all();
        }
    }

    fn tell_all(&self) {
        self.seats().for_each(|seat| {
            seat.tell();
        });
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // ORDERING: Relaxed, all. Nobody else is left.
        debug_assert_eq!(self.first.cell.load(Ordering::Relaxed), FREE, "somebody sits here");
        let mut next = self.more.load(Ordering::Relaxed);
        while let Some(seat) = NonNull::new(next) {
            // SAFETY: a box made by `add_seat`, freed here and nowhere else.
            let seat = unsafe { Box::from_raw(seat.as_ptr()) };
            debug_assert_eq!(seat.cell.load(Ordering::Relaxed), FREE, "somebody sits here");
            next = seat.next;
        }
    }
}

/// One who sits in a room. Must be ended by `leave`.
pub(crate) struct Seated {
    seat: NonNull<Seat>,
    /// The waker that was put into the cell last, to compare the next one with.
    waker: Waker,
}

// SAFETY: a seat is atomics and a pointer that does not change; which room it is in is the caller's
// affair wherever it is used.
unsafe impl Send for Seated {}
// SAFETY: as above; nothing is done by reference.
unsafe impl Sync for Seated {}

impl Seated {
    /// The one who made `room`, and sits in its first seat, to be woken by `waker`.
    pub(super) fn first(room: &Room, waker: Waker) -> Self {
        Self { seat: NonNull::from(&room.first), waker }
    }

    /// Sits down, to be woken by `waker`. Gives what is up since.
    pub(super) fn new(room: &Room, waker: &Waker) -> (Self, State) {
        let (first, second) = (waker.clone(), waker.clone());
        let (seat, state) = room.sit(first);
        (Self { seat, waker: second }, state)
    }

    /// Looks again, to be woken by `waker` from now on.
    ///
    /// # Safety
    /// `room` is where this one sits.
    pub(super) unsafe fn look(&mut self, room: &Room, waker: &Waker) -> State {
        // SAFETY: seats live as long as the room.
        let seat = unsafe { self.seat.as_ref() };
        // ORDERING: Relaxed. If a waker is there, it is ours, and will be woken by whoever has
        // something to say that we do not see yet.
        let told = seat.cell.load(Ordering::Relaxed) == TOLD;
        if told || !self.waker.will_wake(waker) {
            let (first, second) = (waker.clone(), waker.clone());
            let old = seat.put(Box::into_raw(Box::new(first)));
            self.waker = second;
            // SAFETY: the swap took it out of the cell.
            drop(unsafe { boxed(old) });
        }
        room.state()
    }

    /// Leaves the room that it sits in.
    ///
    /// # Safety
    /// `room` is where this one sits.
    pub(super) unsafe fn leave(self, room: &Room) {
        room.leave(self.seat);
    }
}
