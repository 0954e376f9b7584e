//! Who gets room, and who is closed for it? The queue, and the plan of victims.

#![forbid(unsafe_code)]

use crate::resource::scheduler::{
    Charge, Due, Effects, Gate, Id, Litter, Live, Scheduler, Stage, Time, Tokens,
};
use crate::seed::{Seed, planted};

/// What is free, or missing if negative.
#[derive(Clone, Copy)]
struct Balance {
    entries: i128,
    weight: i128,
}

impl Balance {
    fn add(&mut self, charge: Charge) {
        self.entries += charge.entries as i128;
        self.weight += i128::from(charge.weight);
    }

    fn sub(&mut self, charge: Charge) {
        self.entries -= charge.entries as i128;
        self.weight -= i128::from(charge.weight);
    }

    fn suffices(&self) -> bool {
        self.entries >= 0 && self.weight >= 0
    }
}

impl<T: Tokens> Scheduler<T> {
    fn limit(&self) -> Charge {
        let Self { rules, .. } = self;
        Charge { entries: rules.max_entries, weight: rules.max_weight.unwrap_or(u64::MAX) }
    }

    /// Gives room to those that wait for it, oldest first and nobody before them, and has so much
    /// closed as they need.
    pub(super) fn make_room(&mut self) {
        while let Some((&number, &at)) = self.queue.first_key_value() {
            let flight = self.records[at].as_ref().and_then(|record| record.flight.as_ref());
            let charge = Charge::one(flight.expect("a flight is in the queue").need);
            let mut free = self.free();
            free.sub(charge);
            if !free.suffices() {
                break;
            }
            self.queue.remove(&number);
            self.charged.add(charge);
            let now = self.now;
            let flight = self.record(at).flight.as_mut().expect("it was just there");
            flight.stage = Stage::Reserved;
            flight.since = now;
            self.starts.insert(number, at);
        }
        self.short = !self.plan();
        if !self.short || planted(Seed::UnwatchedWait) {
            self.unwatch_all();
        }
    }

    /// What is neither charged nor promised.
    fn free(&self) -> Balance {
        let mut free = Balance { entries: 0, weight: 0 };
        free.add(self.limit());
        free.sub(self.charged);
        free
    }

    /// Sees to it that enough is being closed for all that wait, oldest first, and for the bounds.
    /// False if there is not enough to close: then every gate is watched.
    fn plan(&mut self) -> bool {
        let mut balance = self.free();
        balance.add(self.incoming);
        if !balance.suffices() && !self.retire_for(&mut balance, true) {
            return false;
        }
        let waiting: Vec<usize> = self.queue.values().copied().collect();
        for at in waiting {
            let flight = self.record(at).flight.as_ref().expect("a flight is in the queue");
            balance.sub(Charge::one(flight.need));
            if !balance.suffices() && !self.retire_for(&mut balance, false) {
                return false;
            }
        }
        true
    }

    /// Has idle resources closed, least recently used first, until the balance suffices. If that is
    /// not enough, closes none of them, unless it is to be done in `part`.
    fn retire_for(&mut self, balance: &mut Balance, part: bool) -> bool {
        let mut candidates: Vec<(u64, Id)> = Vec::new();
        for (at, record) in self.records.iter().enumerate() {
            let current = record.as_ref().and_then(|record| record.current.as_ref());
            if let Some((number, Live::Ready { gate, .. })) = current.map(|c| (c.number, &c.phase))
            {
                candidates.push((gate.last_used(), Id { at, number }));
            }
        }
        candidates.sort_unstable();
        let (mut after, mut victims) = (*balance, Vec::new());
        for (_, id) in candidates {
            if after.suffices() {
                break;
            }
            if self.freeze(id) {
                after.add(Charge::one(self.current(id).expect("a candidate").weight));
                victims.push(id);
            }
        }
        if after.suffices() || part {
            *balance = after;
            for id in victims {
                self.counts.evictions += 1;
                self.retire(id);
            }
        }
        balance.suffices()
    }

    /// Watches the gate of a Ready resource. Whether it is idle, and thereby stays so.
    fn freeze(&mut self, id: Id) -> bool {
        let now = self.now;
        let current = self.current(id).expect("a candidate is there");
        let Live::Ready { gate, watched } = &mut current.phase else { return false };
        if *watched {
            return gate.leases() == 0;
        }
        *watched = true;
        let gate = gate.clone();
        let idle = gate.watch();
        current.observe(&gate, now);
        self.watched.push(id);
        idle
    }

