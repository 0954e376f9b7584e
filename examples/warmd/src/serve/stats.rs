//! What is going on? Taken from one snapshot, which waits for no load and no close.

use std::time::{Duration, Instant};

use hotset::resource::Failure;
use hotset::{Report, Snapshot, State};
use serde::Serialize;
use tokio::task::block_in_place;

use super::App;
use crate::backend::LoadFailure;
use crate::ledger::{Ledger, millis};
use crate::pool::{Bounds, Cache, Pool};
use crate::spec::ModelId;

/// Who waits longer than this makes `/health` say so.
const LONG_WAIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
pub struct Stats {
    status: &'static str,
    uptime_ms: u64,
    pub budget: Budget,
    pub counts: Counts,
    /// Ready, least recently used first.
    loaded: Vec<String>,
    entries: Vec<Entry>,
    pub failures: Vec<Failed>,
    pub cache: CacheCounts,
    ledger: LedgerView,
}

#[derive(Serialize)]
pub struct Health {
    status: &'static str,
    budget: Budget,
    loaded: Vec<String>,
    loading: usize,
    closing: usize,
    waiting: u64,
    oldest_wait_ms: u64,
}

#[derive(Serialize)]
pub struct Budget {
    pub entries: Charge,
    pub bytes: Charge,
}

#[derive(Serialize)]
pub struct Charge {
    pub limit: u64,
    pub charged: u64,
}

const OTHER: &str = "other";

/// How many entries are in which state; how many requests wait, and hold.
#[derive(Default, Serialize)]
pub struct Counts {
    pub blocked: usize,
    pub estimating: usize,
    pub queued: usize,
    pub reserved: usize,
    pub loading: usize,
    pub ready: usize,
    pub draining: usize,
    pub closing: usize,
    pub wedged: usize,
    /// In a state that later versions of hotset may know.
    pub other: usize,
    pub waiting: u64,
    pub leases: u64,
    pub oldest_wait_ms: u64,
}

#[derive(Serialize)]
struct Entry {
    key: String,
    state: &'static str,
    generation: u64,
    bytes: u64,
    leases: u32,
    waiting: usize,
    /// In this state.
    for_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_ms: Option<u64>,
}

#[derive(Serialize)]
pub struct Failed {
    key: String,
    attempts: u32,
    retry_in_ms: u64,
    error: String,
}

/// What the cache counts; zeros where it is the naive one, which does not.
#[derive(Default, Serialize)]
pub struct CacheCounts {
    pub evictions: u64,
    pub expirations: u64,
    pub timeouts: u64,
}

/// What was really there: see `ledger`.
#[derive(Serialize)]
struct LedgerView {
    alive: u64,
    most_alive: u64,
    load_attempts: u64,
    load_failures: u64,
    opened: u64,
    closed: u64,
    close_failures: u64,
    used_after_close: u64,
}

impl From<&Ledger> for LedgerView {
    fn from(ledger: &Ledger) -> Self {
        Self {
            alive: ledger.alive(),
            most_alive: ledger.most_alive(),
            load_attempts: ledger.attempts.get(),
            load_failures: ledger.failures.get(),
            opened: ledger.opened.get(),
            closed: ledger.closed.get(),
            close_failures: ledger.close_failures.get(),
            used_after_close: ledger.used_after_close.get(),
        }
    }
}

pub fn health(app: &App) -> Health {
    let Stats { status, budget, loaded, counts, .. } = stats(app);
    Health {
        status,
        budget,
        loaded,
        loading: counts.loading,
        closing: counts.closing,
        waiting: counts.waiting,
        oldest_wait_ms: counts.oldest_wait_ms,
    }
}

pub fn stats(app: &App) -> Stats {
    let mut stats = match &app.pool {
        Pool::Strict(cache) => of_snapshot(cache, &cache.snapshot(), app),
        Pool::Naive(cache) => {
            // It may wait for a close; the other connections need not.
            of_naive(block_in_place(|| cache.warm()), app)
        }
    };
    let counts = &stats.counts;
    stats.status = if app.is_draining() {
        "draining"
    } else if counts.wedged > 0 || counts.oldest_wait_ms > millis(LONG_WAIT) {
        "degraded"
    } else {
        "ok"
    };
    stats
}

fn of_snapshot(cache: &Cache, snapshot: &Snapshot<ModelId, LoadFailure>, app: &App) -> Stats {
    let mut counts = Counts {
        waiting: snapshot.waiters as u64,
        oldest_wait_ms: snapshot.oldest_wait.map_or(0, millis),
        ..Counts::default()
    };
    let mut entries = Vec::with_capacity(snapshot.entries.len());
    for entry in &snapshot.entries {
        *counts.of(entry.state) += 1;
        counts.leases += u64::from(entry.leases);
        entries.push(Entry {
            key: entry.id.to_string(),
            state: name(entry.state),
            generation: entry.generation,
            bytes: entry.weight,
            leases: entry.leases,
            waiting: entry.waiters,
            for_ms: millis(entry.since),
            load_ms: entry.load_time.map(millis),
        });
    }
    let now = Instant::now();
    let failures = snapshot.failures.iter().map(|failure| Failed {
        key: failure.id.to_string(),
        attempts: failure.attempts,
        retry_in_ms: millis(failure.retry_at.saturating_duration_since(now)),
        error: match &failure.failure {
            Failure::Failed(error) => error.to_string(),
            Failure::Panicked => "the load panicked".into(),
        },
    });
    Stats {
        budget: Budget {
            entries: Charge {
                limit: snapshot.max_entries as u64,
                charged: snapshot.charged_entries as u64,
            },
            bytes: Charge {
                limit: snapshot.max_weight.unwrap_or_else(|| app.bounds.max_bytes()),
                charged: snapshot.charged_weight,
            },
        },
        loaded: cache.loaded_keys().iter().map(ModelId::to_string).collect(),
        failures: failures.collect(),
        cache: CacheCounts {
            evictions: snapshot.counts.evictions,
            expirations: snapshot.counts.expirations,
            timeouts: snapshot.counts.timeouts,
        },
        ..blank(app, counts, entries)
    }
}

