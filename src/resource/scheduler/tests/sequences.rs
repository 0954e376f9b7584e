//! Arbitrary sequences of events, and the faults that they must catch.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::world::{World, rules};
use crate::seed::Seed;

#[derive(Clone, Copy, Debug)]
enum Op {
    Ask { key: u64, patience: Option<u64> },
    Hit(u64),
    Leave(usize),
    Release(usize),
    Tell(usize),
    Retire(usize),
    Estimate { index: usize, outcome: Option<u64> },
    Load { index: usize, success: bool, weight: Option<u64> },
    Close { index: usize, success: bool },
    Unload(u64),
    Evict { all: bool },
    Reset(u64),
    Resize { entries: usize, weight: Option<u64> },
    Advance(u64),
    Stop,
}

fn op() -> impl Strategy<Value = Op> {
    let index = 0..8_usize;
    let key = 0..5_u64;
    let weight = || proptest::option::weighted(0.5, 0..12_u64);
    prop_oneof![
        10 => (key.clone(), proptest::option::of(1..20_u64))
            .prop_map(|(key, patience)| Op::Ask { key, patience }),
        6 => key.clone().prop_map(Op::Hit),
        2 => index.clone().prop_map(Op::Leave),
        10 => index.clone().prop_map(Op::Release),
        8 => index.clone().prop_map(Op::Tell),
        1 => index.clone().prop_map(Op::Retire),
        6 => (index.clone(), proptest::option::weighted(0.9, 0..12_u64))
            .prop_map(|(index, outcome)| Op::Estimate { index, outcome }),
        8 => (index.clone(), prop::bool::weighted(0.8), weight())
            .prop_map(|(index, success, weight)| Op::Load { index, success, weight }),
        6 => (index, prop::bool::weighted(0.8))
            .prop_map(|(index, success)| Op::Close { index, success }),
        1 => key.clone().prop_map(Op::Unload),
        1 => any::<bool>().prop_map(|all| Op::Evict { all }),
        1 => key.prop_map(Op::Reset),
        1 => (1..5_usize, weight().prop_map(|weight| weight.map(|w| w + 1)))
            .prop_map(|(entries, weight)| Op::Resize { entries, weight }),
        3 => (0..10_u64).prop_map(Op::Advance),
        1 => prop::bool::weighted(0.2)
            .prop_map(|stop| if stop { Op::Stop } else { Op::Advance(0) }),
    ]
}

/// Which rules a sequence is played by.
fn game() -> impl Strategy<Value = (usize, Option<u64>, bool, bool, Vec<Op>)> {
    let weight = proptest::option::of(4..12_u64);
    let ops = proptest::collection::vec(op(), 1..120);
    (1..4_usize, weight, any::<bool>(), any::<bool>(), ops)
}

fn play(entries: usize, weight: Option<u64>, ttl: bool, hasty: bool, ops: &[Op]) {
    let mut rules = rules(entries, weight);
    rules.idle_ttl = ttl.then(|| Duration::from_secs(6));
    rules.close_timeout = hasty.then(|| Duration::from_secs(5));
    let mut world = World::new(rules);
    for &op in ops {
        match op {
            Op::Ask { key, patience } => drop(world.ask(key, patience)),
            Op::Hit(key) => drop(world.hit(key)),
            Op::Leave(index) => world.leave(index),
            Op::Release(index) => world.release(index),
            Op::Tell(index) => world.tell_scheduler(index),
            Op::Retire(index) => world.retire(index),
            Op::Estimate { index, outcome } => world.estimate(index, outcome),
            Op::Load { index, success, weight } => world.load(index, success, weight),
            Op::Close { index, success } => world.close(index, success),
            Op::Unload(key) => world.unload(key),
            Op::Evict { all } => world.evict(all),
            Op::Reset(key) => world.reset(key),
            Op::Resize { entries, weight } => world.resize(entries, weight),
            Op::Advance(seconds) => world.advance(seconds),
            Op::Stop => world.stop(),
        }
    }
    world.finish();
}

fn config(cases: u32, max_shrink_iters: u32) -> Config {
    Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() }
}

fn run(mut runner: TestRunner) -> Result<(), String> {
    runner
        .run(&game(), |(entries, weight, ttl, hasty, ops)| {
            play(entries, weight, ttl, hasty, &ops);
            Ok(())
        })
        .map_err(|error| error.to_string())
}

#[test]
fn rules_hold_after_every_step() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    if let Err(error) = run(TestRunner::new(config(cases, 20_000))) {
        panic!("{error}");
    }
}

/// Asserts that some sequence fails with one of `words`, when `seed` is planted. The sequences are the
/// same in each run.
fn expect_caught(seed: Seed, words: &[&str]) {
    super::expect_caught(seed, words, || {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        run(TestRunner::new_with_rng(config(4_000, 0), rng)).map_err(|error| {
            error.split("minimal failing input").next().unwrap_or_default().to_owned()
        })
    });
}

#[test]
fn room_before_the_end_of_a_close_is_caught() {
    expect_caught(Seed::FreeBeforeClosed, &["R1", "R3"]);
}

#[test]
fn a_second_close_is_caught() {
    expect_caught(Seed::CloseTwice, &["R2"]);
}

#[test]
fn a_flight_that_stays_is_caught() {
    expect_caught(Seed::AbandonedFlight, &["R5"]);
}

#[test]
fn a_wait_that_is_not_told_is_caught() {
    expect_caught(Seed::UnwatchedWait, &["R6"]);
}

#[test]
fn a_late_admission_is_caught() {
    expect_caught(Seed::AdmitLate, &["R7"]);
}
