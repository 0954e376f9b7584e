//! Models, daemons and clients for tests. The client is as plain as can be, so that it can break
//! off where a proper one would not.

pub mod http;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use self::http::{Reply, send};

/// Longer than anything takes here, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of models, gone in the end.
pub struct Models(tempfile::TempDir);

impl Models {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Trains a small model with `warmd gen`.
    pub fn train(self, name: &str, options: &[&str]) -> Self {
        generate(&self.file(name), options);
        self
    }

    /// Trains another one and puts it in the place of `name`, whole at every instant.
    pub fn replace(&self, name: &str, options: &[&str]) {
        generate(&self.file(name), options);
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.safetensors"))
    }
}

fn generate(out: &Path, options: &[&str]) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let mut command = warmd();
    command.arg("gen").arg(out).args(options);
    if !options.contains(&"--bytes") {
        command.args(["--bytes", "1000"]);
    }
    if !options.contains(&"--text") {
        command.arg("--text").arg(readme);
    }
    let output = command.output().expect("warmd runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn warmd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warmd"));
    command.env_remove("WARMD_TOKEN").stdin(Stdio::null());
    command
}

pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    pub address: SocketAddr,
}

/// How a daemon ended.
pub struct End {
    pub status: ExitStatus,
    pub took: Duration,
    pub report: Value,
}

impl Daemon {
    pub fn start(models: &Models, options: &[&str]) -> Self {
        Self::start_with(models, options, &mut warmd())
    }

    pub fn start_with(models: &Models, options: &[&str], command: &mut Command) -> Self {
        command.args(["serve", "--models"]).arg(models.folder());
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.args(options).stdout(Stdio::piped()).spawn().expect("warmd starts");
        let output = child.stdout.take().expect("piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more: the test is over.
                let _ = send.send(line);
            }
        });
        let mut daemon = Self { child, lines, address: ([127, 0, 0, 1], 0).into() };
        let address = daemon.line("warmd: listening on http://");
        daemon.address = address.parse().expect("an address");
        daemon
    }

    fn line(&mut self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("the daemon never said {start:?}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        send(self.address, "GET", path, &[], b"").expect("an answer")
    }

    pub fn ask(&self, body: &Value) -> Reply {
        ask(self.address, body).expect("an answer")
    }

    /// Scores a short text.
    pub fn score(&self, model: &str) -> Reply {
        self.ask(&wants(model))
    }

    /// The same on a thread of its own.
    pub fn score_later(&self, model: &str) -> JoinHandle<Reply> {
        let (address, body) = (self.address, wants(model));
        thread::spawn(move || ask(address, &body).expect("an answer"))
    }

    pub fn stats(&self) -> Value {
        let reply = self.get("/stats");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    pub fn number(&self, pointer: &str) -> u64 {
        let stats = self.stats();
        let number = stats.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no number at {pointer} in {stats}"))
    }

    /// Waits until the number at `pointer` in `/stats` is `wanted`.
    pub fn wait_for(&self, pointer: &str, wanted: u64) {
        let began = Instant::now();
        while self.number(pointer) != wanted {
            assert!(began.elapsed() < PATIENCE, "{pointer} is not {wanted}: {}", self.stats());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is there");
    }

    /// SIGTERM, and how it ends.
    pub fn end(self) -> End {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> End {
        let began = Instant::now();
        let report = self.line("warmd: report ");
        let status = self.child.wait().expect("it ends");
        let report = serde_json::from_str(&report).expect("a report in JSON");
        End { status, took: began.elapsed(), report }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Where the test has not seen to it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    pub fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }

    pub fn assert_clean(&self) {
        assert!(self.status.success(), "{}: {}", self.status, self.report);
        assert_eq!(self.count("opened"), self.count("closed"), "{}", self.report);
        assert_eq!(self.count("alive"), 0, "{}", self.report);
        assert_eq!(self.count("used_after_close"), 0, "{}", self.report);
    }
}

/// What `warmd serve` with these options says as it refuses to start.
pub fn refusal_to_start(models: &Models, options: &[&str]) -> String {
    let mut command = warmd();
    command.args(["serve", "--models"]).arg(models.folder()).args(options);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().expect("a child");
            panic!("warmd serve {options:?} started");
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(!status.success());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    said
}

pub fn wants(model: &str) -> Value {
    json!({ "spec": { "model": model }, "texts": ["never more than the bound"] })
}

pub fn ask(address: SocketAddr, body: &Value) -> std::io::Result<Reply> {
    let json = [("content-type", "application/json")];
    send(address, "POST", "/score", &json, body.to_string().as_bytes())
}

/// Writes what is no model in the place of `file`.
pub fn corrupt(file: &Path) {
    fs::write(file, "this is no model").expect("written");
}
