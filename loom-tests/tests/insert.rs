//! Does a key get one slot and no more, and does every other key keep its own? (`src/table/claim`)
//!
//! After each execution `settle` checks M1 (no key twice), M5 (the bound) and M8 (counts, overflow
//! counts, tags: each entry is found by its key). M3 by the canaries.
//!
//! In the model build a bucket has two slots and a probe visits two buckets of each segment, so
//! that a third key of one home is displaced and a fifth one needs a further segment.

use std::sync::Arc;

use hotset::__model::Step;
use hotset::Removed;
use hotset_loom_tests::{
    Cache, Canary, Job, akin, at_once, at_once_from, cache, fill, job, keys, race, settle,
    stepwise, suite,
};

suite! {
    sound: two_inserters, two_displaced_inserters, home_against_displaced,
        two_inserters_need_a_segment, insert_against_remove, claims_of_other_keys, late_tag, two_inserters_beyond,
        loader_against_insert, replace_against_remove;
    wide: inserters_and_a_remover, two_inserters_into_a_full_cache, two_displaced_inserters_and_a_hole;
    widest:;
    campaign: three_inserters, two_inserters_and_an_evictor;
    seeded:
        no_rescan = NoRescan in two_inserters => "a key has two entries",
        no_rescan_displaced = NoRescan in two_displaced_inserters => "a key has two entries",
        no_rescan_home_displaced = NoRescan in home_against_displaced => "a key has two entries",
        stale_snapshot = StaleSnapshot in two_inserters => "a key has two entries",
        stale_snapshot_displaced =
            StaleSnapshot in two_displaced_inserters => "a key has two entries",
        unsaid_beyond = UnsaidBeyond in two_inserters_beyond => "a key has two entries",
        abort_unseen = AbortUnseen in late_tag => "is in the table and is not found",
        no_rescan_segment = NoRescan in two_inserters_need_a_segment => "a key has two entries",
        torn_claim = TornClaim in two_inserters_into_a_full_cache => "counted",
        torn_finalise = TornFinalise in two_inserters => "2 counted",
        torn_tag = TornTag in claims_of_other_keys => "is in the table and is not found",
        torn_count = TornPassed in two_displaced_inserters => "behind a bucket that says the end",
        torn_count_at_a_hole =
            TornPassed in two_displaced_inserters_and_a_hole => "behind a bucket that says the end",
        torn_insert = TornExchange in insert_against_remove => "dies twice",
        torn_replace = TornExchange in replace_against_remove => "dies twice",
        torn_inserts = TornExchange in inserters_and_a_remover => "dies twice",
        torn_inserts_of_three = TornExchange in three_inserters => "dies twice",
        torn_remove = TornUnlink in insert_against_remove => "dies twice",
        torn_remove_of_replaced = TornUnlink in replace_against_remove => "counted",
        torn_load = TornExchange in loader_against_insert => "2 counted",
        torn_eviction = TornUnlink in two_inserters_and_an_evictor => "counted",
}

/// What a thread of these models took out of the cache. It is dropped when all is over, so that
/// reclamation, which has its own models, adds no steps.
type Taken = Option<Removed<u64, Canary>>;

/// Inserts one key. In a cache that has room it is admitted.
fn insert_now(cache: &Cache, key: u64) -> Taken {
    let outcome = cache.insert(key, Canary::new(key));
    assert!(outcome.is_admitted());
    whole(key, outcome.replaced())
}

/// M6: what was taken out is what was put in.
fn whole(key: u64, taken: Taken) -> Taken {
    if let Some(old) = &taken {
        assert_eq!((*old.key(), old.read()), (key, key));
    }
    taken
}

fn insert(key: u64) -> Job<Cache, Taken> {
    job(move |cache: &Cache| insert_now(cache, key))
}

/// Inserts one key into a full cache, where it may be refused.
fn try_insert(key: u64) -> Job<Cache, Taken> {
    job(move |cache: &Cache| whole(key, cache.insert(key, Canary::new(key)).replaced()))
}

fn remove(key: u64) -> Job<Cache, Taken> {
    job(move |cache: &Cache| whole(key, cache.remove(&key)))
}

/// A cache with this bound and slots for four, so that nobody needs a segment.
fn roomy(max_entries: usize) -> Arc<Cache> {
    let cache = cache(4);
    cache.set_max_entries(max_entries).expect("a bound in range");
    cache
}

/// M1: one bucket.
fn two_inserters() {
    let cache = cache(2);
    let [x] = keys(&cache, 0);
    race(&cache, [insert(x), insert(x)]);
    assert_eq!(settle(&cache), [x]);
}

/// M1: as above, with a third who may find one of the others' claims aborted.
fn three_inserters() {
    let cache = cache(3);
    let [x] = keys(&cache, 0);
    race(&cache, [insert(x), insert(x), insert(x)]);
    assert_eq!(settle(&cache), [x]);
}

/// M1, M8: the home bucket is full, both announce by its overflow count.
fn two_displaced_inserters() {
    let cache = cache(4);
    let [a, b, x] = keys(&cache, 0);
    fill(&cache, [a, b]);
    race(&cache, [insert(x), insert(x)]);
    assert_eq!(settle(&cache), [a, b, x]);
}

/// M1, M8: one announces by its overflow count, the other, for whom a slot at home is free by
/// then, by its tag.
fn home_against_displaced() {
    let cache = cache(4);
    let [a, b, x] = keys(&cache, 0);
    fill(&cache, [a, b]);
    let remover = job(move |cache: &Cache| {
        assert!(cache.remove(&b).is_some());
        insert_now(cache, x)
    });
    race(&cache, [insert(x), remover]);
    assert_eq!(settle(&cache), [a, x]);
}

