//! Does a cache with any of its features do what their documentation says? Times, weights, refreshes,
//! loads of all kinds, in one thread, against a map that forgets only what the listener was told of, and
//! believes the listener only what is possible at that moment.

#![no_main]

#[path = "../few.rs"]
mod few;
mod loads;
mod steps;
mod values;
mod world;

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use arbitrary::Arbitrary;
use few::Few;
use hotset::{Cache, Cause, ManualTime, Policy};
use libfuzzer_sys::fuzz_target;
use values::{End, KEYS, Loader, Maker, START, Spec, Value, at_least_one, heft, nanos, units};
use world::{Features, Told, World};

#[derive(Arbitrary, Debug)]
struct Input {
    setup: Setup,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
struct Setup {
    /// The bound; if it is unbounded, for how many the table is built.
    entries: u8,
    /// Bounded by weight alone, if weight is bounded.
    unbounded: bool,
    max_weight: Option<u8>,
    /// How many different hashes there are.
    hashes: u8,
    /// `Policy::Clock`, else the default.
    clock: bool,
    stats: bool,
    to_live: Option<u8>,
    to_idle: Option<u8>,
    /// Values say themselves how long they live.
    own: bool,
    refresh: Option<u8>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum How {
    Get,
    With,
    Pinned,
    Peek,
    Contains,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    Insert(Spec),
    Remove,
    Keep,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(u8, Spec),
    Read(u8, How),
    GetMany(Vec<u8>),
    Replace(u8, Spec),
    Remove(u8),
    RemoveIf(u8, bool),
    Compute(u8, Change),
    /// What the loader does before it ends, too.
    Load(Loader, Vec<Op>),
    /// The loader leaves out keys with a bit of the mask.
    LoadMany {
        keys: Vec<u8>,
        spec: Spec,
        mask: u8,
        end: End,
        inside: Vec<Op>,
    },
    /// A load by a future, which is pending some times and is polled once now.
    Spawn(Loader, u8),
    Poll(u8),
    Cancel(u8),
    Retain(u8),
    Clear,
    Sweep,
    Maintain,
    Iterate,
    /// Into another cache, so much later.
    Carry(u8),
    SetEntries(u8),
    SetWeight(u8),
    Advance(u8),
}

fn build(setup: &Setup, told: &Told, time: &ManualTime) -> Features {
    let log = Arc::clone(told);
    let entries = 1 + usize::from(setup.entries % KEYS);
    let mut builder = Cache::builder()
        .policy(if setup.clock { Policy::Clock } else { Policy::Adaptive })
        .stats(setup.stats)
        .hasher(Few(setup.hashes))
        .time_source(time.clone())
        .on_evict(move |k: &u8, v: &Value, cause| log.lock().unwrap().push((*k, *v.0, cause)));
    if let Some(max) = setup.max_weight {
        builder = builder.max_weight(heft(max).max(1)).weigher(|_, value| heft(value.1.weight));
    }
    builder = match setup.max_weight {
        Some(_) if setup.unbounded => builder.expected_entries(entries),
        _ => builder.max_entries(entries),
    };
    if let Some(time) = setup.to_live {
        builder = builder.time_to_live(at_least_one(time));
    }
    if let Some(time) = setup.to_idle {
        builder = builder.time_to_idle(at_least_one(time));
    }
    if setup.own {
        builder = builder.expire_with(|_, value| value.1.life.map(units));
    }
    if let Some(age) = setup.refresh {
        builder = builder.refresh_after(at_least_one(age));
    }
    builder.build().unwrap()
}

fuzz_target!(|input: Input| {
    let (told, time) = (Told::default(), ManualTime::new());
    let cache = build(&input.setup, &told, &time);
    let maker = Rc::new(Maker::default());
    let mut world = World {
        cache: &cache,
        setup: &input.setup,
        time,
        now: nanos(START),
        map: HashMap::new(),
        maker: Rc::clone(&maker),
        told: Arc::clone(&told),
        due: Vec::new(),
        left: HashMap::new(),
        tasks: Vec::new(),
        flights: HashMap::new(),
        last_flight: 0,
        over: HashSet::new(),
    };
    world.run(input.ops);
    while !world.tasks.is_empty() {
        world.cancel(0);
    }
    world.settle();
    cache.validate().unwrap();
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert_eq!(maker.live.load(SeqCst), world.map.len() as isize);
    let stats = cache.stats();
    for cause in [Cause::Capacity, Cause::Expired, Cause::Replaced, Cause::Removed, Cause::Rejected]
    {
        assert_eq!(stats.evictions(cause), world.left.get(&cause).copied().unwrap_or(0));
    }
    assert!(input.setup.stats || (stats.hits, stats.misses) == (0, 0));
    // No key is wedged.
    let spec = Spec { weight: 1, life: None };
    for key in 0..KEYS {
        world
            .load(Loader { key, spec, end: End::Value, fallible: true, by_ref: false }, Vec::new());
    }
    assert!(world.flights.is_empty());
    // Of who is left the listener is told at the end of the cache.
    let cause = |entry| if world.is_over(entry) { Cause::Expired } else { Cause::Removed };
    let rest = world.map.iter().map(|(key, entry)| (*key, entry.n, cause(entry)));
    let rest: HashSet<(u8, u64, Cause)> = rest.collect();
    drop(world);
    drop(cache);
    let told = take(&mut *told.lock().unwrap());
    assert_eq!((told.len(), told.into_iter().collect()), (rest.len(), rest));
    assert_eq!(maker.live.load(SeqCst), 0);
});
