//! With quick_cache.

use std::sync::Arc;

use quick_cache::sync::{Cache, GuardResult};

use super::{Disk, NoSuchPage};

/// Pages of a disk, of which some are in memory.
pub struct Pages {
    pages: Cache<u64, Arc<[u8]>>,
    disk: Arc<Disk>,
}

impl Pages {
    pub fn new(pages: usize, disk: Arc<Disk>) -> Self {
        Self { pages: Cache::new(pages), disk }
    }

    /// The bytes of `page`, read once however many ask at a time.
    pub fn read(&self, page: u64) -> Result<Arc<[u8]>, NoSuchPage> {
        match self.pages.get_value_or_guard(&page, None) {
            GuardResult::Value(bytes) => Ok(bytes),
            GuardResult::Guard(guard) => {
                let bytes = self.disk.read(page)?;
                // An error means that the page was written meanwhile: the write is in the cache.
                let _ = guard.insert(Arc::clone(&bytes));
                Ok(bytes)
            }
            GuardResult::Timeout => unreachable!("no time-out was given"),
        }
    }

    /// The bytes of `page` if they are in memory; does not count as a use.
    pub fn read_if_cached(&self, page: u64) -> Option<Arc<[u8]>> {
        self.pages.peek(&page)
    }

    /// Writes `page` to the disk; who reads it next reads it anew.
    pub fn write(&self, page: u64, bytes: &[u8]) {
        self.disk.write(page, bytes);
        self.pages.remove(&page);
    }

    pub fn drop_pages_from(&self, first: u64) {
        self.pages.retain(|&page, _| page < first);
    }

    pub fn len(&self) -> usize {
        self.pages.len()
    }
}
