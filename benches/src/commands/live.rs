//! How many values are alive at once, at full speed, with more writers than cores?
//!
//! What has left a cache but waits to be freed is still memory. A value counts from its making to
//! its drop; every making looks at the count, so the greatest is exact and not a sample.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hotset::Policy;

use crate::peers::{Hasher, is_hotset};
use crate::report::{Cell, Check, Report, Table, grouped, progress_bar};
use crate::settings::Settings;
use crate::workload::key;

pub const MAX_ENTRIES: usize = 1_000;

/// `max(MAX_ENTRIES / 8, 1,024)`, hotset's default.
const SLACK: usize = 1_024;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Milliseconds of each row [default: 3000; 500 with --quick]
    #[arg(long)]
    row_ms: Option<u64>,
}

impl Args {
    fn row_time(&self, settings: &Settings) -> Duration {
        Duration::from_millis(self.row_ms.unwrap_or(settings.pick(3_000, 500)))
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(
        (1..=600_000).contains(&args.row_time(settings).as_millis()),
        "--row-ms must be 1 to 600000"
    );
    let rows = measure(args, settings);
    show(&rows, report);
    verdict(&rows)
}

pub fn show(rows: &[Row], report: &mut Report) {
    let title = format!("Live values at max_entries {}", grouped(MAX_ENTRIES as u64));
    let header = [
        "peer",
        "writers",
        "reader",
        "most alive",
        "limit",
        "most len",
        "inserts",
        "refused",
        "retired after",
        "alive after",
    ];
    let mut table = Table::new(title, &header);
    for row in rows {
        let count = |n: i64| Cell::count(n.max(0) as u64);
        table.row(vec![
            Cell::text(row.name),
            Cell::count(row.writers as u64),
            Cell::text(row.reader.words()),
            count(row.most_alive),
            row.limit().map_or_else(Cell::none, count),
            Cell::count(row.most_len as u64),
            Cell::count(row.inserts),
            Cell::share(row.refused_share(), 3),
            row.after.retired.map_or_else(Cell::none, |n| Cell::count(n as u64)),
            count(row.alive_after),
        ]);
    }
    table.note(
        "Limit: max_entries + slack + 2 x threads. \"after\": after clear and maintain, with no \
         pin and no other thread; both must be 0.",
    );
    report.add(table);
}

/// An error if hotset broke its word in any row.
pub fn verdict(rows: &[Row]) -> Result<()> {
    for row in rows.iter().filter(|row| is_hotset(row.name)) {
        let place = format!("{}, {} writers, reader {}", row.name, row.writers, row.reader.words());
        let limit = row.limit().unwrap_or(i64::MAX);
        ensure!(row.most_alive <= limit, "{place}: {} values alive of {limit}", row.most_alive);
        ensure!(row.most_len <= MAX_ENTRIES, "{place}: len() was {}", row.most_len);
        ensure!(row.after.retired == Some(0), "{place}: still awaiting reclamation at rest");
        ensure!(row.alive_after == 0, "{place}: {} values alive after clear", row.alive_after);
    }
    Ok(())
}

pub fn checks(rows: &[Row]) -> Vec<Check> {
    rows.iter()
        .filter(|row| is_hotset(row.name))
        .map(|row| {
            let limit = row.limit().unwrap_or(i64::MAX);
            Check::new(
                &format!(
                    "live values, {}, {} writers, reader {}",
                    row.name,
                    row.writers,
                    row.reader.words()
                ),
                &format!("<= {}", grouped(limit as u64)),
                grouped(row.most_alive.max(0) as u64),
                Some(row.most_alive <= limit),
            )
        })
        .collect()
}

pub fn measure(args: &Args, settings: &Settings) -> Vec<Row> {
    let time = args.row_time(settings);
    let readers = [Reader::None, Reader::Brief, Reader::Forever];
    let bar = progress_bar("live values", 16);
    let mut rows = Vec::new();
    for writers in [2, 8] {
        for reader in readers {
            rows.extend(row::<Hotset>(writers, reader, time, settings));
            bar.inc(1);
            rows.extend(row::<HotsetClock>(writers, reader, time, settings));
            bar.inc(1);
        }
        rows.extend(row::<QuickCache>(writers, Reader::None, time, settings));
        bar.inc(1);
        rows.extend(row::<Moka>(writers, Reader::None, time, settings));
        bar.inc(1);
    }
    bar.finish_and_clear();
    rows
}

/// What one thread beside the writers does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    None,
    /// Pins for a millisecond at a time.
    Brief,
    /// Pins once and stays.
    Forever,
}

