//! The main load: many clients, more models than there is room for, some of them liked better.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::client::Client;
use super::daemon::Daemon;
use super::files::{self, MODEL_MIB, MODELS};
use crate::random::Random;

pub const CLIENTS: usize = 64;
pub const BUDGET: u64 = 4;
/// Beyond the models: room for the small parts of a model, for its adapter.
const SPARE_MIB: u64 = 2;
/// How much more likely the first model is than the second, and so on.
const SKEW: f64 = 0.9;

/// What came of it.
pub struct Traffic {
    pub tally: Tally,
    pub seconds: f64,
    /// Resident bytes before, and the most at any instant; none where the system does not tell.
    pub resident: Option<(u64, u64)>,
    pub most_alive: u64,
    /// Whether the daemon said in the end that all it opened was closed.
    pub all_closed: bool,
    pub opened: u64,
    pub closed: u64,
}

#[derive(Default)]
pub struct Tally {
    pub answered: u64,
    /// 500: a score on a closed backend.
    pub used_after_close: u64,
    pub refused: u64,
    pub broken: u64,
    pub took: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.used_after_close += other.used_after_close;
        self.refused += other.refused;
        self.broken += other.broken;
        self.took.extend(other.took);
    }
}

/// What the budget of this load is in bytes.
pub fn budget_mib() -> u64 {
    BUDGET * MODEL_MIB + SPARE_MIB
}

pub async fn run(cache: &str, models: &Path, length: Duration) -> Result<Traffic> {
    let (entries, mib) = (BUDGET.to_string(), budget_mib().to_string());
    let daemon = Daemon::start(cache, models, &["--max-entries", &entries, "--max-mb", &mib])?;
    let before = daemon.memory("VmRSS");
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let address = daemon.address;
        clients.spawn(drive(Client::new(address), client as u64, began + length));
    }
    let mut tally = Tally::default();
    while let Some(client) = clients.join_next().await {
        tally.add(client?);
    }
    let seconds = began.elapsed().as_secs_f64();
    let most_alive =
        Client::new(daemon.address).get("/stats").await?.number("/ledger/most_alive")?;
    let resident = before.zip(daemon.memory("VmHWM"));
    let end = daemon.terminate()?;
    let count = |name: &str| end.report[name].as_u64().unwrap_or_default();
    Ok(Traffic {
        tally,
        seconds,
        resident,
        most_alive,
        all_closed: end.success,
        opened: count("opened"),
        closed: count("closed"),
    })
}

/// One client: asks, hears, asks again, until the time is over.
async fn drive(mut client: Client, seed: u64, end: Instant) -> Tally {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    while Instant::now() < end {
        let model = pick(&mut random);
        let (name, adapter) = (files::name(model), files::adapter(model));
        let Ok(reply) = client.score(&name, adapter.as_deref(), files::TEXT).await else {
            tally.broken += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match reply.status {
            200 => {
                tally.answered += 1;
                tally.took.push(reply.took);
            }
            500 if reply.body["error"] == "used_after_close" => {
                tally.used_after_close += 1;
            }
            429 | 503 | 504 => {
                tally.refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            _ => tally.broken += 1,
        }
    }
    tally
}

/// Zipf: the first model most often.
fn pick(random: &mut Random) -> usize {
    let weight = |model: usize| ((model + 1) as f64).powf(-SKEW);
    let mut left = random.unit() * (0..MODELS).map(weight).sum::<f64>();
    (0..MODELS)
        .find(|&model| {
            left -= weight(model);
            left < 0.0
        })
        .unwrap_or(MODELS - 1)
}
