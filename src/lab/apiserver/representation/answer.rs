//! Answers on their way to HTTP.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde_json::Value;

use super::view::encode;
use crate::apiserver::status::Failure;

/// A body that the connection pulls.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) const JSON: &str = "application/json";

/// What a handler gives back.
pub(crate) struct Answer {
    code: u16,
    content_type: &'static str,
    retry_after: Option<u64>,
    body: Body,
}

impl Answer {
    pub(crate) fn json(code: u16, body: Bytes) -> Self {
        Self::new(code, JSON, body)
    }

    pub(crate) fn value(code: u16, value: &Value) -> Self {
        Self::json(code, encode(value))
    }

    pub(crate) fn text(code: u16, body: &'static str) -> Self {
        Self::new(
            code,
            "text/plain; charset=utf-8",
            Bytes::from_static(body.as_bytes()),
        )
    }

    pub(crate) fn new(code: u16, content_type: &'static str, body: Bytes) -> Self {
        Self {
            code,
            content_type,
            retry_after: None,
            body: Full::new(body).boxed_unsync(),
        }
    }

    /// A body in chunks, without an end perhaps; each is sent at once.
    pub(crate) fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let frames = futures_util::StreamExt::map(chunks, |chunk| Ok(Frame::data(chunk)));
        Self {
            code: 200,
            content_type: JSON,
            retry_after: None,
            body: StreamBody::new(frames).boxed_unsync(),
        }
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// The HTTP response. A HEAD request gets no body (hyper leaves it in on HTTP/2).
    pub(crate) fn into_response(
        self,
        method: &Method,
        audit_id: &str,
        delay: Option<Duration>,
    ) -> Response<Body> {
        let body = match delay {
            _ if method == Method::HEAD => Empty::new().boxed_unsync(),
            Some(delay) => delayed(self.body, delay),
            None => self.body,
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if let Ok(id) = HeaderValue::from_str(audit_id) {
            headers.insert("audit-id", id);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self {
            retry_after: failure.retry_after(),
            ..Self::value(failure.code, &failure.to_status())
        }
    }
}

fn delayed(body: Body, delay: Duration) -> Body {
    let frames = stream::unfold((body, Some(delay)), |(mut body, delay)| async move {
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        body.frame().await.map(|frame| (frame, (body, None)))
    });
    StreamBody::new(frames).boxed_unsync()
}
