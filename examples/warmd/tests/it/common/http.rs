//! One request, one connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub took: Duration,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of a refusal, with its status.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").and_then(|value| value.parse().ok())
    }

    /// The base score of the first text.
    pub fn base(&self) -> f64 {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["scores"][0]["base_nll"].as_f64().expect("a score")
    }

    pub fn is_hit(&self) -> bool {
        self.header("x-warmd-cache") == Some("hit")
    }
}

pub fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let began = Instant::now();
    let mut stream = begin(address, method, path, headers, body)?;
    receive(&mut stream, began)
}

/// Sends the request, and leaves the answer to be read, or not.
pub fn begin(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<TcpStream> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    let given = |name: &str| headers.iter().any(|(found, _)| *found == name);
    if !given("host") {
        head += &format!("host: {address}\r\n");
    }
    if !given("content-length") && !given("transfer-encoding") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    // A daemon that refuses need not read all of it.
    match stream.write_all(body) {
        Err(error)
            if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Err(error)
        }
        _ => Ok(stream),
    }
}

fn receive(stream: &mut TcpStream, began: Instant) -> io::Result<Reply> {
    let broken = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&part[..read]),
            // Whoever refuses a body may slam the door behind the answer.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !all.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let took = began.elapsed();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| broken("no end of the head"))?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Reply {
        status: status.ok_or_else(|| broken("no status"))?,
        headers,
        body: all[end + 4..].to_vec(),
        took,
    })
}
