//! What goes wrong stays where it is: bad files, failing closes, clients that vanish.

use std::fs;
use std::net::Shutdown;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::http::begin;
use crate::common::{Daemon, Models, corrupt, wants};

#[test]
fn a_corrupt_file_costs_one_attempt_in_a_window_and_recovers_when_repaired() {
    let models = Models::new().train("m", &[]).train("n", &[]);
    let whole = fs::read(models.file("m")).expect("read");
    corrupt(&models.file("m"));
    let daemon = Daemon::start(&models, &["--backoff-ms", "3000"]);
    let began = Instant::now();
    let first: Vec<_> = (0..20).map(|_| daemon.score_later("m")).collect();
    let mut replies: Vec<_> = first.into_iter().map(|r| r.join().expect("no panic")).collect();
    replies.push(daemon.score("m"));
    let attempts = daemon.number("/ledger/load_attempts");
    if began.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(attempts, 1, "all within one window");
        assert_eq!(replies.pop().expect("pushed").refusal(), (503, "backoff".into()));
    }
    for reply in &replies {
        assert_eq!(reply.status, 503);
        let why = reply.message();
        assert!(why.contains("not a whole safetensors file") && why.contains("\"m\""), "{why}");
        let pause = reply.retry_after().expect("when to come again");
        assert!((1..=4).contains(&pause), "{pause} s");
    }
    let failures = &daemon.stats()["failures"];
    assert_eq!(failures[0]["key"], "m");
    assert!(failures[0]["attempts"].as_u64() >= Some(1), "{failures}");
    assert_eq!(daemon.score("n").status, 200, "others are as well as before");
    // Repaired: another file by its stamp, so nobody has to wait for the window's end.
    fs::write(models.file("m"), whole).expect("written");
    assert_eq!(daemon.score("m").status, 200);
    daemon.end().assert_clean();
}

#[test]
fn a_file_that_stays_corrupt_is_tried_again_after_the_window() {
    let models = Models::new().train("m", &[]);
    let bytes = fs::read(models.file("m")).expect("read");
    fs::write(models.file("m"), &bytes[..bytes.len() / 2]).expect("written");
    let daemon = Daemon::start(&models, &["--backoff-ms", "300", "--backoff-most-ms", "400"]);
    assert_eq!(daemon.score("m").refusal(), (503, "load_failed".into()));
    sleep(Duration::from_millis(400));
    assert_eq!(daemon.score("m").refusal(), (503, "load_failed".into()));
    assert_eq!(daemon.number("/ledger/load_attempts"), 2);
    assert_eq!(daemon.number("/failures/0/attempts"), 2);
    daemon.end().assert_clean();
}

#[test]
fn clients_that_vanish_mid_load_leave_no_trace() {
    let models = Models::new().train("m", &["--load-ms", "1500"]);
    let daemon = Daemon::start(&models, &[]);
    let body = wants("m").to_string();
    let json = [("content-type", "application/json")];
    let clients: Vec<_> = (0..8)
        .map(|_| begin(daemon.address, "POST", "/score", &json, body.as_bytes()).expect("sent"))
        .collect();
    daemon.wait_for("/counts/waiting", 8);
    for client in &clients[..4] {
        client.shutdown(Shutdown::Both).expect("shut down");
    }
    drop(clients);
    // Who left is out of the queue while the load goes on.
    daemon.wait_for("/counts/waiting", 0);
    assert_eq!(daemon.number("/counts/loading"), 1, "the load does not die with its clients");
    daemon.wait_for("/counts/ready", 1);
    assert_eq!(daemon.number("/counts/leases"), 0);
    assert!(daemon.score("m").is_hit(), "and its result is there for the next");
    assert_eq!(daemon.number("/ledger/load_attempts"), 1);
    daemon.end().assert_clean();
}

#[test]
fn a_client_that_vanishes_while_it_waits_for_room_begins_no_load() {
    let models = Models::new().train("busy", &["--score-ms", "1500"]).train("m", &[]);
    let daemon = Daemon::start(&models, &["--max-entries", "1"]);
    let busy = daemon.score_later("busy");
    daemon.wait_for("/counts/leases", 1);
    let json = [("content-type", "application/json")];
    let body = wants("m").to_string();
    let client = begin(daemon.address, "POST", "/score", &json, body.as_bytes()).expect("sent");
    daemon.wait_for("/counts/waiting", 1);
    drop(client);
    daemon.wait_for("/counts/waiting", 0);
    assert_eq!(busy.join().expect("no panic").status, 200);
    assert_eq!(daemon.number("/ledger/load_attempts"), 1, "nobody wanted it any more");
    assert_eq!(daemon.number("/counts/ready"), 1, "so nothing had to go");
    daemon.end().assert_clean();
}

#[test]
fn a_failing_close_is_counted_and_its_room_is_free() {
    let models = Models::new().train("bad", &["--close-fails"]).train("m", &[]);
    let daemon = Daemon::start(&models, &["--max-entries", "1"]);
    assert_eq!(daemon.score("bad").status, 200);
    assert_eq!(daemon.score("m").status, 200);
    assert_eq!(daemon.number("/ledger/close_failures"), 1);
    assert_eq!(daemon.number("/budget/entries/charged"), 1);
    daemon.end().assert_clean();
}
