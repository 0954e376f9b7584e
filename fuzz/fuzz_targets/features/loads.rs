//! What must a load give? By a call, by a future, of one key and of many.

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hotset::LoadError;

use crate::Op;
use crate::values::{Boom, End, KEYS, Loader, Spec};
use crate::world::{Met, Outcome, Task, World};

/// Futures that are there at a time.
const TASKS: usize = 6;

impl<'c> World<'c> {
    /// What a load gave, whose loader ran to its end or did not.
    pub(crate) fn check_outcome(
        &self,
        loader: Loader,
        met: Met,
        ended: bool,
        outcome: Option<&Outcome>,
    ) {
        let gave = self.maker.last.get();
        match (outcome, loader.end) {
            (None, end) => {
                assert!(ended && (end == End::Panic || !loader.fallible && end == End::Failure))
            }
            (Some(Ok(value)), End::Value) if ended => assert_eq!(*value.0, gave),
            (Some(outcome), End::Failure) if ended => match (outcome, met) {
                (Ok(value), Met::Due(old)) => {
                    assert_eq!(*value.0, old);
                    let entry = self.map.get(&loader.key).filter(|entry| entry.n == old);
                    assert!(entry.is_none_or(|entry| !self.is_over(entry)), "it is over");
                }
                (Err(LoadError::Failed(key)), met) => {
                    assert_eq!(**key, loader.key);
                    assert!(!matches!(met, Met::Due(old) if self.seen(loader.key) == Some(old)));
                }
                (outcome, met) => panic!("{outcome:?}, {met:?}"),
            },
            (Some(Ok(value)), _) if !ended => match met {
                Met::Value(n) => assert_eq!(*value.0, n),
                _ => panic!("{value:?} of nobody"),
            },
            (outcome, end) => panic!("{outcome:?}, though the loader ended with {end:?}"),
        }
    }

