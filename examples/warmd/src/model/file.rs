//! How do weights stand in a file? As safetensors, read without a mapping.
//!
//! The header tells the exact size on the heap before a weight is read, so the cache's estimate is
//! honest. Weights are converted through a small buffer: while a model loads, it takes no more
//! memory than once it has loaded, and a file that is truncated meanwhile is an error, not a crash.
//!
//! A file says more about itself in its metadata ([`Notes`]).

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Dtype, Metadata, View};

use super::{Adapter, BYTES, DIM, HIDDEN, INPUTS, Model, Table};

/// More than any header of ours; a corrupt length must not make us allocate.
const MOST_HEADER: u64 = 64 << 10;
const MOST_RANK: usize = 64;
/// No rehearsed delay is longer.
const MOST_DELAY: Duration = Duration::from_secs(60);
const CHUNK: usize = 64 << 10;

/// In which precision the table is kept.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
}

/// What a file says about itself: how it wants to be read, and how slow a backend it plays, since
/// models as small as these load and close in an instant.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Notes {
    /// Which way the text is to be read; heeded where the file is trusted.
    pub entry_point: Option<String>,
    /// How much longer loading takes.
    pub load: Duration,
    /// How long closing takes.
    pub close: Duration,
    /// How much longer scoring one text takes.
    pub score: Duration,
    /// Whether closing fails in the end.
    pub close_fails: bool,
}

#[derive(Debug)]
pub enum FileError {
    Io(io::Error),
    /// No safetensors file, or cut off.
    Malformed(String),
    /// Safetensors, but not what is asked for.
    Unfit {
        tensor: &'static str,
        why: String,
    },
    Note {
        key: &'static str,
        value: String,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Malformed(why) => write!(f, "is not a whole safetensors file: {why}"),
            Self::Unfit { tensor, why } => write!(f, "tensor {tensor:?} {why}"),
            Self::Note { key, value } => write!(f, "metadata {key:?} has no sense: {value:?}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A header that was read and fits the file's length.
pub struct Header {
    metadata: Metadata,
    weights_at: u64,
    pub notes: Notes,
}

impl Header {
    pub fn read(file: &mut File) -> Result<Self, FileError> {
        let malformed = |why: &str| FileError::Malformed(why.into());
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => malformed("shorter than 8 bytes"),
            _ => error.into(),
        })?;
        let size = u64::from_le_bytes(size);
        if size > MOST_HEADER.min(length.saturating_sub(8)) {
            return Err(FileError::Malformed(format!("a header of {size} bytes")));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| FileError::Malformed(format!("header: {error}")))?;
        let weights_at = 8 + size;
        let whole = (metadata.data_len() as u64).checked_add(weights_at);
        if whole != Some(length) {
            let need = metadata.data_len();
            let has = length - weights_at;
            return Err(FileError::Malformed(format!("{need} bytes of weights, found {has}")));
        }
        let notes = Notes::parse(metadata.metadata().as_ref())?;
        Ok(Self { metadata, weights_at, notes })
    }

    /// What the model in this file takes on the heap.
    pub fn model_bytes(&self, precision: Precision) -> Result<u64, FileError> {
        let each = match precision {
            Precision::F32 => size_of::<f32>(),
            Precision::F16 => size_of::<f16>(),
        };
        let dense = INPUTS * HIDDEN + HIDDEN + HIDDEN * BYTES + BYTES;
        Ok((self.table_rows()? * DIM * each + dense * size_of::<f32>()) as u64)
    }

    pub fn adapter_bytes(&self) -> Result<u64, FileError> {
        Ok((self.rank()? * (HIDDEN + BYTES) * size_of::<f32>()) as u64)
    }

    pub fn read_model(&self, file: &mut File, precision: Precision) -> Result<Model, FileError> {
        let rows = self.table_rows()?;
        let table = match precision {
            Precision::F32 => Table::F32(self.numbers(file, "table", &[rows, DIM], |n| n)?),
            Precision::F16 => {
                Table::F16(self.numbers(file, "table", &[rows, DIM], f16::from_f32)?)
            }
        };
        Ok(Model {
            table,
            hidden: self.numbers(file, "hidden", &[INPUTS, HIDDEN], |n| n)?,
            hidden_bias: self.numbers(file, "hidden_bias", &[HIDDEN], |n| n)?,
            out: self.numbers(file, "out", &[HIDDEN, BYTES], |n| n)?,
            out_bias: self.numbers(file, "out_bias", &[BYTES], |n| n)?,
        })
    }

    pub fn read_adapter(&self, file: &mut File) -> Result<Adapter, FileError> {
        let rank = self.rank()?;
        Ok(Adapter {
            rank,
            down: self.numbers(file, "down", &[HIDDEN, rank], |n| n)?,
            up: self.numbers(file, "up", &[rank, BYTES], |n| n)?,
        })
    }

    fn table_rows(&self) -> Result<usize, FileError> {
        match self.metadata.info("table").map(|info| info.shape.as_slice()) {
            Some(&[rows, DIM]) if rows > 0 => Ok(rows),
            found => Err(unfit("table", format!("must be of shape [rows, {DIM}], is {found:?}"))),
        }
    }

    fn rank(&self) -> Result<usize, FileError> {
        match self.metadata.info("down").map(|info| info.shape.as_slice()) {
            Some(&[HIDDEN, rank]) if (1..=MOST_RANK).contains(&rank) => Ok(rank),
            found => Err(unfit(
                "down",
                format!("must be of shape [{HIDDEN}, rank up to {MOST_RANK}], is {found:?}"),
            )),
        }
    }

    /// The numbers of one tensor, f16 or f32 in the file, each through `keep`.
    fn numbers<N>(
        &self,
        file: &mut File,
        tensor: &'static str,
        shape: &[usize],
        keep: impl Fn(f32) -> N,
    ) -> Result<Vec<N>, FileError> {
        let info = self.metadata.info(tensor);
        let info = info.filter(|info| info.shape == shape).ok_or_else(|| {
            unfit(tensor, format!("must be of shape {shape:?}, is {:?}", info.map(|i| &i.shape)))
        })?;
        let size = match info.dtype {
            Dtype::F32 => size_of::<f32>(),
            Dtype::F16 => size_of::<f16>(),
            other => return Err(unfit(tensor, format!("must be F16 or F32, is {other:?}"))),
        };
        let (from, to) = info.data_offsets;
        file.seek(SeekFrom::Start(self.weights_at + from as u64))?;
        let mut left = to - from;
        let mut numbers = Vec::with_capacity(left / size);
        let mut chunk = vec![0; CHUNK.min(left)];
        let mut halves = vec![f16::ZERO; CHUNK / size_of::<f16>()];
        let mut floats = vec![0.0; CHUNK / size_of::<f16>()];
        while left > 0 {
            let part = &mut chunk[..left.min(CHUNK)];
            file.read_exact(part)?;
            left -= part.len();
            let floats = &mut floats[..part.len() / size];
            if size == size_of::<f32>() {
                let decoded = part.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                floats.iter_mut().zip(decoded).for_each(|(to, number)| *to = number);
            } else {
                let halves = &mut halves[..floats.len()];
                let decoded = part.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes));
                halves.iter_mut().zip(decoded).for_each(|(to, number)| *to = number);
                // All at once: there are instructions for it.
                halves.convert_to_f32_slice(floats);
            }
            if let Some(odd) = floats.iter().find(|number| !number.is_finite()) {
                return Err(unfit(tensor, format!("has a number that is {odd}")));
            }
            numbers.extend(floats.iter().map(|number| keep(*number)));
        }
        Ok(numbers)
    }
}

