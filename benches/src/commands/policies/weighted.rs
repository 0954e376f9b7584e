//! Who hits most where bytes are bounded? Object and byte hit ratios of policies that know sizes.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use hotset::{Cache, Policy};
use indicatif::ProgressBar;

use crate::commands::capacity::Capacity;
use crate::numbered::Weighted;
use crate::parallel;
use crate::policies::weighted::{Adaptive, Gdsf, Lru, S3Fifo, Simulator};
use crate::report::{Cell, Report, Table, mean, progress_bar};

/// Requests between two steps of the bar.
const LOOK: usize = 4_096;

type Replay = fn(u64, &Weighted, &ProgressBar) -> Outcome;

/// Who takes part: hotset itself, with both policies, and simulators.
const CONTESTANTS: [(&str, Replay); 7] = [
    ("hotset", |bytes, trace, bar| replay(Policy::Adaptive, true, bytes, trace, bar)),
    ("hotset, not told", |bytes, trace, bar| replay(Policy::Adaptive, false, bytes, trace, bar)),
    ("hotset clock", |bytes, trace, bar| replay(Policy::Clock, true, bytes, trace, bar)),
    ("hotset adaptive (simulated)", simulate::<Adaptive>),
    ("LRU", simulate::<Lru>),
    ("GDSF", simulate::<Gdsf>),
    ("S3-FIFO", simulate::<S3Fifo>),
];

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    hits: u64,
    bytes: u64,
}

pub fn run(
    files: &[PathBuf],
    capacities: &[Capacity],
    jobs: usize,
    report: &mut Report,
) -> Result<()> {
    ensure!(!files.is_empty(), "--weighted needs traces with sizes");
    let traces = files.iter().map(|file| Weighted::read(file)).collect::<Result<Vec<_>>>()?;
    let cells: Vec<(Capacity, usize, Replay)> = capacities
        .iter()
        .flat_map(|&capacity| (0..traces.len()).map(move |trace| (capacity, trace)))
        .flat_map(|(capacity, trace)| CONTESTANTS.map(|(_, replay)| (capacity, trace, replay)))
        .collect();
    let requests: usize = cells.iter().map(|(_, trace, _)| traces[*trace].trace.ids.len()).sum();
    let bar = progress_bar("replays", requests as u64);
    let outcomes = parallel::each(&cells, jobs, |&(capacity, trace, replay)| {
        let trace = &traces[trace];
        replay(bytes(capacity, trace), trace, &bar)
    });
    bar.finish_and_clear();
    let mut outcomes = outcomes.into_iter();
    for &capacity in capacities {
        let rows: Vec<(&Weighted, Vec<Outcome>)> = traces
            .iter()
            .map(|trace| (trace, outcomes.by_ref().take(CONTESTANTS.len()).collect()))
            .collect();
        report.add(table(capacity, &rows));
    }
    Ok(())
}

/// The bound of a cache: of a share, of the bytes of all keys together.
fn bytes(capacity: Capacity, trace: &Weighted) -> u64 {
    match capacity {
        Capacity::Entries(bytes) => bytes as u64,
        Capacity::Percent(percent) => (trace.unique_bytes() as f64 * percent / 100.0) as u64,
    }
}

fn table(capacity: Capacity, rows: &[(&Weighted, Vec<Outcome>)]) -> Table {
    let words = match capacity {
        Capacity::Entries(bytes) => format!("{bytes} bytes"),
        Capacity::Percent(percent) => format!("{percent} % of all keys' bytes"),
    };
    let columns: Vec<String> = ["objects", "bytes"]
        .iter()
        .flat_map(|of| CONTESTANTS.map(|(name, _)| format!("{name} {of}")))
        .collect();
    let mut header = vec!["trace", "bytes"];
    header.extend(columns.iter().map(String::as_str));
    let mut table =
        Table::new(format!("Policies: weighted hit ratio in %, capacity {words}"), &header);
    let percent = |ratio: f64| Cell::number(ratio * 100.0, 2);
    let ratios: Vec<Vec<f64>> = rows
        .iter()
        .map(|(trace, outcomes)| {
            let (requests, bytes) = (trace.trace.ids.len() as f64, trace.requested_bytes() as f64);
            let objects = outcomes.iter().map(|outcome| outcome.hits as f64 / requests);
            objects.chain(outcomes.iter().map(|outcome| outcome.bytes as f64 / bytes)).collect()
        })
        .collect();
    for ((trace, _), ratios) in rows.iter().zip(&ratios) {
        let mut cells = vec![Cell::text(&trace.trace.name), Cell::count(bytes(capacity, trace))];
        cells.extend(ratios.iter().map(|&ratio| percent(ratio)));
        table.row(cells);
    }
    let mut cells = vec![Cell::text("mean"), Cell::none()];
    cells.extend((0..columns.len()).map(|i| percent(mean(ratios.iter().map(|row| row[i])))));
    table.row(cells);
    table
}

fn simulate<S: Simulator>(bytes: u64, trace: &Weighted, bar: &ProgressBar) -> Outcome {
    let mut simulator = S::new(bytes, &trace.sizes);
    let mut outcome = Outcome::default();
    for ids in trace.trace.ids.chunks(LOOK) {
        for &id in ids.iter().filter(|&&id| simulator.request(id)) {
            outcome.hits += 1;
            outcome.bytes += u64::from(trace.sizes[id as usize]);
        }
        bar.inc(ids.len() as u64);
    }
    outcome
}

/// hotset itself, as a user would build it who knows the mean size, or does not.
fn replay(policy: Policy, told: bool, bytes: u64, trace: &Weighted, bar: &ProgressBar) -> Outcome {
    let mean = (trace.unique_bytes() / trace.sizes.len().max(1) as u64).max(1);
    let expected = (bytes / mean).clamp(1, trace.sizes.len().max(1) as u64);
    let builder = Cache::builder()
        .max_weight(bytes.max(1))
        .weigher(|_: &u32, &size: &u32| u64::from(size))
        .policy(policy);
    let builder = if told { builder.expected_entries(expected as usize) } else { builder };
    let cache = builder
        .build()
        .expect("a bound of at least a byte, and a number of keys that are in memory");
    let mut outcome = Outcome::default();
    for ids in trace.trace.ids.chunks(LOOK) {
        for &id in ids {
            if let Some(size) = cache.get(&id) {
                outcome.hits += 1;
                outcome.bytes += u64::from(size);
            } else {
                cache.insert(id, trace.sizes[id as usize]);
            }
        }
        bar.inc(ids.len() as u64);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbered::Numbered;

    #[test]
    fn hits_are_counted_in_objects_and_bytes() {
        let trace = Numbered { name: "t".to_owned(), ids: vec![0, 1, 0, 1, 2, 2], unique: 3 };
        let trace = Weighted { trace, sizes: vec![10, 100, 1_000] };
        let outcome = simulate::<Lru>(110, &trace, &ProgressBar::hidden());
        assert_eq!((outcome.hits, outcome.bytes), (2, 110));
        for policy in [Policy::Adaptive, Policy::Clock] {
            let outcome = replay(policy, true, 1_110, &trace, &ProgressBar::hidden());
            assert_eq!((outcome.hits, outcome.bytes), (3, 1_110));
        }
        assert_eq!(bytes(Capacity::Percent(10.0), &trace), 111);
    }
}
