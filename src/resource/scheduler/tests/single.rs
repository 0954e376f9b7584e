//! Single stories, told step by step.

use super::world::{Told, World, rules};
use crate::seed::{Seed, plant};

/// A victim that is asked for again before the scheduler hears that it is idle.
fn story_of_the_victim() {
    let mut world = World::new(rules(1, None));
    world.ask(1, None);
    world.load(0, true, None);
    let other = world.ask(2, None);
    world.release(0);
    assert!(!world.hit(1), "an idle entry for which somebody waits is out of reach");
    let again = world.ask(1, None);
    assert_eq!((world.told(other), world.told(again)), (None, None), "who came first waits for it");
    world.close(0, true);
    world.load(0, true, None);
    assert_eq!(world.told(other), Some(Told::Lease));
    world.release(0);
    world.finish();
}

#[test]
fn a_victim_is_not_revived() {
    story_of_the_victim();
}

#[test]
fn a_revived_victim_is_caught() {
    plant(Some(Seed::ReviveVictim));
    let outcome = std::panic::catch_unwind(story_of_the_victim);
    plant(None);
    assert!(outcome.is_err(), "the seed was not caught");
}

/// A release that left nobody inside, of which the scheduler hears when somebody is inside again.
fn story_of_the_late_word() {
    let mut world = World::new(rules(3, Some(10)));
    for key in [1, 2] {
        world.ask(key, None);
        world.estimate(0, Some(4));
        world.load(0, true, None);
    }
    world.ask(3, None);
    world.estimate(0, Some(9)); // waits, and one of the two would not be enough
    world.release(0); // of 1
    world.ask(1, None);
    world.unload(1);
    world.tell_scheduler(0);
    assert!(world.closes.is_empty(), "it is in use again");
    world.finish();
}

#[test]
fn a_word_that_comes_late_closes_nothing() {
    story_of_the_late_word();
}

#[test]
fn a_close_under_use_is_caught() {
    plant(Some(Seed::CloseUnderUse));
    let outcome = std::panic::catch_unwind(story_of_the_late_word);
    plant(None);
    assert!(outcome.is_err(), "the seed was not caught");
}

#[test]
fn closing_precedes_loading() {
    let mut world = World::new(rules(2, None));
    for key in [1, 2] {
        world.ask(key, None);
        world.load(0, true, None);
        world.release(0);
    }
    assert!(world.hit(1)); // now 2 is the least recently used
    world.release(0);
    world.ask(3, None);
    assert_eq!((world.loads.len(), world.closes.len()), (0, 1));
    world.close(0, true);
    assert_eq!(world.loads.len(), 1);
    assert!(world.hit(1) && !world.hit(2));
    world.finish();
}

#[test]
fn nothing_is_closed_for_a_wish_that_it_does_not_make_room_for() {
    let mut world = World::new(rules(3, Some(10)));
    let weights = [(1, 4), (2, 4), (3, 9)];
    for (key, weight) in &weights[..2] {
        world.ask(*key, None);
        world.estimate(0, Some(*weight));
        world.load(0, true, None);
    }
    world.release(0); // of 1
    world.ask(3, Some(5));
    world.estimate(0, Some(9));
    assert!(world.closes.is_empty(), "one of two would not be enough");
    assert!(!world.hit(1), "it is held for who waits");
    let again = world.ask(1, None);
    assert_eq!(world.told(again), Some(Told::Lease), "but not from who can have it meanwhile");
    world.advance(5);
    assert_eq!(world.told.borrow().last().unwrap().1, Told::Capacity);
    world.finish();
}

#[test]
fn an_estimate_above_the_limit_is_refused_at_once() {
    let mut world = World::new(rules(3, Some(10)));
    let waiter = world.ask(1, None);
    world.estimate(0, Some(11));
    assert_eq!(world.told(waiter), Some(Told::TooLarge));
    world.finish();
}

#[test]
fn more_than_was_estimated_is_taken_from_free_room_or_refused() {
    let mut world = World::new(rules(3, Some(10)));
    for (key, actual, told) in [(1, 6, Told::Lease), (2, 7, Told::Underestimated)] {
        let waiter = world.ask(key, None);
        world.estimate(0, Some(4));
        world.load(0, true, Some(actual));
        assert_eq!(world.told(waiter), Some(told));
    }
    world.finish();
}

