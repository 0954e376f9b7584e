//! How is a model run, and how is it known that it could fail? The harness of the models.
//!
//! A *model* is a function that is run once per execution: it builds a cache, races two or three
//! threads on it, joins them and looks at what is left. [`check`] explores its executions with
//! loom, up to a bound on preemptions (`LOOM_MAX_PREEMPTIONS`, 2 unless told otherwise), and
//! prints how many there were. Every execution ends with the ledger of [`Canary`]: each one that
//! was created was dropped once, and none of the drops raced with a read.
//!
//! A *seed* is a bug that the engine carries for its models (`hotset::__model::Seed`) and that
//! [`expect_caught`] plants: the model must then fail, and with the words that are expected. That
//! runs in a child process, since a deadlock, as loom reports it, aborts.
//!
//! No limit of time or of executions applies, whatever the environment says: loom would stop there
//! and report success.

#[cfg(not(hotset_loom))]
compile_error!("the models need RUSTFLAGS=\"--cfg hotset_loom\"; run ci/loom.sh");

mod canary;
mod keys;
mod race;
mod tasks;

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotset::__model::{Seed, plant, set_step_hook, start_execution};

pub use canary::{Canary, live};
pub use keys::{
    Cache, Identity, adaptive, akin, cache, crowd, fill, insert_and_look, keeps_the_bound, keys,
    remove, settle, sorted, weighed,
};
pub use race::{
    Job, Racing, at_once, at_once_but, at_once_from, at_once_until, job, race, start, stepwise,
};
pub use tasks::{Task, block_on, poll_once, task};

/// Preemptions of one execution, unless the environment says otherwise.
const BOUND: usize = 2;
/// Steps of one execution; the models need up to 1,500, a loop without progress more than any number.
const MAX_BRANCHES: usize = 6_000;
/// A model with fewer executions than this races nothing.
const SUSPICIOUS: usize = 3;
/// Executions between two signs of life.
const STRIDE: usize = 20_000;
/// Tells a child process to plant its seed rather than to start a child.
const CHILD: &str = "HOTSET_LOOM_CHILD";

/// Which bound a model is explored up to.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// The bound itself.
    Full,
    /// One preemption less: three threads, or two that go a long way.
    Wide,
    /// Two preemptions less: three that go a long way. At the usual bound that leaves all orders
    /// in which they run one after the other or until they wait, and all that they may see.
    Widest,
}

/// Explores all executions of `body` up to the bound and prints their number.
///
/// # Panics
/// If an execution fails, or if there are suspiciously few.
pub fn check(name: &'static str, reach: Reach, body: fn()) {
    let executions = explore(name, reach, body, &Arc::default());
    println!("{name}: {executions} executions");
    assert!(executions >= SUSPICIOUS, "{name} explored {executions} executions: it races nothing");
}

fn explore(name: &'static str, reach: Reach, body: fn(), executions: &Arc<AtomicUsize>) -> usize {
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(BOUND);
    builder.preemption_bound = Some(bound.saturating_sub(reach as usize));
    builder.max_branches = MAX_BRANCHES;
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.checkpoint_file = None;
    let counter = Arc::clone(executions);
    builder.check(move || {
        let before = counter.fetch_add(1, Ordering::Relaxed);
        if before % STRIDE == STRIDE - 1 {
            println!("{name}: {before} executions so far");
        }
        start_execution();
        canary::open_ledger();
        body();
        set_step_hook(None);
        canary::close_ledger();
    });
    executions.load(Ordering::Relaxed)
}

/// Asserts that `body` fails, saying `words`, when `seed` is planted. `test` is the path of the
/// calling test in its binary, by which the child process finds it again. `reach` is how far the search for the failure
/// goes: the bound, or less where less will do, and where the whole of it would take minutes.
///
/// # Panics
/// If the model does not notice the seed, or dies of something else.
pub fn expect_caught(test: &str, seed: Seed, words: &str, reach: Reach, body: fn()) {
    if std::env::var_os(CHILD).is_some() {
        return run_planted(seed, reach, body);
    }
    let child = Command::new(std::env::current_exe().expect("a test binary has a path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test binary can be run again");
    let said = String::from_utf8_lossy(&child.stderr);
    let first = said.lines().find(|line| line.starts_with(FIRST)).unwrap_or("no panic");
    println!("{seed:?}: {first}");
    assert!(!child.status.success(), "{seed:?} was not caught\n{said}");
    assert!(first.contains(words), "{seed:?} was caught, but not by \"{words}\"\n{said}");
}

/// How a child process begins the line that says what failed first.
const FIRST: &str = "caught in execution ";

fn run_planted(seed: Seed, reach: Reach, body: fn()) {
    let executions = Arc::<AtomicUsize>::default();
    let (counter, said) = (Arc::clone(&executions), AtomicUsize::new(0));
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // The first panic is the finding; what follows is the wreckage.
        if said.fetch_add(1, Ordering::Relaxed) == 0 {
            let text = info.payload_as_str().unwrap_or("(no text)").replace('\n', " ");
            eprintln!("{FIRST}{}: {text}", counter.load(Ordering::Relaxed));
        }
        usual(info);
    }));
    plant(Some(seed));
    if catch_unwind(AssertUnwindSafe(|| explore("planted", reach, body, &executions))).is_err() {
        // Threads of the failed execution are still suspended in the middle of things, and there
        // is no telling what their destructors would do.
        std::process::exit(1);
    }
    eprintln!("all {} executions passed", executions.load(Ordering::Relaxed));
}

/// Makes tests of models: one that each passes as it is, and one per seed that it is caught.
///
/// ```text
/// suite! {
///     sound: first_model, second_model;
///     wide: third_model;
///     widest: fourth_model;
///     campaign: fifth_model;
///     seeded:
///         name_of_test = SomeSeed in first_model => "words of the failure",
///         name_of_another = SomeSeed in fifth_model at Wide => "words of the failure", ...
/// }
/// ```
#[macro_export]
macro_rules! suite {
    (
        sound: $($model:ident),+;
        wide: $($wide:ident),*;
        widest: $($widest:ident),*;
        campaign: $($campaign:ident),*;
        seeded:
            $($test:ident = $seed:ident in $host:ident $(at $reach:ident)? => $words:literal),* $(,)?
    ) => {
        mod sound {
            $(
                #[test]
                fn $model() {
                    $crate::check(stringify!($model), $crate::Reach::Full, super::$model);
                }
            )+
            $(
                #[test]
                fn $wide() {
                    $crate::check(stringify!($wide), $crate::Reach::Wide, super::$wide);
                }
            )*
            $(
                #[test]
                fn $widest() {
                    $crate::check(stringify!($widest), $crate::Reach::Widest, super::$widest);
                }
            )*
            $(
                #[test]
                #[ignore = "takes long even with the least reach: ci/loom-deep.sh"]
                fn $campaign() {
                    $crate::check(stringify!($campaign), $crate::Reach::Widest, super::$campaign);
                }
            )*
        }

        mod seeded {
            $(
                #[test]
                fn $test() {
                    $crate::expect_caught(
                        concat!("seeded::", stringify!($test)),
                        hotset::__model::Seed::$seed,
                        $words,
                        [$($crate::Reach::$reach,)? $crate::Reach::Full][0],
                        super::$host,
                    );
                }
            )*
        }
    };
}
