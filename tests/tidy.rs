//! Is the house in order? Reads `src/` and checks the rules of ARCHITECTURE.md that a compiler does
//! not: where `unsafe` may stand, that it and every ordering are argued, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in which `unsafe` may stand.
const UNSAFE_ROOMS: [&str; 38] = [
    "barrier.rs",
    "load/mod.rs",
    "load/room.rs",
    "model.rs",
    "node.rs",
    "reclaim/block.rs",
    "reclaim/fresh.rs",
    "reclaim/mod.rs",
    "reclaim/owner.rs",
    "reclaim/protect.rs",
    "reclaim/record.rs",
    "reclaim/slab.rs",
    "removed.rs",
    "resource/lease.rs",
    "resource/model.rs",
    "resource/vault.rs",
    "resource/work.rs",
    "store/compute.rs",
    "store/dumping.rs",
    "store/expiring.rs",
    "store/flight.rs",
    "store/future.rs",
    "store/leaving.rs",
    "store/mod.rs",
    "store/reading.rs",
    "store/refreshing.rs",
    "store/room.rs",
    "store/walk.rs",
    "sync.rs",
    "table/bucket.rs",
    "table/classes.rs",
    "table/larger.rs",
    "table/memory.rs",
    "table/mod.rs",
    "table/outgrown.rs",
    "table/segment.rs",
    "table/sweep.rs",
    "time/system.rs",
];

/// The rooms that may name std's atomics: the shim, and what is invisible to models on purpose.
/// `time/manual`: the word of a clock that a test moves; the engine only reads it through a trait.
const STD_ATOMIC_ROOMS: [&str; 6] =
    ["advice.rs", "barrier.rs", "counter.rs", "sync.rs", "thread_id.rs", "time/manual.rs"];

const MAX_LINES: usize = 600;

/// How far above an ordering or an unsafe block its argument may stand.
const REACH: usize = 12;

struct File {
    name: String,
    lines: Vec<String>,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src is there") {
            let path: PathBuf = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("below src");
                let name = name.to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).expect("readable");
                files.push(File { name, lines: text.lines().map(String::from).collect() });
            }
        }
    }
    assert!(files.len() > 20, "found only {} files", files.len());
    files
}

/// The lines that hold code, as `(index, code without its trailing comment)`.
fn code(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at, line.split("//").next().unwrap_or(line)))
}

fn argued(file: &File, at: usize, label: &str) -> bool {
    file.lines[at.saturating_sub(REACH)..=at].iter().any(|line| line.contains(label))
}

fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn no_file_is_too_long() {
    let long = sources().into_iter().filter(|file| file.lines.len() > MAX_LINES);
    check(
        "files over 600 lines",
        long.map(|file| format!("{}: {}", file.name, file.lines.len())).collect(),
    );
}

#[test]
fn unsafe_stands_in_its_rooms_and_is_argued() {
    let mut broken = Vec::new();
    for file in sources() {
        for (at, line) in code(&file) {
            let opens = line.contains("unsafe {") || line.contains("unsafe impl");
            if !opens {
                continue;
            }
            let room = UNSAFE_ROOMS.contains(&file.name.as_str()) || file.name == "thread_id.rs";
            if !room || !argued(&file, at, "SAFETY") {
                broken.push(format!("{}:{}", file.name, at + 1));
            }
        }
    }
    check("unsafe outside its rooms or without SAFETY", broken);
}

#[test]
fn every_ordering_is_argued() {
    let mut broken = Vec::new();
    for file in sources() {
        for (at, line) in code(&file) {
            let chooses = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"]
                .iter()
                .any(|order| line.contains(&format!("Ordering::{order}")));
            if chooses && !argued(&file, at, "ORDERING") && !argued(&file, at, "LOOM") {
                broken.push(format!("{}:{}", file.name, at + 1));
            }
        }
    }
    check("an ordering without ORDERING just above", broken);
}

#[test]
fn atomics_come_from_the_shim() {
    let mut broken = Vec::new();
    for file in sources() {
        if STD_ATOMIC_ROOMS.contains(&file.name.as_str()) {
            continue;
        }
        for (at, line) in code(&file) {
            let names = ["std::sync::atomic", "core::sync::atomic", "loom::"];
            if names.iter().any(|name| line.contains(name)) {
                broken.push(format!("{}:{}", file.name, at + 1));
            }
        }
    }
    check("atomics that bypass crate::sync", broken);
}

/// Words are read and written whole, and taken apart by arithmetic.
#[test]
fn nothing_depends_on_the_order_of_bytes() {
    let mut broken = Vec::new();
    for file in sources() {
        for (at, line) in code(&file) {
            let names = ["transmute", "_ne_bytes", "target_endian", "AtomicU8", "AtomicU16"];
            if names.iter().any(|name| line.contains(name)) {
                broken.push(format!("{}:{}", file.name, at + 1));
            }
        }
    }
    check("what could depend on the order of bytes", broken);
}

#[test]
fn the_public_face_has_no_orderings() {
    let faces = [
        "bulk.rs",
        "compute.rs",
        "future.rs",
        "cache.rs",
        "builder.rs",
        "pinned.rs",
        "iter.rs",
        "stats.rs",
        "error.rs",
    ];
    let broken = sources()
        .into_iter()
        .filter(|file| faces.contains(&file.name.as_str()))
        .filter(|file| code(file).any(|(_, line)| line.contains("Ordering::")))
        .map(|file| file.name)
        .collect();
    check("an ordering in the public face", broken);
}
