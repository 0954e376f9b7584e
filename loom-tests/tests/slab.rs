//! Has whoever has a block it alone, and does its memory come back? (`src/reclaim/slab.rs`)
//!
//! M3 for memory: slabs of two blocks. A block is used by who takes it and by who gives it back, and its
//! end is a use; loom reports two uses that are not ordered, and at the end each slab that was not freed.

use std::sync::Arc;

use hotset::__model::{Heap, Taken};
use hotset_loom_tests::{Job, job, race, suite};

suite! {
    sound: two_gifts, gifts_against_take, takes_of_one_slab, takes_of_two_slabs, gift_against_trim,
        take_against_trim, trim_against_trim, slabs_passed_on, slabs_passed_on_to_trim,
        share_against_gift;
    wide:;
    widest:;
    campaign:;
    seeded:
        relaxed_gift = RelaxedGift in gifts_against_take => "Causality violation",
        held_twice = HeldTwice in two_gifts => "put on a list twice",
        relaxed_rest = RelaxedRest in slabs_passed_on => "Allocation leaked",
        relaxed_trim = RelaxedTrim in gift_against_trim => "Causality violation",
        torn_list = TornList in takes_of_one_slab => "put on a list twice",
        torn_list_trimmed = TornList in take_against_trim => "Causality violation",
        relaxed_rest_trimmed = RelaxedRest in slabs_passed_on_to_trim => "Allocation leaked",
        relaxed_share = RelaxedGift in share_against_gift => "Causality violation",
}

/// The blocks of one slab.
fn whole_slab(heap: &Heap) -> [Taken; 2] {
    [heap.take(0), heap.take(0)]
}

fn giver(taken: Taken) -> Job<Heap> {
    job(move |heap: &Heap| heap.give(taken))
}

/// Takes a block and gives it back.
fn user(who: usize) -> Job<Heap> {
    job(move |heap: &Heap| heap.give(heap.take(who)))
}

fn trimmer() -> Job<Heap> {
    job(Heap::trim)
}

/// One of the two puts the slab on the list.
fn two_gifts() {
    let heap = Arc::new(Heap::new());
    let [a, b] = whole_slab(&heap);
    race(&heap, [giver(a), giver(b)]);
}

/// Who takes a block sees what was done with it, whoever put its slab on the list.
fn gifts_against_take() {
    let heap = Arc::new(Heap::new());
    let [a, b] = whole_slab(&heap);
    let taker = job(|heap: &Heap| {
        let both = [heap.take(2), heap.take(2)];
        both.into_iter().for_each(|taken| heap.give(taken));
    });
    race(&heap, [giver(a), giver(b), taker]);
}

/// Nobody gets what another has got.
fn takes_of_one_slab() {
    let heap = Arc::new(Heap::new());
    whole_slab(&heap).into_iter().for_each(|taken| heap.give(taken));
    race(&heap, [user(1), user(2)]);
}

/// The same, where the first leaves a slab on a list of its own, from which the other may take it. (The bug of
/// `takes_of_one_slab` would be caught here, but not before memory is used that was freed.)
fn takes_of_two_slabs() {
    let heap = Arc::new(Heap::new());
    let slabs = [whole_slab(&heap), whole_slab(&heap)];
    slabs.into_iter().flatten().for_each(|taken| heap.give(taken));
    race(&heap, [user(1), user(2)]);
}

/// A slab is freed after the last of its blocks has come back.
fn gift_against_trim() {
    let heap = Arc::new(Heap::new());
    let [a, b] = whole_slab(&heap);
    heap.give(a);
    race(&heap, [giver(b), trimmer()]);
}

/// A slab is freed, or a block of it is taken.
fn take_against_trim() {
    let heap = Arc::new(Heap::new());
    whole_slab(&heap).into_iter().for_each(|taken| heap.give(taken));
    race(&heap, [user(1), trimmer()]);
}

/// Two who trim free each slab once, and lose none of which a block is out. (As above.)
fn trim_against_trim() {
    let heap = Arc::new(Heap::new());
    let ([a, b], [c, d]) = (whole_slab(&heap), whole_slab(&heap));
    [a, b, c].into_iter().for_each(|taken| heap.give(taken));
    race(&heap, [trimmer(), trimmer()]);
    heap.give(d);
}

/// Three slabs that come on the list meanwhile: who takes them leaves two that are linked on a list of its own,
/// and the other, who takes those, knows the link from nowhere else.
fn passed_on(other: Job<Heap>) {
    let heap = Arc::new(Heap::new());
    let ([a, b], [c, d], [e, f]) = (whole_slab(&heap), whole_slab(&heap), whole_slab(&heap));
    let giver = job(move |heap: &Heap| [a, c, e].into_iter().for_each(|taken| heap.give(taken)));
    race(&heap, [giver, user(1), other]);
    [b, d, f].into_iter().for_each(|taken| heap.give(taken));
}

/// See [`passed_on`].
fn slabs_passed_on() {
    passed_on(user(2));
}

/// See [`passed_on`].
fn slabs_passed_on_to_trim() {
    passed_on(trimmer());
}

/// A thread gives back what it has not handed out, another the rest.
fn share_against_gift() {
    let heap = Arc::new(Heap::new());
    let a = heap.take(0);
    race(&heap, [job(|heap: &Heap| heap.give_share(0)), giver(a), trimmer()]);
}
