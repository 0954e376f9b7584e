//! `/metrics`: the same in Prometheus' text format. Names are listed in README.md; labels have few
//! values, whatever clients ask for (states, routes, statuses; never a model's name).

use std::fmt::{Display, Write as _};

use hyper::StatusCode;

use super::App;
use super::routes::Route;
use super::stats;
use crate::histogram::Histogram;
use crate::ledger::Count;

/// The statuses that are counted by themselves; the rest is "other".
const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 504, 0];

#[derive(Default)]
pub struct Meters {
    answers: [[Count; STATUSES.len()]; Route::ALL.len()],
    pub hits: Count,
    pub waited: Count,
    pub wait_seconds: Histogram,
    pub score_seconds: Histogram,
}

impl Meters {
    pub fn count(&self, route: Route, status: StatusCode) {
        let known = STATUSES.iter().position(|known| *known == status.as_u16());
        self.answers[route as usize][known.unwrap_or(STATUSES.len() - 1)].add();
    }
}

pub fn text(app: &App) -> String {
    let stats = stats::stats(app);
    let mut out = Metrics::default();
    let budget = &stats.budget;
    out.gauge("budget_entries", "Most backends at once.", budget.entries.limit);
    out.gauge("charged_entries", "Backends that count against it.", budget.entries.charged);
    out.gauge("budget_bytes", "Most bytes of all backends.", budget.bytes.limit);
    out.gauge("charged_bytes", "Bytes that count against it.", budget.bytes.charged);
    out.head("backends", "gauge", "Backends by state.");
    for (state, count) in stats.counts.by_state() {
        out.line("backends", &format!("{{state=\"{state}\"}}"), count);
    }
    out.gauge("leases", "Leases that are held.", stats.counts.leases);
    out.gauge("waiters", "Requests that wait for a backend.", stats.counts.waiting);
    out.gauge(
        "oldest_wait_seconds",
        "How long the first of them has waited.",
        stats.counts.oldest_wait_ms as f64 / 1e3,
    );
    out.gauge("remembered_failures", "Keys whose load failed lately.", stats.failures.len());

    let ledger = &app.ledger;
    out.gauge("backends_alive", "Backends that take memory.", ledger.alive());
    out.gauge("backends_alive_most", "The most of them since the start.", ledger.most_alive());
    out.counter("load_attempts_total", "Loads begun.", ledger.attempts.get());
    out.counter("load_failures_total", "Loads that failed.", ledger.failures.get());
    out.counter("opened_total", "Backends opened.", ledger.opened.get());
    out.counter("closed_total", "Backends closed.", ledger.closed.get());
    out.counter("close_failures_total", "Closes that failed.", ledger.close_failures.get());
    let used = ledger.used_after_close.get();
    out.counter("used_after_close_total", "Scores on a closed backend: a bug.", used);
    out.counter("evictions_total", "Backends closed to make room.", stats.cache.evictions);
    out.counter("expirations_total", "Backends closed for idleness.", stats.cache.expirations);
    out.counter("wait_timeouts_total", "Waits that took too long.", stats.cache.timeouts);

    let meters = &app.meters;
    out.head("acquired_total", "counter", "Backends given to requests, by how.");
    out.line("acquired_total", "{how=\"hit\"}", meters.hits.get());
    out.line("acquired_total", "{how=\"waited\"}", meters.waited.get());
    out.head("answers_total", "counter", "Answers by route and status.");
    for (route, answers) in Route::ALL.into_iter().zip(&meters.answers) {
        for (status, count) in STATUSES.into_iter().zip(answers) {
            if count.get() > 0 {
                let status = if status == 0 { "other".into() } else { status.to_string() };
                let labels = format!("{{route=\"{}\",status=\"{status}\"}}", route.name());
                out.line("answers_total", &labels, count.get());
            }
        }
    }
    let mut out = out.0;
    for (name, help, histogram) in [
        ("warmd_load_seconds", "How long loads took that succeeded.", &ledger.load_seconds),
        ("warmd_close_seconds", "How long closes took.", &ledger.close_seconds),
        ("warmd_wait_seconds", "How long requests waited for a backend.", &meters.wait_seconds),
        ("warmd_score_seconds", "How long scoring took.", &meters.score_seconds),
    ] {
        histogram.write(name, help, &mut out);
    }
    out
}

#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP warmd_{name} {help}\n# TYPE warmd_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "warmd_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }
}
