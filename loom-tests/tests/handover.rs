//! Does a load go on when a future is dropped, wherever it was, and does nobody sleep for ever?
//! (`src/load`, `src/store/future`)
//!
//! M4 with cancellation: of those who wait for a flight whose leader is dropped one takes the lead, and
//! all return. M2: a flight that nobody is in is in no slot (`settle`). M3: no canary is lost or read
//! after its end, and the rooms of flights are freed (loom reports those that are not).

use std::sync::Arc;

use hotset_loom_tests::{
    Cache, Canary, Job, Task, at_once, block_on, cache, job, keys, poll_once, race, settle, suite,
    task,
};

suite! {
    sound: leader_dropped_against_thread, leader_dropped_against_task, leader_dropped_against_waiter,
        waiter_dropped_against_settle, waiter_sits_down_against_settle,
        waiter_dropped_against_hand_over, all_dropped, waker_changed_against_settle,
        leader_dropped_against_removal;
    wide:;
    widest:;
    campaign:;
    seeded:
        silent_vacancy = SilentVacancy in leader_dropped_against_waiter => "deadlock",
        told_and_gone = ToldAndGone in waiter_dropped_against_hand_over => "deadlock",
        look_then_sit = LookThenSit in waiter_sits_down_against_settle => "deadlock",
        lost_waiter = LostWaiter in waker_changed_against_settle => "deadlock",
        last_leaves_open = LastLeavesOpen in all_dropped => "a flight that nobody is in",
        slot_stays_signed_on = SlotStaysSignedOn in waiter_dropped_against_settle => "is not settled",
        silent_vacancy_for_a_thread = SilentVacancy in leader_dropped_against_thread => "deadlock",
        silent_vacancy_for_a_task = SilentVacancy in leader_dropped_against_task => "deadlock",
        remove_spares_flight =
            RemoveSparesFlight in leader_dropped_against_removal => "was brought back",
}

/// An empty cache for two, and a key.
fn empty() -> (Arc<Cache>, u64) {
    let cache = cache(2);
    let [key] = keys(&cache, 0);
    (cache, key)
}

/// A task whose load never ends by itself.
fn endless(cache: &Arc<Cache>, key: u64) -> Task {
    task(cache, key, key, usize::MAX)
}

/// Tasks that were polled once each, in order: the first leads, the others wait.
fn begun<const N: usize>(tasks: [Task; N]) -> [Task; N] {
    at_once(|| {
        tasks.map(|mut task| {
            assert!(poll_once(&mut task).is_none());
            task
        })
    })
}

/// Drops a task.
fn give_up(task: Task) -> Job<Cache> {
    job(move |_: &Cache| drop(task))
}

/// Waits for a task, which gives a canary of this number.
fn wait_for(task: Task, number: u64) -> Job<Cache> {
    job(move |_: &Cache| assert_eq!(block_on(task).read(), number))
}

/// M2, M4: a thread that comes to a flight whose leader is dropped, before or after, loads itself.
fn leader_dropped_against_thread() {
    let (cache, key) = empty();
    let [leader] = begun([endless(&cache, key)]);
    let thread = job(move |cache: &Cache| {
        assert_eq!(cache.get_or_insert_with(key, || Canary::new(key)).read(), key);
    });
    race(&cache, [give_up(leader), thread]);
    assert_eq!(settle(&cache), [key]);
}

/// M2, M4: as above, a task.
fn leader_dropped_against_task() {
    let (cache, key) = empty();
    let [leader] = begun([endless(&cache, key)]);
    let other = task(&cache, key, key, 1);
    race(&cache, [give_up(leader), wait_for(other, key)]);
    assert_eq!(settle(&cache), [key]);
}

/// M4: one that waits already takes over.
fn leader_dropped_against_waiter() {
    let (cache, key) = empty();
    let [leader, waiter] = begun([endless(&cache, key), task(&cache, key, key, 1)]);
    race(&cache, [give_up(leader), wait_for(waiter, key)]);
    assert_eq!(settle(&cache), [key]);
}

/// M3, M4: a waiter that leaves while the flight ends.
fn waiter_dropped_against_settle() {
    let (cache, key) = empty();
    let [leader, waiter] = begun([task(&cache, key, key, 2), endless(&cache, key)]);
    race(&cache, [wait_for(leader, key), give_up(waiter)]);
    assert_eq!(settle(&cache), [key]);
}

/// M4: a second waiter comes while the flight ends.
fn waiter_sits_down_against_settle() {
    let (cache, key) = empty();
    let [leader, first] = begun([task(&cache, key, key, 2), endless(&cache, key)]);
    let second = task(&cache, key, key + 1, 1);
    race(&cache, [wait_for(leader, key), wait_for(second, key)]);
    at_once(|| drop(first));
    assert_eq!(settle(&cache), [key]);
}

/// M4: the one that is told first leaves, too.
fn waiter_dropped_against_hand_over() {
    let (cache, key) = empty();
    let tasks = [endless(&cache, key), endless(&cache, key), task(&cache, key, key, 1)];
    let [leader, first, second] = begun(tasks);
    let leaving = job(move |_: &Cache| {
        drop(leader);
        drop(first);
    });
    race(&cache, [leaving, wait_for(second, key)]);
    assert_eq!(settle(&cache), [key]);
}

/// M2, M3: both leave at a time, and nothing is left.
fn all_dropped() {
    let (cache, key) = empty();
    let [leader, waiter] = begun([endless(&cache, key), endless(&cache, key)]);
    race(&cache, [give_up(leader), give_up(waiter)]);
    assert!(settle(&cache).is_empty());
}

/// M4: a waiter whose waker changes while the flight ends.
fn waker_changed_against_settle() {
    let (cache, key) = empty();
    let [leader, waiter] = begun([task(&cache, key, key, 2), endless(&cache, key)]);
    // The waiter has a waker that does nothing, and gets its thread's with the next poll.
    race(&cache, [wait_for(leader, key), wait_for(waiter, key)]);
    assert_eq!(settle(&cache), [key]);
}

/// M2, M4: a waiter of a flight that is detached while its leader is dropped.
fn leader_dropped_against_removal() {
    let (cache, key) = empty();
    let [leader, mut waiter] = begun([endless(&cache, key), task(&cache, key, key, 1)]);
    let removal = job(move |cache: &Cache| drop(cache.remove(&key)));
    race(&cache, [give_up(leader), removal]);
    at_once(|| {
        // It was told: one poll is enough.
        assert_eq!(poll_once(&mut waiter).expect("it has the lead").read(), key);
        drop(waiter);
    });
    assert!(settle(&cache).is_empty(), "what was removed was brought back");
}
