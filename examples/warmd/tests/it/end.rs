//! The beginning and the end: preload, drain, report.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::{Daemon, Models};

#[test]
fn ready_is_said_after_the_preload() {
    let models = Models::new().train("m", &["--load-ms", "1200"]);
    let daemon = Daemon::start(&models, &["--preload", "m", "--preload", "absent"]);
    let early = daemon.get("/ready");
    assert_eq!((early.status, early.json()["ready"].as_bool()), (503, Some(false)));
    assert_eq!(daemon.get("/health").status, 200);
    daemon.wait_for("/counts/ready", 1);
    while daemon.get("/ready").status != 200 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(daemon.score("m").is_hit());
    daemon.end().assert_clean();
}

#[test]
fn sigterm_during_loads_drains_and_reports() {
    let models = Models::new()
        .train("used", &["--score-ms", "1500"])
        .train("one", &["--load-ms", "1500"])
        .train("two", &["--load-ms", "1500"])
        .train("idle", &["--close-ms", "300"]);
    let daemon = Daemon::start(&models, &[]);
    assert_eq!(daemon.score("idle").status, 200);
    let used = daemon.score_later("used");
    daemon.wait_for("/counts/leases", 1);
    let loading = [daemon.score_later("one"), daemon.score_later("two")];
    daemon.wait_for("/counts/loading", 2);
    daemon.signal(Signal::SIGTERM);
    // Who waits is told at once; who has a lease finishes.
    for waiting in loading {
        let reply = waiting.join().expect("no panic");
        assert_eq!(reply.refusal(), (503, "shutting_down".into()));
        assert!(reply.retry_after().is_some());
    }
    let health = daemon.get("/health");
    assert_eq!(health.json()["status"], "draining");
    assert_eq!(daemon.get("/ready").status, 503);
    assert_eq!(daemon.score("idle").refusal(), (503, "shutting_down".into()));
    assert_eq!(used.join().expect("no panic").status, 200);
    let end = daemon.ended();
    end.assert_clean();
    assert_eq!(end.count("opened"), 4, "late loads are closed, not forgotten: {}", end.report);
    assert_eq!(end.report["unfinished"], serde_json::json!([]));
}

#[test]
fn a_drain_has_a_deadline_and_names_what_is_left() {
    let models = Models::new().train("slow", &["--close-ms", "20000"]);
    let daemon = Daemon::start(&models, &["--drain-ms", "300"]);
    assert_eq!(daemon.score("slow").status, 200);
    let end = daemon.end();
    assert!(!end.status.success(), "something was left open");
    assert!(end.took < Duration::from_secs(15), "{:?}", end.took);
    assert_eq!(end.report["unfinished"], serde_json::json!(["slow"]));
    assert_eq!(end.count("alive"), 1);
}

#[test]
fn a_lease_that_outlasts_the_drain_is_named() {
    let models = Models::new().train("used", &["--score-ms", "20000"]);
    let daemon = Daemon::start(&models, &["--drain-ms", "300"]);
    let _used = std::thread::spawn({
        let (address, body) = (daemon.address, crate::common::wants("used"));
        // It breaks off when the daemon ends.
        move || drop(crate::common::ask(address, &body))
    });
    daemon.wait_for("/counts/leases", 1);
    let end = daemon.end();
    assert!(!end.status.success());
    assert_eq!(end.report["still_leased"], serde_json::json!(["used"]));
}

#[test]
fn a_second_signal_ends_the_drain() {
    let models = Models::new().train("slow", &["--close-ms", "20000"]);
    let daemon = Daemon::start(&models, &[]);
    assert_eq!(daemon.score("slow").status, 200);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for("/counts/closing", 1);
    let end = daemon.end();
    assert!(end.took < Duration::from_secs(15), "{:?}", end.took);
    assert!(!end.status.success(), "not all was closed, and the status says so");
}
