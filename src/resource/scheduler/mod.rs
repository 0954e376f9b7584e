//! Who may load, who must close, who waits? A state machine without threads, clock or user code.
//!
//! [`Scheduler::step`] takes an event and the time and says what is to be done ([`Effects`]): jobs to
//! start, answers to give, and things of users' to drop. Whoever calls it does that after it has let go
//! of its lock. The same events in the same order have the same effects.
//!
//! A key has at most one *current* resource and one *flight*, the wish for the next one:
//!
//! ```text
//! flight   Blocked -> Estimating -> Queued -> Reserved ---------+
//!                                                               v
//! current                                         Loading -> Ready -> Draining -> Closing -> (none)
//!                                                                                    \> Wedged ^
//! ```
//!
//! | state | charged | asks | leaves it by | to |
//! |---|---|---|---|---|
//! | Blocked | no | join | `Closed` or `LoadFailed` of the current one | Estimating, or Queued without weights |
//! | Estimating | no | join | `Estimated` (error: remembered, all refused; too large: all refused) | Queued |
//! | Queued | no | join | room, when it is the oldest flight that can use room | Reserved |
//! | Reserved | estimate | join | one of the concurrent loads is free | Loading |
//! | Loading | estimate | join; doomed: next flight | `Loaded` | Ready; doomed: Draining; nobody waits and doomed, stopping, or underestimated: Closing |
//! | | | | `LoadFailed`: remembered, all refused | none |
//! | Ready, leased | weight | a lease | last release | Ready, idle |
//! | | | | `Retire`, `Unload`, `EvictAll`, `Stop` | Draining |
//! | Ready, idle | weight | a lease | chosen as victim, idle for too long, or as above, or `EvictIdle` | Closing |
//! | Draining | weight | next flight | `Released`, the last one | Closing |
//! | Closing | weight | next flight | `Closed` | none |
//! | | | | its time is over | Wedged |
//! | Wedged | weight | next flight | `Closed` | none |
//!
//! A flight before Loading whose last waiter has left is gone (Estimating: when the estimate ends).
//! From Loading on it goes on by itself. `Stop` refuses all waiters, ends all flights, dooms what is
//! Loading, retires what is Ready; every later ask is refused.
//!
//! # Leases
//!
//! Hits do not come here: they go through the [`Gate`] of a Ready resource, which counts. The scheduler
//! may *watch* a gate: then the release that leaves nobody inside is told (`Released`), and nobody gets
//! in past an empty gate but through here. It watches while somebody waits for whom there are not
//! enough idle resources to close (`short`). Each gate is found idle or busy by the very instruction
//! that sets the watch, so no release goes unnoticed; and as an empty watched gate stays empty, a set of
//! victims can be collected whole before the first of them is retired.
//!
//! An ask for a resource that is idle and watched first lets the waiter choose, so that a stream of asks
//! for one key cannot keep it from being closed.
//!
//! # Invariants
//!
//! Checked after every step of the tests (`tests`): R1 charges add up to `charged`, which only exceeds
//! the limit after `Resize`, and never grows while it does. R2 a gate is handed to one close job, with
//! nobody inside. R3 one current, one flight; a flight that is not Blocked has no current one before it.
//! R5 no record without a current one or a flight, no flight with nobody waiting except for a running
//! estimate. R6 if somebody waits for room, the oldest does not fit, and room is on its way or all that
//! is idle does not suffice. R7 nothing is admitted after `Stop`.
//!
//! A step takes time in proportion to the logarithm of what there is, plus, when room must be made, to
//! the number of Ready resources.

#![forbid(unsafe_code)]

mod flight;
mod leave;
mod memory;
mod room;
mod time;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::resource::error::{Holder, Phase};
use crate::resource::report::{Counts, Evicted, Report, State};
use memory::Memory;
pub(crate) use view::View;

/// Time since the cache was built.
pub(crate) type Time = Duration;

/// What the scheduler handles without looking inside.
pub(crate) trait Tokens {
    /// A key. Clones are cheap and run no user code; dropping one may.
    type Name: Clone + Eq + Hash;
    /// What a load needs to know.
    type Spec: Clone;
    /// The leases of a loaded resource.
    type Gate: Gate + Clone;
    /// Who waits for a lease.
    type Waiter;
    /// Who waits for closes.
    type Caller;
    /// Why a load failed.
    type Failure: Clone;
}

