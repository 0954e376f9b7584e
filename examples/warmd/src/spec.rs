//! Which backend does a request mean? From what a client asks for to what the cache is keyed by.
//!
//! ```text
//!   Wanted (JSON) --Library::resolve: names -> files, "auto" -> what it means--> ModelSpec
//!   ModelSpec --identity: every field, or a reason why not--> ModelId (the key)
//! ```
//!
//! The loader gets the `ModelSpec` and nothing else, so whatever changes the backend is in the spec;
//! and `identity` takes the spec apart field by field, so a field that is added there and
//! forgotten here does not compile.
//!
//! | field | identity? | because |
//! |---|---|---|
//! | `kind`, `device`, `dtype` | yes, resolved | `auto` and what it stands for are one backend |
//! | `base`, `adapter` | yes: path and content stamp | other weights; a file replaced in place is another file |
//! | `entry_point` | yes | it changes how the backend reads |
//! | `trust_remote_code` | yes | who refused it must not be given a backend that was loaded with it |
//! | `label` | no | a name for the reports; the backend does not know it |
//!
//! A stamp is what the file system says (device, inode, length, times of change), not a digest: it
//! is had without reading, and the loader checks it before and after it reads. Two writes of the
//! same length within one tick of the file system's clock look the same.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::file::Precision;

const MOST_NAME: usize = 200;
const MOST_LABEL: usize = 64;

/// What a client asks for, as it comes in JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub model: String,
    #[serde(default)]
    pub adapter: Option<String>,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub dtype: WantedDtype,
    #[serde(default)]
    pub device: WantedDevice,
    #[serde(default)]
    pub trust_remote_code: bool,
    #[serde(default)]
    pub entry_point: Option<EntryPoint>,
    #[serde(default)]
    pub label: Option<String>,
}

impl Wanted {
    /// A model by its name, and nothing else.
    pub fn plain(model: &str) -> Self {
        Self {
            model: model.into(),
            adapter: None,
            kind: Kind::default(),
            dtype: WantedDtype::default(),
            device: WantedDevice::default(),
            trust_remote_code: false,
            entry_point: None,
            label: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The byte-level language model of `model`.
    #[default]
    Lm,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lm => f.write_str("lm"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedDtype {
    /// f32: the only device is a CPU, which is fastest with it.
    #[default]
    Auto,
    F32,
    F16,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedDevice {
    #[default]
    Auto,
    Cpu,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    Cpu,
}

/// Which routine reads the text. This daemon runs no foreign code; what a trusted file may decide
/// for itself is which of ours it gets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryPoint {
    Forward,
    Reverse,
    /// The one that the file names: needs `trust_remote_code`.
    File,
}

/// Everything that the loader may see, resolved.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    pub kind: Kind,
    pub base: FileId,
    pub adapter: Option<FileId>,
    pub dtype: Precision,
    pub device: Device,
    pub trust_remote_code: bool,
    pub entry_point: EntryPoint,
    pub label: Option<Arc<str>>,
}

/// The key of the cache.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct ModelId {
    pub kind: Kind,
    pub base: FileId,
    pub adapter: Option<FileId>,
    pub dtype: Precision,
    pub device: Device,
    pub trust_remote_code: bool,
    pub entry_point: EntryPoint,
}

impl ModelSpec {
    pub fn identity(&self) -> ModelId {
        let Self {
            kind,
            base,
            adapter,
            dtype,
            device,
            trust_remote_code,
            entry_point,
            label: _label, // for reports only: the backend never sees it
        } = self;
        ModelId {
            kind: *kind,
            base: base.clone(),
            adapter: adapter.clone(),
            dtype: *dtype,
            device: *device,
            trust_remote_code: *trust_remote_code,
            entry_point: *entry_point,
        }
    }
}

impl ModelId {
    /// Whether both come from the same names with the same options, whatever the files contained.
    pub fn is_other_version_of(&self, other: &Self) -> bool {
        let stamped = |id: &Self| Self {
            base: FileId { stamp: other.base.stamp, ..id.base.clone() },
            adapter: id.adapter.clone().map(|adapter| FileId {
                stamp: other.adapter.as_ref().map_or(adapter.stamp, |other| other.stamp),
                ..adapter
            }),
            ..id.clone()
        };
        self != other && stamped(self) == *other
    }
}

/// As `Display`: errors that name a key reach clients, whom paths do not concern.
impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base.name)?;
        if let Some(adapter) = &self.adapter {
            write!(f, "+{}", adapter.name)?;
        }
        if self.dtype != Precision::F32 {
            f.write_str(" f16")?;
        }
        match self.entry_point {
            EntryPoint::Forward => {}
            EntryPoint::Reverse => f.write_str(" reverse")?,
            EntryPoint::File => f.write_str(" as the file says")?,
        }
        if self.trust_remote_code {
            f.write_str(" trusted")?;
        }
        Ok(())
    }
}

