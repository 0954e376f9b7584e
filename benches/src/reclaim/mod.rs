//! What should protect a short read, and what a long one? The first experiment of the engine.
//!
//! An array of slots with one node each. Readers read a slot, writers swap a new node in and
//! retire the old one. The loops are the same for all protections ([`scheme`]):
//!
//! | | short read | pin | retired nodes |
//! |---|---|---|---|
//! | A | epoch | epoch | `defer_destroy` each |
//! | B | epoch | epoch | 64 on the thread's list, one deferred function, `flush`; recycled |
//! | C | hazard, `swap(SeqCst)` | one node, by the same hazard | scan every 64; recycled |
//! | D | hazard, `swap(SeqCst)` | era, fence | scan every 64; recycled |
//! | D' | as D | as D | as D, but nobody else can collect a thread's last 64: no RMW to retire |
//! | E | hazard, plain store | era, plain store | as D, `membarrier` in a scan every 64, 256 |
//! | F | arc-swap `load` | one node, by its guard | none wait |
//! | G | hazard, `swap(SeqCst)` | epoch | as B, and a look at the hazards afterwards |
//!
//! Every operation finds its thread's part anew through a thread-local, as a cache must.
//! Outcome and conclusions: ARCHITECTURE.md, "Reclamation".

mod barrier;
mod crowd;
mod debt;
mod debts;
mod epoch;
mod hazard;
mod node;
mod report;
mod scheme;
mod seat;
mod solo;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crowd::{Long, Outcome, Scenario, Work};
use hazard::Hazards;
use solo::{Solo, Subject, Task};

/// Compares protections of reads: nanoseconds, values alive, swaps refused.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Fewer and shorter rounds
    #[arg(long)]
    quick: bool,
    /// Threads of the crowd
    #[arg(long, default_value_t = 8)]
    threads: usize,
    /// Rounds of the crowd; the tables show medians
    #[arg(long)]
    rounds: Option<usize>,
    /// Milliseconds of one run of the crowd
    #[arg(long)]
    millis: Option<u64>,
    /// Only the schemes whose label begins with one of these letters, e.g. "ADE"
    #[arg(long)]
    schemes: Option<String>,
    /// Only these parts: "solo", "crowd"
    #[arg(long)]
    part: Option<String>,
    /// Only the crowd's scenarios whose title contains this
    #[arg(long)]
    scenario: Option<String>,
}

/// A scheme under its name.
struct Entry {
    label: &'static str,
    /// D' is there for the price of a swap only.
    in_crowd: bool,
    solo: fn(usize) -> Box<dyn Subject>,
    crowd: fn(Scenario, &[u32], usize, Duration) -> Outcome,
}

fn entry<S: scheme::Scheme + 'static>(label: &'static str) -> Entry {
    Entry { label, in_crowd: true, solo: Solo::<S>::boxed, crowd: crowd::run::<S> }
}

fn entries(args: &Args) -> Vec<Entry> {
    let mut all = vec![
        entry::<epoch::Plain>("A epoch, defer each"),
        entry::<epoch::Batched<false, 64>>("B epoch, batch 64 + flush"),
        entry::<Hazards<false, false, 64>>("C hazard"),
        entry::<Hazards<true, false, 64>>("D hazard, era pin"),
        Entry {
            in_crowd: false,
            ..entry::<Hazards<true, false, 64, false>>("D' same, private lists")
        },
    ];
    if barrier::is_supported() {
        all.push(entry::<Hazards<true, true, 64>>("E membarrier, scan 64"));
        all.push(entry::<Hazards<true, true, 256>>("E membarrier, scan 256"));
    } else {
        println!("no membarrier in this kernel: E is left out");
    }
    all.push(entry::<debts::Debts>("F arc-swap"));
    all.push(entry::<epoch::Batched<true, 64>>("G hazard, epoch pin"));
    if let Some(letters) = &args.schemes {
        all.retain(|entry| letters.contains(&entry.label[..1]));
    }
    all
}

/// Runs the experiment and prints its tables.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!((1..=56).contains(&args.threads), "--threads must be 1 to 56");
    let entries = entries(args);
    let wants = |part: &str| args.part.as_deref().is_none_or(|only| only == part);
    let _seat = seat::Seat::take();
    report::machine();
    if wants("solo") {
        run_solo(args, &entries);
    }
    if wants("crowd") {
        run_crowd(args, &entries);
    }
    Ok(())
}

