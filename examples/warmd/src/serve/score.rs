//! `POST /score`: how surprising are these texts to this model, with and without its adapter?
//!
//! ```text
//!   {"spec": {"model": "m00", "adapter": "m00-code"}, "texts": ["..."]}
//!   {"key": .., "scores": [{"bytes": .., "base_nll": .., "adapted_nll": .., "difference": ..}]}
//! ```
//!
//! Scores are negative log-likelihoods in nats over the whole text. A client that leaves while it
//! waits is dropped where it stands: it leaves the queue, and a load that it began goes on.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::App;
use super::http::{self, Answer};
use super::refusal::Refusal;
use crate::backend::UsedAfterClose;
use crate::ledger::millis;
use crate::model::Surprise;
use crate::pool::Held;
use crate::spec::{ModelId, ModelSpec, Wanted};

const MOST_TEXTS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoreRequest {
    spec: Wanted,
    texts: Vec<String>,
}

#[derive(Serialize)]
struct Scores {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Arc<str>>,
    scores: Vec<Score>,
}

#[derive(Serialize)]
struct Score {
    bytes: usize,
    base_nll: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapted_nll: Option<f64>,
    /// Adapted less base: negative where the adapter helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<f64>,
}

impl Score {
    fn new(text: &str, surprise: Surprise) -> Self {
        let Surprise { base, adapted } = surprise;
        let difference = adapted.map(|adapted| adapted - base);
        Self { bytes: text.len(), base_nll: base, adapted_nll: adapted, difference }
    }
}

/// A backend that a request holds, and how it came by it.
struct Warm {
    held: Held,
    spec: Arc<ModelSpec>,
    id: ModelId,
    hit: bool,
    wait_ms: u64,
}

pub async fn score(app: &Arc<App>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    if app.is_draining() {
        return Err(Refusal::shutting_down());
    }
    let _place =
        app.requests.try_acquire().map_err(|_| Refusal::too_many_requests(app.max_requests))?;
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
        return Err(Refusal::not_json());
    }
    let body = http::body(request, app.max_body).await?;
    let ScoreRequest { spec, texts } = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("the body is no score request: {error}")))?;
    if !(1..=MOST_TEXTS).contains(&texts.len()) {
        let given = texts.len();
        return Err(Refusal::bad_request(format!("texts must be 1 to {MOST_TEXTS}, got {given}")));
    }
    let Warm { held, spec, id, hit, wait_ms } = acquire(app, spec).await?;
    let load_ms = held.load_time().map(millis);
    let scores = compute(app, held, texts).await?;
    let body = Scores { key: id.to_string(), label: spec.label.clone(), scores };
    let mut answer = http::json(StatusCode::OK, &body);
    let headers = answer.headers_mut();
    let outcome = if hit { "hit" } else { "waited" };
    headers.insert("x-warmd-cache", HeaderValue::from_static(outcome));
    headers.insert("x-warmd-wait-ms", HeaderValue::from(wait_ms));
    if let Some(load_ms) = load_ms {
        headers.insert("x-warmd-load-ms", HeaderValue::from(load_ms));
    }
    Ok(answer)
}

/// Loads a model for later.
pub async fn warm(app: &Arc<App>, name: &str) -> Result<(), Refusal> {
    acquire(app, Wanted::plain(name)).await.map(drop)
}

async fn acquire(app: &Arc<App>, wanted: Wanted) -> Result<Warm, Refusal> {
    let mut tries = 2;
    loop {
        let library = app.library.clone();
        let asked = wanted.clone();
        let resolved = spawn_blocking(move || library.resolve(asked)).await;
        let spec = resolved.map_err(Refusal::broken)??;
        let (id, spec) = (spec.identity(), Arc::new(spec));
        if let Some(old) = app.versions.note(&id) {
            app.pool.outdate(&old);
        }
        let began = Instant::now();
        let acquired = {
            let _waiting = app.waiting.hold();
            app.pool.acquire(&spec).await
        };
        let took = began.elapsed();
        app.meters.wait_seconds.record(took);
        tries -= 1;
        match acquired {
            Ok((held, hit)) => {
                if hit {
                    app.meters.hits.add()
                } else {
                    app.meters.waited.add()
                }
                return Ok(Warm { held, spec, id, hit, wait_ms: millis(took) });
            }
            // Replaced between our look and the load: look again, once.
            Err(error) if error.is_changed() && tries > 0 => {}
            Err(error) => return Err(Refusal::acquire(&error, app.bounds.backoff())),
        }
    }
}

/// Scores on a blocking thread, which holds the backend for as long as it works, client or not.
async fn compute(app: &Arc<App>, held: Held, texts: Vec<String>) -> Result<Vec<Score>, Refusal> {
    let core = app.cores.clone().acquire_owned().await.map_err(Refusal::broken)?;
    let began = Instant::now();
    let scored = spawn_blocking(move || {
        let _core = core;
        let score = |text: String| Ok(Score::new(&text, held.score(text.as_bytes())?));
        texts.into_iter().map(score).collect::<Result<Vec<_>, UsedAfterClose>>()
    });
    let scores = scored
        .await
        .map_err(Refusal::broken)?
        .map_err(|UsedAfterClose| Refusal::used_after_close())?;
    app.meters.score_seconds.record(began.elapsed());
    Ok(scores)
}
