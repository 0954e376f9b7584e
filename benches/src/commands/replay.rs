//! How much would each cache have hit? Replays traces through peers and reference policies.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;

use super::capacity::{Capacity, LEAST_CAPACITY};
use crate::numbered::Numbered;
use crate::parallel;
use crate::peers::{
    Cache, Foyer, FoyerS3Fifo, Hotset, HotsetClock, Moka, QuickCache, Scc, is_hotset,
};
use crate::plot::{self, Panel};
use crate::policies::{Clock, Fifo, Lru, Simulator};
use crate::report::{Cell, Check, Report, Table, mean, progress_bar};
use crate::settings::Settings;
use crate::synthetic;
use crate::trace::Trace;
use crate::workload::key;

/// Per cent of its capacity above which a cache's ratio is set apart.
const OVERFULL: f64 = 103.0;

/// The policies beside the peers: something to read a ratio against.
const REFERENCES: [&str; 3] = ["LRU", "FIFO", "CLOCK"];

/// Requests between two looks at a cache's size.
const LOOK: usize = 4_096;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Traces: NAME.u64[.zst], ARC's NAME.lis[.zst], or text with one key a line; "-" is standard
    /// input. None: a synthetic mix
    files: Vec<PathBuf>,
    /// Capacities, separated by commas: entries (500) or a share of the trace's unique keys (1%)
    /// [default: 0.1%,1%,10%, without those below 20 entries]
    #[arg(long, value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// Where to write the plot
    #[arg(long, default_value = "target/hotset-replay.svg")]
    svg: PathBuf,
    /// Threads, each with a cache of its own [default: all cores]
    #[arg(long)]
    jobs: Option<usize>,
    /// Requests of each synthetic trace [default: 400000; 100000 with --quick]
    #[arg(long)]
    requests: Option<usize>,
    /// Seed of the synthetic traces
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    pub fn for_all(files: Vec<PathBuf>, svg: PathBuf) -> Self {
        Self { files, svg, seed: 1, ..Self::default() }
    }
}

/// A column of the tables.
struct Runner {
    name: &'static str,
    run: fn(usize, &Numbered, &ProgressBar) -> Outcome,
}

/// What one cache did with one trace.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    hits: usize,
    /// The greatest size that was seen.
    most_held: usize,
}

/// A row of a table: one trace at one capacity.
struct Row {
    /// Which of [`Replayed::traces`]; names may repeat, as of files in two folders.
    trace: usize,
    requests: usize,
    entries: usize,
    outcomes: Vec<Outcome>,
}

impl Row {
    /// In per cent of the capacity, the greatest size that was seen.
    fn held(&self, runner: usize) -> f64 {
        self.outcomes[runner].most_held as f64 / self.entries as f64 * 100.0
    }

    /// Whether it held so much more than it was given that its ratio proves nothing. A shard's
    /// part rounded up is allowed for.
    fn overfull(&self, runner: usize) -> bool {
        self.held(runner) > OVERFULL
    }

    fn ratio(&self, runner: usize) -> f64 {
        self.outcomes[runner].hits as f64 / self.requests as f64
    }

    /// How far below the best of this row that kept to its capacity.
    fn shortfall(&self, runner: usize) -> f64 {
        let others = (0..self.outcomes.len()).filter(|&other| !self.overfull(other));
        let best = others.map(|other| self.ratio(other)).fold(0.0, f64::max);
        (best - self.ratio(runner)).max(0.0)
    }
}

/// A figure of one runner in one row.
type Figure = fn(&Row, usize) -> f64;

/// All rows of one capacity.
struct Section {
    capacity: Capacity,
    rows: Vec<Row>,
}

impl Section {
    fn keeps_to_it(&self, runner: usize) -> bool {
        !self.rows.iter().any(|row| row.overfull(runner))
    }
}

/// Everything that was replayed.
pub struct Replayed {
    /// Of the runners, hotset first.
    names: Vec<&'static str>,
    traces: Vec<String>,
    sections: Vec<Section>,
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    let replayed = measure(args, settings)?;
    show(&replayed, report);
    plot(&replayed, args)
}

pub fn measure(args: &Args, settings: &Settings) -> Result<Replayed> {
    let jobs = args.jobs.unwrap_or_else(crate::machine::cores);
    ensure!((1..=1_024).contains(&jobs), "--jobs must be 1 to 1024");
    let requests = args.requests.unwrap_or(settings.pick(400_000, 100_000));
    ensure!((1_000..=100_000_000).contains(&requests), "--requests must be 1000 to 100000000");
    let runners = runners(settings);
    ensure!(!runners.is_empty(), "--only: none of these peers takes part in replay");
    let defaults = [0.1, 1.0, 10.0].map(Capacity::Percent);
    let capacities = if args.capacity.is_empty() { &defaults } else { args.capacity.as_slice() };

    let mut sections: Vec<Section> =
        capacities.iter().map(|&capacity| Section { capacity, rows: Vec::new() }).collect();
    let mut traces = Vec::new();
    let mut replay = |trace: Trace| {
        replay_trace(traces.len(), &trace, &runners, &mut sections, jobs);
        traces.push(trace.name);
    };
    if args.files.is_empty() {
        synthetic::traces(requests, args.seed).into_iter().for_each(&mut replay);
    }
    // One trace in memory at a time: they reach tens of megabytes.
    for file in &args.files {
        replay(Trace::read(file)?);
    }
    sections.retain(|section| !section.rows.is_empty());
    ensure!(
        !sections.is_empty(),
        "every capacity is below {LEAST_CAPACITY} entries on every trace; give a larger one with \
         --capacity"
    );
    Ok(Replayed { names: runners.iter().map(|runner| runner.name).collect(), traces, sections })
}

