//! With hotset.

use std::sync::{Arc, Mutex};

use hotset::{Cache, Cause, Insert};

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
            .max_weight(max_bytes)
            .weigher(|_name, blob: &Arc<[u8]>| blob.len() as u64)
            .on_evict(move |name: &String, _blob, cause| {
                let why = match cause {
                    Cause::Replaced => Why::Overwritten,
                    Cause::Removed => Why::Deleted,
                    _ => Why::NoRoom,
                };
                ledger.lock().unwrap().entry(why).or_default().push(name.clone());
            })
            .build()
            .expect("a valid bound");
        Self { blobs, gone }
    }

    pub fn put(&self, name: &str, blob: Vec<u8>) {
        match self.blobs.insert(name.to_owned(), blob.into()) {
            Insert::New | Insert::Replaced(_) => {}
            // It never was in the cache, so the listener is not told: it comes back instead.
            Insert::TooHeavy(name, _) | Insert::NotAdmitted(name, _) => {
                self.gone.lock().unwrap().entry(Why::NoRoom).or_default().push(name);
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.blobs.get(name)
    }

    pub fn delete(&self, name: &str) {
        self.blobs.remove(name);
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.blobs.weight()
    }

    /// What went since the last call.
    pub fn gone(&self) -> Gone {
        std::mem::take(&mut self.gone.lock().unwrap())
    }
}