    pub(crate) fn load(&mut self, loader: Loader, inside: Vec<Op>) {
        let key = loader.key;
        if self.flights.contains_key(&key) {
            return; // it would wait for ever
        }
        let met = self.meet(key, true);
        let (cache, maker) = (self.cache, Rc::clone(&self.maker));
        let mut ended = false;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let load = || {
                self.run(inside);
                ended = true;
                maker.end(loader)
            };
            if loader.fallible {
                return match loader.by_ref {
                    true => cache.try_get_or_insert_with_by_ref(&key, load),
                    false => cache.try_get_or_insert_with(key, load),
                };
            }
            let load = || load().unwrap_or_else(|_| resume_unwind(Box::new(Boom)));
            Ok(match loader.by_ref {
                true => cache.get_or_insert_with_by_ref(&key, load),
                false => cache.get_or_insert_with(key, load),
            })
        }));
        self.loaded(loader, met, ended, outcome.ok());
    }

    /// A load of one key has ended; its loader has run, or not.
    pub(crate) fn loaded(
        &mut self,
        loader: Loader,
        met: Met,
        ended: bool,
        outcome: Option<Outcome>,
    ) {
        self.check_outcome(loader, met, ended, outcome.as_ref());
        assert_eq!(ended, !matches!(met, Met::Value(_)));
        if ended {
            let gave = (loader.end == End::Value).then(|| self.maker.last.get());
            self.landed(loader.key, met, gave);
        }
        self.settle();
        self.put_off(loader.key, met);
    }

    pub(crate) fn load_many(
        &mut self,
        keys: &[u8],
        (spec, mask, end): (Spec, u8, End),
        inside: Vec<Op>,
    ) {
        let keys = keys.iter().map(|key| key % KEYS);
        let keys: Vec<u8> = keys.filter(|key| !self.flights.contains_key(key)).collect();
        let found: Vec<Option<u64>> = keys.iter().map(|&key| self.used(key)).collect();
        let missing = keys.iter().filter(|key| self.seen(**key).is_none()).copied();
        let missing: HashSet<u8> = missing.collect();
        let flights: Vec<(u8, Met)> =
            missing.iter().map(|&key| (key, Met::Flight(self.join(key, true)))).collect();
        let (cache, maker) = (self.cache, Rc::clone(&self.maker));
        let (mut gave, mut inside) = (HashMap::new(), Some(inside));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            cache.load_many(keys.iter().copied(), |asked: &[&u8]| {
                let asked: Vec<u8> = asked.iter().map(|key| **key).collect();
                assert_eq!(
                    (asked.len(), asked.iter().copied().collect()),
                    (missing.len(), missing.clone())
                );
                self.run(inside.take().expect("one call"));
                match end {
                    End::Value => {}
                    End::Failure => return Err(mask),
                    End::Panic => resume_unwind(Box::new(Boom)),
                }
                // Besides, a key that nobody asked for, and second values.
                let mut values = vec![(KEYS, maker.value(spec))];
                for key in asked.into_iter().filter(|key| key & mask == 0) {
                    let value = maker.loaded(key, spec);
                    gave.insert(key, *value.0);
                    values.extend([(key, value), (key, maker.value(spec))]);
                }
                Ok(values)
            })
        }));
        assert_eq!(inside.is_none(), !missing.is_empty());
        assert_eq!(outcome.is_err(), end == End::Panic && !missing.is_empty());
        let outcomes = outcome.into_iter().flatten();
        for ((key, found), outcome) in keys.iter().zip(found).zip(outcomes) {
            match outcome {
                Ok(value) => assert_eq!(Some(*value.0), found.or(gave.get(key).copied())),
                Err(LoadError::Missing) => assert!(end == End::Value && key & mask != 0),
                Err(LoadError::Failed(error)) => assert!(end == End::Failure && *error == mask),
                Err(error) => panic!("{error:?}"),
            }
        }
        for (key, met) in flights {
            self.landed(key, met, gave.get(&key).copied());
        }
    }

    pub(crate) fn spawn(&mut self, loader: Loader, pauses: u8) {
        if self.tasks.len() == TASKS {
            return;
        }
        let (cache, maker) = (self.cache, Rc::clone(&self.maker));
        let load = async move {
            for _ in 0..pauses % 4 {
                let mut first = true;
                let pause = |_: &mut Context<'_>| {
                    if take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
                };
                std::future::poll_fn(pause).await;
            }
            maker.end(loader)
        };
        let future: Pin<Box<dyn Future<Output = Outcome> + 'c>> = if loader.fallible {
            Box::pin(cache.try_get_or_insert_async(loader.key, load))
        } else {
            let load = async { load.await.unwrap_or_else(|_| resume_unwind(Box::new(Boom))) };
            let future = cache.get_or_insert_async(loader.key, load);
            Box::pin(async { Ok(future.await) })
        };
        self.tasks.push(Task { loader, future, met: None });
        self.poll(self.tasks.len() - 1);
    }

    pub(crate) fn poll(&mut self, at: usize) {
        let key = self.tasks[at].loader.key;
        if self.flights.get(&key).is_some_and(|flight| flight.1) {
            return; // a loader on the stack loads the key
        }
        let mut task = self.tasks.swap_remove(at);
        let loader = task.loader;
        let before = self.seen(key);
        let (mut met, since) = match task.met {
            Some(known) => known,
            None => (self.meet(key, false), self.maker.last.get()),
        };
        self.maker.ended.set(false);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut cx)));
        let (ended, pending) = (self.maker.ended.get(), matches!(polled, Ok(Poll::Pending)));
        if let Met::Flight(old) = met
            && self.over.contains(&old)
            && (ended || pending)
        {
            met = Met::Flight(self.join(key, false)); // it was not told of the outcome, and asked again
        }
        if pending {
            assert!(!matches!(met, Met::Value(_)));
            task.met = Some((met, since));
            return self.tasks.push(task);
        }
        drop(task);
        let outcome = polled.ok().map(|polled| match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => unreachable!("seen above"),
        });
        if let (Met::Flight(_), false) = (met, ended) {
            // Another one has loaded it.
            match outcome {
                Some(Ok(value)) => assert!(*value.0 > since || Some(*value.0) == before),
                Some(Err(LoadError::Failed(error))) => assert!(loader.fallible && *error == key),
                Some(Err(LoadError::Panicked)) => assert!(loader.fallible),
                outcome => panic!("{outcome:?}"),
            }
            return self.settle();
        }
        if let Met::Flight(flight) = met {
            self.over.insert(flight);
        }
        self.loaded(loader, met, ended, outcome);
    }

    pub(crate) fn cancel(&mut self, at: usize) {
        let Task { loader, met, future } = self.tasks.swap_remove(at);
        drop(future);
        let Some((met, _)) = met else { return };
        self.put_off(loader.key, met);
        // The last who takes part in a flight takes it along.
        let takes_part = |task: &Task<'_>| task.met.is_some_and(|(other, _)| other == met);
        if let Met::Flight(flight) = met
            && !self.tasks.iter().any(takes_part)
            && self.flights.get(&loader.key).is_some_and(|is| is.0 == flight)
        {
            self.flights.remove(&loader.key);
        }
    }
}
