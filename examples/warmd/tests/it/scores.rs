//! What scores mean, and that whatever changes them is in the key.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Daemon, Models, wants};

const TEXT: &str = "impl Drop for Daemon { fn drop(&mut self) { self.close(); } }";

fn ask(daemon: &Daemon, spec: Value) -> Value {
    let reply = daemon.ask(&json!({ "spec": spec, "texts": [TEXT] }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn base(answer: &Value) -> f64 {
    answer["scores"][0]["base_nll"].as_f64().expect("a score")
}

#[test]
fn an_adapter_lowers_the_surprise_in_its_own_domain() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let [spec, backend] = ["spec.rs", "backend.rs"].map(|name| sources.join(name));
    let code = [spec.to_str().expect("text"), backend.to_str().expect("text")];
    let models = Models::new().train("m", &["--bytes", "10000"]);
    let base = models.file("m");
    let models = models.train(
        "code",
        &[
            "--adapter-for",
            base.to_str().expect("text"),
            "--bytes",
            "20000",
            "--text",
            code[0],
            code[1],
        ],
    );
    let daemon = Daemon::start(&models, &[]);
    let answer = ask(&daemon, json!({ "model": "m", "adapter": "code", "label": "ours" }));
    let score = &answer["scores"][0];
    let number = |name: &str| score[name].as_f64().expect("a number");
    assert!(number("adapted_nll") < number("base_nll"), "{answer}");
    let difference = number("adapted_nll") - number("base_nll");
    assert!((number("difference") - difference).abs() < 1e-9, "{answer}"); // sums are rounded
    assert_eq!(
        (score["bytes"].as_u64(), &answer["label"]),
        (Some(TEXT.len() as u64), &"ours".into())
    );
    // The same model without it is another backend, with the same base score.
    let plain = ask(&daemon, json!({ "model": "m" }));
    assert_eq!(plain["scores"][0]["base_nll"], score["base_nll"]);
    assert_eq!(plain["scores"][0].get("adapted_nll"), None);
    assert_eq!(daemon.number("/ledger/opened"), 2);
    // An adapter is no model, and a model no adapter.
    assert_eq!(daemon.score("code").refusal(), (503, "load_failed".into()));
    daemon.end().assert_clean();
}

#[test]
fn labels_and_autos_share_a_backend_and_other_options_do_not() {
    let models = Models::new().train("m", &[]);
    let daemon = Daemon::start(&models, &["--max-entries", "8"]);
    let same = [
        json!({ "model": "m" }),
        json!({ "model": "m", "dtype": "auto", "device": "auto" }),
        json!({ "model": "m", "dtype": "f32", "device": "cpu", "entry_point": "forward" }),
        json!({ "model": "m", "label": "a" }),
        json!({ "model": "m", "kind": "lm", "adapter": null, "trust_remote_code": false }),
    ];
    for spec in same {
        ask(&daemon, spec.clone());
        assert_eq!(daemon.number("/ledger/opened"), 1, "{spec}");
    }
    let others = [
        json!({ "model": "m", "dtype": "f16" }),
        json!({ "model": "m", "entry_point": "reverse" }),
        json!({ "model": "m", "entry_point": "forward", "trust_remote_code": true }),
    ];
    for (before, spec) in others.into_iter().enumerate() {
        ask(&daemon, spec.clone());
        assert_eq!(daemon.number("/ledger/opened"), before as u64 + 2, "{spec}");
    }
    daemon.end().assert_clean();
}

#[test]
fn only_a_trusted_file_decides_how_it_is_read() {
    let models = Models::new().train("m", &["--entry-point", "reverse"]);
    let daemon = Daemon::start(&models, &[]);
    let refused = ask(&daemon, json!({ "model": "m" }));
    let trusted = ask(&daemon, json!({ "model": "m", "trust_remote_code": true }));
    let reverse = ask(&daemon, json!({ "model": "m", "entry_point": "reverse" }));
    assert_ne!(base(&refused), base(&trusted));
    assert_eq!(base(&trusted), base(&reverse));
    // In any order: a backend that was loaded with trust is not given to who refused.
    assert_eq!(base(&ask(&daemon, json!({ "model": "m" }))), base(&refused));
    daemon.end().assert_clean();
}

#[test]
fn a_model_replaced_in_place_is_noticed() {
    let models = Models::new().train("m", &["--seed", "1", "--score-ms", "700"]);
    let daemon = Daemon::start(&models, &[]);
    let old = daemon.score("m").base();
    let in_flight = daemon.score_later("m");
    daemon.wait_for("/counts/leases", 1);
    models.replace("m", &["--seed", "2"]);
    let reply = daemon.score("m");
    assert!(!reply.is_hit());
    let new = reply.base();
    assert_ne!(old, new, "the next request sees the new weights");
    assert_eq!(in_flight.join().expect("no panic").base(), old, "who began before finishes");
    // The old version is let go, and does not wait until it is the least recently used.
    daemon.wait_for("/ledger/closed", 1);
    daemon.wait_for("/ledger/alive", 1);
    // Written over, not renamed: the same inode.
    let content = fs::read(models.file("m")).expect("read");
    models.replace("other", &["--seed", "3"]);
    let other = fs::read(models.file("other")).expect("read");
    assert_eq!(content.len(), other.len());
    fs::write(models.file("m"), other).expect("written");
    assert_ne!(daemon.score("m").base(), new);
    assert!(daemon.score("m").is_hit());
    daemon.end().assert_clean();
}

#[test]
fn one_load_serves_a_burst() {
    let models = Models::new().train("m", &["--load-ms", "400"]);
    let daemon = Daemon::start(&models, &[]);
    let burst: Vec<_> = (0..100).map(|_| daemon.score_later("m")).collect();
    let scores: Vec<f64> =
        burst.into_iter().map(|reply| reply.join().expect("no panic").base()).collect();
    assert!(scores.iter().all(|score| *score == scores[0]));
    assert_eq!(daemon.number("/ledger/load_attempts"), 1);
    assert!(daemon.ask(&wants("m")).is_hit());
    daemon.end().assert_clean();
}

#[test]
fn a_model_replaced_while_its_load_waits_is_looked_at_again() {
    let models = Models::new().train("busy", &["--score-ms", "1500"]).train("m", &["--seed", "1"]);
    let daemon = Daemon::start(&models, &["--max-entries", "1"]);
    let busy = daemon.score_later("busy");
    daemon.wait_for("/counts/leases", 1);
    let asked = daemon.score_later("m");
    daemon.wait_for("/counts/queued", 1);
    models.replace("m", &["--seed", "2"]);
    // What the request had looked at is gone: never the new weights under the old key.
    let score = asked.join().expect("no panic").base();
    assert_eq!(busy.join().expect("no panic").status, 200);
    assert_eq!(daemon.number("/ledger/load_failures"), 1);
    let again = daemon.score("m");
    assert!(again.is_hit());
    assert_eq!(again.base(), score);
    daemon.end().assert_clean();
}
