//! What does a cache say to those who watch it? Events of `tracing`, in one place; nothing without it.
//!
//! Nothing of a user's key or value is in an event, and nothing is said on a hit. What is said, and the
//! table of metrics: `crate` page, "Watching a cache".

#![forbid(unsafe_code)]

use crate::config::Cause;

/// An entry has left.
#[inline(always)]
pub(crate) fn left(cause: Cause) {
    #[cfg(feature = "tracing")]
    tracing::trace!(target: "hotset", cause = cause.name(), "entry left");
    let _ = cause;
}

/// A write, or a loaded value, was not admitted.
#[inline(always)]
pub(crate) fn not_admitted() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "hotset", "not admitted");
}

/// A load has ended with a value.
#[inline(always)]
pub(crate) fn loaded() {
    #[cfg(feature = "tracing")]
    tracing::trace!(target: "hotset", "loaded");
}

/// A load has ended without one.
#[inline(always)]
pub(crate) fn load_failed(panicked: bool) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "hotset", panicked, "load failed");
    let _ = panicked;
}

/// A refresh has ended with a value.
#[inline(always)]
pub(crate) fn refreshed() {
    #[cfg(feature = "tracing")]
    tracing::trace!(target: "hotset", "refreshed");
}

/// A refresh has ended without one: an error, a panic, or a future that was dropped.
#[inline(always)]
pub(crate) fn refresh_failed() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "hotset", "refresh failed");
}

/// A listener has panicked.
#[inline(always)]
pub(crate) fn listener_panicked(cause: Cause) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "hotset", cause = cause.name(), "listener panicked");
    let _ = cause;
}

/// Entries whose time was over were swept.
#[inline(always)]
pub(crate) fn swept(entries: usize) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "hotset", entries, "swept");
    let _ = entries;
}
