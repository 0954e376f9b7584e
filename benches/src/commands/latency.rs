//! How long can one operation take? Read-through with more threads than cores, from a histogram.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::measure::median;
use crate::peers::{Cache, CacheVisitor, each_cache, is_hotset};
use crate::report::{Cell, Check, Report, Table, grouped, progress_bar};
use crate::settings::Settings;
use crate::workload::{
    Cursor, Deadline, KeySource, Listed, ReadThrough, Tally, read_through, until_deadline,
    zipf_numbers,
};

const PERCENTILES: [f64; 4] = [50.0, 99.0, 99.9, 99.99];

/// Longer than any scheduler keeps a thread waiting; what is longer still counts as this.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Threads [default: 8]
    #[arg(long)]
    threads: Option<usize>,
    /// Runs, of whose percentiles the medians are shown [default: 11; 3 with --quick]
    #[arg(long)]
    runs: Option<usize>,
    /// Milliseconds of each run [default: 500; 150 with --quick]
    #[arg(long)]
    run_ms: Option<u64>,
}

/// A peer's percentiles in nanoseconds, as medians over the runs; the last is the maximum.
pub struct Row {
    name: &'static str,
    percentiles: [f64; PERCENTILES.len() + 1],
    operations: u64,
    refused: f64,
}

impl Args {
    fn threads(&self) -> usize {
        self.threads.unwrap_or(8)
    }

    fn runs(&self, settings: &Settings) -> usize {
        self.runs.unwrap_or(settings.pick(11, 3))
    }

