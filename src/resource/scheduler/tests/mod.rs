//! Does the scheduler keep its promises under any sequence of events? And would the tests notice?

mod sequences;
mod single;
mod threads;
mod world;

use crate::seed::{Seed, plant};

/// Asserts that `explore` fails with one of `words` in what it says, when `seed` is planted.
fn expect_caught(seed: Seed, words: &[&str], explore: impl FnOnce() -> Result<(), String>) {
    plant(Some(seed));
    let outcome = explore();
    plant(None);
    let error = outcome.expect_err("the seed was not caught");
    assert!(words.iter().any(|words| error.contains(words)), "{seed:?} was caught by {error}");
}
