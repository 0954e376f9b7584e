//! How is it told? Tables for people, JSON for programs, a bar while it lasts.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use anyhow::Result;
use comfy_table::CellAlignment;
use comfy_table::presets::ASCII_MARKDOWN;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::machine::Machine;

/// A value in a table: shown as text, kept as a number where it is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None }
    }

    /// With `digits` after the point.
    pub fn number(value: f64, digits: usize) -> Self {
        Self { text: format!("{value:.digits$}"), value: Some(value) }
    }

    /// With thousands set apart.
    pub fn count(value: u64) -> Self {
        Self { text: grouped(value), value: Some(value as f64) }
    }

    /// `1.25 x`, or a dash for a ratio that nobody measured.
    pub fn ratio(value: Option<f64>) -> Self {
        value.map_or_else(Self::none, |value| Self {
            text: format!("{value:.2} x"),
            value: Some(value),
        })
    }

    /// A share as per cent.
    pub fn share(value: f64, digits: usize) -> Self {
        let percent = value * 100.0;
        Self { text: format!("{percent:.digits$} %"), value: Some(value) }
    }

    /// With an asterisk, which a note explains.
    pub fn marked(mut self) -> Self {
        self.text.push('*');
        self
    }

    pub fn none() -> Self {
        Self::text("-")
    }
}

/// 1234567 as "1,234,567".
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The mean; zero of none.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), v| (sum + v, count + 1));
    sum / f64::from(count.max(1))
}

/// One table. Its first column is text, the others are set flush right.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    pub title: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// What a reader must know to read it rightly.
    pub notes: Vec<String>,
}

impl Table {
    pub fn new(title: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        Self { title: title.into(), header, rows: Vec::new(), notes: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn print(&self, machine: &Machine) {
        let mut shown = comfy_table::Table::new();
        shown.load_style(ASCII_MARKDOWN).set_header(self.header.clone());
        for row in &self.rows {
            shown.add_row(row.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>());
        }
        for (column, header) in shown.column_iter_mut().zip(&self.header).skip(1) {
            if header != REMARK {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("\n## {}\n\n{}\n\n{shown}", self.title, machine.line());
        self.notes.iter().for_each(|note| println!("\n{note}"));
    }
}

/// The header of a column of text, set flush left.
pub const REMARK: &str = "remark";

/// What a target of the design asks, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub what: String,
    pub target: String,
    pub measured: String,
    pub met: Option<bool>,
}

impl Check {
    /// A target that a figure must reach; no figure, no verdict.
    pub fn at_least(what: &str, against: &str, target: f64, measured: Option<f64>) -> Self {
        Self {
            what: what.to_owned(),
            target: format!(">= {target:.2} x {against}"),
            measured: measured.map_or_else(|| "-".to_owned(), |m| format!("{m:.2} x")),
            met: measured.map(|m| m >= target),
        }
    }

    pub fn new(what: &str, target: &str, measured: String, met: Option<bool>) -> Self {
        Self { what: what.to_owned(), target: target.to_owned(), measured, met }
    }
}

/// The table of all targets.
pub fn targets(checks: &[Check]) -> Table {
    verdicts("Targets", checks)
}

/// A table of targets of one kind.
pub fn verdicts(title: &str, checks: &[Check]) -> Table {
    let mut table = Table::new(title, &["what", "target", "measured", "verdict"]);
    for check in checks {
        let verdict = match check.met {
            Some(true) => "met",
            Some(false) => "SHORT",
            None => "not measured",
        };
        table.row(vec![
            Cell::text(&check.what),
            Cell::text(&check.target),
            Cell::text(&check.measured),
            Cell::text(verdict),
        ]);
    }
    table
}

/// Takes tables as they are made; prints them at once, or all together as JSON at the end.
pub struct Report {
    machine: Machine,
    json: bool,
    tables: Vec<Table>,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Self { machine: Machine::of_this_run(), json, tables: Vec::new() }
    }

    pub fn add(&mut self, table: Table) {
        if !self.json {
            table.print(&self.machine);
        }
        self.tables.push(table);
    }

    pub fn finish(self) -> Result<()> {
        if self.json {
            let all = serde_json::json!({ "machine": self.machine, "tables": self.tables });
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Ok(())
    }
}

/// A bar on standard error; none where nobody would see it move.
pub fn progress_bar(title: &str, length: u64) -> ProgressBar {
    let target = if stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{msg:<24} [{bar:40}] {percent:>3} % · {eta} left")
        .expect("the template is a constant")
        .progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(Some(length), target);
    bar.set_style(style);
    bar.set_message(title.to_owned());
    // Rounds can last longer than a person's patience with a bar that stands still.
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_target_without_a_figure_has_no_verdict() {
        assert_eq!(Check::at_least("hit", "moka", 8.0, None).met, None);
        assert_eq!(Check::at_least("hit", "moka", 8.0, Some(8.0)).met, Some(true));
        assert_eq!(Check::at_least("hit", "moka", 8.0, Some(7.99)).met, Some(false));
    }

    #[test]
    fn json_keeps_numbers_as_numbers() {
        let mut table = Table::new("t", &["a", "b"]);
        table.row(vec![Cell::text("x"), Cell::number(1.5, 2)]);
        let json = serde_json::to_value(&table).unwrap();
        assert_eq!(json["rows"][0][1]["value"], 1.5);
        assert_eq!(json["rows"][0][1]["text"], "1.50");
        assert!(json["rows"][0][0].get("value").is_none());
    }
}
