//! Every scheme: nothing is read too late, leaked, or dropped twice. One test, since the count of
//! live values is the process's.

use std::time::Duration;

use super::crowd::{Long, Scenario, Work, zipf};
use super::{Args, entries, seat};

#[test]
fn every_scheme_frees_everything_once_and_nothing_early() {
    let _seat = seat::Seat::take();
    let args = Args {
        quick: true,
        threads: 4,
        rounds: None,
        millis: None,
        schemes: None,
        part: None,
        scenario: None,
    };
    let (slots, draws) = (16, zipf(16));
    let time = Duration::from_millis(if cfg!(miri) { 1 } else { 30 });
    for entry in entries(&args) {
        for long in [Long::None, Long::Millisecond, Long::Forever] {
            for work in [Work::Churn, Work::Mix] {
                for limit in [None, Some(200)] {
                    let scenario = Scenario { slots, limit, work, load: Duration::ZERO, long };
                    let outcome = (entry.crowd)(scenario, &draws, args.threads, time);
                    if limit.is_some() {
                        // Each thread may have one node in its hand.
                        assert!(outcome.excess <= 200.0 + 8.0, "{}", entry.label);
                    }
                }
            }
        }
    }
}
