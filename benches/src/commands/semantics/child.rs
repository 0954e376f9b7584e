//! How is a hang seen and survived? Each peer's turn is a process of its own, which can be ended.

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::case::{Case, Outcome, Peer, Verdict};

/// Runs `case` with `peer` in a process of its own; gives up after `patience`.
pub fn outcome(case: &Case, peer: Peer, quick: bool, patience: Duration) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.args(["semantics", "--one", case.name, peer.name()]);
    if quick {
        command.arg("--quick");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().context("starting a process of this program")?;
    read(child, patience)
}

fn read(mut child: Child, patience: Duration) -> Result<Outcome> {
    let Some(status) = end_of(&mut child, patience)? else {
        return Ok(Outcome::new(
            Verdict::Hangs,
            format!("hangs (gave up after {} s)", patience.as_secs_f64()),
        ));
    };
    let mut told = String::new();
    // A few hundred bytes, which a pipe holds whether anybody reads them or not.
    child.stdout.take().context("the pipe of a child")?.read_to_string(&mut told)?;
    Ok(match serde_json::from_str(&told) {
        Ok(outcome) if status.success() => outcome,
        _ => Outcome::new(Verdict::Crashes, format!("crashes ({status})")),
    })
}

/// Waits for the end of `child`, and makes one after `patience`: then `None`.
fn end_of(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("a shell")
    }

    #[test]
    fn what_a_child_says_is_believed_if_it_ends_well() {
        let outcome = Outcome::of(true, "1 load");
        let said = serde_json::to_string(&outcome).unwrap();
        let child = shell(&format!("echo '{said}'"));
        assert_eq!(read(child, Duration::from_secs(20)).unwrap(), outcome);
        let child = shell(&format!("echo '{said}'; exit 3"));
        assert_eq!(read(child, Duration::from_secs(20)).unwrap().verdict, Verdict::Crashes);
    }

    #[test]
    fn hangs_and_crashes_are_outcomes() {
        let hung = read(shell("exec sleep 600"), Duration::from_millis(50)).unwrap();
        assert_eq!(hung, Outcome::new(Verdict::Hangs, "hangs (gave up after 0.05 s)"));
        let dead = read(shell("kill -SEGV $$"), Duration::from_secs(20)).unwrap();
        assert_eq!(dead.verdict, Verdict::Crashes);
        assert!(dead.observed.contains("signal"), "{}", dead.observed);
    }
}
