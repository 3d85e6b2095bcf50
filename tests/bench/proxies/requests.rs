//! Requests as a controller makes them, over connections of either protocol.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};

use crate::kit::{
    client::{Body, Target, service_account_token},
    contender::Protocol,
};

/// One request in four changes something.
static PATCH: &[u8] = &[b'p'; 600];
const PATH: &str = "/api/v1/namespaces/kubevirt-perf-test/pods/virt-launcher-vmi-0042-x7k2p";
static AUTHORIZATION: LazyLock<HeaderValue> =
    LazyLock::new(|| service_account_token("kubevirt-controller"));

/// Who sends one request at a time.
pub enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection, and all who send on it.
pub async fn connect(target: &Target, protocol: Protocol, at_once: usize) -> Vec<Sender> {
    match protocol {
        Protocol::Http1 => vec![Sender::Http1(target.http1().await.unwrap())],
        Protocol::Http2 => {
            let sender = target.http2().await.unwrap();
            (0..at_once)
                .map(|_| Sender::Http2(sender.clone()))
                .collect()
        }
    }
}

impl Sender {
    /// Makes a request; panics if it is not answered well.
    pub async fn send(&mut self, target: &Target, protocol: Protocol, number: u64) {
        let request = request(target, protocol, number);
        let answer = match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await
            }
        };
        check(answer).await;
    }
}

async fn check(answer: hyper::Result<http::Response<hyper::body::Incoming>>) {
    let answer = answer.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((status, body.len()), (StatusCode::OK, 2_000), "{body:?}");
}

/// A controller's request.
fn request(target: &Target, protocol: Protocol, number: u64) -> Request<Body> {
    let (method, body) = match number % 4 {
        0 => (Method::PATCH, PATCH),
        _ => (Method::GET, &[][..]),
    };
    let path = format!("{PATH}?bytes=2000");
    let mut request = match protocol {
        Protocol::Http1 => target.request_http1(method, &path, body),
        Protocol::Http2 => target.request(method, &path, body),
    };
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, AUTHORIZATION.clone());
    for (name, value) in [
        (
            header::USER_AGENT,
            "virt-controller/v0.0.0 (linux/amd64) kubernetes/$Format",
        ),
        (header::ACCEPT, "application/json, */*"),
        (header::ACCEPT_ENCODING, "gzip"),
        (header::CONTENT_TYPE, "application/json-patch+json"),
        (
            HeaderName::from_static("kubectl-session"),
            "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    request
}
