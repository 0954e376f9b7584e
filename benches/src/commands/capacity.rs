//! How large shall the caches be? Capacities as a user gives them.

use std::str::FromStr;

use crate::report::grouped;

/// Smaller caches say nothing: sharded peers would have a handful of entries in each shard.
pub const LEAST_CAPACITY: usize = 20;

/// A capacity as the user gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    Entries(usize),
    /// Of the unique keys, in per cent.
    Percent(f64),
}

impl Capacity {
    pub fn entries(self, unique: usize) -> usize {
        match self {
            Self::Entries(entries) => entries,
            Self::Percent(percent) => (unique as f64 * percent / 100.0) as usize,
        }
    }

    pub fn words(self) -> String {
        match self {
            Self::Entries(entries) => format!("{} entries", grouped(entries as u64)),
            Self::Percent(percent) => format!("{percent} %"),
        }
    }
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = match text.strip_suffix('%') {
            Some(number) => number.trim().parse().ok().map(Self::Percent),
            None => text.parse().ok().map(Self::Entries),
        };
        let in_range = valid.filter(|capacity| match *capacity {
            Self::Entries(entries) => (1..=100_000_000).contains(&entries),
            Self::Percent(percent) => percent > 0.0 && percent <= 100.0,
        });
        in_range.ok_or_else(|| {
            format!("{text:?} is neither a number of entries (500) nor a share of the keys (1%)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_entries_or_shares() {
        assert_eq!("500".parse(), Ok(Capacity::Entries(500)));
        assert_eq!("0.5%".parse(), Ok(Capacity::Percent(0.5)));
        for text in ["0", "0%", "101%", "-1", "", "many", "1.5", "NaN%"] {
            assert!(text.parse::<Capacity>().is_err(), "{text}");
        }
        assert_eq!(Capacity::Percent(10.0).entries(1_011), 101);
    }
}
