//! How is one measured against another? In interleaved rounds, by medians.
//!
//! In each round every contestant runs once, one after the other, and the order rotates from round
//! to round: on a shared machine the noise of a minute then falls on all alike. A ratio is the
//! median of the ratios *within* rounds.

use std::time::Duration;

use crate::report::progress_bar;
use crate::workload::{Cursor, Sample, Tally, Workload, round};

/// One row of a table to be: a peer, in one configuration, on some threads.
pub struct Contestant {
    pub name: String,
    pub threads: usize,
    /// Anything that the table should say of it.
    pub remark: String,
    run: Box<dyn FnMut(Duration) -> Sample>,
}

impl Contestant {
    /// One whose state goes on from round to round.
    pub fn lasting<W: Workload + 'static>(
        name: impl Into<String>,
        workload: W,
        mut cursors: Vec<Cursor>,
    ) -> Self {
        Self {
            name: name.into(),
            threads: cursors.len(),
            remark: String::new(),
            run: Box::new(move |budget| round(&workload, &mut cursors, budget)),
        }
    }

    /// One that is built anew before each round: seeds and addresses differ from round to round,
    /// and a lucky layout is one sample instead of all.
    pub fn fresh<W: Workload + 'static>(
        name: impl Into<String>,
        make: impl Fn() -> W + 'static,
        mut cursors: Vec<Cursor>,
    ) -> Self {
        Self {
            name: name.into(),
            threads: cursors.len(),
            remark: String::new(),
            run: Box::new(move |budget| round(&make(), &mut cursors, budget)),
        }
    }

    /// One whose rounds are a fixed piece of work, whatever time it takes.
    pub fn piece_of_work(
        name: impl Into<String>,
        threads: usize,
        work: impl Fn() -> Sample + 'static,
    ) -> Self {
        let run = Box::new(move |_budget| work());
        Self { name: name.into(), threads, remark: String::new(), run }
    }

    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = remark.into();
        self
    }
}

/// All samples of one contestant, in the order of the rounds.
pub struct Series {
    pub name: String,
    pub threads: usize,
    pub remark: String,
    pub samples: Vec<Sample>,
}

impl Series {
    /// Median throughput, million operations a second.
    pub fn mops(&self) -> f64 {
        median(self.samples.iter().map(Sample::mops))
    }

    /// Least and greatest throughput of a round.
    pub fn range(&self) -> (f64, f64) {
        let mops = self.samples.iter().map(Sample::mops);
        mops.fold((f64::INFINITY, 0.0), |(least, most), m| (least.min(m), most.max(m)))
    }

    /// Counts over all rounds.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.samples.iter().for_each(|sample| total += sample.tally);
        total
    }

    /// Share of operations that hit.
    pub fn hit_share(&self) -> f64 {
        share(self.total().hits, self.total().ops)
    }

    /// Share of inserts that were refused.
    pub fn refused_share(&self) -> f64 {
        share(self.total().refused, self.total().inserts)
    }

    /// How many times the throughput of `base`.
    pub fn ratio(&self, base: &Self) -> f64 {
        self.ratio_by(base, Sample::mops)
    }

    fn ratio_by(&self, base: &Self, speed: fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&base.samples).map(|(own, base)| speed(own) / speed(base)))
    }
}

/// The outcome of [`interleave`].
#[derive(Default)]
pub struct Board {
    pub series: Vec<Series>,
}

impl Board {
    pub fn get(&self, name: &str, threads: usize) -> Option<&Series> {
        self.series.iter().find(|s| s.name == name && s.threads == threads)
    }

    /// Throughput of one against another on as many threads; `None` if one did not take part.
    pub fn ratio(&self, name: &str, base: &str, threads: usize) -> Option<f64> {
        Some(self.get(name, threads)?.ratio(self.get(base, threads)?))
    }

    /// Throughput of `name` on `threads` threads against its own on one, both on the clock: of
    /// one thread's own time and of a time that others may have shortened there is no ratio.
    pub fn scaling(&self, name: &str, threads: usize) -> Option<f64> {
        let one = self.get(name, 1)?;
        Some(self.get(name, threads)?.ratio_by(one, Sample::mops_on_the_clock))
    }
}

/// Runs all contestants for `rounds` rounds of `budget` each.
pub fn interleave(
    title: &str,
    contestants: Vec<Contestant>,
    rounds: usize,
    budget: Duration,
) -> Board {
    let bar = progress_bar(title, (rounds * contestants.len()) as u64);
    let (mut runs, mut series) = (Vec::new(), Vec::new());
    for c in contestants {
        runs.push(c.run);
        let samples = Vec::with_capacity(rounds);
        series.push(Series { name: c.name, threads: c.threads, remark: c.remark, samples });
    }
    for round in 0..rounds {
        for step in 0..runs.len() {
            let i = (round + step) % runs.len();
            let sample = runs[i](budget);
            series[i].samples.push(sample);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Board { series }
}

/// The median; of an even number, the mean of the middle two. 0 of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Took;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        let series = |name: &str, ops: [u64; 3]| Series {
            name: name.to_owned(),
            threads: 1,
            remark: String::new(),
            samples: ops
                .map(|ops| Sample {
                    tally: Tally { ops, ..Tally::default() },
                    took: Took { clock: Duration::from_secs(1), own: None },
                })
                .to_vec(),
        };
        // The second round was slow for both: the ratio does not see it.
        let board =
            Board { series: vec![series("a", [200, 20, 220]), series("b", [100, 10, 100])] };
        assert_eq!(board.ratio("a", "b", 1), Some(2.0));
        assert_eq!(board.ratio("a", "c", 1), None);
    }

    #[test]
    fn a_refused_insert_is_no_operation() {
        let tally = Tally { ops: 3_000_000, hits: 0, inserts: 3_000_000, refused: 1_000_000 };
        let took = Took { clock: Duration::from_secs(2), own: Some(Duration::from_secs(1)) };
        let sample = Sample { tally, took };
        assert_eq!((sample.mops(), sample.mops_on_the_clock()), (2.0, 1.0));
    }

    #[test]
    fn contestants_take_turns() {
        use std::sync::{Arc, Mutex};
        struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);
        impl Workload for Note {
            fn chunk(&self, cursor: &mut Cursor) -> Tally {
                if cursor.at == 0 {
                    self.1.lock().unwrap().push(self.0);
                }
                cursor.at = 1;
                Tally { ops: 1, ..Tally::default() }
            }
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let contestants = ["x", "y"].map(|name| {
            Contestant::lasting(name, Note(name, Arc::clone(&log)), Cursor::spread(1, 0))
        });
        let board = interleave("test", contestants.into(), 3, Duration::from_millis(1));
        assert_eq!(*log.lock().unwrap(), ["x", "y"]);
        assert!(board.series.iter().all(|s| s.samples.len() == 3));
    }
}
