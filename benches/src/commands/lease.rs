//! What does a lease of a resource cost that is there? And while another is slow to load or to close?

use std::convert::Infallible;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hotset::{CloseError, LoadContext, Loaded, Loader, ResourceCache};

use super::{BASE, Columns, throughput_table};
use crate::measure::{Board, Contestant, interleave, median};
use crate::report::{Cell, Check, Report, Table, verdicts};
use crate::settings::Settings;
use crate::workload::{Arcs, Cursor, Leases, Uniform};

/// Resources that are there: of a handful, and of more than the nearest cache of the processor has.
const ENTRIES: [u64; 2] = [16, 1_000];
/// How long the slow load and the slow close take.
const SLOW: Duration = Duration::from_secs(2);
/// Requests of which a percentile is taken.
const REQUESTS: usize = 200;
const NAME: &str = "hotset lease";

/// The percentiles of requests in nanoseconds, on a cache that has nothing else to do and on one that
/// loads and closes.
struct Latencies {
    idle: f64,
    busy: f64,
    batches: usize,
}

pub fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut checks = Vec::new();
    for entries in ENTRIES {
        let board = measure(entries, settings);
        let title = format!("Lease and drop, 1 thread, {entries} resources, uniform");
        let columns = Columns { nanoseconds: true, hit_share: true, ..Columns::default() };
        let mut table = throughput_table(title, &board, 1, columns);
        table.note(format!("{BASE}: `get` of an `Arc<u64>`, and its drop."));
        report.add(table);
        let time = board.ratio(NAME, BASE, 1).map(|ratio| 1.0 / ratio);
        checks.push(Check::new(
            &format!("lease and drop, {entries} resources: time"),
            "<= 2.00 x quick_cache's get of an Arc",
            time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2} x")),
            time.map(|time| time <= 2.0),
        ));
    }
    let latencies = latencies()?;
    let mut table = Table::new(
        format!("99th percentile of {REQUESTS} hits one after the other, ns"),
        &["cache", "p99"],
    );
    table.row(vec![Cell::text("idle"), Cell::count(latencies.idle as u64)]);
    table.row(vec![Cell::text("loading and closing"), Cell::count(latencies.busy as u64)]);
    table.note(format!(
        "Medians of {} batches each, taken in turns while the other cache's load and close sleep \
         {SLOW:?}. Each hit between two looks at the clock.",
        latencies.batches
    ));
    report.add(table);
    let ratio = latencies.busy / latencies.idle;
    checks.push(Check::new(
        "p99 of hits during a slow load and a slow close",
        "<= 2.00 x that of an idle cache",
        format!("{ratio:.2} x"),
        Some(ratio <= 2.0),
    ));
    report.add(verdicts("Leases: targets", &checks));
    Ok(())
}

fn measure(entries: u64, settings: &Settings) -> Board {
    let keys = Uniform(entries);
    let contestants = vec![
        Contestant::fresh(NAME, move || Leases::new(entries, keys), Cursor::spread(1, 0)),
        Contestant::fresh(BASE, move || Arcs::new(entries, keys), Cursor::spread(1, 0)),
    ];
    interleave(&format!("lease, {entries}"), contestants, settings.rounds, settings.round)
}

/// Resources of which those from 2 on take their time.
struct Sleepy;

impl Sleepy {
    fn sleep(number: u64) {
        if number >= 2 {
            sleep(SLOW);
        }
    }
}

impl Loader for Sleepy {
    type Spec = u64;
    type Id = u64;
    type Resource = ();
    type Error = Infallible;

    fn identity(&self, spec: &u64) -> u64 {
        *spec
    }

    fn load(&self, spec: &u64, _: &LoadContext) -> Result<Loaded<()>, Infallible> {
        Self::sleep(*spec);
        Ok(Loaded::new(()))
    }

    fn close(&self, id: &u64, (): ()) -> Result<(), CloseError> {
        Self::sleep(*id);
        Ok(())
    }
}

fn latencies() -> Result<Latencies> {
    let cache = || ResourceCache::builder(Sleepy).max_entries(4).build();
    let (idle, busy) = (cache()?, cache()?);
    idle.lease(&0)?;
    busy.lease(&0)?;
    busy.lease(&2)?; // two seconds, before anything is measured
    let closing = busy.clone();
    let close = thread::spawn(move || closing.unload(&2));
    let loading = busy.clone();
    let load = thread::spawn(move || loading.lease(&3).is_ok());
    let end = Instant::now() + SLOW - Duration::from_millis(100);
    sleep(Duration::from_millis(20)); // until both sleep
    let (mut of_idle, mut of_busy) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        of_idle.push(percentile(&idle)?);
        of_busy.push(percentile(&busy)?);
        sleep(Duration::from_millis(2));
    }
    let still = busy.snapshot();
    ensure!(still.counts.closes == 0 && still.counts.loads == 3, "they were not slow enough");
    ensure!(load.join().is_ok_and(|loaded| loaded), "the slow load gave no lease");
    ensure!(close.join().is_ok_and(|closed| closed.is_ok()), "the slow close gave no answer");
    let batches = of_idle.len();
    Ok(Latencies { idle: median(of_idle.into_iter()), busy: median(of_busy.into_iter()), batches })
}

/// The 99th percentile of some hits, one after the other, in nanoseconds.
fn percentile(cache: &ResourceCache<Sleepy>) -> Result<f64> {
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let start = Instant::now();
        drop(cache.lease(&0)?);
        times.push(start.elapsed().as_nanos() as f64);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[REQUESTS * 99 / 100 - 1])
}
