//! Who takes part in the lab? Every column of its tables, and how it replays a stream.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, ensure};
use hotset::Policy;
use indicatif::ProgressBar;

use super::stream::Stream;
use crate::peers::{Cache, Hotset, Moka, Only, QuickCache, QuickCacheOneShard, Reader};
use crate::policies::{Arc, Car, Clock, Fifo, Lirs, Lru, Opt, S3Fifo, Sieve, Simulator, TinyLfu};
use crate::workload::key;

/// hotset's policies; a new one is one line here, and has three columns.
const HOTSET: &[(&str, Policy)] = &[("adaptive", Policy::Adaptive), ("clock", Policy::Clock)];

/// Threads of the second and the third column of each.
const CROWD: usize = 8;

/// Real caches replay a short stream several times, until so many requests are made in all: hashers have
/// seeds, threads have no order, and one replay of few requests tells little. Told is the mean.
const ENOUGH: usize = 200_000;

/// The most replays of one stream by one contestant.
const MOST_REPLAYS: usize = 16;

/// Requests between two looks at a cache's size.
const LOOK: usize = 4_096;

/// What one contestant did with one stream.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// In each slice of the stream.
    pub hits: Vec<usize>,
    /// The greatest size that was seen.
    pub most_held: usize,
    /// Inserts that it refused.
    pub refused: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hotset,
    Peer,
    Simulator,
    /// Knows the future: nobody is measured against it.
    Optimum,
}

type Replay = dyn Fn(usize, &Stream, &ProgressBar) -> Outcome + Send + Sync;

/// A column of the tables.
pub struct Contestant {
    pub name: String,
    pub kind: Kind,
    pub replay: Box<Replay>,
}

/// Everybody, or those in `columns`, without those in `without` and the peers not in `only`. A
/// name stands for all columns that begin with it: "hotset" for all of its policies. A thread of a
/// crowd takes `turn` requests at a time.
pub fn contestants(
    columns: &[String],
    without: &[String],
    only: &Only,
    turn: usize,
) -> Result<Vec<Contestant>> {
    let mut all = everybody(turn);
    let named = |name: &str, of: &[String]| {
        of.iter().any(|n| {
            name == n || name.strip_prefix(n.as_str()).is_some_and(|rest| rest.starts_with(' '))
        })
    };
    for name in columns.iter().chain(without) {
        ensure!(
            all.iter().any(|contestant| named(&contestant.name, std::slice::from_ref(name))),
            "no column is called {name:?}; there are {}",
            all.iter().map(|contestant| contestant.name.as_str()).collect::<Vec<_>>().join(", ")
        );
    }
    all.retain(|contestant| {
        let admitted = match contestant.kind {
            Kind::Hotset => only.admits(Hotset::NAME),
            // "quick_cache 1s" is quick_cache.
            Kind::Peer => only.admits(contestant.name.split(' ').next().unwrap_or_default()),
            Kind::Simulator | Kind::Optimum => true,
        };
        admitted
            && (columns.is_empty() || named(&contestant.name, columns))
            && !named(&contestant.name, without)
    });
    ensure!(!all.is_empty(), "nobody takes part");
    Ok(all)
}

fn everybody(turn: usize) -> Vec<Contestant> {
    let mut all: Vec<Contestant> = HOTSET
        .iter()
        .flat_map(|&(label, policy)| {
            [
                hotset(label.to_owned(), policy, replay),
                hotset(format!("{label} {CROWD}t"), policy, move |cache, stream, bar| {
                    by_crowd(turn, stream, bar, cache, get_or_insert)
                }),
                hotset(format!("{label} {CROWD}t once"), policy, move |cache, stream, bar| {
                    by_crowd(turn, stream, bar, cache, load_once)
                }),
            ]
        })
        .collect();
    all.extend([
        peer::<QuickCache>(),
        peer::<QuickCacheOneShard>(),
        peer::<Moka>(),
        simulator::<Fifo>("FIFO"),
        simulator::<Lru>("LRU"),
        simulator::<Clock>("CLOCK"),
        simulator::<Sieve>("SIEVE"),
        simulator::<S3Fifo>("S3-FIFO"),
        simulator::<Arc>("ARC"),
        simulator::<Car>("CAR"),
        simulator::<Lirs>("LIRS"),
        simulator::<TinyLfu>("W-TinyLFU"),
        Contestant { kind: Kind::Optimum, ..simulator::<Opt>("OPT") },
    ]);
    all
}

