//! What is wrong with a request is said, and costs the daemon nothing.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::common::http::{Reply, send};
use crate::common::{Daemon, Models, wants};

fn post(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    send(daemon.address, "POST", "/score", headers, body).expect("an answer")
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let models = Models::new().train("m", &[]);
    let daemon = Daemon::start(&models, &["--max-body", "1000"]);
    let large = json!({ "spec": { "model": "m" }, "texts": ["x".repeat(2_000)] }).to_string();
    let reply = post(&daemon, &[JSON], large.as_bytes());
    assert_eq!(reply.refusal(), (413, "body_too_large".into()));
    assert!(reply.message().contains("1000"), "{}", reply.message());
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let reply = post(&daemon, &[JSON, ("transfer-encoding", "chunked")], chunked.as_bytes());
    assert_eq!(reply.refusal(), (413, "body_too_large".into()));
    // It announces more than anybody would send.
    let reply = post(&daemon, &[JSON, ("content-length", "9999999999")], b"{");
    assert_eq!(reply.refusal(), (413, "body_too_large".into()));
    assert_eq!(daemon.score("m").status, 200, "and it is as well as before");
    daemon.end().assert_clean();
}

#[test]
fn a_body_that_is_no_score_request_is_refused() {
    let models = Models::new().train("m", &[]);
    let daemon = Daemon::start(&models, &[]);
    for body in [
        "no json",
        "",
        "[]",
        "{\"spec\": {\"model\": \"m\"}, \"texts\": [\"cut off",
        r#"{"texts": ["no spec"]}"#,
        r#"{"spec": {"model": "m"}}"#,
        r#"{"spec": {"model": "m"}, "texts": []}"#,
        r#"{"spec": {"model": "m"}, "texts": [1]}"#,
        r#"{"spec": {"model": "m", "adaptor": "misspelt"}, "texts": ["x"]}"#,
        r#"{"spec": {"model": "m", "device": "cuda"}, "texts": ["x"]}"#,
        r#"{"spec": {"model": "m", "dtype": "int4"}, "texts": ["x"]}"#,
        r#"{"spec": {"model": "m", "entry_point": "file"}, "texts": ["x"]}"#,
    ] {
        let reply = post(&daemon, &[JSON], body.as_bytes());
        assert_eq!(reply.refusal(), (400, "bad_request".into()), "{body}");
        assert!(!reply.message().is_empty());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post(&daemon, &[JSON], deep.as_bytes()).status, 400);
    let many = json!({ "spec": { "model": "m" }, "texts": vec!["x"; 65] });
    assert_eq!(daemon.ask(&many).refusal(), (400, "bad_request".into()));
    let body = wants("m").to_string();
    let reply = post(&daemon, &[("content-type", "text/plain")], body.as_bytes());
    assert_eq!(reply.refusal(), (415, "not_json".into()));
    assert_eq!(daemon.number("/ledger/load_attempts"), 0);
    daemon.end().assert_clean();
}

#[test]
fn no_request_names_a_file_outside_the_model_directory() {
    let outside = Models::new().train("secret", &[]);
    let models = Models::new().train("m", &[]);
    symlink(outside.file("secret"), models.file("link")).expect("linked");
    symlink(outside.folder(), models.folder().join("way-out")).expect("linked");
    let daemon = Daemon::start(&models, &[]);
    let absolute = outside.folder().join("secret");
    let names = ["link", "way-out/secret", "../m", "", "/etc/passwd"];
    for name in names.into_iter().chain(absolute.to_str()) {
        assert_eq!(daemon.score(name).refusal(), (400, "bad_request".into()), "{name:?}");
        let adapted = json!({ "spec": { "model": "m", "adapter": name }, "texts": ["x"] });
        assert_eq!(daemon.ask(&adapted).refusal(), (400, "bad_request".into()), "{name:?}");
    }
    assert_eq!(daemon.score("absent").refusal(), (404, "no_such_file".into()));
    let answers: Vec<Value> = vec![daemon.stats(), daemon.score("absent").json()];
    for answer in answers {
        let folder = models.folder().to_string_lossy().into_owned();
        assert!(!answer.to_string().contains(&folder), "paths are nobody's business: {answer}");
    }
    daemon.end().assert_clean();
}

#[test]
fn routes_and_methods() {
    let models = Models::new();
    let daemon = Daemon::start(&models, &[]);
    assert_eq!(daemon.get("/nowhere").refusal(), (404, "no_such_route".into()));
    let reply = daemon.get("/score");
    assert_eq!(reply.refusal(), (405, "bad_method".into()));
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = send(daemon.address, "POST", "/stats", &[], b"").expect("an answer");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    for path in ["/", "/app.js", "/style.css", "/health", "/ready", "/stats", "/metrics"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
        let head = send(daemon.address, "HEAD", path, &[], b"").expect("an answer");
        assert_eq!((head.status, head.text().len()), (200, 0), "{path}");
    }
    daemon.end().assert_clean();
}
