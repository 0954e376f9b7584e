//! Where does a request go, and may it? Everything but `/health` and the page's own files (which
//! tell nothing) passes the door.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use super::http::{self, Answer};
use super::refusal::Refusal;
use super::{App, metrics, page, score, stats};

/// For counting; few, whatever clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Page,
    Health,
    Ready,
    Stats,
    Metrics,
    Score,
    Unknown,
}

impl Route {
    pub const ALL: [Self; 7] = [
        Self::Page,
        Self::Health,
        Self::Ready,
        Self::Stats,
        Self::Metrics,
        Self::Score,
        Self::Unknown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Health => "health",
            Self::Ready => "ready",
            Self::Stats => "stats",
            Self::Metrics => "metrics",
            Self::Score => "score",
            Self::Unknown => "unknown",
        }
    }

    fn of(path: &str) -> Self {
        match path {
            "/" | "/app.js" | "/style.css" => Self::Page,
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/stats" => Self::Stats,
            "/metrics" => Self::Metrics,
            "/score" => Self::Score,
            _ => Self::Unknown,
        }
    }
}

pub async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Answer {
    let route = Route::of(request.uri().path());
    let answer = go(app, route, request).await.unwrap_or_else(|refusal| refusal.answer());
    app.meters.count(route, answer.status());
    answer
}

async fn go(app: &Arc<App>, route: Route, request: Request<Incoming>) -> Result<Answer, Refusal> {
    if !matches!(route, Route::Page | Route::Health) {
        app.door.admits(request.headers())?;
    }
    match route {
        Route::Unknown => return Err(Refusal::no_such_route(request.uri().path())),
        Route::Score if request.method() != Method::POST => {
            return Err(Refusal::bad_method("POST"));
        }
        Route::Score => {}
        _ if ![Method::GET, Method::HEAD].contains(request.method()) => {
            return Err(Refusal::bad_method("GET, HEAD"));
        }
        _ => {}
    }
    match route {
        Route::Page => page::file(request.uri().path())
            .ok_or_else(|| Refusal::no_such_route(request.uri().path())),
        Route::Health => Ok(http::json(StatusCode::OK, &stats::health(app))),
        Route::Ready => {
            let ready = app.is_ready();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Ok(http::json(status, &json!({ "ready": ready })))
        }
        Route::Stats => Ok(http::json(StatusCode::OK, &stats::stats(app))),
        Route::Metrics => Ok(http::text(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::text(app),
        )),
        Route::Score => score::score(app, request).await,
        Route::Unknown => unreachable!("refused above"),
    }
}
