//! How many instructions does an operation take? A fixed piece of work for a simulator to count; it measures
//! nothing itself. `ci/instructions.sh` runs it under callgrind and makes a table.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::peers::{Cache, Hotset, HotsetClock, Pinning, QuickCache, Reader};
use crate::workload::{
    Churn, Cursor, Gets, KeySource, Listed, PinnedGets, ReadThrough, Tally, Uniform, Workload,
    fill_all, key, zipf_numbers,
};

/// Operations that are counted, at least.
const OPERATIONS: u64 = 200_000;

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Operation {
    Hit,
    PinnedHit,
    Miss,
    Churn,
    ReadThrough,
}

#[derive(clap::Args)]
pub struct Args {
    /// What is done, again and again
    operation: Operation,
    /// Who does it: hotset, "hotset clock", quick_cache, or nobody (what the loop takes by itself)
    #[arg(long, default_value = "hotset")]
    peer: String,
    /// Entries, and but for hits and misses the capacity
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    entries: u32,
}

/// Prints how many operations [`counted`] did.
pub fn run(args: &Args) -> Result<()> {
    let entries = u64::from(args.entries);
    let operations = match (args.peer.as_str(), args.operation) {
        ("hotset", Operation::PinnedHit) => pinned::<Hotset>(entries),
        ("hotset clock", Operation::PinnedHit) => pinned::<HotsetClock>(entries),
        ("nobody", Operation::PinnedHit) => pinned::<Nobody>(entries),
        ("hotset", operation) => unpinned::<Hotset>(operation, entries),
        ("hotset clock", operation) => unpinned::<HotsetClock>(operation, entries),
        ("nobody", operation) => unpinned::<Nobody>(operation, entries),
        ("quick_cache", Operation::PinnedHit) => bail!("quick_cache has no pins"),
        ("quick_cache", operation) => unpinned::<QuickCache>(operation, entries),
        (peer, _) => {
            bail!("--peer: {peer:?} is none of hotset, \"hotset clock\", quick_cache, nobody")
        }
    };
    println!("{operations}");
    Ok(())
}

fn pinned<R: Pinning>(entries: u64) -> u64 {
    count(&PinnedGets { reader: fill_all::<R>(entries).reader, keys: Uniform(entries) })
}

fn unpinned<C: Cache>(operation: Operation, entries: u64) -> u64 {
    let resident = || fill_all::<C>(entries).reader;
    let capacity = entries as usize;
    match operation {
        Operation::Hit | Operation::PinnedHit => {
            count(&Gets { reader: resident(), keys: Uniform(entries) })
        }
        Operation::Miss => count(&Gets { reader: resident(), keys: Absent(entries) }),
        Operation::Churn => count(&Churn::new(C::with_capacity(capacity), capacity)),
        Operation::ReadThrough => {
            let numbers = zipf_numbers(entries as u32 * 10, 0.99, 1 << 20, 1);
            count(&ReadThrough {
                cache: C::with_capacity(capacity),
                keys: Listed::new(numbers),
                load: Duration::ZERO,
            })
        }
    }
}

/// Twice: the first time nobody looks.
fn count(workload: &impl Workload) -> u64 {
    let mut cursor = Cursor::spread(1, 0).remove(0);
    work(workload, &mut cursor);
    counted(workload, &mut cursor).ops
}

/// What is counted: the simulator is told this name.
#[inline(never)]
fn counted(workload: &impl Workload, cursor: &mut Cursor) -> Tally {
    work(workload, cursor)
}

#[inline(always)]
fn work(workload: &impl Workload, cursor: &mut Cursor) -> Tally {
    let mut tally = Tally::default();
    while tally.ops < OPERATIONS {
        tally += workload.chunk(cursor);
    }
    tally
}

/// Each of the `n` keys alike that come after the first `n`.
struct Absent(u64);

impl KeySource for Absent {
    #[inline(always)]
    fn next(&self, cursor: &mut Cursor) -> u64 {
        key(self.0 + cursor.rng.below(self.0))
    }
}

/// Has every key and does nothing.
struct Nobody;

impl Reader for Nobody {
    const NAME: &'static str = "nobody";

    fn with_capacity(_: usize) -> Self {
        Self
    }

    fn put(&mut self, _: u64, _: u64) {}

    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        Some(key)
    }
}

impl Pinning for Nobody {
    #[inline(always)]
    fn get_under_one_pin(&self, reads: u64, mut next: impl FnMut() -> u64) -> u64 {
        for _ in 0..reads {
            std::hint::black_box(next());
        }
        reads
    }
}

impl Cache for Nobody {
    #[inline(always)]
    fn insert(&self, key: u64, _: u64) -> bool {
        std::hint::black_box(key);
        true
    }

    fn len(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_does_its_work() {
        for operation in [Operation::Hit, Operation::Miss, Operation::Churn, Operation::ReadThrough]
        {
            for operations in [
                unpinned::<Hotset>(operation, 500),
                unpinned::<QuickCache>(operation, 500),
                unpinned::<Nobody>(operation, 500),
            ] {
                assert!((OPERATIONS..OPERATIONS + 5_000).contains(&operations), "{operation:?}");
            }
        }
        assert!(pinned::<Hotset>(500) >= OPERATIONS);
    }

    #[test]
    fn what_is_absent_misses() {
        let workload = Gets { reader: fill_all::<Hotset>(500).reader, keys: Absent(500) };
        let tally = counted(&workload, &mut Cursor::spread(1, 0).remove(0));
        assert_eq!(tally.hits, 0);
    }
}
