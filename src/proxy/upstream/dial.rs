//! Connections to the API server: which of its addresses, TCP, TLS.

use std::{
    error::Error as StdError,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Uri, uri::Authority};
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
    ResolveServerName,
};
use hyper_util::{
    client::legacy::connect::{Connection, HttpInfo},
    rt::TokioIo,
};
use rand::seq::SliceRandom;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    time::timeout,
};
use tower_service::Service;

use super::dial_error::{DialError, LastDial};
use identity::{
    connect::{Carrier, Connector},
    way::Way,
};

/// Longest wait for a connection with its TLS handshake.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for the server's end of a connection that is over.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// A TLS connection to the API server.
type UpstreamStream = MaybeHttpsStream<Carrier>;

/// Dials the API server, at any of its addresses.
pub struct Dialer {
    endpoints: Vec<Arc<Endpoint>>,
    server_name: Option<ServerName<'static>>,
    way: Way,
    connectors: ArcSwap<Connectors>,
    /// How often the proxy's own client certificate became another one.
    generation: AtomicU64,
    own_address: OnceLock<SocketAddr>,
    started: Instant,
}

/// One of the API server's addresses.
pub(crate) struct Endpoint {
    /// Without a path.
    uri: Uri,
    authority: Authority,
    host: HeaderValue,
    /// What stands before the path of each request: empty, or a path without a slash at its end.
    prefix: String,
    /// When a dial failed last, in milliseconds since the dialler was made; 0 if the last one
    /// did not.
    failed: AtomicU64,
    last: Mutex<LastDial>,
}

/// A connection, and to which address it leads.
pub(crate) struct Dialled {
    pub(crate) stream: UpstreamStream,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The dialler's when it was made.
    pub(super) generation: u64,
}

/// One connector per list of protocols that is offered.
struct Connectors {
    any: HttpsConnector<Connector>,
    http1: HttpsConnector<Connector>,
    /// Without TLS.
    carrier: Connector,
}

/// An upstream that can't be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// Not `https://host:port`, with a path at most.
    #[error("the upstream must be https://HOST:PORT or https://HOST:PORT/PATH, not {0:?}")]
    NotHttps(String),
    /// Not a name that a certificate can have.
    #[error("{0:?} is not a server name")]
    BadServerName(String),
}

impl Dialer {
    /// A dialler of `urls`, several addresses of one API server separated by commas; it verifies
    /// the server as `server_name` if that is given.
    pub fn new(
        urls: &str,
        server_name: Option<&str>,
        tls: ClientConfig,
    ) -> Result<Self, DialerError> {
        Self::through(Way::Direct, urls, server_name, tls)
    }

