//! The numbers of both HTTP ends, with their reasons.

use std::time::Duration;

use hyper::{client, server};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::one_task::OneTask;

/// Go's server allows 1 MiB of headers; tokens with many groups need more than hyper's 16 KiB.
const HEADERS_BYTES_MAX: usize = 1 << 20;
/// Go's server has no limit on the number of header lines; hyper allocates for this many.
const HEADER_LINES_MAX: usize = 1_000;
/// kube-apiserver's own limit; a client opens another connection beyond it.
const STREAMS_MAX: u32 = 100;
/// kube-apiserver's window per stream. Larger ones let h2's guard against small frames end a
/// connection and all its watches.
const STREAM_WINDOW: u32 = 256 << 10;
/// As many windows as there can be streams, so that one stalled watch stalls no other.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Bound on what is held of one slow stream.
const SEND_BUFFER: usize = 64 << 10;
/// client-go's numbers for finding a dead connection.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a request's head; between requests too, and longer than the 90 s after which
/// clients close idle connections themselves.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) fn server_http1() -> server::conn::http1::Builder {
    let mut builder = server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .max_header_size(HEADERS_BYTES_MAX)
        .preserve_header_case(true)
        .auto_date_header(false);
    builder
}

pub(super) fn server_http2() -> server::conn::http2::Builder<TokioExecutor> {
    let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
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

pub(super) fn client_http1() -> client::conn::http1::Builder {
    let mut builder = client::conn::http1::Builder::new();
    builder
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .preserve_header_case(true);
    builder
}

pub(super) fn client_http2(executor: OneTask) -> client::conn::http2::Builder<OneTask> {
    let mut builder = client::conn::http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_INTERVAL))
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_header_list_size(HEADERS_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}