impl Reader {
    fn words(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Brief => "pins 1 ms at a time",
            Self::Forever => "stays pinned",
        }
    }
}

pub struct Row {
    name: &'static str,
    writers: usize,
    reader: Reader,
    most_alive: i64,
    most_len: usize,
    inserts: u64,
    refused: u64,
    after: AtRest,
    alive_after: i64,
}

impl Row {
    fn limit(&self) -> Option<i64> {
        let threads = self.writers + usize::from(self.reader != Reader::None);
        is_hotset(self.name).then_some(limit(threads))
    }

    /// The most values that were alive at once.
    pub fn most_alive(&self) -> i64 {
        self.most_alive
    }

    pub fn inserts(&self) -> u64 {
        self.inserts
    }

    fn refused_share(&self) -> f64 {
        self.refused as f64 / self.inserts.max(1) as f64
    }
}

/// How many values may be alive while `threads` use a hotset.
pub fn limit(threads: usize) -> i64 {
    (MAX_ENTRIES + SLACK + 2 * threads) as i64
}

/// What a cache says of itself after it was emptied.
#[derive(Default)]
pub struct AtRest {
    retired: Option<usize>,
}

/// A cache of counted values.
pub trait Holder: Sync {
    const NAME: &'static str;
    fn new() -> Self;
    fn insert(&self, key: u64, value: Counted) -> bool;
    fn len(&self) -> usize;
    /// Holds a pin while `hold` runs, if there is such a thing.
    fn pinned(&self, hold: impl FnOnce()) {
        hold();
    }
    /// Empties it as far as its interface can.
    fn empty(&self) -> AtRest;
}

#[derive(Default)]
struct Gauge {
    alive: AtomicI64,
    most: AtomicI64,
}

/// A value that is counted while it lives.
#[derive(Debug)]
pub struct Counted(&'static AtomicI64);

impl Counted {
    fn new(gauge: &'static Gauge) -> Self {
        // ORDERING: counts alone; the thread that reads the outcome has joined the others.
        let alive = gauge.alive.fetch_add(1, Relaxed) + 1;
        // Both are on one line, which this core has just taken: the look is nearly free.
        if alive > gauge.most.load(Relaxed) {
            gauge.most.fetch_max(alive, Relaxed);
        }
        Self(&gauge.alive)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// `None` if the peer does not take part.
fn row<H: Holder>(
    writers: usize,
    reader: Reader,
    time: Duration,
    settings: &Settings,
) -> Option<Row> {
    settings.only.admits(H::NAME).then(|| measure_one::<H>(writers, reader, time))
}

pub fn measure_one<H: Holder>(writers: usize, reader: Reader, time: Duration) -> Row {
    // A few bytes for ever: values that a peer never drops would outlive any borrow.
    let gauge: &'static Gauge = Box::leak(Box::default());
    let cache = H::new();
    let stop = AtomicBool::new(false);
    let mut most_len = 0;
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers as u64)
            .map(|writer| {
                scope.spawn({
                    let (c, s) = (&cache, &stop);
                    move || write(c, writer, gauge, s)
                })
            })
            .collect();
        if reader != Reader::None {
            scope.spawn(|| hold_pins(&cache, reader, &stop));
        }
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_micros(100));
            most_len = most_len.max(cache.len());
        }
        stop.store(true, Relaxed);
        threads.into_iter().map(|t| t.join().expect("a writer panicked")).collect()
    });
    let after = cache.empty();
    Row {
        name: H::NAME,
        writers,
        reader,
        most_alive: gauge.most.load(Relaxed),
        most_len,
        inserts: counts.iter().map(|(inserts, _)| inserts).sum(),
        refused: counts.iter().map(|(_, refused)| refused).sum(),
        after,
        alive_after: gauge.alive.load(Relaxed),
    }
}