    /// The same, which goes `way`.
    pub fn through(
        way: Way,
        urls: &str,
        server_name: Option<&str>,
        tls: ClientConfig,
    ) -> Result<Self, DialerError> {
        let endpoints = urls.split(',').map(|url| Endpoint::new(url).map(Arc::new));
        let server_name = server_name
            .map(|name| {
                ServerName::try_from(name.to_owned())
                    .map_err(|_| DialerError::BadServerName(name.to_owned()))
            })
            .transpose()?;
        Ok(Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            connectors: ArcSwap::from_pointee(Connectors::new(&way, tls, server_name.as_ref())),
            server_name,
            way,
            generation: AtomicU64::new(0),
            own_address: OnceLock::new(),
            started: Instant::now(),
        })
    }

    /// Uses another TLS configuration for the connections to come.
    pub fn reconfigure(&self, tls: ClientConfig) {
        let connectors = Connectors::new(&self.way, tls, self.server_name.as_ref());
        self.connectors.store(Arc::new(connectors));
    }

    /// The same where the proxy's own client certificate is another one: new requests go over new
    /// connections.
    pub fn renew(&self, tls: ClientConfig) {
        self.reconfigure(tls);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes whenever older connections are not to be used for new requests.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The address that the proxy itself listens on, which never leads to the API server.
    pub fn set_own_address(&self, address: SocketAddr) {
        let _ = self.own_address.set(address);
    }

    /// Dials each address once, for TLS and nothing more, and logs what it finds.
    pub async fn try_all(&self) {
        let connector = self.connectors.load().any.clone();
        for endpoint in &self.endpoints {
            let dialled = self.connect(connector.clone(), endpoint).await;
            self.note(endpoint, dialled.as_ref().err());
            match dialled {
                Ok(stream) => {
                    tracing::info!(address = %endpoint.authority, "the API server is reached");
                    end(stream).await;
                }
                Err(error) => {
                    let reason = error.reason.as_str();
                    tracing::warn!(reason, %error, "the API server is not reached");
                }
            }
        }
    }

    /// `host:port` of each address, and how its last dial went.
    pub fn last_dials(&self) -> Vec<(String, LastDial)> {
        let endpoints = self.endpoints.iter();
        endpoints
            .map(|endpoint| (endpoint.authority.to_string(), endpoint.last().clone()))
            .collect()
    }

    /// `https://host:port/path`, separated by commas.
    pub fn urls(&self) -> String {
        let urls = self.endpoints.iter();
        let urls =
            urls.map(|endpoint| format!("https://{}{}", endpoint.authority, endpoint.prefix));
        urls.collect::<Vec<_>>().join(",")
    }

    /// A connection for HTTP/2, or HTTP/1.1 where the server has only that. `before` is the
    /// address that this client had; it keeps it while it can, since the watch caches of several
    /// API servers differ.
    pub(super) async fn dial_any(
        &self,
        before: Option<&Arc<Endpoint>>,
    ) -> Result<Dialled, DialError> {
        let connector = self.connectors.load().any.clone();
        self.dial(connector, before).await
    }

    /// A connection for HTTP/1.1.
    pub(super) async fn dial_http1(
        &self,
        before: Option<&Arc<Endpoint>>,
    ) -> Result<Dialled, DialError> {
        let connector = self.connectors.load().http1.clone();
        self.dial(connector, before).await
    }

    /// A connection without TLS of the proxy's own.
    pub(crate) async fn dial_tcp(&self) -> Result<Carrier, DialError> {
        let mut last = DialError::no_address();
        for endpoint in self.in_order(None) {
            let connector = self.connectors.load().carrier.clone();
            let dialled = self.connect(connector, &endpoint).await;
            self.note_tcp(&endpoint, dialled.as_ref().err());
            match dialled {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial(
        &self,
        connector: HttpsConnector<Connector>,
        before: Option<&Arc<Endpoint>>,
    ) -> Result<Dialled, DialError> {
        let mut last = DialError::no_address();
        let generation = self.generation();
        for endpoint in self.in_order(before) {
            let dialled = self.connect(connector.clone(), &endpoint).await;
            self.note(&endpoint, dialled.as_ref().err());
            match dialled {
                Ok(stream) => {
                    return Ok(Dialled {
                        stream,
                        endpoint,
                        generation,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects by TCP, or TCP and TLS, as the connector does.
    async fn connect<C>(
        &self,
        mut connector: C,
        endpoint: &Endpoint,
    ) -> Result<C::Response, DialError>
    where
        C: Service<Uri, Error = Box<dyn StdError + Send + Sync>>,
        C::Response: Connection,
    {
        let stream = timeout(DIAL_TIMEOUT, connector.call(endpoint.uri.clone()))
            .await
            .map_err(|_| DialError::timed_out(&endpoint.authority))?
            .map_err(|error| DialError::new(&endpoint.authority, &*error))?;
        self.refuse_own(peer_of(&stream), &endpoint.authority)?;
        Ok(stream)
    }

    /// Notes how a dial for TLS went.
    fn note(&self, endpoint: &Endpoint, error: Option<&DialError>) {
        self.order(endpoint, error);
        *endpoint.last() = match error {
            None => LastDial::Reached,
            Some(error) => LastDial::failed(error),
        };
    }

    /// Notes how a dial without TLS went, which says nothing about a certificate.
    fn note_tcp(&self, endpoint: &Endpoint, error: Option<&DialError>) {
        self.order(endpoint, error);
        let mut last = endpoint.last();
        match error {
            None => last.note_connected(),
            Some(error) => *last = LastDial::failed(error),
        }
    }

    fn order(&self, endpoint: &Endpoint, error: Option<&DialError>) {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        let failed = if error.is_none() { 0 } else { now };
        endpoint.failed.store(failed, Ordering::Relaxed);
    }

    /// The addresses in the order in which they are tried: those that did not fail first, the one
    /// before ahead of them and the others in any order, then by how long ago they failed.
    fn in_order(&self, before: Option<&Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.endpoints.clone();
        if endpoints.len() > 1 {
            endpoints.shuffle(&mut rand::rng());
            endpoints.sort_by_key(|endpoint| {
                let is_before = before.is_some_and(|before| Arc::ptr_eq(before, endpoint));
                (endpoint.failed.load(Ordering::Relaxed), !is_before)
            });
        }
        endpoints
    }

    fn refuse_own(&self, peer: Option<SocketAddr>, authority: &Authority) -> Result<(), DialError> {
        if peer.is_some() && peer == self.own_address.get().copied() {
            return Err(DialError::leads_back(authority));
        }
        Ok(())
    }
}

/// Ends a connection in order. One that is dropped with something unread is reset, and the server
/// may log that.
async fn end(stream: UpstreamStream) {
    let mut stream = TokioIo::new(stream);
    let ended = async {
        stream.shutdown().await?;
        copy(&mut stream, &mut sink()).await
    };
    let _ = timeout(END_TIMEOUT, ended).await;
}

fn peer_of(stream: &impl Connection) -> Option<SocketAddr> {
    let mut facts = http::Extensions::new();
    stream.connected().get_extras(&mut facts);
    facts.get::<HttpInfo>().map(HttpInfo::remote_addr)
}

impl Dialled {
    pub(super) fn is_http2(&self) -> bool {
        self.stream.connected().is_negotiated_h2()
    }
}

impl Endpoint {
    pub(super) fn new(url: &str) -> Result<Self, DialerError> {
        let not_https = || DialerError::NotHttps(url.to_owned());
        let url = url.trim().trim_end_matches('/');
        let uri: Uri = url.parse().map_err(|_| not_https())?;
        let authority = uri.authority().cloned().ok_or_else(not_https)?;
        let is_https = uri.scheme_str() == Some("https") && uri.query().is_none();
        let prefix = uri.path().trim_end_matches('/');
        let mut steps = prefix.split('/').skip(1);
        let is_plain = steps.all(|step| !matches!(step, "" | "." | ".."));
        if !is_https || !is_plain || url.contains('#') || authority.as_str().contains('@') {
            return Err(not_https());
        }
        let alone = format!("https://{authority}/");
        Ok(Self {
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| not_https())?,
            uri: alone.parse().map_err(|_| not_https())?,
            authority,
            prefix: prefix.to_owned(),
            failed: AtomicU64::new(0),
            last: Mutex::default(),
        })
    }

    /// `host:port` as `:authority` has it.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The `Host` header.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    fn last(&self) -> MutexGuard<'_, LastDial> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands before the path of each request.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Connectors {
    fn new(way: &Way, tls: ClientConfig, server_name: Option<&ServerName<'static>>) -> Self {
        let carrier = Connector::new(way, &tls, server_name);
        let builder = |tls| {
            let builder = HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_only();
            match server_name {
                Some(name) => builder
                    .with_server_name_resolver(Fixed(FixedServerNameResolver::new(name.clone()))),
                None => builder,
            }
        };
        Self {
            any: builder(tls.clone())
                .enable_all_versions()
                .wrap_connector(carrier.clone()),
            http1: builder(tls).enable_http1().wrap_connector(carrier.clone()),
            carrier,
        }
    }
}

/// Gives the one name, whatever is dialled.
struct Fixed(FixedServerNameResolver);

impl ResolveServerName for Fixed {
    fn resolve(&self, uri: &Uri) -> Result<ServerName<'static>, Box<dyn StdError + Sync + Send>> {
        self.0.resolve(uri)
    }
}
