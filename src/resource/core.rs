//! How do hits, scheduler, threads and time come together? The shell around the state machine.
//!
//! A hit: one look-up in the index, one exchange in the vault that it finds. The index is the engine's
//! table with an unlimited slack; it never evicts, because it has one entry at most for each resource
//! that is charged, and its bound is the largest that the budget ever had. Of a key it has one entry at
//! a time: the load puts it there before the resource is Ready, shut; the close takes it out before the
//! scheduler hears that the close has ended. Where the engine finds no place for it (hundreds of keys
//! with one hash) it is left out, and leases of it come by the scheduler.
//!
//! Everything else: [`Core::step`] takes the lock, lets the scheduler step, lets go of the lock, and does
//! what the scheduler says. No user code runs under the lock, but `Eq` of ids.
//!
//! Who keeps the core alive: handles, jobs, the timer's thread while something is due; and, after the
//! last handle is gone, the core itself (`keep`) until everything is closed. Entries have it weakly, so
//! that what the engine still keeps of them keeps nothing else.

#![forbid(unsafe_code)]

use std::any::Any;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use equivalent::Equivalent;

use crate::cache::{Cache, DefaultHashBuilder};
use crate::config::Policy;
use crate::resource::builder::{OnCloseError, ResourceBuilder};
use crate::resource::entry::{Effects, Entry, Event, Granted, Machine, Name, Verdict};
use crate::resource::inside::Inside;
use crate::resource::job::Job;
use crate::resource::lease::Lease;
use crate::resource::parcel::Parcel;
use crate::resource::pool::Pool;
use crate::resource::scheduler::{Answer, Id, Rules, Time};
use crate::resource::source::{Source, Spawn};
use crate::resource::timer::{Ticking, Timer};
use crate::sync::AtomicU64;
use crate::time::{self, Listener, Moment};

/// Where an answer will come, and by which number it can be called off, if it has not come yet.
pub(crate) type Asked<V> = (Arc<Parcel<V>>, Option<u64>);

/// All that the handles of one cache share.
pub(crate) struct Core<L: Source> {
    pub(crate) source: L,
    index: Cache<L::Id, Arc<Entry<L>>>,
    /// The order of hits.
    pub(crate) ticks: CachePadded<AtomicU64>,
    hasher: DefaultHashBuilder,
    shared: Mutex<Shared<L>>,
    /// The largest bound there was, which is that of the index.
    widest: Mutex<usize>,
    clock: time::Time,
    /// When the cache was built, by its clock.
    start: Moment,
    /// The same by the system's.
    built: Instant,
    /// What the clock calls when it was moved. If it calls nobody, the timer looks at it.
    listener: Option<Arc<Listener>>,
    timer: Timer,
    pool: Arc<Pool>,
    executor: Option<Box<dyn Spawn>>,
    pub(crate) on_close_error: Option<OnCloseError<L::Id>>,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) stamps: bool,
    me: Weak<Self>,
}

/// What the lock guards.
struct Shared<L: Source> {
    machine: Machine<L>,
    /// Whether the last handle is gone.
    abandoned: bool,
    keep: Option<Arc<Core<L>>>,
    /// Entries that the index has no place for.
    homeless: usize,
}

