//! Which fields of a spec are its identity? All that the loader can see, unless there is a reason.
//!
//! A field that is identity by mistake costs a second load. A field that is left out by mistake
//! gives somebody the wrong model, or one that was loaded with code which they had refused. So the
//! identity is written as an exhaustive destructuring: whoever adds a field must decide.
//!
//! What a client asks for ([`Request`]) is not yet a spec: defaults, paths and what the files hold
//! are resolved first, and the loader sees nothing but the result.
//!
//! Run with `cargo run --example model_spec`.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hotset::{CloseError, LoadContext, Loaded, Loader, ResourceCache};

/// Which code reads the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Dense,
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dtype {
    F16,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Device {
    Cpu,
    Gpu(u8),
}

/// A file as it was when the spec was made. The digest makes a file that is replaced in place
/// another artifact. (Here it has 64 bits and reads the whole file; a program with large files and
/// enemies takes a cryptographic digest, and keeps it beside the length and time of change.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Artifact {
    path: PathBuf,
    length: u64,
    digest: u64,
}

impl Artifact {
    /// Follows links and relative parts, so that two names of one file are one artifact.
    fn look(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let content = fs::read(&path)?;
        Ok(Self { path, length: content.len() as u64, digest: digest(&content) })
    }

    /// The content, if it is still the one that the spec was made for.
    fn read(&self) -> io::Result<Vec<u8>> {
        let content = fs::read(&self.path)?;
        if digest(&content) == self.digest {
            Ok(content)
        } else {
            Err(io::Error::other("the file has changed since it was asked for"))
        }
    }
}

fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// What a client sends. `None` stands for "auto".
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) base: PathBuf,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) dtype: Option<Dtype>,
    pub(crate) device: Option<Device>,
    pub(crate) trust_remote_code: bool,
    pub(crate) entry_point: Option<String>,
    pub(crate) label: String,
}

impl Request {
    /// The plainest request for these weights.
    pub(crate) fn new(base: impl Into<PathBuf>) -> Self {
        Self {
            kind: Kind::Dense,
            base: base.into(),
            adapter: None,
            dtype: None,
            device: None,
            trust_remote_code: false,
            entry_point: None,
            label: String::new(),
        }
    }

    /// Settles everything that is open. From here on nothing depends on the client, the host's
    /// defaults or the working directory.
    pub(crate) fn resolve(&self) -> io::Result<ModelSpec> {
        Ok(ModelSpec {
            kind: self.kind,
            base: Artifact::look(&self.base)?,
            adapter: self.adapter.as_deref().map(Artifact::look).transpose()?,
            dtype: self.dtype.unwrap_or(Dtype::F32),
            device: self.device.unwrap_or(Device::Cpu),
            trust_remote_code: self.trust_remote_code,
            entry_point: self.entry_point.clone(),
            label: self.label.clone(),
        })
    }
}

/// Everything that the loader can see.
#[derive(Clone, Debug)]
pub(crate) struct ModelSpec {
    kind: Kind,
    base: Artifact,
    adapter: Option<Artifact>,
    dtype: Dtype,
    device: Device,
    trust_remote_code: bool,
    entry_point: Option<String>,
    label: String,
}

/// What tells one loaded model from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModelId {
    kind: Kind,
    base: Artifact,
    adapter: Option<Artifact>,
    dtype: Dtype,
    device: Device,
    trust_remote_code: bool,
    entry_point: Option<String>,
}

/// A loaded model. This one only remembers what it was made from.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) weights: Vec<u8>,
    pub(crate) adapter: Option<Vec<u8>>,
    pub(crate) dtype: Dtype,
    pub(crate) device: Device,
    pub(crate) ran_remote_code: bool,
    pub(crate) entry_point: Option<String>,
}

/// Why a model could not be loaded: which code, which weights, and the cause.
#[derive(Debug)]
pub(crate) struct ModelError {
    kind: Kind,
    base: PathBuf,
    cause: io::Error,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} model {}: {}", self.kind, self.base.display(), self.cause)
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Loads models, and counts.
#[derive(Debug, Default)]
pub(crate) struct Models {
    pub(crate) loads: AtomicUsize,
    pub(crate) closes: AtomicUsize,
}

impl Loader for Models {
    type Spec = ModelSpec;
    type Id = ModelId;
    type Resource = Model;
    type Error = ModelError;

