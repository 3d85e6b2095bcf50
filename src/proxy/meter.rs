//! Bodies that pass through and are booked as they pass.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
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
use tokio::time::sleep;

use super::{
    Proxy,
    events::Events,
    guard::Visit,
    headers::{self, Named},
    target,
};
use crate::{
    identity::{
        client::Client,
        proof::{self, Proof},
    },
    ledger::{Answer, Ending, Entry, Outcome, Reason, Standing},
};

/// Most bytes of a request's body that are kept for sending it again.
const KEPT_MAX: usize = 64 << 10;
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// One request and its entry in the books. Whatever happens, it is answered and closed once:
/// dropped before an answer, its client went away.
pub(super) struct Exchange {
    entry: Entry,
    visit: Visit,
    started: Instant,
    asked: Asked,
    body: Option<SentBody>,
    /// Of a watch, how far its events have come.
    events: Option<Events>,
    /// What the response's `Connection` named.
    named: Named,
}

/// What an exchange knows of its request's body. The body itself goes with who sends it on: of one
/// that nobody wants any more, nothing is to be taken from the client.
struct SentBody {
    bytes: Arc<AtomicU64>,
    shared: Weak<SharedBody>,
}

/// What was asked, and by whom.
pub(super) struct Asked {
    pub(super) client: Arc<Client>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) kind: proof::Asked,
    pub(super) is_watch: bool,
}

impl Exchange {
    pub(super) fn new(entry: Entry, visit: Visit, asked: Asked) -> Self {
        Self {
            entry,
            visit,
            started: Instant::now(),
            asked,
            body: None,
            events: None,
            named: Named::default(),
        }
    }

    /// Counts the bytes of the request's body, which came by this version of HTTP; its trailers
    /// lose what its `Connection` named.
    pub(super) fn meter(&mut self, body: Incoming, version: Version, named: Named) -> RequestBody {
        if body.is_end_stream() {
            return RequestBody::none();
        }
        let shared = Arc::new(SharedBody::new(body, version, named));
        self.body = Some(SentBody {
            bytes: Arc::clone(&shared.bytes),
            shared: Arc::downgrade(&shared),
        });
        RequestBody {
            shared: Some(shared),
            next: 0,
            turn: 0,
        }
    }

    /// Notes that the proxy itself knows the client's credential to be a good one.
    pub(super) fn vouch(&mut self) {
        self.asked.client = Arc::new(self.asked.client.vouched());
    }

    /// The response's trailers lose what its `Connection` named.
    pub(super) fn strip_trailers(&mut self, named: Named) {
        self.named = named;
    }