/// Counts the leases of one resource: `resource::gate` has the one that ships.
pub(crate) trait Gate {
    /// Opens it, with so many inside. If `retired`, nobody else gets in.
    fn open(&self, leases: u32, retired: bool, now: Time);
    /// Watches it. Whether nobody is inside.
    fn watch(&self) -> bool;
    /// Ends that.
    fn unwatch(&self);
    /// Lets nobody in any more. Whether nobody is inside.
    fn retire(&self) -> bool;
    /// The same, but only if nobody is inside.
    fn retire_if_idle(&self) -> bool;
    /// Lets one in, though it may be watched. It is not retired.
    fn admit(&self);
    /// How many are inside.
    fn leases(&self) -> u32;
    /// Whether somebody got in while nobody was inside, and not through here, since this was asked last.
    fn take_revived(&self) -> bool;
    /// When it was entered last, in the order of all entries.
    fn last_used(&self) -> u64;
    /// Since when nobody is inside, if nobody is.
    fn idle_since(&self) -> Time;
}

/// A flight, and the resource that it becomes. Numbers grow in the order of first asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) at: usize,
    pub(crate) number: u64,
}

/// What has happened.
pub(crate) enum Event<T: Tokens> {
    /// Somebody wants a lease, and waits until `deadline` at most.
    Ask { name: T::Name, spec: T::Spec, waiter: T::Waiter, deadline: Option<Time> },
    /// Who asked has gone away.
    Leave { waiter: u64 },
    /// An estimate has ended.
    Estimated { id: Id, outcome: Result<u64, T::Failure> },
    /// A load has given a resource, with its actual weight if that is known.
    Loaded { id: Id, gate: T::Gate, weight: Option<u64>, load_time: Duration },
    /// A load has given none.
    LoadFailed { id: Id, failure: T::Failure },
    /// The last lease of a watched or retired resource has been given back.
    Released { id: Id },
    /// The holder of a lease says that the resource is no longer good.
    Retire { id: Id },
    /// A close has ended, with an error if there is one.
    Closed { id: Id, failure: Option<String> },
    /// To be closed, if it is there.
    Unload { name: T::Name, caller: T::Caller },
    /// All that is idle is to be closed.
    EvictIdle { caller: T::Caller },
    /// All is to be closed, after its last lease.
    EvictAll { caller: T::Caller },
    /// A failure is to be forgotten.
    Reset { name: T::Name },
    /// New bounds.
    Resize { entries: usize, weight: Option<u64> },
    /// The end. `caller` waits until `deadline` for everything to be closed.
    Stop { caller: Option<(T::Caller, Time)> },
    /// Who waited for closes has gone away.
    Hangup { caller: u64 },
    /// Time has passed.
    Tick,
}

/// What is to be started.
pub(crate) enum Job<T: Tokens> {
    Estimate { id: Id, spec: T::Spec },
    Load { id: Id, name: T::Name, spec: T::Spec, reserved: u64, attempt: u32 },
    Close { id: Id, gate: T::Gate },
}

/// What is to be said to whom.
pub(crate) enum Answer<T: Tokens> {
    Lease { waiter: T::Waiter, gate: T::Gate },
    Refuse { waiter: T::Waiter, why: Refusal<T> },
    Evicted { caller: T::Caller, evicted: Evicted },
    Stopped { caller: T::Caller, report: Report<T::Name> },
}

/// Why there is no lease.
pub(crate) enum Refusal<T: Tokens> {
    Failed(T::Failure),
    Backoff { retry_at: Time, now: Time, attempts: u32, failure: T::Failure },
    Capacity { holders: Vec<Holder<T::Name>> },
    QueueFull { max_waiters: usize },
    TooLarge { need: u64, limit: u64 },
    Underestimated { estimate: u64, actual: u64 },
    Timeout { phase: Phase },
    ShuttingDown,
}

/// What is no longer needed and may be a user's: to be dropped outside of the lock.
#[allow(dead_code, reason = "held only to be dropped")]
pub(crate) enum Litter<T: Tokens> {
    Name(T::Name),
    Spec(T::Spec),
    Waiter(T::Waiter),
    Caller(T::Caller),
    Failure(T::Failure),
    Gate(T::Gate),
}

/// What a step wants done, in this order.
pub(crate) struct Effects<T: Tokens> {
    pub(crate) jobs: Vec<Job<T>>,
    pub(crate) answers: Vec<Answer<T>>,
    pub(crate) litter: Vec<Litter<T>>,
    /// The number of the waiter or caller that was taken up by this step and waits.
    pub(crate) joined: Option<u64>,
    /// Whether there was a failure to forget.
    pub(crate) was_reset: bool,
}