/// One file with one content.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FileId {
    /// Below the model directory, without the ending.
    pub name: Arc<str>,
    /// Without links.
    pub path: Arc<Path>,
    pub stamp: Stamp,
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Why a request names no backend.
#[derive(Debug)]
pub enum SpecError {
    /// The request itself is wrong, whatever files there are.
    Wrong(String),
    NoSuchFile(String),
    /// The file system failed; the client can do nothing about it.
    Io(String, io::Error),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(what) => f.write_str(what),
            Self::NoSuchFile(name) => write!(f, "no model file {name:?}"),
            Self::Io(name, error) => write!(f, "model file {name:?} cannot be looked at: {error}"),
        }
    }
}

impl std::error::Error for SpecError {}

/// The directory below which all model files are.
#[derive(Clone, Debug)]
pub struct Library {
    root: Arc<Path>,
}

impl Library {
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root: root.into() })
    }

    /// Looks at the file system, so it may block.
    pub fn resolve(&self, wanted: Wanted) -> Result<ModelSpec, SpecError> {
        let Wanted { model, adapter, kind, dtype, device, trust_remote_code, entry_point, label } =
            wanted;
        let entry_point = match (entry_point, trust_remote_code) {
            (Some(EntryPoint::File), false) => {
                return Err(SpecError::Wrong(
                    "entry_point \"file\" needs trust_remote_code: true".into(),
                ));
            }
            (Some(entry_point), _) => entry_point,
            (None, false) => EntryPoint::Forward,
            (None, true) => EntryPoint::File,
        };
        if label.as_ref().is_some_and(|label| label.len() > MOST_LABEL) {
            return Err(SpecError::Wrong(format!("label must be at most {MOST_LABEL} bytes long")));
        }
        Ok(ModelSpec {
            kind,
            base: self.file(&model)?,
            adapter: adapter.map(|name| self.file(&name)).transpose()?,
            dtype: match dtype {
                WantedDtype::Auto | WantedDtype::F32 => Precision::F32,
                WantedDtype::F16 => Precision::F16,
            },
            device: match device {
                WantedDevice::Auto | WantedDevice::Cpu => Device::Cpu,
            },
            trust_remote_code,
            entry_point,
            label: label.map(Arc::from),
        })
    }

    /// The file behind a name. Names are checked before the file system is asked; what it says is
    /// checked once more, since a link may lead anywhere.
    fn file(&self, name: &str) -> Result<FileId, SpecError> {
        let path = Path::new(name);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || name.len() > MOST_NAME || name.contains(['\0', '\\']) || !plain {
            return Err(SpecError::Wrong(format!(
                "{name:?} is no model name: it must be a path of at most {MOST_NAME} bytes below \
                 the model directory, like \"m00\", without \"..\""
            )));
        }
        let mut full = PathBuf::from(&*self.root);
        full.push(format!("{name}.safetensors"));
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                SpecError::NoSuchFile(name.into())
            }
            _ => SpecError::Io(name.into(), error),
        };
        let real = fs::canonicalize(&full).map_err(missing)?;
        let Ok(below) = real.strip_prefix(&self.root) else {
            return Err(SpecError::Wrong(format!("{name:?} leads out of the model directory")));
        };
        let found = fs::metadata(&real).map_err(missing)?;
        if !found.is_file() {
            return Err(SpecError::NoSuchFile(name.into()));
        }
        let name = below.with_extension("").to_string_lossy().into();
        Ok(FileId { name, path: real.into(), stamp: Stamp::from(&found) })
    }
}

#[cfg(test)]
mod tests;
