//! Does an operation cost the same however many entries there are, and whether the cache was told how
//! many would come? And what does `clear` give back?

use std::hint::black_box;
use std::ops::Range;

use anyhow::{Result, ensure};
use cpu_time::ThreadTime;
use hotset::{Cache, Insert};

use crate::alloc;
use crate::measure::median;
use crate::report::{Cell, Report, Table, grouped, progress_bar};
use crate::settings::Settings;
use crate::workload::{Rng, key};

/// What an entry weighs, where entries are weighed.
const WEIGHT: u64 = 100;
/// Operations in one sample.
const OPS: u64 = 200_000;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Entries, separated by commas [default: 1000,10000,100000,1000000,10000000; with --quick up to
    /// 100000]
    #[arg(long, value_delimiter = ',')]
    entries: Vec<u64>,
}

/// What the cache is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Entries,
    WeightAndEntries,
    Weight,
}

const KINDS: [(Told, &str); 3] = [
    (Told::Entries, "max_entries"),
    (Told::WeightAndEntries, "max_weight, expected_entries"),
    (Told::Weight, "max_weight"),
];

const OPERATIONS: [&str; 3] = ["hit", "miss", "insert"];

struct Filled {
    cache: Cache<u64, u64>,
    entries: u64,
    random: Rng,
    /// The number of the next key that the cache has not seen.
    fresh: u64,
}

impl Filled {
    fn new(told: Told, entries: u64) -> Self {
        let builder = Cache::builder();
        let builder = match told {
            Told::Entries => builder.max_entries(entries as usize),
            _ => builder.max_weight(entries * WEIGHT).weigher(|_, _| WEIGHT),
        };
        let expects = told == Told::WeightAndEntries;
        let builder = if expects { builder.expected_entries(entries as usize) } else { builder };
        let cache = builder.build().expect("bounds in range");
        let mut filled = Self { cache, entries, random: Rng::new(entries), fresh: 0 };
        filled.add(entries);
        filled
    }

    fn add(&mut self, many: u64) {
        for number in self.fresh..self.fresh + many {
            let outcome = self.cache.insert(key(number), number);
            assert!(matches!(outcome, Insert::New), "an insert was refused");
        }
        self.fresh += many;
    }

    /// Nanoseconds of one look-up of the keys with these numbers, of which `found` are there.
    fn look_up(&mut self, numbers: Range<u64>, found: u64) -> f64 {
        let (mut hits, len) = (0, numbers.end - numbers.start);
        let start = ThreadTime::now();
        for _ in 0..OPS {
            let number = numbers.start + self.random.below(len);
            hits += u64::from(black_box(self.cache.get(&key(number))).is_some());
        }
        let time = start.elapsed();
        assert_eq!(hits, found);
        time.as_nanos() as f64 / OPS as f64
    }

    fn sample(&mut self, operation: &str) -> f64 {
        match operation {
            "hit" => self.look_up(0..self.entries, OPS),
            "miss" => self.look_up(1 << 40..(1 << 40) + self.entries, 0),
            _ => {
                let start = ThreadTime::now();
                self.add(OPS);
                start.elapsed().as_nanos() as f64 / OPS as f64
            }
        }
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    let all = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let default = &all[..settings.pick(5, 3)];
    let sizes = if args.entries.is_empty() { default } else { &args.entries };
    ensure!(
        sizes.iter().all(|entries| (100..=50_000_000).contains(entries)),
        "--entries must be 100 to 50000000"
    );
    let rows: Vec<_> = sizes.iter().map(|&entries| measure(entries, settings)).collect();
    let mut header = vec!["told".to_owned()];
    header.extend(sizes.iter().map(|&entries| grouped(entries)));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    for (at, operation) in OPERATIONS.iter().enumerate() {
        let mut table = Table::new(format!("Growth, 1 thread: ns of one {operation}"), &header);
        for (kind, (_, name)) in KINDS.iter().enumerate() {
            let mut cells = vec![Cell::text(*name)];
            cells.extend(rows.iter().map(|row| Cell::number(row[at][kind], 1)));
            table.row(cells);
        }
        report.add(table);
    }
    let mut table = Table::new("Growth: ns of one insert while the cache fills", &header);
    for (kind, (_, name)) in KINDS.iter().enumerate() {
        let mut cells = vec![Cell::text(*name)];
        cells.extend(rows.iter().map(|row| Cell::number(row[OPERATIONS.len()][kind], 1)));
        table.row(cells);
    }
    table.note(
        "Uniform keys; hits and misses in a cache that was filled once, inserts of new keys after \
         that. Medians over interleaved rounds, of the thread's own time; filling is done once.",
    );
    report.add(table);
    report.add(held(*sizes.iter().filter(|&&n| n <= 1_000_000).max().unwrap_or(&1_000)));
    Ok(())
}

/// For each operation, then for filling, the median for each kind.
fn measure(entries: u64, settings: &Settings) -> Vec<Vec<f64>> {
    let bar = progress_bar(&format!("growth, {}", grouped(entries)), settings.rounds as u64);
    let (mut caches, mut filling) = (Vec::new(), Vec::new());
    for (told, _) in KINDS {
        let start = ThreadTime::now();
        caches.push(Filled::new(told, entries));
        filling.push(start.elapsed().as_nanos() as f64 / entries as f64);
    }
    // Inserts come last, since what is there is known only before them.
    let mut medians: Vec<Vec<f64>> = Vec::new();
    for operations in [&OPERATIONS[..2], &OPERATIONS[2..]] {
        let mut samples = vec![[const { Vec::new() }; KINDS.len()]; operations.len()];
        for round in 0..settings.rounds {
            for turn in 0..caches.len() {
                let kind = (round + turn) % caches.len();
                for (at, operation) in operations.iter().enumerate() {
                    samples[at][kind].push(caches[kind].sample(operation));
                }
            }
            bar.inc(1);
        }
        let median_of = |kinds: [Vec<f64>; KINDS.len()]| {
            kinds.into_iter().map(|samples| median(samples.into_iter())).collect()
        };
        medians.extend(samples.into_iter().map(median_of));
    }
    bar.finish_and_clear();
    medians.push(filling);
    medians
}

/// What a cache holds, full and after it was cleared.
fn held(entries: u64) -> Table {
    let title = format!("Growth: bytes requested, {} entries", grouped(entries));
    let mut table = Table::new(title, &["told", "full", "after clear", "refilled"]);
    for (told, name) in KINDS {
        alloc::start();
        let mut filled = Filled::new(told, entries);
        let full = alloc::requested().bytes;
        filled.cache.clear();
        filled.cache.maintain();
        let cleared = alloc::requested().bytes;
        filled.add(entries);
        let refilled = alloc::requested().bytes;
        alloc::stop();
        let bytes = [full, cleared, refilled];
        let mut cells = vec![Cell::text(name)];
        cells.extend(bytes.map(|bytes| Cell::count(bytes.max(0) as u64)));
        table.row(cells);
    }
    table.note("\"after clear\": and a call of maintain.");
    table
}
