//! Does a stopped thread stop others? DESIGN, invariant M9: one of eight threads is stopped for a
//! second at each marked step of an insert, an eviction or a load; the others must go on, on other
//! keys and on its own.
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
    use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering::SeqCst};
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::thread;
    use std::time::Duration;

    use hotset::__pause::{STEPS, Step, set_hook};
    use hotset::Cache;

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

    const BOUND: usize = 40;
    const KEYS: u64 = 80;
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

    struct World<S> {
        cache: Cache<u64, Counted, S>,
        live: Arc<AtomicIsize>,
        end: AtomicBool,
        /// Operations that each of the others has completed.
        done: Vec<AtomicU64>,
    }

    impl<S: BuildHasher + Sync + Send> World<S> {
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
                if matches!(step, Step::Unlinked | Step::BeforeRetire) {
                    // Fills the cache faster than the others clear it, so that something leaves.
                    for key in KEYS..KEYS + 3 * BOUND as u64 {
                        self.cache.insert(key, new(key, &self.live));
                    }
                }
            }
            VICTIM.set(false);
        }

        /// One operation of another thread, half of them on the victim's key.
        fn operate(&self, dice: u64, step: Step) {
            let key = if dice & 1 == 0 { ITS } else { dice / 64 % KEYS };
            let (cache, value) = (&self.cache, || new(key, &self.live));
            // A thread that asks for a key that is being loaded waits for the load: the one wait
            // there is. Once the load has settled, nobody waits any more.
            let loads = key != ITS || step != Step::Registered;
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
                21 => cache.set_max_entries(BOUND / 2 + (dice / 64) as usize % BOUND).unwrap(),
                22 => drop(cache.remove_if(&key, |k, v| *k == v.0)),
                23 => drop(cache.coldest_first()),
                24 => assert!(cache.pin().iter().all(|(k, v)| *k == v.0)),
                _ => assert!(cache.get(&key).is_none_or(|v| v.0 == key)),
            }
        }

        fn other(&self, t: u64, step: Step) {
            let mut dice = (t + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
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

    fn stop_at<S: BuildHasher + Sync + Send>(step: Step, hasher: S) {
        let world = World {
            cache: Cache::builder().max_entries(BOUND).hasher(hasher).build().unwrap(),
            live: Arc::default(),
            end: AtomicBool::new(false),
            done: (0..OTHERS).map(|_| AtomicU64::new(0)).collect(),
        };
        for key in 0..KEYS {
            world.cache.insert(key, new(key, &world.live));
        }
        *gate() = Gate::Armed(step);
        thread::scope(|scope| {
            let world = &world;
            let end = End(&world.end);
            scope.spawn(move || world.victim(step));
            for t in 0..OTHERS {
                scope.spawn(move || world.other(t, step));
            }
            let mut state = gate();
            while *state != Gate::Stopped {
                let (next, waited) = CHANGED.wait_timeout(state, Duration::from_secs(60)).unwrap();
                assert!(!waited.timed_out(), "the victim has never come to {step:?}");
                state = next;
            }
            drop(state);
            let mut before = world.counts();
            let start: u64 = before.iter().sum();
            for quarter in 0..4 {
                thread::sleep(Duration::from_millis(250));
                let now = world.counts();
                // Whoever is stuck stays so: each of the others must go on all the time.
                assert!(
                    now.iter().zip(&before).all(|(now, before)| now > before),
                    "stuck at {step:?} in quarter {quarter}: {before:?} {now:?}"
                );
                before = now;
                assert!(world.cache.len() <= 2 * BOUND);
            }
            assert_eq!(*gate(), Gate::Stopped);
            let done = before.iter().sum::<u64>() - start;
            assert!(done > 2000, "{done} operations while one was stopped at {step:?}");
            println!("{step:?}: {done} operations of the others meanwhile");
            drop(end);
        });
        let World { cache, live, .. } = world;
        cache.validate().unwrap();
        for key in 0..KEYS {
            assert_eq!(cache.get_or_insert_with(key, || new(key, &live)).0, key);
        }
        cache.validate().unwrap();
        drop(cache);
        assert_eq!(live.load(SeqCst), 0);
        *gate() = Gate::Open;
    }

    /// One after the other: the hook is the process's.
    #[test]
    fn a_stopped_thread_stops_no_other() {
        set_hook(reached);
        for step in STEPS {
            stop_at(step, FewHomes);
            if step != Step::Tagged {
                // Rarely displaced: `Tagged` might never come.
                stop_at(step, hotset::DefaultHashBuilder::default());
            }
        }
    }
}
