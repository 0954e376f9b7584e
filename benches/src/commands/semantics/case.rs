//! What is shown, of whom, and how is it judged?

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A cache whose behaviour is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Hotset,
    Moka,
    QuickCache,
    Foyer,
    MiniMoka,
    Scc,
    Stretto,
}

impl Peer {
    pub const ALL: [Self; 7] = [
        Self::Hotset,
        Self::Moka,
        Self::QuickCache,
        Self::Foyer,
        Self::MiniMoka,
        Self::Scc,
        Self::Stretto,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hotset => "hotset",
            Self::Moka => "moka",
            Self::QuickCache => "quick_cache",
            Self::Foyer => "foyer",
            Self::MiniMoka => "mini-moka",
            Self::Scc => "scc",
            Self::Stretto => "stretto",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }
}

/// How what was seen compares with what the case asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// As the case asks.
    Yes,
    /// Not as the case asks.
    No,
    /// Not as the case asks, and hotset's documentation says so.
    Documented,
    /// Never came to an end.
    Hangs,
    /// Died of it.
    Crashes,
    /// It has nothing of the kind.
    NoFeature,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "NO",
            Self::Documented => "no, documented",
            Self::Hangs => "HANGS",
            Self::Crashes => "CRASHES",
            Self::NoFeature => "-",
        }
    }

    /// Whether hotset may answer so: what it has not got it does not promise.
    pub fn keeps_word(self) -> bool {
        matches!(self, Self::Yes | Self::Documented | Self::NoFeature)
    }
}

/// What was seen of one peer in one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub verdict: Verdict,
    pub observed: String,
}

impl Outcome {
    /// Judged by whether `as_asked`.
    pub fn of(as_asked: bool, observed: impl Into<String>) -> Self {
        let verdict = if as_asked { Verdict::Yes } else { Verdict::No };
        Self { verdict, observed: observed.into() }
    }

    pub fn new(verdict: Verdict, observed: impl Into<String>) -> Self {
        Self { verdict, observed: observed.into() }
    }

    pub fn no_feature() -> Self {
        Self::new(Verdict::NoFeature, "no such feature")
    }
}

/// One thing that is done to every peer.
pub struct Case {
    /// For `--one`.
    pub name: &'static str,
    /// What is done, and what is asked of a cache.
    pub asks: &'static str,
    /// Does it; `None` if the peer has nothing of the kind. May hang, panic or crash.
    pub run: fn(Peer, Pace) -> Option<Outcome>,
}

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a loader works once everybody is known to be on the way.
    pub linger: Duration,
    /// How long writers write at full speed.
    pub churn: Duration,
}

impl Pace {
    pub fn new(quick: bool) -> Self {
        let (linger, churn) = if quick { (50, 200) } else { (100, 1_000) };
        Self { linger: Duration::from_millis(linger), churn: Duration::from_millis(churn) }
    }
}

/// "1 load", "2 loads".
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
