//! Where do keys come from? Sources for the timed loop; whatever is dear is drawn beforehand.

use std::hint::black_box;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;

use super::Cursor;

/// The key with this number: spread over all 64 bits, one to one.
///
/// `foldhash::fast` of 0, 1, 2 ... is no random spread: in most processes its upper bits come out
/// more even than chance, which flatters whoever takes buckets or shards from them, and in some
/// (the seed decides) so clumped that `scc` loses three entries of four and other peers take twice
/// the time. One multiplication beforehand makes every process like any other.
#[inline(always)]
pub fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub trait KeySource: Send + Sync + 'static {
    fn next(&self, cursor: &mut Cursor) -> u64;
}

/// Each of the first `n` keys alike.
#[derive(Clone, Copy)]
pub struct Uniform(pub u64);

impl KeySource for Uniform {
    #[inline(always)]
    fn next(&self, cursor: &mut Cursor) -> u64 {
        key(cursor.rng.below(self.0))
    }
}

/// The key with this number, always.
#[derive(Clone, Copy)]
pub struct Hot(pub u64);

impl KeySource for Hot {
    #[inline(always)]
    fn next(&self, _: &mut Cursor) -> u64 {
        // Else the compiler hashes the key once and for all, outside the loop.
        key(black_box(self.0))
    }
}

/// Numbers of keys drawn beforehand, in a ring whose length is a power of two.
#[derive(Clone)]
pub struct Listed(Arc<[u32]>);

impl Listed {
    pub fn new(numbers: Vec<u32>) -> Self {
        assert!(numbers.len().is_power_of_two(), "the ring wraps by a mask");
        Self(numbers.into())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl KeySource for Listed {
    #[inline(always)]
    fn next(&self, cursor: &mut Cursor) -> u64 {
        let number = self.0[cursor.at & (self.0.len() - 1)];
        cursor.at = cursor.at.wrapping_add(1);
        key(u64::from(number))
    }
}

/// `length` numbers of `0..n`, Zipf-distributed with `exponent`; 0 is the most frequent.
pub fn zipf_numbers(n: u32, exponent: f64, length: usize, seed: u64) -> Vec<u32> {
    let zipf = Zipf::new(f64::from(n), exponent).expect("n >= 1 and a finite exponent >= 0");
    let mut rng = StdRng::seed_from_u64(seed);
    // Ranks are 1..=n.
    (0..length).map(|_| rng.sample(zipf) as u32 - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_stays_in_range_and_prefers_small_ranks() {
        let numbers = zipf_numbers(100, 0.99, 20_000, 1);
        assert!(numbers.iter().all(|&number| number < 100));
        let count = |wanted: u32| numbers.iter().filter(|&&number| number == wanted).count();
        // 1 / H(100, .99) is 19 %; the second has about half of the first.
        assert!((3_400..4_200).contains(&count(0)), "{}", count(0));
        assert!((1_600..2_300).contains(&count(1)), "{}", count(1));
        assert!(count(99) > 0 && count(99) < 120, "{}", count(99));
    }

    #[test]
    fn zipf_of_one_is_that_one() {
        assert_eq!(zipf_numbers(1, 0.99, 8, 1), [0; 8]);
    }

    #[test]
    fn a_list_wraps() {
        let list = Listed::new(vec![5, 6, 7, 8]);
        let mut cursor = Cursor::spread(2, list.len()).remove(1);
        let keys: Vec<u64> = (0..5).map(|_| list.next(&mut cursor)).collect();
        assert_eq!(keys, [7, 8, 5, 6, 7].map(key));
    }
}
