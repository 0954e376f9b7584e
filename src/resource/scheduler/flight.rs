//! How does a wish become a resource? Asks, estimates, loads, and those who wait.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::resource::error::Phase;
use crate::resource::scheduler::{
    Answer, Charge, Current, Due, Effects, Flight, Gate, Id, Job, Litter, Live, Refusal, Scheduler,
    Stage, Time, Tokens, Waiters, Waiting,
};
use crate::seed::{Seed, planted};

impl<T: Tokens> Scheduler<T> {
    // ---- asking -----------------------------------------------------------------------------

    pub(super) fn ask(
        &mut self,
        name: T::Name,
        spec: T::Spec,
        waiter: T::Waiter,
        deadline: Option<Time>,
        out: &mut Effects<T>,
    ) {
        let refusal = if self.stopping {
            Some(Refusal::ShuttingDown)
        } else if let Some(gate) = self.lease_now(&name, out) {
            out.answers.push(Answer::Lease { waiter, gate });
            out.litter.extend([Litter::Name(name), Litter::Spec(spec)]);
            return;
        } else {
            self.refusal(&name)
        };
        if let Some(why) = refusal {
            out.refuse(waiter, why);
            out.litter.extend([Litter::Name(name), Litter::Spec(spec)]);
            return;
        }
        let at = match self.keys.get(&name) {
            Some(&at) => {
                out.litter.push(Litter::Name(name));
                at
            }
            None => self.add_record(name),
        };
        let number = self.next_waiter;
        self.next_waiter += 1;
        out.joined = Some(number);
        self.waiting.insert(number, at);
        if let Some(deadline) = deadline {
            self.due.insert((deadline, Due::Waiter(number)));
        }
        let now = self.now;
        let waiting = Waiting { token: waiter, deadline, since: now };
        let record = self.record(at);
        let joinable = match (&mut record.current, &mut record.flight) {
            (_, Some(flight)) => Some(&mut flight.waiters),
            (Some(Current { phase: Live::Loading { waiters, doomed: false, .. }, .. }), None) => {
                Some(waiters)
            }
            _ => None,
        };
        if let Some(waiters) = joinable {
            waiters.insert(number, waiting);
            out.litter.push(Litter::Spec(spec));
            return;
        }
        let blocked = record.current.is_some();
        let attempts = self.attempts(at);
        let flight = Flight {
            number: self.next_number,
            spec,
            stage: Stage::Blocked,
            need: 0,
            waiters: Waiters::<T>::from([(number, waiting)]),
            since: now,
            attempts,
        };
        self.next_number += 1;
        self.record(at).flight = Some(flight);
        if !blocked {
            self.unblock(at);
        }
    }

    /// Why an ask that would have to wait is refused.
    fn refusal(&self, name: &T::Name) -> Option<Refusal<T>> {
        if !self.keys.contains_key(name)
            && let Some(backoff) = self.backoff(name)
        {
            return Some(backoff);
        }
        let max_waiters = self.rules.max_waiters;
        (self.waiting.len() >= max_waiters).then_some(Refusal::QueueFull { max_waiters })
    }

    /// A lease of `name`, if its resource is ready.
    pub(crate) fn lease_now(&mut self, name: &T::Name, out: &mut Effects<T>) -> Option<T::Gate> {
        let at = *self.keys.get(name)?;
        let number = self.record(at).current.as_ref()?.number;
        self.lease_of(Id { at, number }, out)
    }

    /// A lease of this very resource, if it is ready.
    fn lease_of(&mut self, id: Id, out: &mut Effects<T>) -> Option<T::Gate> {
        let idle = |current: &Current<T>| match &current.phase {
            Live::Ready { gate, .. } => Some(gate.leases() == 0),
            _ => None,
        };
        let was_idle = idle(self.current(id)?)?;
        if was_idle && self.short && !planted(Seed::ReviveVictim) {
            // Who waits comes first: it may be the one that is to be closed.
            self.make_room();
            self.start_closes(out);
        }
        let now = self.now;
        let current = self.current(id)?;
        let Live::Ready { gate, .. } = &current.phase else { return None };
        gate.admit();
        let gate = gate.clone();
        if was_idle {
            current.held_since = now;
        }
        Some(gate)
    }

    /// A lease of this very resource for somebody who does not wait.
    pub(crate) fn revive(&mut self, now: Time, id: Id) -> (Option<T::Gate>, Effects<T>) {
        self.now = self.now.max(now);
        let mut effects = Effects::new();
        let gate = self.lease_of(id, &mut effects);
        (gate, effects)
    }

    /// A lease of `name` for somebody who does not wait.
    pub(crate) fn try_lease(&mut self, now: Time, name: &T::Name) -> (Option<T::Gate>, Effects<T>) {
        self.now = self.now.max(now);
        let mut effects = Effects::new();
        let gate = self.lease_now(name, &mut effects);
        (gate, effects)
    }

    // ---- on the way -------------------------------------------------------------------------

