//! With hotset.

use std::sync::Arc;
use std::time::Duration;

use hotset::{Cache, LoadError, ManualTime};

use super::{Fetch, FetchError};

/// Fetches pages, and remembers those of late.
pub struct Fetcher {
    pages: Cache<String, Arc<str>>,
    fetch: Fetch,
}

impl Fetcher {
    pub fn new(pages: usize, time_to_live: Duration, time: &ManualTime, fetch: Fetch) -> Self {
        let pages = Cache::builder()
            .max_entries(pages)
            .time_to_live(time_to_live)
            .time_source(time.clone()) // for the test; a program leaves it out
            .build()
            .expect("a valid bound");
        Self { pages, fetch }
    }

    /// The page at `url`, fetched once however many ask at a time.
    pub fn page(&self, url: &str) -> Result<Arc<str>, Arc<FetchError>> {
        let load = || (self.fetch)(url).map(Arc::from);
        self.pages.try_get_or_insert_with_by_ref(url, load).map_err(|error| match error {
            LoadError::Failed(error) => error,
            // Another thread's panic, or a fetch that asks for its own page: moka panics or hangs.
            other => Arc::new(FetchError(other.to_string())),
        })
    }

    /// Fetches the page anew next time.
    pub fn forget(&self, url: &str) {
        self.pages.remove(url);
    }
}
