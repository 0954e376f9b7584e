//! The tables.

use super::crowd::Outcome;
use super::{Entry, SOLO};

/// Says on what machine this was measured.
pub(super) fn machine() {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("?").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "CPU: {} (family {}, model {}), {cores} cores; load at the start: {}; allocator: system",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        load.split(' ').next().unwrap_or("?")
    );
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// One row per scheme, median and least of each column.
pub(super) fn solo(entries: &[Entry], cells: &[Vec<Vec<f64>>]) {
    println!("\none thread, ns of CPU time per operation: median (least)");
    println!(
        "{:26} | {:^41} | {:^27} | {:^41}",
        "", "1,000 slots, uniform reads", "1,000 slots, swaps", "1,000,000 slots, uniform reads"
    );
    print!("{:26}", "");
    let names = [
        "one pin",
        "short",
        "pin per 64",
        "swap",
        "compare+swap",
        "one pin",
        "short",
        "pin per 64",
    ];
    for (column, name) in names.iter().enumerate() {
        print!("{}{name:>13}", if [0, 3, 5].contains(&column) { " |" } else { " " });
    }
    println!();
    for (entry, row) in entries.iter().zip(cells) {
        print!("{:26}", entry.label);
        assert_eq!(row.len(), SOLO.len());
        for (column, cell) in row.iter().enumerate() {
            let values = sorted(cell.iter().copied());
            let text = match values.first() {
                Some(least) => format!("{:.1} ({least:.1})", values[values.len() / 2]),
                None => "-".into(),
            };
            print!("{}{text:>13}", if [0, 3, 5].contains(&column) { " |" } else { " " });
        }
        println!();
    }
}

/// One table per scenario.
pub(super) fn crowd(title: &str, entries: &[&Entry], row: &[Vec<Outcome>]) {
    println!("\n{title}");
    println!(
        "{:26} {:>8} {:>8} {:>20} {:>20} {:>16}",
        "", "Mops/s", "ns a try", "live beyond slots", "left at the end", "refused %"
    );
    for (entry, outcomes) in entries.iter().zip(row) {
        let column = |pick: fn(&Outcome) -> f64| {
            let values = sorted(outcomes.iter().map(pick));
            (values[values.len() / 2], values[values.len() - 1])
        };
        let both = |(median, most): (f64, f64), digits: usize| {
            format!("{median:.digits$} ({most:.digits$})")
        };
        println!(
            "{:26} {:>8.1} {:>8.1} {:>20} {:>20} {:>16}",
            entry.label,
            column(|outcome| outcome.throughput).0,
            column(|outcome| outcome.cpu).0,
            both(column(|outcome| outcome.excess), 0),
            both(column(|outcome| outcome.left), 0),
            both(column(|outcome| outcome.refused), 2),
        );
    }
}
