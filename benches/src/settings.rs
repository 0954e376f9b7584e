//! How long, how often, with whom? The options that all subcommands share.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::peers::Only;

#[derive(clap::Args)]
pub struct Options {
    /// Rounds of each measurement [default: 15; 5 with --quick]
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Milliseconds of each contestant in each round [default: 100; 30 with --quick]
    #[arg(long, global = true)]
    round_ms: Option<u64>,
    /// Fewer, shorter rounds and smaller data: a look, not a result
    #[arg(long, global = true)]
    quick: bool,
    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Only these peers, separated by commas
    #[arg(long, global = true, value_delimiter = ',')]
    pub only: Vec<String>,
}

pub struct Settings {
    pub rounds: usize,
    pub round: Duration,
    pub quick: bool,
    pub only: Only,
}

impl Settings {
    /// `short`: as if --quick were given.
    pub fn new(options: &Options, short: bool) -> Result<Self> {
        let quick = options.quick || short;
        let (rounds, round_ms) = if quick { (5, 30) } else { (15, 100) };
        let rounds = options.rounds.unwrap_or(rounds);
        let round_ms = options.round_ms.unwrap_or(round_ms);
        ensure!((1..=10_000).contains(&rounds), "--rounds must be 1 to 10000, got {rounds}");
        ensure!((1..=60_000).contains(&round_ms), "--round-ms must be 1 to 60000, got {round_ms}");
        Ok(Self {
            rounds,
            round: Duration::from_millis(round_ms),
            quick,
            only: Only::new(&options.only)?,
        })
    }

    /// `full`, or `quick` with --quick.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
