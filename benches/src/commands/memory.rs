//! How much memory does an entry take beyond its key and value?

use std::process::{Command, Stdio};

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
    /// Tells how much of this process is in memory with the one peer that is left, and nothing else
    #[arg(long, hide = true)]
    resident: bool,
}

/// What one peer requested.
pub struct Row {
    name: &'static str,
    empty_bytes: i64,
    full: State,
    steady: State,
    /// Bytes in memory beyond the payload, of each entry, in the steady state.
    resident: Option<f64>,
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
    if args.resident {
        each_cache(&settings.only, &mut Resident { entries });
        return Ok(());
    }
    show(args, settings, &measure(args, settings), report);
    Ok(())
}

pub fn show(args: &Args, settings: &Settings, rows: &[Row], report: &mut Report) {
    let title = format!(
        "Memory, u64 -> u64, capacity {}: requested bytes per entry beyond its 16",
        grouped(args.entries(settings))
    );
    let header = ["peer", "full", "steady", "blocks", "resident", "entries", "empty cache"];
    let mut table = Table::new(title, &header);
    for row in rows {
        table.row(vec![
            Cell::text(row.name),
            Cell::number(row.full.overhead, 1),
            Cell::number(row.steady.overhead, 1),
            Cell::number(row.steady.blocks, 2),
            row.resident.map_or_else(Cell::none, |bytes| Cell::number(bytes, 1)),
            Cell::count(row.steady.entries as u64),
            Cell::count(row.empty_bytes.max(0) as u64),
        ]);
    }
    table.note(
        "\"full\": after filling once. \"steady\": after one and a half times as many new keys \
         more. Everything that the cache holds is divided by the entries it then has; \"blocks\" \
         are allocations per entry, each of which costs the allocator some bytes more. \"resident\" \
         is what a process of its own has in memory, beyond what it had before and those 16 bytes, \
         in the steady state.",
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
    drop(cache);
    Row { name: C::NAME, empty_bytes, full, steady, resident: resident_of(C::NAME, entries) }
}

/// What a process of its own tells of one peer; `None` where the system does not tell.
fn resident_of(peer: &str, entries: u64) -> Option<f64> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["--only", peer, "memory", "--resident", "--entries", &entries.to_string()]);
    let told = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(told.stdout).ok()?.trim().parse().ok()
}

struct Resident {
    entries: u64,
}

impl CacheVisitor for Resident {
    fn cache<C: Cache>(&mut self) {
        let before = in_memory();
        let cache = C::with_capacity(self.entries as usize);
        (0..self.entries * 5 / 2).for_each(|number| _ = cache.insert(key(number), number));
        cache.settle();
        if let (Some(before), Some(after)) = (before, in_memory()) {
            let each = after.saturating_sub(before) as f64 / cache.len().max(1) as f64;
            println!("{}", each - PAYLOAD);
        }
    }
}

/// Bytes of this process that are in memory.
fn in_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn state<C: Cache>(cache: &C) -> State {
    cache.settle();
    let (entries, requested) = (cache.len(), alloc::requested());
    let each = |total: i64| total as f64 / entries.max(1) as f64;
    State { entries, overhead: each(requested.bytes) - PAYLOAD, blocks: each(requested.blocks) }
}
