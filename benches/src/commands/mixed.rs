//! What do hits cost in a cache into which something new comes now and then? How often decides how those who read
//! are protected in hotset, and how warm everybody's locks and queues are.

use anyhow::{Result, ensure};

use super::BASE;
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Cache, CacheVisitor, each_cache};
use crate::report::{Cell, Report, Table, grouped};
use crate::settings::Settings;
use crate::workload::{Cursor, Mixed};

const CAPACITY: usize = 10_000;
const THREADS: [usize; 2] = [1, 2];
const READS: [u64; 6] = [3, 10, 30, 100, 1_000, 10_000];

#[derive(clap::Args)]
pub struct Args {
    /// Threads; given more than once, one table each [default: 1, 2]
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Reads for an insert; given more than once, one column each [default: 3 to 10000]
    #[arg(long, value_delimiter = ',')]
    reads: Vec<u64>,
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    let threads = if args.threads.is_empty() { &THREADS } else { &*args.threads };
    let reads = if args.reads.is_empty() { &READS } else { &*args.reads };
    ensure!(threads.iter().all(|t| (1..=1_024).contains(t)), "--threads must be 1 to 1024");
    ensure!(reads.iter().all(|r| (1..=10_000_000).contains(r)), "--reads must be 1 to 10000000");
    let boards: Vec<Board> = reads.iter().map(|&reads| measure(reads, threads, settings)).collect();
    threads.iter().for_each(|&threads| report.add(table(threads, reads, &boards)));
    Ok(())
}

fn measure(reads: u64, threads: &[usize], settings: &Settings) -> Board {
    let mut line_up = LineUp { reads, threads, contestants: Vec::new() };
    each_cache(&settings.only, &mut line_up);
    let title = format!("mixed, {} reads for an insert", grouped(reads));
    interleave(&title, line_up.contestants, settings.rounds, settings.round)
}

/// A row for each peer, a column for each number of reads.
fn table(threads: usize, reads: &[u64], boards: &[Board]) -> Table {
    let title = format!(
        "Hits, and inserts of new keys, {threads} thread(s), capacity {}: M/s, and x {BASE}",
        grouped(CAPACITY as u64)
    );
    let columns: Vec<String> =
        reads.iter().map(|&reads| format!("{} reads", grouped(reads))).collect();
    let header: Vec<&str> =
        std::iter::once("peer").chain(columns.iter().map(String::as_str)).collect();
    let mut table = Table::new(title, &header);
    let peers = boards.first().map_or(&[][..], |board| &board.series);
    for name in peers.iter().filter(|s| s.threads == threads).map(|series| &series.name) {
        let cells = boards.iter().map(|board| match board.get(name, threads) {
            Some(series) => {
                let ratio = board.ratio(name, BASE, threads);
                let ratio = ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2})"));
                Cell::text(format!("{:.2}{ratio}", series.mops()))
            }
            None => Cell::none(),
        });
        table.row(std::iter::once(Cell::text(name)).chain(cells).collect());
    }
    table.note("Half of the capacity is read, each key alike; so many reads for each insert of a key that was never seen. Both count as operations.");
    table
}

struct LineUp<'t> {
    reads: u64,
    threads: &'t [usize],
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp<'_> {
    fn cache<C: Cache>(&mut self) {
        for &threads in self.threads {
            let mixed = Mixed::new(C::with_capacity(CAPACITY), CAPACITY, self.reads);
            self.contestants.push(Contestant::lasting(C::NAME, mixed, Cursor::spread(threads, 0)));
        }
    }
}