fn unfit(tensor: &'static str, why: String) -> FileError {
    FileError::Unfit { tensor, why }
}

impl Notes {
    fn parse(metadata: Option<&HashMap<String, String>>) -> Result<Self, FileError> {
        let text = |key| metadata.and_then(|notes| notes.get(key));
        let delay = |key| match text(key) {
            None => Ok(Duration::ZERO),
            Some(value) => (value.parse().ok().map(Duration::from_millis))
                .filter(|delay| *delay <= MOST_DELAY)
                .ok_or_else(|| FileError::Note { key, value: value.clone() }),
        };
        Ok(Self {
            entry_point: text("warmd.entry_point").cloned(),
            load: delay("warmd.load_ms")?,
            close: delay("warmd.close_ms")?,
            score: delay("warmd.score_ms")?,
            close_fails: text("warmd.close_fails").is_some(),
        })
    }

    fn written(&self) -> HashMap<String, String> {
        let mut notes = HashMap::from([("format".to_owned(), "warmd-1".to_owned())]);
        if let Some(entry_point) = &self.entry_point {
            notes.insert("warmd.entry_point".into(), entry_point.clone());
        }
        for (key, delay) in [
            ("warmd.load_ms", self.load),
            ("warmd.close_ms", self.close),
            ("warmd.score_ms", self.score),
        ] {
            if !delay.is_zero() {
                notes.insert(key.into(), delay.as_millis().to_string());
            }
        }
        if self.close_fails {
            notes.insert("warmd.close_fails".into(), "yes".into());
        }
        notes
    }
}

/// A tensor on its way into a file.
struct Part {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Part {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl Part {
    fn f32(shape: &[usize], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.into(), bytes }
    }

    fn f16(shape: &[usize], numbers: impl Iterator<Item = f16>) -> Self {
        let bytes = numbers.flat_map(|number| number.to_le_bytes()).collect();
        Self { dtype: Dtype::F16, shape: shape.into(), bytes }
    }
}

/// Writes a model; the table in half precision.
pub fn write_model(model: &Model, notes: &Notes, path: &Path) -> anyhow::Result<()> {
    let rows = [model.rows(), DIM];
    let table = match &model.table {
        Table::F32(table) => Part::f16(&rows, table.iter().map(|n| f16::from_f32(*n))),
        Table::F16(table) => Part::f16(&rows, table.iter().copied()),
    };
    let parts = [
        ("table", table),
        ("hidden", Part::f32(&[INPUTS, HIDDEN], &model.hidden)),
        ("hidden_bias", Part::f32(&[HIDDEN], &model.hidden_bias)),
        ("out", Part::f32(&[HIDDEN, BYTES], &model.out)),
        ("out_bias", Part::f32(&[BYTES], &model.out_bias)),
    ];
    write(&parts, notes, path)
}

pub fn write_adapter(adapter: &Adapter, notes: &Notes, path: &Path) -> anyhow::Result<()> {
    let parts = [
        ("down", Part::f32(&[HIDDEN, adapter.rank], &adapter.down)),
        ("up", Part::f32(&[adapter.rank, BYTES], &adapter.up)),
    ];
    write(&parts, notes, path)
}

/// The file is whole, or it is as it was: written beside its place, then renamed.
fn write(parts: &[(&str, Part)], notes: &Notes, path: &Path) -> anyhow::Result<()> {
    let beside = path.with_extension("part");
    let tensors = parts.iter().map(|(name, part)| (*name, part));
    safetensors::serialize_to_file(tensors, Some(notes.written()), &beside)?;
    std::fs::rename(&beside, path)?;
    Ok(())
}
