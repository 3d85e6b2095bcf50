//! HTTP towards the component: both protocols with their limits, and their graceful end.

use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::HttpService,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    guard::ConnectionGuard,
    handshake::{Protocol, TlsConnection},
    head_stream::HeadStream,
    http1_stream::Http1Stream,
};
use crate::{
    wakes::WhenWoken,
    wire::limits::{
        CONNECTION_WINDOW, HEADER_LINES_MAX, HEADERS_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT,
        SEND_BUFFER, STREAM_WINDOW,
    },
};

/// kube-apiserver's own limit; a client opens another connection beyond it.
const STREAMS_MAX: u32 = 100;
/// Wait for the next request of an HTTP/1.1 connection when the proxy stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);

type BoxError = Box<dyn Error + Send + Sync>;

/// Serves requests until the connection's end, or until it has ended well after `stop`.
pub(crate) async fn serve_http<S, B>(
    stream: TlsConnection,
    protocol: Protocol,
    service: S,
    guard: &Arc<ConnectionGuard>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    match protocol {
        Protocol::Http2 => serve_http2(stream, service, guard, stop).await,
        Protocol::Http1 => serve_http1(stream, service, guard, stop).await,
    }
}

async fn serve_http2<S, B>(
    stream: TlsConnection,
    service: S,
    guard: &Arc<ConnectionGuard>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let stream = TokioIo::new(HeadStream::http2(stream, Arc::clone(guard)));
    let mut connection = pin!(http2_builder().serve_connection(stream, service));
    let stopped = pin!(stop.cancelled());
    tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = WhenWoken::new(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn serve_http1<S, B>(
    stream: TlsConnection,
    service: S,
    guard: &Arc<ConnectionGuard>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let stream = HeadStream::http1(stream, Arc::clone(guard));
    let stream = TokioIo::new(Http1Stream::new(stream, Arc::clone(guard)));
    let http1 = http1_builder().serve_connection(stream, service);
    let mut connection = pin!(http1.with_upgrades());
    let stopped = pin!(stop.cancelled());
    tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = WhenWoken::new(stopped) => {
            // HTTP/1.1 can't tell a client that a request came too late: those that come soon are
            // served, and their responses say that the connection closes.
            match timeout(LAST_REQUEST, connection.as_mut()).await {
                Ok(served) => served,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Heads and the time between requests are watched by the stream and the guard.
        .header_read_timeout(None)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .max_header_size(HEADERS_BYTES_MAX)
        .preserve_header_case(true)
        .auto_date_header(false);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(2 * PING_INTERVAL))
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .auto_date_header(false);
    builder
}
