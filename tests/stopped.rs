//! Does a stopped thread stop others? DESIGN, invariant M9: one of eight threads is stopped for a
//! second at each marked step of an insert, an eviction, a load, a refresh, of growth or of a
//! collection; the others must go on, on other keys and on its own. With `Policy::Clock` as well where it
//! takes steps of its own.
//!
//! To go on is to complete operations. A write may complete by being refused: a collector that is
//! stopped keeps what it took, which counts against the slack. How many are is printed.
//!
//! Needs the build with pause points: `RUSTFLAGS="--cfg hotset_pause" cargo test --test stopped`.

#[cfg(not(hotset_pause))]
#[test]
fn needs_the_pause_build() {
    eprintln!(r#"nothing checked: run with RUSTFLAGS="--cfg hotset_pause""#);
}

#[cfg(hotset_pause)]
mod stopped {
    use std::cell::Cell;
    use std::hash::{BuildHasher, Hasher};
    use std::ops::Range;
    use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering::SeqCst};
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::thread;
    use std::time::Duration;

    use hotset::__pause::{STEPS, Step, is_reached, set_hook};
    use hotset::{Cache, ManualTime, Policy};

    /// Where the victim is to stop, and whether it has.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Gate {
        Open,
        Armed(Step),
        Stopped,
        Released,
    }

    static GATE: Mutex<Gate> = Mutex::new(Gate::Open);
    static CHANGED: Condvar = Condvar::new();

    thread_local! {
        static VICTIM: Cell<bool> = const { Cell::new(false) };
    }

    fn gate() -> MutexGuard<'static, Gate> {
        GATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hook: stops the victim, once, where the gate says so.
    fn reached(step: Step) {
        if !VICTIM.get() || *gate() != Gate::Armed(step) {
            return;
        }
        *gate() = Gate::Stopped;
        CHANGED.notify_all();
        let mut state = gate();
        while *state == Gate::Stopped {
            state = CHANGED.wait(state).unwrap();
        }
    }

    /// Lets the victim go and the others end, also when an assertion fails.
    struct End<'a>(&'a AtomicBool);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
            *gate() = Gate::Released;
            CHANGED.notify_all();
        }
    }

    /// Few homes, so that most entries are displaced and most keys contend.
    #[derive(Clone, Copy)]
    struct FewHomes;

    struct LowBits(u64);

    impl BuildHasher for FewHomes {
        type Hasher = LowBits;

        fn build_hasher(&self) -> LowBits {
            LowBits(0)
        }
    }

    impl Hasher for LowBits {
        fn write(&mut self, bytes: &[u8]) {
            self.0 = u64::from(bytes[0] % 3);
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    /// One home for all keys, so that soon a further segment is needed.
    #[derive(Clone, Copy)]
    struct OneHome;

    struct Nothing;

    impl BuildHasher for OneHome {
        type Hasher = Nothing;

        fn build_hasher(&self) -> Nothing {
            Nothing
        }
    }

    impl Hasher for Nothing {
        fn write(&mut self, _: &[u8]) {}

        fn finish(&self) -> u64 {
            0
        }
    }

    const BOUND: usize = 40;
    const KEYS: u64 = 80;
    /// With one home for all, this many keys fill the first segment's share of it twice over.
    const BOUND_OF_GROWTH: usize = 100;
    const KEYS_OF_GROWTH: u64 = 200;
    /// The slots in which a first segment can keep keys of one home: 8 buckets of 6.
    const FIRST_SLOTS: usize = 48;
    /// The key that the victim works on.
    const ITS: u64 = 3;
    const OTHERS: u64 = 7;

    struct Counted(u64, Arc<AtomicIsize>);

    impl Clone for Counted {
        fn clone(&self) -> Self {
            new(self.0, &self.1)
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, SeqCst);
        }
    }

    fn new(n: u64, live: &Arc<AtomicIsize>) -> Counted {
        live.fetch_add(1, SeqCst);
        Counted(n, Arc::clone(live))
    }

    /// Entries live so long, and are refreshed at half of it; the clock is moved by hand.
    const LIFE: Duration = Duration::from_secs(2);

    fn is_timed(step: Step) -> bool {
        matches!(step, Step::Renewed | Step::RefreshDue | Step::RefreshLoaded)
    }

    fn grows(step: Step) -> bool {
        matches!(
            step,
            Step::Growing | Step::Grown | Step::Closed | Step::TakenBack | Step::Recounted
        )
    }

    /// The steps that a thread comes to with `Policy::Clock` as well when something new comes and
    /// something else leaves for it: all but those of the queue of probation.
    fn is_of_clock(step: Step) -> bool {
        matches!(
            step,
            Step::Claimed
                | Step::Tagged
                | Step::Announced
                | Step::BeforeFinalise
                | Step::Finalised
                | Step::Entering
                | Step::Unlinked
                | Step::BeforeRetire
        )
    }

    struct World<S> {
        cache: Cache<u64, Counted, S>,
        bound: usize,
        weighed: bool,
        /// Where entries have times.
        clock: Option<ManualTime>,
        keys: u64,
        live: Arc<AtomicIsize>,
        end: AtomicBool,
        /// Operations that each of the others has completed.
        done: Vec<AtomicU64>,
        /// The most entries that the one who fills has seen.
        most: AtomicUsize,
    }

    impl<S: BuildHasher + Sync + Send> World<S> {
        fn new(bound: usize, keys: u64, hasher: S) -> Self {
            Self::with_policy(Policy::default(), bound, keys, hasher)
        }

        fn with_policy(policy: Policy, bound: usize, keys: u64, hasher: S) -> Self {
            let builder = Cache::builder().max_entries(bound).policy(policy).hasher(hasher);
            Self::unweighed(bound, keys, builder.build().unwrap())
        }

        fn unweighed(bound: usize, keys: u64, cache: Cache<u64, Counted, S>) -> Self {
            Self {
                cache,
                bound,
                weighed: false,
                clock: None,
                keys,
                live: Arc::default(),
                end: AtomicBool::new(false),
                done: (0..OTHERS).map(|_| AtomicU64::new(0)).collect(),
                most: AtomicUsize::new(0),
            }
        }

        /// The same with `bound` on what entries weigh, which is one or two.
        fn weighed(policy: Policy, bound: usize, keys: u64, hasher: S) -> Self {
            let builder = Cache::builder().max_weight(bound as u64).policy(policy).hasher(hasher);
            let cache = builder.weigher(|_, value: &Counted| 1 + value.0 % 2).build().unwrap();
            Self { weighed: true, ..Self::unweighed(bound, keys, cache) }
        }

        /// A full one whose entries expire and are refreshed.
        fn timed(hasher: S) -> Self {
            let clock = ManualTime::new();
            let builder = Cache::builder().max_entries(BOUND).hasher(hasher);
            let builder = builder.time_to_live(LIFE).refresh_after(LIFE / 2);
            let cache = builder.time_source(clock.clone()).build().unwrap();
            Self { clock: Some(clock), ..Self::unweighed(BOUND, KEYS, cache) }.full()
        }

        fn advance(&self, by: Duration) {
            if let Some(clock) = &self.clock {
                clock.advance(by);
            }
        }

        fn filled(policy: Policy, hasher: S) -> Self {
            Self::with_policy(policy, BOUND, KEYS, hasher).full()
        }

        fn full(self) -> Self {
            self.fill(0..self.keys);
            self
        }

        fn fill(&self, keys: Range<u64>) {
            for key in keys {
                self.cache.insert(key, new(key, &self.live));
            }
        }

        /// What the victim does until it is stopped, and once more after that.
        fn victim(&self, step: Step) {
            VICTIM.set(true);
            while !self.end.load(SeqCst) {
                self.cache.remove(&ITS);
                let value = new(ITS, &self.live);
                if matches!(step, Step::Registered | Step::Settled) {
                    self.cache.get_or_insert_with(ITS, || value);
                } else {
                    self.cache.insert(ITS, value);
                }
                match step {
                    Step::Renewed => self.load_after(LIFE),
                    Step::RefreshDue | Step::RefreshLoaded => self.load_after(LIFE / 2),
                    // Fills the cache faster than the others clear it, so that something leaves.
                    Step::Drawn
                    | Step::Popped
                    | Step::Unlinked
                    | Step::BeforeRetire
                    | Step::Collecting
                    | Step::Freeing
                    | Step::SlabsTaken => {
                        self.fill(self.keys..self.keys + 3 * self.bound as u64);
                    }
                    Step::SlabsSorted => self.cache.maintain(),
                    Step::Growing | Step::Grown => self.fill(0..self.keys),
                    Step::Closed | Step::TakenBack | Step::Recounted => {
                        self.fill(0..self.keys);
                        self.cache.clear();
                    }
                    _ => {}
                }
            }
            VICTIM.set(false);
        }

        /// Asks for the victim's key when its entry is so old.
        fn load_after(&self, age: Duration) {
            self.advance(age);
            assert_eq!(self.cache.get_or_insert_with(ITS, || new(ITS, &self.live)).0, ITS);
        }

        /// One operation of another thread, half of them on the victim's key.
        fn operate(&self, dice: u64, step: Step) {
            let key = if dice & 1 == 0 { ITS } else { dice / 64 % self.keys };
            let (cache, value) = (&self.cache, || new(key, &self.live));
            // A thread that asks for a key that is being loaded waits for the load: the one wait
            // there is. Once the load has settled, nobody waits any more.
            let loads = key != ITS || !matches!(step, Step::Registered | Step::Renewed);
            match dice / 2 % 32 {
                0..=5 => drop(cache.insert(key, value())),
                6..=9 => drop(cache.remove(&key)),
                10..=11 => drop(cache.replace(key, value())),
                12..=15 if loads => assert_eq!(cache.get_or_insert_with(key, value).0, key),
                16 if loads => {
                    drop(cache.try_get_or_insert_with(key, || Err::<Counted, _>(())));
                }
                17 => cache.clear(),
                18 => cache.retain(|k, _| k % 2 == 0),
                19 => cache.iter().for_each(|(k, v)| assert_eq!(k, v.0)),
                20 => cache.maintain(),
                21 => {
                    let bound = self.bound / 2 + (dice / 64) as usize % self.bound;
                    if self.weighed {
                        cache.set_max_weight(bound as u64).unwrap();
                    } else {
                        cache.set_max_entries(bound).unwrap();
                    }
                }
                22 => drop(cache.remove_if(&key, |k, v| *k == v.0)),
                23 => drop(cache.coldest_first()),
                24 => assert!(cache.pin().iter().all(|(k, v)| *k == v.0)),
                25 => self.advance(LIFE / 16),
                26 => drop(cache.sweep()),
                _ => assert!(cache.get(&key).is_none_or(|v| v.0 == key)),
            }
        }

        fn other(&self, t: u64, step: Step) {
            let mut dice = (t + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            while t == 0 && grows(step) && !self.end.load(SeqCst) {
                // The others clear the cache all the time; one must need further segments, too.
                self.fill(0..self.keys);
                self.most.fetch_max(self.cache.len(), SeqCst);
                self.done[0].fetch_add(self.keys, SeqCst);
            }
            while !self.end.load(SeqCst) {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                self.operate(dice >> 8, step);
                self.done[t as usize].fetch_add(1, SeqCst);
            }
        }

        fn counts(&self) -> Vec<u64> {
            self.done.iter().map(|n| n.load(SeqCst)).collect()
        }
    }

    /// Waits until the victim is stopped.
    fn await_victim(step: Step) {
        let mut state = gate();
        while *state != Gate::Stopped {
            let (next, waited) = CHANGED.wait_timeout(state, Duration::from_secs(60)).unwrap();
            assert!(!waited.timed_out(), "the victim has never come to {step:?}");
            state = next;
        }
    }

    /// `first`: the victim comes to its step before the others begin.
    fn stop_at<S: BuildHasher + Sync + Send>(step: Step, first: bool, world: World<S>) {
        *gate() = Gate::Armed(step);
        thread::scope(|scope| {
            let world = &world;
            let end = End(&world.end);
            scope.spawn(move || world.victim(step));
            if first {
                await_victim(step);
            }
            for t in 0..OTHERS {
                scope.spawn(move || world.other(t, step));
            }
            await_victim(step);
            watch(world, &format!("{step:?}"));
            assert_eq!(*gate(), Gate::Stopped);
            if grows(step) {
                let most = world.most.load(SeqCst);
                println!("{step:?}: up to {most} entries of one home meanwhile");
                assert!(most > FIRST_SLOTS, "{most} entries: nobody else needed a segment");
            }
            drop(end);
        });
        finish(world);
    }

    /// What is refused, and how much is done, while nobody is stopped: the others unpin and end
    /// their loads late as well where there are more threads than cores.
    fn stop_nobody() {
        let world = World::filled(Policy::default(), hotset::DefaultHashBuilder::default());
        thread::scope(|scope| {
            let world = &world;
            let end = End(&world.end);
            for t in 0..OTHERS {
                scope.spawn(move || world.other(t, Step::Claimed));
            }
            watch(world, "nobody stopped");
            drop(end);
        });
        finish(world);
    }

    /// The others must go on, each of them all the time.
    fn watch<S: BuildHasher + Sync + Send>(world: &World<S>, name: &str) {
        let (mut before, stats) = (world.counts(), world.cache.stats());
        let start: u64 = before.iter().sum();
        for quarter in 0..4 {
            thread::sleep(Duration::from_millis(250));
            let now = world.counts();
            // Whoever is stuck stays so.
            assert!(
                now.iter().zip(&before).all(|(now, before)| now > before),
                "stuck at {name} in quarter {quarter}: {before:?} {now:?}"
            );
            before = now;
            assert!(world.cache.len() <= 2 * world.bound);
        }
        let done = before.iter().sum::<u64>() - start;
        assert!(done > 2000, "{done} operations while one was stopped at {name}");
        let now = world.cache.stats();
        let refused = now.not_admitted - stats.not_admitted;
        let written = now.inserts - stats.inserts + refused;
        println!(
            "{name}: {done} operations of the others meanwhile; of {written} writes {refused} \
             refused ({:.2} %), {} blocks waiting",
            100.0 * refused as f64 / written.max(1) as f64,
            now.awaiting_reclamation,
        );
    }

    /// What must hold when all threads have ended.
    fn finish<S: BuildHasher + Sync + Send>(world: World<S>) {
        let World { cache, live, keys, .. } = world;
        cache.validate().unwrap();
        for key in 0..keys {
            assert_eq!(cache.get_or_insert_with(key, || new(key, &live)).0, key);
        }
        cache.validate().unwrap();
        drop(cache);
        assert_eq!(live.load(SeqCst), 0);
        *gate() = Gate::Open;
    }

    /// A collector is stopped that holds all that the slack allows: what a long pin had kept.
    fn stop_with_all_that_waited(step: Step) {
        let world = World::new(BOUND, KEYS, hotset::DefaultHashBuilder::default());
        let pin = world.cache.pin();
        let mut key = 0;
        while world.cache.insert(key, new(key, &world.live)).is_admitted() {
            key += 1;
        }
        drop(pin);
        println!(
            "{step:?}, with {} blocks that a pin had kept:",
            world.cache.awaiting_reclamation()
        );
        stop_at(step, true, world);
    }

    /// The others reach what is in a segment whose maker has got no further than appending it.
    fn unseen_rows() {
        let world = World::new(BOUND_OF_GROWTH, KEYS_OF_GROWTH, OneHome);
        *gate() = Gate::Armed(Step::Grown);
        thread::scope(|scope| {
            let world = &world;
            let end = End(&world.end);
            scope.spawn(move || world.victim(Step::Grown));
            await_victim(Step::Grown);
            let key = world.keys;
            assert!(world.cache.insert(key, new(key, &world.live)).is_admitted());
            let listed = world.cache.iter().any(|(k, _)| k == key);
            world.cache.clear();
            let stays = world.cache.contains_key(&key);
            assert!(listed && !stays, "listed: {listed}, outlives `clear`: {stays}");
            drop(end);
        });
        finish(world);
    }

    /// Who is stopped in the middle of a survey keeps no more from being freed than one entry, so nobody else's writes are refused.
    fn stopped_in_a_survey() {
        let builder = Cache::builder().max_weight(1 << 17).weigher(|_: &u64, weight: &u64| *weight);
        let cache = builder.expected_entries(20_000).build().unwrap();
        // A little more than what it was made for, so that it has just grown.
        (0..27_000).for_each(|key| assert!(cache.insert(key, 1).is_admitted()));
        *gate() = Gate::Armed(Step::Surveyed);
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = End(&end);
            scope.spawn(|| {
                VICTIM.set(true);
                cache.maintain();
                VICTIM.set(false);
            });
            await_victim(Step::Surveyed);
            for n in 0..100_000 {
                assert!(cache.insert(1 << 32, 1000 + n % 2).is_admitted(), "refused: {n}");
                assert_eq!(cache.get(&(n % 27_000)), Some(1));
            }
            assert_eq!(*gate(), Gate::Stopped);
        });
        *gate() = Gate::Open;
        cache.validate().unwrap();
    }

    /// One after the other: the hook is the process's.
    #[test]
    fn a_stopped_thread_stops_no_other() {
        set_hook(reached);
        stop_nobody();
        stopped_in_a_survey();
        drop(World::filled(Policy::default(), FewHomes)); // so that the system was asked what it can do
        for step in STEPS.into_iter().filter(|step| *step != Step::Surveyed) {
            if !is_reached(step) {
                println!("skipped: {step:?} is not reached on this machine");
                continue;
            }
            if grows(step) {
                // The victim is to append the segment, or take it back, and no other thread before it.
                stop_at(step, true, World::new(BOUND_OF_GROWTH, KEYS_OF_GROWTH, OneHome));
                let (bound, keys) = (BOUND_OF_GROWTH, KEYS_OF_GROWTH);
                stop_at(step, true, World::weighed(Policy::default(), bound, keys, OneHome));
                continue;
            }
            if is_timed(step) {
                stop_at(step, false, World::timed(FewHomes));
                stop_at(step, false, World::timed(hotset::DefaultHashBuilder::default()));
                continue;
            }
            for policy in [Policy::Adaptive, Policy::Clock] {
                if policy == Policy::Clock && !is_of_clock(step) {
                    continue;
                }
                println!("{policy:?}:");
                stop_at(step, false, World::filled(policy, FewHomes));
                let unlinks = matches!(step, Step::Unlinked | Step::BeforeRetire);
                if policy != Policy::Clock || unlinks {
                    stop_at(step, false, World::weighed(policy, BOUND, KEYS, FewHomes).full());
                }
                if step != Step::Tagged {
                    // Rarely displaced: `Tagged` might never come.
                    let hasher = hotset::DefaultHashBuilder::default();
                    stop_at(step, false, World::filled(policy, hasher));
                }
            }
        }
        unseen_rows();
        for step in [Step::Collecting, Step::Freeing] {
            stop_with_all_that_waited(step);
        }
    }
}
