//! One file for each subcommand: sets contestants up, has them measured, tells the outcome.

pub mod all;
mod capacity;
pub mod churn;
pub mod count;
pub mod growth;
pub mod hit;
pub mod hot_key;
pub mod latency;
pub mod lease;
pub mod live;
pub mod memory;
pub mod mixed;
pub mod policies;
pub mod read_through;
pub mod replay;
pub mod semantics;
pub mod zipf_hit;

use crate::measure::{Board, Series};
use crate::peers::{Hotset, HotsetClock, Reader as _};
use crate::report::{Cell, Check, REMARK, Table};

/// The peer that others are measured against: the fastest with a policy worth the name.
const BASE: &str = "quick_cache";

/// What the default policy may cost: a twentieth of the throughput with CLOCK, on the same keys.
fn price_of_policy(what: &str, board: &Board, threads: usize) -> Check {
    let ratio = board.ratio(Hotset::NAME, HotsetClock::NAME, threads);
    Check::at_least(&format!("{what}, {threads} thread(s)"), HotsetClock::NAME, 0.95, ratio)
}

/// The rows in which a pin is held over many reads.
fn pinned(name: &str) -> String {
    format!("{name}, pin held")
}

/// 1, 2, 4 ... and at last the number of cores.
fn thread_counts() -> Vec<usize> {
    let cores = crate::machine::cores();
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n < cores).collect();
    counts.push(cores);
    counts
}

/// What a table of throughput shows beside the throughput.
#[derive(Clone, Copy, Default)]
struct Columns {
    /// Time of one operation instead of operations in a time: for one thread.
    nanoseconds: bool,
    hit_share: bool,
    refused_share: bool,
    scaling: bool,
}

/// A row for each contestant that ran on `threads` threads.
fn throughput_table(title: String, board: &Board, threads: usize, columns: Columns) -> Table {
    let unit = if columns.nanoseconds { "ns" } else { "M/s" };
    let base_column = format!("x {BASE}");
    let mut header = vec!["peer", unit, "best", "worst", base_column.as_str()];
    let optional = [
        (columns.scaling, "x own 1 thread"),
        (columns.hit_share, "hits"),
        (columns.refused_share, "refused"),
    ];
    header.extend(optional.iter().filter(|(shown, _)| *shown).map(|(_, name)| name));
    let rows: Vec<&Series> = board.series.iter().filter(|s| s.threads == threads).collect();
    let remarks = rows.iter().any(|series| !series.remark.is_empty());
    if remarks {
        header.push(REMARK);
    }
    let mut table = Table::new(title, &header);
    for series in rows {
        let (least, most) = series.range();
        let speed = |mops: f64| {
            let value = if columns.nanoseconds { 1e3 / mops } else { mops };
            Cell::number(value, if value < 100.0 { 2 } else { 0 })
        };
        let mut row = vec![
            Cell::text(&series.name),
            speed(series.mops()),
            speed(most),
            speed(least),
            Cell::ratio(board.ratio(&series.name, BASE, threads)),
        ];
        if columns.scaling {
            row.push(Cell::ratio(board.scaling(&series.name, threads)));
        }
        if columns.hit_share {
            row.push(Cell::share(series.hit_share(), 2));
        }
        if columns.refused_share {
            row.push(Cell::share(series.refused_share(), 3));
        }
        if remarks {
            row.push(Cell::text(&series.remark));
        }
        table.row(row);
    }
    if let Some(ratio) = board.ratio(Hotset::NAME, HotsetClock::NAME, threads) {
        table.note(format!("{}: {ratio:.2} x {}.", Hotset::NAME, HotsetClock::NAME));
    }
    table.note(if threads == 1 {
        "Time: the thread's own on the processor. Medians over the rounds; ratios within them."
    } else {
        "Time: on the clock, of all threads together. Medians over the rounds; ratios within them."
    });
    table
}
