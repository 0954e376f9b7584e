//! Are values that have left bounded, too? Live values at a bound of 1,000, sampled from outside,
//! while writers are never refused their progress and readers hold pins.

use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use hotset::{Cache, Policy};

use crate::common::{Ledger, POLICIES, Random, Stop, Tracked, check, stress_time, with_policy};

const BOUND: usize = 1000;
/// As `Builder::reclamation_slack` documents: an eighth of the bound, 1,024 at least.
const SLACK: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    None,
    /// Pins again and again, for a millisecond each.
    Short,
    /// Keeps one pin throughout.
    ForGood,
    /// Is in the middle of a `with` throughout.
    InWith,
}

/// Runs `write` in `writers` threads beside a reader. Live values must stay within the bound.
fn run(
    writers: usize,
    reader: Reader,
    in_hand: usize,
    policy: Policy,
    write: impl Fn(&Cache<u64, Tracked>, &mut dyn FnMut() -> Tracked, &mut Random) + Sync,
) {
    let ledger = Ledger::new();
    let cache: Cache<u64, Tracked> = with_policy(BOUND, policy);
    let stop = Stop::default();
    let most = AtomicIsize::new(0);
    // Two for each thread that uses the cache; this one only looks on. A loader's caller also
    // holds a clone, which is the user's.
    let threads = writers + usize::from(reader != Reader::None);
    let limit = (BOUND + SLACK + 2 * threads + in_hand * writers) as isize;
    thread::scope(|scope| {
        for t in 0..writers as u64 {
            let (cache, stop, ledger, write, most) = (&cache, &stop, &ledger, &write, &most);
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                let mut value = || {
                    let value = ledger.make(0);
                    most.fetch_max(ledger.live(), SeqCst);
                    value
                };
                while !stop.said() {
                    write(cache, &mut value, &mut random);
                }
            });
        }
        scope.spawn(|| match reader {
            Reader::None => {}
            Reader::Short => {
                while !stop.said() {
                    let pinned = cache.pin();
                    pinned.get(&1);
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Reader::ForGood => {
                let pinned = cache.pin();
                while !stop.said() {
                    assert!(pinned.iter().take(10).all(|(_, v)| v.n() == 0));
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Reader::InWith => {
                while !stop.said() {
                    cache.with(&1, |_, value| {
                        while !stop.said() {
                            assert_eq!(value.n(), 0);
                            thread::sleep(Duration::from_millis(1));
                        }
                    });
                }
            }
        });
        let _stop = stop.at_end();
        let end = Instant::now() + stress_time() / 2;
        while Instant::now() < end {
            most.fetch_max(ledger.live(), SeqCst);
            thread::yield_now();
        }
    });
    let (most, stats) = (most.into_inner(), cache.stats());
    let refused = stats.not_admitted as f64 / (stats.inserts + stats.not_admitted).max(1) as f64;
    println!(
        "{policy:?}, {writers} writers, reader: {reader:?}: {most} alive at most, {limit} allowed; \
         {:.2} % of {} writes refused",
        100.0 * refused,
        stats.inserts + stats.not_admitted,
    );
    assert!(most <= limit, "{most} live values, at most {limit} allowed");
    if !matches!(reader, Reader::Short | Reader::ForGood) && writers <= 2 {
        assert!(refused < 0.05, "{refused:.3} of all writes refused although nobody pins");
    }
    check(&cache);
    cache.clear();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    ledger.assert_all_dropped();
}

/// New keys, all evicting; some removals; some values replaced.
fn churn(cache: &Cache<u64, Tracked>, value: &mut dyn FnMut() -> Tracked, random: &mut Random) {
    let key = random.below(4 * BOUND as u64);
    match random.below(16) {
        0 => drop(cache.remove(&key)),
        _ => drop(cache.insert(key, value())),
    }
}

/// Read-through: the values of loads count, whether they are admitted or not.
fn read_through(
    cache: &Cache<u64, Tracked>,
    value: &mut dyn FnMut() -> Tracked,
    random: &mut Random,
) {
    let key = random.below(4 * BOUND as u64);
    match random.below(8) {
        0 => drop(cache.try_get_or_insert_with(key, || Err::<Tracked, _>(value()))),
        _ => cache
            .with(&key, |_, _| ())
            .unwrap_or_else(|| drop(cache.get_or_insert_with(key, value))),
    }
}

/// New values of old keys only.
fn replace(cache: &Cache<u64, Tracked>, value: &mut dyn FnMut() -> Tracked, random: &mut Random) {
    let key = random.below(BOUND as u64 / 2);
    if let Err((key, value)) = cache.replace(key, value()) {
        drop(cache.insert(key, value));
    }
}

macro_rules! bounds {
    (in hand $in_hand:literal; $($name:ident: $write:ident by $writers:literal beside $reader:ident;)*) => {
        $(#[test]
        fn $name() {
            for policy in POLICIES {
                run($writers, Reader::$reader, $in_hand, policy, $write);
            }
        })*
    };
}

bounds! {
    in hand 0;
    churn_by_two: churn by 2 beside None;
    churn_by_eight: churn by 8 beside None;
    churn_by_two_with_short_pins: churn by 2 beside Short;
    churn_by_eight_with_short_pins: churn by 8 beside Short;
    churn_by_two_with_a_pin_for_good: churn by 2 beside ForGood;
    churn_by_eight_with_a_pin_for_good: churn by 8 beside ForGood;
    churn_by_eight_with_a_read_that_stays: churn by 8 beside InWith;
    replacing_by_two: replace by 2 beside None;
    replacing_by_two_with_a_pin_for_good: replace by 2 beside ForGood;
}

bounds! {
    in hand 1;
    loads_by_two: read_through by 2 beside None;
    loads_by_eight_with_short_pins: read_through by 8 beside Short;
    loads_by_two_with_a_pin_for_good: read_through by 2 beside ForGood;
}
