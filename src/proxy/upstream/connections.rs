//! The upstream connections of one downstream connection, which shares them with nobody.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::TokioIo;

use super::{
    client,
    dial::{DialError, Dialer, Dialled, Endpoint},
    error::SendError,
    one_task::one_task,
    paced::Paced,
    response_heads::ResponseHeads,
    target,
};
use crate::{
    accounting::request_body::RequestBody,
    counters::{ConnectionCounters, count},
    downstream::{guard::ConnectionGuard, handshake::Protocol},
};
use ledger::Reason;

/// How often a request that was provably not sent is given to a fresh connection.
const ATTEMPTS_MAX: usize = 3;
/// How many connections that the API server ended are replaced while no credential is proved: it
/// ends each of them after one request, so that such a client pays for a handshake per request.
const ENDED_UNPROVED_MAX: usize = 3;

/// The upstream connections of one downstream connection.
pub(crate) struct UpstreamConnections {
    dialer: Arc<Dialer>,
    counters: Arc<ConnectionCounters>,
    guard: Arc<ConnectionGuard>,
    /// The protocol of the downstream connection.
    protocol: Protocol,
    /// The connection that new requests go over; one that got GOAWAY drains by itself.
    http2: tokio::sync::Mutex<Option<Http2Sender>>,
    /// How many of them ended while no credential was proved.
    ended_unproved: AtomicUsize,
    http1: Mutex<Vec<Http1Sender>>,
}

/// An HTTP/2 connection, and where it leads.
#[derive(Clone)]
struct Http2Sender {
    sender: http2::SendRequest<RequestBody>,
    endpoint: Arc<Endpoint>,
}

/// An HTTP/1.1 connection, and where it leads.
struct Http1Sender {
    sender: http1::SendRequest<RequestBody>,
    endpoint: Arc<Endpoint>,
}

/// What ALPN chose for an upstream connection.
enum Upstream {
    Http2(Http2Sender),
    Http1(Box<Dialled>),
}

