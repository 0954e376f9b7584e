//! Would the models notice? Bugs that a model can plant, to prove that it is able to fail.
//!
//! In an ordinary build `planted` is the constant `false` and every line that asks it disappears.
//! Under the model checker a test may plant one bug (`loom-tests`), which must then be caught; so may
//! the unit tests of the library.

#![forbid(unsafe_code)]

/// The bugs, each named after what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(hotset_loom, feature = "loom")),
    allow(unreachable_pub, dead_code, reason = "public in the model build")
)]
pub enum Seed {
    /// An inserter does not look again after its announcement.
    NoRescan,
    /// An inserter's second scan uses what the home word said before it announced.
    StaleSnapshot,
    /// A rival aborts a claim without having seen its tag.
    AbortUnseen,
    /// A reader does not look whether the slot still has the node that it protects.
    NoValidation,
    /// A hazard is published without a fence.
    NoHazardFence,
    /// A pin is published without a fence.
    NoPinFence,
    /// A collector does not look at hazards.
    IgnoreHazards,
    /// A collector does not look at pins.
    IgnorePins,
    /// A segment that a table has taken back is freed without a look at those who walk.
    IgnoreWalkers,
    /// A segment is stamped before it is off its list.
    StampFirst,
    /// A segment is taken back without having been closed.
    OpenSegment,
    /// Who claims a slot of an appended segment does not look whether that is closed.
    ClaimAndGo,
    /// Of two pins a collector heeds the younger one.
    YoungestPin,
    /// A slot is published with Relaxed.
    RelaxedSlot,
    /// A slot is claimed by a load and a store.
    TornClaim,
    /// A claim is exchanged for its node by a load and a store.
    TornFinalise,
    /// A value takes the place of another, or of its own flight, by a load and a store.
    TornExchange,
    /// A value takes the place of another in two steps, between which the slot is empty.
    EmptyBetween,
    /// A list of blocks or of slabs is taken by a load and a store.
    TornList,
    /// A share of an entry is given back with Relaxed.
    RelaxedShare,
    /// A flight takes the place of an entry whose time is over by a load and a store.
    TornRenew,
    /// A slot is emptied by a load and a store.
    TornUnlink,
    /// A tag is written by a load and a store.
    TornTag,
    /// Who passed a bucket is counted by a load and a store.
    TornPassed,
    /// Who is used is written into the word of the slot, by a load and a store, by hits and by the hand.
    AgeInSlot,
    /// A sweep that comes by an entry writes back when it was used last.
    SweepWritesBack,
    /// The hand gives an entry up without having unlinked it.
    HandDecides,
    /// A bound that is set does not show in the count of what is used.
    UncountedBound,
    /// An insert that meets a flight leaves it where it is, as it will bring a value.
    InsertSparesFlight,
    /// A replacement that meets a flight takes it out of its slot.
    ReplaceDetaches,
    /// A loaded value comes into its slot, whatever that says by then.
    LoadTakesAny,
    /// A value that was computed takes the place of whatever entry the key has by then.
    ComputeTakesAny,
    /// A flight's outcome is made known with Relaxed, and its settling too.
    RelaxedOutcome,
    /// The waiters are told, and then, in a second step, the flight is settled.
    LostWaiter,
    /// Who sits down looks what is up before, and not after.
    LookThenSit,
    /// A leader that gives up tells nobody.
    SilentVacancy,
    /// Who was told that the lead is vacant leaves and tells nobody.
    ToldAndGone,
    /// The last one to leave a flight that nobody leads leaves it in its slot.
    LastLeavesOpen,
    /// When a flight has become an entry, nobody signs off for the slot's share.
    SlotStaysSignedOn,
    /// A loader that panics wakes nobody.
    SilentPanic,
    /// A failed flight is made known before it leaves its slot.
    FailureStays,
    /// A removal leaves the flight of its key alone.
    RemoveSparesFlight,
    /// Room is taken by a load and a store.
    TornRoom,
    /// In a table that has grown a search looks at home and in the newest segment, and nowhere else.
    NewestOnly,
    /// A key comes into an appended segment, and its home bucket does not say so.
    SilentBeyond,
    /// A home bucket that says so already is not written again, so the claim is not announced.
    UnsaidBeyond,
    /// A claim in an older segment is marked in newer ones after it was announced.
    LateMark,
    /// An inserter takes it that nothing passed its home in the newest segment.
    NonePassed,
    /// Who surveys takes what a node says for its key's place, retired or not.
    StampForPlace,
    /// Who puts a key into an older segment does not tell the newer ones.
    Unmarked,
    /// A segment is known, and then the marks are made.
    KnownTooSoon,
    /// Who puts a key into an older segment looks for newer ones without a fence.
    NoTellFence,
    /// An array is replaced by a larger one by a load and a store.
    TornGrowth,
    /// Who uses an array that has replaced another does not walk.
    StayAndLook,
    /// Room for a weight is taken by a load and a store.
    TornWeight,
    /// A heavier value takes the place of a lighter one before there is room for the difference.
    HeavierFirst,
    /// An evicted entry's room is given back before its slot is empty.
    RoomBeforeSlot,
    /// A retired block is put into its thread's queue without ordering.
    RelaxedFresh,
    /// Who empties a thread's queue of retired blocks does not make sure that nobody else has.
    UnconfirmedTake,
    /// A block is given back to its slab with Relaxed.
    RelaxedGift,
    /// Who gives a block back to a slab that is on a list puts it on the list.
    HeldTwice,
    /// What a thread does not need of a list of slabs it leaves on its own with Relaxed.
    RelaxedRest,
    /// Whether all blocks of a slab have come back is looked up with Relaxed.
    RelaxedTrim,
    /// A handle is taken apart without a look at readers.
    BlindHandle,
    /// A handle is found to be the only one, and then it is looked at readers.
    SoleFirst,
    /// Who takes a number out of the queue of probation gives its entry up without having unlinked it.
    QueueDecides,
    /// Who finds that an entry's time is over begins a flight in its place without having won it.
    RenewDecides,
    /// The room of an entry that makes way for a flight is not given back.
    RenewKeepsRoom,
    /// Whether an entry is being refreshed is looked up, and then written down.
    TornRefresh,
    /// A refresher does not make sure that the entry of which it took a share is in its slot still.
    UnconfirmedShare,
    /// A refreshed value takes the place of whatever entry the slot has by then.
    RefreshTakesAny,
    /// `clear` passes over an entry that is refreshed under its hands.
    ClearSparesRefresh,
    /// `clear` passes over a flight that becomes an entry under its hands.
    ClearSparesFlight,
    /// A resource's room is free as soon as its close begins.
    FreeBeforeClosed,
    /// A resource is given to two close jobs.
    CloseTwice,
    /// A resource that is to be closed is closed at the next release, though others hold it.
    CloseUnderUse,
    /// A flight that nobody waits for any more stays.
    AbandonedFlight,
    /// Somebody waits for room, and the releases of what could be closed are not told.
    UnwatchedWait,
    /// An ask for an idle resource is served before the waiter who could have it closed.
    ReviveVictim,
    /// A load that ends after the shutdown began is admitted.
    AdmitLate,
    /// A lease is given of a resource that is retired.
    EnterRetired,
    /// A hit gets past an empty gate that is watched.
    EnterWatched,
    /// Whether a gate is idle is looked at before it is watched.
    LookThenWatch,
    /// Whether a gate is idle is looked at before it is retired.
    LookThenRetire,
    /// A lease is given back with Relaxed.
    RelaxedRelease,
    /// An advance of manual time tells who listens, and then moves.
    TellThenMove,
}

#[cfg(not(any(test, all(hotset_loom, feature = "loom"))))]
#[inline(always)]
pub(crate) const fn planted(_: Seed) -> bool {
    false
}

#[cfg(any(test, all(hotset_loom, feature = "loom")))]
mod garden {
    use super::Seed;
    use std::cell::Cell;

    // LOOM: all threads of a model run on one system thread, hence a std thread-local.
    std::thread_local! {
        static PLANTED: Cell<Option<Seed>> = const { Cell::new(None) };
    }

    pub(crate) fn planted(seed: Seed) -> bool {
        PLANTED.get() == Some(seed)
    }

    /// Plants `seed`, or none, for the models that this system thread runs from now on.
    #[cfg_attr(test, allow(unreachable_pub, reason = "public in the model build"))]
    pub fn plant(seed: Option<Seed>) {
        PLANTED.set(seed);
    }
}

#[cfg(all(hotset_loom, feature = "loom"))]
pub use garden::plant;
#[cfg(all(test, not(all(hotset_loom, feature = "loom"))))]
pub(crate) use garden::plant;
#[cfg(any(test, all(hotset_loom, feature = "loom")))]
pub(crate) use garden::planted;
