//! How do many wait for one load? The flight of a key: who leads it, who waits, how it ends.
//!
//! A flight is a node without an outcome, registered by its slot's state LOADING. Those who take part
//! have shares of it (`node`). One of them *leads*: its loader runs, in a call or a future. The others
//! wait, threads and tasks alike, as `std::task::Waker`s in the flight's room (`room`).
//!
//! ```text
//!                     value          error         panic
//!   RUNNING(waiters) -------> READY | ------> FAILED | ----> PANICKED
//!      |        ^
//!      | leader | one of those who take part takes the lead: its own loader runs
//!      | gone   |
//!      v        |
//!   VACANT(waiters) --- the last one leaves ---> ABANDONED
//! ```
//!
//! | arrow | who may | by | then |
//! |---|---|---|---|
//! | RUNNING -> READY, FAILED, PANICKED | the leader | `fetch_or` of `shares`, Release | settles |
//! | RUNNING -> VACANT | the leader, if others take part | `fetch_or` of the room's word | tells one, gives its share back |
//! | VACANT -> RUNNING | anyone who takes part | `fetch_and` of the room's word: the one that saw the bit set | leads |
//! | RUNNING -> ABANDONED | the leader, if no share is left but its own and the slot's | exchange of `shares` that says so | settles, empties the slot |
//!
//! *Settling*: the word says SETTLED, then all are woken, after the outcome is visible and outside
//! everything. *Nobody asleep*: see `room`. *Nothing left behind*: who leaves a flight that has no
//! outcome gives its share back by an exchange of a known count. If it finds that only the slot is left
//! beside it, it takes the lead first, if that is vacant, and abandons the flight; so the last one
//! always does. Who meets an abandoned flight in a slot empties the slot, whether the leader has
//! done so already or not, and begins anew: nobody waits for a thread that is stopped in between.
//! Of a flight that was detached the slot's share is gone or about to go, and with the last share it
//! is retired without an outcome.
//!
//! A blocking leader does not leave but with an outcome; a future may be dropped wherever it waits, and
//! is then a leader or a waiter that leaves. A future that is leaked instead keeps its share, and if
//! it led, its flight.
//!
//! # The room
//!
//! ```text
//!            first to wait                   the last counted share
//!  link: 0 ---------------> room ---------------------------------> SETTLED
//!        |                                                             ^
//!        +------------- settled, and nobody has waited ----------------+
//! ```
//!
//! | arrow | who | by |
//! |---|---|---|
//! | 0 -> room | one who is about to wait | exchange, AcqRel |
//! | 0 -> SETTLED | the leader, after the outcome; a counted share that leaves | exchange, AcqRel |
//! | room -> SETTLED | the counted share that signs off last | store |
//! | SETTLED -> on a list, still SETTLED | the domain, after the last share is gone | store |
//!
//! The room is freed as soon as the last of those who waited has left, not with the entry, which may
//! stay for days. Who that is follows from one count. `conclude` sets the outcome in the word that counts
//! the shares, so it learns how many take part, and each of them learns when it leaves that it is *counted*:
//! it joined before the outcome, and is still there. The count is added to `signed_on`, and each counted
//! share takes one off before it goes, the slot's included (when it is detached, or by the leader when the
//! flight has become an entry). Who takes the last one off frees the room. Who joins later has the
//! outcome at once, and never looks at the room.
//!
//! `SETTLED` is `reclaim::RETIRED`, so who looks at the link of a retired node sees it.

mod room;
mod running;

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use crate::node::{Node, NodeOwner, Outcome, release};
use crate::reclaim::RETIRED;
use crate::seed::{Seed, planted};
use crate::sync::{Ordering, Thread, current};
use room::Room;
pub(crate) use room::Seated;
pub(crate) use running::Running;

const SETTLED: usize = RETIRED;

/// The link of a flight that is settled and has no room.
fn settled<N>() -> *mut N {
    ptr::without_provenance_mut(SETTLED)
}

/// The room that a link leads to, if it is one.
fn room_at<N>(link: *mut N) -> Option<NonNull<Room>> {
    NonNull::new(link.cast()).filter(|_| link.addr() != SETTLED)
}

/// The room of a flight that has its outcome: if there is none, there will be none.
#[derive(Clone, Copy)]
pub(crate) struct LastRoom(Option<NonNull<Room>>);

/// What one who waited is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The flight has its outcome.
    Over,
    /// The lead was vacant, and is the caller's.
    Lead,
}