impl UpstreamConnections {
    /// None yet, for the downstream connection of `guard`, which speaks `protocol`.
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        counters: Arc<ConnectionCounters>,
        guard: Arc<ConnectionGuard>,
        protocol: Protocol,
    ) -> Self {
        Self {
            dialer,
            counters,
            guard,
            protocol,
            http2: tokio::sync::Mutex::new(None),
            ended_unproved: AtomicUsize::new(0),
            http1: Mutex::new(Vec::new()),
        }
    }

    /// Sends a request, over the protocol of the downstream connection where the server has it.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        match self.protocol {
            Protocol::Http1 => self.send_http1(request, None).await,
            Protocol::Http2 => self.send_http2(request).await,
        }
    }

    async fn send_http2(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        request.headers_mut().remove(header::HOST);
        for _ in 0..ATTEMPTS_MAX {
            let Http2Sender {
                mut sender,
                endpoint,
            } = match self.http2_sender().await? {
                Upstream::Http2(sender) => sender,
                Upstream::Http1(fresh) => return self.send_http1(request, Some(*fresh)).await,
            };
            let uri = target::with_authority(request.uri(), endpoint.authority());
            *request.uri_mut() = uri;
            *request.version_mut() = http::Version::HTTP_2;
            let again = copy(&request);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        let error = SendError::after_sending(&error.into_error());
                        if error.reason != Reason::Unprocessed {
                            return Err(error);
                        }
                        if !again.body().is_whole() {
                            return Err(error.into_lost());
                        }
                        request = again;
                    }
                },
            }
            count(&self.counters.repeated);
        }
        Err(SendError::unprocessed())
    }

    /// The active HTTP/2 connection, or a new one.
    async fn http2_sender(&self) -> Result<Upstream, SendError> {
        let mut slot = self.http2.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| !open.sender.is_closed()) {
            return Ok(Upstream::Http2(open.clone()));
        }
        if slot.is_some() {
            self.note_ended()?;
        }
        let before = slot.as_ref().map(|closed| &closed.endpoint);
        let dialled = self.counted(self.dialer.dial_any(before).await)?;
        if !dialled.is_http2() {
            return Ok(Upstream::Http1(Box::new(dialled)));
        }
        let (executor, tasks) = one_task();
        let stream = Paced::new(ResponseHeads::new(TokioIo::new(dialled.stream)));
        let (sender, connection) = client::http2_builder(executor)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::handshake(&error))?;
        let guard = Arc::downgrade(&self.guard);
        tokio::spawn(async move {
            tasks.run(connection).await;
            if let Some(guard) = guard.upgrade() {
                guard.note_upstream_ended();
            }
        });
        let endpoint = dialled.endpoint;
        let open = Http2Sender { sender, endpoint };
        *slot = Some(open.clone());
        Ok(Upstream::Http2(open))
    }

    /// The API server ended the connection of this client.
    fn note_ended(&self) -> Result<(), SendError> {
        if self.guard.is_authenticated() {
            return Ok(());
        }
        self.guard.note_upstream_ended();
        if self.ended_unproved.fetch_add(1, Ordering::Relaxed) < ENDED_UNPROVED_MAX {
            return Ok(());
        }
        Err(SendError::always_ended())
    }

    async fn send_http1(
        &self,
        mut request: Request<RequestBody>,
        mut fresh: Option<Dialled>,
    ) -> Result<Response<Incoming>, SendError> {
        let uri = target::origin_form(request.uri());
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_11;
        frame_body(&mut request);
        for _ in 0..ATTEMPTS_MAX {
            let mut open = self.http1_sender(fresh.take()).await?;
            let host = open.endpoint.host().clone();
            request.headers_mut().insert(header::HOST, host);
            match open.sender.try_send_request(request).await {
                Ok(response) => {
                    self.idle().push(open);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::after_sending(&error.into_error())),
                },
            }
            count(&self.counters.repeated);
        }
        Err(SendError::unprocessed())
    }

    /// An idle HTTP/1.1 connection, or a new one.
    async fn http1_sender(&self, fresh: Option<Dialled>) -> Result<Http1Sender, SendError> {
        if fresh.is_none()
            && let Some(open) = self.idle_sender().await
        {
            return Ok(open);
        }
        let dialled = match fresh {
            Some(dialled) => dialled,
            None => self.counted(self.dialer.dial_http1(None).await)?,
        };
        let (sender, connection) = client::http1_builder()
            .handshake(dialled.stream)
            .await
            .map_err(|error| SendError::handshake(&error))?;
        tokio::spawn(connection);
        let endpoint = dialled.endpoint;
        Ok(Http1Sender { sender, endpoint })
    }

    async fn idle_sender(&self) -> Option<Http1Sender> {
        loop {
            let mut open = {
                let mut idle = self.idle();
                idle.retain(|open| !open.sender.is_closed());
                match self.protocol {
                    Protocol::Http1 => idle.pop()?,
                    // Requests of one connection overlap: only one that is done may be used.
                    Protocol::Http2 => {
                        let ready = idle.iter().position(|open| open.sender.is_ready())?;
                        idle.swap_remove(ready)
                    }
                }
            };
            // Its last response was delivered, so this takes no longer than finding a close.
            if open.sender.ready().await.is_ok() {
                return Some(open);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Http1Sender>> {
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of its own for one upgrade.
    pub(crate) async fn dial_for_upgrade(&self) -> Result<Dialled, SendError> {
        self.counted(self.dialer.dial_http1(None).await)
    }

    fn counted<T>(&self, dialled: Result<T, DialError>) -> Result<T, SendError> {
        match dialled {
            Ok(stream) => {
                count(&self.counters.upstream_opened);
                Ok(stream)
            }
            Err(error) => {
                count(&self.counters.upstream_failed);
                tracing::warn!(reason = error.reason.as_str(), %error, "no upstream connection");
                Err(error.into())
            }
        }
    }
}

/// hyper sends no body of unknown length with a method that seldom has one, unless it is told to.
fn frame_body(request: &mut Request<RequestBody>) {
    let body = request.body();
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        let headers = request.headers_mut();
        headers.insert(header::TRANSFER_ENCODING, chunked);
    }
}

/// A request to be sent again where a server that closes its connection gracefully says that it
/// never looked at the first one.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().again());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy
}
