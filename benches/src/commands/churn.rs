//! What does it cost to put a new key into a full cache, again and again?

use anyhow::Result;

use super::{BASE, Columns, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Cache, CacheVisitor, each_cache};
use crate::report::{Check, Report, grouped};
use crate::settings::Settings;
use crate::workload::{Churn, Cursor};

const THREADS: [usize; 2] = [1, 2];

pub fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for capacity in [10_000, 100_000] {
        show(capacity, &measure(capacity, settings), report);
    }
    Ok(())
}

pub fn show(capacity: usize, board: &Board, report: &mut Report) {
    for threads in THREADS {
        let title = format!("Churn, {threads} thread(s), capacity {}", grouped(capacity as u64));
        let columns = Columns { refused_share: true, ..Columns::default() };
        report.add(throughput_table(title, board, threads, columns));
    }
}

pub fn measure(capacity: usize, settings: &Settings) -> Board {
    let mut line_up = LineUp { capacity, contestants: Vec::new() };
    each_cache(&settings.only, &mut line_up);
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

struct LineUp {
    capacity: usize,
    contestants: Vec<Contestant>,
}

impl CacheVisitor for LineUp {
    fn cache<C: Cache>(&mut self) {
        for threads in THREADS {
            let churn = Churn::new(C::with_capacity(self.capacity), self.capacity);
            let cursors = Cursor::spread(threads, 0);
            self.contestants.push(Contestant::lasting(C::NAME, churn, cursors));
        }
    }
}
