//! An admission webhook that lets everything pass, and counts how often it is asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::embedded::EmbeddedError;
use identity::{
    client_certificate::ClientCertificates, mint::Authority, server::ServingCertificate,
};

/// A webhook on the loopback address; it ends when it is dropped.
pub struct Webhook {
    /// Its URL.
    pub url: String,
    /// How often it was asked.
    pub calls: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Starts it with a certificate of `authority`.
    ///
    /// # Errors
    ///
    /// No free port, or no certificate.
    pub async fn start(authority: &Authority) -> Result<Self, EmbeddedError> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let leaf = authority.serving("webhook", &["127.0.0.1".to_owned()])?;
        let certificate = ServingCertificate::from_der(vec![leaf.certificate()], leaf.key())?;
        let tls = certificate.server_config(&ClientCertificates::NotAsked)?;
        let calls = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(tls), Arc::clone(&calls)));
        Ok(Self {
            url: format!("https://127.0.0.1:{port}/"),
            calls,
            task,
        })
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, calls: Arc<AtomicU64>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, calls) = (acceptor.clone(), Arc::clone(&calls));
        tokio::spawn(async move {
            // What the API server can't do with the webhook it says itself.
            if let Ok(stream) = acceptor.accept(socket).await {
                speak(stream, calls).await;
            }
        });
    }
}

async fn speak(stream: TlsStream<TcpStream>, calls: Arc<AtomicU64>) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(request, Arc::clone(&calls)));
    let ended = if is_http2 {
        let builder = http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(io, service).await
    } else {
        http1::Builder::new().serve_connection(io, service).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the webhook ended with an error");
    }
}

async fn answer(
    request: Request<Incoming>,
    calls: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(review) = serde_json::from_slice::<Value>(&body) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    calls.fetch_add(1, Ordering::Relaxed);
    let response = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true},
    });
    let mut response = Response::new(Full::from(response.to_string()));
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}
