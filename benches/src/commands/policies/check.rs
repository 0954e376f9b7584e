//! Are the simulators right? Their hit ratios beside figures that others published or measured.
//!
//! Published ones must agree within a tenth of a point. The others are those of an earlier study
//! of this project, with simulators of its own: where one differs, either may be right, and where
//! the policy leaves something open (the filter's sketch, the climber), both.

use std::path::Path;

use anyhow::{Result, ensure};

use super::cells;
use super::contestants::contestants;
use super::stream::{Stream, find};
use crate::commands::capacity::Capacity;
use crate::peers::Only;
use crate::report::{Cell, Report, Table};

/// A trace and a capacity, with a figure in per cent for each of some policies.
struct Reference {
    trace: &'static str,
    entries: usize,
    policies: &'static [&'static str],
    percent: &'static [f64],
}

/// Megiddo and Modha, "ARC", FAST 2003, the table of OLTP.
const ARC_PAPER: [Reference; 1] = [Reference {
    trace: "oltp",
    entries: 1_000,
    policies: &["LRU", "ARC"],
    percent: &[32.83, 38.93],
}];

/// Points by which a published figure may be missed.
const TOLERANCE: f64 = 0.1;

const STUDIED: &[&str] = &["OPT", "LRU", "CLOCK", "SIEVE", "ARC", "W-TinyLFU", "S3-FIFO"];

const fn studied(trace: &'static str, entries: usize, percent: &'static [f64; 7]) -> Reference {
    Reference { trace, entries, policies: STUDIED, percent }
}

/// The earlier study. Its `w106` had 5,292,456 requests, not the first 5,000,000 of them; its
/// `web-sized` did not tell keys apart by size.
const STUDY: [Reference; 12] = [
    studied("oltp", 1_000, &[53.6, 32.8, 33.3, 32.6, 39.0, 39.6, 40.8]),
    studied("oltp", 8_000, &[71.6, 58.7, 58.8, 57.6, 59.4, 59.0, 60.5]),
    studied("p3", 64_000, &[50.3, 12.1, 12.3, 20.6, 25.5, 30.7, 29.1]),
    studied("w106", 3_376, &[85.5, 80.5, 80.1, 81.0, 81.2, 81.8, 82.3]),
    studied("orm-night", 250, &[65.1, 54.2, 55.6, 45.0, 59.7, 49.8, 50.6]),
    studied("web07", 1_200, &[64.7, 51.7, 52.3, 54.5, 54.3, 52.6, 55.1]),
    studied("scarab-recs", 16_384, &[71.2, 54.6, 55.1, 56.1, 57.4, 56.2, 58.1]),
    studied("corda", 1_024, &[33.3, 33.3, 33.3, 0.8, 33.3, 28.8, 33.3]),
    studied("web-sized", 500, &[36.6, 25.2, 25.6, 27.4, 27.7, 26.3, 28.7]),
    studied("lirs-loop", 512, &[50.5, 0.0, 0.0, 0.0, 0.0, 49.9, 0.0]),
    studied("lirs-multi1", 1_000, &[71.4, 48.2, 48.6, 49.7, 49.8, 68.3, 57.8]),
    studied("lirs-gli", 1_000, &[53.2, 11.2, 11.3, 31.3, 21.3, 49.7, 35.1]),
];

pub fn run(traces: &Path, jobs: usize, report: &mut Report) -> Result<()> {
    let published = compare("Policies: the ARC paper", &ARC_PAPER, traces, jobs, report)?;
    compare("Policies: the earlier study", &STUDY, traces, jobs, report)?;
    ensure!(
        published.iter().all(|difference| difference.abs() <= TOLERANCE),
        "a simulator is off a published figure by more than {TOLERANCE} points"
    );
    Ok(())
}

/// A table of `references`; the differences in points.
fn compare(
    title: &str,
    references: &[Reference],
    traces: &Path,
    jobs: usize,
    report: &mut Report,
) -> Result<Vec<f64>> {
    let mut table =
        Table::new(title, &["trace", "entries", "policy", "theirs", "ours", "difference"]);
    let mut differences = Vec::new();
    for reference in references {
        for (policy, theirs, ours) in measure(reference, traces, jobs)? {
            differences.push(ours - theirs);
            // Theirs are rounded to a tenth; so is the difference.
            let difference = Cell::number(ours - theirs, 2);
            let far = (ours - theirs).abs() > TOLERANCE;
            table.row(vec![
                Cell::text(reference.trace),
                Cell::count(reference.entries as u64),
                Cell::text(policy),
                Cell::number(theirs, 2),
                Cell::number(ours, 2),
                if far { difference.marked() } else { difference },
            ]);
        }
    }
    table.note(format!("*: more than {TOLERANCE} points."));
    report.add(table);
    Ok(differences)
}

/// Each policy with their figure and ours.
fn measure(reference: &Reference, traces: &Path, jobs: usize) -> Result<Vec<(String, f64, f64)>> {
    let columns: Vec<String> = reference.policies.iter().map(|&name| name.to_owned()).collect();
    let contestants = contestants(&columns, &[], &Only::default(), 1)?;
    let streams = [Stream::whole(find(reference.trace, &[], traces)?)];
    let rows = cells::run(&streams, &[Capacity::Entries(reference.entries)], &contestants, jobs);
    let theirs = |name: &str| {
        let named =
            reference.policies.iter().zip(reference.percent).find(|(policy, _)| **policy == name);
        named.map_or(f64::NAN, |(_, &percent)| percent)
    };
    let figures = contestants.iter().enumerate();
    Ok(figures.map(|(i, c)| (c.name.clone(), theirs(&c.name), rows[0].ratio(i) * 100.0)).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn lru_and_arc_hit_what_the_arc_paper_says() {
        // Beside the project's folder, where there are traces at all; or where HOTSET_TRACES says.
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
        let traces = std::env::var_os("HOTSET_TRACES").map_or_else(beside, PathBuf::from);
        if !traces.join("oltp.u64.zst").exists() {
            eprintln!(
                "SKIPPED: no oltp.u64.zst in ../shared/traces; HOTSET_TRACES may name a folder"
            );
            return;
        }
        for (policy, theirs, ours) in measure(&ARC_PAPER[0], &traces, 2).unwrap() {
            assert!((ours - theirs).abs() <= TOLERANCE, "{policy}: {ours} instead of {theirs}");
        }
    }

    #[test]
    fn every_reference_is_complete() {
        for reference in ARC_PAPER.iter().chain(&STUDY) {
            assert_eq!(reference.policies.len(), reference.percent.len(), "{}", reference.trace);
        }
    }
}
