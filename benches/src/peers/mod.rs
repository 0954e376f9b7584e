//! Who is measured? One file per competitor, all `u64 -> u64`, all behind the traits below.
//!
//! Everything that lets us choose gets the same hasher ([`Hasher`]), because SipHash alone costs
//! more than a whole hit of the faster peers. Otherwise each is as it ships.

mod floor;
mod foyer;
mod hotset;
mod moka;
mod mutex_lru;
mod papaya;
mod quick_cache;
mod scc;
mod timed;
mod weighed;

use anyhow::{Result, bail};

pub use self::floor::Floor;
pub use self::foyer::{Foyer, FoyerS3Fifo};
pub use self::hotset::{Hotset, HotsetClock, HotsetStats};
pub use self::moka::Moka;
pub use self::mutex_lru::MutexLru;
pub use self::papaya::Papaya;
pub use self::quick_cache::{QuickCache, QuickCacheOneShard, QuickCacheOwnHasher};
pub use self::scc::Scc;
pub use self::timed::{HotsetToIdle, HotsetToLive, MokaToLive, QUARTER_HOUR};
pub use self::weighed::each_weighed;

/// Peers that only `semantics` shows: no speed is measured of them.
const OF_SEMANTICS: [&str; 2] = ["mini-moka", "stretto"];

/// The hasher of everybody that lets us choose: hotset's default.
pub type Hasher = foldhash::fast::RandomState;

/// Something that can be filled once and then read by many threads.
pub trait Reader: Send + Sync + Sized + 'static {
    /// The name of its row, and of `--only`.
    const NAME: &'static str;

    /// An empty one with room for `entries`.
    fn with_capacity(entries: usize) -> Self;

    /// Adds an entry while nobody else looks.
    fn put(&mut self, key: u64, value: u64);

    /// A look-up as a user writes it: with the peer's own protection, the value copied out.
    fn get(&self, key: u64) -> Option<u64>;

    /// Does the maintenance that the peer would otherwise postpone, if it has any.
    fn settle(&self) {}
}

/// A reader whose protection can be held over several look-ups.
pub trait Pinning: Reader {
    /// Looks up the next `reads` keys under one pin; returns how many hit.
    fn get_under_one_pin(&self, reads: u64, next: impl FnMut() -> u64) -> u64;
}

/// A cache: a reader that evicts.
pub trait Cache: Reader {
    /// Inserts; `false` if the cache refused the entry and handed it back.
    fn insert(&self, key: u64, value: u64) -> bool;

    /// Entries held, as the peer counts them.
    fn len(&self) -> usize;

    /// Entries held, counted one by one where the peer's own count may be behind.
    fn held(&self) -> usize {
        self.len()
    }
}

/// Which peers take part (`--only`).
#[derive(Clone, Debug, Default)]
pub struct Only(Vec<String>);

impl Only {
    /// Refuses names that no peer has.
    pub fn new(names: &[String]) -> Result<Self> {
        let mut known = Names(OF_SEMANTICS.to_vec());
        each_reader(&Self::default(), &mut known);
        each_cache(&Self::default(), &mut known);
        each_timed_reader(&Self::default(), &mut known);
        known.0.sort_unstable();
        known.0.dedup();
        for name in names {
            if !known.0.contains(&name.as_str()) {
                bail!("--only: no peer is called {name:?}; there are {}", known.0.join(", "));
            }
        }
        Ok(Self(names.to_vec()))
    }

    /// Whether `name` takes part; everybody does if nobody is named.
    pub fn admits(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|n| n == name)
    }
}

