//! Who may come in? A token where there is one, and on loopback no stranger's web page.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName};
use subtle::ConstantTimeEq;

const LEAST_TOKEN: usize = 16;

/// Where the token comes from. A token on the command line could be read by every user.
#[derive(clap::Args)]
pub struct TokenArgs {
    /// File whose first line is the token that clients must send (Authorization: Bearer ...)
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The token itself, from the environment
    #[arg(long, env = "WARMD_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
}

pub struct Door {
    token: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turned {
    NoToken,
    StrangeHost,
}

impl Door {
    pub fn new(args: &TokenArgs, address: IpAddr) -> Result<Self> {
        let token = match (&args.token_file, &args.token) {
            (Some(path), _) => Some(first_line(path)?),
            (None, token) => token.clone(),
        };
        if let Some(token) = &token {
            ensure!(
                token.len() >= LEAST_TOKEN,
                "the token must be at least {LEAST_TOKEN} bytes long, got {}",
                token.len()
            );
        }
        ensure!(
            token.is_some() || address.is_loopback(),
            "listening on {address}, which is not loopback, needs a token: give --token-file or \
             WARMD_TOKEN"
        );
        Ok(Self { token: token.map(String::into_bytes) })
    }

    /// Whether a request with these headers may see more than `/health`.
    pub fn admits(&self, headers: &HeaderMap) -> Result<(), Turned> {
        let Some(token) = &self.token else {
            return self.knows_host(headers);
        };
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        // In constant time but for the length, which is no secret.
        if bool::from(given.ct_eq(token)) { Ok(()) } else { Err(Turned::NoToken) }
    }

    /// Without a token only requests that name this machine: a page of another site that has its
    /// name point here still sends that name, and still names its origin.
    fn knows_host(&self, headers: &HeaderMap) -> Result<(), Turned> {
        let local =
            |name: HeaderName| headers.get(name).is_none_or(|value| is_local(value.as_bytes()));
        let origin = HeaderName::from_static("origin");
        if local(HOST) && local(origin) { Ok(()) } else { Err(Turned::StrangeHost) }
    }
}

/// Whether `localhost:7070`, `http://127.0.0.1` and their like name this machine.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let host = host.strip_prefix("http://").unwrap_or(host);
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn first_line(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const EVERYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn args(token: Option<&str>) -> TokenArgs {
        TokenArgs { token_file: None, token: token.map(String::from) }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().expect("a header value"))
        };
        pairs.iter().map(parsed).collect()
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        assert!(Door::new(&args(None), EVERYWHERE).is_err());
        assert!(Door::new(&args(Some("short")), EVERYWHERE).is_err());
        assert!(Door::new(&args(Some("long enough a token")), EVERYWHERE).is_ok());
        assert!(Door::new(&args(None), LOOPBACK).is_ok());
    }

    #[test]
    fn the_token_is_compared_whole() {
        let door = Door::new(&args(Some("0123456789abcdef")), LOOPBACK).expect("a good token");
        let sent = |value| door.admits(&headers(&[("authorization", value)]));
        assert_eq!(sent("Bearer 0123456789abcdef"), Ok(()));
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "0123456789abcdef", ""] {
            assert_eq!(sent(wrong), Err(Turned::NoToken), "{wrong:?}");
        }
        assert_eq!(door.admits(&headers(&[])), Err(Turned::NoToken));
    }

    #[test]
    fn without_a_token_other_names_are_turned_away() {
        let door = Door::new(&args(None), LOOPBACK).expect("loopback");
        let host = |value| door.admits(&headers(&[("host", value)]));
        for ours in ["localhost:80", "127.0.0.1:8", "[::1]:8", "LOCALHOST", "127.1.2.3"] {
            assert_eq!(host(ours), Ok(()), "{ours}");
        }
        for strange in ["evil.example", "localhost.evil.example", "10.0.0.1:80", ""] {
            assert_eq!(host(strange), Err(Turned::StrangeHost), "{strange}");
        }
        let cross = headers(&[("host", "localhost"), ("origin", "http://evil.example")]);
        assert_eq!(door.admits(&cross), Err(Turned::StrangeHost));
    }
}
