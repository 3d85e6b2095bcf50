//! Counters of the proxy's connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the proxy's connections.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Downstream connections accepted.
    pub accepted: AtomicU64,
    /// Downstream connections closed again.
    pub closed: AtomicU64,
    /// Downstream connections whose TLS handshake failed or took too long.
    pub handshakes_failed: AtomicU64,
    /// Downstream connections turned away because there were too many.
    pub turned_away: AtomicU64,
    /// Requests that HTTP's parser refused; they never became a request.
    pub unparsable: AtomicU64,
    /// Requests refused because their client's certificate can't be passed on.
    pub certificates_refused: AtomicU64,
    /// Downstream connections that passed through as bytes.
    pub passed_through: AtomicU64,
    /// Requests sent again: the API server had not looked at them, or closed a connection that had
    /// been idle as a read went out on it.
    pub repeated: AtomicU64,
    /// Requests' bodies that were not kept for sending them again, since too much was kept.
    pub bodies_not_kept: AtomicU64,
    /// Upstream connections opened.
    pub upstream_opened: AtomicU64,
    /// Upstream connections that could not be opened.
    pub upstream_failed: AtomicU64,
}

/// Adds one; the counters here are independent of each other.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
