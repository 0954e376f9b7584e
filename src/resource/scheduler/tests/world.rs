//! A world around the scheduler: loads, closes, leases and hits as plain data, moved by hand.
//!
//! It keeps its own books, from events and effects alone, and holds the scheduler to R1 to R3 and R5 to
//! R7 after every step. Its tokens know when they are destroyed: inside a step that is a fault (R4).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::super::{
    Answer, Effects, Event, Gate, Id, Job, Live, Refusal, Rules, Scheduler, Stage, Time, Tokens,
};

thread_local! {
    static IN_STEP: Cell<bool> = const { Cell::new(false) };
}

/// What must not be destroyed inside a step.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Fragile(u64);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!IN_STEP.get() || std::thread::panicking(), "R4: dropped inside a step");
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shared(Rc<Fragile>);

impl Shared {
    fn new(n: u64) -> Self {
        Self(Rc::new(Fragile(n)))
    }

    pub(super) fn n(&self) -> u64 {
        self.0.0
    }
}

/// Leases as a plain count.
#[derive(Default)]
pub(super) struct Count {
    inside: Cell<u32>,
    retired: Cell<bool>,
    watched: Cell<bool>,
    revived: Cell<bool>,
    open: Cell<bool>,
    used: Cell<u64>,
    idle_since: Cell<Time>,
    ticks: Rc<Cell<u64>>,
    _fragile: Option<Shared>,
}

impl Count {
    fn touch(&self) {
        self.ticks.set(self.ticks.get() + 1);
        self.used.set(self.ticks.get());
    }

    /// A hit.
    fn enter(&self) -> bool {
        let empty = self.inside.get() == 0;
        if !self.open.get() || self.retired.get() || (self.watched.get() && empty) {
            return false;
        }
        self.revived.set(self.revived.get() || empty);
        self.inside.set(self.inside.get() + 1);
        self.touch();
        true
    }

    /// Whether the scheduler is to be told.
    fn leave(&self, now: Time) -> bool {
        self.inside.set(self.inside.get() - 1);
        self.idle_since.set(now);
        self.inside.get() == 0 && (self.retired.get() || self.watched.get())
    }
}

#[derive(Clone)]
pub(super) struct TestGate(pub(super) Rc<Count>);

impl Gate for TestGate {
    fn open(&self, leases: u32, retired: bool, now: Time) {
        assert!(!self.0.open.replace(true), "opened twice");
        self.0.inside.set(leases);
        self.0.retired.set(retired);
        self.0.idle_since.set(now);
        self.0.touch();
    }

    fn watch(&self) -> bool {
        self.0.watched.set(true);
        self.0.inside.get() == 0
    }

    fn unwatch(&self) {
        self.0.watched.set(false);
    }

    fn retire(&self) -> bool {
        self.0.retired.set(true);
        self.0.inside.get() == 0
    }

    fn retire_if_idle(&self) -> bool {
        self.0.inside.get() == 0 && self.retire()
    }

    fn admit(&self) {
        assert!(!self.0.retired.get(), "admitted into what is retired");
        self.0.inside.set(self.0.inside.get() + 1);
        self.0.touch();
    }

    fn leases(&self) -> u32 {
        self.0.inside.get()
    }

    fn take_revived(&self) -> bool {
        self.0.revived.replace(false)
    }

    fn last_used(&self) -> u64 {
        self.0.used.get()
    }

    fn idle_since(&self) -> Time {
        self.0.idle_since.get()
    }
}

pub(super) struct Plain;

impl Tokens for Plain {
    type Name = Shared;
    type Spec = Shared;
    type Gate = TestGate;
    type Waiter = Fragile;
    type Caller = Fragile;
    type Failure = Shared;
}

/// What the world knows of a loaded resource.
struct Resource {
    key: u64,
    gate: TestGate,
    weight: u64,
    closing: bool,
}

/// How a waiter was answered.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Told {
    Lease,
    Failed,
    Backoff,
    Capacity,
    QueueFull,
    TooLarge,
    Underestimated,
    Timeout,
    ShuttingDown,
}

