//! Bodies that pass through and are booked as they pass.

use std::{
    error::Error as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{guard::Visit, target};
use crate::{
    identity::client::ClientName,
    ledger::{Answer, Ending, Entry, Outcome, Reason},
};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// One request and its entry in the books. Whatever happens, it is answered and closed once:
/// dropped before an answer, its client went away.
pub(super) struct Exchange {
    entry: Entry,
    client: ClientName,
    visit: Visit,
    started: Instant,
    method: Method,
    uri: Uri,
    request_bytes: Option<Arc<AtomicU64>>,
}

impl Exchange {
    pub(super) fn new(
        entry: Entry,
        client: ClientName,
        visit: Visit,
        method: Method,
        uri: Uri,
    ) -> Self {
        Self {
            entry,
            client,
            visit,
            started: Instant::now(),
            method,
            uri,
            request_bytes: None,
        }
    }

    /// Counts the bytes of the request's body, which came by this version of HTTP.
    pub(super) fn meter(&mut self, body: Incoming, version: Version) -> RequestBody {
        if body.is_end_stream() {
            return RequestBody::none();
        }
        self.request_bytes = Some(Arc::default());
        RequestBody {
            inner: Some(body),
            bytes: self.request_bytes.clone(),
            version,
        }
    }

    /// Books the API server's response.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let audit_id = headers.get(AUDIT_ID).and_then(|id| id.to_str().ok());
        self.book(Outcome::Code(status.as_u16()), audit_id);
    }

    /// Books that there is no response, and why. There won't be anything more.
    pub(super) fn unanswered(&mut self, reason: Reason) {
        self.book(Outcome::NoAnswer(reason), None);
        self.close(Ending::Complete);
    }

    /// Counts bytes that went to the client.
    pub(super) fn sent(&self, bytes: u64) {
        self.entry.add_response_bytes(bytes);
    }

    /// Counts bytes that an upgraded connection took from the client.
    pub(super) fn received(&mut self, bytes: u64) {
        self.entry.add_request_bytes(bytes);
    }

    /// Closes the entry; later endings don't count.
    pub(super) fn close(&mut self, ending: Ending) {
        if let Some(bytes) = self.request_bytes.take() {
            self.entry.add_request_bytes(bytes.load(Ordering::Relaxed));
        }
        self.entry.close(ending, self.started.elapsed());
    }

    fn book(&mut self, outcome: Outcome, audit_id: Option<&str>) {
        let accepted = outcome != Outcome::Code(StatusCode::UNAUTHORIZED.as_u16());
        let (method, uri) = (&self.method, &self.uri);
        self.entry.answer(Answer {
            outcome,
            party: if accepted {
                &self.client.accepted
            } else {
                &self.client.rejected
            },
            elapsed: self.started.elapsed(),
            at_micros: jiff::Timestamp::now().as_microsecond(),
            audit_id,
            object: &|| target::object(method, uri),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.entry.is_answered() {
            self.visit.taken_back();
            self.book(Outcome::NoAnswer(Reason::ClientGone), None);
        }
        self.close(Ending::Dropped);
    }
}

/// A request's body on its way to the API server; `None` where there is none.
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    bytes: Option<Arc<AtomicU64>>,
    version: Version,
}

impl RequestBody {
    /// No body, as a request has it that can be sent again.
    pub(super) fn none() -> Self {
        Self {
            inner: None,
            bytes: None,
            version: Version::HTTP_11,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let version = self.version;
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *inner).poll_frame(context));
        if frame.is_none() && is_cut_short(inner, version) {
            let reason = h2::Reason::CANCEL.into();
            return Poll::Ready(Some(Err(CutShort::Request(reason))));
        }
        if let (Some(Ok(frame)), Some(bytes)) = (&frame, &self.bytes)
            && let Some(data) = frame.data_ref()
        {
            bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(CutShort::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.inner.as_ref().map_or_else(none, Body::size_hint)
    }
}

/// A response's body on its way to the client.
pub(super) enum ResponseBody {
    /// The API server's, the version of HTTP it came by, and the exchange that its end closes.
    Upstream(Incoming, Version, Box<Exchange>),
    /// The proxy's own.
    Own(Full<Bytes>),
}

/// Whether a body that gives nothing more has not ended: the HTTP library takes some resets of a
/// stream of HTTP/2 for its end.
fn is_cut_short(body: &Incoming, version: Version) -> bool {
    version == Version::HTTP_2 && !body.is_end_stream()
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutShort {
    /// The stream was reset; whoever is to get the body hears the reason.
    #[error(transparent)]
    Reset(hyper::Error),
    /// The client took its request back while sending it.
    #[error("the client took the request back")]
    Request(#[source] h2::Error),
    /// Anything else, and resets whose reason would say that a request was never looked at, or
    /// that nothing is wrong.
    #[error("the body was cut short")]
    Other,
}

impl From<hyper::Error> for CutShort {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        let is_honest = cause.is_some_and(|cause: &h2::Error| {
            let misleading = [
                h2::Reason::NO_ERROR,
                h2::Reason::REFUSED_STREAM,
                h2::Reason::HTTP_1_1_REQUIRED,
            ];
            let reason = cause.reason();
            cause.is_reset()
                && cause.is_remote()
                && reason.is_some_and(|reason| !misleading.contains(&reason))
        });
        if is_honest {
            Self::Reset(error)
        } else {
            Self::Other
        }
    }
}

impl ResponseBody {
    pub(super) fn upstream(body: Incoming, version: Version, mut exchange: Exchange) -> Self {
        close_at_end(&body, &mut exchange);
        Self::Upstream(body, version, Box::new(exchange))
    }

    pub(super) fn empty() -> Self {
        Self::Own(Full::default())
    }
}

/// Whoever sends a body may stop asking once it knows that nothing is left.
fn close_at_end(body: &Incoming, exchange: &mut Exchange) {
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        exchange.close(Ending::Complete);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let (body, version, exchange) = match self.get_mut() {
            Self::Upstream(body, version, exchange) => (body, *version, exchange),
            Self::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    exchange.sent(data.len() as u64);
                }
                close_at_end(body, exchange);
            }
            Some(Err(_)) => exchange.close(Ending::Failed),
            None if is_cut_short(body, version) => {
                exchange.close(Ending::Failed);
                return Poll::Ready(Some(Err(CutShort::Other)));
            }
            None => exchange.close(Ending::Complete),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(CutShort::from)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body, ..) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body, ..) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
