//! What is kept warm? A model with its adapter, as one object that is opened and must be closed.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::{Ledger, Presence};
use crate::model::file::{FileError, Header};
use crate::model::{Adapter, Model, Surprise};
use crate::spec::{EntryPoint, FileId, Kind, ModelSpec, Stamp};

/// How many bytes are scored between two looks at whether the backend still stands.
const STRIDE: usize = 4 << 10;

pub struct Backend {
    model: Model,
    adapter: Option<Adapter>,
    reverse: bool,
    score_delay: Duration,
    close_delay: Duration,
    close_fails: bool,
    /// Set when the close begins. What is scored after that is not to be believed.
    closed: AtomicBool,
    ledger: Arc<Ledger>,
    // The last field: what it counts is freed before it.
    _presence: Presence,
}

/// A score that was asked of a backend whose close had begun. It shows that a cache is wrong.
#[derive(Debug)]
pub struct UsedAfterClose;

#[derive(Debug)]
pub struct CloseFailed;

impl fmt::Display for CloseFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backend says that it could not be closed (warmd.close_fails)")
    }
}

impl std::error::Error for CloseFailed {}

/// Why a backend did not load: kind, base, and the cause.
#[derive(Debug)]
pub struct LoadFailure {
    kind: Kind,
    /// The model's name, then the name of the file that is to blame.
    base: Arc<str>,
    file: Arc<str>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    File(FileError),
    /// Not the file that the request saw.
    Changed,
    EntryPoint(String),
}

impl LoadFailure {
    /// Whether the file was replaced after the request had looked at it.
    pub fn is_changed(&self) -> bool {
        matches!(self.cause, Cause::Changed)
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, base, file, cause } = self;
        write!(f, "{kind} backend on {base:?}: file {file:?} ")?;
        match cause {
            Cause::File(error) => write!(f, "{error}"),
            Cause::Changed => f.write_str("was replaced while it was being loaded; ask again"),
            Cause::EntryPoint(name) => write!(f, "names the unknown entry point {name:?}"),
        }
    }
}

impl std::error::Error for LoadFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::File(error) => Some(error),
            Cause::Changed | Cause::EntryPoint(_) => None,
        }
    }
}

impl Backend {
    /// What the backend will take on the heap; reads headers only. Where that fails, the load has.
    pub fn estimate(spec: &ModelSpec, ledger: &Ledger) -> Result<u64, LoadFailure> {
        Self::measure(spec).inspect_err(|_| {
            ledger.attempts.add();
            ledger.failures.add();
        })
    }

    fn measure(spec: &ModelSpec) -> Result<u64, LoadFailure> {
        let (_file, header) = open(spec, &spec.base)?;
        let mut bytes = header
            .model_bytes(spec.dtype)
            .map_err(|error| failure(spec, &spec.base, Cause::File(error)))?;
        if let Some(adapter) = &spec.adapter {
            let (_file, header) = open(spec, adapter)?;
            bytes += header
                .adapter_bytes()
                .map_err(|error| failure(spec, adapter, Cause::File(error)))?;
        }
        Ok(bytes)
    }

    pub fn open(spec: &ModelSpec, ledger: &Arc<Ledger>) -> Result<Self, LoadFailure> {
        let start = Instant::now();
        ledger.attempts.add();
        let opened = Self::read(spec, ledger);
        match &opened {
            Ok(_) => {
                ledger.opened.add();
                ledger.load_seconds.record(start.elapsed());
            }
            Err(_) => ledger.failures.add(),
        }
        opened
    }

