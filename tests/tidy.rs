//! Is the house in order? Reads `src/` and checks the rules of ARCHITECTURE.md that a compiler does
//! not: which room may know which, where `unsafe` may stand, that it and every ordering are argued, and how
//! long a file may be.

#[path = "tidy/reader.rs"]
mod reader;

use std::fs;
use std::path::{Path, PathBuf};

use reader::{Token, imports, tokens, without_tests};

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

/// No file has as many lines.
const TOO_LONG: usize = 600;

/// What a room may import: each name stands for `src/NAME.rs` or `src/NAME/`. From the ground up, so that an
/// arrow may only go to a room that stands further up on this page. Only what is imported counts, and a method
/// needs no import: a method of `Cache` is written in the lowest room from which its words can be reached.
const ROOMS: [(&str, &[(&str, &str)]); 5] = [
    (
        "ground",
        &[
            ("sync", ""),
            ("config", ""),
            ("error", ""),
            ("seed", ""),
            ("advice", ""),
            ("counter", ""),
            ("barrier", "sync"), // in models, where its fences are the model's
            ("pause", "barrier"),
            ("time", "seed"),
        ],
    ),
    (
        "values",
        &[
            ("hash", ""),
            ("adaptive", ""),
            ("dumped", ""),
            ("tags", "sync"), // whether this is a model, whose buckets are smaller
            ("clock", "sync dumped tags"), // the same, whose tables are
            ("local", "config advice counter"),
            ("expiry", "advice time dumped"),
            ("refresh", "time"),
        ],
    ),
    (
        "machines",
        &[
            ("slot", "sync seed hash tags"),
            ("thread_id", "sync slot"), // how many threads the word of a claim can name
            ("budget", "sync seed"),
            ("weights", "sync seed"),
            ("reclaim", "sync seed advice counter barrier pause thread_id"),
            ("node", "sync seed time local expiry slot reclaim"), // of `slot`, how it must be aligned
            ("load", "sync seed reclaim node"),
        ],
    ),
    (
        "assembly",
        &[
            (
                "table",
                "sync config seed advice counter barrier pause hash adaptive dumped tags clock local slot \
                 reclaim node",
            ),
            ("events", "config"),
            ("stats", "config local"),
            ("removed", "seed node"),
            (
                "store",
                "sync config error seed pause hash adaptive dumped tags local expiry refresh slot thread_id \
                 budget weights reclaim node load table events stats removed",
            ),
        ],
    ),
    (
        "public face",
        &[
            ("iter", "store"),
            ("cache", "error hash stats removed store iter"),
            ("builder", "config error time expiry refresh weights store cache"),
            ("pinned", "hash node store cache"),
            ("compute", "config removed store cache"),
            ("dump", "dumped cache"),
            ("bulk", "error cache"),
            ("future", "error store cache"),
            ("metrics", "config stats"),
            ("resource", "sync config seed time cache"),
            ("refused", ""),
        ],
    ),
];

