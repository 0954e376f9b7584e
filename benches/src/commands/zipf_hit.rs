//! What does a hit cost when some keys are much hotter than others, on several threads?

use anyhow::{Result, ensure};

use super::{BASE, Columns, pinned, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Pinning, Reader, ReaderVisitor, each_reader};
use crate::report::{Check, Report, grouped};
use crate::settings::Settings;
use crate::workload::{Cursor, Gets, Listed, PinnedGets, fill_all, zipf_numbers};

/// Short enough to stay in a core's own cache, long enough to be no pattern.
const LIST: usize = 1 << 15;

#[derive(clap::Args)]
pub struct Args {
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Entries, all present
    #[arg(long, default_value_t = 1_000)]
    entries: u32,
    /// Exponent of the distribution
    #[arg(long, default_value_t = 0.99)]
    exponent: f64,
}

impl Default for Args {
    fn default() -> Self {
        Self { threads: 2, entries: 1_000, exponent: 0.99 }
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!((1..=1_024).contains(&args.threads), "--threads must be 1 to 1024");
    ensure!((1..=10_000_000).contains(&args.entries), "--entries must be 1 to 10000000");
    ensure!((0.0..=10.0).contains(&args.exponent), "--exponent must be 0 to 10");
    show(args, &measure(args, settings), report);
    Ok(())
}

pub fn show(args: &Args, board: &Board, report: &mut Report) {
    let title = format!(
        "Hit, {} thread(s), Zipf {}, {} entries",
        args.threads,
        args.exponent,
        grouped(u64::from(args.entries))
    );
    let columns = Columns { hit_share: true, ..Columns::default() };
    report.add(throughput_table(title, board, args.threads, columns));
}

pub fn measure(args: &Args, settings: &Settings) -> Board {
    let mut line_up = LineUp {
        entries: u64::from(args.entries),
        threads: args.threads,
        keys: Listed::new(zipf_numbers(args.entries, args.exponent, LIST, 1)),
        contestants: Vec::new(),
    };
    each_reader(&settings.only, &mut line_up);
    interleave("zipf hit", line_up.contestants, settings.rounds, settings.round)
}

pub fn checks(args: &Args, board: &Board) -> Vec<Check> {
    let what = format!("hit, {} threads, Zipf {}, N = 1,000", args.threads, args.exponent);
    vec![Check::at_least(&what, BASE, 1.6, board.ratio("hotset", BASE, args.threads))]
}

struct LineUp {
    entries: u64,
    threads: usize,
    keys: Listed,
    contestants: Vec<Contestant>,
}

impl ReaderVisitor for LineUp {
    fn reader<R: Reader>(&mut self) {
        let (entries, keys) = (self.entries, self.keys.clone());
        let make = move || Gets { reader: fill_all::<R>(entries).reader, keys: keys.clone() };
        let cursors = Cursor::spread(self.threads, self.keys.len());
        self.contestants.push(Contestant::fresh(R::NAME, make, cursors));
    }

    fn pinning<R: Pinning>(&mut self) {
        let (entries, keys) = (self.entries, self.keys.clone());
        let make = move || PinnedGets { reader: fill_all::<R>(entries).reader, keys: keys.clone() };
        let cursors = Cursor::spread(self.threads, self.keys.len());
        self.contestants.push(Contestant::fresh(pinned(R::NAME), make, cursors));
    }
}