    fn read(spec: &ModelSpec, ledger: &Arc<Ledger>) -> Result<Self, LoadFailure> {
        let presence = ledger.enter();
        let blame = |error| failure(spec, &spec.base, Cause::File(error));
        let (mut file, header) = open(spec, &spec.base)?;
        let model = header.read_model(&mut file, spec.dtype).map_err(blame)?;
        unchanged(spec, &spec.base, &file)?;
        let adapter = match &spec.adapter {
            None => None,
            Some(id) => {
                let (mut file, header) = open(spec, id)?;
                let adapter = header
                    .read_adapter(&mut file)
                    .map_err(|error| failure(spec, id, Cause::File(error)))?;
                unchanged(spec, id, &file)?;
                Some(adapter)
            }
        };
        let reverse = match spec.entry_point {
            EntryPoint::Forward => false,
            EntryPoint::Reverse => true,
            EntryPoint::File => match header.notes.entry_point.as_deref() {
                None | Some("forward") => false,
                Some("reverse") => true,
                Some(other) => {
                    return Err(failure(spec, &spec.base, Cause::EntryPoint(other.into())));
                }
            },
        };
        thread::sleep(header.notes.load);
        Ok(Self {
            model,
            adapter,
            reverse,
            score_delay: header.notes.score,
            close_delay: header.notes.close,
            close_fails: header.notes.close_fails,
            closed: AtomicBool::new(false),
            ledger: ledger.clone(),
            _presence: presence,
        })
    }

    /// What it takes on the heap.
    pub fn bytes(&self) -> u64 {
        self.model.bytes() + self.adapter.as_ref().map_or(0, Adapter::bytes)
    }

    /// The surprise of one text, and proof that the backend was open all the while.
    pub fn score(&self, text: &[u8]) -> Result<Surprise, UsedAfterClose> {
        let reversed: Vec<u8>;
        let text = if self.reverse {
            reversed = text.iter().rev().copied().collect();
            &reversed
        } else {
            text
        };
        self.must_be_open()?;
        thread::sleep(self.score_delay);
        let mut sum = Surprise { base: 0.0, adapted: self.adapter.as_ref().map(|_| 0.0) };
        // Each stride starts without a past; the first byte of 4096 is foreseen less well.
        for stride in text.chunks(STRIDE) {
            let part = self.model.surprise(self.adapter.as_ref(), stride);
            self.must_be_open()?;
            sum.base += part.base;
            sum.adapted = sum.adapted.zip(part.adapted).map(|(sum, part)| sum + part);
        }
        Ok(sum)
    }

    fn must_be_open(&self) -> Result<(), UsedAfterClose> {
        // ORDERING: Acquire, pairs with the Release of `close`: who sees the flag comes after the
        // close began. Nothing else hangs on it; the weights themselves go with the last owner.
        if self.closed.load(Ordering::Acquire) {
            self.ledger.used_after_close.add();
            return Err(UsedAfterClose);
        }
        Ok(())
    }

    /// Ends the backend. By reference, since the naive cache knows no better; the memory goes with
    /// the object.
    pub fn close(&self) -> Result<(), CloseFailed> {
        let start = Instant::now();
        // ORDERING: Release, see `must_be_open`.
        self.closed.store(true, Ordering::Release);
        thread::sleep(self.close_delay);
        self.ledger.closed.add();
        self.ledger.close_seconds.record(start.elapsed());
        if self.close_fails {
            self.ledger.close_failures.add();
            return Err(CloseFailed);
        }
        Ok(())
    }
}

fn failure(spec: &ModelSpec, file: &FileId, cause: Cause) -> LoadFailure {
    LoadFailure { kind: spec.kind, base: spec.base.name.clone(), file: file.name.clone(), cause }
}

/// Opens exactly the file that the spec names: if another one stands in its place now, the result
/// would sit under the wrong key.
fn open(spec: &ModelSpec, id: &FileId) -> Result<(File, Header), LoadFailure> {
    let blame = |error| failure(spec, id, Cause::File(error));
    let mut file = File::open(&*id.path).map_err(|error| blame(error.into()))?;
    unchanged(spec, id, &file)?;
    let header = Header::read(&mut file).map_err(blame)?;
    Ok((file, header))
}

fn unchanged(spec: &ModelSpec, id: &FileId, file: &File) -> Result<(), LoadFailure> {
    let found = file.metadata().map_err(|error| failure(spec, id, Cause::File(error.into())))?;
    if Stamp::from(&found) != id.stamp {
        return Err(failure(spec, id, Cause::Changed));
    }
    Ok(())
}
