//! The tests of `ResourceCache`, one binary. Each module says which question it answers.
//!
//! What is expected here comes from the contract of `ResourceCache`, not from its code.
//!
//! Environment: `HOTSET_STRESS_SECONDS` gives the tests in which everything happens at once that many
//! seconds each (default: one round, well below a second).

mod gate;
mod hand;
mod world;

mod cancel;
mod clocks;
mod faults;
mod field;
mod hooks;
#[path = "../../examples/model_spec.rs"]
mod model_spec;
mod naive;
mod parity;
mod rules;
mod sleepy;
mod types;
mod waits;
