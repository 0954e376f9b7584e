//! While the fences are handed over: may a collector and a reader that does not fence any more miss each other?
//!
//! Case 1 of `reclaim::fences`, the one in which the system's barrier has no part. In the models of the shipping code
//! readers always fence, since loom knows no such barrier; so the words and the steps are written down here once more.
//! What the other cases rest on is gone through in `reclaim::fences::orders`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

const READERS: u64 = 0b000;
const COLLECTORS: u64 = 0b001;
const HANDING: u64 = 0b010;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
    None,
    /// Who hands over goes from HANDING to COLLECTORS without a fence.
    HandsOverAtOnce,
    /// It publishes COLLECTORS, or the reader reads it, without order.
    WordWithoutOrder,
    /// The collector does not fence between the unlinking and its look at the word.
    CollectsAtOnce,
    /// Who finds HANDING, and not who wrote it, goes on without a fence.
    HelpsAtOnce,
}

/// What is shared: who fences, the slot that names the block (1) or nobody, and what the reader protects.
#[derive(Clone)]
struct Shared {
    word: Arc<AtomicU64>,
    slot: Arc<AtomicU64>,
    hazard: Arc<AtomicU64>,
}

impl Shared {
    /// Hands over, and is maybe stopped half-way.
    fn hand_over(&self, mistake: Mistake, to_the_end: bool) {
        let seen = self.word.compare_exchange(READERS, HANDING, AcqRel, Relaxed);
        if seen.is_ok() && to_the_end {
            self.go_on(mistake != Mistake::HandsOverAtOnce, mistake);
        }
    }

    fn help(&self, mistake: Mistake) {
        if self.word.load(Acquire) == HANDING {
            self.go_on(mistake != Mistake::HelpsAtOnce, mistake);
        }
    }

    fn go_on(&self, fences: bool, mistake: Mistake) {
        if fences {
            fence(SeqCst);
        }
        let order = if mistake == Mistake::WordWithoutOrder { Relaxed } else { AcqRel };
        let _ = self.word.compare_exchange(HANDING, COLLECTORS, order, Relaxed);
    }

    /// Whether the block was freed. With any other word the system's barrier comes in, and with it the other cases.
    fn collect(&self, mistake: Mistake) -> bool {
        self.slot.store(0, Release);
        if mistake != Mistake::CollectsAtOnce {
            fence(SeqCst);
        }
        self.word.load(Acquire) == READERS && self.hazard.load(Acquire) != 1
    }

    /// Whether it used the block, and whether it did without its fence.
    fn read(&self) -> (bool, bool) {
        if self.slot.load(Acquire) != 1 {
            return (false, false);
        }
        self.hazard.store(1, Release);
        let spared = self.word.load(Acquire) & COLLECTORS != 0;
        if !spared {
            fence(SeqCst);
        }
        (self.slot.load(Acquire) == 1, spared)
    }
}

/// Executions in which the block was used although it was freed, of those in which the reader did without, of all.
fn explore(mistake: Mistake, helped: bool) -> [usize; 3] {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let counted = Arc::clone(&counts);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    (builder.max_duration, builder.max_permutations, builder.checkpoint_file) = (None, None, None);
    builder.check(move || {
        let new = |value| Arc::new(AtomicU64::new(value));
        let shared = Shared { word: new(READERS), slot: new(1), hazard: new(0) };
        let [one, two, three] = [(); 3].map(|()| shared.clone());
        let collector = thread::spawn(move || one.collect(mistake));
        let reader = thread::spawn(move || two.read());
        if helped {
            let hander = thread::spawn(move || three.hand_over(mistake, false));
            shared.help(mistake);
            hander.join().unwrap();
        } else {
            shared.hand_over(mistake, true);
        }
        let (freed, (used, spared)) = (collector.join().unwrap(), reader.join().unwrap());
        for (count, met) in counted.iter().zip([used && freed, spared, true]) {
            count.fetch_add(usize::from(met), Ordering::Relaxed);
        }
    });
    [0, 1, 2].map(|count| counts[count].load(Ordering::Relaxed))
}

#[test]
fn nobody_is_missed() {
    for helped in [false, true] {
        let [missed, spared, executions] = explore(Mistake::None, helped);
        println!("fences, helped {helped}: {executions} executions, {spared} without the reader's");
        assert_eq!(missed, 0);
        assert!(spared > 100, "the reader never did without");
    }
}

#[test]
fn each_mistake_is_found() {
    use Mistake::{CollectsAtOnce, HandsOverAtOnce, HelpsAtOnce, WordWithoutOrder};
    for (mistake, helped) in [
        (HandsOverAtOnce, false),
        (WordWithoutOrder, false),
        (CollectsAtOnce, false),
        (HelpsAtOnce, true),
    ] {
        let [missed, spared, executions] = explore(mistake, helped);
        println!("{mistake:?}: {missed} of {executions} executions, {spared} without the reader's");
        assert!(missed > 0, "{mistake:?}");
    }
}
