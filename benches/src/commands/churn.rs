//! What does it cost to put a new key into a full cache, again and again?

use anyhow::{Result, ensure};

use super::{BASE, Columns, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Cache, CacheVisitor, each_cache, each_weighed};
use crate::report::{Check, Report, grouped};
use crate::settings::Settings;
use crate::workload::{Churn, Cursor};

pub const THREADS: [usize; 2] = [1, 2];

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Threads; given more than once, one table each [default: 1, 2]
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Bound the weight of the entries, 50 to 150 each, of hotset, quick_cache and moka
    #[arg(long)]
    weighed: bool,
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(args.threads.iter().all(|t| (1..=1_024).contains(t)), "--threads must be 1 to 1024");
    let threads = if args.threads.is_empty() { &THREADS } else { &*args.threads };
    for capacity in [10_000, 100_000] {
        if args.weighed {
            let each = |line_up: &mut LineUp<'_>| each_weighed(&settings.only, line_up);
            let board = board(capacity, threads, settings, each);
            tables("Churn, weighed", capacity, threads, &board, report);
        } else {
            let board = measure(capacity, threads, settings);
            show(capacity, threads, &board, report);
        }
    }
    Ok(())
}

pub fn show(capacity: usize, threads: &[usize], board: &Board, report: &mut Report) {
    tables("Churn", capacity, threads, board, report);
}

fn tables(what: &str, capacity: usize, threads: &[usize], board: &Board, report: &mut Report) {
    for &threads in threads {
        let title = format!("{what}, {threads} thread(s), capacity {}", grouped(capacity as u64));
        let columns = Columns { refused_share: true, ..Columns::default() };
        report.add(throughput_table(title, board, threads, columns));
    }
}

pub fn measure(capacity: usize, threads: &[usize], settings: &Settings) -> Board {
    board(capacity, threads, settings, |line_up| each_cache(&settings.only, line_up))
}

fn board(
    capacity: usize,
    threads: &[usize],
    settings: &Settings,
    each: impl FnOnce(&mut LineUp<'_>),
) -> Board {
    let mut line_up = LineUp { capacity, threads, contestants: Vec::new() };
    each(&mut line_up);
    let title = format!("churn, {}", grouped(capacity as u64));
    interleave(&title, line_up.contestants, settings.rounds, settings.round)
}

pub fn checks(capacity: usize, board: &Board) -> Vec<Check> {
    let mut checks = Vec::new();
    for threads in THREADS {
        let what = format!("churn, {threads} thread(s), {}", grouped(capacity as u64));
        for (base, target) in [(BASE, 1.0), ("moka", 5.0)] {
            let ratio = board.ratio("hotset", base, threads);
            checks.push(Check::at_least(&what, base, target, ratio));
        }
    }
    checks
}

struct LineUp<'t> {
    capacity: usize,
    threads: &'t [usize],
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp<'_> {
    fn cache<C: Cache>(&mut self) {
        for &threads in self.threads {
            let churn = Churn::new(C::with_capacity(self.capacity), self.capacity);
            let cursors = Cursor::spread(threads, 0);
            self.contestants.push(Contestant::lasting(C::NAME, churn, cursors));
        }
    }
}
