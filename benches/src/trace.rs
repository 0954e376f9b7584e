//! Which keys were asked for? Reads a trace file of any of three kinds, plain or zstd-compressed.
//!
//! | name ends with | content |
//! |---|---|
//! | `.u64` | little-endian 64-bit keys, nothing else |
//! | `.lis` | ARC's format: lines of four numbers, of which the first two are a block and how many follow on |
//! | anything else | plain text, one key a line; empty lines are skipped |
//!
//! A `.zst` after it is ignored: what is compressed is told by its first bytes.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What a zstd stream begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// More requests than this are refused: they would not fit in a small machine's memory.
const MAX_REQUESTS: u64 = 1 << 28;

/// The keys of a trace, in the order of the requests.
#[derive(Clone, Debug)]
pub struct Trace {
    pub name: String,
    pub keys: Vec<u64>,
}

impl Trace {
    /// Reads `path`; `-` is standard input, as plain text.
    pub fn read(path: &Path) -> Result<Self> {
        let from_stdin = path.as_os_str() == "-";
        let full_name = if from_stdin {
            "stdin".to_owned()
        } else {
            path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
        };
        let name = full_name.strip_suffix(".zst").unwrap_or(&full_name);
        let bytes = if from_stdin {
            read_all(std::io::stdin().lock())
        } else {
            File::open(path).map_err(Into::into).and_then(read_all)
        };
        let keys = bytes.and_then(|bytes| parse(name, &bytes));
        let keys = keys.with_context(|| format!("trace {}", path.display()))?;
        let name = name.strip_suffix(".u64").or_else(|| name.strip_suffix(".lis")).unwrap_or(name);
        Ok(Self { name: name.to_owned(), keys })
    }
}

/// Reads the sizes that lie beside a trace: little-endian 32-bit numbers, one a request.
pub fn read_sizes(path: &Path) -> Result<Vec<u32>> {
    let bytes = File::open(path).map_err(Into::into).and_then(read_all);
    let bytes = bytes.with_context(|| format!("sizes {}", path.display()))?;
    let (sizes, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "sizes {}: the file is cut short", path.display());
    Ok(sizes.iter().map(|&size| u32::from_le_bytes(size)).collect())
}

/// Reads to the end, and decompresses what begins like a zstd stream.
fn read_all(mut input: impl Read) -> Result<Vec<u8>> {
    let limit = MAX_REQUESTS * 8;
    let mut bytes = Vec::new();
    input.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.starts_with(&ZSTD_MAGIC) {
        let mut plain = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(bytes.as_slice())?;
        let read = decoder.take(limit + 1).read_to_end(&mut plain);
        read.context("the zstd stream is damaged or cut short")?;
        bytes = plain;
    }
    ensure!(bytes.len() as u64 <= limit, "more than {limit} bytes, uncompressed");
    Ok(bytes)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Vec<u64>> {
    let keys = if name.ends_with(".u64") {
        parse_u64(bytes)?
    } else if name.ends_with(".size.u32") {
        bail!("it holds sizes, not keys; the keys are in the .u64 file beside it");
    } else if name.ends_with(".lis") {
        parse_lis(bytes)?
    } else {
        parse_text(bytes)?
    };
    ensure!(!keys.is_empty(), "it holds no request");
    Ok(keys)
}

fn parse_u64(bytes: &[u8]) -> Result<Vec<u64>> {
    let (keys, rest) = bytes.as_chunks::<8>();
    ensure!(
        rest.is_empty(),
        "{} bytes is no multiple of 8: the file is cut short, or not a list of u64",
        bytes.len()
    );
    Ok(keys.iter().map(|&key| u64::from_le_bytes(key)).collect())
}

fn parse_lis(bytes: &[u8]) -> Result<Vec<u64>> {
    let text = std::str::from_utf8(bytes).context("an ARC trace is text, this is not")?;
    let mut keys = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(blocks))) = (numbers.next(), numbers.next()) else {
            bail!(
                "line {}: expected a block number and a count of blocks, found {:?}",
                i + 1,
                shortened(line)
            );
        };
        ensure!(
            keys.len() as u64 + blocks.min(MAX_REQUESTS) < MAX_REQUESTS,
            "line {}: with its {blocks} blocks the trace has more than {MAX_REQUESTS} requests",
            i + 1
        );
        let end = first.checked_add(blocks);
        let end = end.with_context(|| format!("line {}: the block number overflows", i + 1))?;
        keys.extend(first..end);
    }
    Ok(keys)
}

