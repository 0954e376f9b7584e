//! Is a block freed only when nobody can read it, and always in the end? (`src/reclaim`)
//!
//! Most models run the domain alone, on a slot that always holds a canary. M3: each canary is
//! dropped once, ordered behind every read of it. M6: whoever sees a canary sees all of it. M10:
//! what waits for readers is bounded.

use std::cell::Cell;
use std::sync::Arc;

use hotset::__model::Swapped;
use hotset::Removed;
use hotset_loom_tests::{
    Cache, Canary, Job, cache, fill, job, keys, live, race, settle, start, suite,
};
use loom::thread::{self, yield_now};

suite! {
    sound: hazard_against_swap, pin_against_swap, hazard_against_two_writers,
        pin_against_two_writers, pin_across_two_swaps, young_pin_beside_an_old_one,
        old_pin_beside_a_young_one, slack_of_one, slack_of_two,
        handle_against_hit, handle_against_pinned_hit, handle_against_joiner, two_handles,
        handle_against_handle, collector_against_retirement, two_collectors;
    wide:;
    widest: two_pins_against_two_writers;
    campaign:;
    seeded:
        no_hazard_fence = NoHazardFence in hazard_against_swap => "Causality violation",
        no_pin_fence = NoPinFence in pin_against_swap => "Causality violation",
        no_validation = NoValidation in hazard_against_swap => "read after it was freed",
        ignore_hazards = IgnoreHazards in hazard_against_swap => "Causality violation",
        ignore_pins = IgnorePins in pin_against_swap => "Causality violation",
        youngest_pin = YoungestPin in young_pin_beside_an_old_one => "read after its death",
        youngest_pin_in_turn =
            YoungestPin in old_pin_beside_a_young_one => "read after its death",
        blind_handle = BlindHandle in handle_against_hit => "Causality violation",
        blind_handle_pinned = BlindHandle in handle_against_pinned_hit => "Causality violation",
        relaxed_fresh = RelaxedFresh in collector_against_retirement =>
            "before its block is put in",
        unconfirmed_take = UnconfirmedTake in collector_against_retirement => "disposed of twice",
        sole_first = SoleFirst in handle_against_joiner => "Causality violation",
        ignore_hazards_of_two = IgnoreHazards in hazard_against_two_writers => "Causality violation",
        ignore_pins_of_two = IgnorePins in pin_against_two_writers => "Causality violation",
        ignore_pins_of_four = IgnorePins in two_pins_against_two_writers => "Causality violation",
        ignore_pins_across = IgnorePins in pin_across_two_swaps => "Causality violation",
        ignore_pins_slack_of_one = IgnorePins in slack_of_one => "Causality violation",
        ignore_pins_slack_of_two = IgnorePins in slack_of_two => "Causality violation",
        relaxed_share = RelaxedShare in two_handles => "Causality violation",
        relaxed_share_taken_apart = RelaxedShare in handle_against_handle => "Causality violation",
}

type Slot = Swapped<Canary>;

fn slot(slack: u64) -> Arc<Slot> {
    Arc::new(Swapped::new(Canary::new(0), slack))
}

fn reader() -> Job<Slot> {
    job(|slot: &Slot| {
        slot.read(Canary::read);
    })
}

fn pinned_reader() -> Job<Slot> {
    job(|slot: &Slot| {
        slot.read_pinned(|canary| {
            canary.read();
        });
    })
}

fn writer(number: u64) -> Job<Slot> {
    job(move |slot: &Slot| assert!(slot.swap(Canary::new(number)), "the slack is ample"))
}

/// Nothing is left to wait for once the readers are gone.
fn settled(slot: &Slot) {
    slot.collect_all();
    assert_eq!((slot.waiting(), live()), (0, 1));
}

/// M3, M6: a short read against the smallest writer.
fn hazard_against_swap() {
    let slot = slot(8);
    race(&slot, [reader(), writer(1)]);
    settled(&slot);
}

/// M3, M6: a pin against the smallest writer.
fn pin_against_swap() {
    let slot = slot(8);
    race(&slot, [pinned_reader(), writer(1)]);
    settled(&slot);
}

/// M3, M6: writers collect each other's blocks.
fn hazard_against_two_writers() {
    let slot = slot(8);
    race(&slot, [reader(), writer(1), writer(2)]);
    settled(&slot);
}

/// M3, M6: as above, with eras.
fn pin_against_two_writers() {
    let slot = slot(8);
    race(&slot, [pinned_reader(), writer(1), writer(2)]);
    settled(&slot);
}

/// M3: a pin keeps all that is retired under it, though eras pass.
fn pin_across_two_swaps() {
    let slot = slot(8);
    let writer = job(|slot: &Slot| {
        assert!(slot.swap(Canary::new(1)) && slot.swap(Canary::new(2)));
    });
    race(&slot, [pinned_reader(), writer]);
    settled(&slot);
}

/// M3: what was retired between the beginnings of two pins waits for the older one, whichever
/// collector looks. The older pin is that of the thread with the lower number.
fn young_pin_beside_an_old_one() {
    let slot = slot(8);
    while_pinned(&slot, |slot| {
        race(slot, [pinned_reader(), writer(2)]);
    });
    settled(&slot);
}