impl<T: Tokens> Effects<T> {
    fn new() -> Self {
        let (jobs, answers, litter) = (Vec::new(), Vec::new(), Vec::new());
        Self { jobs, answers, litter, joined: None, was_reset: false }
    }

    fn refuse(&mut self, waiter: T::Waiter, why: Refusal<T>) {
        self.answers.push(Answer::Refuse { waiter, why });
    }
}

/// Bounds and rules.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) max_entries: usize,
    /// `None`: nothing is weighed.
    pub(crate) max_weight: Option<u64>,
    pub(crate) max_waiters: usize,
    pub(crate) max_loads: usize,
    pub(crate) max_closes: usize,
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) idle_ttl: Option<Duration>,
    pub(crate) close_timeout: Option<Duration>,
}

/// One key that is current or wished for.
struct Record<T: Tokens> {
    name: T::Name,
    current: Option<Current<T>>,
    flight: Option<Flight<T>>,
}

/// A wish for a resource.
struct Flight<T: Tokens> {
    number: u64,
    spec: T::Spec,
    stage: Stage,
    /// The weight, as soon as it is estimated.
    need: u64,
    waiters: Waiters<T>,
    since: Time,
    /// Failures in a row before it.
    attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Blocked,
    Estimating { running: bool },
    Queued,
    Reserved,
}

/// A resource from its load to the end of its close. Charged.
struct Current<T: Tokens> {
    number: u64,
    weight: u64,
    phase: Live<T>,
    /// Since when it is in this phase.
    since: Time,
    /// Since when it has surely been held without a break.
    held_since: Time,
    load_time: Option<Duration>,
    /// When it is to be looked at.
    due: Option<(Time, Due)>,
}

enum Live<T: Tokens> {
    Loading {
        waiters: Waiters<T>,
        doomed: bool,
        attempts: u32,
    },
    Ready {
        gate: T::Gate,
        watched: bool,
    },
    Draining {
        gate: T::Gate,
    },
    /// The gate goes to the job.
    Closing {
        gate: Option<T::Gate>,
    },
    Wedged,
}

impl<T: Tokens> Live<T> {
    fn state(&self) -> State {
        match self {
            Self::Loading { .. } => State::Loading,
            Self::Ready { .. } => State::Ready,
            Self::Draining { .. } => State::Draining,
            Self::Closing { .. } => State::Closing,
            Self::Wedged => State::Wedged,
        }
    }
}

/// Those who wait for one flight, in the order of their asks.
type Waiters<T> = BTreeMap<u64, Waiting<T>>;

struct Waiting<T: Tokens> {
    token: T::Waiter,
    deadline: Option<Time>,
    since: Time,
}

/// Somebody who waits for closes.
struct Waited<T: Tokens> {
    token: T::Caller,
    /// The resources whose closes are waited for; `None`: everything's, until the deadline.
    pending: Option<HashSet<u64>>,
    deadline: Option<Time>,
    evicted: Evicted,
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A waiter's time is over.
    Waiter(u64),
    /// A caller's time is over.
    Caller(u64),
    /// A close has taken too long.
    Close(Id),
    /// A resource may have been idle for too long.
    Idle(Id),
    /// A failure is forgotten.
    Forget(u64),
}

/// What is charged, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Charge {
    entries: usize,
    weight: u64,
}

impl Charge {
    fn one(weight: u64) -> Self {
        Self { entries: 1, weight }
    }

    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.weight += other.weight;
    }

    fn sub(&mut self, other: Self) {
        self.entries -= other.entries;
        self.weight -= other.weight;
    }
}

/// See the module.
pub(crate) struct Scheduler<T: Tokens> {
    rules: Rules,
    now: Time,
    records: Vec<Option<Record<T>>>,
    vacant: Vec<usize>,
    keys: HashMap<T::Name, usize>,
    next_number: u64,
    /// All that is charged.
    charged: Charge,
    /// The part of it that is being closed and not wedged: room on its way.
    incoming: Charge,
    /// Flights that wait for room, oldest first: number and record.
    queue: BTreeMap<u64, usize>,
    /// Flights that wait for a thread, to estimate or to load, oldest first.
    starts: BTreeMap<u64, usize>,
    running_loads: usize,
    closing: VecDeque<Id>,
    running_closes: usize,
    /// Gates that are watched.
    watched: Vec<Id>,
    /// Whether somebody waits for whom there is not enough to close.
    short: bool,
    /// The record of each waiter.
    waiting: HashMap<u64, usize>,
    callers: BTreeMap<u64, Waited<T>>,
    next_waiter: u64,
    due: BTreeSet<(Time, Due)>,
    memory: Memory<T>,
    counts: Counts,
    last_close_failure: Option<(T::Name, String)>,
    stopping: bool,
    /// Closes since `Stop`: done, and failed.
    since_stop: Evicted,
}

