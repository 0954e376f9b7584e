//! How does a loader run, and what becomes of its flights if it panics?

#![forbid(unsafe_code)]

use crate::load::Running;
use crate::store::flight::Lead;

/// Ends the flights of a loader that panics, as it unwinds.
pub(crate) struct Loading<'s, K, V>(Vec<Lead<'s, K, V>>);

impl<'s, K, V> Loading<'s, K, V> {
    /// Runs `load` as the loader of all these flights; it is given their keys, and those in `more`.
    /// Gives back the leads, still to be finished.
    pub(crate) fn run<R>(
        leads: Vec<Lead<'s, K, V>>,
        more: &[K],
        load: impl FnOnce(&[&K]) -> R,
    ) -> (Vec<Lead<'s, K, V>>, R) {
        let mut this = Self(leads);
        // Dropped before `this`, which frees the flights.
        let _running = Running::enter_all(this.0.iter().map(Lead::node));
        let keys: Vec<&K> = this.0.iter().map(Lead::key).chain(more).collect();
        let loaded = load(&keys);
        (std::mem::take(&mut this.0), loaded)
    }
}

impl<K, V> Drop for Loading<'_, K, V> {
    fn drop(&mut self) {
        let Some(store) = self.0.first().map(Lead::store) else { return };
        let _leaving = store.leaving(store.domain.owner());
        // All are over before anybody's code runs, which may ask for any of them.
        let ended: Vec<_> = self.0.drain(..).map(Lead::conclude_panicked).collect();
        drop(ended);
    }
}

/// The same for one flight, without a list.
pub(crate) struct LoadingOne<'s, K, V>(Option<Lead<'s, K, V>>);

impl<'s, K, V> LoadingOne<'s, K, V> {
    /// Runs `load` as the loader of the flight. Gives back the lead, still to be finished.
    pub(crate) fn run<R>(lead: Lead<'s, K, V>, load: impl FnOnce(&K) -> R) -> (Lead<'s, K, V>, R) {
        let flight = lead.node();
        let mut this = Self(Some(lead));
        let _running = Running::enter(flight); // dropped before `this`, which frees the flight
        let Some(lead) = &this.0 else { unreachable!("just put there") };
        let loaded = load(lead.key());
        let Some(lead) = this.0.take() else { unreachable!("taken only here and in `drop`") };
        (lead, loaded)
    }
}

impl<K, V> Drop for LoadingOne<'_, K, V> {
    fn drop(&mut self) {
        if let Some(lead) = self.0.take() {
            lead.panicked();
        }
    }
}
