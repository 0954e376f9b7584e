//! How fast is the usual life of a cache: get, and on a miss insert?

use anyhow::{Result, ensure};

use super::{BASE, Columns, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Cache, CacheVisitor, each_cache};
use crate::report::{Check, Report, grouped};
use crate::settings::Settings;
use crate::workload::{Cursor, Listed, ReadThrough, zipf_numbers};

#[derive(Clone, clap::Args)]
pub struct Args {
    /// Threads; given more than once, one table each [default: 1, 2, 8]
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Different keys; the capacity is a tenth of them [default: 1000000; 100000 with --quick]
    #[arg(long)]
    keys: Option<u32>,
}

impl Args {
    pub fn for_all(threads: &[usize]) -> Self {
        Self { threads: threads.to_vec(), keys: None }
    }

    fn threads(&self) -> &[usize] {
        if self.threads.is_empty() { &[1, 2, 8] } else { &self.threads }
    }

    fn keys(&self, settings: &Settings) -> u32 {
        self.keys.unwrap_or(settings.pick(1_000_000, 100_000))
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(args.threads().iter().all(|t| (1..=1_024).contains(t)), "--threads must be 1 to 1024");
    ensure!((100..=100_000_000).contains(&args.keys(settings)), "--keys must be 100 to 100000000");
    show(args, settings, &measure(args, settings), report);
    Ok(())
}

pub fn show(args: &Args, settings: &Settings, board: &Board, report: &mut Report) {
    let keys = u64::from(args.keys(settings));
    for &threads in args.threads() {
        let title = format!(
            "Read-through, {threads} thread(s), Zipf 0.99 over {} keys, capacity {}",
            grouped(keys),
            grouped(keys / 10)
        );
        let columns = Columns { hit_share: true, refused_share: true, ..Columns::default() };
        let mut table = throughput_table(title, board, threads, columns);
        table.note(
            "\"refused\": share of inserts that the cache handed back; such an operation is not \
             counted. scc rounds its capacity up to a power of two.",
        );
        report.add(table);
    }
}

pub fn measure(args: &Args, settings: &Settings) -> Board {
    let keys = args.keys(settings);
    let list = settings.pick(1 << 22, 1 << 20);
    let mut line_up = LineUp {
        capacity: keys as usize / 10,
        threads: args.threads().to_vec(),
        keys: Listed::new(zipf_numbers(keys, 0.99, list, 1)),
        contestants: Vec::new(),
    };
    each_cache(&settings.only, &mut line_up);
    interleave("read-through", line_up.contestants, settings.rounds, settings.round)
}

pub fn checks(args: &Args, board: &Board) -> Vec<Check> {
    let mut checks = Vec::new();
    for &threads in args.threads() {
        let what = format!("read-through, {threads} thread(s)");
        for (base, target) in [(BASE, 1.3), ("moka", 8.0)] {
            let ratio = board.ratio("hotset", base, threads);
            checks.push(Check::at_least(&what, base, target, ratio));
        }
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

struct LineUp {
    capacity: usize,
    threads: Vec<usize>,
    keys: Listed,
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp {
    fn cache<C: Cache>(&mut self) {
        for &threads in &self.threads {
            let cache = C::with_capacity(self.capacity);
            let workload = ReadThrough { cache, keys: self.keys.clone() };
            // Ten times the capacity, from where no thread will start.
            let mut warm = Cursor::spread(1, 0).remove(0);
            warm.at = self.keys.len() / threads / 2;
            workload.warm(self.capacity as u64 * 10, &mut warm);
            let cursors = Cursor::spread(threads, self.keys.len());
            self.contestants.push(Contestant::lasting(C::NAME, workload, cursors));
        }
    }
}
