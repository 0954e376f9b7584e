//! Do the packed words of the engine hold what was put into them, for any bits?

#![no_main]

use hotset::__fuzz::{check_claim, check_home, check_low_bytes, check_node, check_tags};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u64, u64, u32)| {
    let (a, b, c, d) = input;
    check_node(a as usize);
    check_claim(a, b, (c as usize, a), (d as usize, b));
    check_claim(a, a, (c as usize, b), ((c >> 32) as usize, b >> 32));
    check_claim(a, b, (d as usize, c), (d as usize, c));
    check_low_bytes(a);
    check_tags(a, b as usize, c);
    // A word that is full of the tag that is looked for, but for one bit.
    check_tags(u64::from_ne_bytes([0x80 | b as u8; 8]) ^ (1 << (c % 64)), d as usize, b);
    check_home(a as u32, b as u32, d);
});
