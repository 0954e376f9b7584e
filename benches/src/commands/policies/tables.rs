//! Who hit how much, and who fell how far short of the best? The lab's tables.

use super::cells::Row;
use super::contestants::{Contestant, Kind};
use super::stream::Stream;
use crate::commands::capacity::Capacity;
use crate::report::{Cell, Report, Table, grouped, mean};

fn percent(ratio: f64) -> Cell {
    Cell::number(ratio * 100.0, 2)
}

/// The mean hit ratio of a contestant, marked if it did not keep to its capacity everywhere.
fn mean_ratio(rows: &[&Row], contestant: usize) -> Cell {
    let cell = percent(mean(rows.iter().map(|row| row.ratio(contestant))));
    if rows.iter().any(|row| row.overfull(contestant)) { cell.marked() } else { cell }
}

/// A table for each capacity, with a row for each stream.
pub fn ratios(
    rows: &[Row],
    capacities: &[Capacity],
    streams: &[Stream],
    contestants: &[Contestant],
    report: &mut Report,
) {
    for &capacity in capacities {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.capacity == capacity).collect();
        if rows.is_empty() {
            continue;
        }
        let of = if matches!(capacity, Capacity::Percent(_)) { " of the unique keys" } else { "" };
        let mut header = vec!["trace", "entries"];
        header.extend(contestants.iter().map(|contestant| contestant.name.as_str()));
        let title = format!("Policies: hit ratio in %, capacity {}{of}", capacity.words());
        let mut table = Table::new(title, &header);
        for row in &rows {
            let name = Cell::text(&streams[row.stream].trace.name);
            let mut cells = vec![name, Cell::count(row.entries as u64)];
            cells.extend((0..contestants.len()).map(|i| {
                let cell = percent(row.ratio(i));
                if row.overfull(i) { cell.marked() } else { cell }
            }));
            table.row(cells);
        }
        let means = (0..contestants.len()).map(|i| mean_ratio(&rows, i));
        table.row([Cell::text("mean"), Cell::none()].into_iter().chain(means).collect());
        notes(&rows, contestants).into_iter().for_each(|note| table.note(note));
        report.add(table);
    }
}

/// What must be known of those that did not do as they were told.
fn notes(rows: &[&Row], contestants: &[Contestant]) -> Vec<String> {
    let mut notes = Vec::new();
    for (i, contestant) in contestants.iter().enumerate() {
        let name = &contestant.name;
        let held = rows.iter().map(|row| row.held(i)).fold(0.0, f64::max);
        if rows.iter().any(|row| row.overfull(i)) {
            notes.push(format!(
                "*: held more than its capacity, so it is nobody's best; {name} up to {held:.0} %."
            ));
        }
        let refused: usize = rows.iter().map(|row| row.outcomes[i].refused).sum();
        if refused > 0 {
            notes.push(format!("{name} refused {} inserts.", grouped(refused as u64)));
        }
    }
    notes
}

/// A line for each contestant: means at each capacity, and shortfalls over all of `rows`. The
/// least mean shortfall first.
pub fn summary(
    title: &str,
    rows: &[&Row],
    capacities: &[Capacity],
    streams: &[Stream],
    contestants: &[Contestant],
) -> Table {
    let at = |capacity: Capacity| -> Vec<&Row> {
        rows.iter().copied().filter(|row| row.capacity == capacity).collect()
    };
    let capacities: Vec<Capacity> =
        capacities.iter().copied().filter(|&capacity| !at(capacity).is_empty()).collect();
    let words: Vec<String> = capacities.iter().map(|capacity| capacity.words()).collect();
    let mut header = vec!["policy"];
    header.extend(words.iter().map(String::as_str));
    header.extend(["all cells", "mean shortfall", "worst shortfall", crate::report::REMARK]);
    let mut table = Table::new(title, &header);

    let shortfall = |i: usize| mean(rows.iter().map(|row| row.shortfall(i)));
    let mut order: Vec<usize> = (0..contestants.len()).collect();
    order.sort_by(|&a, &b| shortfall(a).total_cmp(&shortfall(b)));
    // The optimum is no rival: it stands at the end.
    order.sort_by_key(|&i| contestants[i].kind == Kind::Optimum);
    for i in order {
        let mut cells = vec![Cell::text(&contestants[i].name)];
        cells.extend(capacities.iter().map(|&capacity| mean_ratio(&at(capacity), i)));
        cells.push(mean_ratio(rows, i));
        let worst = rows.iter().max_by(|a, b| a.shortfall(i).total_cmp(&b.shortfall(i)));
        match worst.filter(|_| contestants[i].kind != Kind::Optimum) {
            Some(worst) => {
                let trace = &streams[worst.stream].trace.name;
                let place = format!("{trace} at {}", worst.capacity.words());
                cells.extend([
                    percent(shortfall(i)),
                    percent(worst.shortfall(i)),
                    Cell::text(place),
                ]);
            }
            None => cells.extend([Cell::none(), Cell::none(), Cell::text("knows the future")]),
        }
        table.row(cells);
    }
    table.note(format!(
        "Means in % over {} cells; shortfall: points below the best online contestant of a cell \
         that kept to its capacity. *: this one did not.",
        rows.len()
    ));
    table
}

#[cfg(test)]
mod tests {
    use super::super::cells;
    use super::super::contestants::contestants;
    use super::*;
    use crate::numbered::Numbered;
    use crate::peers::Only;

    #[test]
    fn the_summary_is_sorted_by_shortfall_and_the_optimum_is_no_rival() {
        // A loop of 40 keys: 20 places hit nothing of it, except for who sees the future; then
        // two keys in turn.
        let ids = (0..400).map(|i| i % 40).chain((0..100).map(|i| i % 2)).collect();
        let stream = Stream::whole(Numbered { name: "t".to_owned(), ids, unique: 40 });
        let streams = [stream];
        let columns = ["LRU", "LIRS", "OPT"].map(str::to_owned);
        let contestants = contestants(&columns, &[], &Only::default(), 1).unwrap();
        let capacities = [Capacity::Entries(20), Capacity::Percent(1.0)];
        let rows = cells::run(&streams, &capacities, &contestants, 1);
        let rows: Vec<&Row> = rows.iter().collect();
        let table = summary("t", &rows, &capacities, &streams, &contestants);
        let names: Vec<&str> = table.rows.iter().map(|row| row[0].text.as_str()).collect();
        assert_eq!(names, ["LIRS", "LRU", "OPT"]);
        // One capacity was left out; mean, all cells, shortfalls, place.
        assert_eq!(table.header.len(), 6);
        assert_eq!(table.rows[0][3].value, Some(0.0));
        assert!(table.rows[1][3].value > Some(20.0) && table.rows[2][3].value.is_none());
    }
}
