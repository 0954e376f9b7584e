//! Blobs in memory up to so many bytes, and a ledger of what went: moka's `weigher` and
//! `eviction_listener`.

use std::collections::BTreeMap;

mod with_hotset;
mod with_moka;

/// Why a blob went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    NoRoom,
    Overwritten,
    Deleted,
}

/// The keys of the blobs that went, by reason.
pub type Gone = BTreeMap<Why, Vec<String>>;

/// What the script sees of the programs.
trait Blobs {
    fn put(&self, name: &str, blob: Vec<u8>);
    fn get(&self, name: &str) -> Option<Vec<u8>>;
    fn delete(&self, name: &str);
    /// Bytes held; postponed work is done first.
    fn bytes(&self) -> u64;
    /// What went since the last call.
    fn gone(&self) -> Gone;
}

/// Gives a program to the script.
macro_rules! program {
    ($name:ty) => {
        impl Blobs for $name {
            fn put(&self, name: &str, blob: Vec<u8>) {
                self.put(name, blob);
            }

            fn get(&self, name: &str) -> Option<Vec<u8>> {
                self.get(name).map(|blob| blob.to_vec())
            }

            fn delete(&self, name: &str) {
                self.delete(name);
            }

            fn bytes(&self) -> u64 {
                self.bytes()
            }

            fn gone(&self) -> Gone {
                let mut gone = self.gone();
                gone.values_mut().for_each(|names| names.sort_unstable());
                gone
            }
        }
    };
}

program!(with_moka::Blobs);
program!(with_hotset::Blobs);

const MAX_BYTES: u64 = 10_000;

fn script(blobs: &dyn Blobs) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: &str| {
        // Asked first: it has postponed work done, which tells of what went.
        let bytes = blobs.bytes();
        assert!(bytes <= MAX_BYTES, "{what}: {bytes}");
        seen.push(format!("{what}: {bytes} bytes, gone {:?}", blobs.gone()));
    };
    (0..10).for_each(|n| blobs.put(&n.to_string(), vec![n; 900]));
    see("filled");
    assert_eq!(blobs.get("3").as_deref(), Some(&[3; 900][..]));
    blobs.put("3", vec![33; 500]);
    see("overwritten by a lighter one");
    blobs.put("3", vec![33; 1_400]);
    see("by a heavier one");
    blobs.delete("5");
    blobs.delete("nothing");
    see("deleted");
    assert_eq!((blobs.get("5"), blobs.get("3").unwrap().len()), (None, 1_400));
    seen
}

/// Ten times what there is room for: which stay is a matter of policy, but all others are told.
fn flood(blobs: &dyn Blobs) {
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| blobs.put(name, vec![7; 1_000]));
    let bytes = blobs.bytes();
    let held: Vec<&String> = names.iter().filter(|name| blobs.get(name).is_some()).collect();
    assert_eq!((bytes, held.len()), (MAX_BYTES, 10));
    let gone = blobs.gone();
    let told = &gone[&Why::NoRoom];
    assert_eq!((gone.len(), told.len()), (1, 90));
    assert!(held.iter().all(|name| !told.contains(name)));
}

/// One that is heavier than all may be together is not kept, and the others stay.
fn oversize(blobs: &dyn Blobs) {
    (0..10).for_each(|n| blobs.put(&n.to_string(), vec![n; 1_000]));
    blobs.bytes();
    blobs.gone();
    blobs.put("huge", vec![0; MAX_BYTES as usize + 1]);
    assert_eq!(blobs.bytes(), MAX_BYTES);
    assert_eq!((blobs.get("huge"), blobs.get("9")), (None, Some(vec![9; 1_000])));
    assert_eq!(blobs.gone(), Gone::from([(Why::NoRoom, vec!["huge".to_owned()])]));
}

#[test]
fn they_hold_and_tell_the_same() {
    let moka = script(&with_moka::Blobs::new(MAX_BYTES));
    let hotset = script(&with_hotset::Blobs::new(MAX_BYTES));
    assert_eq!(moka, hotset);
    assert!(hotset[3].ends_with(r#"gone {Deleted: ["5"]}"#), "{}", hotset[3]);
}

#[test]
fn both_keep_to_the_bound() {
    flood(&with_moka::Blobs::new(MAX_BYTES));
    flood(&with_hotset::Blobs::new(MAX_BYTES));
}

#[test]
fn both_turn_away_what_is_too_heavy() {
    oversize(&with_moka::Blobs::new(MAX_BYTES));
    oversize(&with_hotset::Blobs::new(MAX_BYTES));
}