impl<K, V> Node<K, V> {
    /// Whether a flight is settled, and no room is left of it.
    pub(crate) fn is_settled(&self) -> bool {
        // ORDERING: Acquire. Partner: the exchange in `settle`.
        self.link.load(Ordering::Acquire).addr() == SETTLED
    }

    /// The room, if there is one.
    ///
    /// # Safety
    /// The caller has a counted share, or one of a flight without an outcome, and does not use the
    /// room once it has signed off or given the share back.
    unsafe fn room(&self) -> Option<&Room> {
        // ORDERING: Acquire. Partner: the Release of the exchange in `add_room`.
        let room = room_at(self.link.load(Ordering::Acquire))?;
        // SAFETY: while the flight has no outcome the link is null or a room, which lives until all
        // counted shares have signed off; the caller's has not.
        Some(unsafe { room.as_ref() })
    }

    /// Puts `room` where the flight has none. `Err`: it has one, or is settled without.
    fn add_room(&self, room: Room) -> Result<NonNull<Room>, Box<Room>> {
        let room = NonNull::from(Box::leak(Box::new(room)));
        // ORDERING: AcqRel on success. Release: partner is the Acquire in `room` and `last_room`.
        // Acquire: nobody was told anything before. Relaxed on failure: `room` looks anew.
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        match self.link.compare_exchange(ptr::null_mut(), room.as_ptr().cast(), order.0, order.1) {
            Ok(_) => Ok(room),
            // SAFETY: made above and never shared.
            Err(_) => Err(unsafe { Box::from_raw(room.as_ptr()) }),
        }
    }

    /// The room of a flight that has its outcome.
    fn last_room(&self) -> LastRoom {
        // ORDERING: Acquire. Partner: the Release of the exchange in `add_room`.
        let mut link = self.link.load(Ordering::Acquire);
        if link.is_null() {
            // ORDERING: AcqRel on success. Release: partner is the Acquire in `room` and
            // `is_settled`: who finds it settled sees the outcome. Acquire on failure: the room.
            let order =
                if planted(Seed::RelaxedOutcome) { Ordering::Acquire } else { Ordering::AcqRel };
            let closed = self.link.compare_exchange(link, settled(), order, Ordering::Acquire);
            link = closed.err().unwrap_or(settled());
        }
        LastRoom(room_at(link))
    }

    // ---- waiting ----------------------------------------------------------------------------

    /// Whether it is the caller's turn; if not, `waker` will be woken when it may be. `seated` is
    /// where the caller sits since an earlier call; it sits nowhere after its turn.
    ///
    /// # Safety
    /// As for [`room`](Self::room). `seated` is the caller's in this flight.
    pub(crate) unsafe fn poll_turn(
        &self,
        seated: &mut Option<Seated>,
        waker: &Waker,
    ) -> Poll<Turn> {
        // SAFETY: by contract.
        let mut found = unsafe { self.room() };
        if found.is_none() && !self.is_settled() {
            let again = waker.clone();
            match self.add_room(Room::taken(waker.clone())) {
                // Nothing was up, or there would have been a room, or no place for one.
                Ok(room) => {
                    // SAFETY: the room lives until the caller has signed off or given its share back.
                    *seated = Some(Seated::first(unsafe { room.as_ref() }, again));
                    return Poll::Pending;
                }
                // SAFETY: the room that comes back is where this one sits.
                Err(room) => unsafe { Seated::first(&room, again).leave(&room) },
            }
            // SAFETY: by contract.
            found = unsafe { self.room() };
        }
        let Some(room) = found else { return Poll::Ready(Turn::Over) };
        let state = match seated {
            // SAFETY: by contract the seat is in this flight's room.
            Some(seated) => unsafe { seated.look(room, waker) },
            None => {
                let (seat, state) = Seated::new(room, waker);
                *seated = Some(seat);
                state
            }
        };
        let turn = if state.is_settled() {
            Turn::Over
        } else if room.take_lead(state) {
            Turn::Lead
        } else {
            return Poll::Pending;
        };
        // SAFETY: by contract.
        unsafe { self.stand_up(seated) };
        Poll::Ready(turn)
    }

    /// Leaves the seat, if the caller has one.
    ///
    /// # Safety
    /// As for [`poll_turn`](Self::poll_turn).
    pub(crate) unsafe fn stand_up(&self, seated: &mut Option<Seated>) {
        // SAFETY: by contract.
        if let (Some(seat), Some(room)) = (seated.take(), unsafe { self.room() }) {
            // SAFETY: as above.
            unsafe { seat.leave(room) };
        }
    }