    /// Books the API server's response.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.asked.is_watch && status == StatusCode::OK {
            self.events = Some(Events::of(headers));
        }
        if let Some(body) = self.body.as_ref().and_then(|body| body.shared.upgrade()) {
            body.forget();
        }
        let audit_id = headers.get(AUDIT_ID).and_then(|id| id.to_str().ok());
        let proof = Proof::of(status, headers, self.asked.kind);
        self.book(Outcome::Code(status.as_u16()), proof, audit_id);
    }

    /// Books that there is no response, and why. There won't be anything more.
    pub(super) fn unanswered(&mut self, reason: Reason) {
        self.book(Outcome::NoAnswer(reason), Proof::Nothing, None);
        self.close(Ending::Complete);
    }

    /// Counts bytes that went to the client.
    pub(super) fn sent(&self, bytes: u64) {
        self.entry.add_response_bytes(bytes);
    }

    /// Whether the response is a watch that may end here as if it were at its end: its client goes
    /// on from the last event that it got, which is all that it would do had its own connection to
    /// the API server been lost.
    fn is_between_events(&self) -> bool {
        self.events.as_ref().is_some_and(Events::is_between)
    }

    /// Counts bytes that an upgraded connection took from the client.
    pub(super) fn received(&self, bytes: u64) {
        self.entry.add_request_bytes(bytes);
    }

    /// Closes the entry; later endings don't count.
    pub(super) fn close(&mut self, ending: Ending) {
        if let Some(body) = self.body.take() {
            self.entry
                .add_request_bytes(body.bytes.load(Ordering::Relaxed));
        }
        self.entry.close(ending, self.started.elapsed());
    }

    fn book(&mut self, outcome: Outcome, proof: Proof, audit_id: Option<&str>) {
        let Asked {
            client,
            method,
            uri,
            ..
        } = &self.asked;
        let booked = client.book(proof);
        if booked.standing == Standing::Authenticated {
            self.visit.note_authenticated();
        }
        self.entry.answer(Answer {
            outcome,
            party: booked.party,
            standing: booked.standing,
            name: &|with| target::name_call(method, uri, |name, _| with(name)),
            elapsed: self.started.elapsed(),
            at_micros: jiff::Timestamp::now().as_microsecond(),
            audit_id,
            object: &|| target::object(method, uri),
        });
        // A watch has no more use for it, and it may be long.
        self.asked.uri = Uri::default();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.entry.is_answered() {
            self.visit.taken_back();
            self.book(Outcome::NoAnswer(Reason::ClientGone), Proof::Nothing, None);
        }
        self.close(Ending::Dropped);
    }
}

/// A request's body on its way to the API server; `None` where there is none.
pub(super) struct RequestBody {
    shared: Option<Arc<SharedBody>>,
    /// How many of the kept frames are sent.
    next: usize,
    /// How often it was sent before.
    turn: u32,
}

/// A body, and the beginning of it as long as it may have to be sent again.
struct SharedBody {
    version: Version,
    /// What the request's `Connection` named.
    named: Named,
    bytes: Arc<AtomicU64>,
    state: Mutex<BodyState>,
}

struct BodyState {
    inner: Incoming,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// Whether `kept` is all that was taken from the client.
    whole: bool,
    /// Whose turn it is to take from the client.
    turn: u32,
}

impl RequestBody {
    /// No body.
    pub(super) fn none() -> Self {
        Self {
            shared: None,
            next: 0,
            turn: 0,
        }
    }

    /// The same body from its beginning; see [`is_whole`](Self::is_whole).
    pub(super) fn again(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            next: 0,
            turn: self.turn + 1,
        }
    }

    /// Whether the beginning is still there.
    pub(super) fn is_whole(&self) -> bool {
        self.shared.as_ref().is_none_or(|body| body.state().whole)
    }
}