/// Keys are hashed as they stand, numbers too: "7" and "07" are two keys.
fn parse_text(bytes: &[u8]) -> Result<Vec<u64>> {
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        bail!(
            "byte {at} is zero, so this is no text; a list of binary keys must be called \
             NAME.u64 or NAME.u64.zst"
        );
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            // Fixed keys: the same file gives the same trace in every run.
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            hasher.finish()
        })
        .collect())
}

fn shortened(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Trace> {
        let folder = std::env::temp_dir().join(format!("hotset-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        std::fs::write(&path, bytes)?;
        let trace = Trace::read(&path);
        std::fs::remove_file(&path)?;
        trace
    }

    fn unique(trace: &Trace) -> usize {
        trace.keys.iter().collect::<std::collections::HashSet<_>>().len()
    }

    fn message(result: Result<Trace>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    fn le(keys: &[u64]) -> Vec<u8> {
        keys.iter().flat_map(|key| key.to_le_bytes()).collect()
    }

    #[test]
    fn binary_keys_plain_and_compressed() {
        let bytes = le(&[1, 2, u64::MAX, 1]);
        let trace = read("plain.u64", &bytes).unwrap();
        assert_eq!((trace.name.as_str(), unique(&trace)), ("plain", 3));
        assert_eq!(trace.keys, [1, 2, u64::MAX, 1]);
        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        assert_eq!(read("packed.u64.zst", &packed).unwrap().keys, trace.keys);
        // The name need not say it.
        assert_eq!(read("unsaid.u64", &packed).unwrap().keys, trace.keys);
    }

    #[test]
    fn a_cut_trace_is_refused() {
        let bytes = le(&[1, 2, 3]);
        let text = message(read("cut.u64", &bytes[..20]));
        assert!(text.contains("cut.u64") && text.contains("no multiple of 8"), "{text}");
        let packed = zstd::encode_all(le(&(0..9_999).collect::<Vec<_>>()).as_slice(), 1).unwrap();
        let text = message(read("cut.u64.zst", &packed[..packed.len() / 2]));
        assert!(text.contains("damaged or cut short"), "{text}");
    }

    #[test]
    fn nothing_is_no_trace() {
        for name in ["empty.u64", "empty.lis", "empty.txt"] {
            assert!(message(read(name, b"")).contains("holds no request"));
        }
        assert!(message(read("blank.txt", b"\n \n\r\n")).contains("holds no request"));
        assert!(Trace::read(Path::new("no/such/trace.u64")).is_err());
        assert!(Trace::read(Path::new(".")).is_err());
    }

    #[test]
    fn sizes_are_not_keys() {
        let text = message(read("x.size.u32.zst", &[1, 0, 0, 0]));
        assert!(text.contains("sizes, not keys"), "{text}");
    }

    #[test]
    fn arc_lines_are_runs_of_blocks() {
        let trace = read("p.lis", b"100 3 0 0\n\n7 1 0 1\r\n5 0 0 2\n").unwrap();
        assert_eq!(trace.keys, [100, 101, 102, 7]);
        assert_eq!(trace.name, "p");
    }

    #[test]
    fn bad_arc_lines_are_named() {
        for (bytes, expected) in [
            ("1 1 0 0\nfoo bar\n", "line 2: expected a block"),
            ("1\n", "line 1: expected a block"),
            ("-1 1 0 0\n", "line 1: expected a block"),
            ("1 99999999999 0 0\n", "line 1: with its 99999999999 blocks"),
            ("18446744073709551615 9 0 0\n", "line 1: the block number overflows"),
        ] {
            let text = message(read("bad.lis", bytes.as_bytes()));
            assert!(text.contains(expected), "{text}");
        }
        assert!(message(read("binary.lis", &[0xFF, 0xFE])).contains("is text, this is not"));
    }

    #[test]
    fn text_keys_are_strings() {
        let trace = read("keys.txt", "/a\n7\n/a\r\n\n07\nüñ\n".as_bytes()).unwrap();
        assert_eq!((trace.keys.len(), unique(&trace)), (5, 4));
        assert_eq!(trace.keys[0], trace.keys[2]);
        assert_eq!(trace.name, "keys.txt");
        assert!(message(read("keys.bin", &[b'a', 0, b'b'])).contains("byte 1 is zero"));
    }
}