pub(super) struct World {
    pub(super) scheduler: Scheduler<Plain>,
    pub(super) now: Time,
    pub(super) rules: Rules,
    ticks: Rc<Cell<u64>>,
    next: u64,
    pub(super) estimates: Vec<Id>,
    /// Loads that run: key and what is reserved.
    pub(super) loads: BTreeMap<Id, (u64, u64)>,
    resources: BTreeMap<Id, Resource>,
    pub(super) closes: Vec<Id>,
    pub(super) leases: Vec<Id>,
    /// Releases of which the scheduler has not been told yet.
    pub(super) tells: Vec<Id>,
    /// Those who wait: the scheduler's number, and the deadline.
    pub(super) waiters: BTreeMap<u64, (u64, Option<Time>)>,
    callers: BTreeSet<u64>,
    pub(super) told: RefCell<Vec<(u64, Told)>>,
    closed: BTreeSet<Id>,
    pub(super) stopped: bool,
    charge_before: (usize, u64),
}

pub(super) fn rules(max_entries: usize, max_weight: Option<u64>) -> Rules {
    Rules {
        max_entries,
        max_weight,
        max_waiters: 12,
        max_loads: 2,
        max_closes: 2,
        backoff: Some((Duration::from_secs(4), Duration::from_secs(16))),
        idle_ttl: None,
        close_timeout: None,
    }
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            scheduler: Scheduler::new(rules.clone()),
            now: Time::ZERO,
            rules,
            ticks: Rc::default(),
            next: 1,
            estimates: Vec::new(),
            loads: BTreeMap::new(),
            resources: BTreeMap::new(),
            closes: Vec::new(),
            leases: Vec::new(),
            tells: Vec::new(),
            waiters: BTreeMap::new(),
            callers: BTreeSet::new(),
            told: RefCell::default(),
            closed: BTreeSet::new(),
            stopped: false,
            charge_before: (0, 0),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn step(&mut self, event: Event<Plain>) -> Option<u64> {
        let queued: Vec<u64> = self.scheduler.queue.keys().copied().collect();
        self.stopped |= matches!(event, Event::Stop { .. });
        IN_STEP.set(true);
        let effects = self.scheduler.step(self.now, event);
        IN_STEP.set(false);
        let joined = effects.joined;
        self.perform(effects);
        self.check();
        // First come, first served, among those that could use room.
        let still: BTreeSet<u64> = self.scheduler.queue.keys().copied().collect();
        let served = queued.iter().filter(|&&number| {
            !still.contains(&number) && self.loads.keys().any(|id| id.number == number)
        });
        if let (Some(last), Some(first)) = (served.max(), queued.iter().find(|n| still.contains(n)))
        {
            assert!(last < first, "flight {last} was served before {first}");
        }
        joined
    }

    fn perform(&mut self, effects: Effects<Plain>) {
        for job in effects.jobs {
            match job {
                Job::Estimate { id, .. } => self.estimates.push(id),
                Job::Load { id, name, reserved, .. } => {
                    assert!(!self.stopped, "R7: a load after the stop");
                    let key = name.n();
                    let here = self.loads.values().any(|(other, _)| *other == key)
                        || self.resources.values().any(|other| other.key == key);
                    assert!(!here, "R3: {key} is loaded while it is there");
                    self.loads.insert(id, (key, reserved));
                }
                Job::Close { id, gate } => {
                    let resource = self.resources.get_mut(&id).expect("R2: closed twice");
                    assert!(!resource.closing, "R2: handed out twice");
                    assert!(!self.leases.contains(&id), "R2: closed under use");
                    assert!(Rc::ptr_eq(&gate.0, &resource.gate.0));
                    resource.closing = true;
                    self.closes.push(id);
                }
            }
        }
        for answer in effects.answers {
            match answer {
                Answer::Lease { waiter, gate } => {
                    assert!(!self.stopped, "R7: a lease after the stop");
                    self.tell(waiter, Told::Lease);
                    let holds = |(_, r): &(&Id, &Resource)| Rc::ptr_eq(&r.gate.0, &gate.0);
                    let id =
                        *self.resources.iter().find(holds).expect("a lease of what is closed").0;
                    self.leases.push(id);
                }
                Answer::Refuse { waiter, why } => {
                    let told = match why {
                        Refusal::Failed(_) => Told::Failed,
                        Refusal::Backoff { retry_at, now, .. } => {
                            assert!(now < retry_at);
                            Told::Backoff
                        }
                        Refusal::Capacity { .. } => Told::Capacity,
                        Refusal::QueueFull { .. } => Told::QueueFull,
                        Refusal::TooLarge { .. } => Told::TooLarge,
                        Refusal::Underestimated { .. } => Told::Underestimated,
                        Refusal::Timeout { .. } => Told::Timeout,
                        Refusal::ShuttingDown => Told::ShuttingDown,
                    };
                    self.tell(waiter, told);
                }
                Answer::Evicted { caller, .. } => assert!(self.callers.remove(&caller.0)),
                Answer::Stopped { caller, report } => {
                    assert!(self.callers.remove(&caller.0));
                    let left = self.loads.len() + self.resources.len();
                    assert_eq!(report.is_complete(), left == 0);
                }
            }
        }
    }

    fn tell(&mut self, waiter: Fragile, told: Told) {
        assert!(self.waiters.remove(&waiter.0).is_some(), "answered twice");
        self.told.borrow_mut().push((waiter.0, told));
    }

    // ---- what can happen --------------------------------------------------------------------

    pub(super) fn ask(&mut self, key: u64, patience: Option<u64>) -> u64 {
        let waiter = self.number();
        let deadline = patience.map(|seconds| self.now + Duration::from_secs(seconds));
        self.waiters.insert(waiter, (0, deadline));
        let event = Event::Ask {
            name: Shared::new(key),
            spec: Shared::new(key),
            waiter: Fragile(waiter),
            deadline,
        };
        let joined = self.step(event);
        if let Some((number, _)) = self.waiters.get_mut(&waiter) {
            *number = joined.expect("who waits has a number");
        }
        waiter
    }

    pub(super) fn told(&self, waiter: u64) -> Option<Told> {
        self.told.borrow().iter().find(|(who, _)| *who == waiter).map(|(_, told)| *told)
    }

    pub(super) fn leave(&mut self, index: usize) {
        let Some((&waiter, &(number, _))) = pick_map(&self.waiters, index) else { return };
        self.waiters.remove(&waiter);
        self.step(Event::Leave { waiter: number });
    }

    /// A hit, past the scheduler.
    pub(super) fn hit(&mut self, key: u64) -> bool {
        let found = self.resources.iter().find(|(_, resource)| resource.key == key);
        let Some((&id, resource)) = found else { return false };
        let entered = resource.gate.0.enter();
        if entered {
            assert!(!self.stopped, "R7: a hit after the stop");
            self.leases.push(id);
        }
        entered
    }

    /// Gives a lease back; that the scheduler is told comes later.
    pub(super) fn release(&mut self, index: usize) {
        let Some(at) = pick(self.leases.len(), index) else { return };
        let id = self.leases.swap_remove(at);
        if self.resources[&id].gate.0.leave(self.now) {
            self.tells.push(id);
        }
    }

    pub(super) fn tell_scheduler(&mut self, index: usize) {
        let Some(at) = pick(self.tells.len(), index) else { return };
        let id = self.tells.swap_remove(at);
        self.step(Event::Released { id });
    }

    pub(super) fn retire(&mut self, index: usize) {
        let Some(at) = pick(self.leases.len(), index) else { return };
        let id = self.leases[at];
        self.step(Event::Retire { id });
        let at = self.leases.iter().position(|lease| *lease == id).expect("still held");
        self.release(at);
    }

    pub(super) fn estimate(&mut self, index: usize, outcome: Option<u64>) {
        let Some(at) = pick(self.estimates.len(), index) else { return };
        let id = self.estimates.swap_remove(at);
        let outcome = outcome.ok_or_else(|| Shared::new(0));
        self.step(Event::Estimated { id, outcome });
    }

    /// Ends a load: with a resource of some weight, or with a failure.
    pub(super) fn load(&mut self, index: usize, success: bool, weight: Option<u64>) {
        let Some((&id, &(key, reserved))) = pick_map(&self.loads, index) else { return };
        self.loads.remove(&id);
        if !success {
            self.step(Event::LoadFailed { id, failure: Shared::new(key) });
            return;
        }
        let count = Count {
            ticks: Rc::clone(&self.ticks),
            _fragile: Some(Shared::new(key)),
            ..Count::default()
        };
        let gate = TestGate(Rc::new(count));
        // Too heavy: what was reserved stays charged until it is closed.
        let charged = self.scheduler.charged.weight;
        let free = self.rules.max_weight.unwrap_or(0).saturating_sub(charged);
        let weight = weight.map(|weight| weight.max(1)).filter(|_| self.rules.max_weight.is_some());
        let kept = weight.filter(|&weight| weight <= reserved + free).unwrap_or(reserved);
        let resource = Resource { key, gate: gate.clone(), weight: kept, closing: false };
        self.resources.insert(id, resource);
        self.step(Event::Loaded { id, gate, weight, load_time: Duration::ZERO });
    }

    pub(super) fn close(&mut self, index: usize, success: bool) {
        let Some(at) = pick(self.closes.len(), index) else { return };
        let id = self.closes.swap_remove(at);
        let resource = self.resources.remove(&id).expect("it was being closed");
        assert!(self.closed.insert(id), "R2: closed twice");
        assert_eq!(resource.gate.0.inside.get(), 0, "R2: closed under use");
        let failure = (!success).then(|| String::from("stuck"));
        self.step(Event::Closed { id, failure });
    }

    pub(super) fn unload(&mut self, key: u64) {
        let caller = self.number();
        self.callers.insert(caller);
        self.step(Event::Unload { name: Shared::new(key), caller: Fragile(caller) });
    }

    pub(super) fn evict(&mut self, all: bool) {
        let number = self.number();
        self.callers.insert(number);
        let caller = Fragile(number);
        self.step(if all { Event::EvictAll { caller } } else { Event::EvictIdle { caller } });
    }

    pub(super) fn reset(&mut self, key: u64) {
        self.step(Event::Reset { name: Shared::new(key) });
    }

    pub(super) fn resize(&mut self, entries: usize, weight: Option<u64>) {
        let weight = weight.filter(|_| self.rules.max_weight.is_some());
        self.rules.max_entries = entries;
        self.rules.max_weight = weight.or(self.rules.max_weight);
        self.step(Event::Resize { entries, weight });
    }

    pub(super) fn stop(&mut self) {
        let number = self.number();
        self.callers.insert(number);
        let deadline = self.now + Duration::from_secs(8);
        self.step(Event::Stop { caller: Some((Fragile(number), deadline)) });
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.step(Event::Tick);
    }

    // ---- what must hold ---------------------------------------------------------------------

    /// What is charged, by the world's own books.
    fn charge(&self) -> (usize, u64) {
        let loading = self.loads.values().map(|(_, weight)| *weight);
        let there = self.resources.values().map(|resource| resource.weight);
        (self.loads.len() + self.resources.len(), loading.chain(there).sum())
    }

    fn check(&mut self) {
        let (entries, weight) = self.charge();
        let limit = (self.rules.max_entries, self.rules.max_weight.unwrap_or(u64::MAX));
        let (entries_before, weight_before) =
            std::mem::replace(&mut self.charge_before, (entries, weight));
        assert!(entries <= limit.0.max(entries_before), "R1: {entries} of {}", limit.0);
        assert!(weight <= limit.1.max(weight_before), "R1: {weight} of {}", limit.1);

        let scheduler = &mut self.scheduler;
        // What has room and no thread yet is charged, too, and not loading.
        let (mut reserved, mut waiting, mut idle) = ((0, 0), 0, (0, 0));
        for record in scheduler.records.iter().flatten() {
            assert!(record.current.is_some() || record.flight.is_some(), "R5: an empty record");
            if let Some(flight) = &record.flight {
                let deserted = flight.waiters.is_empty();
                let runs = flight.stage == Stage::Estimating { running: true };
                assert!(!deserted || runs, "R5: a flight that nobody waits for");
                let blocked = flight.stage == Stage::Blocked;
                assert_eq!(blocked, record.current.is_some(), "R3: blocked by what?");
                waiting += flight.waiters.len();
                if flight.stage == Stage::Reserved {
                    reserved = (reserved.0 + 1, reserved.1 + flight.need);
                }
            }
            match record.current.as_ref().map(|current| (&current.phase, current.weight)) {
                Some((Live::Loading { waiters, .. }, _)) => waiting += waiters.len(),
                Some((Live::Ready { gate, watched }, weight)) => {
                    assert!(!self.stopped, "R7: admitted after the stop");
                    assert_eq!(*watched, gate.0.watched.get());
                    if gate.leases() == 0 {
                        idle = (idle.0 + 1, idle.1 + weight);
                    }
                }
                _ => {}
            }
        }
        assert_eq!(waiting, self.waiters.len(), "R5: waiters that are nowhere");
        assert_eq!(waiting, scheduler.waiting.len(), "R5: a trace of who has left");
        assert!(scheduler.memory.len() <= 1024);
        let charged = (entries + reserved.0, weight + reserved.1);
        assert_eq!(charged, (scheduler.charged.entries, scheduler.charged.weight), "R1: the books");
        let now = self.now;
        let late = self.waiters.values().any(|(_, deadline)| deadline.is_some_and(|at| at <= now));
        assert!(!late, "R6: a wait that never ends");
        if let Some((_, &at)) = scheduler.queue.first_key_value() {
            let flight = scheduler.record(at).flight.as_ref().expect("a flight is in the queue");
            let need = (1, flight.need);
            let fits = |more: (usize, u64)| {
                charged.0 + need.0 <= limit.0 + more.0
                    && u128::from(charged.1) + u128::from(need.1)
                        <= u128::from(limit.1) + u128::from(more.1)
            };
            assert!(!fits((0, 0)), "R6: there is room, and it waits");
            let coming = (scheduler.incoming.entries, scheduler.incoming.weight);
            assert!(
                fits(coming)
                    || !fits((coming.0 + idle.0, coming.1 + idle.1))
                    || !self.tells.is_empty(),
                "R6: what is idle would suffice, and nobody closes it"
            );
        }
    }

    /// Lets everything come to its end: who waits must be served or told, and nothing stays behind.
    pub(super) fn finish(mut self) {
        for _ in 0..10_000 {
            if !self.tells.is_empty() {
                self.tell_scheduler(0);
            } else if !self.closes.is_empty() {
                self.close(0, true);
            } else if !self.estimates.is_empty() {
                self.estimate(0, Some(1));
            } else if !self.loads.is_empty() {
                self.load(0, true, None);
            } else if !self.leases.is_empty() {
                self.release(0);
            } else {
                break;
            }
        }
        let large = self.rules.max_weight.is_some();
        assert!(self.waiters.is_empty() || large, "R6: {} wait for ever", self.waiters.len());
        if !self.stopped {
            self.stop();
        }
        while !self.closes.is_empty() {
            self.close(0, true);
        }
        assert!(self.callers.is_empty(), "R6: who waits for closes waits for ever");
        assert!(self.waiters.is_empty(), "R7: who waits is not told of the end");
        assert!(self.resources.is_empty() && self.loads.is_empty(), "R2: never closed");
        assert!(self.scheduler.keys.is_empty() && self.scheduler.due.is_empty(), "R5: traces");
        assert_eq!(self.scheduler.charged.entries, 0);
    }
}

fn pick(len: usize, index: usize) -> Option<usize> {
    (len > 0).then(|| index % len.max(1))
}

fn pick_map<K, V>(map: &BTreeMap<K, V>, index: usize) -> Option<(&K, &V)> {
    map.iter().nth(pick(map.len(), index)?)
}
