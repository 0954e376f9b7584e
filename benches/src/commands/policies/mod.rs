//! Which policy keeps the right things? The lab: exact simulators, the optimum among them, beside
//! the real caches, on the same requests at the same capacities.
//!
//! | file | question |
//! |---|---|
//! | `contestants` | who takes part, and how a stream is replayed |
//! | `stream` | what is replayed |
//! | `cells` | how much each hit |
//! | `tables` | how it is told |
//! | `phases` | how fast they adapt when the load changes |
//! | `check` | whether the simulators agree with what others published |
//! | `weighted` | the same for bytes instead of entries |

mod cells;
mod check;
mod contestants;
mod phases;
mod stream;
mod tables;
mod weighted;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::cells::Row;
use self::contestants::Contestant;
use self::stream::Stream;
use super::capacity::{Capacity, LEAST_CAPACITY};
use crate::curves::{self, Curve};
use crate::numbered::Numbered;
use crate::report::Report;
use crate::settings::Settings;
use crate::synthetic;

/// From pure recency to a pure loop and back.
const SHIFT: &str = "corda,lirs-loopx5,corda";

/// Of `--shift` and `--concat`: below the loop's length.
const SHIFT_CAPACITY: Capacity = Capacity::Entries(512);

#[derive(Clone, Debug, Default, clap::Args)]
#[command(group = clap::ArgGroup::new("mode"))]
pub struct Args {
    /// Traces, as for `replay`. None: a synthetic mix
    files: Vec<PathBuf>,
    /// Capacities, separated by commas: entries (500) or a share of the trace's unique keys (1%)
    /// [default: 0.1%,1%,10%, without those below 20 entries]
    #[arg(long, alias = "capacity", value_delimiter = ',')]
    capacities: Vec<Capacity>,
    /// Only these columns; a first word stands for all that begin with it
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
    /// Not these columns; moka is slow where much is missed
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Traces to sum up apart from the rest
    #[arg(long, value_delimiter = ',')]
    holdout: Vec<String>,
    /// A folder for curves of the hit ratio over the capacity, one SVG for each trace
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Capacities of the curves
    #[arg(long, value_delimiter = ',', default_values = ["0.1%", "0.2%", "0.5%", "1%", "2%", "5%", "10%", "20%", "50%"])]
    points: Vec<Capacity>,
    /// Cells replayed at a time [default: all cores]
    #[arg(long)]
    jobs: Option<usize>,
    /// Compare the simulators with published figures, on traces of the --traces folder
    #[arg(long, group = "mode")]
    check: bool,
    /// Bound bytes: object and byte hit ratios, with the sizes from NAME.size.u32[.zst]
    #[arg(long, group = "mode")]
    weighted: bool,
    /// How fast do they adapt? --concat corda,lirs-loopx5,corda
    #[arg(long, group = "mode")]
    shift: bool,
    /// Traces one after another (A,Bx5,A), by the names of FILES or of the --traces folder; tells
    /// the hit ratio of each tenth of each
    #[arg(long, group = "mode")]
    concat: Option<String>,
    /// A hot set of half of so many entries, among floods of keys asked for once or twice
    #[arg(long, group = "mode", value_name = "ENTRIES")]
    flood: Option<usize>,
    /// Where --check, --shift and --concat look for traces
    #[arg(long, default_value = "../shared/traces")]
    traces: PathBuf,
    /// Requests of each synthetic trace [default: 400000; 100000 with --quick]
    #[arg(long)]
    requests: Option<usize>,
    /// Seed of the synthetic traces
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests that each of the eight threads of "8t" takes at a time. One keeps to the order of
    /// the trace: who is held up by the system comes late with one request, not with many
    #[arg(long, default_value_t = 1)]
    turn: usize,
}

impl Args {
    fn jobs(&self) -> Result<usize> {
        let jobs = self.jobs.unwrap_or_else(crate::machine::cores);
        ensure!((1..=1_024).contains(&jobs), "--jobs must be 1 to 1024");
        Ok(jobs)
    }

