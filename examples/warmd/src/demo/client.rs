//! A client of the daemon: one connection, kept open, opened again where it broke.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than the daemon lets anybody wait.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

pub struct Reply {
    pub status: u16,
    pub body: Value,
    /// The daemon says that the backend was warm.
    pub hit: bool,
    pub retry_after: Option<Duration>,
    pub took: Duration,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Asks how surprising `text` is to `model`, with `adapter` if one is given.
    pub async fn score(&mut self, model: &str, adapter: Option<&str>, text: &str) -> Result<Reply> {
        let body = json!({ "spec": { "model": model, "adapter": adapter }, "texts": [text] });
        self.send(Method::POST, "/score", body.to_string().into()).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Reply> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let began = Instant::now();
        // The last answer may be read, and its connection not quite ready for the next request.
        let mut ready = None;
        if let Some(mut sender) = self.sender.take() {
            ready = sender.ready().await.is_ok().then_some(sender);
        }
        let mut sender = match ready {
            Some(sender) => sender,
            None => connect(self.address).await?,
        };
        let answered = timeout(PATIENCE, async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        });
        let (head, body) = answered.await.context("no answer")?.context("the connection broke")?;
        let took = began.elapsed();
        self.sender = Some(sender);
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Reply {
            status: head.status.as_u16(),
            // `/metrics` and the page are no JSON, and are not looked into.
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            hit: header("x-warmd-cache") == Some("hit"),
            retry_after: (header(RETRY_AFTER.as_str()))
                .and_then(|value| value.parse().ok())
                .map(Duration::from_secs),
            took,
        })
    }
}

impl Reply {
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// The base score of the first text.
    pub fn base(&self) -> Result<f64> {
        ensure!(self.is_ok(), "no score: status {}, {}", self.status, self.body);
        self.body["scores"][0]["base_nll"].as_f64().context("an answer without a score")
    }

    pub fn number(&self, pointer: &str) -> Result<u64> {
        let found = self.body.pointer(pointer).and_then(Value::as_u64);
        found.with_context(|| format!("no number at {pointer} in {}", self.body))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, or with the daemon.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
