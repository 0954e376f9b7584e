//! What is to be seen? Everything, as plain data.

#![forbid(unsafe_code)]

use crate::resource::error::Holder;
use crate::resource::report::{Counts, EntrySnapshot, State};
use crate::resource::scheduler::{
    Current, Flight, Gate, Live, Record, Scheduler, Stage, Time, Tokens,
};

/// Holders that an error names.
const MOST_HOLDERS: usize = 32;

/// What a snapshot is made of, outside of the lock.
pub(crate) struct View<T: Tokens> {
    pub(crate) entries: Vec<EntrySnapshot<T::Name>>,
    /// Name, failures in a row, when it may be loaded again, the last failure.
    pub(crate) failures: Vec<(T::Name, u32, Time, T::Failure)>,
    pub(crate) charged_entries: usize,
    pub(crate) max_entries: usize,
    pub(crate) charged_weight: u64,
    pub(crate) max_weight: Option<u64>,
    pub(crate) waiters: usize,
    pub(crate) oldest_wait: Option<Time>,
    pub(crate) counts: Counts,
    pub(crate) last_close_failure: Option<(T::Name, String)>,
    pub(crate) stopping: bool,
}

impl<T: Tokens> Scheduler<T> {
    /// Everything, at `now`.
    pub(crate) fn view(&self, now: Time) -> View<T> {
        let now = self.now.max(now);
        let mut entries: Vec<(u64, EntrySnapshot<T::Name>)> = Vec::new();
        let mut oldest = None::<Time>;
        for record in self.records.iter().flatten() {
            let waiting = record.waiters().map(|waiting| waiting.since).min();
            oldest = oldest.into_iter().chain(waiting).min();
            if let Some(flight) = &record.flight {
                entries.push((0, flight.snapshot(record, now)));
            }
            if let Some(current) = &record.current {
                let (used, entry) = current.snapshot(record, now);
                entries.push((used, entry));
            }
        }
        entries.sort_by_key(|(used, entry)| (*used, entry.generation));
        View {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            failures: self
                .memory
                .iter()
                .map(|(name, seen)| {
                    (name.clone(), seen.attempts, seen.retry_at, seen.failure.clone())
                })
                .collect(),
            charged_entries: self.charged.entries,
            max_entries: self.rules.max_entries,
            charged_weight: self.charged.weight,
            max_weight: self.rules.max_weight,
            waiters: self.waiting.len(),
            oldest_wait: oldest.map(|since| now.saturating_sub(since)),
            counts: self.counts,
            last_close_failure: self.last_close_failure.clone(),
            stopping: self.stopping,
        }
    }

    /// Whether everything that was loaded is closed.
    pub(crate) fn is_empty(&self) -> bool {
        self.charged.entries == 0
    }

    pub(crate) fn is_weighed(&self) -> bool {
        self.rules.max_weight.is_some()
    }

    /// The names of what is ready, least recently used first.
    pub(crate) fn ready(&self) -> Vec<T::Name> {
        let mut ready: Vec<(u64, &T::Name)> = Vec::new();
        for record in self.records.iter().flatten() {
            if let Some(Live::Ready { gate, .. }) = record.current.as_ref().map(|c| &c.phase) {
                ready.push((gate.last_used(), &record.name));
            }
        }
        ready.sort_by_key(|(used, _)| *used);
        ready.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Who holds room: leased or on its way, longest first, not more than an error should name.
    pub(super) fn holders(&mut self) -> Vec<Holder<T::Name>> {
        let mut holders = self.all_holders();
        holders.retain(|holder| holder.leases > 0 || holder.state != State::Ready);
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.held_for));
        holders.truncate(MOST_HOLDERS);
        holders
    }

    /// All that is charged.
    pub(super) fn all_holders(&mut self) -> Vec<Holder<T::Name>> {
        let mut holders = Vec::new();
        for record in self.records.iter_mut().flatten() {
            let id = &record.name;
            if let Some(current) = &mut record.current {
                if let Some(gate) = current.phase.gate().cloned() {
                    current.observe(&gate, self.now);
                }
                holders.push(Holder {
                    id: id.clone(),
                    state: current.phase.state(),
                    leases: current.phase.leases(),
                    held_for: self.now.saturating_sub(current.held_since),
                });
            } else if let Some(Flight { stage: Stage::Reserved, since, .. }) = &record.flight {
                let held_for = self.now.saturating_sub(*since);
                holders.push(Holder {
                    id: id.clone(),
                    state: State::Reserved,
                    leases: 0,
                    held_for,
                });
            }
        }
        holders
    }
}

impl<T: Tokens> Record<T> {
    fn waiters(&self) -> impl Iterator<Item = &super::Waiting<T>> {
        let of_flight = self.flight.iter().flat_map(|flight| flight.waiters.values());
        let of_load = self.current.iter().flat_map(|current| match &current.phase {
            Live::Loading { waiters, .. } => Some(waiters.values()),
            _ => None,
        });
        of_flight.chain(of_load.flatten())
    }
}

impl<T: Tokens> Live<T> {
    fn gate(&self) -> Option<&T::Gate> {
        match self {
            Self::Ready { gate, .. } | Self::Draining { gate } => Some(gate),
            Self::Loading { .. } | Self::Closing { .. } | Self::Wedged => None,
        }
    }

    fn leases(&self) -> u32 {
        self.gate().map_or(0, Gate::leases)
    }
}

impl<T: Tokens> Flight<T> {
    fn snapshot(&self, record: &Record<T>, now: Time) -> EntrySnapshot<T::Name> {
        let (state, weight) = match self.stage {
            Stage::Blocked => (State::Blocked, 0),
            Stage::Estimating { .. } => (State::Estimating, 0),
            Stage::Queued => (State::Queued, 0),
            Stage::Reserved => (State::Reserved, self.need),
        };
        EntrySnapshot {
            id: record.name.clone(),
            state,
            generation: self.number,
            weight,
            leases: 0,
            waiters: self.waiters.len(),
            since: now.saturating_sub(self.since),
            load_time: None,
        }
    }
}

impl<T: Tokens> Current<T> {
    /// Notes that its being held began anew, if it did since this was asked last: when exactly is not
    /// known.
    pub(super) fn observe(&mut self, gate: &T::Gate, now: Time) {
        if gate.take_revived() {
            self.held_since = now;
        }
    }

    /// With the order of its last use, if it is ready.
    fn snapshot(&self, record: &Record<T>, now: Time) -> (u64, EntrySnapshot<T::Name>) {
        let waiters = match &self.phase {
            Live::Loading { waiters, .. } => waiters.len(),
            _ => 0,
        };
        let used = match &self.phase {
            Live::Ready { gate, .. } => gate.last_used(),
            _ => 0,
        };
        let entry = EntrySnapshot {
            id: record.name.clone(),
            state: self.phase.state(),
            generation: self.number,
            weight: self.weight,
            leases: self.phase.leases(),
            waiters,
            since: now.saturating_sub(self.since),
            load_time: self.load_time,
        };
        (used, entry)
    }
}
