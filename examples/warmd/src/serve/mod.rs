//! `warmd serve`: scores over HTTP, from backends that are kept warm within a budget.
//!
//! ```text
//!   http (connections, bodies) --> routes (who may, where to) --> score --> pool (a lease) --> CPU
//!                                         \--> stats, metrics, page: snapshots, never waiting
//! ```
//!
//! Nothing that can take long runs on the threads that serve connections: loads and closes run on
//! the cache's threads, file look-ups and scores on blocking threads, as many scores at a time as
//! there are cores. So `/health` answers whatever the backends do.
//!
//! The end (SIGTERM, SIGINT): `/ready` turns false and new scores are refused; who waits is told;
//! what is leased finishes and is closed; then connections end, and the report is printed. A second
//! signal ends the drain at once. The exit status says whether everything was closed.

mod door;
mod http;
mod metrics;
mod page;
mod refusal;
mod routes;
mod score;
mod stats;
mod versions;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use self::door::{Door, TokenArgs};
use self::metrics::Meters;
use self::versions::Versions;
use crate::ledger::{Gauge, Ledger};
use crate::pool::{Bounds, Pool};
use crate::spec::Library;

#[derive(clap::Args)]
pub struct Args {
    /// The directory below which model files are: NAME.safetensors is the model NAME
    #[arg(long)]
    models: PathBuf,
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    bounds: Bounds,
    /// The largest body that is read, in bytes
    #[arg(long, default_value_t = 256 << 10)]
    max_body: usize,
    /// How many requests are worked on at once; those beyond it are refused (429)
    #[arg(long, default_value_t = 512)]
    max_requests: usize,
    /// Models to load before `/ready` says yes
    #[arg(long, value_name = "NAME")]
    preload: Vec<String>,
    /// How long the end may take, in milliseconds
    #[arg(long, default_value_t = 30_000)]
    drain_ms: u64,
    /// Which cache: hotset's, or the naive one that the demo compares it with
    #[arg(long, value_enum, default_value_t = Kind::Strict)]
    cache: Kind,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Strict,
    Naive,
}

/// What all requests share.
pub struct App {
    library: Library,
    pool: Pool,
    bounds: Bounds,
    ledger: Arc<Ledger>,
    versions: Versions,
    door: Door,
    meters: Meters,
    max_body: usize,
    max_requests: usize,
    requests: Semaphore,
    cores: Arc<Semaphore>,
    started: Instant,
    preloaded: AtomicBool,
    draining: AtomicBool,
    /// The naive cache does not count who waits, so the daemon does.
    waiting: Gauge,
}

impl App {
    fn is_draining(&self) -> bool {
        // ORDERING: Relaxed, a flag of its own.
        self.draining.load(Ordering::Relaxed)
    }

    fn is_ready(&self) -> bool {
        // ORDERING: Relaxed, a flag of its own.
        self.preloaded.load(Ordering::Relaxed) && !self.is_draining()
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let library = Library::open(&args.models)
        .with_context(|| format!("cannot use the model directory {}", args.models.display()))?;
    let ledger = Arc::new(Ledger::default());
    let pool = match args.cache {
        Kind::Strict => Pool::strict(&args.bounds, ledger.clone()),
        Kind::Naive => Pool::naive(&args.bounds, ledger.clone()),
    }?;
    let cores = available_parallelism().map_or(1, usize::from);
    let app = Arc::new(App {
        library,
        pool,
        bounds: args.bounds.clone(),
        ledger,
        versions: Versions::default(),
        door: Door::new(&args.token, args.listen.ip())?,
        meters: Meters::default(),
        max_body: args.max_body,
        max_requests: args.max_requests,
        requests: Semaphore::new(args.max_requests),
        cores: Semaphore::new(cores).into(),
        started: Instant::now(),
        preloaded: AtomicBool::new(args.preload.is_empty()),
        draining: AtomicBool::new(false),
        waiting: Gauge::default(),
    });
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(live(args, app));
    // The naive cache may still be loading; nobody waits for that.
    runtime.shutdown_background();
    code
}

async fn live(args: &Args, app: Arc<App>) -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("warmd: listening on http://{}", shown(listener.local_addr()?));
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(http::serve(listener, app.clone(), stopped));
    tokio::spawn(preload(app.clone(), args.preload.clone()));

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // ORDERING: Relaxed; a request that misses it is told by the cache.
    app.draining.store(true, Ordering::Relaxed);
    println!("warmd: draining");
    let began = Instant::now();
    let report = tokio::select! {
        report = app.pool.shut_down(Duration::from_millis(args.drain_ms)) => report,
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    stop.send_replace(true);
    server.await.context("the server died")?;
    let clean = stats::farewell(&app, report.as_ref(), began.elapsed());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn preload(app: Arc<App>, names: Vec<String>) {
    for name in names {
        if let Err(refusal) = score::warm(&app, &name).await {
            eprintln!("warmd: preload of {name:?}: {refusal:?}");
        }
    }
    // ORDERING: Relaxed; the cache itself says who is warm.
    app.preloaded.store(true, Ordering::Relaxed);
}

/// An address that a client can use.
fn shown(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        });
    }
    address
}
