//! How much did each contestant hit of each stream at each capacity? All cells, several at a time.

use super::contestants::{Contestant, Kind, Outcome};
use super::stream::Stream;
use crate::commands::capacity::{Capacity, LEAST_CAPACITY};
use crate::parallel;
use crate::report::progress_bar;

/// Per cent of its capacity above which a cache's ratio is nobody's best. A shard's part rounded
/// up is allowed for.
const OVERFULL: f64 = 103.0;

/// One stream at one capacity.
pub struct Row {
    pub stream: usize,
    pub capacity: Capacity,
    pub entries: usize,
    pub requests: usize,
    /// Of each contestant.
    pub outcomes: Vec<Outcome>,
    kinds: Vec<Kind>,
}

impl Row {
    pub fn ratio(&self, contestant: usize) -> f64 {
        self.outcomes[contestant].hits.iter().sum::<usize>() as f64 / self.requests as f64
    }

    /// In per cent of the capacity, the greatest size that was seen.
    pub fn held(&self, contestant: usize) -> f64 {
        self.outcomes[contestant].most_held as f64 / self.entries as f64 * 100.0
    }

    /// Whether it held so much more than it was given that its ratio proves nothing.
    pub fn overfull(&self, contestant: usize) -> bool {
        self.held(contestant) > OVERFULL
    }

    /// The best ratio of those that kept to their capacity and do not know the future.
    pub fn best(&self) -> f64 {
        let online = (0..self.outcomes.len())
            .filter(|&i| self.kinds[i] != Kind::Optimum && !self.overfull(i));
        online.map(|i| self.ratio(i)).fold(0.0, f64::max)
    }

    pub fn shortfall(&self, contestant: usize) -> f64 {
        (self.best() - self.ratio(contestant)).max(0.0)
    }
}

/// The rows of all streams at all `capacities`; shares that come to fewer than
/// [`LEAST_CAPACITY`] entries are left out.
pub fn run(
    streams: &[Stream],
    capacities: &[Capacity],
    contestants: &[Contestant],
    jobs: usize,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, stream) in streams.iter().enumerate() {
        for &capacity in capacities {
            let entries = capacity.entries(stream.trace.unique);
            if entries >= LEAST_CAPACITY || matches!(capacity, Capacity::Entries(_)) {
                rows.push(Row {
                    stream: number,
                    capacity,
                    entries,
                    requests: stream.trace.ids.len(),
                    outcomes: Vec::new(),
                    kinds: contestants.iter().map(|contestant| contestant.kind).collect(),
                });
            }
        }
    }
    // The longest first: else one is left over at the end that nobody shares.
    let mut cells: Vec<(usize, usize)> =
        (0..rows.len()).flat_map(|row| (0..contestants.len()).map(move |i| (row, i))).collect();
    cells.sort_by_key(|&(row, _)| std::cmp::Reverse(rows[row].requests));
    let requests: usize = rows.iter().map(|row| row.requests * contestants.len()).sum();
    let bar = progress_bar("replays", requests as u64);
    let outcomes = parallel::each(&cells, jobs, |&(row, contestant)| {
        let row = &rows[row];
        (contestants[contestant].replay)(row.entries, &streams[row.stream], &bar)
    });
    bar.finish_and_clear();
    // The sort is stable, so those of a row are still in the contestants' order.
    for ((row, _), outcome) in cells.into_iter().zip(outcomes) {
        rows[row].outcomes.push(outcome);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::contestants::contestants;
    use super::*;
    use crate::numbered::Numbered;
    use crate::peers::Only;

    #[test]
    fn a_small_grid_by_hand() {
        let looping = |period: u32, requests: u32| {
            let ids = (0..requests).map(|i| i % period).collect();
            Stream::whole(Numbered { name: "loop".to_owned(), ids, unique: period as usize })
        };
        let streams = [looping(30, 60), looping(300, 900)];
        let columns = ["FIFO", "LRU", "OPT"].map(str::to_owned);
        let contestants = contestants(&columns, &[], &Only::default(), 1).unwrap();
        let capacities = [Capacity::Entries(30), Capacity::Percent(10.0)];
        let rows = run(&streams, &capacities, &contestants, 2);
        // Three entries are too few for the second capacity of the short loop.
        assert_eq!(
            rows.iter().map(|row| (row.stream, row.entries)).collect::<Vec<_>>(),
            [(0, 30), (1, 30), (1, 30)]
        );
        assert_eq!([0, 1, 2].map(|i| rows[0].ratio(i)), [0.5; 3]);
        assert_eq!((rows[1].ratio(1), rows[1].best(), rows[1].shortfall(0)), (0.0, 0.0, 0.0));
        assert!(rows[1].ratio(2) > 0.0, "the optimum keeps a part of the loop");
    }
}