impl SharedBody {
    fn new(inner: Incoming, version: Version, named: Named) -> Self {
        let state = BodyState {
            inner,
            kept: Vec::new(),
            kept_bytes: 0,
            whole: true,
            turn: 0,
        };
        Self {
            version,
            named,
            bytes: Arc::default(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, BodyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what was kept: the request was answered.
    fn forget(&self) {
        let mut state = self.state();
        state.whole = false;
        state.kept = Vec::new();
    }
}

impl BodyState {
    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes += data.len();
        self.whole &= self.kept_bytes <= KEPT_MAX;
        if self.whole {
            self.kept.push(data.clone());
        } else {
            self.kept = Vec::new();
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
        let this = &mut *self;
        let Some(shared) = &this.shared else {
            return Poll::Ready(None);
        };
        let mut state = shared.state();
        if this.turn < state.turn {
            // What is left of an attempt that failed must not take what the next one needs.
            return Poll::Ready(None);
        }
        state.turn = this.turn;
        if let Some(data) = state.kept.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let mut frame = ready!(Pin::new(&mut state.inner).poll_frame(context));
        if frame.is_none() && is_cut_short(&state.inner, shared.version) {
            let reason = h2::Reason::CANCEL.into();
            return Poll::Ready(Some(Err(CutShort::Request(reason))));
        }
        if let Some(Ok(frame)) = &mut frame {
            if let Some(data) = frame.data_ref() {
                let length = data.len() as u64;
                shared.bytes.fetch_add(length, Ordering::Relaxed);
                state.keep(data);
                this.next = state.kept.len();
            } else if let Some(trailers) = frame.trailers_mut() {
                // Trailers are not kept.
                state.whole = false;
                headers::prepare_request_trailers(trailers, &shared.named);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(CutShort::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.state();
            self.next >= state.kept.len() && state.inner.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else {
            // Where there is no body hyper must not find a length to tell: the client told none.
            return SizeHint::new();
        };
        let state = shared.state();
        let kept = state.kept.iter().skip(self.next);
        let kept: u64 = kept.map(|data| data.len() as u64).sum();
        let rest = state.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + kept);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + kept);
        }
        hint
    }
}

/// A response's body on its way to the client.
pub(super) enum ResponseBody {
    /// The API server's, the version of HTTP it came by, and the exchange that its end closes.
    Upstream(Incoming, Version, Box<Exchange>),
    /// The same of a watch, which also ends when the proxy stops; `None` once its moment has come.
    Watch(Incoming, Version, Box<Exchange>, Option<EndOfWatch>),
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
    pub(super) fn upstream(
        body: Incoming,
        version: Version,
        mut exchange: Exchange,
        proxy: &Arc<Proxy>,
    ) -> Self {
        close_at_end(&body, &mut exchange);
        let exchange = Box::new(exchange);
        if exchange.events.is_some() {
            Self::Watch(
                body,
                version,
                exchange,
                Some(end_of_watch(Arc::clone(proxy))),
            )
        } else {
            Self::Upstream(body, version, exchange)
        }
    }

    pub(super) fn empty() -> Self {
        Self::Own(Full::default())
    }
}

/// Comes when the proxy stops, at a moment of each watch's own, so that not all clients come back
/// at once.
type EndOfWatch = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

fn end_of_watch(proxy: Arc<Proxy>) -> EndOfWatch {
    Box::pin(async move {
        proxy.drain.cancelled().await;
        sleep(proxy.options.watch_drain.mul_f64(rand::random())).await;
    })
}

/// Whether the API server's connection was lost, rather than this one stream reset or its bytes
/// broken. client-go's reflector goes on where it was after a watch that just ends, and after one
/// whose HTTP/1.1 connection is lost; a stream that is reset it takes for an error, and lists all.
fn is_connection_lost(error: &hyper::Error) -> bool {
    let Some(cause) = error.source() else {
        return true;
    };
    if let Some(http2) = cause.downcast_ref::<h2::Error>() {
        return http2.is_io() || (http2.is_go_away() && http2.is_remote());
    }
    let broken = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
    let io = cause.downcast_ref::<io::Error>();
    io.is_none_or(|io| !broken.contains(&io.kind()))
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
            Self::Watch(body, version, exchange, end) => {
                end.take_if(|end| end.as_mut().poll(context).is_ready());
                if end.is_none() && exchange.is_between_events() {
                    exchange.close(Ending::Dropped);
                    return Poll::Ready(None);
                }
                (body, *version, exchange)
            }
            Self::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
        };
        let mut frame = ready!(Pin::new(&mut *body).poll_frame(context));
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    exchange.sent(data.len() as u64);
                    if let Some(events) = &mut exchange.events {
                        events.read(data);
                    }
                    close_at_end(body, exchange);
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::prepare_response_trailers(trailers, &exchange.named);
                    // Nothing follows, and nobody asks for more.
                    exchange.close(Ending::Complete);
                }
            }
            Some(Err(error)) => {
                exchange.close(Ending::Failed);
                if exchange.is_between_events() && is_connection_lost(error) {
                    return Poll::Ready(None);
                }
            }
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
            Self::Upstream(body, ..) | Self::Watch(body, ..) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body, ..) | Self::Watch(body, ..) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
