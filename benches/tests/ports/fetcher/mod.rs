//! A fetcher that remembers what it fetched, for a minute: moka's `time_to_live` and `try_get_with`.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use hotset::ManualTime;

mod with_hotset;
mod with_moka;

/// Why a page could not be fetched.
#[derive(Debug, PartialEq, Eq)]
pub struct FetchError(pub String);

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What fetches a page.
pub type Fetch = Box<dyn Fn(&str) -> Result<String, FetchError> + Send + Sync>;

/// What the script sees of the programs.
trait Fetcher: Sync {
    fn page(&self, url: &str) -> Result<Arc<str>, Arc<FetchError>>;
    fn forget(&self, url: &str);
}

impl Fetcher for with_moka::Fetcher {
    fn page(&self, url: &str) -> Result<Arc<str>, Arc<FetchError>> {
        self.page(url)
    }

    fn forget(&self, url: &str) {
        self.forget(url);
    }
}

impl Fetcher for with_hotset::Fetcher {
    fn page(&self, url: &str) -> Result<Arc<str>, Arc<FetchError>> {
        self.page(url)
    }

    fn forget(&self, url: &str) {
        self.forget(url);
    }
}

/// Long enough that the steps of the script between two waits fit in it, on a busy machine too.
const TIME_TO_LIVE: Duration = Duration::from_secs(2);

/// A web whose pages say how often the web was asked.
fn web() -> (Fetch, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let fetch = move |url: &str| {
        let n = count.fetch_add(1, SeqCst) + 1;
        if url.ends_with("/missing") {
            return Err(FetchError(format!("404 at request {n}")));
        }
        // So that others ask meanwhile.
        std::thread::sleep(Duration::from_millis(20));
        Ok(format!("{url} at request {n}"))
    };
    (Box::new(fetch), asked)
}

/// What happens, as texts.
fn script(fetcher: &dyn Fetcher, asked: &AtomicUsize, wait: impl Fn(Duration)) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: &str, page: Result<Arc<str>, Arc<FetchError>>| {
        seen.push(match page {
            Ok(page) => format!("{what}: {page}"),
            Err(error) => format!("{what}: {}", error.0),
        });
    };
    see("first", fetcher.page("a.org/1"));
    see("again", fetcher.page("a.org/1"));
    see("another", fetcher.page("a.org/2"));
    see("fails", fetcher.page("a.org/missing"));
    see("fails anew", fetcher.page("a.org/missing"));
    fetcher.forget("a.org/2");
    see("forgotten", fetcher.page("a.org/2"));
    wait(TIME_TO_LIVE + Duration::from_millis(100));
    see("too old", fetcher.page("a.org/1"));
    see("young", fetcher.page("a.org/1"));
    // Eight at once ask the web once.
    let start = Barrier::new(8);
    let pages: Vec<_> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            fetcher.page("a.org/3")
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    pages.into_iter().for_each(|page| see("together", page));
    seen.push(format!("asked {} times", asked.load(SeqCst)));
    seen
}

#[test]
fn they_fetch_the_same() {
    let (fetch, asked) = web();
    let moka = script(
        &with_moka::Fetcher::new(100, TIME_TO_LIVE, fetch),
        &asked,
        std::thread::sleep, // moka has no clock that a test could set
    );
    let (fetch, asked) = web();
    let time = ManualTime::new();
    let hotset =
        script(&with_hotset::Fetcher::new(100, TIME_TO_LIVE, &time, fetch), &asked, |by| {
            time.advance(by)
        });
    assert_eq!(moka, hotset);
    assert_eq!(hotset[0], "first: a.org/1 at request 1");
    assert_eq!(hotset[6], "too old: a.org/1 at request 6");
    assert_eq!(hotset.last().unwrap(), "asked 7 times");
}
