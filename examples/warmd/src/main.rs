//! `warmd`: keeps a few of many models warm, and shows what hotset's `ResourceCache` promises.
//!
//! ```text
//!   warmd gen    text -> model and adapter files (model, gen)
//!   warmd serve  requests -> spec -> lease -> score (spec, backend, serve)
//!   warmd demo   trains, serves, drives clients, checks the promises from outside (demo)
//! ```
//!
//! Rooms: `model` computes, `spec` says which backend is meant, `backend` is what is opened and
//! closed, `ledger` counts below the cache, `naive` is the cache of an afternoon to compare with,
//! `serve` speaks HTTP, `demo` watches from outside. Dependencies are argued in README.md.

mod backend;
mod demo;
mod generate;
mod histogram;
mod ledger;
mod model;
mod naive;
mod pool;
mod random;
mod serve;
mod spec;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a model, or an adapter for one, from text
    Gen(generate::Args),
    /// Scores texts over HTTP, with a budget of warm models
    Serve(serve::Args),
    /// Shows what hotset promises, beside a naive cache; fails if a promise is broken
    Demo(demo::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("warmd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Gen(args) => generate::run(args).map(|()| ExitCode::SUCCESS),
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
    }
}
