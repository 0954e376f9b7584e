//! Who may come in.

use std::fs;

use crate::common::http::send;
use crate::common::{Daemon, Models, refusal_to_start, warmd};

const TOKEN: &str = "a token for tests only";

#[test]
fn beyond_loopback_only_with_a_token() {
    let models = Models::new();
    let said = refusal_to_start(&models, &["--listen", "0.0.0.0:0"]);
    assert!(said.contains("needs a token"), "{said}");
    let file = models.folder().join("token");
    fs::write(&file, "short\n").expect("written");
    let file = file.to_str().expect("text");
    let said = refusal_to_start(&models, &["--listen", "0.0.0.0:0", "--token-file", file]);
    assert!(said.contains("at least 16 bytes"), "{said}");
}

#[test]
fn a_token_guards_all_but_health_and_the_empty_page() {
    let models = Models::new().train("m", &[]);
    let daemon =
        Daemon::start_with(&models, &["--listen", "0.0.0.0:0"], warmd().env("WARMD_TOKEN", TOKEN));
    for open in ["/health", "/", "/app.js", "/style.css"] {
        assert_eq!(daemon.get(open).status, 200, "{open}");
    }
    let with = |value: &str, path: &str| {
        send(daemon.address, "GET", path, &[("authorization", value)], b"").expect("an answer")
    };
    let right = format!("Bearer {TOKEN}");
    for guarded in ["/ready", "/stats", "/metrics", "/nowhere"] {
        let reply = daemon.get(guarded);
        assert_eq!(reply.refusal(), (401, "no_token".into()), "{guarded}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_eq!(with(&format!("{right}r"), guarded).status, 401);
        assert_ne!(with(&right, guarded).status, 401);
    }
    assert_eq!(daemon.score("m").status, 401);
    assert_eq!(with(&right, "/stats").json()["ledger"]["load_attempts"], 0);
    daemon.end().assert_clean();
}

#[test]
fn on_loopback_no_other_site_may_ask() {
    let models = Models::new();
    let daemon = Daemon::start(&models, &[]);
    let ask = |header: (&str, &str)| {
        send(daemon.address, "GET", "/stats", &[header], b"").expect("an answer").refusal()
    };
    assert_eq!(ask(("host", "evil.example")), (403, "strange_host".into()));
    assert_eq!(ask(("origin", "http://evil.example")), (403, "strange_host".into()));
    daemon.end().assert_clean();
}
