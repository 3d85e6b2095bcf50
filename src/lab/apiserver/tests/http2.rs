//! A raw HTTP/2 client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Lab, TOKEN};

pub(super) async fn http2(lab: &Lab) -> SendRequest<Full<Bytes>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(lab.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(lab.address).await.unwrap();
    let name = lab.address.ip().into();
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, socket)
        .await
        .unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(super) async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: &Value,
) -> Response<Incoming> {
    ask_as(sender, method, path, body, "application/json").await
}

/// The same with an Accept header.
pub(super) async fn ask_as(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: &Value,
    accept: &str,
) -> Response<Incoming> {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("https://lab{path}"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("accept", accept)
        .header("user-agent", "virt-controller/v1.8 (linux/amd64)")
        .body(Full::new(body))
        .unwrap();
    sender.ready().await.unwrap();
    sender.send_request(request).await.unwrap()
}

pub(super) async fn json_of(response: Response<Incoming>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}