/// Inserts new keys until told to stop; returns how many, and how many were refused.
fn write<H: Holder>(
    cache: &H,
    writer: u64,
    gauge: &'static Gauge,
    stop: &AtomicBool,
) -> (u64, u64) {
    let (mut inserts, mut refused) = (0, 0);
    while !stop.load(Relaxed) {
        let key = key((writer << 48) | inserts);
        refused += u64::from(!cache.insert(key, Counted::new(gauge)));
        inserts += 1;
    }
    (inserts, refused)
}

fn hold_pins<H: Holder>(cache: &H, reader: Reader, stop: &AtomicBool) {
    let millisecond = Duration::from_millis(1);
    while !stop.load(Relaxed) {
        // Asleep with a pin: nobody can make such a reader hurry.
        cache.pinned(|| match reader {
            Reader::Forever => {
                while !stop.load(Relaxed) {
                    std::thread::sleep(millisecond);
                }
            }
            Reader::Brief | Reader::None => std::thread::sleep(millisecond),
        });
    }
}

pub struct Hotset(hotset::Cache<u64, Counted, Hasher>);

impl Hotset {
    fn with_policy(policy: Policy) -> Self {
        let cache = hotset::Cache::<u64, Counted>::builder()
            .max_entries(MAX_ENTRIES)
            .policy(policy)
            .hasher(Hasher::default())
            .build();
        Self(cache.expect("1,000 entries are no invalid bound"))
    }
}

impl Holder for Hotset {
    const NAME: &'static str = "hotset";

    fn new() -> Self {
        Self::with_policy(Policy::default())
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        !matches!(self.0.insert(key, value), hotset::Insert::NotAdmitted(..))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn pinned(&self, hold: impl FnOnce()) {
        let pin = self.0.pin();
        std::hint::black_box(pin.get(&0));
        hold();
    }

    fn empty(&self) -> AtRest {
        self.0.clear();
        self.0.maintain();
        AtRest { retired: Some(self.0.awaiting_reclamation()) }
    }
}

struct HotsetClock(Hotset);

impl Holder for HotsetClock {
    const NAME: &'static str = "hotset clock";

    fn new() -> Self {
        Self(Hotset::with_policy(Policy::Clock))
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn pinned(&self, hold: impl FnOnce()) {
        self.0.pinned(hold);
    }

    fn empty(&self) -> AtRest {
        self.0.empty()
    }
}

/// Its values must be `Clone`; an `Arc` is what its users would take too.
pub struct QuickCache(quick_cache::sync::Cache<u64, std::sync::Arc<Counted>>);

impl Holder for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn new() -> Self {
        Self(quick_cache::sync::Cache::new(MAX_ENTRIES))
    }

    fn insert(&self, key: u64, value: Counted) -> bool {
        self.0.insert(key, value.into());
        true
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn empty(&self) -> AtRest {
        self.0.clear();
        AtRest { retired: None }
    }
}

pub struct Moka(moka::sync::Cache<u64, std::sync::Arc<Counted>>);

impl Holder for Moka {
    const NAME: &'static str = "moka";

    fn new() -> Self {
        Self(moka::sync::Cache::new(MAX_ENTRIES as u64))
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
        self.0.run_pending_tasks();
        AtRest { retired: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Row {
        Row {
            name: Hotset::NAME,
            writers: 2,
            reader: Reader::Forever,
            most_alive: 2_030,
            most_len: MAX_ENTRIES,
            inserts: 10,
            refused: 1,
            after: AtRest { retired: Some(0) },
            alive_after: 0,
        }
    }

    #[test]
    fn each_broken_promise_is_an_error() {
        assert!(verdict(&[kept()]).is_ok());
        for broken in [
            Row { most_alive: 2_031, ..kept() },
            Row { most_len: MAX_ENTRIES + 1, ..kept() },
            Row { after: AtRest { retired: Some(1) }, ..kept() },
            Row { alive_after: 1, ..kept() },
        ] {
            assert!(verdict(&[kept(), broken]).is_err());
        }
        // Peers promise nothing of the kind.
        assert!(verdict(&[Row { name: Moka::NAME, most_alive: 11_216, ..kept() }]).is_ok());
    }

    #[test]
    fn values_are_counted_to_their_end() {
        let row = measure_one::<Hotset>(2, Reader::Brief, Duration::from_millis(20));
        assert!(row.inserts > 0 && row.most_alive > 0);
        assert!(verdict(&[row]).is_ok());
    }
}