#[test]
fn a_failure_is_shared_then_remembered_then_forgotten() {
    let mut world = World::new(rules(1, None));
    let (a, b) = (world.ask(1, None), world.ask(1, None));
    world.load(0, false, None);
    assert_eq!((world.told(a), world.told(b)), (Some(Told::Failed), Some(Told::Failed)));
    let early = world.ask(1, None);
    assert_eq!(world.told(early), Some(Told::Backoff));
    world.advance(4);
    let late = world.ask(1, None);
    world.load(0, false, None);
    assert_eq!(world.told(late), Some(Told::Failed));
    world.advance(7);
    let twice = world.ask(1, None);
    assert_eq!(world.told(twice), Some(Told::Backoff), "the second backoff is twice as long");
    world.advance(9);
    assert_eq!(world.scheduler.memory.len(), 0, "after twice its backoff it is gone");
    world.finish();
}

#[test]
fn at_most_1024_failures_are_remembered() {
    let mut world = World::new(rules(1, None));
    for key in 0..1_100 {
        world.ask(key, None);
        world.load(0, false, None);
    }
    assert_eq!(world.scheduler.memory.len(), 1_024);
    let (oldest, newest) = (world.ask(0, None), world.ask(1_099, None));
    assert_eq!((world.told(oldest), world.told(newest)), (None, Some(Told::Backoff)));
    world.finish();
}

#[test]
fn a_load_that_is_doomed_goes_to_its_waiters() {
    let mut world = World::new(rules(1, None));
    let before = world.ask(1, None);
    world.evict(true);
    let after = world.ask(1, None);
    world.load(0, true, None);
    assert_eq!((world.told(before), world.told(after)), (Some(Told::Lease), None));
    assert!(!world.hit(1));
    world.release(0);
    world.tell_scheduler(0);
    world.close(0, true);
    world.load(0, true, None);
    assert_eq!(world.told(after), Some(Told::Lease));
    world.finish();
}

#[test]
fn room_of_a_wedged_close_is_not_waited_for() {
    let mut rules = rules(2, None);
    rules.close_timeout = Some(std::time::Duration::from_secs(5));
    let mut world = World::new(rules);
    for key in [1, 2] {
        world.ask(key, None);
        world.load(0, true, None);
    }
    world.release(0);
    world.ask(3, None); // closes 1
    world.release(0); // 2 becomes idle
    assert_eq!(world.closes.len(), 1);
    world.advance(5);
    assert_eq!(world.closes.len(), 2, "2 is closed, since 1 is stuck");
    world.close(1, true);
    assert_eq!(world.loads.len(), 1);
    world.finish();
}

#[test]
fn a_bound_that_is_lowered_is_reached_and_nothing_is_loaded_before() {
    let mut world = World::new(rules(3, None));
    for key in [1, 2, 3] {
        world.ask(key, None);
        world.load(0, true, None);
    }
    world.release(2); // 3 is idle
    world.resize(1, None);
    assert_eq!(world.closes.len(), 1, "what is idle goes at once");
    world.ask(4, None);
    world.close(0, true);
    assert!(world.loads.is_empty());
    world.release(0);
    world.tell_scheduler(0);
    assert_eq!(world.closes.len(), 1, "what becomes idle follows");
    world.close(0, true);
    assert!(world.loads.is_empty());
    world.release(0);
    world.tell_scheduler(0);
    world.close(0, true);
    assert_eq!(world.loads.len(), 1);
    world.finish();
}

#[test]
fn what_has_room_and_no_thread_gives_it_back_when_the_bound_is_lowered() {
    let mut world = World::new(rules(4, None));
    for key in [1, 2, 3, 4] {
        world.ask(key, None);
    }
    assert_eq!(world.loads.len(), 2);
    world.resize(2, None);
    world.load(0, true, None);
    assert_eq!(world.loads.len(), 1, "no load starts until it fits");
    world.finish();
}
