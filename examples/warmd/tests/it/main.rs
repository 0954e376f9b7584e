//! The daemon from outside: the real binary, over HTTP, with models that it trained itself.

mod common;

mod bodies;
mod browser;
mod budget;
mod door;
mod end;
mod faults;
mod metrics;
mod scores;
