//! Is there any order of steps in which a collector frees what a reader uses? All of them, one by one.

use super::*;
use foldhash::fast::RandomState;
use std::collections::HashSet;

/// What a planted mistake leaves out or turns round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
    None,
    /// The reader looks who fences, and then writes down what it protects.
    LooksFirst,
    /// The reader does not fence where it should.
    NeverFences,
    /// The collector takes everything for READERS.
    NoBarrier,
    /// The collector looks who fences before it has unlinked.
    LooksEarly,
    /// RETURNING becomes READERS without a barrier.
    NoReturning,
    /// Generations are all the same.
    NoGenerations,
    /// COLLECTORS becomes READERS when the system does not help.
    GivesUp,
}

/// The reader's steps, which the processor may turn round as [`may_do`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    Find,
    Write,
    Fences,
    Look,
    Use,
    Release,
}
use Read::{Fences as Asks, Find, Look, Release, Use, Write};

/// What a thread does next. All but readers do one thing after the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Unlink,
    Ask,
    Barrier,
    Answer,
    Fail,
    Free,
    HandOver,
    Hand,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Thread {
    program: &'static [Step],
    at: usize,
    /// The word as it was last read.
    word: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    word: u64,
    linked: bool,
    hazard: bool,
    freed: bool,
    /// Steps that the reader has done, whether it found the block, must fence, and saw it again.
    done: u8,
    found: bool,
    fences: bool,
    again: bool,
    threads: [Thread; 3],
}

struct Explorer {
    mistake: Mistake,
    seen: HashSet<World, RandomState>,
    wrong: bool,
}

impl Explorer {
    fn order(&self) -> [Read; 6] {
        if self.mistake == Mistake::LooksFirst {
            [Find, Asks, Write, Look, Use, Release]
        } else {
            [Find, Write, Asks, Look, Use, Release]
        }
    }

    /// Whether the processor may do the reader's `at`-th step now. What it writes, it may do late: past looks,
    /// but no fence, and not past what it writes to the same word. Looks acquire.
    fn may_do(&self, world: &World, at: usize) -> bool {
        let order = self.order();
        let done = |step| world.done & 1 << order.iter().position(|&s| s == step).unwrap() != 0;
        let fenced = world.fences && self.mistake != Mistake::NeverFences;
        !done(order[at])
            && match order[at] {
                Find => true,
                Write | Asks => done(Find),
                Look => done(Asks) && (!fenced || done(Write)),
                Use => done(Look),
                Release => done(Use) && done(Write),
            }
    }

    /// A thread that was made to pass a barrier has done all that comes before in its program, and nothing else.
    fn can_pass(world: &World) -> bool {
        world.done & (world.done + 1) == 0
    }

    fn read(&mut self, world: &World, at: usize) {
        let mut next = *world;
        match self.order()[at] {
            Find => next.found = world.linked,
            Write => next.hazard = world.found,
            Asks => next.fences = world.word & COLLECTORS == 0,
            Look => next.again = world.linked && world.found,
            Use => self.wrong |= world.again && world.freed,
            Release => next.hazard = false,
        }
        next.done |= 1 << at;
        self.explore(next);
    }

    fn exchange(&self, world: &mut World, from: u64, to: u64) {
        let kept = if self.mistake == Mistake::NoGenerations { STATE } else { u64::MAX };
        if world.word == from {
            world.word = to & kept;
        }
    }

