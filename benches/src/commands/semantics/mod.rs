//! How do caches behave where it hurts? The demonstrations: one scene after the other, each played
//! with every peer, each time in a process of its own, since some never come back from it.

mod case;
mod child;
mod destructor;
mod failing_loader;
mod leader;
mod leaving;
mod listened;
mod listener;
mod live_values;
mod loading;
mod methods;
mod oversize;
mod reentrant;
mod refill;
mod stale_reads;
mod write_during_load;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::case::{Case, Outcome, Pace, Peer};
use crate::report::{Cell, REMARK, Report, Table, progress_bar};
use crate::settings::Settings;

static CASES: [Case; 15] = [
    failing_loader::CASE,
    write_during_load::INSERT,
    write_during_load::INVALIDATE,
    stale_reads::CASE,
    leader::CANCELLED,
    leader::PARKED,
    methods::CASE,
    reentrant::CASE,
    listener::PANICS,
    listener::INSERTS,
    destructor::CASE,
    oversize::CASE,
    refill::CASE,
    live_values::CASE,
    leaving::CASE,
];

/// How much longer hotset may take before it is said to hang: a busy machine is no broken promise.
const HOTSETS_PATIENCE: u32 = 15;

#[derive(clap::Args)]
pub struct Args {
    /// Only these cases, separated by commas; --help lists them
    #[arg(long, value_delimiter = ',', value_parser = names())]
    case: Vec<String>,
    /// Milliseconds after which a peer is said to hang; hotset has 15 times as many
    #[arg(long, default_value_t = 2_000)]
    patience_ms: u64,
    /// Play one case with one peer in this process, and print the outcome as JSON
    #[arg(long, num_args = 2, value_names = ["CASE", "PEER"])]
    one: Vec<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    case_names().into()
}

fn case_names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(
        (1..=600_000).contains(&args.patience_ms),
        "--patience-ms must be 1 to 600000, got {}",
        args.patience_ms
    );
    let all = play(args, settings)?;
    for (case, outcomes) in &all {
        show(case, outcomes, report);
    }
    summary(&all, report);
    verdict(&all)
}

/// Whether this call is one turn of one peer, whose outcome is all that may be printed.
pub fn is_one(args: &Args) -> bool {
    !args.one.is_empty()
}

/// Plays one case with one peer, and prints the outcome.
pub fn run_one(args: &Args, quick: bool) -> Result<()> {
    let [case, peer] = &args.one[..] else { unreachable!("clap counted two") };
    let known = || case_names().join(", ");
    let case = CASES
        .iter()
        .find(|c| c.name == case)
        .with_context(|| format!("--one: no case is called {case:?}; there are {}", known()))?;
    let peer = Peer::named(peer).with_context(|| {
        let names = Peer::ALL.map(Peer::name).join(", ");
        format!("--one: no peer is called {peer:?}; there are {names}")
    })?;
    let outcome = (case.run)(peer, Pace::new(quick)).unwrap_or_else(Outcome::no_feature);
    println!("{}", serde_json::to_string(&outcome)?);
    // Threads of peers may never end, and destructors wait for them.
    std::process::exit(0)
}

/// What each peer did in one case.
type Played = (&'static Case, Vec<(Peer, Outcome)>);

fn play(args: &Args, settings: &Settings) -> Result<Vec<Played>> {
    let chosen = || {
        CASES
            .iter()
            .filter(|case| args.case.is_empty() || args.case.iter().any(|name| name == case.name))
    };
    let peers: Vec<Peer> =
        Peer::ALL.into_iter().filter(|peer| settings.only.admits(peer.name())).collect();
    let bar = progress_bar("semantics", (chosen().count() * peers.len()) as u64);
    let mut all = Vec::new();
    for case in chosen() {
        let mut outcomes = Vec::new();
        for &peer in &peers {
            let factor = if peer == Peer::Hotset { HOTSETS_PATIENCE } else { 1 };
            let patience = Duration::from_millis(args.patience_ms) * factor;
            outcomes.push((peer, child::outcome(case, peer, settings.quick, patience)?));
            bar.inc(1);
        }
        all.push((case, outcomes));
    }
    bar.finish_and_clear();
    Ok(all)
}

fn show(case: &Case, outcomes: &[(Peer, Outcome)], report: &mut Report) {
    let mut table = Table::new(case.name, &["peer", "as asked", REMARK]);
    for (peer, outcome) in outcomes {
        table.row(vec![
            Cell::text(peer.name()),
            Cell::text(outcome.verdict.word()),
            Cell::text(&outcome.observed),
        ]);
    }
    table.note(format!("Asked: {}.", case.asks));
    report.add(table);
}

/// A row for each case, a column for each peer.
fn summary(all: &[Played], report: &mut Report) {
    let Some((_, outcomes)) = all.first() else { return };
    let mut header = vec!["case"];
    header.extend(outcomes.iter().map(|(peer, _)| peer.name()));
    header.push(REMARK);
    let mut table = Table::new("Semantics", &header);
    for (case, outcomes) in all {
        let mut row = vec![Cell::text(case.name)];
        row.extend(outcomes.iter().map(|(_, outcome)| Cell::text(outcome.verdict.word())));
        row.push(Cell::text(case.asks));
        table.row(row);
    }
    table.note(
        "yes: as the remark asks. -: the peer has no such feature. HANGS: no progress until it was \
         given up; CRASHES: the process died.",
    );
    report.add(table);
}

/// An error if hotset broke its word in any case.
fn verdict(all: &[Played]) -> Result<()> {
    for (case, outcomes) in all {
        for (peer, outcome) in outcomes.iter().filter(|(peer, _)| *peer == Peer::Hotset) {
            ensure!(
                outcome.verdict.keeps_word(),
                "{}: {} breaks its promise: {}",
                case.name,
                peer.name(),
                outcome.observed
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::case::Verdict;
    use super::*;

    #[test]
    fn a_broken_promise_of_hotset_is_an_error_and_that_of_a_peer_is_not() {
        let played = |peer, verdict| vec![(&CASES[0], vec![(peer, Outcome::new(verdict, "seen"))])];
        for verdict_of_case in [Verdict::Yes, Verdict::Documented, Verdict::NoFeature] {
            assert!(verdict(&played(Peer::Hotset, verdict_of_case)).is_ok());
        }
        for broken in [Verdict::No, Verdict::Hangs, Verdict::Crashes] {
            let error = verdict(&played(Peer::Hotset, broken)).unwrap_err().to_string();
            assert!(error.contains("hotset breaks its promise: seen"), "{error}");
            assert!(verdict(&played(Peer::Moka, broken)).is_ok());
        }
    }

    #[test]
    fn hotset_keeps_its_word() {
        for case in &CASES {
            let outcome = (case.run)(Peer::Hotset, Pace::new(true));
            let outcome = outcome.unwrap_or_else(Outcome::no_feature);
            assert!(outcome.verdict.keeps_word(), "{}: {}", case.name, outcome.observed);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = case_names();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
