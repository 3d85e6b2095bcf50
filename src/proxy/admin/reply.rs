//! Answers of the admin port.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;

use super::{
    pieces::Pieces,
    rendering::{Rendering, Withdrawn},
};

/// An answer.
pub(super) type Reply = Response<Content>;

/// The type of an answer in JSON.
pub(super) const JSON: &str = "application/json";

/// The body of an answer.
pub(super) enum Content {
    /// Of this answer alone: what is left, and how many bytes that is.
    Own(vec::IntoIter<Bytes>, usize),
    /// The same for several, from this piece on.
    Shared(Arc<Rendering>, usize),
}

impl Content {
    /// Of one answer alone.
    pub(super) fn own(text: Pieces) -> Self {
        let length = text.length();
        Self::Own(text.into_iter(), length)
    }
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
            Self::Own(rest, left) => {
                let piece = rest.next().unwrap_or_default();
                *left -= piece.len();
                Ok(piece)
            }
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
            Self::Own(_, left) => *left,
            Self::Shared(rendering, next) => rendering.bytes_from(*next),
        };
        SizeHint::with_exact(left as u64)
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match to_json(value) {
        Some(body) => reply(status, JSON, Content::own(body)),
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n"),
    }
}

/// JSON of a value; nothing where that fails, which is logged.
pub(super) fn to_json(value: &impl Serialize) -> Option<Pieces> {
    let mut pieces = Pieces::default();
    serde_json::to_writer(&mut pieces, value)
        .inspect_err(|error| tracing::error!(%error, "cannot write JSON"))
        .ok()?;
    Some(pieces)
}

pub(super) fn text(status: StatusCode, body: &str) -> Reply {
    let body = Content::own(Pieces::one(body));
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
