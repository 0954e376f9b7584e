//! What does a hit cost? One thread, uniform reads, everything is there.

use std::sync::Arc;

use anyhow::Result;

use super::{Columns, pinned, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Pinning, QUARTER_HOUR, Reader, ReaderVisitor, each_reader, each_timed_reader};
use crate::report::{Check, Report, grouped};
use crate::settings::Settings;
use crate::workload::{Cursor, Gets, PinnedGets, READS_PER_PIN, Uniform, fill_all};

/// Up to so many entries a reader is built anew for each round.
const BUILT_ANEW: u64 = 50_000;

pub fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for entries in [1_000, 20_000, 1_000_000] {
        show(entries, &measure(entries, settings), report);
    }
    for entries in [1_000, 1_000_000] {
        show_timed(entries, &measure_timed(entries, settings), report);
    }
    Ok(())
}

fn show_timed(entries: u64, board: &Board, report: &mut Report) {
    let title = format!("Hit where entries expire, 1 thread, {} entries", grouped(entries));
    let columns = Columns { nanoseconds: true, hit_share: true, ..Columns::default() };
    let mut table = throughput_table(title, board, 1, columns);
    let minutes = QUARTER_HOUR.as_secs() / 60;
    table.note(format!("Times to live and to idle: {minutes} minutes. Nothing expires meanwhile."));
    report.add(table);
}

fn measure_timed(entries: u64, settings: &Settings) -> Board {
    let mut line_up = LineUp { entries, contestants: Vec::new() };
    each_timed_reader(&settings.only, &mut line_up);
    let title = format!("hit where entries expire, {}", grouped(entries));
    interleave(&title, line_up.contestants, settings.rounds, settings.round)
}

pub fn show(entries: u64, board: &Board, report: &mut Report) {
    let title = format!("Hit, 1 thread, {} entries, uniform", grouped(entries));
    let columns = Columns { nanoseconds: true, hit_share: true, ..Columns::default() };
    let mut table = throughput_table(title, board, 1, columns);
    table.note(format!(
        "A number drawn at random is part of each operation. \"pin held\": over {READS_PER_PIN} \
         reads. Capacities are the least of 1 to 4 times the entries at which all of them stay."
    ));
    report.add(table);
}

pub fn measure(entries: u64, settings: &Settings) -> Board {
    let mut line_up = LineUp { entries, contestants: Vec::new() };
    each_reader(&settings.only, &mut line_up);
    let title = format!("hit, {}", grouped(entries));
    interleave(&title, line_up.contestants, settings.rounds, settings.round)
}

/// The targets of the design for boards of 1,000 and 1,000,000 entries.
pub fn checks(small: &Board, large: &Board) -> Vec<Check> {
    let hotset_pinned = pinned("hotset");
    let papaya_pinned = pinned("papaya");
    let check = |what, board: &Board, name: &str, base: &str, target| {
        Check::at_least(what, base, target, board.ratio(name, base, 1))
    };
    let mut checks = vec![
        check("hit, N = 1,000", small, "hotset", "quick_cache", 1.25),
        check("hit, N = 1,000", small, "hotset", "papaya", 1.1),
        check("hit, N = 1,000", small, "hotset", "moka", 8.0),
        check("hit, N = 1,000,000", large, "hotset", "quick_cache-own-hasher", 1.4),
        check("hit, N = 1,000,000", large, "hotset", "quick_cache", 1.3),
        check("hit, N = 1,000,000", large, "hotset", "papaya", 1.0),
        check("hit, pinned, N = 1,000,000", large, &hotset_pinned, &papaya_pinned, 1.15),
        check("hit, pinned, N = 1,000", small, &hotset_pinned, "quick_cache", 1.8),
        check("hit, counted, N = 1,000", small, "hotset stats", "hotset", 0.97),
        check("hit, counted, N = 1,000,000", large, "hotset stats", "hotset", 0.97),
        check(
            "hit, counted, pinned, N = 1,000",
            small,
            &pinned("hotset stats"),
            &hotset_pinned,
            0.97,
        ),
    ];
    // A bound on time from above: the inverse of the ratio of throughputs.
    let time = small.ratio(&hotset_pinned, "hashbrown", 1).map(|ratio| 1.0 / ratio);
    checks.push(Check::new(
        "hit, pinned, N = 1,000: time",
        "<= 1.60 x hashbrown",
        time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2} x")),
        time.map(|time| time <= 1.6),
    ));
    checks
}

struct LineUp {
    entries: u64,
    contestants: Vec<Contestant>,
}

impl ReaderVisitor for LineUp {
    fn reader<R: Reader>(&mut self) {
        let (entries, keys) = (self.entries, Uniform(self.entries));
        let cursors = Cursor::spread(1, 0);
        let filled = fill_all::<R>(entries);
        let remark = capacity_remark(entries, filled.capacity);
        let contestant = if entries <= BUILT_ANEW {
            let make = move || Gets { reader: fill_all::<R>(entries).reader, keys };
            Contestant::fresh(R::NAME, make, cursors)
        } else {
            Contestant::lasting(R::NAME, Gets { reader: filled.reader, keys }, cursors)
        };
        self.contestants.push(contestant.remark(remark));
    }

    fn pinning<R: Pinning>(&mut self) {
        let (entries, keys) = (self.entries, Uniform(self.entries));
        let cursors = Cursor::spread(1, 0);
        let filled = fill_all::<R>(entries);
        let remark = capacity_remark(entries, filled.capacity);
        let contestant = if entries <= BUILT_ANEW {
            let make = move || PinnedGets { reader: fill_all::<R>(entries).reader, keys };
            Contestant::fresh(pinned(R::NAME), make, cursors)
        } else {
            let reader = Arc::clone(&filled.reader);
            Contestant::lasting(pinned(R::NAME), PinnedGets { reader, keys }, cursors)
        };
        self.contestants.push(contestant.remark(remark));
    }
}

fn capacity_remark(entries: u64, capacity: usize) -> String {
    if capacity as u64 == entries {
        String::new()
    } else {
        format!("capacity {}", grouped(capacity as u64))
    }
}
