//! How do bytes become requests? The accept loop: bounded in connections, header size and time.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::refusal::Refusal;
use super::{App, routes};

const MOST_CONNECTIONS: usize = 1024;
const HEADER_TIME: Duration = Duration::from_secs(30);
const BODY_TIME: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 16 << 10;
/// What open connections get to finish their answer once the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub type Answer = Response<Full<Bytes>>;

/// Serves until `stop` turns true, then lets open requests finish.
pub async fn serve(listener: TcpListener, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let next = async || {
        // The seat comes first: who finds none waits in the kernel's queue.
        let seat = seats.clone().acquire_owned().await.expect("never closed");
        (listener.accept().await, seat)
    };
    loop {
        let (accepted, seat) = tokio::select! {
            next = next() => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A connection that broke off is nothing; out of descriptors needs a pause.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    eprintln!("warmd: accept: {error}");
                    sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let service = service_fn(move |request| {
            let app = app.clone();
            async move { Ok::<_, Infallible>(routes::answer(&app, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that vanished is no error of ours; its request was dropped where it stood.
            let _ = connection.await;
            drop(seat);
        });
    }
    drop(listener);
    let _ = timeout(LAST_WORDS, graceful.shutdown()).await;
}

/// The whole body, if it is not larger than `most` and comes in time.
pub async fn body(request: Request<Incoming>, most: usize) -> Result<Bytes, Refusal> {
    let body = request.into_body();
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::body_too_large(most));
    }
    match timeout(BODY_TIME, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::body_too_large(most)),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(Refusal::body_too_slow(BODY_TIME)),
    }
}

pub fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    answer
}

pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("keys are strings, numbers are finite");
    text(status, "application/json", body)
}
