//! How fast is the usual life of a cache: get, and on a miss insert?

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::capacity::{Capacity, LEAST_CAPACITY};
use super::{BASE, Columns, price_of_policy, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::numbered::Numbered;
use crate::peers::{Cache, CacheVisitor, each_cache};
use crate::report::{Check, Report, grouped, verdicts};
use crate::settings::Settings;
use crate::workload::{Cursor, Listed, ReadThrough, replayed, zipf_numbers};

/// Requests of a round of a trace, at least: a short one is repeated.
const LEAST_WORK: usize = 500_000;

#[derive(Clone, clap::Args)]
pub struct Args {
    /// Threads; given more than once, one table each [default: 1, 2, 8]
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Different keys, Zipf-distributed [default: 1000000; 100000 with --quick]
    #[arg(long, conflicts_with = "trace")]
    keys: Option<u32>,
    /// Keys from a trace instead, as for `replay`: each round goes through it from end to end, the
    /// threads in turns of 64 requests
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Entries (500) or a share of the keys (1%)
    #[arg(long, default_value = "10%")]
    capacity: Capacity,
    /// What is missing takes so long to load, in which its thread keeps the processor busy: nanoseconds
    #[arg(long, default_value_t = 0)]
    load_ns: u64,
}

/// What is read.
pub enum Load {
    Zipf(u32),
    Trace(Numbered),
}

impl Load {
    fn unique(&self) -> usize {
        match self {
            Self::Zipf(keys) => *keys as usize,
            Self::Trace(trace) => trace.unique,
        }
    }

    fn words(&self) -> String {
        let keys = grouped(self.unique() as u64);
        match self {
            Self::Zipf(_) => format!("Zipf 0.99 over {keys} keys"),
            Self::Trace(trace) => format!("trace {} of {keys} keys", trace.name),
        }
    }
}

impl Args {
    pub fn for_all(threads: &[usize]) -> Self {
        let capacity = Capacity::Percent(10.0);
        Self { threads: threads.to_vec(), keys: None, trace: None, capacity, load_ns: 0 }
    }

    /// What a miss costs, for a title.
    fn cost(&self) -> String {
        match self.load_ns {
            0 => String::new(),
            ns => format!(", a miss loads for {} ns", grouped(ns)),
        }
    }

    fn threads(&self) -> &[usize] {
        if self.threads.is_empty() { &[1, 2, 8] } else { &self.threads }
    }

    /// Reads the trace, if there is one.
    pub fn load(&self, settings: &Settings) -> Result<Load> {
        let Some(file) = &self.trace else {
            let keys = self.keys.unwrap_or(settings.pick(1_000_000, 100_000));
            ensure!((100..=100_000_000).contains(&keys), "--keys must be 100 to 100000000");
            return Ok(Load::Zipf(keys));
        };
        Numbered::read(file).map(Load::Trace)
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(args.threads().iter().all(|t| (1..=1_024).contains(t)), "--threads must be 1 to 1024");
    ensure!(args.load_ns <= 1_000_000, "--load-ns must be 0 to 1000000");
    let load = args.load(settings)?;
    let entries = args.capacity.entries(load.unique());
    ensure!(entries >= LEAST_CAPACITY, "--capacity: {entries} entries are below {LEAST_CAPACITY}");
    let board = measure(args, &load, settings);
    show(args, &load, &board, report);
    let prices: Vec<Check> =
        args.threads().iter().map(|&threads| price(args, &load, &board, threads)).collect();
    if prices.iter().any(|check| check.met.is_some()) {
        report.add(verdicts("Read-through: what the policy costs", &prices));
    }
    Ok(())
}

pub fn show(args: &Args, load: &Load, board: &Board, report: &mut Report) {
    let entries = args.capacity.entries(load.unique());
    for &threads in args.threads() {
        let title = format!(
            "Read-through, {threads} thread(s), {}, capacity {}{}",
            load.words(),
            grouped(entries as u64),
            args.cost()
        );
        let columns = Columns { hit_share: true, refused_share: true, ..Columns::default() };
        let mut table = throughput_table(title, board, threads, columns);
        table.note(
            "\"refused\": share of inserts that the cache handed back; such an operation is not \
             counted. scc rounds its capacity up to a power of two.",
        );
        if matches!(load, Load::Trace(_)) {
            table.note(
                "Each round goes through the trace from end to end, again and again up to half a \
                 million requests, in a cache that has been through it once.",
            );
        }
        report.add(table);
    }
}

pub fn measure(args: &Args, load: &Load, settings: &Settings) -> Board {
    let keys = match load {
        Load::Zipf(keys) => {
            let list = settings.pick(1 << 22, 1 << 20);
            Keys::Drawn(Listed::new(zipf_numbers(*keys, 0.99, list, 1)))
        }
        Load::Trace(trace) => Keys::Trace(trace.ids.clone().into()),
    };
    let capacity = args.capacity.entries(load.unique());
    let threads = args.threads().to_vec();
    let cost = Duration::from_nanos(args.load_ns);
    let mut line_up = LineUp { capacity, threads, keys, cost, contestants: Vec::new() };
    each_cache(&settings.only, &mut line_up);
    interleave("read-through", line_up.contestants, settings.rounds, settings.round)
}

/// The policy's price on so many threads.
fn price(args: &Args, load: &Load, board: &Board, threads: usize) -> Check {
    let what = format!("read-through, {}{}", load.words(), args.cost());
    price_of_policy(&what, board, threads)
}

pub fn checks(args: &Args, load: &Load, board: &Board) -> Vec<Check> {
    let mut checks = Vec::new();
    for &threads in args.threads() {
        let what = format!("read-through, {threads} thread(s)");
        for (base, target) in [(BASE, 1.3), ("moka", 8.0)] {
            let ratio = board.ratio("hotset", base, threads);
            checks.push(Check::at_least(&what, base, target, ratio));
        }
        checks.push(price(args, load, board, threads));
        let hits = |name| board.get(name, threads).map(|series| series.hit_share() * 100.0);
        let both = hits("hotset").zip(hits(BASE));
        checks.push(Check::new(
            &format!("{what}: hit ratio"),
            "no lower than quick_cache (0.05 points of noise)",
            both.map_or_else(|| "-".to_owned(), |(own, base)| format!("{own:.2} % : {base:.2} %")),
            both.map(|(own, base)| own + 0.05 >= base),
        ));
        if threads >= 8 {
            let refused = board.get("hotset", threads).map(|series| series.refused_share());
            checks.push(Check::new(
                &format!("{what}: refused inserts"),
                "<= 1 %",
                refused.map_or_else(|| "-".to_owned(), |r| format!("{:.3} %", r * 100.0)),
                refused.map(|r| r <= 0.01),
            ));
        }
    }
    checks
}

#[derive(Clone)]
enum Keys {
    Drawn(Listed),
    Trace(Rc<[u32]>),
}

struct LineUp {
    capacity: usize,
    threads: Vec<usize>,
    keys: Keys,
    cost: Duration,
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp {
    fn cache<C: Cache>(&mut self) {
        for &threads in &self.threads {
            let cache = C::with_capacity(self.capacity);
            self.contestants.push(match self.keys.clone() {
                Keys::Drawn(keys) => drawn(cache, keys, self.cost, self.capacity, threads),
                Keys::Trace(ids) => on_trace(cache, ids, self.cost, threads),
            });
        }
    }
}

fn drawn<C: Cache>(
    cache: C,
    keys: Listed,
    load: Duration,
    capacity: usize,
    threads: usize,
) -> Contestant {
    let length = keys.len();
    let mut workload = ReadThrough { cache, keys, load: Duration::ZERO };
    // Ten times the capacity, from where no thread will start.
    let mut warm = Cursor::spread(1, 0).remove(0);
    warm.at = length / threads / 2;
    workload.warm(capacity as u64 * 10, &mut warm);
    workload.load = load;
    Contestant::lasting(C::NAME, workload, Cursor::spread(threads, length))
}

fn on_trace<C: Cache>(cache: C, ids: Rc<[u32]>, load: Duration, threads: usize) -> Contestant {
    replayed(&cache, &ids, 1, 1, Duration::ZERO);
    cache.settle();
    let passes = LEAST_WORK.div_ceil(ids.len());
    let work = move || replayed(&cache, &ids, passes, threads, load);
    Contestant::piece_of_work(C::NAME, threads, work)
}