    fn go_on(&mut self, world: &World, thread: usize) {
        let mut next = *world;
        let it = &mut next.threads[thread];
        let Some(step) = it.program.get(it.at) else { return };
        it.at += 1;
        let word = it.word;
        match step {
            Step::Unlink => next.linked = false,
            Step::Ask => it.word = world.word,
            Step::Barrier => {
                let needs = word & STATE != READERS && self.mistake != Mistake::NoBarrier;
                if needs && !Self::can_pass(world) {
                    return; // another order has it pass in such a moment
                }
            }
            Step::Answer => {
                if let Some(to) = after_barrier(word, true) {
                    self.exchange(&mut next, word, to);
                    if self.mistake == Mistake::NoReturning {
                        self.exchange(&mut next, to, after_barrier(to, true).unwrap_or(to));
                    }
                }
            }
            Step::Fail => {
                let given_up = self.mistake == Mistake::GivesUp && word & STATE == COLLECTORS;
                let ready = given_up.then(|| word - COLLECTORS + GENERATION);
                if let Some(to) = ready.or_else(|| without_barrier(word)) {
                    self.exchange(&mut next, word, to);
                }
            }
            // One that sees the hazard frees nothing.
            Step::Free => next.freed |= !world.hazard,
            Step::HandOver => {
                it.word = world.word;
                if let Some([first, _]) = handing(world.word) {
                    self.exchange(&mut next, world.word, first);
                }
            }
            Step::Hand => {
                if let Some([first, then]) = handing(word) {
                    self.exchange(&mut next, first, then);
                }
            }
        }
        self.explore(next);
    }

    fn explore(&mut self, world: World) {
        if self.wrong || !self.seen.insert(world) {
            return;
        }
        for at in 0..6 {
            if self.may_do(&world, at) {
                self.read(&world, at);
            }
        }
        (0..world.threads.len()).for_each(|thread| self.go_on(&world, thread));
    }
}

const COLLECTS: &[Step] = &[Step::Unlink, Step::Ask, Step::Barrier, Step::Answer, Step::Free];
const COLLECTS_EARLY: &[Step] = &[Step::Ask, Step::Unlink, Step::Barrier, Step::Answer, Step::Free];
/// One that has nothing of the reader's, and so only takes arrows; it may be slow.
const HELPS: &[Step] = &[Step::Ask, Step::Barrier, Step::Answer];
/// One that the system does not help.
const FAILS: &[Step] = &[Step::Ask, Step::Fail];
const TURNS: &[Step] = &[
    Step::HandOver,
    Step::Hand,
    Step::Ask,
    Step::Barrier,
    Step::Answer,
    Step::Ask,
    Step::Barrier,
    Step::Answer,
    Step::HandOver,
    Step::Hand,
    Step::Ask,
    Step::Barrier,
    Step::Answer,
];

/// A reader, a collector, one that turns the word as often as it can, and another that is in the way, slow or without
/// help; from each state. Whether what the reader uses was freed in any order of theirs, and how many worlds there are.
fn goes_wrong(mistake: Mistake) -> (bool, usize) {
    let collects = if mistake == Mistake::LooksEarly { COLLECTS_EARLY } else { COLLECTS };
    let thread = |program| Thread { program, at: 0, word: 0 };
    let (mut wrong, mut worlds) = (false, 0);
    let states = [READERS, HANDING, COLLECTORS, RETURNING];
    for (word, other) in states.into_iter().flat_map(|word| [(word, HELPS), (word, FAILS)]) {
        let mut explorer = Explorer { mistake, seen: HashSet::default(), wrong: false };
        explorer.explore(World {
            word,
            linked: true,
            hazard: false,
            freed: false,
            done: 0,
            found: false,
            fences: false,
            again: false,
            threads: [collects, TURNS, other].map(thread),
        });
        wrong |= explorer.wrong;
        worlds += explorer.seen.len();
    }
    (wrong, worlds)
}

#[test]
fn no_order_frees_what_a_reader_uses() {
    let (wrong, worlds) = goes_wrong(Mistake::None);
    println!("{worlds} worlds");
    assert!(!wrong && worlds > 10_000, "{worlds}");
}

#[test]
fn each_mistake_is_found() {
    for mistake in [
        Mistake::LooksFirst,
        Mistake::NeverFences,
        Mistake::NoBarrier,
        Mistake::LooksEarly,
        Mistake::NoReturning,
        Mistake::NoGenerations,
        Mistake::GivesUp,
    ] {
        assert!(goes_wrong(mistake).0, "{mistake:?}");
    }
}