/// One thread: (task, slots, operations a measurement).
const SOLO: [(Task, usize, usize); 8] = [
    (Task::Floor, 1_000, 1_500_000),
    (Task::Short, 1_000, 1_500_000),
    (Task::Pinned, 1_000, 1_500_000),
    (Task::Swap, 1_000, 400_000),
    (Task::CompareSwap, 1_000, 400_000),
    (Task::Floor, 1_000_000, 200_000),
    (Task::Short, 1_000_000, 200_000),
    (Task::Pinned, 1_000_000, 200_000),
];

fn run_solo(args: &Args, entries: &[Entry]) {
    let rounds = if args.quick { 2 } else { 7 };
    let mut cells = vec![vec![Vec::new(); SOLO.len()]; entries.len()];
    let sizes: &[usize] = if args.quick { &[1_000] } else { &[1_000, 1_000_000] };
    for &slots in sizes {
        let subjects: Vec<_> = entries.iter().map(|entry| (entry.solo)(slots)).collect();
        for _ in 0..rounds {
            for (column, &(task, _, count)) in
                SOLO.iter().enumerate().filter(|(_, (_, column_slots, _))| *column_slots == slots)
            {
                let count = if args.quick { count / 4 } else { count };
                for (row, subject) in subjects.iter().enumerate() {
                    cells[row][column].extend(subject.measure(task, count));
                }
            }
        }
    }
    epoch::drain(0);
    report::solo(entries, &cells);
}

fn scenarios() -> Vec<(String, Scenario)> {
    let mut all = Vec::new();
    for (long, suffix) in [
        (Long::None, ""),
        (Long::Millisecond, "; a reader pins 1 ms at a time"),
        (Long::Forever, "; a reader is pinned for good"),
    ] {
        for (work, slots, limit, load) in [
            (Work::Churn, 1_000, None, 0),
            (Work::Churn, 1_000, Some(1_024), 0),
            (Work::Mix, 1_000, None, 0),
            (Work::Mix, 1_000, Some(1_024), 0),
            (Work::Mix, 100_000, Some(12_500), 0),
            (Work::Mix, 100_000, Some(12_500), 1),
        ] {
            // Without a bound a pin for good only shows how fast memory fills.
            let pinned_unbounded = limit.is_none() && long != Long::None;
            if pinned_unbounded && (long, work) != (Long::Millisecond, Work::Churn) {
                continue;
            }
            let name = match (work, load) {
                (Work::Churn, _) => "churn".into(),
                (Work::Mix, 0) => "read-through".into(),
                (Work::Mix, load) => format!("read-through, {load} us a miss"),
            };
            let bound = limit.map_or("no bound".into(), |limit| format!("{limit} may wait"));
            let title = format!("{name}, {slots} slots, {bound}{suffix}");
            let load = Duration::from_micros(load);
            all.push((title, Scenario { slots, limit, work, load, long }));
        }
    }
    all
}

fn run_crowd(args: &Args, entries: &[Entry]) {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 3 });
    let time = Duration::from_millis(args.millis.unwrap_or(if args.quick { 30 } else { 100 }));
    let draws = [(1_000, crowd::zipf(1_000)), (100_000, crowd::zipf(100_000))];
    let wanted = |title: &str| args.scenario.as_deref().is_none_or(|part| title.contains(part));
    let entries: Vec<_> = entries.iter().filter(|entry| entry.in_crowd).collect();
    let scenarios: Vec<_> = scenarios().into_iter().filter(|(title, _)| wanted(title)).collect();
    let mut outcomes = vec![vec![Vec::new(); entries.len()]; scenarios.len()];
    for _ in 0..rounds {
        for ((_, scenario), row) in scenarios.iter().zip(&mut outcomes) {
            let draws = &draws.iter().find(|(slots, _)| *slots == scenario.slots).expect("drawn").1;
            for (entry, cell) in entries.iter().zip(row) {
                cell.push((entry.crowd)(*scenario, draws, args.threads, time));
            }
        }
    }
    println!(
        "\n{} threads, medians of {rounds} runs of {time:?} (greatest in brackets)",
        args.threads
    );
    for ((title, _), row) in scenarios.iter().zip(&outcomes) {
        report::crowd(title, &entries, row);
    }
}