    /// The flight has no resource before it any more.
    pub(super) fn unblock(&mut self, at: usize) {
        let weighed = self.rules.max_weight.is_some();
        let now = self.now;
        let flight = self.record(at).flight.as_mut().expect("only a flight is unblocked");
        let number = flight.number;
        flight.since = now;
        if weighed {
            flight.stage = Stage::Estimating { running: false };
            self.starts.insert(number, at);
        } else {
            flight.stage = Stage::Queued;
            self.queue.insert(number, at);
        }
    }

    pub(super) fn estimated(
        &mut self,
        id: Id,
        outcome: Result<u64, T::Failure>,
        out: &mut Effects<T>,
    ) {
        self.running_loads -= 1;
        let now = self.now;
        let limit = self.rules.max_weight.unwrap_or(u64::MAX);
        let flight = self.record(id.at).flight.as_mut().expect("it waits for its estimate");
        debug_assert_eq!(
            (flight.number, flight.stage),
            (id.number, Stage::Estimating { running: true })
        );
        if flight.waiters.is_empty() {
            if let Err(failure) = outcome {
                out.litter.push(Litter::Failure(failure));
            }
            self.end_flight(id.at, out);
            return self.tidy(id.at, out);
        }
        match outcome {
            Err(failure) => {
                let attempts = flight.attempts + 1;
                let waiters = std::mem::take(&mut flight.waiters);
                self.end_flight(id.at, out);
                self.refuse_all(waiters, || Refusal::Failed(failure.clone()), out);
                self.failed(id.at, failure, attempts, out);
                self.tidy(id.at, out);
            }
            Ok(weight) => {
                let need = weight.max(1);
                flight.need = need;
                if need > limit {
                    return self.too_large(id.at, out);
                }
                flight.stage = Stage::Queued;
                flight.since = now;
                self.queue.insert(id.number, id.at);
            }
        }
    }

    /// Refuses a flight that can never fit.
    pub(super) fn too_large(&mut self, at: usize, out: &mut Effects<T>) {
        let limit = self.rules.max_weight.unwrap_or(u64::MAX);
        let flight = self.record(at).flight.as_mut().expect("it was found too large");
        let need = flight.need;
        let waiters = std::mem::take(&mut flight.waiters);
        self.end_flight(at, out);
        self.refuse_all(waiters, || Refusal::TooLarge { need, limit }, out);
        self.tidy(at, out);
    }

    /// Gives free threads to those that wait for one, oldest first.
    pub(super) fn start(&mut self, out: &mut Effects<T>) {
        while self.running_loads < self.rules.max_loads {
            let Some((number, at)) = self.starts.pop_first() else { return };
            self.running_loads += 1;
            let (now, id) = (self.now, Id { at, number });
            let record = self.record(at);
            let flight = record.flight.as_mut().expect("it waits for a thread");
            if let Stage::Estimating { running } = &mut flight.stage {
                *running = true;
                out.jobs.push(Job::Estimate { id, spec: flight.spec.clone() });
                continue;
            }
            let Flight { spec, need, waiters, attempts, .. } =
                record.flight.take().expect("it was just there");
            let name = record.name.clone();
            record.current = Some(Current {
                number,
                weight: need,
                phase: Live::Loading { waiters, doomed: false, attempts },
                since: now,
                held_since: now,
                load_time: None,
                due: None,
            });
            self.counts.loads += 1;
            out.jobs.push(Job::Load { id, name, spec, reserved: need, attempt: attempts + 1 });
        }
    }

    // ---- arriving ---------------------------------------------------------------------------

    pub(super) fn loaded(
        &mut self,
        id: Id,
        gate: T::Gate,
        weight: Option<u64>,
        load_time: Duration,
        out: &mut Effects<T>,
    ) {
        self.running_loads -= 1;
        let now = self.now;
        let fits = self.correct_weight(id, weight);
        self.succeeded(id.at, out);
        let stopping = self.stopping && !planted(Seed::AdmitLate);
        let ttl = self.rules.idle_ttl;
        let current = self.current(id).expect("it is loading");
        current.load_time = Some(load_time);
        current.since = now;
        current.held_since = now;
        let estimate = current.weight;
        let Live::Loading { waiters, doomed, .. } = &mut current.phase else {
            unreachable!("a load ends once")
        };
        let (waiters, doomed) = (std::mem::take(waiters), *doomed);
        if let Err(actual) = fits {
            self.refuse_all(waiters, || Refusal::Underestimated { estimate, actual }, out);
            return self.close(id, gate);
        }
        if (waiters.is_empty() && doomed) || stopping {
            debug_assert!(waiters.is_empty(), "a stop refuses who waits");
            return self.close(id, gate);
        }
        // In one step the resource is there and those who waited are inside: nobody can choose it as
        // a victim in between.
        gate.open(waiters.len() as u32, doomed, now);
        current.phase = if doomed {
            Live::Draining { gate: gate.clone() }
        } else {
            Live::Ready { gate: gate.clone(), watched: false }
        };
        if let (Some(ttl), false) = (ttl, doomed) {
            self.arm(id, now.saturating_add(ttl), Due::Idle(id));
        }
        for (number, Waiting { token, deadline, .. }) in waiters {
            self.no_longer_waits(number, deadline);
            out.answers.push(Answer::Lease { waiter: token, gate: gate.clone() });
        }
        out.litter.push(Litter::Gate(gate));
    }

