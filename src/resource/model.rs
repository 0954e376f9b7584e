//! What do the models see? Vaults and scheduler as they ship, in a shell that fits a model.
//!
//! Loads and closes are done by whoever steps; the locks and the waiting are loom's. The index is a map
//! under a lock of its own: like the engine's table it publishes what is put there.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::resource::gate::Kept;
use crate::resource::report::Evicted;
use crate::resource::scheduler::{Answer, Effects, Event, Id, Job, Rules, Scheduler, Tokens};
use crate::resource::vault::Vault;
use crate::sync::{AtomicU64, Condvar, Mutex};

/// A resource of a model, and its leases.
struct Shelf<R> {
    vault: Vault<R>,
    id: Id,
    key: u32,
    ticks: Arc<AtomicU64>,
}

struct Plain<R>(std::marker::PhantomData<R>);

impl<R> Tokens for Plain<R> {
    type Name = u32;
    type Spec = ();
    type Gate = Arc<Shelf<R>>;
    type Waiter = Arc<Letter<Option<Arc<Shelf<R>>>>>;
    type Caller = Arc<Letter<Option<Evicted>>>;
    type Failure = ();
}

impl<R> Kept for Shelf<R> {
    type Resource = R;

    fn vault(&self) -> &Vault<R> {
        &self.vault
    }

    fn with_ticks(&self, f: impl FnOnce(&AtomicU64)) {
        f(&self.ticks);
    }
}

/// An answer that is waited for.
struct Letter<V> {
    content: Mutex<Option<V>>,
    arrived: Condvar,
}

impl<V> Letter<V> {
    fn new() -> Arc<Self> {
        Arc::new(Self { content: Mutex::new(None), arrived: Condvar::new() })
    }

    fn deliver(&self, value: V) {
        *self.content.lock().expect("no panics here") = Some(value);
        self.arrived.notify_one();
    }

    fn wait(&self) -> V {
        let mut content = self.content.lock().expect("no panics here");
        loop {
            match content.take() {
                Some(value) => return value,
                None => content = self.arrived.wait(content).expect("no panics here"),
            }
        }
    }
}

struct Inner<R> {
    scheduler: Mutex<Scheduler<Plain<R>>>,
    index: Mutex<HashMap<u32, Arc<Shelf<R>>>>,
    ticks: Arc<AtomicU64>,
    make: fn(u64) -> R,
}

/// A resource cache in small: keys are numbers, and what is loaded for a key is `make` of it.
pub struct Shelves<R>(Arc<Inner<R>>);

impl<R> Clone for Shelves<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A lease.
pub struct Held<R> {
    shelf: Arc<Shelf<R>>,
    home: Shelves<R>,
}

impl<R> Shelves<R> {
    /// An empty cache for so many.
    pub fn new(max_entries: usize, make: fn(u64) -> R) -> Self {
        let rules = Rules {
            max_entries,
            max_weight: None,
            max_waiters: 8,
            max_loads: 8,
            max_closes: 8,
            backoff: None,
            idle_ttl: None,
            close_timeout: None,
        };
        Self(Arc::new(Inner {
            scheduler: Mutex::new(Scheduler::new(rules)),
            index: Mutex::new(HashMap::new()),
            ticks: Arc::new(AtomicU64::new(1)),
            make,
        }))
    }

    /// A lease, by a hit alone.
    pub fn hit(&self, key: u32) -> Option<Held<R>> {
        let shelf = self.0.index.lock().expect("no panics here").get(&key).cloned()?;
        let entered = shelf.vault.enter(&self.0.ticks);
        entered.then(|| Held { shelf, home: self.clone() })
    }

    /// A lease. Waits.
    pub fn lease(&self, key: u32) -> Held<R> {
        if let Some(held) = self.hit(key) {
            return held;
        }
        let letter = Letter::new();
        let waiter = Arc::clone(&letter);
        self.step(Event::Ask { name: key, spec: (), waiter, deadline: None });
        let shelf = letter.wait().expect("nobody is refused");
        Held { shelf, home: self.clone() }
    }

    /// Closes all that is idle, and the rest after its last lease. How many were idle.
    pub fn evict_all(&self) -> usize {
        let letter = Letter::new();
        self.step(Event::EvictAll { caller: Arc::clone(&letter) });
        letter.wait().expect("nobody stops").closed
    }

    /// How many there are in any state.
    pub fn charged(&self) -> usize {
        let scheduler = self.0.scheduler.lock().expect("no panics here");
        scheduler.view(Duration::ZERO).charged_entries
    }

    fn step(&self, event: Event<Plain<R>>) {
        let effects = self.0.scheduler.lock().expect("no panics here").step(Duration::ZERO, event);
        let Effects { jobs, answers, .. } = effects;
        for answer in answers {
            match answer {
                Answer::Lease { waiter, gate } => waiter.deliver(Some(gate)),
                Answer::Refuse { waiter, .. } => waiter.deliver(None),
                Answer::Evicted { caller, evicted } => caller.deliver(Some(evicted)),
                Answer::Stopped { caller, .. } => caller.deliver(None),
            }
        }
        for job in jobs {
            match job {
                Job::Estimate { .. } => unreachable!("nothing is weighed here"),
                Job::Load { id, name, .. } => {
                    let vault = Vault::new((self.0.make)(u64::from(name)));
                    let ticks = Arc::clone(&self.0.ticks);
                    let gate = Arc::new(Shelf { vault, id, key: name, ticks });
                    let mut index = self.0.index.lock().expect("no panics here");
                    index.insert(name, Arc::clone(&gate));
                    drop(index);
                    let (weight, load_time) = (None, Duration::ZERO);
                    self.step(Event::Loaded { id, gate, weight, load_time });
                }
                Job::Close { id, gate } => {
                    // SAFETY: what is to be proved: nobody is inside, and nobody else takes it.
                    let resource = unsafe { gate.vault.take() };
                    drop(resource.expect("a resource is closed twice"));
                    self.0.index.lock().expect("no panics here").remove(&gate.key);
                    self.step(Event::Closed { id, failure: None });
                }
            }
        }
    }
}

impl<R> Held<R> {
    /// Gives the lease back, up to the point where the scheduler is told; whether it is to be told.
    /// Then `look` is called, and then it is told.
    pub fn give_back(self, look: impl FnOnce(bool, &Shelves<R>)) {
        let this = std::mem::ManuallyDrop::new(self);
        let tell = this.shelf.vault.leave(None);
        look(tell, &this.home);
        this.after(tell);
    }

    fn after(&self, tell: bool) {
        if tell {
            self.home.step(Event::Released { id: self.shelf.id });
        }
    }
}

impl<R> Deref for Held<R> {
    type Target = R;

    fn deref(&self) -> &R {
        // SAFETY: what is to be proved: a lease keeps the resource.
        unsafe { self.shelf.vault.get() }
    }
}

impl<R> Clone for Held<R> {
    fn clone(&self) -> Self {
        self.shelf.vault.enter_again();
        Self { shelf: Arc::clone(&self.shelf), home: self.home.clone() }
    }
}

impl<R> Drop for Held<R> {
    fn drop(&mut self) {
        self.after(self.shelf.vault.leave(None));
    }
}
