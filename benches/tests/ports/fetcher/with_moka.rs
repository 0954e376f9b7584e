//! With moka.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::{Fetch, FetchError};

/// Fetches pages, and remembers those of late.
pub struct Fetcher {
    pages: Cache<String, Arc<str>>,
    fetch: Fetch,
}

impl Fetcher {
    pub fn new(pages: u64, time_to_live: Duration, fetch: Fetch) -> Self {
        let pages = Cache::builder().max_capacity(pages).time_to_live(time_to_live).build();
        Self { pages, fetch }
    }

    /// The page at `url`, fetched once however many ask at a time.
    pub fn page(&self, url: &str) -> Result<Arc<str>, Arc<FetchError>> {
        self.pages.try_get_with_by_ref(url, || (self.fetch)(url).map(Arc::from))
    }

    /// Fetches the page anew next time.
    pub fn forget(&self, url: &str) {
        self.pages.invalidate(url);
    }
}
