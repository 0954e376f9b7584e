//! Do operations of several threads on one key look as if they happened one after the other?
//!
//! A cache may forget, so the key is a *lossy register*: a miss is always allowed, but then the old
//! value must not come back; a hit gives the value written last. A load is a write at the moment at
//! which it is registered, whose value may be missed until the load has returned. So a value that
//! was loaded before an explicit write or removal must not appear after it. Short histories are
//! recorded with tickets and searched for an order that explains them.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use hotset::{Cache, Insert, Policy};

use crate::common::{POLICIES, Random, check, times, with_policy};

/// What one operation did, with the tickets of its begin and end.
#[derive(Clone, Debug)]
struct Event {
    begin: u64,
    end: u64,
    /// By when it must have taken effect: for a load when its loader began, else `end`.
    effect: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// A look-up, also by the waiter of a load.
    Hit(u64),
    Miss,
    /// A write, and what it said was there before.
    Write(u64, Option<u64>),
    /// A removal that found this, or a write that was refused.
    Remove(Option<u64>),
    /// A load that this thread led.
    Load(u64),
    /// Something else, which may push the key out.
    Other,
}

/// The value of the register, and until which ticket a miss does not forget it.
type State = Option<(u64, u64)>;

/// What the register may be after `event`, if it can happen in state `state`.
fn apply(state: State, event: &Event) -> Option<State> {
    let value = state.map(|s| s.0);
    let pending = state.is_some_and(|s| event.begin < s.1);
    match event.what {
        What::Hit(found) => (value == Some(found)).then_some(state),
        What::Miss if pending => Some(state),
        What::Miss => Some(None),
        What::Write(new, Some(old)) => (value == Some(old)).then_some(Some((new, 0))),
        What::Write(new, None) => Some(Some((new, 0))),
        What::Remove(Some(old)) => (value == Some(old)).then_some(None),
        What::Remove(None) => Some(None),
        What::Load(new) => Some(Some((new, event.end))),
        What::Other => Some(state),
    }
}

/// Whether some order of all events explains them.
fn explain(threads: &[Vec<Event>]) -> bool {
    type Key = (Vec<usize>, State);
    fn search(
        threads: &[Vec<Event>],
        at: &mut Vec<usize>,
        state: State,
        dead: &mut HashSet<Key>,
    ) -> bool {
        let next: Vec<(usize, &Event)> =
            at.iter().enumerate().filter_map(|(t, &i)| Some((t, threads[t].get(i)?))).collect();
        // Whoever must have happened first bounds who may come next.
        let Some(horizon) = next.iter().map(|(_, e)| e.effect).min() else { return true };
        if !dead.insert((at.clone(), state)) {
            return false;
        }
        for (t, event) in next {
            if event.begin > horizon {
                continue;
            }
            if let Some(after) = apply(state, event) {
                at[t] += 1;
                let found = search(threads, at, after, dead);
                at[t] -= 1;
                if found {
                    return true;
                }
            }
        }
        false
    }
    search(threads, &mut vec![0; threads.len()], None, &mut HashSet::new())
}

static CLOCK: AtomicU64 = AtomicU64::new(1);

fn tick() -> u64 {
    CLOCK.fetch_add(1, SeqCst)
}

/// One random operation on key 0, with the unique value `value`.
fn operate(cache: &Cache<u64, u64>, random: &mut Random, value: u64, other: u64) -> Event {
    let begin = tick();
    let mut effect = None;
    let what = match random.below(12) {
        0..=2 => cache.get(&0).map_or(What::Miss, What::Hit),
        3 => cache.pin().get(&0).copied().map_or(What::Miss, What::Hit),
        4..=5 => match cache.insert(0, value) {
            Insert::New => What::Write(value, None),
            Insert::Replaced(old) => What::Write(value, Some(*old)),
            _ => What::Remove(None),
        },
        6 => What::Remove(cache.remove(&0).map(|old| *old)),
        7 => match cache.replace(0, value) {
            Ok(old) => What::Write(value, Some(*old)),
            Err(_) => What::Miss,
        },
        8 => {
            // Pushes key 0 out now and then.
            drop(cache.insert(other, 0));
            What::Other
        }
        _ => {
            let found = cache.get_or_insert_with(0, || {
                effect = Some(tick());
                if value.is_multiple_of(3) {
                    thread::yield_now();
                }
                value
            });
            if effect.is_some() { What::Load(value) } else { What::Hit(found) }
        }
    };
    let end = tick();
    Event { begin, end, effect: effect.unwrap_or(end), what }
}

#[test]
fn one_hot_key() {
    POLICIES.into_iter().for_each(one_hot_key_by);
}

fn one_hot_key_by(policy: Policy) {
    const THREADS: usize = 4;
    let start = Barrier::new(THREADS);
    for round in 0..times(300) as u64 {
        let cache = with_policy(2, policy);
        let threads: Vec<Vec<Event>> = thread::scope(|scope| {
            let all: Vec<_> = (0..THREADS as u64)
                .map(|t| {
                    let (cache, start) = (&cache, &start);
                    scope.spawn(move || {
                        let mut random = Random::new(round * 64 + t + 1);
                        start.wait();
                        (0..14)
                            .map(|n| operate(cache, &mut random, 1000 * (t + 1) + n, t + 1))
                            .collect()
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(explain(&threads), "no order explains round {round}: {threads:#?}");
        check(&cache);
    }
}

#[test]
fn the_search_finds_faults() {
    let event = |begin, end, what| Event { begin, end, effect: end, what };
    // Read back after a later write.
    let stale = [
        vec![event(1, 2, What::Write(1, None)), event(3, 4, What::Write(2, Some(1)))],
        vec![event(5, 6, What::Hit(1))],
    ];
    assert!(!explain(&stale));
    // Back after a miss.
    let back = [vec![
        event(1, 2, What::Write(1, None)),
        event(3, 4, What::Miss),
        event(5, 6, What::Hit(1)),
    ]];
    assert!(!explain(&back));
    // A load that began before a removal is published after it.
    let load = Event { begin: 1, end: 9, effect: 2, what: What::Load(7) };
    let resurrected =
        [vec![load.clone()], vec![event(3, 4, What::Remove(None)), event(10, 11, What::Hit(7))]];
    assert!(!explain(&resurrected));
    // What is allowed: a miss while it is loaded, overlapping writes in either order.
    let missed = [vec![load], vec![event(3, 4, What::Miss), event(10, 11, What::Hit(7))]];
    assert!(explain(&missed));
    let overlap = [
        vec![event(1, 5, What::Write(1, None))],
        vec![event(2, 6, What::Write(2, None)), event(7, 8, What::Hit(1))],
    ];
    assert!(explain(&overlap));
}
