//! What the demo's daemons serve: models that are trained on the spot, on this repository's words.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::generate::{self, Training};
use crate::model::file::Notes;

const PROSE: &str =
    concat!(include_str!("../../../../README.md"), include_str!("../../../../ARCHITECTURE.md"),);
const CODE: &str = include_str!("../backend.rs");

/// Distinct models of the traffic, and how large each is once loaded.
pub const MODELS: usize = 12;
pub const MODEL_MIB: u64 = 36;

/// A text that no model was trained on.
pub const TEXT: &str = "a lease keeps what it leases; `fn close(&self, id: &Id, backend: Backend)` \
                        runs after the last one, and nothing waits for it.";

/// How slow a backend a file plays: load, close, score, in milliseconds.
#[derive(Clone, Copy)]
struct Pace(u64, u64, u64);

impl From<Pace> for Notes {
    fn from(Pace(load, close, score): Pace) -> Self {
        let ms = Duration::from_millis;
        Self { load: ms(load), close: ms(close), score: ms(score), ..Self::default() }
    }
}

/// The models of the trials.
const SMALL: [(&str, Pace); 9] = [
    ("quick", Pace(0, 0, 0)),
    ("one", Pace(0, 0, 0)),
    ("two", Pace(0, 0, 0)),
    ("slow-in", Pace(2_000, 0, 0)),
    ("slow-out", Pace(0, 2_000, 0)),
    ("burst", Pace(300, 0, 0)),
    ("deserted", Pace(1_000, 0, 0)),
    ("swap", Pace(0, 0, 600)),
    ("held", Pace(0, 0, 1_500)),
];

pub fn name(model: usize) -> String {
    format!("m{model:02}")
}

/// Every third model of the traffic is asked for with its adapter.
pub fn adapter(model: usize) -> Option<String> {
    model.is_multiple_of(3).then(|| format!("m{model:02}-code"))
}

/// Trains everything below `folder`, on all cores; `done` hears of each file.
pub fn train(folder: &Path, done: impl Fn(&str) + Sync) -> Result<()> {
    let mut tasks: Vec<Task> = (0..MODELS)
        .map(|model| Task {
            name: name(model),
            adapter: adapter(model),
            seed: model as u64,
            mib: MODEL_MIB,
            pace: Pace(20, 10, 2),
        })
        .collect();
    tasks.extend(SMALL.into_iter().enumerate().map(|(at, (name, pace))| Task {
        name: name.into(),
        adapter: None,
        seed: 100 + at as u64,
        mib: 1,
        pace,
    }));
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        // ORDERING: Relaxed, a ticket; the tasks were there before the threads.
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            task.run(folder)?;
            done(&task.name);
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("training panicked"))?)
    })
}

/// How many models `train` tells of.
pub const TRAINED: u64 = (MODELS + SMALL.len()) as u64;

struct Task {
    name: String,
    adapter: Option<String>,
    seed: u64,
    mib: u64,
    pace: Pace,
}

impl Task {
    fn run(&self, folder: &Path) -> Result<()> {
        let path = file(folder, &self.name);
        let training = Training { bytes: 20_000, pad_mb: self.mib, ..Training::new(self.seed) };
        generate::model(PROSE.as_bytes(), &training, &self.pace.into(), &path)?;
        if let Some(adapter) = &self.adapter {
            let out = file(folder, adapter);
            let training = Training { bytes: 10_000, ..training };
            generate::adapter(&path, CODE.as_bytes(), &training, &Notes::default(), &out)?;
        }
        Ok(())
    }
}

pub fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.safetensors"))
}

/// Puts another model into `name`'s place, whole at every instant.
pub fn replace(folder: &Path, name: &str, seed: u64) -> Result<()> {
    let training = Training { bytes: 20_000, ..Training::new(seed) };
    generate::model(PROSE.as_bytes(), &training, &Notes::default(), &file(folder, name))
}

/// Puts something into `name`'s place that is no model.
pub fn corrupt(folder: &Path, name: &str) -> Result<()> {
    Ok(fs::write(file(folder, name), "no model")?)
}
