//! Connections: accept, TLS, HTTP/2 or HTTP/1.1 by ALPN, graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatch;
use crate::apiserver::deleting::gc;
use crate::apiserver::representation::answer::Body;
use crate::apiserver::server::ApiServer;

const HANDSHAKE: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(5);
/// As kube-apiserver: streams of a connection, window of a stream, window of a connection, length of a header list.
const MAX_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;
const MAX_HEADER: u32 = 1 << 20;

impl ApiServer {
    /// Answers connections until `stop` is cancelled; then watches end, open requests get five seconds, and the future
    /// completes. `tls` should offer `h2` and `http/1.1` by ALPN; without ALPN a client gets HTTP/1.1.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        stop: CancellationToken,
    ) {
        serve(self, listener, tls, stop).await;
    }
}

/// Serves until `stop`, and then until the connections have ended or [`DRAIN`] is over.
async fn serve(
    server: Arc<ApiServer>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = TaskTracker::new();
    connections.spawn(
        stop.clone()
            .run_until_cancelled_owned(gc::run(server.clone())),
    );
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, _)) => {
                connections.spawn(connection(
                    server.clone(),
                    socket,
                    acceptor.clone(),
                    stop.clone(),
                ));
            }
            Err(error) => {
                // Out of file descriptors most likely: accepting again at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    server: Arc<ApiServer>,
    socket: TcpStream,
    acceptor: TlsAcceptor,
    stop: CancellationToken,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => speak(server, stream, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

async fn speak(server: Arc<ApiServer>, stream: TlsStream<TcpStream>, stop: CancellationToken) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let stopping = stop.clone();
    let service = service_fn(move |request| answer(server.clone(), request, stopping.clone()));
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        drain(connection).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(1000);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        drain(connection).await;
    }
}

async fn drain(connection: impl Future<Output = hyper::Result<()>>) {
    match timeout(DRAIN, connection).await {
        Ok(ended) => report(ended),
        Err(_) => tracing::debug!("a connection did not end in time and is dropped"),
    }
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

async fn answer(
    server: Arc<ApiServer>,
    request: Request<Incoming>,
    stop: CancellationToken,
) -> Result<Response<Body>, Infallible> {
    Ok(dispatch::respond(server, request, stop).await)
}
