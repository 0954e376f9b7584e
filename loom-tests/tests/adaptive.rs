//! Does `Policy::Adaptive` decide nothing but who leaves? (`src/table/classes`, `src/table/probation`)
//!
//! Its queues and its memory are advice, and invisible to loom on purpose: what is modelled is that
//! whoever acts on a number out of the queue, however old, does so by the slot's exchange. M3, M6: the
//! canaries. M5: `keeps_the_bound`. M1, M8: `settle`.

use std::sync::Arc;

use hotset::__model::Step;
use hotset_loom_tests::{
    Cache, Canary, Job, adaptive, at_once, at_once_but, at_once_until, fill, insert_and_look, job,
    keeps_the_bound, keys, race, remove, settle, suite,
};

suite! {
    sound: hit_against_queue, pinned_hit_against_queue, remove_against_queue,
        replace_against_queue, promotion_against_hit, promotion_against_remove,
        promotion_against_replace, number_of_another_entry, lower_bound_against_newcomer,
        two_meet_for_one_room, two_meet_at_one_entry, two_meet_to_promote, two_make_it_grow;
    wide: two_newcomers_one_entry, two_newcomers_one_room;
    widest: two_promotions;
    campaign: number_of_another_entry_and_a_hand;
    seeded:
        ignore_hazards = IgnoreHazards in hit_against_queue => "Causality violation",
        ignore_pins = IgnorePins in pinned_hit_against_queue => "Causality violation",
        no_validation = NoValidation in hit_against_queue => "read after its death",
        torn_room = TornRoom in two_newcomers_one_room => "at one time",
        torn_room_late = TornRoom in two_meet_for_one_room => "1 counted",
        torn_growth = TornGrowth in two_make_it_grow at Wide => "leak",
        queue_decides = QueueDecides in remove_against_queue => "dies twice",
        queue_decides_of_replaced = QueueDecides in replace_against_queue => "dies twice",
        queue_decides_with_a_hand =
            QueueDecides in number_of_another_entry_and_a_hand => "dies twice",
        age_in_slot = AgeInSlot in promotion_against_remove => "not settled",
        age_in_slot_of_replaced = AgeInSlot in promotion_against_replace => "not settled",
        torn_number = TornUnlink in number_of_another_entry => "Causality violation",
        torn_promotions = TornUnlink in two_promotions => "dies twice",
        torn_promotions_late = TornUnlink in two_meet_to_promote => "dies twice",
        torn_claim = TornClaim in two_newcomers_one_entry => "a claim was left",
        torn_claim_late = TornClaim in two_meet_at_one_entry => "a claim was left",
}

/// The entries of a full cache for two, `main` and, on probation, `new`, and keys of others. Those are
/// at home where there is room for them.
struct Full {
    cache: Arc<Cache>,
    main: u64,
    new: u64,
    others: [u64; 2],
}

fn full() -> Full {
    let cache = adaptive(4);
    cache.set_max_entries(2).expect("a bound in range");
    let [main, new] = keys(&cache, 0);
    fill(&cache, [main, new]);
    let class = |key| cache.adaptive_class(&key).map(|class| class.0);
    assert_eq!((class(main), class(new)), (Some(false), Some(true)));
    let others = keys(&cache, 1);
    Full { cache, main, new, others }
}

/// The same, where the one on probation was used, so that its turn in the queue promotes it.
fn full_and_used() -> Full {
    let full = full();
    full.cache.with(&full.new, |_, canary| assert_eq!(canary.read(), full.new));
    full
}

fn insert(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        assert!(cache.insert(key, Canary::new(key)).is_admitted());
    })
}

fn replace(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        if let Ok(old) = cache.replace(key, Canary::new(key)) {
            assert_eq!((*old.key(), old.read()), (key, key));
        }
    })
}

fn hit(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        cache.with(&key, |_, canary| assert_eq!(canary.read(), key));
    })
}

/// An insert whose key is unique already when the others meet it: it wants room.
fn late(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        at_once_until(Step::Announced, || drop(cache.insert(key, Canary::new(key))));
    })
}

fn late_and_look(key: u64) -> Job<Cache> {
    job(move |cache: &Cache| {
        late(key)(cache);
        at_once(|| keeps_the_bound(cache));
    })
}

/// M3, M6: one on probation is evicted, or promoted, under its reader.
fn hit_against_queue() {
    let Full { cache, main, new, others: [b, _] } = full();
    race(&cache, [hit(new), insert(b)]);
    let left = settle(&cache);
    assert!(left == [main, b] || left == [new, b] || left == [b, main] || left == [b, new]);
}

/// M3, M6: as above, and what was read stays readable.
fn pinned_hit_against_queue() {
    let Full { cache, new, others: [b, _], .. } = full();
    let reader = job(move |cache: &Cache| {
        let pin = cache.pin();
        let (first, other) = (pin.get(&new), pin.get(&b));
        assert!(first.is_none_or(|canary| canary.read() == new));
        assert!(other.is_none_or(|canary| canary.read() == b));
    });
    race(&cache, [reader, insert(b)]);
    assert!(settle(&cache).contains(&b));
}

