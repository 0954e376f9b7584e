//! How is a missing key loaded once by calls that block? And one that is due for a refresh.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::error::LoadError;
use crate::hash::Hashed;
use crate::load::Turn;
use crate::store::flight::{Arrived, Asked, Lead, LoadingOne, shared};
use crate::store::sought::Sought;
use crate::store::{Store, Trace};

impl<K, V: Clone> Store<K, V> {
    /// The value of the key that is `sought`; loads it if it is missing, once among all who ask at a time.
    ///
    /// `shares_failures`: whether the caller can be told of another's panic. If not, it goes into
    /// the next flight.
    pub(crate) fn get_or_load<E: Send + Sync + 'static>(
        &self,
        hash: Hashed,
        mut sought: impl Sought<K>,
        shares_failures: bool,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        if let Some(value) = self.read(hash, sought.form(), Trace::Load, |_, value| value.clone()) {
            return Ok(value);
        }
        let _leaving = self.leaving(self.domain.owner());
        sought = match self.begin_refresh(hash, sought) {
            Ok(refreshing) => {
                let load = |store: &Self, key: &K| load().map(|value| store.arrived(key, value));
                let (refreshing, loaded) = refreshing.load(load);
                return refreshing.finish(loaded);
            }
            Err(sought) => sought,
        };
        loop {
            let mut joined = match self.ask(hash, sought) {
                Asked::Found(value) => return Ok(value),
                Asked::Leads(lead) => return lead_with(lead, load),
                Asked::Joined(asked, joined) => {
                    sought = asked;
                    joined
                }
                Asked::Crowded(_) => {
                    let loaded = load();
                    self.loaded_alone(loaded.is_err());
                    return loaded.map_err(|error| LoadError::Failed(Arc::new(error)));
                }
            };
            if joined.is_reentrant() {
                return Err(LoadError::Reentrant);
            }
            match joined.wait() {
                Turn::Lead => return lead_with(joined.into_lead(), load),
                Turn::Over => {
                    if let Some(outcome) = joined.outcome(shares_failures) {
                        return outcome;
                    }
                }
            }
        }
    }
}

/// Runs the loader of a flight in this call.
fn lead_with<K, V: Clone, E: Send + Sync + 'static>(
    lead: Lead<'_, K, V>,
    load: impl FnOnce() -> Result<V, E>,
) -> Result<V, LoadError<E>> {
    let store = lead.store();
    let (lead, loaded) = LoadingOne::run(lead, |key| load().map(|value| store.arrived(key, value)));
    finish(lead, loaded)
}

/// Ends a flight with what its loader gave, or with its error.
pub(crate) fn finish<K, V, E: Send + Sync + 'static>(
    lead: Lead<'_, K, V>,
    loaded: Result<Arrived<V>, E>,
) -> Result<V, LoadError<E>> {
    match loaded {
        Ok(Arrived { copy, value, arrival }) => {
            lead.succeed(value, arrival);
            Ok(copy)
        }
        Err(error) => {
            let error = Arc::new(error);
            lead.fail(shared(&error));
            Err(LoadError::Failed(error))
        }
    }
}
