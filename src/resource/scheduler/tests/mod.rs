//! Does the scheduler keep its promises under any sequence of events? And would the tests notice?

mod sequences;
mod single;
mod threads;
mod world;
