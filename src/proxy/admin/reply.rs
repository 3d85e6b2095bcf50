//! Answers of the admin port.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;

use super::rendering::{Rendering, Withdrawn};

/// An answer.
pub(super) type Reply = Response<Content>;

/// The type of an answer in JSON.
pub(super) const JSON: &str = "application/json";

/// The body of an answer.
pub(super) enum Content {
    /// Of this answer alone.
    Own(Bytes),
    /// The same for several, from this piece on.
    Shared(Arc<Rendering>, usize),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let piece = match &mut *self {
            Self::Own(rest) => Ok(mem::take(rest)),
            Self::Shared(rendering, next) => {
                *next += 1;
                rendering.piece(*next - 1)
            }
        };
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::Own(rest) => rest.len(),
            Self::Shared(rendering, next) => rendering.bytes_from(*next),
        };
        SizeHint::with_exact(left as u64)
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => reply(status, JSON, Content::Own(body.into())),
        Err(error) => {
            tracing::error!(%error, "cannot write JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n")
        }
    }
}

pub(super) fn text(status: StatusCode, body: &str) -> Reply {
    let body = Content::Own(Bytes::copy_from_slice(body.as_bytes()));
    reply(status, "text/plain; charset=utf-8", body)
}

pub(super) fn reply(status: StatusCode, content_type: &'static str, body: Content) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
