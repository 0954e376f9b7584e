//! Leases of resources that are all there, beside an `Arc` out of a cache of plain values.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use hotset::{CloseError, LoadContext, Loaded, Loader, ResourceCache};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};

use super::{Cursor, KeySource, Tally, Workload, key};
use crate::peers::Hasher;

/// Operations between two looks at the clock.
const CHUNK: u64 = 4_096;

/// A resource for each number, which is its own identity.
pub struct Numbers;

impl Loader for Numbers {
    type Spec = u64;
    type Id = u64;
    type Resource = u64;
    type Error = Infallible;

    #[inline]
    fn identity(&self, spec: &u64) -> u64 {
        *spec
    }

    fn load(&self, spec: &u64, _: &LoadContext) -> Result<Loaded<u64>, Infallible> {
        Ok(Loaded::new(*spec))
    }

    fn close(&self, _: &u64, _: u64) -> Result<(), CloseError> {
        Ok(())
    }
}

/// `lease` and the drop of what it gives.
pub struct Leases<K> {
    cache: ResourceCache<Numbers>,
    keys: K,
}

impl<K> Leases<K> {
    /// With the first `entries` keys loaded.
    pub fn new(entries: u64, keys: K) -> Self {
        let cache = ResourceCache::builder(Numbers)
            .max_entries(entries as usize)
            .build()
            .expect("the bound is in range");
        for number in 0..entries {
            cache.lease(&key(number)).expect("there is room");
        }
        Self { cache, keys }
    }
}

impl<K: KeySource> Workload for Leases<K> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut hits = 0;
        for _ in 0..CHUNK {
            if let Ok(lease) = self.cache.lease(&self.keys.next(cursor)) {
                black_box(*lease);
                hits += 1;
            }
        }
        Tally { ops: CHUNK, hits, ..Tally::default() }
    }
}

/// `get` of an `Arc` and its drop.
pub struct Arcs<K> {
    cache: QuickCache<u64, Arc<u64>, UnitWeighter, Hasher>,
    keys: K,
}

impl<K> Arcs<K> {
    /// With the first `entries` keys, and room for four times as many, lest one leaves.
    pub fn new(entries: u64, keys: K) -> Self {
        let (room, hasher) = (4 * entries, Hasher::default());
        let lifecycle = DefaultLifecycle::default();
        let cache = QuickCache::with(room as usize, room, UnitWeighter, hasher, lifecycle);
        (0..entries).for_each(|number| cache.insert(key(number), Arc::new(number)));
        Self { cache, keys }
    }
}

impl<K: KeySource> Workload for Arcs<K> {
    fn chunk(&self, cursor: &mut Cursor) -> Tally {
        let mut hits = 0;
        for _ in 0..CHUNK {
            if let Some(value) = self.cache.get(&self.keys.next(cursor)) {
                black_box(*value);
                hits += 1;
            }
        }
        Tally { ops: CHUNK, hits, ..Tally::default() }
    }
}