#[derive(Default)]
struct Names(Vec<&'static str>);

impl ReaderVisitor for Names {
    fn reader<R: Reader>(&mut self) {
        self.0.push(R::NAME);
    }
    fn pinning<R: Pinning>(&mut self) {}
}

impl CacheVisitor for Names {
    fn cache<C: Cache>(&mut self) {
        self.0.push(C::NAME);
    }
}

/// Called with each reader's type, so that the loop inside is compiled for that type alone.
pub trait ReaderVisitor {
    fn reader<R: Reader>(&mut self);
    fn pinning<R: Pinning>(&mut self);
}

/// Called with each cache's type.
pub trait CacheVisitor {
    fn cache<C: Cache>(&mut self);
}

/// Shows every reader to `visitor`: floor and ceiling included.
pub fn each_reader(only: &Only, visitor: &mut impl ReaderVisitor) {
    fn show<R: Reader>(only: &Only, visitor: &mut impl ReaderVisitor) {
        if only.admits(R::NAME) {
            visitor.reader::<R>();
        }
    }
    fn show_pinning<R: Pinning>(only: &Only, visitor: &mut impl ReaderVisitor) {
        show::<R>(only, visitor);
        if only.admits(R::NAME) {
            visitor.pinning::<R>();
        }
    }
    show_pinning::<Hotset>(only, visitor);
    show_pinning::<HotsetStats>(only, visitor);
    show::<QuickCache>(only, visitor);
    show::<QuickCacheOwnHasher>(only, visitor);
    show_pinning::<Papaya>(only, visitor);
    show::<Moka>(only, visitor);
    show::<Scc>(only, visitor);
    show::<Foyer>(only, visitor);
    show::<MutexLru>(only, visitor);
    show::<Floor>(only, visitor);
}

/// Shows hotset and moka as they are, and with entries that expire, to `visitor`.
pub fn each_timed_reader(only: &Only, visitor: &mut impl ReaderVisitor) {
    fn show<R: Reader>(only: &Only, visitor: &mut impl ReaderVisitor) {
        if only.admits(R::NAME) {
            visitor.reader::<R>();
        }
    }
    fn show_pinning<R: Pinning>(only: &Only, visitor: &mut impl ReaderVisitor) {
        if only.admits(R::NAME) {
            visitor.reader::<R>();
            visitor.pinning::<R>();
        }
    }
    show_pinning::<Hotset>(only, visitor);
    show_pinning::<HotsetToLive>(only, visitor);
    show_pinning::<HotsetToIdle>(only, visitor);
    show::<Moka>(only, visitor);
    show::<MokaToLive>(only, visitor);
}

/// Shows every cache to `visitor`.
pub fn each_cache(only: &Only, visitor: &mut impl CacheVisitor) {
    fn show<C: Cache>(only: &Only, visitor: &mut impl CacheVisitor) {
        if only.admits(C::NAME) {
            visitor.cache::<C>();
        }
    }
    show::<Hotset>(only, visitor);
    show::<HotsetClock>(only, visitor);
    show::<QuickCache>(only, visitor);
    show::<QuickCacheOwnHasher>(only, visitor);
    show::<Moka>(only, visitor);
    show::<Scc>(only, visitor);
    show::<Foyer>(only, visitor);
    show::<MutexLru>(only, visitor);
}

/// Whether this is one of hotset's policies: no peer that hotset is measured against.
pub fn is_hotset(name: &str) -> bool {
    [Hotset::NAME, HotsetClock::NAME].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Smoke;

    impl ReaderVisitor for Smoke {
        fn reader<R: Reader>(&mut self) {
            // Room for twice as many, so that no sharded peer has to evict.
            let mut reader = R::with_capacity(2_000);
            (0..500).for_each(|key| reader.put(key, key + 1));
            reader.settle();
            assert!((0..500).all(|key| reader.get(key) == Some(key + 1)), "{}", R::NAME);
            assert_eq!(reader.get(5_000), None, "{}", R::NAME);
        }
        fn pinning<R: Pinning>(&mut self) {
            let mut reader = R::with_capacity(100);
            (0..10).for_each(|key| reader.put(key, key));
            let mut key = 0;
            let hits = reader.get_under_one_pin(20, || {
                key += 1;
                key - 1
            });
            assert_eq!(hits, 10, "{}", R::NAME);
        }
    }

    impl CacheVisitor for Smoke {
        fn cache<C: Cache>(&mut self) {
            let cache = C::with_capacity(1_024);
            for key in 0..50_000 {
                cache.insert(key, key);
            }
            cache.settle();
            assert!((1..=1_024).contains(&cache.len()), "{}: {}", C::NAME, cache.len());
        }
    }

    #[test]
    fn every_reader_gives_back_what_was_put() {
        each_reader(&Only::default(), &mut Smoke);
        each_timed_reader(&Only::default(), &mut Smoke);
    }

    #[test]
    fn every_cache_evicts() {
        each_cache(&Only::default(), &mut Smoke);
        Smoke.cache::<FoyerS3Fifo>();
    }

    #[test]
    fn an_unknown_peer_is_refused() {
        assert!(Only::new(&["quick_cash".to_owned()]).is_err());
        assert!(Only::new(&["quick_cache".to_owned(), "hashbrown".to_owned()]).is_ok());
    }
}
