//! TCP connections to an API server, directly or through a proxy.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tower_service::Service;

use super::way::{ProxyKind, ProxyServer, Way};

/// Longest wait for a TCP connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As kube-apiserver and client-go have it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

type BoxError = Box<dyn StdError + Send + Sync>;

/// A connection to a server, or to a proxy that has connected to it.
pub type Carrier = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    kind: Kind,
    proxy: Option<String>,
}

#[derive(Clone)]
enum Kind {
    Direct(HttpConnector),
    Http(Tunnel<HttpConnector>),
    Https(Tunnel<HttpsConnector<HttpConnector>>),
    Socks5(SocksV5<HttpConnector>),
}

/// A connection that a proxy did not make.
#[derive(Debug, thiserror::Error)]
#[error("through the proxy {proxy}")]
struct ThroughProxy {
    proxy: String,
    source: BoxError,
}

impl Connector {
    /// A connector of `way`. A proxy that speaks TLS is verified as the API server is, which is how
    /// Go's programs do it.
    pub fn new(way: &Way, tls: &ClientConfig, server_name: Option<&ServerName<'static>>) -> Self {
        let (kind, proxy) = match way {
            Way::Direct => (Kind::Direct(tcp()), None),
            Way::Through(proxy) => {
                let kind = through(proxy, tls, server_name);
                (kind, Some(proxy.to_string()))
            }
        };
        Self { kind, proxy }
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

fn through(
    proxy: &ProxyServer,
    tls: &ClientConfig,
    server_name: Option<&ServerName<'static>>,
) -> Kind {
    let address = proxy.address.clone();
    match proxy.kind {
        ProxyKind::Http => Kind::Http(with_user(Tunnel::new(address, tcp()), proxy)),
        ProxyKind::Https => {
            let builder = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_only();
            let builder = match server_name {
                Some(name) => {
                    builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone()))
                }
                None => builder,
            };
            let tls = builder.enable_http1().wrap_connector(tcp());
            Kind::Https(with_user(Tunnel::new(address, tls), proxy))
        }
        ProxyKind::Socks5 => {
            let socks = SocksV5::new(address, tcp());
            Kind::Socks5(match proxy.user().cloned() {
                Some((name, password)) => socks.with_auth(name, password),
                None => socks,
            })
        }
    }
}

fn with_user<C>(tunnel: Tunnel<C>, proxy: &ProxyServer) -> Tunnel<C> {
    match proxy.authorization() {
        Some(authorization) => tunnel.with_auth(authorization),
        None => tunnel,
    }
}

impl Service<Uri> for Connector {
    type Response = Carrier;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Carrier, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.kind {
            Kind::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Kind::Http(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
            Kind::Https(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
            Kind::Socks5(socks) => socks.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let plain = MaybeHttpsStream::Http;
        let dialled: Self::Future = match &mut self.kind {
            Kind::Direct(tcp) => {
                let dialled = tcp.call(server);
                Box::pin(async move { Ok(plain(dialled.await?)) })
            }
            Kind::Http(tunnel) => {
                let dialled = tunnel.call(server);
                Box::pin(async move { Ok(plain(dialled.await?)) })
            }
            Kind::Https(tunnel) => {
                let dialled = tunnel.call(server);
                Box::pin(async move { Ok(dialled.await?) })
            }
            Kind::Socks5(socks) => {
                let dialled = socks.call(server);
                Box::pin(async move { Ok(plain(dialled.await?)) })
            }
        };
        let Some(proxy) = self.proxy.clone() else {
            return dialled;
        };
        Box::pin(async move {
            let dialled = dialled.await;
            dialled.map_err(|source| ThroughProxy { proxy, source }.into())
        })
    }
}
