//! What is one loaded resource? The vault with its leases, and what is known about it.

#![forbid(unsafe_code)]

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::resource::core::Core;
use crate::resource::error::Failure;
use crate::resource::gate::Kept;
use crate::resource::lease::Lease;
use crate::resource::parcel::Parcel;
use crate::resource::report::{Evicted, Report};
use crate::resource::scheduler::{self, Id, Refusal, Tokens};
use crate::resource::source::Source;
use crate::resource::vault::Vault;
use crate::sync::AtomicU64;

/// One loaded resource.
#[repr(C)]
pub(crate) struct Entry<L: Source> {
    pub(crate) vault: Vault<L::Resource>,
    pub(crate) id: Id,
    pub(crate) name: Name<L::Id>,
    pub(crate) spec: Arc<L::Spec>,
    pub(crate) load_time: Duration,
    /// Whether the end of its last lease notes the time.
    pub(crate) stamps: bool,
    /// There as long as the resource is not closed: see `Core`.
    pub(crate) core: Weak<Core<L>>,
}

/// A key as the scheduler has it: shared, with its hash, so that only `Eq` is left of the user's code.
pub(crate) struct Name<I>(Arc<Named<I>>);

struct Named<I> {
    hash: u64,
    id: I,
}

impl<I> Name<I> {
    pub(crate) fn new(hash: u64, id: I) -> Self {
        Self(Arc::new(Named { hash, id }))
    }

    pub(crate) fn id(&self) -> &I {
        &self.0.id
    }
}

impl<I> Clone for Name<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: Eq> PartialEq for Name<I> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0.id == other.0.id)
    }
}

impl<I: Eq> Eq for Name<I> {}

impl<I> Hash for Name<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

/// The tokens of a cache of `L`.
pub(crate) struct Real<L>(std::marker::PhantomData<L>);

/// What a waiter is given: a lease, or why there is none.
pub(crate) type Granted<L> = Result<Lease<L>, Refusal<Real<L>>>;

/// What a caller is given who waits for closes.
pub(crate) enum Verdict<I> {
    Evicted(Evicted),
    Stopped(Report<Name<I>>),
}

impl<L: Source> Tokens for Real<L> {
    type Name = Name<L::Id>;
    type Spec = Arc<L::Spec>;
    type Gate = Arc<Entry<L>>;
    type Waiter = Arc<Parcel<Granted<L>>>;
    type Caller = Arc<Parcel<Verdict<L::Id>>>;
    type Failure = Failure<L::Error>;
}

pub(crate) type Machine<L> = scheduler::Scheduler<Real<L>>;
pub(crate) type Event<L> = scheduler::Event<Real<L>>;
pub(crate) type Effects<L> = scheduler::Effects<Real<L>>;

impl<L: Source> Entry<L> {
    /// Its cache's core.
    pub(crate) fn home(&self) -> Option<Arc<Core<L>>> {
        self.core.upgrade()
    }
}

impl<L: Source> Kept for Entry<L> {
    type Resource = L::Resource;

    fn vault(&self) -> &Vault<L::Resource> {
        &self.vault
    }

    fn with_ticks(&self, f: impl FnOnce(&AtomicU64)) {
        if let Some(core) = self.home() {
            f(&core.ticks);
        }
    }
}
