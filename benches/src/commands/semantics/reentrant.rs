//! A loader asks its own cache for the key that it loads.

use std::sync::{Arc, Mutex};

use super::case::{Case, Outcome, Pace, Peer};
use super::loading::{Loader, loading};

pub const CASE: Case = Case {
    name: "reentrant-loader",
    asks: "a loader asks its cache for its own key: an error, and the load goes on",
    run,
};

fn run(peer: Peer, _: Pace) -> Option<Outcome> {
    let cache = loading(peer)?;
    let inner: Arc<Mutex<Option<Result<u64, String>>>> = Arc::default();
    let loader: Loader = Arc::new({
        let (cache, inner) = (Arc::clone(&cache), Arc::clone(&inner));
        move || {
            let own: Loader = Arc::new(|| Ok(1));
            let answer = cache.load(1, &own);
            *inner.lock().expect("nobody panics with it") = Some(answer);
            Ok(2)
        }
    });
    let outer = cache.load(1, &loader);
    let inner = inner.lock().expect("nobody panics with it").take();
    let observed = match &inner {
        Some(Err(error)) => format!("the loader is told: {error:?}"),
        Some(Ok(value)) => format!("the loader gets {value}, of another load inside its own"),
        None => "the loader never ran".to_owned(),
    };
    Some(Outcome::of(matches!(inner, Some(Err(_))) && outer == Ok(2), observed))
}
