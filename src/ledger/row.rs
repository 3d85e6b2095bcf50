//! Rows: the counters of one (component, user, call, outcome), and of one call in flight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{party::Party, watch_events::WatchEvents};
use classify::CallName;

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The status code of the API server's response; 101 for an accepted upgrade.
    Code(u16),
    /// No response of the API server, and why.
    NoAnswer(Reason),
}

/// Why a request got no answer from the API server. A closed set: it becomes a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The client went away before a response head came.
    ClientGone,
    /// The upstream could not be reached; the request was not sent.
    Connect,
    /// TLS with the upstream failed; the request was not sent.
    Tls,
    /// The upstream refused the request unprocessed (GOAWAY, REFUSED_STREAM).
    Unprocessed,
    /// The upstream connection was lost before a response head came.
    UpstreamLost,
    /// The upstream answered with something that HTTP doesn't allow here.
    BadResponse,
    /// The proxy refused the request: not something it may forward.
    Refused,
    /// The request's body failed before a response head came.
    RequestBody,
    /// The proxy is shutting down.
    Draining,
    /// A fault of the proxy's own.
    Internal,
}

impl Reason {
    /// All reasons, in the order of their definition.
    pub const ALL: [Self; 10] = [
        Self::ClientGone,
        Self::Connect,
        Self::Tls,
        Self::Unprocessed,
        Self::UpstreamLost,
        Self::BadResponse,
        Self::Refused,
        Self::RequestBody,
        Self::Draining,
        Self::Internal,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Unprocessed => "unprocessed",
            Self::UpstreamLost => "upstream_lost",
            Self::BadResponse => "bad_response",
            Self::Refused => "refused",
            Self::RequestBody => "request_body",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

/// What is in flight of one call.
pub(super) struct CallBook {
    pub(super) id: u32,
    /// Whether the name is the folded one, of calls that no authenticated client has made yet.
    pub(super) is_folded: bool,
    pub(super) parts: [Box<str>; 8],
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
}

impl CallBook {
    pub(super) fn new(id: u32, name: &CallName<'_>, is_folded: bool) -> Self {
        Self {
            id,
            is_folded,
            parts: name.parts().map(Into::into),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }
}

/// The counters of a row.
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) party: Arc<Party>,
    pub(super) call: Arc<CallBook>,
    pub(super) outcome: Outcome,
    pub(super) answered: AtomicU64,
    pub(super) closed: AtomicU64,
    /// Closed by a failure or by being dropped, rather than by the end of the body.
    pub(super) cut_short: AtomicU64,
    pub(super) request_bytes: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    pub(super) to_head: AtomicHistogram,
    pub(super) to_end: AtomicHistogram,
    pub(super) events: WatchEvents,
}

impl Row {
    pub(super) fn new(id: u32, party: &Arc<Party>, call: &Arc<CallBook>, outcome: Outcome) -> Self {
        Self {
            id,
            party: Arc::clone(party),
            call: Arc::clone(call),
            outcome,
            answered: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            cut_short: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            to_head: AtomicHistogram::default(),
            to_end: AtomicHistogram::default(),
            events: WatchEvents::default(),
        }
    }
}

/// Upper bounds of the buckets in seconds, those of `apiserver_request_duration_seconds`; one more
/// bucket holds what is longer.
pub const BUCKETS_SECONDS: [f64; 22] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0,
];

/// Durations by bucket, not cumulated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// One count per bound of [`BUCKETS_SECONDS`], and one for what is longer.
    pub buckets: [u64; BUCKETS_SECONDS.len() + 1],
    /// Sum of all durations in seconds.
    pub sum_seconds: f64,
}

#[derive(Default)]
pub(super) struct AtomicHistogram {
    buckets: [AtomicU64; BUCKETS_SECONDS.len() + 1],
    sum_nanoseconds: AtomicU64,
}

impl AtomicHistogram {
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS_SECONDS.partition_point(|&bound| bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Histogram {
        Histogram {
            buckets: self
                .buckets
                .each_ref()
                .map(|bucket| bucket.load(Ordering::Relaxed)),
            sum_seconds: Duration::from_nanos(self.sum_nanoseconds.load(Ordering::Relaxed))
                .as_secs_f64(),
        }
    }
}
