//! The status page, as a browser shows it.
//!
//! Needs Chromium; `ci/chromium.sh` installs it where it is missing. Without it the test is skipped
//! with a message, but in CI (where `CI` is set) it fails.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Daemon, Models};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// What the page has become after some seconds.
fn shown(browser: &PathBuf, daemon: &Daemon) -> String {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=4000", "--timeout=30000", "--dump-dom"])
        .arg(format!("http://{}/", daemon.address))
        .stdin(Stdio::null())
        .output()
        .expect("the browser runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_status_page_shows_who_is_in_which_state() {
    let Some(browser) = chromium() else {
        assert!(std::env::var_os("CI").is_none(), "no Chromium in CI: run ci/chromium.sh first");
        println!("skipped: no Chromium; ci/chromium.sh installs it");
        return;
    };
    let long = "60000";
    let models = Models::new()
        .train("closes", &["--close-ms", long])
        .train("drains", &["--score-ms", long, "--seed", "1"])
        .train("stays", &["--score-ms", long])
        .train("loads", &["--load-ms", long])
        .train("waits<b>", &[])
        .train("broken", &[]);
    crate::common::corrupt(&models.file("broken"));
    let daemon = Daemon::start(&models, &["--max-entries", "4", "--backoff-ms", long]);
    assert_eq!(daemon.score("broken").status, 503);
    assert_eq!(daemon.score("closes").status, 200);
    // Threads whose requests break off when the daemon ends.
    let ask = |model: &str| {
        let (address, body) = (daemon.address, crate::common::wants(model));
        std::thread::spawn(move || drop(crate::common::ask(address, &body)));
    };
    ask("drains");
    daemon.wait_for("/counts/leases", 1);
    ask("stays");
    daemon.wait_for("/counts/leases", 2);
    ask("loads");
    daemon.wait_for("/counts/loading", 1);
    ask("waits<b>");
    daemon.wait_for("/counts/closing", 1);
    models.replace("drains", &["--seed", "2"]);
    ask("drains");
    daemon.wait_for("/counts/draining", 1);

    let page = shown(&browser, &daemon);
    for row in [
        "<tr data-state=\"loading\"><td>loads</td><td>loading</td>",
        "<tr data-state=\"ready\"><td>stays</td><td>ready</td><td>1</td>",
        "<tr data-state=\"draining\"><td>drains</td><td>draining</td><td>1</td>",
        "<tr data-state=\"closing\"><td>closes</td><td>closing</td>",
        "<td>broken</td><td>1</td>",
        "waits&lt;b&gt;",
        "4 of 4 backends",
        "<dd id=\"fact-loading\">1</dd>",
        "<dd id=\"fact-ready\">1</dd>",
        "<dd id=\"fact-draining\">1</dd>",
        "<dd id=\"fact-closing\">1</dd>",
        "<dd id=\"fact-waiting\">3</dd>",
        "<dd id=\"fact-live\">4</dd>",
    ] {
        assert!(page.contains(row), "no {row} in\n{page}");
    }
}