/// M3, M5: two want to unlink one that is on probation.
fn remove_against_queue() {
    let Full { cache, new, others: [b, _], .. } = full();
    race(&cache, [remove(new), insert_and_look(b)]);
    let left = settle(&cache);
    assert!(left.contains(&b) && !left.contains(&new));
}

/// M3: one replaces the value of the entry that the other evicts.
fn replace_against_queue() {
    let Full { cache, new, others: [b, _], .. } = full();
    race(&cache, [replace(new), insert(b)]);
    assert!(settle(&cache).contains(&b));
}

/// M3, M7: the entry at the end of the queue is promoted while it is read. No bug is planted here: a promotion and a
/// hit write nothing but advice, so what could go wrong is that of `hit_against_queue`.
fn promotion_against_hit() {
    let Full { cache, main, new, others: [b, _] } = full_and_used();
    race(&cache, [hit(new), insert(b)]);
    let left = settle(&cache);
    assert!(left.contains(&b) && (left.contains(&main) || left.contains(&new)));
}

/// M3, M5: it is promoted while it is removed.
fn promotion_against_remove() {
    let Full { cache, new, others: [b, _], .. } = full_and_used();
    race(&cache, [remove(new), insert_and_look(b)]);
    let left = settle(&cache);
    assert!(left.contains(&b) && !left.contains(&new));
}

/// M3, M7: it is promoted while its value is replaced.
fn promotion_against_replace() {
    let Full { cache, new, others: [b, _], .. } = full_and_used();
    race(&cache, [replace(new), insert(b)]);
    assert!(settle(&cache).contains(&b));
}

/// M5: two newcomers, and room for one.
fn two_newcomers_one_room() {
    for_one_room(insert_and_look, insert_and_look);
}

/// The same, at the full bound, from where they want room.
fn two_meet_for_one_room() {
    for_one_room(late, late_and_look);
}

fn for_one_room(first: fn(u64) -> Job<Cache>, second: fn(u64) -> Job<Cache>) {
    let cache = adaptive(2);
    cache.set_max_entries(1).expect("a bound in range");
    let [a, b] = keys(&cache, 0);
    race(&cache, [first(a), second(b)]);
    assert!(settle(&cache).len() <= 1);
}

/// M3, M5: two newcomers, for one of whom the only entry on probation leaves.
fn two_newcomers_one_entry() {
    come_to(full(), insert_and_look, insert_and_look);
}

/// The same, at the full bound, from where they want room.
fn two_meet_at_one_entry() {
    come_to(full(), late, late_and_look);
}

fn come_to(
    Full { cache, others: [b, c], .. }: Full,
    first: fn(u64) -> Job<Cache>,
    second: fn(u64) -> Job<Cache>,
) {
    race(&cache, [first(b), second(c)]);
    assert!(settle(&cache).len() <= 2);
}

/// M3, M5: as above, where it would be promoted.
fn two_promotions() {
    come_to(full_and_used(), insert, insert);
}

/// The same, at the full bound, from where they want room to where they are there.
fn two_meet_to_promote() {
    let insert = |key| {
        job(move |cache: &Cache| {
            let insert = || drop(cache.insert(key, Canary::new(key)));
            at_once_but(Step::Announced, Step::Finalised, insert);
        })
    };
    come_to(full_and_used(), insert, insert);
}

/// M5: who is evicted for a bound that falls is on probation, and somebody comes. (The bugs are planted in the same
/// of the other policy, `evict::lower_bound_against_insert`.)
fn lower_bound_against_newcomer() {
    let Full { cache, others: [b, _], .. } = full();
    let lower = job(|cache: &Cache| {
        cache.set_max_entries(1).expect("a bound in range");
        keeps_the_bound(cache);
    });
    let insert = job(move |cache: &Cache| drop(cache.insert(b, Canary::new(b))));
    race(&cache, [lower, insert]);
    assert!(settle(&cache).len() <= 1);
}

/// M1, M5, M8: a number out of the queue is that of an entry that has been removed, and of another
/// one that has come in its place, or not yet.
fn number_of_another_entry() {
    let Full { cache, new, others: [b, _], .. } = full();
    let again = job(move |cache: &Cache| {
        remove(new)(cache);
        cache.insert(new, Canary::new(new));
    });
    race(&cache, [again, insert_and_look(b)]);
    assert!(settle(&cache).len() <= 2);
}

/// M1, M5, M8: as above; a third one evicts as well.
fn number_of_another_entry_and_a_hand() {
    let Full { cache, new, others: [b, c], .. } = full();
    let again = job(move |cache: &Cache| {
        remove(new)(cache);
        cache.insert(new, Canary::new(new));
    });
    let third = job(move |cache: &Cache| drop(cache.insert(c, Canary::new(c))));
    let second = job(move |cache: &Cache| drop(cache.insert(b, Canary::new(b))));
    race(&cache, [again, second, third]);
    assert!(settle(&cache).len() <= 2);
}

/// M8: two need a segment at a time, and with it a queue for more newcomers.
fn two_make_it_grow() {
    let cache = adaptive(2);
    let [a, b, c, d] = keys(&cache, 0);
    fill(&cache, [a, b]);
    cache.set_max_entries(8).expect("a bound in range");
    race(&cache, [insert(c), insert(d)]);
    let mut all = [a, b, c, d];
    all.sort_unstable();
    assert_eq!(settle(&cache), all);
}
