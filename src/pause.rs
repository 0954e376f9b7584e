//! Where can a thread be stopped? Named steps for the tests that suspend one.
//!
//! In an ordinary build `reach` is nothing. With `--cfg hotset_pause` it calls the hook that the
//! test `tests/stopped.rs` has set, which may block the calling thread there for as long as it
//! likes: the others must go on (DESIGN, invariant M9). In the model build it calls the hook of
//! the model, if it has one (`loom-tests/src/race.rs` says why one should).

#![forbid(unsafe_code)]

/// The steps of an insert, an eviction, a load, a refresh, of growth and its end, of a collection or of the taking
/// and freeing of memory between which a thread may be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(any(hotset_pause, all(hotset_loom, feature = "loom"))),
    allow(unreachable_pub, reason = "public in the pause build and in the model build")
)]
pub enum Step {
    /// A slot is claimed, its tag not yet written.
    Claimed,
    /// The tag of a displaced claim is written, nothing counted yet.
    Tagged,
    /// The claim is announced on the home word; the second scan follows.
    Announced,
    /// Room is reserved, the node is about to be put into the slot.
    BeforeFinalise,
    /// The entry is visible; its inserter has not yet returned.
    Finalised,
    /// An entry is visible; its class is not yet written down.
    Entering,
    /// A newcomer's place in the queue of probation is drawn; its number is not yet there.
    Drawn,
    /// A number is out of that queue; its slot has not been looked at.
    Popped,
    /// A victim is unlinked; its overflow counts are not yet taken back.
    Unlinked,
    /// A victim is about to be retired.
    BeforeRetire,
    /// A flight is registered; its loader has not yet run.
    Registered,
    /// A flight's outcome is visible; its value is not yet an entry.
    Settled,
    /// A flight has taken the place of an entry whose time was over; its room is not yet given back.
    Renewed,
    /// The refresh of an entry is taken; no share of it is.
    RefreshDue,
    /// An entry's new value is loaded; it is not yet exchanged for the old one.
    RefreshLoaded,
    /// A further segment is made, but not yet behind the others.
    Growing,
    /// A further segment is in place.
    Grown,
    /// Older buckets are surveyed for a segment; that they are is not yet written down.
    Surveyed,
    /// An appended segment that was empty is closed; it was not looked at again.
    Closed,
    /// An appended segment is off its shard's list; it is not yet on that of those to be freed.
    TakenBack,
    /// The rows of a table that has become smaller are counted; nobody has looked whether there are more by now.
    Recounted,
    /// Readers are about to be spared their fences; they still fence.
    HandingOver,
    /// A collector has taken a list of retired blocks and not yet looked who reads them.
    Collecting,
    /// A collector knows which blocks nobody reads; their destructors have not yet run.
    Freeing,
    /// A thread that needs a block has taken a list of slabs, and left none of them to others yet.
    SlabsTaken,
    /// A thread that frees slabs has taken all that there are on lists, and put none back yet.
    SlabsSorted,
}

/// All steps, for tests that go through them.
#[cfg(hotset_pause)]
pub const STEPS: [Step; 26] = [
    Step::Claimed,
    Step::Tagged,
    Step::Announced,
    Step::BeforeFinalise,
    Step::Finalised,
    Step::Entering,
    Step::Drawn,
    Step::Popped,
    Step::Unlinked,
    Step::BeforeRetire,
    Step::Registered,
    Step::Settled,
    Step::Renewed,
    Step::RefreshDue,
    Step::RefreshLoaded,
    Step::Growing,
    Step::Grown,
    Step::Surveyed,
    Step::Closed,
    Step::TakenBack,
    Step::Recounted,
    Step::HandingOver,
    Step::Collecting,
    Step::Freeing,
    Step::SlabsTaken,
    Step::SlabsSorted,
];

/// Whether threads come to this step on this machine.
#[cfg(hotset_pause)]
pub fn is_reached(step: Step) -> bool {
    step != Step::HandingOver || crate::barrier::is_granted()
}

#[cfg(not(any(hotset_pause, all(hotset_loom, feature = "loom"))))]
#[inline(always)]
pub(crate) fn reach(_: Step) {}

#[cfg(all(hotset_loom, feature = "loom", not(hotset_pause)))]
mod model_hook {
    use super::Step;
    use std::cell::RefCell;
    use std::rc::Rc;

    type Hook = Rc<dyn Fn(Step)>;

    // LOOM: all threads of a model run on one system thread, hence a std thread-local.
    std::thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Sets what every thread of the model calls at each step, until it is set anew.
    pub fn set_step_hook(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    pub(crate) fn reach(step: Step) {
        let hook = HOOK.with_borrow(Option::clone);
        if let Some(hook) = hook {
            hook(step);
        }
    }
}

#[cfg(all(hotset_loom, feature = "loom", not(hotset_pause)))]
pub(crate) use model_hook::reach;
#[cfg(all(hotset_loom, feature = "loom", not(hotset_pause)))]
pub use model_hook::set_step_hook;

#[cfg(hotset_pause)]
mod hook {
    use super::Step;
    use std::sync::{Arc, RwLock};

    type Hook = Arc<dyn Fn(Step) + Send + Sync>;

    static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

    /// Sets what every thread calls at each step.
    pub fn set_hook(hook: impl Fn(Step) + Send + Sync + 'static) {
        *HOOK.write().unwrap() = Some(Arc::new(hook));
    }

    pub(crate) fn reach(step: Step) {
        // The lock is released before the hook runs, so that a stopped thread holds nothing.
        let hook = HOOK.read().unwrap().clone();
        if let Some(hook) = hook {
            hook(step);
        }
    }
}

#[cfg(hotset_pause)]
pub(crate) use hook::reach;
#[cfg(hotset_pause)]
pub use hook::set_hook;
