//! Several threads at one scheduler: whoever comes first, its rules hold after every step, and all that
//! wait are answered. Explored by shuttle, at random and by priorities (PCT, of depth 3).
//!
//! The threads are shuttle's tasks, all on one thread of the system, so the world is that thread's; an
//! operation is what the shell does under its one lock, and between two of them any other task may run.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, rand::Rng, thread};

use super::world::{World, rules};
use crate::seed::Seed;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// One operation, and whatever others do before the next.
fn act(operation: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|world| operation(world.as_mut().expect("a world while tasks run")));
    thread::yield_now();
}

fn below(n: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..n)
}

/// Asks for keys, hits them, gives leases back, or goes away.
fn user(key: u64) {
    act(|world| _ = world.ask(key, (below(2) == 0).then_some(5)));
    for _ in 0..4 {
        match below(6) {
            0 => act(|world| world.leave(below(4))),
            1 => act(|world| _ = world.hit(key)),
            2 => act(|world| _ = world.ask(below(4) as u64, Some(3))),
            3 => act(|world| world.tell_scheduler(below(4))),
            _ => act(|world| world.release(below(4))),
        }
    }
}

/// Runs the jobs that there are.
fn worker() {
    for _ in 0..8 {
        act(|world| world.estimate(below(4), Some(1 + below(3) as u64)));
        act(|world| world.load(below(4), below(4) > 0, None));
        act(|world| world.close(below(4), below(4) > 0));
    }
}

/// Unloads, evicts, resizes, lets time pass, stops.
fn keeper() {
    for _ in 0..4 {
        match below(7) {
            0 => act(|world| world.unload(below(4) as u64)),
            1 => act(|world| world.evict(below(2) == 0)),
            2 => act(|world| world.resize(1 + below(3), None)),
            3 => act(|world| world.reset(below(4) as u64)),
            4 if below(4) == 0 => act(World::stop),
            _ => act(|world| world.advance(1 + below(4) as u64)),
        }
    }
}

fn play() {
    let mut given = rules(1 + below(2), (below(2) == 0).then_some(6));
    given.idle_ttl = (below(2) == 0).then_some(Duration::from_secs(6));
    WORLD.set(Some(World::new(given)));
    let tasks = [
        thread::spawn(|| user(0)),
        thread::spawn(|| user(1)),
        thread::spawn(|| user(2)),
        thread::spawn(worker),
        thread::spawn(keeper),
    ];
    for task in tasks {
        task.join().expect("a task ended");
    }
    WORLD.take().expect("the world is there until now").finish();
}

fn explore(scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    Runner::new(scheduler, config).run(play);
}

#[test]
fn the_rules_hold_whoever_comes_first() {
    explore(RandomScheduler::new_from_seed(1, 400));
    explore(PctScheduler::new_from_seed(2, 3, 400));
}

/// Asserts that some order fails with one of `words`, when `seed` is planted.
fn expect_caught(seed: Seed, words: &[&str]) {
    super::expect_caught(seed, words, || {
        let explored = catch_unwind(|| explore(RandomScheduler::new_from_seed(3, 4_000)));
        WORLD.with(|world| std::mem::forget(world.take())); // it may be in the middle of a step
        explored.map_err(|panic| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"no text").to_string(),
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