impl<T: Tokens> Scheduler<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: Time::ZERO,
            records: Vec::new(),
            vacant: Vec::new(),
            keys: HashMap::new(),
            next_number: 1,
            charged: Charge::default(),
            incoming: Charge::default(),
            queue: BTreeMap::new(),
            starts: BTreeMap::new(),
            running_loads: 0,
            closing: VecDeque::new(),
            running_closes: 0,
            watched: Vec::new(),
            short: false,
            waiting: HashMap::new(),
            callers: BTreeMap::new(),
            next_waiter: 1,
            due: BTreeSet::new(),
            memory: Memory::new(),
            counts: Counts::default(),
            last_close_failure: None,
            stopping: false,
            since_stop: Evicted::default(),
        }
    }

    /// Takes note of `event`, which happens at `now`, and says what is to be done.
    pub(crate) fn step(&mut self, now: Time, event: Event<T>) -> Effects<T> {
        // Threads read the clock before they get here, so a step may come with an older time.
        self.now = self.now.max(now);
        let mut effects = Effects::new();
        let out = &mut effects;
        self.expire(out);
        match event {
            Event::Ask { name, spec, waiter, deadline } => {
                self.ask(name, spec, waiter, deadline, out);
            }
            Event::Leave { waiter } => self.leave(waiter, out),
            Event::Estimated { id, outcome } => self.estimated(id, outcome, out),
            Event::Loaded { id, gate, weight, load_time } => {
                self.loaded(id, gate, weight, load_time, out);
            }
            Event::LoadFailed { id, failure } => self.load_failed(id, failure, out),
            Event::Released { id } => self.released(id),
            Event::Retire { id } => self.retired(id),
            Event::Closed { id, failure } => self.closed(id, failure, out),
            Event::Unload { name, caller } => self.unload(name, caller, out),
            Event::EvictIdle { caller } => self.evict(caller, false, out),
            Event::EvictAll { caller } => self.evict(caller, true, out),
            Event::Reset { name } => {
                out.was_reset = self.forget_name(&name, out);
                out.litter.push(Litter::Name(name));
            }
            Event::Resize { entries, weight } => self.resize(entries, weight, out),
            Event::Stop { caller } => self.stop(caller, out),
            Event::Hangup { caller } => self.hang_up(caller, out),
            Event::Tick => {}
        }
        self.settle(out);
        if self.next_due().is_some_and(|due| due <= self.now) {
            // Somebody has no time at all: what was asked for is begun all the same.
            self.expire(out);
            self.settle(out);
        }
        effects
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Gives out whatever there is to give: room, threads, closes, answers.
    fn settle(&mut self, out: &mut Effects<T>) {
        self.make_room();
        self.start(out);
        self.start_closes(out);
        self.answer_callers(out);
    }

    // ---- records ----------------------------------------------------------------------------

    fn record(&mut self, at: usize) -> &mut Record<T> {
        self.records[at].as_mut().expect("a record that is referred to is there")
    }

    /// The resource that `id` names, unless it is gone.
    fn current(&mut self, id: Id) -> Option<&mut Current<T>> {
        let record = self.records.get_mut(id.at)?.as_mut()?;
        record.current.as_mut().filter(|current| current.number == id.number)
    }

    fn add_record(&mut self, name: T::Name) -> usize {
        let at = self.vacant.last().copied().unwrap_or(self.records.len());
        // First what may panic, in the user's `Eq`.
        self.keys.insert(name.clone(), at);
        let record = Record { name, current: None, flight: None };
        if self.vacant.pop().is_some() {
            self.records[at] = Some(record);
        } else {
            self.records.push(Some(record));
        }
        at
    }

    /// Removes the record if there is nothing in it any more.
    fn tidy(&mut self, at: usize, out: &mut Effects<T>) {
        let record = self.record(at);
        if record.current.is_some() || record.flight.is_some() {
            return;
        }
        let name = self.records[at].take().expect("it was just there").name;
        self.vacant.push(at);
        if let Some((key, _)) = self.keys.remove_entry(&name) {
            out.litter.push(Litter::Name(key));
        }
        out.litter.push(Litter::Name(name));
    }

    /// The places of all records.
    fn places(&self) -> impl Iterator<Item = usize> + use<T> {
        let places: Vec<usize> =
            (0..self.records.len()).filter(|&at| self.records[at].is_some()).collect();
        places.into_iter()
    }
}
