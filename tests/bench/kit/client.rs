//! Clients over connections of their own, as components have them.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use identity::mint::Authority;

/// Windows of Go's HTTP/2 client.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

pub type Body = Full<Bytes>;

/// A client's side of TLS that trusts this authority and offers these protocols.
pub fn tls_trusting(ca: CertificateDer<'static>, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let mut tls = ClientConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|&name| name.into()).collect();
    tls
}

/// Where a client connects to, and whom it trusts.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    ca: CertificateDer<'static>,
}

impl Target {
    pub fn new(url: &str, authority: &Authority) -> Self {
        Self {
            address: url.trim_start_matches("https://").to_owned(),
            ca: authority.certificate(),
        }
    }

    /// A TLS connection that offers `protocol`.
    pub async fn connect(&self, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let tls = tls_trusting(self.ca.clone(), &[protocol]);
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, tcp).await
    }

    /// An HTTP/2 connection; it closes when the last sender and body are dropped.
    pub async fn http2(&self) -> std::io::Result<http2::SendRequest<Body>> {
        let stream = TokioIo::new(self.connect("h2").await?);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// An HTTP/1.1 connection, which may be upgraded.
    pub async fn http1(&self) -> std::io::Result<http1::SendRequest<Body>> {
        let stream = TokioIo::new(self.connect("http/1.1").await?);
        let (sender, connection) = http1::handshake(stream)
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// A request for either protocol.
    pub fn request(&self, method: Method, path: &str, body: &'static [u8]) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address))
            .header(header::AUTHORIZATION, "Bearer t")
            .body(Full::from(body))
            .unwrap()
    }

    /// The same in HTTP/1.1's form.
    pub fn request_http1(&self, method: Method, path: &str, body: &'static [u8]) -> Request<Body> {
        let mut request = self.request(method, path, body);
        *request.uri_mut() = path.parse().unwrap();
        let host = self.address.parse().unwrap();
        request.headers_mut().insert(header::HOST, host);
        request
    }
}

/// `Authorization` as large as that of a service account of the namespace `kubevirt`.
pub fn service_account_token(name: &str) -> HeaderValue {
    let claims = format!(
        r#"{{"aud":["https://kubernetes.default.svc"],"exp":4102444800,"iat":1,"iss":"https://kubernetes.default.svc","jti":"5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e","kubernetes.io":{{"namespace":"kubevirt","node":{{"name":"node01","uid":"5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e"}},"pod":{{"name":"virt-controller-6f8d7c9b5-abcde","uid":"5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e"}},"serviceaccount":{{"name":"{name}","uid":"5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e"}}}},"nbf":1,"sub":"system:serviceaccount:kubevirt:{name}"}}"#
    );
    let token = format!(
        "Bearer {}.{}.{}",
        URL_SAFE_NO_PAD
            .encode(r#"{"alg":"RS256","kid":"0123456789012345678901234567890123456789012"}"#),
        URL_SAFE_NO_PAD.encode(claims),
        URL_SAFE_NO_PAD.encode([7; 256])
    );
    token.parse().unwrap()
}
