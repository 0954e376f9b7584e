//! Where do we stand? A short version of every measurement, then the targets.

use std::path::PathBuf;

use anyhow::Result;

use super::{churn, hit, hot_key, latency, live, memory, read_through, replay, zipf_hit};
use crate::report::{Report, targets};
use crate::settings::Settings;

#[derive(clap::Args)]
pub struct Args {
    /// Traces for the hit ratios; none: a synthetic mix
    files: Vec<PathBuf>,
    /// Rounds and data as long as those of the single commands
    #[arg(long)]
    pub full: bool,
    /// Where to write the plot of the hit ratios
    #[arg(long, default_value = "target/hotset-replay.svg")]
    svg: PathBuf,
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut checks = Vec::new();

    // First, while nothing that an earlier measurement left behind can be freed meanwhile.
    let memory_args = memory::Args::default();
    let rows = memory::measure(&memory_args, settings);
    memory::show(&memory_args, settings, &rows, report);
    let memory_checks = memory::checks(&rows);

    let small = hit::measure(1_000, settings);
    hit::show(1_000, &small, report);
    let large = hit::measure(1_000_000, settings);
    hit::show(1_000_000, &large, report);
    checks.extend(hit::checks(&small, &large));
    drop((small, large));

    let zipf_args = zipf_hit::Args::default();
    let board = zipf_hit::measure(&zipf_args, settings);
    zipf_hit::show(&zipf_args, &board, report);
    checks.extend(zipf_hit::checks(&zipf_args, &board));

    let board = hot_key::measure(settings);
    hot_key::show(&board, report);
    checks.extend(hot_key::checks(&board));

    let through_args = read_through::Args::for_all(&[1, 2, 8]);
    let load = through_args.load(settings)?;
    let board = read_through::measure(&through_args, &load, settings);
    read_through::show(&through_args, &load, &board, report);
    checks.extend(read_through::checks(&through_args, &load, &board));

    for capacity in [10_000, 100_000] {
        let board = churn::measure(capacity, &churn::THREADS, settings);
        churn::show(capacity, &churn::THREADS, &board, report);
        checks.extend(churn::checks(capacity, &board));
    }

    let latency_args = latency::Args::default();
    let rows = latency::measure(&latency_args, settings);
    latency::show(&latency_args, settings, &rows, report);
    checks.extend(latency::checks(&latency_args, &rows));

    let live_rows = live::measure(&live::Args::default(), settings);
    live::show(&live_rows, report);
    checks.extend(live::checks(&live_rows));
    checks.extend(memory_checks);

    let replay_args = replay::Args::for_all(args.files.clone(), args.svg.clone());
    let replayed = replay::measure(&replay_args, settings)?;
    replay::show(&replayed, report);
    replay::plot(&replayed, &replay_args)?;
    checks.extend(replay::checks(&replayed));

    report.add(targets(&checks));
    // Speed may fall short of a target; the bound on memory is a promise.
    live::verdict(&live_rows)
}