    fn unwatch_all(&mut self) {
        for id in std::mem::take(&mut self.watched) {
            let Some(current) = self.current(id) else { continue };
            if let Live::Ready { gate, watched } = &mut current.phase {
                *watched = false;
                gate.unwatch();
            }
        }
    }

    /// Nobody gets in any more, and what is idle is closed. Whether it is idle.
    pub(super) fn retire(&mut self, id: Id) -> bool {
        let now = self.now;
        let current = self.current(id).expect("it is to be retired");
        let Live::Ready { gate, .. } = &current.phase else { return false };
        let gate = gate.clone();
        if gate.retire() {
            self.close(id, gate);
            return true;
        }
        current.observe(&gate, now);
        current.phase = Live::Draining { gate };
        current.since = now;
        self.disarm(id);
        false
    }

    /// The same if it is idle, and nothing if it is not.
    pub(super) fn retire_if_idle(&mut self, id: Id) -> bool {
        let Some(current) = self.current(id) else { return false };
        let Live::Ready { gate, .. } = &current.phase else { return false };
        if !gate.retire_if_idle() {
            return false;
        }
        let gate = gate.clone();
        self.close(id, gate);
        true
    }

    /// Sees to it that the resource is looked at again at `time`, and no sooner.
    pub(super) fn arm(&mut self, id: Id, time: Time, due: Due) {
        self.disarm(id);
        self.current(id).expect("it is to be looked at").due = Some((time, due));
        self.due.insert((time, due));
    }

    /// There is nothing to look at any more.
    pub(super) fn disarm(&mut self, id: Id) {
        if let Some(due) = self.current(id).and_then(|current| current.due.take()) {
            self.due.remove(&due);
        }
    }

    /// Its turn to be closed has come: nobody is inside, nobody gets in.
    pub(super) fn close(&mut self, id: Id, gate: T::Gate) {
        let now = self.now;
        self.disarm(id);
        let current = self.current(id).expect("it is to be closed");
        current.phase = Live::Closing { gate: Some(gate) };
        current.since = now;
        current.held_since = now;
        let charge = Charge::one(current.weight);
        self.incoming.add(charge);
        if planted(Seed::FreeBeforeClosed) {
            self.charged.sub(charge);
        }
        self.closing.push_back(id);
    }

    pub(super) fn resize(&mut self, entries: usize, weight: Option<u64>, out: &mut Effects<T>) {
        self.rules.max_entries = entries;
        self.rules.max_weight = weight.or(self.rules.max_weight);
        // What has room and no thread yet asks for room again, lest a load starts that does not fit.
        for at in self.starts.values().copied().collect::<Vec<_>>() {
            let flight = self.record(at).flight.as_mut().expect("it waits for a thread");
            if flight.stage == Stage::Reserved {
                flight.stage = Stage::Queued;
                let (number, charge) = (flight.number, Charge::one(flight.need));
                self.starts.remove(&number);
                self.queue.insert(number, at);
                self.charged.sub(charge);
            }
        }
        let limit = self.rules.max_weight.unwrap_or(u64::MAX);
        let places: Vec<usize> = self.queue.values().copied().collect();
        for at in places {
            let flight = self.record(at).flight.as_ref().expect("a flight is in the queue");
            if flight.need > limit {
                self.too_large(at, out);
            }
        }
    }

    /// Hands closes out, as many as may run.
    pub(super) fn start_closes(&mut self, out: &mut Effects<T>) {
        while self.running_closes < self.rules.max_closes {
            let Some(id) = self.closing.pop_front() else { return };
            self.running_closes += 1;
            let due = self.rules.close_timeout.map(|timeout| self.now.saturating_add(timeout));
            let current = self.current(id).expect("it is to be closed");
            let Live::Closing { gate } = &mut current.phase else {
                unreachable!("what is in this queue is closing")
            };
            let gate = gate.take().expect("a close is handed out once");
            if let Some(due) = due {
                self.arm(id, due, Due::Close(id));
            }
            if planted(Seed::CloseTwice) {
                out.jobs.push(super::Job::Close { id, gate: gate.clone() });
            }
            out.jobs.push(super::Job::Close { id, gate });
        }
    }
}

impl<T: Tokens> Effects<T> {
    pub(super) fn drop_name(&mut self, name: T::Name) {
        self.litter.push(Litter::Name(name));
    }
}
