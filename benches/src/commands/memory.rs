//! How much memory does an entry take beyond its key and value?

use anyhow::{Result, ensure};

use crate::alloc;
use crate::peers::{Cache, CacheVisitor, each_cache};
use crate::report::{Cell, Check, Report, Table, grouped, progress_bar};
use crate::settings::Settings;
use crate::workload::key;

/// A key and a value.
const PAYLOAD: f64 = 16.0;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Entries, and capacity [default: 1000000; 100000 with --quick]
    #[arg(long)]
    entries: Option<u64>,
}

/// What one peer requested.
pub struct Row {
    name: &'static str,
    empty_bytes: i64,
    full: State,
    steady: State,
}

/// Bytes beyond the payload and blocks, of each entry.
#[derive(Clone, Copy)]
struct State {
    entries: usize,
    overhead: f64,
    blocks: f64,
}

impl Args {
    fn entries(&self, settings: &Settings) -> u64 {
        self.entries.unwrap_or(settings.pick(1_000_000, 100_000))
    }
}

pub fn run(args: &Args, settings: &Settings, report: &mut Report) -> Result<()> {
    let entries = args.entries(settings);
    ensure!((100..=50_000_000).contains(&entries), "--entries must be 100 to 50000000");
    show(args, settings, &measure(args, settings), report);
    Ok(())
}

pub fn show(args: &Args, settings: &Settings, rows: &[Row], report: &mut Report) {
    let title = format!(
        "Memory, u64 -> u64, capacity {}: requested bytes per entry beyond its 16",
        grouped(args.entries(settings))
    );
    let header = ["peer", "full", "steady", "blocks", "entries", "empty cache"];
    let mut table = Table::new(title, &header);
    for row in rows {
        table.row(vec![
            Cell::text(row.name),
            Cell::number(row.full.overhead, 1),
            Cell::number(row.steady.overhead, 1),
            Cell::number(row.steady.blocks, 2),
            Cell::count(row.steady.entries as u64),
            Cell::count(row.empty_bytes.max(0) as u64),
        ]);
    }
    table.note(
        "\"full\": after filling once. \"steady\": after one and a half times as many new keys \
         more. Everything that the cache holds is divided by the entries it then has; \"blocks\" \
         are allocations per entry, each of which costs the allocator some bytes more.",
    );
    report.add(table);
}

pub fn measure(args: &Args, settings: &Settings) -> Vec<Row> {
    let mut line_up = LineUp { entries: args.entries(settings), rows: Vec::new() };
    each_cache(&settings.only, &mut line_up);
    line_up.rows
}

pub fn checks(rows: &[Row]) -> Vec<Check> {
    let own = rows.iter().find(|row| row.name == "hotset").map(|row| row.steady.overhead);
    vec![Check::new(
        "memory beyond key and value, steady",
        "<= 40 bytes",
        own.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1} bytes")),
        own.map(|bytes| bytes <= 40.0),
    )]
}

struct LineUp {
    entries: u64,
    rows: Vec<Row>,
}

impl CacheVisitor for LineUp {
    fn cache<C: Cache>(&mut self) {
        let entries = self.entries;
        // A thread of its own, whose end gives back what a peer keeps per thread.
        let row = std::thread::scope(|scope| {
            scope.spawn(|| measure_one::<C>(entries)).join().expect("a peer panicked")
        });
        self.rows.push(row);
    }
}

fn measure_one<C: Cache>(entries: u64) -> Row {
    let bar = progress_bar(&format!("memory, {}", C::NAME), 3);
    alloc::start();
    let cache = C::with_capacity(entries as usize);
    let empty_bytes = alloc::requested().bytes;
    bar.inc(1);
    (0..entries).for_each(|number| _ = cache.insert(key(number), number));
    let full = state(&cache);
    bar.inc(1);
    (entries..entries * 5 / 2).for_each(|number| _ = cache.insert(key(number), number));
    let steady = state(&cache);
    alloc::stop();
    bar.finish_and_clear();
    Row { name: C::NAME, empty_bytes, full, steady }
}

fn state<C: Cache>(cache: &C) -> State {
    cache.settle();
    let (entries, requested) = (cache.len(), alloc::requested());
    let each = |total: i64| total as f64 / entries.max(1) as f64;
    State { entries, overhead: each(requested.bytes) - PAYLOAD, blocks: each(requested.blocks) }
}
