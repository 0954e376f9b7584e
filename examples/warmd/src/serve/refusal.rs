//! What does a client hear when the answer is no? A status, a code to program against, a sentence,
//! and when to come again.
//!
//! | status | codes | whose turn it is |
//! |---|---|---|
//! | 400 | `bad_request` | the client's: the request is wrong |
//! | 401, 403 | `no_token`, `strange_host` | the client's |
//! | 404 | `no_such_file`, `no_such_route` | the client's |
//! | 405, 408, 415 | `bad_method`, `body_too_slow`, `not_json` | the client's |
//! | 413 | `body_too_large`, `model_too_large` | the client's: it will never fit |
//! | 429 | `queue_full`, `too_many_requests` | time's: `Retry-After` |
//! | 500 | `used_after_close`, `broken` | ours |
//! | 503 | `load_failed`, `backoff`, `no_capacity`, `underestimated`, `shutting_down` | time's or the operator's: `Retry-After` |
//! | 504 | `load_timeout` | time's: the load goes on, ask again |

use std::fmt::Display;
use std::time::Duration;

use hotset::{Holder, LeaseError};
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::door::Turned;
use super::http::{Answer, json};
use super::stats;
use crate::ledger::millis;
use crate::pool::AcquireError;
use crate::spec::{ModelId, SpecError};

#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Body,
    allow: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Body {
    error: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holders: Vec<Holding>,
}

/// Who has the room that a request wanted.
#[derive(Debug, Serialize)]
struct Holding {
    key: String,
    state: &'static str,
    leases: u32,
    held_ms: u64,
}

impl From<&Holder<ModelId>> for Holding {
    fn from(holder: &Holder<ModelId>) -> Self {
        Self {
            key: holder.id.to_string(),
            state: stats::name(holder.state),
            leases: holder.leases,
            held_ms: millis(holder.held_for),
        }
    }
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, message: impl Display) -> Self {
        let message = message.to_string();
        let body = Body { error, message, retry_after_ms: None, holders: Vec::new() };
        Self { status, body, allow: None }
    }

    fn again_in(mut self, pause: Duration) -> Self {
        self.body.retry_after_ms = Some(millis(pause));
        self
    }

    pub fn bad_request(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn body_too_large(most: usize) -> Self {
        let message = format!("the body must be at most {most} bytes long");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub fn body_too_slow(limit: Duration) -> Self {
        let message = format!("the body must come within {} s", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
    }

    pub fn not_json() -> Self {
        let message = "the body must be JSON and say so: content-type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message)
    }

    pub fn no_such_route(path: &str) -> Self {
        let routes = "/, /health, /ready, /stats, /metrics and /score";
        let message = format!("nothing at {path:?}; there are {routes}");
        Self::new(StatusCode::NOT_FOUND, "no_such_route", message)
    }

    pub fn bad_method(allow: &'static str) -> Self {
        let mut refusal =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", format!("use {allow}"));
        refusal.allow = Some(allow);
        refusal
    }

    pub fn too_many_requests(most: usize) -> Self {
        let message = format!("{most} requests are being answered already; ask again soon");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
            .again_in(Duration::from_secs(1))
    }

    pub fn used_after_close() -> Self {
        let message = "the backend was closed while this request used it: the cache is wrong";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "used_after_close", message)
    }

    pub fn broken(error: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", error)
    }

    pub fn shutting_down() -> Self {
        let message = "the daemon is shutting down; ask its successor";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", message)
            .again_in(Duration::from_secs(5))
    }

    /// For an error of the cache. `pause` is when to come again where the cache does not know.
    pub fn acquire(error: &AcquireError, pause: Duration) -> Self {
        let error = match error {
            AcquireError::Lease(error) => error,
            AcquireError::Naive(failure) => {
                return Self::unavailable("load_failed", failure).again_in(pause);
            }
            AcquireError::Died(error) => return Self::broken(error),
        };
        let after = error.retry_after().unwrap_or(pause);
        match error {
            LeaseError::Load { .. } | LeaseError::LoadPanicked { .. } => {
                Self::unavailable("load_failed", Whole(error)).again_in(after)
            }
            LeaseError::Backoff { .. } => {
                Self::unavailable("backoff", Whole(error)).again_in(after)
            }
            LeaseError::Capacity { holders } => {
                let mut refusal = Self::unavailable("no_capacity", error).again_in(after);
                refusal.body.holders = holders.iter().map(Holding::from).collect();
                refusal
            }
            LeaseError::Underestimated { .. } => {
                Self::unavailable("underestimated", error).again_in(after)
            }
            LeaseError::QueueFull { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", error).again_in(after)
            }
            LeaseError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "model_too_large", error)
            }
            LeaseError::Timeout { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "load_timeout", error).again_in(after)
            }
            LeaseError::ShuttingDown => Self::shutting_down(),
            other => Self::broken(other),
        }
    }

    fn unavailable(error: &'static str, message: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, message)
    }

    pub fn answer(&self) -> Answer {
        let mut answer = json(self.status, &self.body);
        let headers = answer.headers_mut();
        if let Some(pause) = self.body.retry_after_ms {
            // Whole seconds, rounded up: who comes on time must not come too early.
            headers.insert(RETRY_AFTER, HeaderValue::from(pause.div_ceil(1_000).max(1)));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl From<SpecError> for Refusal {
    fn from(error: SpecError) -> Self {
        match &error {
            SpecError::Wrong(_) => Self::bad_request(error),
            SpecError::NoSuchFile(_) => Self::new(StatusCode::NOT_FOUND, "no_such_file", error),
            SpecError::Io(..) => {
                Self::unavailable("load_failed", error).again_in(Duration::from_secs(1))
            }
        }
    }
}

impl From<Turned> for Refusal {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::NoToken => Self::new(
                StatusCode::UNAUTHORIZED,
                "no_token",
                "send the daemon's token: authorization: Bearer ...",
            ),
            Turned::StrangeHost => Self::new(
                StatusCode::FORBIDDEN,
                "strange_host",
                "without a token only requests to localhost, from no other site, are answered",
            ),
        }
    }
}

/// An error with its causes, in one line.
struct Whole<'error, E>(&'error E);

impl<E: std::error::Error> Display for Whole<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // Some say their cause themselves.
            if !said.contains(&more) {
                write!(f, ": {more}")?;
                said = more;
            }
            cause = error.source();
        }
        Ok(())
    }
}