pub fn show(replayed: &Replayed, report: &mut Report) {
    let names = &replayed.names;
    for section in &replayed.sections {
        let (basis, words) = (section.capacity, section.capacity.words());
        let of = if matches!(basis, Capacity::Percent(_)) { " of the unique keys" } else { "" };
        let mut header = vec!["trace", "entries"];
        header.extend(names);
        let mut table = Table::new(format!("Hit ratio in %, capacity {words}{of}"), &header);
        let percent = |ratio: f64| Cell::number(ratio * 100.0, 2);
        for row in &section.rows {
            let name = Cell::text(&replayed.traces[row.trace]);
            let mut cells = vec![name, Cell::count(row.entries as u64)];
            cells.extend((0..names.len()).map(|runner| {
                let cell = percent(row.ratio(runner));
                if row.overfull(runner) { cell.marked() } else { cell }
            }));
            table.row(cells);
        }
        for (name, figure) in [("mean", Row::ratio as Figure), ("mean shortfall", Row::shortfall)] {
            let mut cells = vec![Cell::text(name), Cell::none()];
            cells.extend((0..names.len()).map(|runner| {
                let mean = mean(section.rows.iter().map(|row| figure(row, runner)));
                if section.keeps_to_it(runner) { percent(mean) } else { percent(mean).marked() }
            }));
            table.row(cells);
        }
        table.note(
            "Shortfall: points below the best of the row. *: held more than its capacity, so it \
             is nobody's best.",
        );
        for note in overfull(replayed, section) {
            table.note(note);
        }
        report.add(table);
    }
}

pub fn plot(replayed: &Replayed, args: &Args) -> Result<()> {
    plot::write(&args.svg, &replayed.names, &panels(replayed))
        .with_context(|| format!("plot {}", args.svg.display()))?;
    eprintln!("plot: {}", args.svg.display());
    Ok(())
}

/// The targets of the design, on whatever was replayed.
pub fn checks(replayed: &Replayed) -> Vec<Check> {
    let Some(own) = replayed.names.iter().position(|&name| name == "hotset") else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    for section in &replayed.sections {
        let mean_of = |runner| mean(section.rows.iter().map(|row| row.ratio(runner))) * 100.0;
        let peers = (0..replayed.names.len())
            .filter(|&runner| section.keeps_to_it(runner))
            .filter(|&runner| !is_hotset(replayed.names[runner]))
            .filter(|&runner| !REFERENCES.contains(&replayed.names[runner]));
        let best = peers.max_by(|&a, &b| mean_of(a).total_cmp(&mean_of(b)));
        checks.push(Check::new(
            &format!("hit ratio at {}: mean", section.capacity.words()),
            ">= the best single peer",
            best.map_or_else(
                || "-".to_owned(),
                |best| {
                    let name = replayed.names[best];
                    format!("{:.2} % ({name} {:.2} %)", mean_of(own), mean_of(best))
                },
            ),
            best.map(|best| mean_of(own) >= mean_of(best)),
        ));
    }
    let rows = replayed.sections.iter().flat_map(|section| &section.rows);
    let shortfall = mean(rows.map(|row| row.shortfall(own))) * 100.0;
    checks.push(Check::new(
        "hit ratio: mean shortfall against the best of each cell",
        "<= 1.0 point",
        format!("{shortfall:.2} points"),
        Some(shortfall <= 1.0),
    ));
    checks
}

/// Everybody that takes part, peers first.
fn runners(settings: &Settings) -> Vec<Runner> {
    fn peer<C: Cache>() -> Runner {
        Runner { name: C::NAME, run: replay_cache::<C> }
    }
    fn policy<S: Simulator>(name: &'static str) -> Runner {
        Runner { name, run: replay_simulator::<S> }
    }
    let all = [
        peer::<Hotset>(),
        peer::<HotsetClock>(),
        peer::<QuickCache>(),
        peer::<Moka>(),
        peer::<Foyer>(),
        peer::<FoyerS3Fifo>(),
        peer::<Scc>(),
        policy::<Lru>(REFERENCES[0]),
        policy::<Fifo>(REFERENCES[1]),
        policy::<Clock>(REFERENCES[2]),
    ];
    // References are always there.
    let takes_part =
        |runner: &Runner| settings.only.admits(runner.name) || REFERENCES.contains(&runner.name);
    all.into_iter().filter(takes_part).collect()
}

