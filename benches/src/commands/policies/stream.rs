//! What is replayed? A trace whole, or several one after another, in slices that are told apart.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::numbered::Numbered;

/// Slices of each part of a stream of several.
pub const SLICES: usize = 100;

/// Requests in slices.
pub struct Stream {
    pub trace: Numbered,
    /// Where each slice ends; the last with the trace.
    pub slices: Vec<Slice>,
}

pub struct Slice {
    pub name: String,
    pub end: usize,
}

impl Stream {
    /// One slice.
    pub fn whole(trace: Numbered) -> Self {
        let slices = vec![Slice { name: "all".to_owned(), end: trace.ids.len() }];
        Self { trace, slices }
    }

    /// `parts` one after another, in hundredths of each. A trace has the same keys wherever it
    /// stands, and different traces have none in common.
    pub fn concat(
        name: &str,
        parts: &[Part],
        find: &dyn Fn(&str) -> Result<Numbered>,
    ) -> Result<Self> {
        let mut known: Vec<(Numbered, u32)> = Vec::new();
        let mut trace = Numbered { name: name.to_owned(), ..Numbered::default() };
        let mut slices = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let at = known.iter().position(|(known, _)| known.name == part.name);
            let at = match at {
                Some(at) => at,
                None => {
                    let mut found = find(&part.name)?;
                    found.name.clone_from(&part.name);
                    let offset = u32::try_from(trace.unique).context("too many keys")?;
                    trace.unique += found.unique;
                    known.push((found, offset));
                    known.len() - 1
                }
            };
            let (source, offset) = &known[at];
            let start = trace.ids.len();
            for _ in 0..part.times {
                trace.ids.extend(source.ids.iter().map(|id| id + offset));
                ensure!(trace.ids.len() < 1 << 28, "{name}: too many requests");
            }
            slices.extend(hundredths(&format!("{} {}", i + 1, part.name), start..trace.ids.len()));
        }
        Ok(Self { trace, slices })
    }

    /// The requests of each slice.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.slices.iter().map(|slice| slice.end));
        starts.zip(&self.slices).map(|(start, slice)| start..slice.end)
    }
}

fn hundredths(name: &str, range: Range<usize>) -> Vec<Slice> {
    let end = |i| range.start + range.len() * i / SLICES;
    (1..=SLICES).map(|i| Slice { name: name.to_owned(), end: end(i) }).collect()
}

/// A trace and how often it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: String,
    pub times: usize,
}

/// Reads "A,Bx5,A".
pub fn parts(text: &str) -> Result<Vec<Part>> {
    let part = |text: &str| {
        let counted =
            text.rsplit_once('x').and_then(|(name, times)| Some((name, times.parse().ok()?)));
        let (name, times) = counted.unwrap_or((text, 1));
        ensure!(
            !name.is_empty() && (1..=1_000).contains(&times),
            "{text:?} is no NAME or NAMExTIMES"
        );
        Ok(Part { name: name.to_owned(), times })
    };
    text.split(',').map(part).collect()
}

/// The trace called `name`: one of `files`, or else a file of the folder `traces`.
pub fn find(name: &str, files: &[PathBuf], traces: &Path) -> Result<Numbered> {
    let named = |path: &&PathBuf| {
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
        file.is_some_and(|file| file == name || file.split('.').next() == Some(name))
    };
    if let Some(path) = files.iter().find(named) {
        return Numbered::read(path);
    }
    for ending in ["u64.zst", "u64", "lis.zst", "lis"] {
        let path = traces.join(format!("{name}.{ending}"));
        if path.exists() {
            return Numbered::read(&path);
        }
    }
    bail!("no trace is called {name:?}, neither among the files given nor in {}", traces.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_names_with_times() {
        let part = |name: &str, times| Part { name: name.to_owned(), times };
        assert_eq!(parts("a,loopx5,a").unwrap(), [part("a", 1), part("loop", 5), part("a", 1)]);
        assert_eq!(parts("lynx,x").unwrap(), [part("lynx", 1), part("x", 1)]);
        for text in ["", "a,,b", "x5", "ax0", "ax1001"] {
            assert!(parts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn traces_are_set_apart_and_come_back_with_their_own_keys() {
        let find = |name: &str| {
            let ids = if name == "a" { vec![0, 1] } else { vec![0, 0, 1, 2] };
            let unique = ids.iter().max().map_or(0, |&id| id as usize + 1);
            Ok(Numbered { name: String::new(), ids, unique })
        };
        let stream = Stream::concat("t", &parts("a,bx2,a").unwrap(), &find).unwrap();
        assert_eq!(stream.trace.ids, [0, 1, 2, 2, 3, 4, 2, 2, 3, 4, 0, 1]);
        assert_eq!((stream.trace.unique, stream.slices.len()), (5, 300));
        assert_eq!(stream.slices[100].name, "2 b");
        let ranges: Vec<_> = stream.ranges().collect();
        assert_eq!((ranges[99].end, ranges[199].end, ranges[299].end), (2, 10, 12));
    }
}
