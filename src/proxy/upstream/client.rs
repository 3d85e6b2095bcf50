//! HTTP towards the API server: both protocols with their limits.

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::one_task::OneTask;
use crate::wire::limits::{
    CONNECTION_WINDOW, HEADER_LINES_MAX, HEADERS_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT,
    SEND_BUFFER, STREAM_WINDOW,
};

pub(crate) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .preserve_header_case(true);
    builder
}

pub(super) fn http2_builder(executor: OneTask) -> http2::Builder<OneTask> {
    let mut builder = http2::Builder::new(executor);
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
