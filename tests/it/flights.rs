//! Do flights behave like a model that fits on a page? Arbitrary sequences of steps of several tasks,
//! of writes, and of tasks that go away.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use hotset::{Cache, LoadError};
use proptest::prelude::*;

use crate::common::{Ledger, Tracked, cases, check};

const TASKS: usize = 6;
const KEYS: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Task, key: begins to ask, without a poll.
    Start(usize, u64),
    Poll(usize),
    Drop(usize),
    /// The task's load, should it lead, will give a value, or an error, when it is polled next.
    Let(usize, bool),
    Insert(u64),
    Remove(u64),
    Clear,
    /// A call that blocks, where it would not.
    Block(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (task, key) = (0..TASKS, 0..KEYS);
    prop_oneof![
        6 => (task.clone(), key.clone()).prop_map(|(task, key)| Op::Start(task, key)),
        12 => task.clone().prop_map(Op::Poll),
        4 => task.clone().prop_map(Op::Drop),
        4 => (task, prop::bool::weighted(0.8)).prop_map(|(task, well)| Op::Let(task, well)),
        1 => key.clone().prop_map(Op::Insert),
        1 => key.clone().prop_map(Op::Remove),
        1 => Just(Op::Clear),
        2 => key.prop_map(Op::Block),
    ]
}

/// What a flight is, in the model. Tasks name flights by their number.
#[derive(Clone, Copy, Debug)]
struct Flight {
    key: u64,
    leader: Option<usize>,
    outcome: Option<Result<u64, u64>>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

type Outcome = Result<Tracked, LoadError<u64>>;

struct Task<'c> {
    key: u64,
    future: Pin<Box<dyn Future<Output = Outcome> + 'c>>,
    /// What its load gives: nothing yet, or a value or an error of this number.
    gives: Rc<Cell<Option<Result<u64, u64>>>>,
    woken: Arc<Woken>,
    /// The flight that it is in.
    flight: Option<usize>,
}

/// The model, and the tasks.
struct World<'c> {
    cache: &'c Cache<u64, Tracked>,
    ledger: Arc<Ledger>,
    entries: HashMap<u64, u64>,
    flights: Vec<Flight>,
    /// The flight that is attached to a key.
    attached: HashMap<u64, usize>,
    tasks: [Option<Task<'c>>; TASKS],
    next: u64,
}