    /// Takes the lead, if it is vacant.
    ///
    /// # Safety
    /// As for [`room`](Self::room).
    pub(crate) unsafe fn take_lead(&self) -> bool {
        // SAFETY: by contract.
        unsafe { self.room() }.is_some_and(Room::take_lead_now)
    }

    // ---- the end ----------------------------------------------------------------------------

    /// The leader gives up, and tells one of those who wait.
    ///
    /// # Safety
    /// The caller is the flight's one leader, and is not any more.
    pub(crate) unsafe fn vacate(&self) {
        // SAFETY: a leader has a share of the flight, which has no outcome.
        if unsafe { self.room() }.is_none() {
            let _ = self.add_room(Room::empty()); // another's is as good
        }
        // SAFETY: as above; hence it is not settled, and has a room now.
        if let Some(room) = unsafe { self.room() } {
            room.vacate();
        }
    }

    /// Ends the wait of all, present and future. `counted`: what `conclude` gave.
    ///
    /// # Safety
    /// The caller is the flight's leader, has set the outcome, and calls this once. Its share is
    /// counted, and it has not signed off.
    pub(crate) unsafe fn settle(&self, counted: u32) -> LastRoom {
        let last = self.last_room();
        // SAFETY: the room lives until all counted shares have signed off; the caller's has not.
        if let Some(room) = last.0.map(|room| unsafe { room.as_ref() }) {
            // ORDERING: Relaxed. The caller itself is among those who have to sign off, so nothing
            // can be concluded from the count before its own, which is AcqRel.
            room.signed_on.fetch_add(counted as usize, Ordering::Relaxed);
            room.settle();
        }
        last
    }

    /// Says that a counted share will not use the room any more. The last one frees it.
    ///
    /// # Safety
    /// The flight has its outcome, and `last` is its last room. The caller answers for one counted
    /// share, once, and has that one or another share, which keeps the node.
    pub(crate) unsafe fn sign_off(&self, last: LastRoom) {
        let Some(room) = last.0 else { return };
        // SAFETY: the room lives until all counted shares have signed off; this one has not.
        let signed_on = unsafe { &room.as_ref().signed_on };
        // ORDERING: AcqRel. Release: this one's use of the room is over. Acquire, for the last one:
        // so is everybody else's.
        if signed_on.fetch_sub(1, Ordering::AcqRel) == 1 {
            // ORDERING: Relaxed. Nobody follows the link any more: who is counted has signed off,
            // and others do not look. Retirement and `is_settled` come later by the shares.
            self.link.store(settled(), Ordering::Relaxed);
            // SAFETY: a box put there by `add_room`; every counted share has signed off, and no other
            // may look at it.
            drop(unsafe { Box::from_raw(room.as_ptr()) });
        }
    }
}

/// Gives back a counted share, or one of a flight that may have no outcome.
///
/// # Safety
/// The caller owns the share, gives it up, and sits nowhere. If it was the slot's, the slot does not
/// say LOADING any more.
pub(crate) unsafe fn part<K, V>(owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) {
    // SAFETY: the caller's share keeps the node.
    let flight = unsafe { node.as_ref() };
    while let Some(count) = flight.taking_part() {
        if flight.part(count) {
            if count == 1 {
                // SAFETY: the last share is gone, and nobody gets another one.
                unsafe { bury(owner, node) };
            }
            return;
        }
    }
    // SAFETY: the flight has its outcome, and the share was there before: it is counted. It is given
    // up, as by contract.
    unsafe {
        flight.sign_off(flight.last_room());
        release(owner, node);
    }
}

/// Retires a flight that never had an outcome.
///
/// # Safety
/// The last share is gone, and the caller was the one to give it back.
pub(crate) unsafe fn bury<K, V>(owner: NodeOwner<'_, K, V>, node: NonNull<Node<K, V>>) {
    // SAFETY: the node is not retired yet, hence allocated.
    let flight = unsafe { node.as_ref() };
    debug_assert_eq!(flight.outcome(), Outcome::Pending);
    // ORDERING: Acquire. Partner: the exchange in `add_room`.
    let link = flight.link.swap(settled(), Ordering::Acquire);
    if let Some(room) = room_at(link) {
        // SAFETY: a box put there by `add_room`; nobody has a share any more.
        drop(unsafe { Box::from_raw(room.as_ptr()) });
    }
    // SAFETY: by contract.
    unsafe { owner.retire(node) };
}

/// The waker of a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that unparks the running thread.
pub(crate) fn unpark_this() -> Waker {
    Waker::from(Arc::new(Unpark(current())))
}
