//! With moka.

use std::sync::{Arc, Mutex};

use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::{Gone, Why};

/// Blobs in memory, up to so many bytes.
pub struct Blobs {
    blobs: Cache<String, Arc<[u8]>>,
    gone: Arc<Mutex<Gone>>,
}

impl Blobs {
    pub fn new(max_bytes: u64) -> Self {
        let gone: Arc<Mutex<Gone>> = Arc::default();
        let ledger = Arc::clone(&gone);
        let blobs = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_name, blob: &Arc<[u8]>| blob.len().try_into().unwrap_or(u32::MAX))
            .eviction_listener(move |name: Arc<String>, _blob, cause| {
                let why = match cause {
                    RemovalCause::Size | RemovalCause::Expired => Why::NoRoom,
                    RemovalCause::Replaced => Why::Overwritten,
                    RemovalCause::Explicit => Why::Deleted,
                };
                ledger.lock().unwrap().entry(why).or_default().push(name.to_string());
            })
            .build();
        Self { blobs, gone }
    }

    pub fn put(&self, name: &str, blob: Vec<u8>) {
        self.blobs.insert(name.to_owned(), blob.into());
    }

    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.blobs.get(name)
    }

    pub fn delete(&self, name: &str) {
        self.blobs.invalidate(name);
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.blobs.run_pending_tasks();
        self.blobs.weighted_size()
    }

    /// What went since the last call.
    pub fn gone(&self) -> Gone {
        std::mem::take(&mut self.gone.lock().unwrap())
    }
}
