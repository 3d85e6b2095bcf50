//! How requests get to a proxy's admin port: by the network, by the API server's port-forward, or by
//! its pod proxy.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{io::DuplexStream, time::timeout};
use tower_service::Service;

use cluster::causes::{of_api_server, with_causes};

/// Largest answer: a journal of a million requests.
const ANSWER_MAX: usize = 512 << 20;
/// Longest wait for what the kubelet says of a forwarded port that was closed.
const COMPLAINT_TIMEOUT: Duration = Duration::from_secs(2);

/// The way to one admin port.
#[derive(Clone)]
pub enum AdminTransport {
    /// Straight to its address.
    Network(Client<HttpConnector, Full<Bytes>>, String),
    /// Through the API server and the kubelet to the pod's loopback address.
    PortForward(Box<Client<Forwarder, Full<Bytes>>>, Forwarder),
    /// Through the API server to the pod's address. The path comes before that of each request.
    ApiServer(kube::Client, String),
}

/// Status and body of an answer.
type Answer = (StatusCode, Bytes);

impl AdminTransport {
    /// By the network to a URL without a path.
    pub fn network(url: String) -> Self {
        Self::Network(Client::builder(TokioExecutor::new()).build_http(), url)
    }

    /// By port-forward to a pod. A connection is one call of the API server, and serves many
    /// requests.
    pub fn port_forward(client: kube::Client, namespace: &str, pod: &str, port: u16) -> Self {
        let forwarder = Forwarder {
            pods: Api::namespaced(client, namespace),
            pod: pod.to_owned(),
            port,
            complaint: Arc::default(),
        };
        let http = Client::builder(TokioExecutor::new()).build(forwarder.clone());
        Self::PortForward(Box::new(http), forwarder)
    }

    /// By the API server's pod proxy. Each request is one call of the API server.
    pub fn api_server(client: kube::Client, namespace: &str, pod: &str, port: u16) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/pods/http:{pod}:{port}/proxy");
        Self::ApiServer(client, path)
    }

    /// Whether it leads past the API server.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Network(..))
    }

    /// Whether a request's `Authorization` arrives: the API server takes it for itself.
    pub(super) fn keeps_authorization(&self) -> bool {
        !matches!(self, Self::ApiServer(..))
    }

    /// The URI of a request for `path` of the admin port.
    pub(super) fn uri(&self, path: &str) -> String {
        match self {
            Self::Network(_, url) => format!("{url}{path}"),
            Self::PortForward(..) => format!("http://localhost{path}"),
            Self::ApiServer(_, prefix) => format!("{prefix}{path}"),
        }
    }

    /// Sends a request; gives the whole answer, or in words, which may be anybody's, why there is
    /// none.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        match self {
            Self::Network(http, _) => ask(http, request).await,
            Self::PortForward(http, forwarder) => match ask(http, request).await {
                Ok(answer) => Ok(answer),
                Err(detail) => Err(forwarder.complaint().await.unwrap_or(detail)),
            },
            Self::ApiServer(client, _) => {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(|error| error.to_string())?;
                let body = kube::client::Body::from(body.to_bytes());
                let sent = client.send(Request::from_parts(head, body)).await;
                whole(sent.map_err(|error| of_api_server(&error))?).await
            }
        }
    }
}

async fn ask<C>(
    http: &Client<C, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let answer = http.request(request).await;
    whole(answer.map_err(|error| with_causes(&error))?).await
}

async fn whole<B>(response: http::Response<B>) -> Result<Answer, String>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect();
    let body = body.await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}

type Complaint = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Connects to a port of a pod through the API server.
#[derive(Clone)]
pub struct Forwarder {
    pods: Api<Pod>,
    pod: String,
    port: u16,
    /// What the kubelet says of the newest connection when it can't go on.
    complaint: Arc<Mutex<Option<Complaint>>>,
}

impl Forwarder {
    async fn complaint(&self) -> Option<String> {
        let complaint = {
            let mut newest = self
                .complaint
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            newest.take()
        };
        timeout(COMPLAINT_TIMEOUT, complaint?).await.ok().flatten()
    }
}

impl Service<Uri> for Forwarder {
    type Response = Forwarded;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Forwarded>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let forwarder = self.clone();
        Box::pin(async move {
            let (pod, port) = (&forwarder.pod, forwarder.port);
            let forwarded = forwarder.pods.portforward(pod, &[port]).await;
            let mut forwarded =
                forwarded.map_err(|error| io::Error::other(of_api_server(&error)))?;
            let no_stream = || io::Error::other("the API server forwards no such port");
            let stream = forwarded.take_stream(port).ok_or_else(no_stream)?;
            let complaint = forwarded.take_error(port);
            let mut newest = forwarder
                .complaint
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *newest = complaint.map(|complaint| Box::pin(complaint) as Complaint);
            Ok(Forwarded(TokioIo::new(stream)))
        })
    }
}

/// A connection to a port of a pod.
pub struct Forwarded(TokioIo<DuplexStream>);

impl Connection for Forwarded {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
