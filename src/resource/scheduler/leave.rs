//! How does a resource go? Releases, closes, and those who wait for them.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use crate::resource::report::{Evicted, Report};
use crate::resource::scheduler::{
    Answer, Charge, Due, Effects, Gate, Id, Litter, Live, Refusal, Scheduler, Stage, Time, Tokens,
    Waited,
};
use crate::seed::{Seed, planted};

impl<T: Tokens> Scheduler<T> {
    // ---- one resource -----------------------------------------------------------------------

    pub(super) fn released(&mut self, id: Id) {
        let Some(current) = self.current(id) else { return };
        let Live::Draining { gate } = &current.phase else { return };
        if gate.leases() == 0 || planted(Seed::CloseUnderUse) {
            let gate = gate.clone();
            self.close(id, gate);
        }
    }

    /// Somebody who has a lease of it says that it is no longer good.
    pub(super) fn retired(&mut self, id: Id) {
        if self.current(id).is_some() {
            self.retire(id);
        }
    }

    pub(super) fn closed(&mut self, id: Id, failure: Option<String>, out: &mut Effects<T>) {
        self.disarm(id);
        let current = self.current(id).expect("a close ends once");
        let (charge, wedged) = (Charge::one(current.weight), matches!(current.phase, Live::Wedged));
        self.record(id.at).current = None;
        if !planted(Seed::FreeBeforeClosed) {
            self.charged.sub(charge);
        }
        if !wedged {
            self.incoming.sub(charge);
            self.running_closes -= 1;
        }
        self.counts.closes += 1;
        let failed = failure.is_some();
        if let Some(text) = failure {
            self.counts.close_failures += 1;
            let name = self.record(id.at).name.clone();
            if let Some((name, _)) = self.last_close_failure.replace((name, text)) {
                out.drop_name(name);
            }
        }
        if self.stopping {
            if failed {
                self.since_stop.failed += 1;
            } else {
                self.since_stop.closed += 1;
            }
        }
        if !wedged {
            self.count_for_callers(id, failed);
        }
        self.vacated(id.at, out);
    }

    /// A close takes too long: nobody counts on its room any more, and another may run in its place.
    pub(super) fn wedge(&mut self, id: Id) {
        let now = self.now;
        let Some(current) = self.current(id) else { return };
        if !matches!(current.phase, Live::Closing { gate: None }) {
            return;
        }
        current.phase = Live::Wedged;
        current.since = now;
        let charge = Charge::one(current.weight);
        self.incoming.sub(charge);
        self.running_closes -= 1;
        self.count_for_callers(id, true);
    }

    // ---- many -------------------------------------------------------------------------------

    pub(super) fn unload(&mut self, name: T::Name, caller: T::Caller, out: &mut Effects<T>) {
        let at = self.keys.get(&name).copied();
        out.drop_name(name);
        self.take_out(at.into_iter().collect(), true, caller, out);
    }

    /// Closes what is idle, or `all`.
    pub(super) fn evict(&mut self, caller: T::Caller, all: bool, out: &mut Effects<T>) {
        self.take_out(self.places().collect(), all, caller, out);
    }

    fn take_out(&mut self, places: Vec<usize>, all: bool, caller: T::Caller, out: &mut Effects<T>) {
        let (mut evicted, mut pending) = (Evicted::default(), HashSet::new());
        for at in places {
            let Some(current) = &mut self.record(at).current else { continue };
            let id = Id { at, number: current.number };
            let closing = match &mut current.phase {
                Live::Loading { doomed, .. } => {
                    *doomed |= all;
                    false
                }
                Live::Ready { .. } if all => self.retire(id),
                Live::Ready { .. } => self.retire_if_idle(id),
                Live::Draining { .. } => false,
                Live::Closing { .. } => true,
                Live::Wedged => {
                    evicted.failed += usize::from(all);
                    continue;
                }
            };
            if closing {
                pending.insert(id.number);
            } else if all {
                evicted.draining += 1;
            }
        }
        self.wait_for(
            Waited { token: caller, pending: Some(pending), deadline: None, evicted },
            out,
        );
    }

    pub(super) fn stop(&mut self, caller: Option<(T::Caller, Time)>, out: &mut Effects<T>) {
        self.stopping = true;
        for at in self.places() {
            if let Some(flight) = &mut self.record(at).flight {
                let waiters = std::mem::take(&mut flight.waiters);
                let ends = flight.stage != Stage::Estimating { running: true };
                self.refuse_all(waiters, || Refusal::ShuttingDown, out);
                if ends {
                    self.end_flight(at, out);
                }
            }
            if let Some(current) = &mut self.record(at).current {
                let id = Id { at, number: current.number };
                if let Live::Loading { waiters, .. } = &mut current.phase {
                    let waiters = std::mem::take(waiters);
                    self.refuse_all(waiters, || Refusal::ShuttingDown, out);
                } else {
                    self.retire(id);
                }
            }
            self.tidy(at, out);
        }
        self.forget_all(out);
        if let Some((token, deadline)) = caller {
            let evicted = Evicted::default();
            let waited = Waited { token, pending: None, deadline: Some(deadline), evicted };
            self.wait_for(waited, out);
        }
    }

    // ---- those who wait for closes ----------------------------------------------------------

    fn wait_for(&mut self, waited: Waited<T>, out: &mut Effects<T>) {
        let number = self.next_waiter;
        self.next_waiter += 1;
        out.joined = Some(number);
        if let Some(deadline) = waited.deadline {
            self.due.insert((deadline, Due::Caller(number)));
        }
        self.callers.insert(number, waited);
    }

    fn count_for_callers(&mut self, id: Id, failed: bool) {
        for waited in self.callers.values_mut() {
            let Some(pending) = &mut waited.pending else { continue };
            if pending.remove(&id.number) {
                if failed {
                    waited.evicted.failed += 1;
                } else {
                    waited.evicted.closed += 1;
                }
            }
        }
    }

    /// Answers callers for whom everything is closed.
    pub(super) fn answer_callers(&mut self, out: &mut Effects<T>) {
        let nothing_left = self.charged.entries == 0;
        let over = |waited: &Waited<T>| match &waited.pending {
            Some(pending) => pending.is_empty(),
            None => nothing_left,
        };
        let numbers: Vec<u64> = self
            .callers
            .iter()
            .filter(|(_, waited)| over(waited))
            .map(|(&number, _)| number)
            .collect();
        for number in numbers {
            self.answer_caller(number, out);
        }
    }

    /// Answers a caller, whatever is left.
    pub(super) fn answer_caller(&mut self, number: u64, out: &mut Effects<T>) {
        let Some(Waited { token, pending, deadline, evicted }) = self.callers.remove(&number)
        else {
            return;
        };
        if let Some(deadline) = deadline {
            self.due.remove(&(deadline, Due::Caller(number)));
        }
        out.answers.push(match pending {
            Some(_) => Answer::Evicted { caller: token, evicted },
            None => Answer::Stopped { caller: token, report: self.report() },
        });
    }

    fn report(&mut self) -> Report<T::Name> {
        let Evicted { closed, failed, .. } = self.since_stop;
        let (leased, unfinished) =
            self.all_holders().into_iter().partition(|holder| holder.leases > 0);
        Report { closed, failed, leased, unfinished }
    }

    pub(super) fn hang_up(&mut self, number: u64, out: &mut Effects<T>) {
        if let Some(Waited { token, deadline, .. }) = self.callers.remove(&number) {
            if let Some(deadline) = deadline {
                self.due.remove(&(deadline, Due::Caller(number)));
            }
            out.litter.push(Litter::Caller(token));
        }
    }
}
