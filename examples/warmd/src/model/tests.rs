//! Do the numbers mean something, and is a bad file an error?

use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;

use super::file::{FileError, Header, Notes, Precision, write_adapter, write_model};
use super::*;

const PROSE: &[u8] = include_bytes!("../../../../README.md");
const CODE: &[u8] = include_bytes!("../backend.rs");
const ROWS: usize = 1 << 15;

fn taught() -> &'static (Model, Adapter) {
    static TAUGHT: OnceLock<(Model, Adapter)> = OnceLock::new();
    TAUGHT.get_or_init(|| {
        let model = train::model(&PROSE[..PROSE.len() - 2_000], 1, ROWS, 2);
        let adapter = train::adapter(&model, &CODE[..CODE.len() - 2_000], 1, 8, 2);
        (model, adapter)
    })
}

fn bits_a_byte(nats: f64, text: &[u8]) -> f64 {
    nats / text.len() as f64 / std::f64::consts::LN_2
}

#[test]
fn a_model_foresees_text_of_its_own_kind() {
    let (model, _) = taught();
    let unseen = &PROSE[PROSE.len() - 2_000..];
    let noise: Vec<u8> =
        (0..2_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let unseen_bits = bits_a_byte(model.surprise(None, unseen).base, unseen);
    let noise_bits = bits_a_byte(model.surprise(None, &noise).base, &noise);
    assert!(unseen_bits < 5.0, "{unseen_bits} bits a byte on prose; 8 is no idea");
    assert!(noise_bits > 8.0, "{noise_bits} bits a byte on noise");
}

#[test]
fn an_adapter_helps_in_its_domain_and_does_little_harm_elsewhere() {
    let (model, adapter) = taught();
    let change = |text: &[u8]| {
        let surprise = model.surprise(Some(adapter), text);
        let adapted = surprise.adapted.expect("there is an adapter");
        bits_a_byte(adapted - surprise.base, text)
    };
    let code = change(&CODE[CODE.len() - 2_000..]);
    let prose = change(&PROSE[PROSE.len() - 2_000..]);
    assert!(code < -0.3, "code: {code} bits a byte");
    assert!(prose < 1.0, "prose: {prose} bits a byte");
    assert!(prose > code);
}

#[test]
fn an_untrained_adapter_changes_nothing() {
    let (model, _) = taught();
    let adapter = train::adapter(model, b"", 1, 4, 1);
    let surprise = model.surprise(Some(&adapter), b"some text");
    assert_eq!(surprise.adapted, Some(surprise.base));
}

#[test]
fn the_seed_decides() {
    let bytes = |seed| {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("m.safetensors");
        let model = train::model(&PROSE[..3_000], seed, 1 << 10, 1);
        write_model(&model, &Notes::default(), &path).expect("written");
        fs::read(path).expect("read")
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

/// A model file with notes, and an adapter file, in a folder that is removed in the end.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let model = train::model(&PROSE[..2_000], 1, 1 << 10, 1);
    let notes = Notes {
        entry_point: Some("reverse".into()),
        close: std::time::Duration::from_millis(20),
        close_fails: true,
        ..Notes::default()
    };
    write_model(&model, &notes, &folder.path().join("m")).expect("written");
    let adapter = train::adapter(&model, &CODE[..2_000], 1, 3, 1);
    write_adapter(&adapter, &Notes::default(), &folder.path().join("a")).expect("written");
    folder
}

fn load(path: &Path, precision: Precision) -> Result<Model, FileError> {
    let mut file = File::open(path)?;
    Header::read(&mut file)?.read_model(&mut file, precision)
}

#[test]
fn the_header_tells_the_size_on_the_heap() {
    let folder = files();
    for precision in [Precision::F32, Precision::F16] {
        let path = folder.path().join("m");
        let header = Header::read(&mut File::open(&path).expect("there")).expect("whole");
        let model = load(&path, precision).expect("whole");
        assert_eq!(header.model_bytes(precision).expect("a model"), model.bytes());
        assert_eq!(header.notes.entry_point.as_deref(), Some("reverse"));
        assert_eq!(header.notes.close.as_millis(), 20);
        assert!(header.notes.close_fails);
    }
    let mut file = File::open(folder.path().join("a")).expect("there");
    let header = Header::read(&mut file).expect("whole");
    let adapter = header.read_adapter(&mut file).expect("an adapter");
    assert_eq!(header.adapter_bytes().expect("an adapter"), adapter.bytes());
    assert_eq!(header.notes, Notes::default());
}

#[test]
fn half_precision_says_nearly_the_same() {
    let folder = files();
    let path = folder.path().join("m");
    let text = &PROSE[..500];
    let full = load(&path, Precision::F32).expect("whole").surprise(None, text).base;
    let half = load(&path, Precision::F16).expect("whole").surprise(None, text).base;
    // The table stands in half precision in the file, so nothing is lost.
    assert_eq!(full, half);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let folder = files();
    let whole = fs::read(folder.path().join("m")).expect("read");
    let cut = folder.path().join("cut");
    for keep in (0..2_000).chain((2_000..whole.len()).step_by(977)) {
        fs::write(&cut, &whole[..keep]).expect("written");
        let error = load(&cut, Precision::F32).err();
        assert!(matches!(error, Some(FileError::Malformed(_))), "{keep} bytes: {error:?}");
    }
    fs::write(&cut, [&whole[..], b"more"].concat()).expect("written");
    assert!(load(&cut, Precision::F32).is_err());
}

#[test]
fn a_file_with_wrong_content_is_an_error() {
    let folder = files();
    assert!(matches!(
        load(&folder.path().join("a"), Precision::F32),
        Err(FileError::Unfit { tensor: "table", .. })
    ));
    let mut bytes = fs::read(folder.path().join("m")).expect("read");
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = folder.path().join("nan");
    fs::write(&path, &bytes).expect("written");
    let error = load(&path, Precision::F32).err();
    assert!(matches!(error, Some(FileError::Unfit { .. })), "{error:?}");
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).expect("written");
    assert!(matches!(load(&path, Precision::F32), Err(FileError::Malformed(_))));
}

#[test]
fn notes_without_sense_are_an_error() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("m");
    for value in ["soon", "-1", "60001"] {
        let header = format!(r#"{{"__metadata__":{{"warmd.load_ms":"{value}"}}}}"#);
        let length = (header.len() as u64).to_le_bytes();
        fs::write(&path, [&length[..], header.as_bytes()].concat()).expect("written");
        let error = Header::read(&mut File::open(&path).expect("there")).err();
        assert!(matches!(error, Some(FileError::Note { .. })), "{value}: {error:?}");
    }
}