/// Replays one trace at every capacity through every runner, several at a time.
fn replay_trace(
    number: usize,
    trace: &Trace,
    runners: &[Runner],
    sections: &mut [Section],
    jobs: usize,
) {
    let trace = &Numbered::new(trace);
    let mut cells = Vec::new();
    for (i, section) in sections.iter_mut().enumerate() {
        let entries = section.capacity.entries(trace.unique);
        let asked_for = matches!(section.capacity, Capacity::Entries(_));
        if entries < LEAST_CAPACITY && !asked_for {
            continue;
        }
        section.rows.push(Row {
            trace: number,
            requests: trace.ids.len(),
            entries,
            outcomes: Vec::new(),
        });
        cells.extend(runners.iter().map(|runner| (i, runner, entries)));
    }
    let bar = progress_bar(&trace.name, (cells.len() * trace.ids.len()) as u64);
    let outcomes =
        parallel::each(&cells, jobs, |(_, runner, entries)| (runner.run)(*entries, trace, &bar));
    bar.finish_and_clear();
    for ((section, ..), outcome) in cells.iter().zip(outcomes) {
        let row = sections[*section].rows.last_mut().expect("it was pushed above");
        row.outcomes.push(outcome);
    }
}

fn replay_cache<C: Cache>(entries: usize, trace: &Numbered, bar: &ProgressBar) -> Outcome {
    let cache = C::with_capacity(entries);
    replay_with(
        trace,
        bar,
        |id| {
            // One to one, so the trace stays what it is; see `key` for what is gained.
            let number = u64::from(id);
            let hit = cache.get(key(number)).is_some();
            if !hit {
                cache.insert(key(number), number);
            }
            hit
        },
        || cache.held(),
    )
}

fn replay_simulator<S: Simulator>(entries: usize, trace: &Numbered, bar: &ProgressBar) -> Outcome {
    // Both closures need it, one of them to change it.
    let simulator = std::cell::RefCell::new(S::new(entries, trace));
    replay_with(trace, bar, |id| simulator.borrow_mut().request(id), || simulator.borrow().len())
}

fn replay_with(
    trace: &Numbered,
    bar: &ProgressBar,
    mut request: impl FnMut(u32) -> bool,
    held: impl Fn() -> usize,
) -> Outcome {
    let mut outcome = Outcome { hits: 0, most_held: 0 };
    for ids in trace.ids.chunks(LOOK) {
        outcome.hits += ids.iter().filter(|&&id| request(id)).count();
        outcome.most_held = outcome.most_held.max(held());
        bar.inc(ids.len() as u64);
    }
    outcome
}

/// Names those that held more than they were given, and where it was worst.
fn overfull(replayed: &Replayed, section: &Section) -> Vec<String> {
    let note = |(runner, name): (usize, &&str)| {
        let worst = section.rows.iter().max_by(|a, b| a.held(runner).total_cmp(&b.held(runner)));
        let row = worst.filter(|row| row.overfull(runner))?;
        let (percent, trace) = (row.held(runner), &replayed.traces[row.trace]);
        Some(format!("{name} held up to {percent:.0} % of its capacity ({trace})."))
    };
    replayed.names.iter().enumerate().filter_map(note).collect()
}

/// One panel for each trace: its hit ratios over the capacities.
fn panels(replayed: &Replayed) -> Vec<Panel> {
    let lines = replayed.names.len();
    let mut panels: Vec<Panel> =
        replayed.traces.iter().map(|title| Panel::new(title, lines)).collect();
    for section in &replayed.sections {
        for row in &section.rows {
            let ratios: Vec<f64> = (0..lines).map(|runner| row.ratio(runner)).collect();
            panels[row.trace].add(section.capacity.words(), &ratios);
        }
    }
    // A trace with too few keys for any of the capacities.
    panels.retain(|panel| !panel.is_empty());
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_replay_by_hand() {
        // Two rounds of a loop of 30 keys: all of the second round hits if 30 fit.
        let keys: Vec<u64> = (0..60).map(|i| i % 30).collect();
        let trace = Trace { name: "loop".to_owned(), keys };
        let runners = [
            Runner { name: "LRU", run: replay_simulator::<Lru> },
            Runner { name: "FIFO", run: replay_simulator::<Fifo> },
        ];
        let mut sections = [Capacity::Entries(30), Capacity::Entries(29), Capacity::Percent(10.0)]
            .map(|capacity| Section { capacity, rows: Vec::new() });
        replay_trace(0, &trace, &runners, &mut sections, 2);
        let hits = |section: usize| -> Vec<usize> {
            sections[section].rows[0].outcomes.iter().map(|outcome| outcome.hits).collect()
        };
        assert_eq!((hits(0), hits(1)), (vec![30, 30], vec![0, 0]));
        assert!(sections[2].rows.is_empty(), "three entries are too few by default");
    }
}