    fn identity(&self, spec: &ModelSpec) -> ModelId {
        let ModelSpec {
            kind,              // other code
            base,              // other weights, also if they lie under the same path
            adapter,           // other weights; none is not the same as some
            dtype,             // other numbers
            device,            // another place; resolved, so that "auto" is where it leads
            trust_remote_code, // a boundary: who refuses such code must not meet a model that ran it
            entry_point,       // other code within a custom model
            label: _,          // only for logs: it changes nothing about the model
        } = spec;
        ModelId {
            kind: *kind,
            base: base.clone(),
            adapter: adapter.clone(),
            dtype: *dtype,
            device: *device,
            trust_remote_code: *trust_remote_code,
            entry_point: entry_point.clone(),
        }
    }

    /// Bytes in memory: files hold two bytes a number.
    fn estimate(&self, spec: &ModelSpec) -> Result<u64, ModelError> {
        let files = spec.base.length + spec.adapter.as_ref().map_or(0, |file| file.length);
        Ok(match spec.dtype {
            Dtype::F16 => files,
            Dtype::F32 => files * 2,
        })
    }

    fn load(&self, spec: &ModelSpec, _: &LoadContext) -> Result<Loaded<Model>, ModelError> {
        self.loads.fetch_add(1, SeqCst);
        let read = |file: &Artifact| {
            file.read().map_err(|cause| ModelError {
                kind: spec.kind,
                base: spec.base.path.clone(),
                cause,
            })
        };
        Ok(Loaded::new(Model {
            weights: read(&spec.base)?,
            adapter: spec.adapter.as_ref().map(read).transpose()?,
            dtype: spec.dtype,
            device: spec.device,
            ran_remote_code: spec.trust_remote_code && spec.kind == Kind::Custom,
            entry_point: spec.entry_point.clone(),
        }))
    }

    fn close(&self, _: &ModelId, _: Model) -> Result<(), CloseError> {
        self.closes.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// A folder that goes when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("hotset-model-spec-{}-{}", std::process::id(), FOLDERS.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Writes a file; gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, content)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0)); // what cannot be removed is left to the system
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Folder::new()?;
    let base = folder.write("base", "weights")?;
    let cache = ResourceCache::builder(Models::default()).max_entries(8).build()?;
    let plain = Request::new(&base);
    let model = cache.lease(&plain.resolve()?)?;

    // A label is not identity, and how a request is spelled is not either.
    let spelled = Request {
        dtype: Some(Dtype::F32),
        device: Some(Device::Cpu),
        label: "nightly run".into(),
        ..plain.clone()
    };
    let same = cache.lease(&spelled.resolve()?)?;
    assert!(std::ptr::eq(&*model, &*same));

    // Everything else is: a model that differs in one field is another model.
    let custom = Request { kind: Kind::Custom, ..plain.clone() };
    let others = [
        Request { adapter: Some(folder.write("adapter", "delta")?), ..plain.clone() },
        Request { dtype: Some(Dtype::F16), ..plain.clone() },
        Request { device: Some(Device::Gpu(0)), ..plain.clone() },
        Request { trust_remote_code: true, ..custom.clone() },
        Request { entry_point: Some("package:load".into()), ..custom.clone() },
        custom,
    ];
    for wanted in &others {
        let other = cache.lease(&wanted.resolve()?)?;
        assert!(!std::ptr::eq(&*model, &*other));
        assert_eq!(other.adapter.is_some(), wanted.adapter.is_some());
        assert_eq!(other.dtype, wanted.dtype.unwrap_or(Dtype::F32));
        assert_eq!(other.device, wanted.device.unwrap_or(Device::Cpu));
        assert_eq!(other.ran_remote_code, wanted.trust_remote_code);
        assert_eq!(other.entry_point, wanted.entry_point);
    }

    // Weights that are trained anew in place are another model; who uses the old one keeps it.
    folder.write("base", "retrained")?;
    let retrained = cache.lease(&plain.resolve()?)?;
    assert_eq!((&*model.weights, &*retrained.weights), (&b"weights"[..], &b"retrained"[..]));

    for (lease, what) in [(&model, "old"), (&retrained, "new")] {
        println!("{what}, label {:?}, loaded in {:?}", lease.spec().label, lease.load_time());
    }
    assert_eq!(cache.loaded_keys().len(), 8);
    Ok(())
}
