//! What all connections of one proxy share.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;

use crate::{
    accounting::{kept_bodies::KeptBodies, reading::Never, recording::Recorder},
    counters::ConnectionCounters,
    downstream::heads::HeadBudget,
    drain::Drain,
    upstream::dial::Dialer,
};
use identity::client::Clients;
use ledger::Books;

/// What a proxy does besides forwarding.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names all clients of this proxy; otherwise their tokens and user agents do.
    pub component: Option<Arc<str>>,
    /// Most downstream connections at once.
    pub connections_max: usize,
    /// Most bytes of requests' bodies that are kept, over all connections, to be sent again.
    pub resend_memory: usize,
    /// How long requests in flight may take after the stop signal.
    pub drain: Duration,
    /// Within which time after the stop signal watches end, each at a moment of its own.
    pub watch_drain: Duration,
    /// Server names of clients whose connections pass through as bytes.
    pub sni_passthrough: Vec<Box<str>>,
    /// How many of the last requests are kept, to be asked for at any time.
    pub recorder: usize,
    /// Resources whose bodies are not read for a journal, Secrets among them.
    pub journal_never: Never,
    /// If set, every client must present this bearer token, and it is not forwarded: the proxy
    /// presents the user's own credential instead. Only `exec` does this.
    pub gate: Option<Arc<Gate>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            component: None,
            connections_max: 10_000,
            resend_memory: 64 << 20,
            drain: Duration::from_secs(10),
            watch_drain: Duration::from_secs(5),
            sni_passthrough: Vec::new(),
            recorder: 0,
            journal_never: Never::new(&[]),
            gate: None,
        }
    }
}

/// The bearer token of one `exec`, and what is presented upstream in its place.
pub struct Gate {
    /// `Bearer …` as clients must send it.
    pub expected: HeaderValue,
    /// The user's own.
    pub credential: Arc<dyn Credential>,
}

/// A credential through its life: it may end and be renewed.
pub trait Credential: Send + Sync {
    /// What the next request presents, or in words why nothing can be presented.
    fn present(&self) -> Presenting<'_>;

    /// The API server answered 401 to what was presented as number `serial`.
    fn refused(&self, serial: u64);
}

/// The answer of [`Credential::present`].
pub type Presenting<'c> = Pin<Box<dyn Future<Output = Result<Presented, String>> + Send + 'c>>;

/// What is presented to the API server.
#[derive(Clone)]
pub struct Presented {
    /// The `Authorization` header, if the user has something for it.
    pub authorization: Option<HeaderValue>,
    /// Which one it is: another number for each that is got anew.
    pub serial: u64,
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
    /// Dials the API server.
    pub dialer: Arc<Dialer>,
    /// Dials the API server as an authenticating proxy, whose word it takes for who a user is. Only
    /// requests of users whose certificate was verified go over these connections.
    pub front_proxy: Option<Arc<Dialer>>,
    /// What it does besides forwarding.
    pub options: Options,
    /// Counters of connections.
    pub connections: Arc<ConnectionCounters>,
    /// Who clients are.
    pub(crate) clients: Arc<Clients>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) heads: Arc<HeadBudget>,
    pub(crate) kept_bodies: Arc<KeptBodies>,
    pub(crate) recorder: Arc<Recorder>,
    is_ready: AtomicBool,
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
        let books = Arc::new(Books::with_recent(options.recorder));
        let clients = Clients::new(options.component.clone(), Arc::clone(&books));
        let connections = Arc::<ConnectionCounters>::default();
        Arc::new(Self {
            books,
            dialer: Arc::new(dialer),
            front_proxy: front_proxy.map(Arc::new),
            kept_bodies: KeptBodies::new(options.resend_memory, Arc::clone(&connections)),
            connections,
            clients,
            drain: Drain::new(options.watch_drain),
            heads: Arc::default(),
            recorder: Arc::default(),
            is_ready: AtomicBool::new(true),
            options,
        })
    }

    /// From now on `/readyz` of the admin port says that no new client should come.
    pub fn set_not_ready(&self) {
        self.is_ready.store(false, Ordering::Relaxed);
    }

    /// Whether new clients may come.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }
}