    /// Charges the actual weight in place of the estimate. The actual weight, if there is no room for
    /// it; the estimate stays charged then.
    fn correct_weight(&mut self, id: Id, actual: Option<u64>) -> Result<(), u64> {
        let (Some(limit), Some(actual)) = (self.rules.max_weight, actual) else { return Ok(()) };
        let free = limit.saturating_sub(self.charged.weight);
        let current = self.current(id).expect("it is loading");
        let estimate = current.weight;
        if actual > estimate && actual - estimate > free {
            return Err(actual);
        }
        current.weight = actual;
        self.charged.weight = self.charged.weight - estimate + actual;
        Ok(())
    }

    pub(super) fn load_failed(&mut self, id: Id, failure: T::Failure, out: &mut Effects<T>) {
        self.running_loads -= 1;
        let current = self.record(id.at).current.take().expect("it is loading");
        debug_assert_eq!(current.number, id.number);
        let Live::Loading { waiters, attempts, .. } = current.phase else {
            unreachable!("a load ends once")
        };
        self.charged.sub(Charge::one(current.weight));
        self.refuse_all(waiters, || Refusal::Failed(failure.clone()), out);
        self.failed(id.at, failure, attempts + 1, out);
        self.vacated(id.at, out);
    }

    /// The key has no current resource any more: its next flight may begin.
    pub(super) fn vacated(&mut self, at: usize, out: &mut Effects<T>) {
        if self.record(at).flight.is_some() {
            self.unblock(at);
        } else {
            self.tidy(at, out);
        }
    }

    // ---- going away -------------------------------------------------------------------------

    pub(super) fn leave(&mut self, waiter: u64, out: &mut Effects<T>) {
        if let Some((token, _)) = self.take_waiter(waiter, out) {
            out.litter.push(Litter::Waiter(token));
        }
    }

    /// The waiter's time is over.
    pub(super) fn time_is_up(&mut self, waiter: u64, out: &mut Effects<T>) {
        let Some((token, phase)) = self.take_waiter(waiter, out) else { return };
        self.counts.timeouts += 1;
        let why = match phase {
            Some(phase) => Refusal::Timeout { phase },
            None => Refusal::Capacity { holders: self.holders() },
        };
        out.refuse(token, why);
    }

    /// Takes a waiter off its flight, and says what it was waiting for (`None`: room). A flight that
    /// nobody waits for any more ends, if it can.
    fn take_waiter(
        &mut self,
        number: u64,
        out: &mut Effects<T>,
    ) -> Option<(T::Waiter, Option<Phase>)> {
        let at = *self.waiting.get(&number)?;
        let record = self.record(at);
        let (waiting, phase, abandoned) = match (&mut record.current, &mut record.flight) {
            (Some(Current { phase: Live::Loading { waiters, .. }, .. }), _)
                if waiters.contains_key(&number) =>
            {
                (waiters.remove(&number)?, Some(Phase::Loading), false)
            }
            (_, Some(flight)) => {
                let waiting = flight.waiters.remove(&number)?;
                let (phase, ends) = match flight.stage {
                    Stage::Blocked => (Some(Phase::Closing), true),
                    Stage::Estimating { running } => (Some(Phase::Estimating), !running),
                    Stage::Queued => (None, true),
                    Stage::Reserved => (Some(Phase::Starting), true),
                };
                (waiting, phase, ends && flight.waiters.is_empty())
            }
            _ => return None,
        };
        let Waiting { token, deadline, .. } = waiting;
        self.no_longer_waits(number, deadline);
        if abandoned && !planted(Seed::AbandonedFlight) {
            self.end_flight(at, out);
            self.tidy(at, out);
        }
        Some((token, phase))
    }

    fn no_longer_waits(&mut self, number: u64, deadline: Option<Time>) {
        self.waiting.remove(&number);
        if let Some(deadline) = deadline {
            self.due.remove(&(deadline, Due::Waiter(number)));
        }
    }

    pub(super) fn refuse_all(
        &mut self,
        waiters: Waiters<T>,
        why: impl Fn() -> Refusal<T>,
        out: &mut Effects<T>,
    ) {
        for (number, Waiting { token, deadline, .. }) in waiters {
            self.no_longer_waits(number, deadline);
            out.refuse(token, why());
        }
    }

    /// Removes the flight at `at`, for which nobody waits and nothing runs. The record stays.
    pub(super) fn end_flight(&mut self, at: usize, out: &mut Effects<T>) {
        let flight = self.record(at).flight.take().expect("a flight ends once");
        debug_assert!(flight.waiters.is_empty());
        match flight.stage {
            Stage::Queued => drop(self.queue.remove(&flight.number)),
            Stage::Estimating { .. } => drop(self.starts.remove(&flight.number)),
            Stage::Reserved => {
                self.starts.remove(&flight.number);
                self.charged.sub(Charge::one(flight.need));
            }
            Stage::Blocked => {}
        }
        out.litter.push(Litter::Spec(flight.spec));
    }
}