fn of_naive(warm: Vec<(String, u64)>, app: &App) -> Stats {
    let counts = Counts { ready: warm.len(), waiting: app.waiting.get(), ..Counts::default() };
    let bytes = warm.iter().map(|(_, bytes)| bytes).sum();
    let loaded = warm.iter().map(|(key, _)| key.clone()).collect();
    let entry = |(key, bytes)| Entry {
        key,
        state: name(State::Ready),
        generation: 0,
        bytes,
        leases: 0,
        waiting: 0,
        for_ms: 0,
        load_ms: None,
    };
    let charged = warm.len() as u64;
    let entries = warm.into_iter().map(entry).collect();
    let Bounds { max_entries, .. } = app.bounds;
    Stats {
        budget: Budget {
            entries: Charge { limit: max_entries as u64, charged },
            bytes: Charge { limit: app.bounds.max_bytes(), charged: bytes },
        },
        loaded,
        ..blank(app, counts, entries)
    }
}

/// What both caches have in common; the rest is empty.
fn blank(app: &App, counts: Counts, entries: Vec<Entry>) -> Stats {
    let none = || Charge { limit: 0, charged: 0 };
    Stats {
        status: "ok",
        uptime_ms: millis(app.started.elapsed()),
        budget: Budget { entries: none(), bytes: none() },
        counts,
        loaded: Vec::new(),
        entries,
        failures: Vec::new(),
        cache: CacheCounts::default(),
        ledger: (&*app.ledger).into(),
    }
}

impl Counts {
    fn of(&mut self, state: State) -> &mut usize {
        match state {
            State::Blocked => &mut self.blocked,
            State::Estimating => &mut self.estimating,
            State::Queued => &mut self.queued,
            State::Reserved => &mut self.reserved,
            State::Loading => &mut self.loading,
            State::Ready => &mut self.ready,
            State::Draining => &mut self.draining,
            State::Closing => &mut self.closing,
            State::Wedged => &mut self.wedged,
            _ => &mut self.other,
        }
    }

    /// Every state with its count, for the metrics.
    pub fn by_state(&self) -> [(&'static str, usize); 10] {
        [
            (name(State::Blocked), self.blocked),
            (name(State::Estimating), self.estimating),
            (name(State::Queued), self.queued),
            (name(State::Reserved), self.reserved),
            (name(State::Loading), self.loading),
            (name(State::Ready), self.ready),
            (name(State::Draining), self.draining),
            (name(State::Closing), self.closing),
            (name(State::Wedged), self.wedged),
            (OTHER, self.other),
        ]
    }
}

pub fn name(state: State) -> &'static str {
    match state {
        State::Blocked => "blocked",
        State::Estimating => "estimating",
        State::Queued => "queued",
        State::Reserved => "reserved",
        State::Loading => "loading",
        State::Ready => "ready",
        State::Draining => "draining",
        State::Closing => "closing",
        State::Wedged => "wedged",
        _ => OTHER,
    }
}

#[derive(Serialize)]
struct Farewell {
    drain_ms: u64,
    /// Empty for the naive cache, and for a drain that was cut short: nobody knows.
    still_leased: Vec<String>,
    unfinished: Vec<String>,
    #[serde(flatten)]
    ledger: LedgerView,
}

/// Prints the report: what the cache says, and what was counted below it. Whether all was closed.
pub fn farewell(app: &App, report: Option<&Report<ModelId>>, took: Duration) -> bool {
    let ledger = LedgerView::from(&*app.ledger);
    let complete = report.is_none_or(Report::is_complete);
    let clean = complete && ledger.alive == 0 && ledger.opened == ledger.closed;
    match report {
        Some(report) => println!("warmd: {report}"),
        None => println!("warmd: closed what it knew of"),
    }
    let names = |holders: &[hotset::Holder<ModelId>]| {
        holders.iter().map(|holder| holder.id.to_string()).collect()
    };
    let farewell = Farewell {
        drain_ms: millis(took),
        still_leased: report.map_or_else(Vec::new, |report| names(&report.leased)),
        unfinished: report.map_or_else(Vec::new, |report| names(&report.unfinished)),
        ledger,
    };
    let line = serde_json::to_string(&farewell).expect("keys are strings");
    println!("warmd: report {line}");
    clean
}
