//! One trial for each promise that the main load does not show, on a daemon with small models.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Reply};
use super::daemon::Daemon;
use super::files::{self, TEXT};

/// Requests one after the other, beside a load and a close.
const PROBES: usize = 200;
const BURST: usize = 200;
const BACKOFF: Duration = Duration::from_secs(2);

/// Hits and `/health` beside a load and a close of two seconds each, and in the same seconds on a
/// daemon that has nothing else to do: what the machine itself adds, it adds to both.
pub struct Calm {
    pub hits: Beside,
    pub health: Beside,
}

pub struct Beside {
    pub idle_p99: Duration,
    pub busy_p99: Duration,
    pub busy_worst: Duration,
}

/// A file that does not load.
pub struct Broken {
    /// Requests within the first backoff window, and the load attempts that they made.
    pub asked: u64,
    pub attempts: u64,
    /// Whether all were told so, alike, and when to come again.
    pub told: bool,
    pub attempts_after_window: u64,
    pub recovered: bool,
}

/// Clients that leave while their backend loads.
pub struct Deserted {
    pub attempts: u64,
    pub stayed_answered: bool,
    pub still_waiting: u64,
    pub leases: u64,
    /// Descriptors before and after; none where the system does not tell.
    pub descriptors: Option<(usize, usize)>,
}

/// A file replaced in place.
pub struct Swapped {
    pub next_is_new: bool,
    pub in_flight_finished_old: bool,
}

/// SIGTERM while a backend loads.
pub struct Ended {
    pub took: Duration,
    pub success: bool,
    pub opened: u64,
    pub closed: u64,
    pub alive: u64,
}

pub struct Trial<'demo> {
    cache: &'static str,
    daemon: Daemon,
    models: &'demo Path,
}

impl<'demo> Trial<'demo> {
    pub fn start(cache: &'static str, models: &'demo Path) -> Result<Self> {
        let options = ["--max-entries", "4", "--backoff-ms", "2000", "--drain-ms", "10000"];
        Ok(Self { cache, daemon: Daemon::start(cache, models, &options)?, models })
    }

    fn client(&self) -> Client {
        Client::new(self.daemon.address)
    }

    async fn ledger(&self, count: &str) -> Result<u64> {
        self.client().get("/stats").await?.number(&format!("/ledger/{count}"))
    }

    /// `many` clients ask for `model` at once.
    async fn burst(&self, many: usize, model: &'static str) -> Result<Vec<Reply>> {
        let mut clients = JoinSet::new();
        for _ in 0..many {
            let mut client = self.client();
            clients.spawn(async move { client.score(model, None, TEXT).await });
        }
        clients.join_all().await.into_iter().collect()
    }

    pub async fn calm(&self) -> Result<Calm> {
        let idle = Daemon::start(self.cache, self.models, &[])?;
        let mut clients = [self.client(), Client::new(idle.address)];
        clients[1].score("quick", None, TEXT).await?.base()?;
        // The oldest is the victim, and its close takes two seconds.
        for model in ["slow-out", "one", "two", "quick"] {
            clients[0].score(model, None, TEXT).await?.base()?;
        }
        let address = self.daemon.address;
        let load =
            tokio::spawn(
                async move { Client::new(address).score("slow-in", None, TEXT).await?.base() },
            );
        let health =
            tokio::spawn(beside([self.client(), Client::new(idle.address)], Probe::Health));
        let hits = beside(clients, Probe::Hit).await?;
        load.await??;
        Ok(Calm { hits, health: health.await?? })
    }

    /// How many loads a burst for one cold model makes.
    pub async fn single_flight(&self) -> Result<u64> {
        let before = self.ledger("load_attempts").await?;
        for reply in self.burst(BURST, "burst").await? {
            reply.base()?;
        }
        Ok(self.ledger("load_attempts").await? - before)
    }

    pub async fn broken(&self) -> Result<Broken> {
        files::corrupt(self.models, "broken")?;
        let before = self.ledger("load_attempts").await?;
        let mut replies = self.burst(BURST / 4, "broken").await?;
        let window = Instant::now() + BACKOFF;
        replies.extend(self.burst(BURST / 4, "broken").await?);
        let attempts = self.ledger("load_attempts").await? - before;
        let blamed = |reply: &Reply| {
            let message = reply.body["message"].as_str().unwrap_or_default();
            reply.status == 503 && message.contains("not a whole safetensors file")
        };
        let told = replies.iter().all(|reply| blamed(reply) && reply.retry_after.is_some());
        sleep(window.saturating_duration_since(Instant::now()) + Duration::from_millis(100)).await;
        self.burst(BURST / 4, "broken").await?;
        let attempts_after_window = self.ledger("load_attempts").await? - before;
        files::replace(self.models, "broken", 7)?;
        let recovered = self.client().score("broken", None, TEXT).await?.is_ok();
        let asked = replies.len() as u64;
        Ok(Broken { asked, attempts, told, attempts_after_window, recovered })
    }

