//! Which version of a backend is current? So that one whose file was replaced is let go, and does
//! not take room until it is the least recently used.

use std::sync::{Mutex, PoisonError};

use crate::spec::ModelId;

/// More than any budget has room for; an older one is then evicted in its turn, no more.
const MOST: usize = 256;

/// The latest keys that were asked for, the newest last.
#[derive(Default)]
pub struct Versions(Mutex<Vec<ModelId>>);

impl Versions {
    /// Notes that `id` is current. The version that it replaces, if another one was.
    pub fn note(&self, id: &ModelId) -> Option<ModelId> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last() == Some(id) {
            return None;
        }
        let old = seen.iter().position(|seen| seen == id || id.is_other_version_of(seen));
        let old = old.map(|at| seen.remove(at)).filter(|old| old != id);
        if seen.len() == MOST {
            seen.remove(0);
        }
        seen.push(id.clone());
        old
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spec::Library;

    #[test]
    fn the_replaced_version_is_named_once() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let library = Library::open(folder.path()).expect("it is there");
        let id = |name: &str, content: &str| {
            fs::write(folder.path().join(format!("{name}.safetensors")), content).expect("written");
            let wanted = serde_json::json!({ "model": name });
            let wanted = serde_json::from_value(wanted).expect("a request");
            library.resolve(wanted).expect("it is there").identity()
        };
        let versions = Versions::default();
        let (old, other) = (id("m", "1"), id("n", "1"));
        assert_eq!(versions.note(&old), None);
        assert_eq!(versions.note(&other), None);
        assert_eq!(versions.note(&old), None);
        let new = id("m", "22");
        assert_eq!(versions.note(&new), Some(old));
        assert_eq!(versions.note(&new), None);
        assert_eq!(versions.note(&other), None);
    }
}