    /// Those given, or `defaults`.
    fn capacities<'a>(&'a self, defaults: &'a [Capacity]) -> &'a [Capacity] {
        if self.capacities.is_empty() { defaults } else { &self.capacities }
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!((1..=4_096).contains(&args.turn), "--turn must be 1 to 4096");
    let shares = [0.1, 1.0, 10.0].map(Capacity::Percent);
    if args.check {
        return check::run(&args.traces, args.jobs()?, report);
    }
    if args.weighted {
        return weighted::run(&args.files, args.capacities(&shares), args.jobs()?, report);
    }
    let Args { columns, without, turn, .. } = args;
    let contestants = contestants::contestants(columns, without, &settings.only, *turn)?;
    if let Some(text) = args.concat.as_deref().or(args.shift.then_some(SHIFT)) {
        return concat(text, args, &contestants, report);
    }
    let streams = streams(args, settings)?;
    for name in &args.holdout {
        ensure!(
            streams.iter().any(|stream| stream.trace.name == *name),
            "--holdout: no trace is called {name:?}"
        );
    }
    let flood = args.flood.map(|entries| [Capacity::Entries(entries)]);
    let capacities = args.capacities(flood.as_ref().map_or(&shares, |flood| flood.as_slice()));
    let mut points = capacities.to_vec();
    if args.svg.is_some() {
        points.extend(args.points.iter().filter(|&point| !capacities.contains(point)));
    }
    let rows = cells::run(&streams, &points, &contestants, args.jobs()?);
    let told: Vec<&Row> = rows.iter().filter(|row| capacities.contains(&row.capacity)).collect();
    ensure!(
        !told.is_empty(),
        "every capacity is below {LEAST_CAPACITY} entries on every trace; give a larger one with \
         --capacities"
    );
    tables::ratios(&rows, capacities, &streams, &contestants, report);
    let mut sum_up = |title: &str, rows: &[&Row]| {
        report.add(tables::summary(title, rows, capacities, &streams, &contestants));
    };
    sum_up("Policies: summary", &told);
    if !args.holdout.is_empty() {
        let held_out = |row: &&Row| args.holdout.contains(&streams[row.stream].trace.name);
        let (out, rest): (Vec<&Row>, Vec<&Row>) = told.iter().copied().partition(held_out);
        sum_up("Policies: summary of the held-out traces", &out);
        sum_up("Policies: summary of the others", &rest);
    }
    args.svg.as_ref().map_or(Ok(()), |folder| draw(folder, &rows, &streams, &contestants))
}

/// What to replay: the files, or made traces.
fn streams(args: &Args, settings: &Settings) -> Result<Vec<Stream>> {
    let requests = args.requests.unwrap_or(settings.pick(400_000, 100_000));
    ensure!((1_000..=100_000_000).contains(&requests), "--requests must be 1000 to 100000000");
    let made = if let Some(entries) = args.flood {
        ensure!((LEAST_CAPACITY..=10_000_000).contains(&entries), "--flood: 20 to 10000000");
        ensure!(args.files.is_empty(), "--flood takes no files");
        synthetic::floods(entries, requests, args.seed)
    } else if args.files.is_empty() {
        synthetic::traces(requests, args.seed)
    } else {
        return args.files.iter().map(|file| Numbered::read(file).map(Stream::whole)).collect();
    };
    Ok(made.iter().map(|trace| Stream::whole(Numbered::new(trace))).collect())
}

fn concat(text: &str, args: &Args, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    let find = |name: &str| stream::find(name, &args.files, &args.traces);
    let stream = Stream::concat(text, &stream::parts(text)?, &find)?;
    let capacities = args.capacities(&[SHIFT_CAPACITY]);
    let streams = [stream];
    for row in cells::run(&streams, capacities, contestants, args.jobs()?) {
        report.add(phases::over_time(&row, &streams[0], contestants));
        report.add(phases::recovery(&row, &streams[0], contestants));
    }
    Ok(())
}

/// One picture for each stream.
fn draw(folder: &Path, rows: &[Row], streams: &[Stream], contestants: &[Contestant]) -> Result<()> {
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    for (number, stream) in streams.iter().enumerate() {
        let mut curve = Curve::new(&stream.trace.name, &names);
        for row in rows.iter().filter(|row| row.stream == number) {
            let ratios: Vec<f64> = (0..names.len()).map(|i| row.ratio(i)).collect();
            curve.add(row.entries, &ratios);
        }
        let path = folder.join(format!("{}.svg", stream.trace.name.replace(['/', ' '], "-")));
        curves::write(&path, curve).with_context(|| format!("plot {}", path.display()))?;
    }
    eprintln!("plots: {}", folder.display());
    Ok(())
}