    pub async fn deserted(&self) -> Result<Deserted> {
        let before = self.ledger("load_attempts").await?;
        let descriptors = self.daemon.descriptors();
        let mut clients = JoinSet::new();
        for client in 0..20 {
            let mut asking = self.client();
            clients.spawn(async move {
                let asked = asking.score("deserted", None, TEXT);
                if client % 3 == 0 {
                    // A third hangs up in the middle of the load.
                    tokio::time::timeout(Duration::from_millis(300), asked).await.ok().transpose()
                } else {
                    asked.await.map(Some)
                }
            });
        }
        let mut stayed_answered = true;
        for reply in clients.join_all().await {
            stayed_answered &= reply?.is_none_or(|reply| reply.is_ok());
        }
        let attempts = self.ledger("load_attempts").await? - before;
        // The daemon hears of closed connections a little later.
        sleep(Duration::from_millis(200)).await;
        let stats = self.client().get("/stats").await?;
        Ok(Deserted {
            attempts,
            stayed_answered,
            still_waiting: stats.number("/counts/waiting")?,
            leases: stats.number("/counts/leases")?,
            descriptors: descriptors.zip(self.daemon.descriptors()),
        })
    }

    pub async fn swapped(&self) -> Result<Swapped> {
        let mut client = self.client();
        let old = client.score("swap", None, TEXT).await?.base()?;
        let address = self.daemon.address;
        let in_flight =
            tokio::spawn(async move { Client::new(address).score("swap", None, TEXT).await });
        sleep(Duration::from_millis(200)).await;
        files::replace(self.models, "swap", 99)?;
        let new = client.score("swap", None, TEXT).await?.base()?;
        let finished = in_flight.await??;
        Ok(Swapped {
            next_is_new: new != old,
            in_flight_finished_old: finished.base().is_ok_and(|score| score == old),
        })
    }

    /// Whether a backend that is used stays open while others want its room.
    pub async fn crowded(&self) -> Result<bool> {
        let address = self.daemon.address;
        let in_flight =
            tokio::spawn(async move { Client::new(address).score("held", None, TEXT).await });
        sleep(Duration::from_millis(200)).await;
        let mut client = self.client();
        for model in ["one", "two", "quick", "burst"] {
            client.score(model, None, TEXT).await?.base()?;
        }
        Ok(in_flight.await??.is_ok())
    }

    /// Ends the daemon while it loads.
    pub async fn ended(self) -> Result<Ended> {
        // Make sure that it is not warm: four others are.
        let mut client = self.client();
        for model in ["one", "two", "quick", "burst"] {
            client.score(model, None, TEXT).await?.base()?;
        }
        let address = self.daemon.address;
        let asked =
            tokio::spawn(async move { Client::new(address).score("slow-in", None, TEXT).await });
        sleep(Duration::from_millis(300)).await;
        if asked.is_finished() {
            let Reply { status, body, .. } = asked.await??;
            bail!("a load of two seconds was over at once: status {status}, {body}");
        }
        let end = tokio::task::block_in_place(|| self.daemon.terminate())?;
        // Told, or cut off: not left waiting.
        let _ = asked.await;
        let count = |name: &str| {
            end.report[name].as_u64().with_context(|| format!("a report without {name}"))
        };
        Ok(Ended {
            took: end.took,
            success: end.success,
            opened: count("opened")?,
            closed: count("closed")?,
            alive: count("alive")?,
        })
    }
}

#[derive(Clone, Copy)]
enum Probe {
    Hit,
    Health,
}

impl Probe {
    async fn took(self, client: &mut Client) -> Result<Duration> {
        let reply = match self {
            Self::Hit => client.score("quick", None, TEXT).await?,
            Self::Health => client.get("/health").await?,
        };
        let right = match self {
            Self::Hit => reply.hit,
            Self::Health => reply.is_ok(),
        };
        ensure!(right, "no hit, or no health: status {}, {}", reply.status, reply.body);
        Ok(reply.took)
    }
}

/// Probes a busy and an idle daemon in turns, for some four seconds.
async fn beside([mut busy, mut idle]: [Client; 2], probe: Probe) -> Result<Beside> {
    let (mut busy_took, mut idle_took) = (Vec::new(), Vec::new());
    for _ in 0..PROBES {
        busy_took.push(probe.took(&mut busy).await?);
        idle_took.push(probe.took(&mut idle).await?);
        sleep(Duration::from_millis(18)).await;
    }
    Ok(Beside {
        idle_p99: percentile(&mut idle_took, 99),
        busy_p99: percentile(&mut busy_took, 99),
        busy_worst: percentile(&mut busy_took, 100),
    })
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    let rank = (took.len() * percent).div_ceil(100).max(1);
    took[rank - 1]
}
