//! How long did things take? Counts in fixed classes, as Prometheus wants them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::ledger::Count;

/// Upper bounds of the classes, in milliseconds: half a millisecond to a minute.
const BOUNDS_MS: [f64; 13] =
    [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0, 5_000.0, 30_000.0, 60_000.0];

#[derive(Debug, Default)]
pub struct Histogram {
    classes: [Count; BOUNDS_MS.len() + 1],
    micros: Count,
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        let class = BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.classes[class].add();
        self.micros.add_many(took.as_micros().try_into().unwrap_or(u64::MAX));
    }

    /// The histogram in the text format of Prometheus, in seconds.
    pub fn write(&self, name: &str, help: &str, out: &mut String) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut count = 0;
        for (class, bound) in self.classes.iter().zip(BOUNDS_MS) {
            count += class.get();
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", bound / 1e3);
        }
        count += self.classes[BOUNDS_MS.len()].get();
        let seconds = self.micros.get() as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {seconds}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_cumulative_and_their_bounds_belong_to_them() {
        let histogram = Histogram::default();
        for ms in [1, 2, 70_000] {
            histogram.record(Duration::from_millis(ms));
        }
        let mut text = String::new();
        histogram.write("x_seconds", "Help.", &mut text);
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.0005\"} 0",
            "x_seconds_bucket{le=\"0.001\"} 1",
            "x_seconds_bucket{le=\"0.0025\"} 2",
            "x_seconds_bucket{le=\"60\"} 2",
            "x_seconds_bucket{le=\"+Inf\"} 3",
            "x_seconds_sum 70.003",
            "x_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
