//! `warmd demo`: the main job. Trains models, serves them, drives clients, and checks from outside
//! the daemon's process what `ResourceCache` promises, beside a naive cache under the same load.
//!
//! Exits with 1 if hotset broke a promise. The naive cache may break what it likes.

mod client;
mod daemon;
mod files;
mod progress;
mod promises;
mod traffic;
mod trials;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Builder;

use self::progress::Progress;
use self::promises::Findings;
use self::trials::Trial;

#[derive(clap::Args)]
pub struct Args {
    /// How long the main load runs on each cache, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Traffic, and seven trials.
const STEPS: u64 = 8;

pub fn run(args: &Args) -> Result<ExitCode> {
    let began = Instant::now();
    let folder = tempfile::tempdir().context("no place for models")?;
    let progress = Progress::new(files::TRAINED + 2 * STEPS);
    files::train(folder.path(), |name| progress.done(&format!("trained {name}")))?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let length = Duration::from_secs(args.seconds);
    let watch = |cache| {
        runtime
            .block_on(watch(cache, folder.path(), length, &progress))
            .with_context(|| format!("with the {cache} cache"))
    };
    let hotset = watch("strict")?;
    let naive = watch("naive")?;
    progress.end();
    let broken = promises::judge(&hotset, &naive);
    println!("took {:.0} s", began.elapsed().as_secs_f64());
    if broken.is_empty() {
        println!("hotset kept every promise");
        return Ok(ExitCode::SUCCESS);
    }
    for promise in &broken {
        eprintln!("warmd: hotset broke a promise: {promise}");
    }
    Ok(ExitCode::FAILURE)
}

async fn watch(
    cache: &'static str,
    models: &Path,
    length: Duration,
    progress: &Progress,
) -> Result<Findings> {
    let step = |what: &str| progress.done(&format!("{cache} cache: {what}"));
    let traffic = traffic::run(cache, models, length).await.context("traffic")?;
    step("64 clients, 12 models, room for 4");
    let trial = Trial::start(cache, models)?;
    let calm = trial.calm().await.context("hits beside slow loads and closes")?;
    step("hits beside slow loads and closes");
    let single_flight = trial.single_flight().await.context("a burst for one model")?;
    step("a burst for one model");
    let broken = trial.broken().await.context("a corrupt file")?;
    step("a corrupt file");
    let deserted = trial.deserted().await.context("clients that leave")?;
    step("clients that leave");
    let swapped = trial.swapped().await.context("a file replaced in place")?;
    step("a file replaced in place");
    let stays_open = trial.crowded().await.context("others want the room of one in use")?;
    step("others want the room of one in use");
    let ended = trial.ended().await.context("SIGTERM during a load")?;
    step("SIGTERM during a load");
    Ok(Findings { traffic, calm, single_flight, broken, deserted, swapped, stays_open, ended })
}
