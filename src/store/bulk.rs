//! How are many keys loaded at once? One call of the loader for all that this caller leads.
//!
//! Each key has its own flight, as if it were loaded alone: whoever asks for one of them waits for
//! that one. The caller asks for all keys first, then loads those whose flights it leads, and waits
//! for those of others only after that. So callers that lead some of each other's keys do not wait in
//! a circle. If one of the flights that it waits for is handed to it, it loads that one at once, for
//! the same reason.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::error::LoadError;
use crate::hash::Hashed;
use crate::load::{Running, Turn};
use crate::store::flight::{Arrived, Asked, Concluded, Joined, Lead, Loading, Missing, shared};
use crate::store::{Given, Store, Trace};

/// A key that was asked for, and its place among them.
struct Wanted<K> {
    at: usize,
    hash: Hashed,
    key: K,
}

/// What is known of the keys so far, in their order.
type Outcomes<V, E> = Vec<Option<Result<V, LoadError<E>>>>;

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    /// The values of `keys`, in their order; loads those that are missing.
    ///
    /// `load` is given keys that are missing, each once, and may be called again for keys whose load by
    /// somebody else came to nothing that this caller could be told.
    pub(crate) fn load_many<E: Send + Sync + 'static>(
        &self,
        keys: impl Iterator<Item = (Hashed, K)>,
        mut load: impl FnMut(&[&K]) -> Result<Vec<(K, V)>, E>,
    ) -> Vec<Result<V, LoadError<E>>> {
        let _leaving = self.leaving(self.domain.owner());
        let mut outcomes: Outcomes<V, E> = Vec::new();
        let mut wanted = Vec::new();
        for (at, (hash, key)) in keys.enumerate() {
            let found = self.read(hash, &key, Trace::Use, |_, value| value.clone());
            if found.is_none() {
                wanted.push(Wanted { at, hash, key });
            }
            outcomes.push(found.map(Ok));
        }
        while !wanted.is_empty() {
            let mut batch = Batch { leads: Vec::new(), alone: Vec::new(), places: Vec::new() };
            let mut waiting: Vec<(Wanted<K>, Joined<'_, K, V>)> = Vec::new();
            let mut alone = Vec::new();
            // While the caller leads flights and asks for other keys, listeners and values' `clone` may run.
            let mut marks = Vec::new();
            for Wanted { at, hash, key } in wanted.drain(..) {
                match self.ask(hash, Given(key)) {
                    Asked::Found(value) => outcomes[at] = Some(Ok(value)),
                    Asked::Joined(Given(key), joined) => {
                        waiting.push((Wanted { at, hash, key }, joined));
                    }
                    Asked::Leads(lead) => {
                        marks.push(Running::enter(lead.node()));
                        batch.leads.push(lead);
                        batch.places.push(at);
                    }
                    Asked::Crowded(Given(key)) => alone.push((at, key)),
                }
            }
            for (at, key) in alone {
                batch.alone.push(key);
                batch.places.push(at);
            }
            drop(marks);
            self.load_batch(batch, &mut load, &mut outcomes);
            for (key, mut joined) in waiting {
                if joined.is_reentrant() {
                    outcomes[key.at] = Some(Err(LoadError::Reentrant));
                    continue;
                }
                match joined.wait() {
                    Turn::Lead => {
                        let (leads, places) = (vec![joined.into_lead()], vec![key.at]);
                        let batch = Batch { leads, alone: Vec::new(), places };
                        self.load_batch(batch, &mut load, &mut outcomes);
                    }
                    Turn::Over => match joined.outcome(true) {
                        Some(outcome) => outcomes[key.at] = Some(outcome),
                        None => wanted.push(key),
                    },
                }
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("every key has its outcome")).collect()
    }

    /// Loads keys by one call.
    fn load_batch<E: Send + Sync + 'static>(
        &self,
        batch: Batch<'_, K, V>,
        load: impl FnOnce(&[&K]) -> Result<Vec<(K, V)>, E>,
        outcomes: &mut Outcomes<V, E>,
    ) {
        let Batch { leads, alone, places } = batch;
        if places.is_empty() {
            return;
        }
        let led = leads.len();
        // Sorted on the loader's stack: `Hash` and `Eq` may ask for these keys, too.
        let load = |keys: &[&K]| load(keys).map(|loaded| self.in_order(keys, loaded));
        let (leads, loaded) = Loading::run(leads, &alone, load);
        // All flights are over before anybody's code runs, which may ask for any of them.
        let (mut kept, mut ended, mut unshared) = (Vec::new(), Vec::new(), Vec::new());
        match loaded {
            Ok(values) => {
                let mut leads = leads.into_iter();
                for (at, value) in places.into_iter().zip(values) {
                    let lead = leads.next();
                    if lead.is_none() {
                        self.loaded_alone(value.is_none());
                    }
                    outcomes[at] = Some(match value {
                        Some(Arrived { copy, value, arrival }) => {
                            match lead {
                                Some(lead) => kept.push(lead.conclude(value, arrival)),
                                None => unshared.push(value),
                            }
                            Ok(copy)
                        }
                        None => {
                            ended.extend(lead.map(|lead| lead.conclude_failed(Arc::new(Missing))));
                            Err(LoadError::Missing)
                        }
                    });
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                ended.extend(leads.into_iter().map(|lead| lead.conclude_failed(shared(&error))));
                for (n, at) in places.into_iter().enumerate() {
                    if n >= led {
                        self.loaded_alone(true);
                    }
                    outcomes[at] = Some(Err(LoadError::Failed(Arc::clone(&error))));
                }
            }
        }
        drop((ended, unshared));
        kept.into_iter().for_each(Concluded::keep);
    }

    /// What was loaded, in the order of `keys`. The first value of a key counts; other keys are not asked
    /// for.
    fn in_order(&self, keys: &[&K], loaded: Vec<(K, V)>) -> Vec<Option<Arrived<V>>> {
        let mut places: HashMap<&K, Vec<usize>, foldhash::fast::RandomState> = HashMap::default();
        for (place, &key) in keys.iter().enumerate() {
            // As a rule one; the keys whose load cannot be shared may come more than once.
            places.entry(key).or_default().push(place);
        }
        let mut values: Vec<Option<Arrived<V>>> = keys.iter().map(|_| None).collect();
        for (key, value) in loaded {
            let Some(places) = places.remove(&key) else { continue };
            let (first, others) = (places[0], &places[1..]);
            for &other in others {
                values[other] = Some(self.arrived(&key, value.clone()));
            }
            values[first] = Some(self.arrived(&key, value));
        }
        values
    }
}

/// Keys for one call of a loader.
struct Batch<'s, K, V> {
    leads: Vec<Lead<'s, K, V>>,
    /// Keys whose load cannot be shared.
    alone: Vec<K>,
    /// Where they are among the keys that were asked for: first those of `leads`, then `alone`.
    places: Vec<usize>,
}
