//! Requests as a controller makes them, over connections of either protocol.

use std::sync::LazyLock;

use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};

use crate::{
    indexing::Client,
    kit::{
        client::{Body, Target, service_account_token},
        contender::Protocol,
    },
};

/// One request in four changes something.
static PATCH: &[u8] = &[b'p'; 600];
const PATH: &str =
    "/api/v1/namespaces/kubevirt-perf-test/pods/virt-launcher-vmi-0042-x7k2p?bytes=2000";
/// What a controller sends with each request.
static FIELDS: LazyLock<Vec<(&str, HeaderValue)>> = LazyLock::new(|| {
    let texts = [
        (
            "user-agent",
            "virt-controller/v0.0.0 (linux/amd64) kubernetes/$Format",
        ),
        ("accept", "application/json, */*"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json-patch+json"),
        ("kubectl-session", "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e"),
    ];
    let token = service_account_token("kubevirt-controller");
    let fields = texts.map(|(name, value)| (name, HeaderValue::from_static(value)));
    [("authorization", token)]
        .into_iter()
        .chain(fields)
        .collect()
});

/// Who sends one request at a time.
pub enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(Client),
}

/// A connection, and all who send on it.
pub async fn connect(target: &Target, protocol: Protocol, at_once: usize) -> Vec<Sender> {
    match protocol {
        Protocol::Http1 => vec![Sender::Http1(target.http1().await.unwrap())],
        Protocol::Http2 => {
            let client = Client::connect(target, PATH, &FIELDS).await.unwrap();
            (0..at_once)
                .map(|_| Sender::Http2(client.clone()))
                .collect()
        }
    }
}

impl Sender {
    /// Makes a request; panics if it is not answered well.
    pub async fn send(&mut self, target: &Target, number: u64) {
        let (method, body) = match number % 4 {
            0 => (Method::PATCH, PATCH),
            _ => (Method::GET, &[][..]),
        };
        let length = match self {
            Self::Http1(sender) => {
                let request = request(target, method, body);
                sender.ready().await.unwrap();
                length_of(sender.send_request(request).await.unwrap()).await
            }
            Self::Http2(client) => client.send(&method, body).await,
        };
        assert_eq!(length, 2_000);
    }
}

/// How long the answer's body is; panics if it is not 200.
async fn length_of(answer: Response<Incoming>) -> usize {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{body:?}");
    body.len()
}

/// A controller's request over HTTP/1.1.
fn request(target: &Target, method: Method, body: &'static [u8]) -> Request<Body> {
    let mut request = target.request_http1(method, PATH, body);
    let headers = request.headers_mut();
    for (name, value) in FIELDS.iter() {
        headers.insert(*name, value.clone());
    }
    request
}
