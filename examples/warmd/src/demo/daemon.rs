//! The daemon as a process of its own, watched from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Longer than any drain of the demo.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    pub address: SocketAddr,
}

/// How a daemon ended.
pub struct End {
    pub took: Duration,
    pub success: bool,
    /// What it printed about itself.
    pub report: Value,
}

impl Daemon {
    pub fn start(cache: &str, models: &Path, options: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--cache", cache, "--models"])
            .arg(models)
            .args(options)
            .env_remove("WARMD_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // The naive cache's close failures, and the like: not what the demo is about.
            .stderr(Stdio::null())
            .spawn()
            .context("the daemon did not start")?;
        let output = child.stdout.take().context("no output")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Self { child, lines, address: ([127, 0, 0, 1], 0).into() };
        let address = daemon.line("warmd: listening on http://")?;
        daemon.address = address.parse().with_context(|| format!("no address: {address:?}"))?;
        Ok(daemon)
    }

    /// What follows `start` in the next line that starts with it.
    fn line(&mut self, start: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(start) {
                        return Ok(rest.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("the daemon never said {start:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the daemon ended before {start:?}"),
            }
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> Result<End> {
        let began = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let report = self.line("warmd: report ")?;
        let report = serde_json::from_str(&report).context("a report that is no JSON")?;
        let status = self.child.wait()?;
        Ok(End { took: began.elapsed(), success: status.success(), report })
    }

    /// A figure of /proc/PID/status, in bytes; none where there is no such file.
    pub fn memory(&self, figure: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure))?;
        let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib << 10)
    }

    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
