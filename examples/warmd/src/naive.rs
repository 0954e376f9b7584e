//! What would one write in an afternoon? The cache that `warmd serve --cache naive` uses, so that
//! the demo can put it beside hotset's.
//!
//! It is the usual design, carefully kept: an ordered map under one lock, a lock for each key so
//! that a key loads once, the least recently used closed when there are too many, close failures
//! logged and survived, everything closed at the end. Its faults are those of the design:
//!
//! - a caller gets a bare reference, so eviction closes what is in use;
//! - a close runs under the map's lock, so every hit waits for it;
//! - room is made after the load, so more is alive than the bound allows;
//! - who waited for a load that failed tries again, one after the other;
//! - a key's lock leaves with the eviction, though somebody may wait for it;
//! - the key holds a path, not what is there; options that change the backend are left out;
//! - the end does not wait for loads that are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Backend, LoadFailure};
use crate::ledger::Ledger;
use crate::spec::ModelSpec;

type Key = (String, Option<String>);

pub struct NaiveCache {
    most: usize,
    warm: Mutex<Vec<(Key, Arc<Backend>)>>,
    key_locks: Mutex<HashMap<Key, Arc<Mutex<()>>>>,
    ledger: Arc<Ledger>,
}

impl NaiveCache {
    pub fn new(most: usize, ledger: Arc<Ledger>) -> Self {
        Self { most, warm: Mutex::default(), key_locks: Mutex::default(), ledger }
    }

    /// Blocks until the backend is there.
    pub fn get(&self, spec: &ModelSpec) -> Result<(Arc<Backend>, bool), LoadFailure> {
        let key = key(spec);
        if let Some(warm) = self.hit(&key) {
            return Ok((warm, true));
        }
        let key_lock = lock(&self.key_locks).entry(key.clone()).or_default().clone();
        let _loading = lock(&key_lock);
        if let Some(warm) = self.hit(&key) {
            return Ok((warm, true));
        }
        let loaded = Arc::new(Backend::open(spec, &self.ledger)?);
        self.admit(key, loaded.clone());
        Ok((loaded, false))
    }

    /// Keys and bytes of what is warm, least recently used first. Waits for a close under way.
    pub fn warm(&self) -> Vec<(String, u64)> {
        let name = |key: &Key| match key {
            (base, None) => base.clone(),
            (base, Some(adapter)) => format!("{base}+{adapter}"),
        };
        lock(&self.warm).iter().map(|(key, backend)| (name(key), backend.bytes())).collect()
    }

    pub fn evict_all(&self) {
        for (_, backend) in lock(&self.warm).drain(..) {
            report(&backend);
        }
    }

    fn hit(&self, key: &Key) -> Option<Arc<Backend>> {
        let mut warm = lock(&self.warm);
        let at = warm.iter().position(|(found, _)| found == key)?;
        let entry = warm.remove(at);
        warm.push(entry.clone());
        Some(entry.1)
    }

    fn admit(&self, key: Key, backend: Arc<Backend>) {
        let mut warm = lock(&self.warm);
        warm.retain(|(found, _)| *found != key);
        warm.push((key, backend));
        while warm.len() > self.most {
            let (key, oldest) = warm.remove(0);
            lock(&self.key_locks).remove(&key);
            report(&oldest);
        }
    }
}

fn key(spec: &ModelSpec) -> Key {
    (spec.base.name.to_string(), spec.adapter.as_ref().map(|adapter| adapter.name.to_string()))
}

fn report(backend: &Backend) {
    if let Err(error) = backend.close() {
        eprintln!("warmd: close failed: {error}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
