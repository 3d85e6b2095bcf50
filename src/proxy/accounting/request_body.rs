//! A request's body on its way to the API server: its bytes are counted, and it is kept as long as
//! it may have to be sent again.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    body_end::{CutShort, is_cut_short},
    kept_bodies::Kept,
    reading::RequestReader,
};
use crate::wire::headers::{self, ConnectionNames};

/// A request's body on its way to the API server; `None` where there is none.
pub(crate) struct RequestBody {
    shared: Option<Arc<SharedBody>>,
    /// How many of the kept frames are sent.
    next: usize,
    /// How often it was sent before.
    attempt: u32,
}

/// What a request in flight knows of its body. The body itself is owned by who sends it on: once
/// nobody does, nothing more is taken from the client.
pub(super) struct SentBody {
    bytes: Arc<AtomicU64>,
    shared: Weak<SharedBody>,
}

impl SentBody {
    /// How many bytes of it were taken from the client.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Drops what was kept for sending it again: the request was answered.
    pub(super) fn drop_kept(&self) {
        if let Some(body) = self.shared.upgrade() {
            body.drop_kept();
        }
    }
}

/// A body, and what was taken of it as long as it may have to be sent again.
struct SharedBody {
    version: Version,
    /// What the request's `Connection` named.
    connection_names: ConnectionNames,
    bytes: Arc<AtomicU64>,
    reader: Option<RequestReader>,
    state: Mutex<BodyState>,
}

struct BodyState {
    inner: Incoming,
    kept: Kept,
    /// The attempt that may take from the client.
    attempt: u32,
}

impl RequestBody {
    /// The body of a request that came by this version of HTTP, and what is known of it as it is
    /// sent on; its trailers lose what its `Connection` named. `kept` is still empty. It is read as
    /// it passes, if there is a reader.
    pub(super) fn of(
        body: Incoming,
        version: Version,
        names: ConnectionNames,
        kept: impl FnOnce() -> Kept,
        reader: Option<RequestReader>,
    ) -> (Self, Option<SentBody>) {
        let mut own = Self {
            shared: None,
            next: 0,
            attempt: 0,
        };
        if body.is_end_stream() {
            return (own, None);
        }
        let shared = Arc::new(SharedBody::new(body, version, names, kept(), reader));
        let sent = SentBody {
            bytes: Arc::clone(&shared.bytes),
            shared: Arc::downgrade(&shared),
        };
        own.shared = Some(shared);
        (own, Some(sent))
    }

    /// The same body from its beginning, which is kept from now on; see
    /// [`is_whole`](Self::is_whole).
    pub(crate) fn again(&self) -> Self {
        if let Some(body) = &self.shared {
            body.state().kept.want();
        }
        Self {
            shared: self.shared.clone(),
            next: 0,
            attempt: self.attempt + 1,
        }
    }

    /// Whether all of it is still there.
    pub(crate) fn is_whole(&self) -> bool {
        self.shared
            .as_ref()
            .is_none_or(|body| body.state().kept.is_whole())
    }
}

impl SharedBody {
    fn new(
        inner: Incoming,
        version: Version,
        connection_names: ConnectionNames,
        kept: Kept,
        reader: Option<RequestReader>,
    ) -> Self {
        let state = BodyState {
            inner,
            kept,
            attempt: 0,
        };
        Self {
            version,
            connection_names,
            bytes: Arc::default(),
            reader,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, BodyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_kept(&self) {
        self.state().kept.give_up();
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
        if this.attempt < state.attempt {
            // What is left of an attempt that failed must not take what the next one needs.
            return Poll::Ready(None);
        }
        state.attempt = this.attempt;
        if let Some(data) = state.kept.frames().get(this.next) {
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
                if let Some(reader) = &shared.reader {
                    reader.read(data);
                }
                state.kept.add(data);
                this.next = state.kept.frames().len();
            } else if let Some(trailers) = frame.trailers_mut() {
                // Trailers are not kept.
                state.kept.give_up();
                headers::prepare_request_trailers(trailers, &shared.connection_names);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(CutShort::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.state();
            self.next >= state.kept.frames().len() && state.inner.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else {
            // Where there is no body hyper must not find a length to tell: the client told none.
            return SizeHint::new();
        };
        let state = shared.state();
        let kept = state.kept.frames().iter().skip(self.next);
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
