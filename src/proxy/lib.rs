//! The data plane: takes a component's connection, forwards each request to the API server byte
//! for byte, and books it.
//!
//! A downstream connection is a [`session`]: it has upstream connections of its own and shares
//! them with nobody, so that stream limits, GOAWAY and flow control are the component's own.
//!
//! Invariants: no credential is added; no request is answered in the API server's place once it
//! may have reached it; nothing is buffered; no timeout cuts a stream.

#[macro_use]
mod writes;

mod accept;
pub mod admin;
mod answer;
mod body_end;
mod client_stream;
pub mod command;
mod dial;
mod events;
pub(crate) mod eviction;
mod exchange;
mod forward;
mod frames;
mod framing;
mod guard;
mod handshakes;
mod head_stream;
mod header_blocks;
mod headers;
mod heads;
mod one_task;
mod paced;
mod passthrough;
mod peer;
mod request_body;
mod request_targets;
mod response_body;
mod response_heads;
mod scan;
mod session;
mod target;
mod tuning;
mod tunnel;
mod upgrade;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

use heads::HeadBudget;
use identity::client::Clients;
use ledger::Books;

pub use accept::{Listener, serve};
pub use dial::{Dialer, DialerError};

/// What a proxy does besides forwarding.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names all clients of this proxy; otherwise their tokens and user agents do.
    pub component: Option<Arc<str>>,
    /// Most downstream connections at once.
    pub connections_max: usize,
    /// How long requests in flight may take after the stop signal.
    pub drain: Duration,
    /// Within which time after the stop signal watches end, each at a moment of its own.
    pub watch_drain: Duration,
    /// Server names of clients whose connections pass through as bytes.
    pub sni_passthrough: Vec<Box<str>>,
    /// If set, every client must present this bearer token, and it is not forwarded: the proxy
    /// presents the user's own credential instead. Only `exec` does this.
    pub gate: Option<Arc<Gate>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            component: None,
            connections_max: 10_000,
            drain: Duration::from_secs(10),
            watch_drain: Duration::from_secs(5),
            sni_passthrough: Vec::new(),
            gate: None,
        }
    }
}

/// The bearer token of one `exec`, and what is presented upstream in its place.
pub struct Gate {
    /// `Bearer …` as clients must send it.
    pub expected: http::HeaderValue,
    /// The `Authorization` header for the API server, if the user has a token. It may change.
    pub authorization: ArcSwapOption<http::HeaderValue>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Gate(masked)")
    }
}

/// A proxy: what all its connections share.
pub struct Proxy {
    /// The ledger.
    pub books: Arc<Books>,
    /// The way to the API server.
    pub dialer: Dialer,
    /// The way on which the API server believes the proxy who a user is; what comes over it is
    /// only requests of users whose certificate was verified.
    pub front_proxy: Option<Dialer>,
    /// Options.
    pub options: Options,
    /// Counters of connections.
    pub connections: Connections,
    /// Who clients are.
    pub(crate) clients: Arc<Clients>,
    leaving: AtomicBool,
    drain: CancellationToken,
    heads: Arc<HeadBudget>,
}

/// Counters of the proxy's connections.
#[derive(Debug, Default)]
pub struct Connections {
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
    /// Requests sent again, since the API server had not looked at them.
    pub repeated: AtomicU64,
    /// Upstream connections opened.
    pub upstream_opened: AtomicU64,
    /// Upstream connections that could not be opened.
    pub upstream_failed: AtomicU64,
}

impl Proxy {
    /// A proxy with empty books, which passes every credential on as it is.
    pub fn new(dialer: Dialer, options: Options) -> Arc<Self> {
        Self::with_front_proxy(dialer, None, options)
    }

    /// The same, which tells the API server over `front_proxy` who the users of verified
    /// certificates are.
    pub fn with_front_proxy(
        dialer: Dialer,
        front_proxy: Option<Dialer>,
        options: Options,
    ) -> Arc<Self> {
        let books = Arc::new(Books::new());
        let clients = Clients::new(options.component.clone(), Arc::clone(&books));
        Arc::new(Self {
            books,
            dialer,
            front_proxy,
            options,
            connections: Connections::default(),
            clients,
            leaving: AtomicBool::new(false),
            drain: CancellationToken::new(),
            heads: Arc::default(),
        })
    }

    /// Says on the admin port that no new client should come.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the proxy is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }
}

/// Adds one; the counters here are independent of each other.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