/// The page and the hidden doors may import everything. Nothing but the page imports from them.
const DOORS: [&str; 3] = ["lib", "model", "fuzz"];

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
    let long = sources().into_iter().filter(|file| file.lines.len() >= TOO_LONG);
    check(
        "files of 600 lines and more",
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

/// So that the compiler says it, too. A room whose children need `unsafe` cannot.
#[test]
fn where_no_unsafe_is_it_is_forbidden() {
    let files = sources();
    let is_below = |file: &File, above: &File| file.name.starts_with(&folder(&above.name));
    let is_safe = |file: &File| {
        let tokens = tokens(&file.lines.join("\n"));
        tokens.iter().all(|(_, word)| word != "unsafe")
    };
    let forbids = |file: &File| file.lines.iter().any(|line| line == "#![forbid(unsafe_code)]");
    let broken = files
        .iter()
        .filter(|file| file.name != "lib.rs" && is_safe(file))
        .filter(|file| files.iter().filter(|child| is_below(child, file)).all(is_safe))
        .filter(|file| !forbids(file))
        .filter(|file| !files.iter().any(|above| is_below(file, above) && forbids(above)))
        .map(|file| file.name.clone());
    check("no `forbid(unsafe_code)` where it could be", broken.collect());
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

fn rooms() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let rows = ROOMS.iter().flat_map(|(_, rows)| rows.iter());
    rows.map(|&(room, allowed)| (room, allowed.split_whitespace().collect()))
}

fn room_of(file: &str) -> &str {
    let room = file.split('/').next().unwrap_or(file);
    room.strip_suffix(".rs").unwrap_or(room)
}

/// Where the children of a file are.
fn folder(file: &str) -> String {
    file.strip_suffix("mod.rs").map_or_else(|| file.replace(".rs", "/"), String::from)
}

/// One arrow from room to room, and the file and the line that draw it.
struct Arrow {
    from: String,
    to: String,
    at: String,
}

/// The files that are built into the library: name, code, and how deep below the root their module is.
fn shipped() -> Vec<(String, Vec<Token>, usize)> {
    let mut shipped = Vec::new();
    let mut tests = Vec::new();
    for file in sources() {
        let (tokens, modules) = without_tests(&tokens(&file.lines.join("\n")));
        let folder = folder(&file.name);
        tests.extend(modules.iter().map(|module| format!("{folder}{module}")));
        shipped.push((file.name, tokens, folder.split('/').count() - 1));
    }
    shipped.retain(|(name, ..)| {
        let is_in =
            |test: &String| *name == format!("{test}.rs") || name.starts_with(&format!("{test}/"));
        !tests.iter().any(is_in)
    });
    shipped
}

fn arrows() -> Vec<Arrow> {
    let mut found = Vec::new();
    for (name, tokens, deep) in shipped() {
        for (line, to) in imports(&tokens, deep) {
            let from = room_of(&name).to_string();
            if from != to {
                found.push(Arrow { from, to, at: format!("src/{name}:{line}") });
            }
        }
    }
    found
}

#[test]
fn imports_go_down() {
    let rooms: Vec<_> = rooms().collect();
    let mut broken = Vec::new();
    for Arrow { from, to, at } in arrows() {
        if DOORS.contains(&from.as_str()) {
            continue;
        }
        let allowed = rooms.iter().find(|(room, _)| *room == from).map(|(_, allowed)| allowed);
        if !allowed.is_some_and(|allowed| allowed.contains(&to.as_str())) {
            let allowed = allowed.map_or("is not in the table".to_string(), |allowed| {
                format!(
                    "may import {}",
                    if allowed.is_empty() { "nothing".into() } else { allowed.join(", ") }
                )
            });
            broken.push(format!("{at}: {from} -> {to}; {from} {allowed}"));
        }
    }
    check(
        "imports that the table of rooms does not allow (`crate::Name` is one from the page)",
        broken,
    );
}

#[test]
fn the_table_of_rooms_is_true_and_has_no_circle() {
    let taken: Vec<_> = arrows().into_iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let mut broken = Vec::new();
    let mut below = Vec::new();
    for (room, allowed) in rooms() {
        for to in allowed {
            if !below.contains(&to) {
                broken.push(format!("{room} -> {to}: {to} does not stand above it"));
            }
            if !taken.iter().any(|(from, taken)| from == room && taken == to) {
                broken.push(format!("{room} -> {to}: is not there any more"));
            }
        }
        below.push(room);
    }
    for file in sources() {
        let room = room_of(&file.name);
        if below.iter().filter(|&&listed| listed == room).count()
            + usize::from(DOORS.contains(&room))
            != 1
        {
            broken.push(format!("src/{}: {room} must be in the table once", file.name));
        }
    }
    check("the table of rooms", broken);
}

/// The first column of the code map: `a::b`, and `a` (`b`, `c`), which is `a`, `a::b` and `a::c`.
fn rooms_of_the_map() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("readable");
    let map = text.split("## Code map").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = map.expect("there is a map").lines().filter(|line| line.starts_with("| `"));
    let mut rooms = Vec::new();
    for cell in rows.filter_map(|row| row.split('|').nth(1)) {
        let (mut parent, mut is_inside) = (String::new(), false);
        for (at, part) in cell.split('`').enumerate() {
            if at % 2 == 0 {
                is_inside = part.contains('(') || is_inside && !part.contains(')');
            } else if is_inside {
                rooms.push(format!("{parent}::{part}"));
            } else {
                parent = part.to_string();
                rooms.push(parent.clone());
            }
        }
    }
    rooms
}

#[test]
fn the_code_map_has_every_room_and_no_other() {
    let modules = shipped().into_iter().map(|(name, ..)| {
        let name = name.strip_suffix(".rs").unwrap_or(&name);
        name.strip_suffix("/mod").unwrap_or(name).replace('/', "::")
    });
    let modules: Vec<_> = modules.collect();
    let map = rooms_of_the_map();
    let missing = modules.iter().filter(|module| !map.contains(module));
    let gone = map.iter().filter(|room| !modules.contains(room));
    check(
        "rooms that the code map of ARCHITECTURE.md lacks, or has and are not there",
        missing.chain(gone).cloned().collect(),
    );
}
