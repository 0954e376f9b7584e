//! Which requests are for the same key? A trace with its keys numbered 0, 1, 2 ...
//!
//! Simulators then look keys up in plain arrays instead of hash maps, and a trace of five million
//! requests takes 20 MB. Keys are numbered in the order of their first requests.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::peers::Hasher;
use crate::trace::{self, Trace};

/// A trace of numbered keys.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    pub name: String,
    /// The key of each request.
    pub ids: Vec<u32>,
    /// How many different keys there are; every id is below it.
    pub unique: usize,
}

impl Numbered {
    pub fn new(trace: &Trace) -> Self {
        let mut numbers: HashMap<u64, u32, Hasher> = HashMap::default();
        let number = |&key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        };
        // At most 2^28 requests are ever read, so the numbers fit.
        let ids = trace.keys.iter().map(number).collect();
        Self { name: trace.name.clone(), ids, unique: numbers.len() }
    }

    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::new(&Trace::read(path)?))
    }

    /// Where the next request for the same key is, for each request; [`NEVER`] if there is none.
    pub fn next_uses(&self) -> Vec<u32> {
        let mut seen = vec![NEVER; self.unique];
        let mut next = vec![NEVER; self.ids.len()];
        for (at, &id) in self.ids.iter().enumerate().rev() {
            next[at] = std::mem::replace(&mut seen[id as usize], at as u32);
        }
        next
    }
}

/// The place of a request that does not come.
pub const NEVER: u32 = u32::MAX;

/// A trace whose keys have sizes.
#[derive(Clone, Debug)]
pub struct Weighted {
    pub trace: Numbered,
    /// Bytes of each key, by number.
    pub sizes: Vec<u32>,
}

impl Weighted {
    /// Reads `NAME.u64[.zst]` and the sizes beside it, `NAME.size.u32[.zst]`.
    pub fn read(path: &Path) -> Result<Self> {
        let keys = path.to_string_lossy();
        let (stem, packed) = match keys.strip_suffix(".zst") {
            Some(stem) => (stem, ".zst"),
            None => (&*keys, ""),
        };
        let stem = stem.strip_suffix(".u64");
        let stem = stem.with_context(|| format!("{keys}: sizes are kept beside NAME.u64 only"))?;
        let sizes_path = format!("{stem}.size.u32{packed}");
        let sizes = trace::read_sizes(Path::new(&sizes_path))?;
        Self::new(Numbered::read(path)?, &sizes).context(sizes_path)
    }

    /// `sizes` has an entry for each request.
    fn new(trace: Numbered, sizes: &[u32]) -> Result<Self> {
        let (requests, given) = (trace.ids.len(), sizes.len());
        ensure!(given == requests, "{given} sizes for {requests} requests");
        let mut by_id = vec![0; trace.unique];
        for (&id, &size) in trace.ids.iter().zip(sizes) {
            let known = &mut by_id[id as usize];
            // Nothing is free: a key without bytes would never have to leave.
            let size = size.max(1);
            ensure!(*known == 0 || *known == size, "a key of {known} bytes has {size} later");
            *known = size;
        }
        Ok(Self { trace, sizes: by_id })
    }

    /// Bytes of all keys together.
    pub fn unique_bytes(&self) -> u64 {
        self.sizes.iter().map(|&size| u64::from(size)).sum()
    }

    /// Bytes of all requests together.
    pub fn requested_bytes(&self) -> u64 {
        self.trace.ids.iter().map(|&id| u64::from(self.sizes[id as usize])).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(keys: &[u64]) -> Numbered {
        Numbered::new(&Trace { name: "t".to_owned(), keys: keys.to_vec() })
    }

    #[test]
    fn numbers_are_given_in_order_of_first_request() {
        let trace = numbered(&[70, 7, 70, u64::MAX, 7]);
        assert_eq!((trace.ids.as_slice(), trace.unique), ([0, 1, 0, 2, 1].as_slice(), 3));
        assert_eq!(trace.next_uses(), [2, 4, NEVER, NEVER, NEVER]);
    }

    #[test]
    fn sizes_belong_to_keys() {
        let trace = numbered(&[70, 7, 70]);
        let weighted = Weighted::new(trace.clone(), &[10, 0, 10]).unwrap();
        assert_eq!(weighted.sizes, [10, 1]);
        assert_eq!((weighted.unique_bytes(), weighted.requested_bytes()), (11, 21));
        assert!(Weighted::new(trace.clone(), &[10, 0]).is_err());
        assert!(Weighted::new(trace, &[10, 0, 11]).is_err());
    }
}
