//! `hotset-bench`: hotset beside its peers, in hit ratio, throughput, latency, memory and behaviour.
//!
//! One subcommand for each question; `hotset-bench help` lists them.

mod alloc;
mod commands;
mod curves;
mod machine;
mod measure;
mod numbered;
mod parallel;
mod peers;
mod plot;
mod policies;
mod reclaim;
mod report;
mod settings;
mod synthetic;
mod trace;
mod workload;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use self::report::Report;
use self::settings::{Options, Settings};

// It counts only for `memory`; see there.
#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hit ratios of all peers and policies on traces (or on a synthetic mix), and a plot.
    Replay(commands::replay::Args),
    /// The lab of eviction policies: reference simulators, optimum included, beside the real caches.
    Policies(commands::policies::Args),
    /// The cost of a hit on one thread, at three sizes.
    Hit,
    /// All cores read one key.
    HotKey,
    /// All entries are there, Zipf-distributed reads on several threads.
    ZipfHit(commands::zipf_hit::Args),
    /// Get, and insert on a miss: throughput, hit ratio, refused inserts.
    ReadThrough(commands::read_through::Args),
    /// Every operation inserts a new key into a full cache.
    Churn(commands::churn::Args),
    /// Hits, and an insert of a new key for so many of them.
    Mixed(commands::mixed::Args),
    /// Percentiles of the time of one read-through operation.
    Latency(commands::latency::Args),
    /// A fixed piece of work under a simulator that counts instructions (ci/instructions.sh).
    Count(commands::count::Args),
    /// What a lease of a `ResourceCache` costs that is there, also while others load and close.
    Lease,
    /// Bytes requested for each entry, beyond its key and value.
    Memory(commands::memory::Args),
    /// The cost of an operation from a thousand entries to ten million, told or not told how many.
    Growth(commands::growth::Args),
    /// How many values are alive at once; fails if hotset breaks its limit.
    Live(commands::live::Args),
    /// How each behaves where it hurts: failing loaders, races, listeners that panic; fails if
    /// hotset breaks a promise.
    Semantics(commands::semantics::Args),
    /// What protects a short read: the experiment behind the choice of reclamation.
    Reclaim(reclaim::Args),
    /// A short version of everything, with a table of targets.
    All(commands::all::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hotset-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let short = matches!(&cli.command, Command::All(args) if !args.full);
    let settings = Settings::new(&cli.options, short)?;
    if let Command::Reclaim(args) = &cli.command {
        // It prints tables of its own, of schemes instead of peers.
        ensure!(
            !cli.options.json && cli.options.only.is_empty(),
            "reclaim has no --json and --only"
        );
        return reclaim::run(args);
    }
    if let Command::Count(args) = &cli.command {
        return commands::count::run(args);
    }
    if let Command::Semantics(args) = &cli.command
        && commands::semantics::is_one(args)
    {
        return commands::semantics::run_one(args, settings.quick);
    }
    let mut report = Report::new(cli.options.json);
    let outcome = match &cli.command {
        Command::Replay(args) => commands::replay::run(args, &settings, &mut report),
        Command::Policies(args) => commands::policies::run(args, &settings, &mut report),
        Command::Hit => commands::hit::run(&settings, &mut report),
        Command::HotKey => commands::hot_key::run(&settings, &mut report),
        Command::ZipfHit(args) => commands::zipf_hit::run(args, &settings, &mut report),
        Command::ReadThrough(args) => commands::read_through::run(args, &settings, &mut report),
        Command::Churn(args) => commands::churn::run(args, &settings, &mut report),
        Command::Mixed(args) => commands::mixed::run(args, &settings, &mut report),
        Command::Latency(args) => commands::latency::run(args, &settings, &mut report),
        Command::Lease => commands::lease::run(&settings, &mut report),
        Command::Memory(args) => commands::memory::run(args, &settings, &mut report),
        Command::Growth(args) => commands::growth::run(args, &settings, &mut report),
        Command::Live(args) => commands::live::run(args, &settings, &mut report),
        Command::Semantics(args) => commands::semantics::run(args, &settings, &mut report),
        Command::All(args) => commands::all::run(args, &settings, &mut report),
        Command::Reclaim(_) | Command::Count(_) => unreachable!("handled above"),
    };
    // What was measured before a failure is printed all the same.
    report.finish()?;
    outcome
}