/// M1, M8: all slots of the probe are taken, and the bound has been raised; both append a segment.
fn two_inserters_need_a_segment() {
    let cache = cache(2);
    let [a, b, x] = keys(&cache, 0);
    fill(&cache, [a, b]);
    cache.set_max_entries(4).expect("a bound in range");
    race(&cache, [insert(x), insert(x)]);
    assert_eq!(settle(&cache), [a, b, x]);
}

/// M1: the home bucket has said before that keys went beyond, and says so again. (Where entries are weighed there is a
/// fence beside: `weights` has the same.)
fn two_inserters_beyond() {
    let cache = cache(2);
    let [a, b, c, others @ ..] = keys::<16>(&cache, 0);
    let x = others.into_iter().find(|&key| akin(key, c)).expect("one of eight");
    fill(&cache, [a, b]);
    cache.set_max_entries(8).expect("a bound in range");
    fill(&cache, [c]);
    race(&cache, [insert(x), insert(x)]);
    assert_eq!(settle(&cache), [a, b, c, x]);
}

/// M1, M3: a slot empties under the inserter's eyes.
fn insert_against_remove() {
    let cache = cache(2);
    let [x] = keys(&cache, 0);
    fill(&cache, [x]);
    race(&cache, [insert(x), remove(x)]);
    assert!(settle(&cache).iter().all(|&key| key == x));
}

/// M1, M3: and two want it.
fn inserters_and_a_remover() {
    let cache = cache(2);
    let [x] = keys(&cache, 0);
    fill(&cache, [x]);
    race(&cache, [insert(x), insert(x), remove(x)]);
    assert!(settle(&cache).iter().all(|&key| key == x));
}

/// M1, M5: both must evict for one key.
fn two_inserters_into_a_full_cache() {
    let cache = roomy(1);
    let [a, x] = keys(&cache, 0);
    fill(&cache, [a]);
    race(&cache, [try_insert(x), try_insert(x)]);
    assert!(settle(&cache).len() <= 1);
}

/// M1, M5: a third evicts what the two have just inserted.
fn two_inserters_and_an_evictor() {
    let cache = roomy(1);
    let [x, y] = keys(&cache, 0);
    race(&cache, [try_insert(x), try_insert(x), try_insert(y)]);
    assert!(settle(&cache).len() <= 1);
}

/// M1, M8: as above, with displacement: there is no room at home for `x`, so that the two announce
/// it by the count of its home, until one leaves there. What it is that makes it leave, and what that
/// takes beside the exchange of the slot, other models know.
fn two_displaced_inserters_and_a_hole() {
    let cache = cache(4);
    let [a, b, x] = keys(&cache, 0);
    fill(&cache, [a, b]);
    let insert =
        || job(move |cache: &Cache| at_once_from(Step::Finalised, || insert_now(cache, x)));
    let leaver = job(move |cache: &Cache| at_once(|| whole(b, cache.remove(&b))));
    race(&cache, [insert(), insert(), leaver]);
    assert_eq!(settle(&cache), [a, x]);
}

/// M1, M8: claims of keys that differ do not disturb each other.
fn claims_of_other_keys() {
    let cache = cache(2);
    let [x, y] = keys(&cache, 0);
    race(&cache, [insert(x), insert(y)]);
    assert_eq!(settle(&cache), [x, y]);
}

/// M8: a claim is aborted before its owner has written its tag, and the slot goes to another key,
/// which had the same tag there before. The owner must not write the tag then.
///
/// Slot 1 has the tag of `x` from an earlier entry. The first thread claims slot 0, sees the old
/// tag of slot 1 and is about to look there. The other one puts `y` in and out of slot 1, then
/// claims it for `x`. The first one, which sees that claim, may not abort it on the strength of
/// the old tag: else `y` can come into slot 1, and be lost under the tag of `x`.
fn late_tag() {
    let cache = cache(2);
    cache.set_max_entries(4).expect("a bound in range");
    let [a, x, y] = keys(&cache, 0);
    fill(&cache, [a, x]);
    assert!(cache.remove(&a).is_some() && cache.remove(&x).is_some());
    stepwise(&[Step::Claimed, Step::Announced]);
    let first = job(move |cache: &Cache| (insert_now(cache, x), at_once(|| insert_now(cache, y))));
    let other = job(move |cache: &Cache| {
        let taken = at_once(|| (insert_now(cache, y), cache.remove(&y)));
        (insert_now(cache, x), taken.0.or(taken.1))
    });
    race(&cache, [first, other]);
    let left = settle(&cache);
    assert!(left.contains(&x), "{left:?}");
}

/// M1, M2: a flight and an entry of one key.
fn loader_against_insert() {
    let cache = cache(2);
    let [x] = keys(&cache, 0);
    let loader = job(move |cache: &Cache| {
        assert_eq!(cache.get_or_insert_with(x, || Canary::new(x)).read(), x);
        None
    });
    race(&cache, [loader, insert(x)]);
    assert_eq!(settle(&cache), [x]);
}

/// M3: one entry, taken by one of two.
fn replace_against_remove() {
    let cache = cache(2);
    let [x] = keys(&cache, 0);
    fill(&cache, [x]);
    let replacer = job(move |cache: &Cache| cache.replace(x, Canary::new(x)).is_ok());
    let remover = job(move |cache: &Cache| cache.remove(&x).is_some());
    let [replaced, removed] = race(&cache, [replacer, remover]);
    assert!(replaced || removed);
    assert!(removed == settle(&cache).is_empty());
}