fn hotset(
    label: String,
    policy: Policy,
    replay: impl Fn(&Hotset, &Stream, &ProgressBar) -> Outcome + Send + Sync + 'static,
) -> Contestant {
    Contestant {
        name: format!("hotset {label}"),
        kind: Kind::Hotset,
        replay: Box::new(move |entries, stream, bar| {
            mean(stream, bar, |bar| replay(&Hotset::with_policy(entries, policy), stream, bar))
        }),
    }
}

fn peer<C: Cache>() -> Contestant {
    Contestant {
        name: C::NAME.to_owned(),
        kind: Kind::Peer,
        replay: Box::new(|entries, stream, bar| {
            mean(stream, bar, |bar| replay(&C::with_capacity(entries), stream, bar))
        }),
    }
}

fn simulator<S: Simulator>(name: &str) -> Contestant {
    Contestant {
        name: name.to_owned(),
        kind: Kind::Simulator,
        replay: Box::new(|entries, stream, bar| simulate::<S>(entries, stream, bar)),
    }
}

fn simulate<S: Simulator>(entries: usize, stream: &Stream, bar: &ProgressBar) -> Outcome {
    let mut simulator = S::new(entries, &stream.trace);
    let mut outcome = Outcome::default();
    for range in stream.ranges() {
        let mut hits = 0;
        for ids in stream.trace.ids[range].chunks(LOOK) {
            hits += ids.iter().filter(|&&id| simulator.request(id)).count();
            outcome.most_held = outcome.most_held.max(simulator.len());
            bar.inc(ids.len() as u64);
        }
        outcome.hits.push(hits);
    }
    outcome
}

/// The mean of several replays, each by a new cache, if the stream is short.
fn mean(stream: &Stream, bar: &ProgressBar, replay: impl Fn(&ProgressBar) -> Outcome) -> Outcome {
    let replays = ENOUGH.div_ceil(stream.trace.ids.len().max(1)).min(MOST_REPLAYS);
    let mut outcome = replay(bar);
    for _ in 1..replays {
        let another = replay(&ProgressBar::hidden());
        for (hits, more) in outcome.hits.iter_mut().zip(another.hits) {
            *hits += more;
        }
        outcome.refused += another.refused;
        outcome.most_held = outcome.most_held.max(another.most_held);
    }
    let of_one = |all: &mut usize| *all = (*all + replays / 2) / replays;
    outcome.hits.iter_mut().for_each(of_one);
    of_one(&mut outcome.refused);
    outcome
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Hit,
    Loaded,
    Refused,
}

/// A get, and an insert on a miss: who asks for what another one is about to insert misses, too.
fn get_or_insert<C: Cache>(cache: &C, id: u32) -> Met {
    // One to one, so the trace stays what it is; see `key` for what is gained.
    let number = u64::from(id);
    if cache.get(key(number)).is_some() {
        Met::Hit
    } else if cache.insert(key(number), number) {
        Met::Loaded
    } else {
        Met::Refused
    }
}

/// A load through the cache: who asks for what another one is about to load waits for it, and has not loaded.
fn load_once(cache: &Hotset, id: u32) -> Met {
    let (number, mut met) = (u64::from(id), Met::Hit);
    cache.load(key(number), || {
        met = Met::Loaded;
        number
    });
    met
}

#[derive(Default)]
struct Counts {
    hits: usize,
    refused: usize,
}

impl Counts {
    fn add(&mut self, met: Met) {
        self.hits += usize::from(met == Met::Hit);
        self.refused += usize::from(met == Met::Refused);
    }
}

fn replay<C: Cache>(cache: &C, stream: &Stream, bar: &ProgressBar) -> Outcome {
    let mut outcome = Outcome::default();
    for range in stream.ranges() {
        let mut counts = Counts::default();
        for ids in stream.trace.ids[range].chunks(LOOK) {
            ids.iter().for_each(|&id| counts.add(get_or_insert(cache, id)));
            outcome.most_held = outcome.most_held.max(cache.held());
            bar.inc(ids.len() as u64);
        }
        outcome.hits.push(counts.hits);
        outcome.refused += counts.refused;
    }
    outcome
}

