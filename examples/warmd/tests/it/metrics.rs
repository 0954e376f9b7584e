//! `/metrics` is well formed, few in labels, and written down.

use std::collections::BTreeSet;

use crate::common::{Daemon, Models};

const README: &str = include_str!("../../README.md");

#[test]
fn every_metric_is_well_formed_and_documented() {
    let models = Models::new().train("m", &[]);
    let daemon = Daemon::start(&models, &[]);
    daemon.score("m");
    daemon.score("m");
    daemon.score("absent");
    for path in ["/nowhere", "/no/where", "/%00"] {
        daemon.get(path);
    }
    let text = daemon.get("/metrics").text();
    let mut families = BTreeSet::new();
    let mut typed = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.insert(rest.split(' ').next().expect("a name").to_owned());
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        families.insert(family.unwrap_or(name).to_owned());
    }
    assert_eq!(families, typed, "each family has its type, and each type a series");
    for family in &families {
        assert!(README.contains(&format!("`{family}`")), "{family} is not in the README");
    }
    let documented = README.lines().filter_map(|line| line.strip_prefix("| `warmd_"));
    for line in documented {
        let name = format!("warmd_{}", line.split('`').next().expect("a name"));
        assert!(families.contains(&name), "{name} is in the README only");
    }
    for series in [
        "warmd_acquired_total{how=\"hit\"} 1",
        "warmd_acquired_total{how=\"waited\"} 1",
        "warmd_answers_total{route=\"score\",status=\"200\"} 2",
        "warmd_answers_total{route=\"score\",status=\"404\"} 1",
        "warmd_answers_total{route=\"unknown\",status=\"404\"} 3",
        "warmd_opened_total 1",
        "warmd_backends{state=\"ready\"} 1",
        "warmd_load_seconds_count 1",
        "warmd_used_after_close_total 0",
    ] {
        assert!(text.lines().any(|line| line == series), "no {series} in\n{text}");
    }
    assert!(!text.contains("\"m\""), "no label grows with what clients ask for");
    daemon.end().assert_clean();
}
