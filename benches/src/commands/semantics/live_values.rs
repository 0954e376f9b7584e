//! Two writers at full speed. How many values are alive at once?

use std::sync::Arc;

use super::case::{Case, Outcome, Pace, Peer};
use crate::commands::live::{self, AtRest, Counted, Holder, MAX_ENTRIES, Reader, Row};
use crate::report::grouped;

pub const CASE: Case = Case {
    name: "live-values",
    asks: "2 writers at full speed into a cache for 1,000: at most 2,028 values are alive at once",
    run,
};

fn run(peer: Peer, pace: Pace) -> Option<Outcome> {
    let (writers, reader) = (2, Reader::None);
    let row: Row = match peer {
        Peer::Hotset => live::measure_one::<live::Hotset>(writers, reader, pace.churn),
        Peer::Moka => live::measure_one::<live::Moka>(writers, reader, pace.churn),
        Peer::QuickCache => live::measure_one::<live::QuickCache>(writers, reader, pace.churn),
        Peer::Foyer => live::measure_one::<Foyer>(writers, reader, pace.churn),
        Peer::MiniMoka => live::measure_one::<MiniMoka>(writers, reader, pace.churn),
        Peer::Scc => live::measure_one::<Scc>(writers, reader, pace.churn),
        Peer::Stretto => live::measure_one::<Stretto>(writers, reader, pace.churn),
    };
    let most = row.most_alive().max(0) as u64;
    let observed =
        format!("{} alive at most, of {} inserts", grouped(most), grouped(row.inserts()));
    Some(Outcome::of(most <= live::limit(writers) as u64, observed))
}

struct Foyer(foyer_memory::Cache<u64, Counted>);

impl Holder for Foyer {
    const NAME: &'static str = "foyer";

    fn new() -> Self {
        Self(foyer_memory::CacheBuilder::new(MAX_ENTRIES).build())
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.insert(key, value);
        true
    }

    fn len(&self) -> usize {
        self.0.entries()
    }

    fn empty(&self) -> AtRest {
        self.0.clear();
        AtRest::default()
    }
}

struct MiniMoka(mini_moka::sync::Cache<u64, Arc<Counted>>);

impl Holder for MiniMoka {
    const NAME: &'static str = "mini-moka";

    fn new() -> Self {
        Self(mini_moka::sync::Cache::new(MAX_ENTRIES as u64))
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.insert(key, value.into());
        true
    }

    fn len(&self) -> usize {
        self.0.entry_count() as usize
    }

    fn empty(&self) -> AtRest {
        self.0.invalidate_all();
        mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
        AtRest::default()
    }
}

struct Scc(scc::HashCache<u64, Counted>);

impl Holder for Scc {
    const NAME: &'static str = "scc";

    fn new() -> Self {
        Self(scc::HashCache::with_capacity(0, MAX_ENTRIES))
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.put_sync(key, value).is_ok()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn empty(&self) -> AtRest {
        self.0.clear_sync();
        AtRest::default()
    }
}

struct Stretto(stretto::Cache<u64, Counted>);

impl Holder for Stretto {
    const NAME: &'static str = "stretto";

    fn new() -> Self {
        let built = stretto::Cache::builder(MAX_ENTRIES * 10, MAX_ENTRIES as i64)
            .set_ignore_internal_cost(true)
            .finalize();
        Self(built.expect("valid bounds"))
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.insert(key, value, 1)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    // To have its queues emptied can take it minutes, and nobody asks here what is left.
    fn empty(&self) -> AtRest {
        AtRest::default()
    }
}