/// Several threads take the stream in turns of so many requests.
fn by_crowd(
    turn: usize,
    stream: &Stream,
    bar: &ProgressBar,
    cache: &Hotset,
    request: fn(&Hotset, u32) -> Met,
) -> Outcome {
    let mut outcome = Outcome::default();
    for range in stream.ranges() {
        let ids = &stream.trace.ids[range];
        let next = AtomicUsize::new(0);
        let work = || {
            let (mut counts, mut most_held) = (Counts::default(), 0);
            loop {
                let at = next.fetch_add(turn, Relaxed);
                let end = ids.len().min(at + turn);
                let Some(ids) = ids.get(at..end).filter(|ids| !ids.is_empty()) else {
                    return (counts, most_held);
                };
                ids.iter().for_each(|&id| counts.add(request(cache, id)));
                // Whoever had one of so many requests, the first of all included.
                if at.next_multiple_of(LOOK) < at + turn {
                    most_held = most_held.max(cache.held());
                    bar.inc(LOOK as u64);
                }
            }
        };
        let done: Vec<(Counts, usize)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..CROWD).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect()
        });
        outcome.hits.push(done.iter().map(|(counts, _)| counts.hits).sum());
        outcome.refused += done.iter().map(|(counts, _)| counts.refused).sum::<usize>();
        let most_held = done.iter().map(|&(_, held)| held).max().unwrap_or(0);
        outcome.most_held = outcome.most_held.max(most_held);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::stream::{SLICES, parts};
    use super::*;
    use crate::numbered::Numbered;

    fn names(columns: &[&str], without: &[&str]) -> Result<Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let found = contestants(&owned(columns), &owned(without), &Only::default(), 1)?;
        Ok(found.into_iter().map(|contestant| contestant.name).collect())
    }

    #[test]
    fn columns_are_chosen_by_name_or_by_its_first_word() {
        assert_eq!(names(&["OPT", "LRU"], &[]).unwrap(), ["LRU", "OPT"]);
        assert_eq!(names(&["hotset"], &[]).unwrap().len(), 3 * HOTSET.len());
        let all = names(&[], &[]).unwrap().len();
        assert_eq!(names(&[], &["hotset", "moka"]).unwrap().len(), all - 3 * HOTSET.len() - 1);
        assert!(names(&["hot"], &[]).is_err() && names(&[], &["2Q"]).is_err());
        assert!(names(&["OPT"], &["OPT"]).is_err());
    }

    #[test]
    fn everybody_replays_every_request_of_every_slice() {
        // A loop that fits: all but the first round hits, whoever replays it.
        let ids: Vec<u32> = (0..100_000).map(|i| i % 500).collect();
        let trace = Numbered { name: "loop".to_owned(), ids, unique: 500 };
        let parts = parts("loop").unwrap();
        let stream = Stream::concat("loop", &parts, &|_| Ok(trace.clone())).unwrap();
        let in_turns = everybody(64).into_iter().filter(|it| it.name.contains("8t"));
        for contestant in everybody(1).into_iter().chain(in_turns) {
            let outcome = (contestant.replay)(2_000, &stream, &ProgressBar::hidden());
            assert_eq!(outcome.hits.len(), SLICES, "{}", contestant.name);
            let hits: usize = outcome.hits.iter().sum();
            // Threads of a crowd may both miss what neither has put in yet, unless it is loaded once.
            let least = 99_500 - if contestant.name.ends_with('t') { 500 } else { 0 };
            assert!((least..=99_500).contains(&hits), "{}: {hits}", contestant.name);
            assert_eq!(outcome.refused, 0, "{}", contestant.name);
            assert!(outcome.most_held > 0, "{}", contestant.name);
        }
    }

    #[test]
    fn a_short_stream_is_replayed_until_it_is_enough() {
        for (requests, replays) in [(1_000, 16), (50_001, 4), (50_000, 4), (200_000, 1)] {
            let trace = Numbered { name: "x".to_owned(), ids: vec![0; requests], unique: 1 };
            let made = AtomicUsize::new(0);
            let outcome = mean(&Stream::whole(trace), &ProgressBar::hidden(), |_| {
                let hits = made.fetch_add(1, Relaxed);
                Outcome { hits: vec![hits, 7], most_held: hits, refused: 1 }
            });
            assert_eq!(made.into_inner(), replays);
            // 0, 1, 2 .. : the mean is half of the last, which is the greatest.
            let last = replays - 1;
            assert_eq!(outcome.hits, [last.div_ceil(2), 7]);
            assert_eq!((outcome.most_held, outcome.refused), (last, 1));
        }
    }
}
