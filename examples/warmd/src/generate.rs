//! `warmd gen`: trains a model, or an adapter for one, from text, in seconds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::model::file::{self, Header, Notes, Precision};
use crate::model::{DIM, train};

#[derive(clap::Args)]
pub struct Args {
    /// Where the model goes: a name ending in .safetensors
    out: PathBuf,
    /// Text files to learn from, in this order
    #[arg(long, required = true, num_args = 1..)]
    text: Vec<PathBuf>,
    /// Train an adapter for this model instead of a model
    #[arg(long, value_name = "MODEL")]
    adapter_for: Option<PathBuf>,
    #[command(flatten)]
    training: Training,
    /// Which way the file asks to be read: "forward" or "reverse" (heeded where it is trusted)
    #[arg(long)]
    entry_point: Option<String>,
    /// Loading takes this much longer, in milliseconds; so do the next two for closing and scoring
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    load_ms: u64,
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    close_ms: u64,
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    score_ms: u64,
    /// Closing fails in the end
    #[arg(long)]
    close_fails: bool,
}

#[derive(Clone, clap::Args)]
pub struct Training {
    /// The same seed, text and size give the same file
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Learn from the first bytes of the text only
    #[arg(long, default_value_t = 40_000)]
    pub bytes: usize,
    /// How often the text is read
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub epochs: u64,
    /// Size of the model's table once loaded in f32, in MiB; most of it is padding
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub pad_mb: u64,
    /// Rank of the adapter
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub rank: u64,
}

impl Training {
    /// As the command line has it by default.
    pub fn new(seed: u64) -> Self {
        Self { seed, bytes: 40_000, epochs: 2, pad_mb: 1, rank: 8 }
    }

    fn rows(&self) -> usize {
        ((self.pad_mb << 20) as usize) / (DIM * size_of::<f32>())
    }

    fn part<'text>(&self, text: &'text [u8]) -> &'text [u8] {
        &text[..self.bytes.min(text.len())]
    }
}

pub fn run(args: &Args) -> Result<()> {
    ensure!(
        args.out.extension().is_some_and(|ending| ending == "safetensors"),
        "{}: the name must end in .safetensors",
        args.out.display()
    );
    if let Some(entry_point) = &args.entry_point {
        let known = ["forward", "reverse"].contains(&entry_point.as_str());
        ensure!(known, "--entry-point must be forward or reverse, got {entry_point:?}");
    }
    let mut text = Vec::new();
    for path in &args.text {
        text.extend(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    if text.is_empty() {
        bail!("the text is empty: nothing to learn from");
    }
    let notes = Notes {
        entry_point: args.entry_point.clone(),
        load: Duration::from_millis(args.load_ms),
        close: Duration::from_millis(args.close_ms),
        score: Duration::from_millis(args.score_ms),
        close_fails: args.close_fails,
    };
    let start = Instant::now();
    match &args.adapter_for {
        None => model(&text, &args.training, &notes, &args.out)?,
        Some(base) => adapter(base, &text, &args.training, &notes, &args.out)?,
    }
    println!(
        "{}: {} bytes, trained in {:.1} s",
        args.out.display(),
        fs::metadata(&args.out)?.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Trains a model and writes it. A file that asks to be read in reverse learns in reverse.
pub fn model(text: &[u8], training: &Training, notes: &Notes, out: &Path) -> Result<()> {
    let mut text = training.part(text).to_vec();
    if notes.entry_point.as_deref() == Some("reverse") {
        text.reverse();
    }
    let trained = train::model(&text, training.seed, training.rows(), training.epochs as usize);
    file::write_model(&trained, notes, out)
        .with_context(|| format!("cannot write {}", out.display()))
}

/// Trains an adapter for the model in `base` and writes it.
pub fn adapter(
    base: &Path,
    text: &[u8],
    training: &Training,
    notes: &Notes,
    out: &Path,
) -> Result<()> {
    let cannot = || format!("cannot use {}", base.display());
    let mut opened = File::open(base).with_context(cannot)?;
    let header = Header::read(&mut opened).with_context(cannot)?;
    let base = header.read_model(&mut opened, Precision::F32).with_context(cannot)?;
    let text = training.part(text);
    let (seed, rank) = (training.seed, training.rank as usize);
    let trained = train::adapter(&base, text, seed, rank, training.epochs as usize);
    file::write_adapter(&trained, notes, out)
        .with_context(|| format!("cannot write {}", out.display()))
}
