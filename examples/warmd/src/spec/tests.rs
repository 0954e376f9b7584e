//! What must split a key, and what must not. Named after the faults that a rewrite likely repeats.

use super::*;

fn library() -> (tempfile::TempDir, Library) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for name in ["m", "n", "a", "b"] {
        fs::write(folder.path().join(format!("{name}.safetensors")), name).expect("written");
    }
    let library = Library::open(folder.path()).expect("it is there");
    (folder, library)
}

fn spec(library: &Library, json: &str) -> Result<ModelSpec, SpecError> {
    library.resolve(serde_json::from_str(json).expect("valid JSON"))
}

fn id(library: &Library, json: &str) -> ModelId {
    spec(library, json).unwrap_or_else(|error| panic!("{json}: {error}")).identity()
}

#[test]
fn equal_requests_are_one_key() {
    let (_folder, library) = library();
    let json = r#"{"model": "m", "adapter": "a"}"#;
    assert_eq!(id(&library, json), id(&library, json));
    assert_ne!(id(&library, json), id(&library, r#"{"model": "n", "adapter": "a"}"#));
}

#[test]
fn row_6_the_adapter_is_in_the_key() {
    let (_folder, library) = library();
    let none = id(&library, r#"{"model": "m"}"#);
    let a = id(&library, r#"{"model": "m", "adapter": "a"}"#);
    let b = id(&library, r#"{"model": "m", "adapter": "b"}"#);
    assert!(none != a && none != b && a != b);
}

#[test]
fn row_7_the_entry_point_is_in_the_key() {
    let (_folder, library) = library();
    let forward = id(&library, r#"{"model": "m", "entry_point": "forward"}"#);
    let reverse = id(&library, r#"{"model": "m", "entry_point": "reverse"}"#);
    assert_ne!(forward, reverse);
    assert_eq!(forward, id(&library, r#"{"model": "m"}"#), "the default is spelled out");
}

#[test]
fn row_12_who_refused_remote_code_shares_nothing_with_who_did_not() {
    let (_folder, library) = library();
    let trusted =
        id(&library, r#"{"model": "m", "entry_point": "forward", "trust_remote_code": true}"#);
    let refused =
        id(&library, r#"{"model": "m", "entry_point": "forward", "trust_remote_code": false}"#);
    assert_ne!(trusted, refused);
    assert_eq!(refused, id(&library, r#"{"model": "m"}"#));
    assert!(matches!(
        spec(&library, r#"{"model": "m", "entry_point": "file"}"#),
        Err(SpecError::Wrong(_))
    ));
}

#[test]
fn row_13_auto_is_resolved_before_it_enters_the_key() {
    let (_folder, library) = library();
    let auto = id(&library, r#"{"model": "m", "dtype": "auto", "device": "auto"}"#);
    assert_eq!(auto, id(&library, r#"{"model": "m", "dtype": "f32", "device": "cpu"}"#));
    assert_ne!(auto, id(&library, r#"{"model": "m", "dtype": "f16"}"#));
}

#[test]
fn row_14_a_file_replaced_in_place_is_another_key() {
    let (folder, library) = library();
    let json = r#"{"model": "m"}"#;
    let before = id(&library, json);
    let path = folder.path().join("m.safetensors");
    fs::write(folder.path().join("new"), "w").expect("written");
    fs::rename(folder.path().join("new"), &path).expect("renamed");
    let renamed = id(&library, json);
    assert_ne!(before, renamed);
    assert!(renamed.is_other_version_of(&before) && before.is_other_version_of(&renamed));
    assert!(!renamed.is_other_version_of(&renamed));
    fs::write(&path, "longer").expect("written");
    assert_ne!(renamed, id(&library, json), "written over, same inode");
    assert!(!renamed.is_other_version_of(&id(&library, r#"{"model": "n"}"#)));
}

#[test]
fn a_label_does_not_split_the_key() {
    let (_folder, library) = library();
    assert_eq!(
        id(&library, r#"{"model": "m", "label": "ours"}"#),
        id(&library, r#"{"model": "m", "label": "theirs"}"#)
    );
    let long = format!(r#"{{"model": "m", "label": "{}"}}"#, "x".repeat(65));
    assert!(matches!(spec(&library, &long), Err(SpecError::Wrong(_))));
}

#[test]
fn two_names_of_one_file_are_one_key() {
    let (folder, library) = library();
    std::os::unix::fs::symlink("m.safetensors", folder.path().join("other.safetensors"))
        .expect("linked");
    assert_eq!(id(&library, r#"{"model": "other"}"#), id(&library, r#"{"model": "m"}"#));
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let (folder, library) = library();
    let outside = tempfile::tempdir().expect("a temporary directory");
    let secret = outside.path().join("secret.safetensors");
    fs::write(&secret, "secret").expect("written");
    std::os::unix::fs::symlink(&secret, folder.path().join("link.safetensors")).expect("linked");
    std::os::unix::fs::symlink(outside.path(), folder.path().join("dir")).expect("linked");
    let absolute = secret.with_extension("");
    for name in ["link", "dir/secret", "../m", "a/../../m", ".", "", "/m", "m\0", "..\\m"]
        .into_iter()
        .chain(absolute.to_str())
    {
        let json = serde_json::json!({ "model": name }).to_string();
        let refused = spec(&library, &json);
        assert!(matches!(refused, Err(SpecError::Wrong(_))), "{name:?}: {refused:?}");
    }
    let refused = spec(&library, r#"{"model": "absent"}"#);
    assert!(matches!(refused, Err(SpecError::NoSuchFile(_))), "{refused:?}");
}
