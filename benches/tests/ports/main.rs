//! Programs written for moka and quick_cache, as their documentation shows, and their ports to
//! hotset. Do they behave the same?
//!
//! Each folder has the program twice, the difference of the two files being the port, and a script
//! that is played to both.

mod blobs;
mod fetcher;
mod pages;
mod users;
