//! How is a missing key loaded once by calls that do not block? One future, from asking to the value.
//!
//! ```text
//!            miss             another leads
//!  Asking ---------> ask ------------------> Waiting --- no outcome for this caller ---> Asking
//!                     |                         |
//!                     | registered              | the lead was vacant
//!                     v                         v
//!                  Leading: polls the caller's own future
//! ```
//!
//! Before it asks, a caller that met an entry which is due for a refresh, and has won that, is *Refreshing*:
//! it polls its own future, too, and nobody waits for it.
//!
//! Only the future of one that leads or refreshes is polled, from then on by this one alone; nothing is spawned. Whoever
//! drops this future at any point gives back what it has: `Joined` its seat and share, `Lead` the lead, `Refreshing`
//! the refresh, before the caller's future is dropped, so that nothing in *its* destructor can hold up those who wait.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::LoadError;
use crate::hash::Hashed;
use crate::load::Turn;
use crate::store::flight::{Asked, Joined, Lead, LoadingOne};
use crate::store::loading::finish;
use crate::store::refreshing::Refreshing;
use crate::store::sought::Sought;
use crate::store::{Store, Trace};

/// A load that waits without blocking.
///
/// `W` is what the key is sought by, `F` the caller's future, `R` says whether what it gives is a value or an
/// error `E`, and `D` puts the outcome into the caller's words.
pub(crate) struct Load<'s, K, V, W, E, F, R, D> {
    store: &'s Store<K, V>,
    hash: Hashed,
    /// Whether the caller can be told of another's failure; see `Store::get_or_load`.
    shares_failures: bool,
    stage: Stage<'s, K, V, W>,
    /// `None` once it is over: what it holds goes at once. The one field that is pinned.
    load: Option<F>,
    result: R,
    done: D,
    _error: PhantomData<fn() -> E>,
}

enum Stage<'s, K, V, W> {
    /// Nothing was done yet.
    New(W),
    Asking(W),
    Refreshing(Refreshing<'s, K, V>),
    Waiting(W, Joined<'s, K, V>),
    Leading(Lead<'s, K, V>),
    /// The load is not shared: see `Asked::Crowded`.
    Alone,
    Done,
}

impl<K, V> Store<K, V> {
    /// As `get_or_load`, without blocking.
    pub(crate) fn get_or_load_async<W, E, F, R, D, O>(
        &self,
        (hash, sought): (Hashed, W),
        shares_failures: bool,
        load: F,
        result: R,
        done: D,
    ) -> Load<'_, K, V, W, E, F, R, D>
    where
        W: Sought<K>,
        F: Future,
        R: Fn(F::Output) -> Result<V, E>,
        D: Fn(Result<V, LoadError<E>>) -> O,
    {
        Load {
            store: self,
            hash,
            shares_failures,
            stage: Stage::New(sought),
            load: Some(load),
            result,
            done,
            _error: PhantomData,
        }
    }
}

impl<K, V, W, E, F, R, D, O> Future for Load<'_, K, V, W, E, F, R, D>
where
    V: Clone,
    W: Sought<K>,
    E: Send + Sync + 'static,
    F: Future,
    R: Fn(F::Output) -> Result<V, E>,
    D: Fn(Result<V, LoadError<E>>) -> O,
{
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        // SAFETY: `load` is pinned as `self` is, and nothing is moved out of it, here or in a
        // destructor, for there is none. The other fields are never pinned.
        let Self { store, hash, shares_failures, stage, load, result, done, .. } =
            unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut load = unsafe { Pin::new_unchecked(load) };
        let _leaving = store.leaving(store.domain.owner());
        // Polls the caller's future.
        let mut run = |cx: &mut Context<'_>| {
            let load = load.as_mut().as_pin_mut().expect("a load was polled after its end");
            load.poll(cx).map(&mut *result)
        };
        let outcome = loop {
            // While user code runs, and if it panics, the stage is `Done`.
            *stage = match std::mem::replace(stage, Stage::Done) {
                Stage::New(sought) => {
                    match store.read(*hash, sought.form(), Trace::Load, |_, value| value.clone()) {
                        Some(value) => break Ok(value),
                        None => match store.begin_refresh(*hash, sought) {
                            Ok(refreshing) => Stage::Refreshing(refreshing),
                            Err(sought) => Stage::Asking(sought),
                        },
                    }
                }
                Stage::Refreshing(refreshing) => {
                    let run = |store: &Store<K, V>, key: &K| {
                        run(cx).map_ok(|value| store.arrived(key, value))
                    };
                    match refreshing.load(run) {
                        (refreshing, Poll::Ready(loaded)) => break refreshing.finish(loaded),
                        (refreshing, Poll::Pending) => {
                            *stage = Stage::Refreshing(refreshing);
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Asking(sought) => match store.ask(*hash, sought) {
                    Asked::Found(value) => break Ok(value),
                    Asked::Leads(lead) => Stage::Leading(lead),
                    Asked::Joined(sought, joined) => Stage::Waiting(sought, joined),
                    Asked::Crowded(_) => Stage::Alone,
                },
                Stage::Waiting(_, joined) if joined.is_reentrant() => {
                    break Err(LoadError::Reentrant);
                }
                Stage::Waiting(sought, mut joined) => match joined.poll(cx.waker()) {
                    Poll::Ready(Turn::Lead) => Stage::Leading(joined.into_lead()),
                    Poll::Ready(Turn::Over) => match joined.outcome(*shares_failures) {
                        Some(outcome) => break outcome,
                        None => Stage::Asking(sought),
                    },
                    Poll::Pending => {
                        *stage = Stage::Waiting(sought, joined);
                        return Poll::Pending;
                    }
                },
                Stage::Leading(lead) => {
                    let run = |key: &K| run(cx).map_ok(|value| store.arrived(key, value));
                    match LoadingOne::run(lead, run) {
                        (lead, Poll::Ready(loaded)) => break finish(lead, loaded),
                        (lead, Poll::Pending) => {
                            *stage = Stage::Leading(lead);
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Alone => match run(cx) {
                    Poll::Ready(loaded) => {
                        store.loaded_alone(loaded.is_err());
                        break loaded.map_err(|error| LoadError::Failed(Arc::new(error)));
                    }
                    Poll::Pending => {
                        *stage = Stage::Alone;
                        return Poll::Pending;
                    }
                },
                Stage::Done => panic!("a load was polled after its end"),
            };
        };
        load.set(None);
        Poll::Ready(done(outcome))
    }
}