/// M3: as above; here the younger pin is that of the thread with the lower number.
fn old_pin_beside_a_young_one() {
    let slot = slot(8);
    let young = thread::current();
    let old = job({
        let slot = Arc::clone(&slot);
        move |_: &Slot| {
            while_pinned(&slot, |slot| {
                race(slot, [job(move |_: &Slot| young.unpark()), writer(2)]);
            });
        }
    });
    let racing = start(&slot, [old]);
    thread::park();
    pinned_reader()(&slot);
    racing.finish();
    settled(&slot);
}

/// M3: as above; here both pins may begin and end at any time.
fn two_pins_against_two_writers() {
    let slot = slot(8);
    race(&slot, [pinned_reader(), pinned_reader(), writer(1), writer(2)]);
    settled(&slot);
}

/// Pins, reads, replaces what was read and collects, then runs `body` from beginning to end under
/// that pin, and reads again.
fn while_pinned(slot: &Arc<Slot>, body: impl FnOnce(&Arc<Slot>)) {
    let body = Cell::new(Some(body));
    slot.read_pinned(|canary| {
        canary.read();
        if let Some(body) = body.take() {
            writer(1)(slot);
            body(slot);
        }
    });
}

/// Frees what waits, whoever retired it.
fn collector() -> Job<Slot> {
    job(|slot: &Slot| slot.collect_all())
}

/// M3: what a thread retires is freed by that thread or by another one, and once.
fn collector_against_retirement() {
    let slot = slot(8);
    race(&slot, [writer(1), collector()]);
    settled(&slot);
}

/// M3: as above; two others are after a block that its thread left to them. (A list that is taken twice is planted
/// in `slab`, where loom finds it before it is used twice.)
fn two_collectors() {
    let slot = slot(8);
    slot.read(|_| writer(1)(&slot));
    assert_eq!(slot.waiting(), 1);
    race(&slot, [collector(), collector()]);
    settled(&slot);
}

/// M3, M10: a writer that meets the bound is refused, and what it brought is not lost.
fn bounded(slack: u64) -> Arc<Slot> {
    let slot = slot(slack);
    let writer = job(move |slot: &Slot| {
        for number in 1..4 {
            slot.swap(Canary::new(number));
            assert!(live() as u64 <= 1 + slack, "{} canaries live", live());
        }
    });
    race(&slot, [pinned_reader(), writer]);
    assert!(slot.waiting() <= slack);
    settled(&slot);
    slot
}

/// See [`bounded`]. The writer's thread keeps the one unit of credit, so nobody else may write.
fn slack_of_one() {
    bounded(1);
}

/// See [`bounded`]. Once the reader is gone, others may write again.
fn slack_of_two() {
    let slot = bounded(2);
    assert!(slot.swap(Canary::new(9)), "there is slack again");
    slot.read(|canary| assert_eq!(canary.read(), 9));
}

/// M3: a handle gives its value away only when nobody reads it.
fn takes_apart(other: impl FnOnce(&Cache, u64) + 'static) {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    let remover = job(move |cache: &Cache| {
        if let Some(Ok((found, canary))) = cache.remove(&key).map(Removed::try_into_inner) {
            assert_eq!((found, canary.read()), (key, key));
            drop(canary); // a read that was not over by now races with this
        }
    });
    race(&cache, [remover, job(move |cache: &Cache| other(cache, key))]);
    settle(&cache);
}

/// See [`takes_apart`].
fn handle_against_hit() {
    takes_apart(|cache, key| {
        cache.with(&key, |_, canary| canary.read());
    });
}

/// See [`takes_apart`].
fn handle_against_pinned_hit() {
    takes_apart(|cache, key| {
        let pin = cache.pin();
        pin.get(&key).map(Canary::read);
    });
}

/// M3: as above; the entry was a flight just now, so that the other may hold a share of it.
fn handle_against_joiner() {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    let mut racing = None;
    let load = || {
        let joiner = job(move |cache: &Cache| {
            assert_eq!(cache.get_or_insert_with(key, || Canary::new(key)).read(), key);
        });
        racing = Some(start(&cache, [joiner]));
        yield_now(); // the joiner begins, so that to leave this thread costs no preemption
        Canary::new(key)
    };
    assert_eq!(cache.get_or_insert_with(key, load).read(), key);
    if let Some(Ok((_, canary))) = cache.remove(&key).map(Removed::try_into_inner) {
        assert_eq!(canary.read(), key);
    }
    racing.expect("the loader ran").finish();
    assert!(settle(&cache).iter().all(|&found| found == key));
}

/// A removed entry, with two handles; each thread has one.
fn share_out(end: fn(Removed<u64, Canary>)) {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    fill(&cache, [key]);
    let first = cache.remove(&key).expect("it was inserted");
    let handles = [first.clone(), first];
    let mut ends = [drop as fn(Removed<u64, Canary>), end].into_iter();
    race(
        &cache,
        handles.map(|handle| {
            let end = ends.next().expect("one for each");
            job(move |_: &Cache| {
                assert_eq!(handle.read(), key);
                end(handle);
            })
        }),
    );
    settle(&cache);
}

/// M3: what was read through one handle is over before the last one retires the entry.
fn two_handles() {
    share_out(drop);
}

/// M3: as above, before the last one takes the entry apart.
fn handle_against_handle() {
    share_out(|handle| {
        if let Ok((_, canary)) = handle.try_into_inner() {
            drop(canary);
        }
    });
}