impl<L: Source> Core<L> {
    pub(crate) fn new(builder: ResourceBuilder<L>) -> Arc<Self> {
        let ResourceBuilder { source, settings, executor, on_close_error, time_source, .. } =
            builder;
        let rules = Rules {
            max_entries: settings.max_entries,
            max_weight: settings.max_weight,
            max_waiters: settings.max_waiters,
            max_loads: settings.max_loads,
            max_closes: settings.max_closes,
            backoff: settings.backoff,
            idle_ttl: settings.idle_ttl,
            close_timeout: settings.close_timeout,
        };
        let index = Cache::builder()
            .max_entries(settings.max_entries)
            .policy(Policy::Clock)
            .reclamation_slack(usize::MAX)
            .build()
            .expect("the bound is below that of any table");
        let clock = time::Time::new(time_source);
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            source,
            index,
            // Not 0, which is when what was never entered was entered.
            ticks: CachePadded::new(AtomicU64::new(1)),
            hasher: DefaultHashBuilder::default(),
            shared: Mutex::new(Shared {
                machine: Machine::new(rules),
                abandoned: false,
                keep: None,
                homeless: 0,
            }),
            widest: Mutex::new(settings.max_entries),
            start: clock.now(),
            built: Instant::now(),
            // Before anything can be due.
            listener: listen(&clock, me.clone()),
            clock,
            timer: Timer::new(),
            pool: Arc::default(),
            executor,
            on_close_error,
            wait_timeout: settings.wait_timeout,
            stamps: settings.idle_ttl.is_some(),
            me: me.clone(),
        })
    }

    // ---- hits -------------------------------------------------------------------------------

    /// A lease of the key's resource, if it can be had without the scheduler.
    #[inline]
    pub(crate) fn hit<Q: Hash + Equivalent<L::Id> + ?Sized>(&self, id: &Q) -> Option<Lease<L>> {
        let enter = |_: &L::Id, entry: &Arc<Entry<L>>| {
            entry.vault.enter(&self.ticks).then(|| Lease::new(Arc::clone(entry)))
        };
        self.index.peek_with(id, enter).flatten()
    }

    /// A lease of the key's resource, if it is ready. `name` is asked for if the index may not know it.
    pub(crate) fn ready<Q>(
        &self,
        id: &Q,
        name: impl FnOnce(&Self) -> Option<Name<L::Id>>,
    ) -> Option<Lease<L>>
    where
        Q: Hash + Equivalent<L::Id> + ?Sized,
    {
        let found = self.index.peek_with(id, |_, entry| match entry.vault.enter(&self.ticks) {
            true => Ok(Lease::new(Arc::clone(entry))),
            false => Err(entry.id),
        });
        match found {
            Some(Ok(lease)) => Some(lease),
            // Retired, not yet open, or watched and empty: the scheduler knows which.
            Some(Err(id)) => self.revive(id),
            None if self.lock().homeless > 0 => {
                let name = name(self)?;
                self.under_lock(|machine, now| machine.try_lease(now, &name)).map(Lease::new)
            }
            None => None,
        }
    }

    fn revive(&self, id: Id) -> Option<Lease<L>> {
        self.under_lock(|machine, now| machine.revive(now, id)).map(Lease::new)
    }

    // ---- steps ------------------------------------------------------------------------------

    /// The name of `id`. Runs the user's `Hash`.
    pub(crate) fn name(&self, id: L::Id) -> Name<L::Id> {
        Name::new(self.hasher.hash_one(&id), id)
    }

    /// Time since the cache was built.
    pub(crate) fn now(&self) -> Time {
        self.clock.now().since(self.start)
    }

    /// The instant that `time` means.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        // What is beyond the calendar is never.
        self.built.checked_add(time).unwrap_or(self.built)
    }

    /// Takes note of an event and does what follows. The number of who waits by it, if somebody does;
    /// for a reset, whether there was something to forget.
    pub(crate) fn step(&self, event: Event<L>) -> (Option<u64>, bool) {
        self.under_lock(|machine, now| {
            let effects = machine.step(now, event);
            ((effects.joined, effects.was_reset), effects)
        })
    }

    /// Has the machine do something, sets the timer, lets go of the lock, and does what follows.
    fn under_lock<R>(&self, f: impl FnOnce(&mut Machine<L>, Time) -> (R, Effects<L>)) -> R {
        let now = self.now();
        let mut shared = self.lock();
        let (result, effects) = f(&mut shared.machine, now);
        let due = shared.machine.next_due().map(|due| self.start.after(due));
        let start_timer = self.listener.is_none() && self.timer.set(due);
        let over = shared.abandoned && shared.machine.is_empty();
        // What kept the core alive goes last, as it may be all that does.
        let keep = if over { shared.keep.take() } else { None };
        drop(shared);
        if start_timer && let Some(me) = self.me.upgrade() {
            Timer::start(me, |core| &core.timer);
        }
        self.perform(effects);
        if over {
            self.timer.end();
        }
        drop(keep);
        result
    }

    /// Does what a step wants done. Outside of the lock; every panic of a user's is caught.
    fn perform(&self, effects: Effects<L>) {
        let Effects { jobs, answers, litter, .. } = effects;
        for job in jobs {
            if let Some(me) = self.me.upgrade() {
                let work = me.work(job);
                match &self.executor {
                    Some(executor) => {
                        let job = Job::new(work, Arc::clone(&self.pool));
                        quietly(|| executor.spawn(job));
                    }
                    None => self.pool.submit(work),
                }
            }
        }
        for answer in answers {
            quietly(|| match answer {
                Answer::Lease { waiter, gate } => waiter.deliver(Ok(Lease::new(gate))),
                Answer::Refuse { waiter, why } => waiter.deliver(Err(why)),
                Answer::Evicted { caller, evicted } => caller.deliver(Verdict::Evicted(evicted)),
                Answer::Stopped { caller, report } => caller.deliver(Verdict::Stopped(report)),
            });
        }
        for piece in litter {
            quietly(|| drop(piece));
        }
    }

    /// Looks at the machine.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Machine<L>) -> R) -> R {
        f(&mut self.lock().machine)
    }

    fn lock(&self) -> MutexGuard<'_, Shared<L>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the index --------------------------------------------------------------------------

    /// Puts a loaded entry, which is still shut, where hits find it.
    pub(crate) fn publish(&self, entry: &Arc<Entry<L>>) {
        let mut placed = false;
        quietly(|| {
            let id = entry.name.id().clone();
            placed = self.index.insert(id, Arc::clone(entry)).is_admitted();
        });
        if !placed {
            self.lock().homeless += 1;
        }
    }

    /// Takes an entry that is retired away from where hits find it.
    pub(crate) fn unpublish(&self, entry: &Arc<Entry<L>>) {
        let mut removed = false;
        quietly(|| {
            let this = self.index.remove_if(entry.name.id(), |_, found| Arc::ptr_eq(found, entry));
            removed = this.is_some();
            drop(this);
            self.index.maintain();
        });
        if !removed {
            let mut shared = self.lock();
            shared.homeless = shared.homeless.saturating_sub(1);
        }
    }

    pub(crate) fn resize(&self, entries: usize, weight: Option<u64>) {
        {
            let mut widest = self.widest.lock().unwrap_or_else(PoisonError::into_inner);
            if entries > *widest {
                *widest = entries;
                // The new bound is above the old one, so nothing leaves the index.
                let widened = self.index.set_max_entries(entries);
                debug_assert!(widened.is_ok(), "the bound was checked");
            }
        }
        self.step(Event::Resize { entries, weight });
    }

    // ---- waiting ----------------------------------------------------------------------------

    /// Whether this thread is inside a loader of this cache.
    pub(crate) fn is_inside(&self) -> bool {
        Inside::is_here(self.address())
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Asks for a lease.
    pub(crate) fn ask(
        &self,
        id: L::Id,
        spec: &L::Spec,
        timeout: Option<Duration>,
    ) -> Asked<Granted<L>> {
        let parcel = Arc::new(Parcel::new());
        let event = Event::Ask {
            name: self.name(id),
            spec: Arc::new(spec.clone()),
            waiter: Arc::clone(&parcel),
            deadline: timeout.map(|timeout| self.now().saturating_add(timeout)),
        };
        let (number, _) = self.step(event);
        (parcel, number)
    }

    /// The last handle is gone: everything is closed in the background.
    pub(crate) fn abandon(&self) {
        {
            let mut shared = self.lock();
            shared.abandoned = true;
            shared.keep = self.me.upgrade();
        }
        self.step(Event::Stop { caller: None });
    }
}

/// Has a core look what is due whenever `clock` is moved, if the clock can tell.
fn listen<L: Source>(clock: &time::Time, core: Weak<Core<L>>) -> Option<Arc<Listener>> {
    let listener: Arc<Listener> = Arc::new(move || {
        if let Some(core) = core.upgrade() {
            core.tick();
        }
    });
    clock.on_advance(Arc::downgrade(&listener)).then_some(listener)
}

impl<L: Source> Ticking for Core<L> {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn tick(&self) {
        self.step(Event::Tick);
    }
}

/// Runs what may run a user's code. A panic in it is contained, and nothing of the cache is disturbed.
pub(crate) fn quietly(act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        discard(panic);
    }
}

/// Drops the payload of a panic. It is a user's value, too, and its destructor may panic as well: what
/// that one throws is leaked.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(second);
    }
}
