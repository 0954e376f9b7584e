//! Where and when was this measured? The line that stands over every table.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine, the day and the command of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub system: String,
    pub allocator: &'static str,
    pub date: String,
    pub command: String,
    pub peers: Vec<(String, String)>,
}

impl Machine {
    pub fn of_this_run() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self {
            cpu: cpu_model().unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: cores(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            allocator: "the system's allocator",
            date: date(seconds),
            command: command(&arguments),
            peers: pinned_versions(include_str!("../Cargo.toml")),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let plural = if self.cores == 1 { "core" } else { "cores" };
        format!(
            "{} · {} · {} {plural} · {} · {} · $ {}",
            self.date, self.cpu, self.cores, self.system, self.allocator, self.command
        )
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The command as it may be shown: without where things lie on this machine (tables are pasted
/// into files that others read), and without the tail of a long list of files.
fn command(arguments: &[String]) -> String {
    const FILES_SHOWN: usize = 2;
    let is_file = |argument: &String| argument.contains('/') && !argument.starts_with('-');
    let mut words = vec!["hotset-bench".to_owned()];
    for run in arguments.chunk_by(|a, b| is_file(a) && is_file(b)) {
        let shown = if run.len() > FILES_SHOWN + 1 { FILES_SHOWN } else { run.len() };
        words.extend(run[..shown].iter().map(|argument| match argument.rsplit_once('/') {
            Some((_, name)) if is_file(argument) => format!(".../{name}"),
            _ if argument.contains(' ') => format!("\"{argument}\""),
            _ => argument.clone(),
        }));
        if shown < run.len() {
            words.push(format!("(and {} more)", run.len() - shown));
        }
    }
    words.join(" ")
}

/// `YYYY-MM-DD` of a Unix time (Hinnant's "days to civil", for years after 1970).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The crates pinned with `=` in the manifest, so that a table never names a stale version.
fn pinned_versions(manifest: &str) -> Vec<(String, String)> {
    manifest
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, rest) = line.split_once(" = ")?;
            let version = rest.split("\"=").nth(1)?.split('"').next()?;
            Some((name.to_owned(), version.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_795_392_000), "2026-11-23");
    }

    #[test]
    fn a_command_is_shown_without_paths() {
        let of =
            |words: &str| command(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of(""), "hotset-bench");
        assert_eq!(of("hit --rounds 3"), "hotset-bench hit --rounds 3");
        assert_eq!(of("replay /a/b.u64 c.txt"), "hotset-bench replay .../b.u64 c.txt");
        let only = ["churn", "--only", "hotset,hotset clock"].map(str::to_owned);
        assert_eq!(command(&only), "hotset-bench churn --only \"hotset,hotset clock\"");
        let many = of("replay d/1 d/2 d/3 d/4 --svg plots/x.svg");
        assert_eq!(many, "hotset-bench replay .../1 .../2 (and 2 more) --svg .../x.svg");
    }

    #[test]
    fn versions_come_from_the_manifest() {
        let text = "a = \"=1.2.3\"\nb = { version = \"=0.1.0\", features = [\"x\"] }\nc = \"1\"\n";
        let expected = [("a", "1.2.3"), ("b", "0.1.0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(pinned_versions(text), expected);
    }
}
