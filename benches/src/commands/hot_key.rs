//! What if everybody reads the same key? Writes to a shared line would show here.

use anyhow::Result;

use super::{BASE, Columns, pinned, thread_counts, throughput_table};
use crate::measure::{Board, Contestant, interleave};
use crate::peers::{Pinning, Reader, ReaderVisitor, each_reader};
use crate::report::{Check, Report};
use crate::settings::Settings;
use crate::workload::{Cursor, Gets, Hot, PinnedGets, fill_all};

const ENTRIES: u64 = 1_000;
const HOT: Hot = Hot(500);

pub fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    show(&measure(settings), report);
    Ok(())
}

pub fn show(board: &Board, report: &mut Report) {
    for threads in thread_counts() {
        let title = format!("One hot key among {ENTRIES} entries, {threads} thread(s)");
        let columns = Columns { scaling: threads > 1, ..Columns::default() };
        report.add(throughput_table(title, board, threads, columns));
    }
}

/// All thread counts in the same rounds, so that the scaling is within rounds too.
pub fn measure(settings: &Settings) -> Board {
    let mut line_up = LineUp(Vec::new());
    each_reader(&settings.only, &mut line_up);
    interleave("hot key", line_up.0, settings.rounds, settings.round)
}

pub fn checks(board: &Board) -> Vec<Check> {
    let threads = crate::machine::cores();
    let name = pinned("hotset");
    let own = board.scaling(&name, threads);
    let floor = board.scaling("hashbrown", threads);
    let both = own.zip(floor).filter(|_| threads > 1);
    let mut checks = vec![Check::new(
        &format!("one hot key, pinned: scaling to {threads} threads"),
        "within 1.15 x of hashbrown's",
        both.map_or_else(
            || "-".to_owned(),
            |(own, floor)| format!("{own:.2} x (hashbrown {floor:.2} x)"),
        ),
        both.map(|(own, floor)| own * 1.15 >= floor),
    )];
    for (threads, target) in [(2, 3.0), (16, 10.0)] {
        let what = format!("one hot key, pinned, {threads} threads");
        checks.push(Check::at_least(&what, BASE, target, board.ratio(&name, BASE, threads)));
    }
    checks
}

struct LineUp(Vec<Contestant>);

impl ReaderVisitor for LineUp {
    fn reader<R: Reader>(&mut self) {
        for threads in thread_counts() {
            let make = || Gets { reader: fill_all::<R>(ENTRIES).reader, keys: HOT };
            self.0.push(Contestant::fresh(R::NAME, make, Cursor::spread(threads, 0)));
        }
    }

    fn pinning<R: Pinning>(&mut self) {
        for threads in thread_counts() {
            let make = || PinnedGets { reader: fill_all::<R>(ENTRIES).reader, keys: HOT };
            self.0.push(Contestant::fresh(pinned(R::NAME), make, Cursor::spread(threads, 0)));
        }
    }
}
