//! Connections to the API server.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{HeaderValue, Uri, uri::Authority};
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
    ResolveServerName,
};
use hyper_util::{
    client::legacy::connect::{Connection, HttpConnector},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use crate::ledger::Reason;

/// Longest wait for a TCP connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection with its TLS handshake.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// As kube-apiserver and client-go have it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A TLS connection to the API server.
pub(super) type UpstreamStream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The way to one API server.
pub struct Dialer {
    uri: Uri,
    authority: Authority,
    host: HeaderValue,
    server_name: Option<ServerName<'static>>,
    connectors: ArcSwap<Connectors>,
}

/// One connector per list of protocols that is offered.
struct Connectors {
    any: HttpsConnector<HttpConnector>,
    http1: HttpsConnector<HttpConnector>,
}

/// An upstream that can't be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// Not `https://host:port`.
    #[error("the upstream must be https://HOST:PORT, not {0:?}")]
    NotHttps(String),
    /// Not a name that a certificate can have.
    #[error("{0:?} is not a server name")]
    BadServerName(String),
}

/// A dial that failed; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct DialError {
    pub(super) reason: Reason,
    message: String,
}

impl Dialer {
    /// A dialler of `url`, which verifies the server as `server_name` if that is given.
    pub fn new(
        url: &str,
        server_name: Option<&str>,
        tls: ClientConfig,
    ) -> Result<Self, DialerError> {
        let not_https = || DialerError::NotHttps(url.to_owned());
        let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| not_https())?;
        let authority = uri.authority().cloned().ok_or_else(not_https)?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(not_https());
        }
        let server_name = server_name
            .map(|name| {
                ServerName::try_from(name.to_owned())
                    .map_err(|_| DialerError::BadServerName(name.to_owned()))
            })
            .transpose()?;
        Ok(Self {
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| not_https())?,
            connectors: ArcSwap::from_pointee(Connectors::new(tls, server_name.as_ref())),
            uri,
            authority,
            server_name,
        })
    }

    /// Uses another TLS configuration for the connections to come.
    pub fn reconfigure(&self, tls: ClientConfig) {
        let connectors = Connectors::new(tls, self.server_name.as_ref());
        self.connectors.store(Arc::new(connectors));
    }

    /// `https://host:port`.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The upstream's `host:port`.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The upstream's `Host` header.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// A connection for HTTP/2, or HTTP/1.1 where the server has only that.
    pub(super) async fn dial_any(&self) -> Result<(UpstreamStream, bool), DialError> {
        let connector = self.connectors.load().any.clone();
        let stream = self.dial(connector).await?;
        let is_http2 = stream.connected().is_negotiated_h2();
        Ok((stream, is_http2))
    }

    /// A connection for HTTP/1.1.
    pub(super) async fn dial_http1(&self) -> Result<UpstreamStream, DialError> {
        let connector = self.connectors.load().http1.clone();
        self.dial(connector).await
    }

    async fn dial(
        &self,
        mut connector: HttpsConnector<HttpConnector>,
    ) -> Result<UpstreamStream, DialError> {
        match timeout(DIAL_TIMEOUT, connector.call(self.uri.clone())).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(DialError::new(&self.authority, &*error)),
            Err(_) => Err(DialError {
                reason: Reason::Connect,
                message: format!("no connection to {} in time", self.authority),
            }),
        }
    }
}

impl Connectors {
    fn new(tls: ClientConfig, server_name: Option<&ServerName<'static>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
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
                .wrap_connector(tcp.clone()),
            http1: builder(tls).enable_http1().wrap_connector(tcp),
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

impl DialError {
    fn new(authority: &Authority, error: &(dyn StdError + 'static)) -> Self {
        let mut reason = Reason::Connect;
        let mut message = format!("cannot reach {authority}");
        let mut cause = Some(error);
        while let Some(error) = cause {
            if is_tls(error) {
                reason = Reason::Tls;
            }
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self { reason, message }
    }
}

/// An `io::Error` hides what it wraps from its source: it has to be asked for.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| is_tls(inner))
}