    fn run_time(&self, settings: &Settings) -> Duration {
        Duration::from_millis(self.run_ms.unwrap_or(settings.pick(500, 150)))
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!((1..=1_024).contains(&args.threads()), "--threads must be 1 to 1024");
    ensure!((1..=1_000).contains(&args.runs(settings)), "--runs must be 1 to 1000");
    ensure!(
        (1..=60_000).contains(&args.run_time(settings).as_millis()),
        "--run-ms must be 1 to 60000"
    );
    show(args, settings, &measure(args, settings), report);
    Ok(())
}

pub fn show(args: &Args, settings: &Settings, rows: &[Row], report: &mut Report) {
    let title = format!(
        "Latency of a read-through operation, {} threads, ns (medians of {} runs)",
        args.threads(),
        args.runs(settings)
    );
    let header = ["peer", "p50", "p99", "p99.9", "p99.99", "max", "operations", "refused"];
    let mut table = Table::new(title, &header);
    for row in rows {
        let mut cells = vec![Cell::text(row.name)];
        cells.extend(row.percentiles.map(|ns| Cell::count(ns as u64)));
        cells.push(Cell::count(row.operations));
        cells.push(Cell::share(row.refused, 3));
        table.row(cells);
    }
    table.note("Two readings of the clock are part of each time. Refused inserts are left out.");
    report.add(table);
}

pub fn measure(args: &Args, settings: &Settings) -> Vec<Row> {
    let keys = settings.pick(1_000_000, 100_000);
    let mut line_up = LineUp {
        capacity: keys as usize / 10,
        threads: args.threads(),
        keys: Listed::new(zipf_numbers(keys, 0.99, settings.pick(1 << 22, 1 << 20), 1)),
        contestants: Vec::new(),
    };
    each_cache(&settings.only, &mut line_up);
    let mut contestants = line_up.contestants;
    let (runs, time) = (args.runs(settings), args.run_time(settings));
    let bar = progress_bar("latency", (runs * contestants.len()) as u64);
    for run in 0..runs {
        for step in 0..contestants.len() {
            let i = (run + step) % contestants.len();
            let contestant = &mut contestants[i];
            let outcome = (contestant.run)(time);
            contestant.runs.push(outcome);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    contestants.iter().map(Contestant::row).collect()
}

pub fn checks(args: &Args, rows: &[Row]) -> Vec<Check> {
    const P9999: usize = 3;
    let own = rows.iter().find(|row| row.name == "hotset").map(|row| row.percentiles[P9999]);
    let best = rows
        .iter()
        .filter(|row| !is_hotset(row.name))
        .min_by(|a, b| a.percentiles[P9999].total_cmp(&b.percentiles[P9999]));
    let both = own.zip(best);
    vec![Check::new(
        &format!("read-through, {} threads: p99.99", args.threads()),
        "<= 1.10 x the best peer",
        both.map_or_else(
            || "-".to_owned(),
            |(own, best)| {
                let (own_ns, best_ns) = (own as u64, best.percentiles[P9999] as u64);
                format!("{} ns ({} {} ns)", grouped(own_ns), best.name, grouped(best_ns))
            },
        ),
        both.map(|(own, best)| own <= best.percentiles[P9999] * 1.1),
    )]
}

struct Contestant {
    name: &'static str,
    run: Box<dyn FnMut(Duration) -> (Histogram<u64>, Tally)>,
    runs: Vec<(Histogram<u64>, Tally)>,
}

impl Contestant {
    fn row(&self) -> Row {
        let over_runs = |figure: &dyn Fn(&Histogram<u64>) -> u64| {
            median(self.runs.iter().map(|(histogram, _)| figure(histogram) as f64))
        };
        let mut percentiles = [0.0; PERCENTILES.len() + 1];
        for (place, percentile) in percentiles.iter_mut().zip(PERCENTILES) {
            *place = over_runs(&|histogram| histogram.value_at_percentile(percentile));
        }
        percentiles[PERCENTILES.len()] = over_runs(&Histogram::max);
        let mut total = Tally::default();
        self.runs.iter().for_each(|(_, tally)| total += *tally);
        let refused = total.refused as f64 / total.inserts.max(1) as f64;
        Row { name: self.name, percentiles, operations: total.done(), refused }
    }
}

struct LineUp {
    capacity: usize,
    threads: usize,
    keys: Listed,
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp {
    fn cache<C: Cache>(&mut self) {
        let workload = ReadThrough {
            cache: C::with_capacity(self.capacity),
            keys: self.keys.clone(),
            load: Duration::ZERO,
        };
        let mut warm = Cursor::spread(1, 0).remove(0);
        warm.at = self.keys.len() / self.threads / 2;
        workload.warm(self.capacity as u64 * 10, &mut warm);
        let mut cursors = Cursor::spread(self.threads, self.keys.len());
        let run = Box::new(move |time| one_run(&workload, &mut cursors, time));
        self.contestants.push(Contestant { name: C::NAME, run, runs: Vec::new() });
    }
}

fn one_run<C: Cache>(
    workload: &ReadThrough<C, Listed>,
    cursors: &mut [Cursor],
    time: Duration,
) -> (Histogram<u64>, Tally) {
    let (parts, _) = until_deadline(cursors, time, |cursor, deadline| {
        timed_operations(workload, cursor, deadline)
    });
    let (mut all, mut total) = (empty_histogram(), Tally::default());
    for (histogram, tally) in parts {
        all.add(histogram).expect("both have the same bounds");
        total += tally;
    }
    (all, total)
}

fn timed_operations<C: Cache>(
    workload: &ReadThrough<C, Listed>,
    cursor: &mut Cursor,
    deadline: &Deadline,
) -> (Histogram<u64>, Tally) {
    let (mut histogram, mut tally) = (empty_histogram(), Tally::default());
    while !deadline.passed() {
        for _ in 0..256 {
            let key = workload.keys.next(cursor);
            let refused_before = tally.refused;
            let start = Instant::now();
            read_through(&workload.cache, key, &mut tally);
            let nanoseconds = start.elapsed().as_nanos() as u64;
            tally.ops += 1;
            if tally.refused == refused_before {
                histogram.saturating_record(nanoseconds);
            }
        }
    }
    (histogram, tally)
}

/// Three significant digits.
fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3).expect("the bounds are constants")
}
