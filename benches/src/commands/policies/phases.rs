//! How fast does each adapt when the load changes? Hit ratios over time, and the time to recover.

use std::ops::Range;

use super::cells::Row;
use super::contestants::Contestant;
use super::stream::{SLICES, Stream};
use crate::report::{Cell, Table, grouped};

/// Slices of a part that are told together.
const TENTH: usize = SLICES / 10;

/// Below this a contestant has not settled to anything that it could have recovered.
const LEAST_RATIO: f64 = 0.01;

/// Hits and requests of slices.
fn ratio(hits: &[usize], ranges: &[Range<usize>], slices: Range<usize>) -> f64 {
    let requests: usize = ranges[slices.clone()].iter().map(Range::len).sum();
    hits[slices].iter().sum::<usize>() as f64 / requests.max(1) as f64
}

/// The hit ratio in each tenth of each part of `stream`.
pub fn over_time(row: &Row, stream: &Stream, contestants: &[Contestant]) -> Table {
    let mut table = table("hit ratio in % over", "tenth", row, stream, contestants);
    let ranges: Vec<_> = stream.ranges().collect();
    let mut line = |part: &str, tenth: String, slices: Range<usize>| {
        let mut cells = vec![Cell::text(part), Cell::text(tenth)];
        cells.extend((0..contestants.len()).map(|i| {
            Cell::number(ratio(&row.outcomes[i].hits, &ranges, slices.clone()) * 100.0, 2)
        }));
        table.row(cells);
    };
    for start in (0..stream.slices.len()).step_by(SLICES) {
        let name = &stream.slices[start].name;
        for tenth in 0..10 {
            let from = start + tenth * TENTH;
            line(name, (tenth + 1).to_string(), from..from + TENTH);
        }
        line(name, "all".to_owned(), start..start + SLICES);
    }
    line("whole", "all".to_owned(), 0..stream.slices.len());
    table
}

/// How many requests each needed at the beginning of each part until it hit as much as later on.
pub fn recovery(row: &Row, stream: &Stream, contestants: &[Contestant]) -> Table {
    let mut table = table("requests until settled in", "requests", row, stream, contestants);
    let ranges: Vec<_> = stream.ranges().collect();
    for start in (0..stream.slices.len()).step_by(SLICES) {
        let part = start..start + SLICES;
        let requests = ranges[part.end - 1].end - ranges[start].start;
        let mut cells = vec![Cell::text(&stream.slices[start].name), Cell::count(requests as u64)];
        cells.extend(row.outcomes[..contestants.len()].iter().map(|outcome| {
            let settled = settled(&outcome.hits, &ranges, part.clone());
            settled.map_or_else(Cell::none, |requests| Cell::count(requests as u64))
        }));
        table.row(cells);
    }
    table.note(format!(
        "Settled: nine tenths of its own hit ratio over the second half of the part, told in \
         hundredths of the part; a dash: that ratio is below {} %.",
        LEAST_RATIO * 100.0
    ));
    table
}

/// Requests before the first slice of `part` that hits nearly as much as its second half.
fn settled(hits: &[usize], ranges: &[Range<usize>], part: Range<usize>) -> Option<usize> {
    let half = part.start + part.len() / 2;
    let later = ratio(hits, ranges, half..part.end);
    if later < LEAST_RATIO {
        return None;
    }
    let reached = |&slice: &usize| ratio(hits, ranges, slice..slice + 1) >= 0.9 * later;
    let first = part.clone().find(reached)?;
    Some(ranges[first].start - ranges[part.start].start)
}

fn table(
    what: &str,
    second: &str,
    row: &Row,
    stream: &Stream,
    contestants: &[Contestant],
) -> Table {
    let mut header = vec!["part", second];
    header.extend(contestants.iter().map(|contestant| contestant.name.as_str()));
    let entries = grouped(row.entries as u64);
    let name = &stream.trace.name;
    Table::new(format!("Policies: {what} {name}, capacity {entries} entries"), &header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_is_the_first_slice_that_reaches_the_second_half() {
        let ranges: Vec<_> = (0..SLICES).map(|i| i * 10..i * 10 + 10).collect();
        let mut hits = vec![5; SLICES];
        assert_eq!(settled(&hits, &ranges, 0..SLICES), Some(0));
        hits[..7].fill(4);
        assert_eq!(settled(&hits, &ranges, 0..SLICES), Some(70));
        hits[SLICES / 2..].fill(0);
        assert_eq!(settled(&hits, &ranges, 0..SLICES), None);
    }
}