impl<'c> World<'c> {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn members(&self, flight: usize) -> impl Iterator<Item = &Task<'c>> {
        self.tasks.iter().flatten().filter(move |task| task.flight == Some(flight))
    }

    fn start(&mut self, at: usize, key: u64) {
        self.leave(at);
        let gives: Rc<Cell<Option<Result<u64, u64>>>> = Rc::default();
        let (load, ledger) = (Rc::clone(&gives), Arc::clone(&self.ledger));
        let load = poll_fn(move |_| match load.get() {
            None => Poll::Pending,
            Some(given) => Poll::Ready(given.map(|value| ledger.make(value))),
        });
        let future = Box::pin(self.cache.try_get_or_insert_async(key, load));
        self.tasks[at] = Some(Task { key, future, gives, woken: Arc::default(), flight: None });
    }

    /// Drops a task.
    fn leave(&mut self, at: usize) {
        let Some(flight) = self.tasks[at].take().and_then(|task| task.flight) else { return };
        if self.flights[flight].leader == Some(at) {
            self.flights[flight].leader = None;
        }
        let key = self.flights[flight].key;
        if self.members(flight).next().is_none() && self.attached.get(&key) == Some(&flight) {
            self.attached.remove(&key);
        }
    }

    fn poll(&mut self, at: usize) {
        let Some(mut task) = self.tasks[at].take() else { return };
        task.woken.0.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&task.woken));
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        let expected = self.advance(at, &mut task);
        match (polled, expected) {
            (Poll::Pending, None) => self.tasks[at] = Some(task),
            (Poll::Ready(Ok(value)), Some(Ok(number))) => assert_eq!(value.n(), number),
            (Poll::Ready(Err(LoadError::Failed(error))), Some(Err(number))) => {
                assert_eq!(*error, number);
            }
            (polled, expected) => panic!("{polled:?}, expected {expected:?}"),
        }
    }

    /// What a poll of a task comes to.
    fn advance(&mut self, at: usize, task: &mut Task<'c>) -> Option<Result<u64, u64>> {
        if task.flight.is_none() {
            if let Some(value) = self.entries.get(&task.key) {
                return Some(Ok(*value));
            }
            let flight = *self.attached.entry(task.key).or_insert_with(|| {
                self.flights.push(Flight { key: task.key, leader: Some(at), outcome: None });
                self.flights.len() - 1
            });
            task.flight = Some(flight);
        }
        let number = task.flight.expect("in a flight");
        let flight = &mut self.flights[number];
        if flight.outcome.is_none() && *flight.leader.get_or_insert(at) == at {
            flight.outcome = task.gives.get();
            if let Some(outcome) = flight.outcome
                && self.attached.get(&task.key) == Some(&number)
            {
                self.attached.remove(&task.key);
                if let Ok(value) = outcome {
                    self.entries.insert(task.key, value);
                }
            }
        }
        flight.outcome
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Start(at, key) => self.start(at, key),
            Op::Poll(at) => self.poll(at),
            Op::Drop(at) => self.leave(at),
            Op::Let(at, well) => {
                let number = self.fresh();
                if let Some(task) = &self.tasks[at] {
                    task.gives.set(Some(if well { Ok(number) } else { Err(number) }));
                }
            }
            Op::Insert(key) => {
                let number = self.fresh();
                self.cache.insert(key, self.ledger.make(number));
                self.entries.insert(key, number);
                self.attached.remove(&key);
            }
            Op::Remove(key) => {
                let removed = self.cache.remove(&key).map(|old| old.n());
                assert_eq!(removed, self.entries.remove(&key));
                self.attached.remove(&key);
            }
            Op::Clear => {
                self.cache.clear();
                self.entries.clear();
                self.attached.clear();
            }
            Op::Block(key) => {
                let attached = self.attached.get(&key).map(|&flight| &mut self.flights[flight]);
                if attached.as_ref().is_some_and(|flight| flight.leader.is_some()) {
                    return; // it would wait
                }
                let number = self.next + 1;
                let value = self.cache.get_or_insert_with(key, || self.ledger.make(number)).n();
                let known = self.entries.get(&key).copied();
                assert_eq!(value, known.unwrap_or(number));
                if known.is_none() {
                    self.next = number;
                    self.entries.insert(key, number);
                    if let Some(flight) = attached {
                        flight.outcome = Some(Ok(number));
                        self.attached.remove(&key);
                    }
                }
            }
        }
    }

    /// Nobody sleeps who could go on, and what is there is what should be.
    fn look(&self) {
        for (number, flight) in self.flights.iter().enumerate() {
            let mut awake = self.members(number).map(|task| task.woken.0.load(SeqCst));
            if flight.outcome.is_some() {
                assert!(awake.all(|awake| awake), "asleep although the flight is over");
            } else if flight.leader.is_none() && self.members(number).next().is_some() {
                assert!(awake.any(|awake| awake), "nobody is told that the lead is vacant");
            }
        }
        let entries = self.cache.iter().map(|(key, value)| (key, value.n()));
        assert_eq!(entries.collect::<HashMap<_, _>>(), self.entries);
        check(self.cache);
    }
}

fn run(ops: &[Op]) {
    let ledger = Ledger::new();
    let cache = Cache::new(16);
    let mut world = World {
        cache: &cache,
        ledger: Arc::clone(&ledger),
        entries: HashMap::new(),
        flights: Vec::new(),
        attached: HashMap::new(),
        tasks: Default::default(),
        next: 0,
    };
    for op in ops {
        world.step(*op);
        world.look();
    }
    // Everybody goes on to the end, each as soon as it is woken.
    for at in 0..TASKS {
        world.step(Op::Let(at, true));
    }
    for _ in 0..TASKS {
        (0..TASKS).for_each(|at| world.poll(at));
    }
    assert!(world.tasks.iter().all(Option::is_none), "somebody waits still");
    world.look();
    let kept = world.entries.len() as isize;
    drop(world);
    cache.maintain();
    assert_eq!(cache.awaiting_reclamation(), 0);
    assert_eq!(ledger.live(), kept);
    drop(cache);
    ledger.assert_all_dropped();
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_sequence_of_steps(ops in prop::collection::vec(op(), 0..80)) {
        run(&ops);
    }
}
