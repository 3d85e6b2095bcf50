//! The upstream connections of one downstream connection, which shares them with nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::{Request, Response, header};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    client,
    dial::{Dialer, Dialled, Endpoint},
    dial_error::DialError,
    error::SendError,
    http1_connections::{self, Http1Connection, Http1Connections},
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
const ATTEMPTS_MAX: u32 = 3;
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
    http2: Arc<Mutex<Option<Http2Connection>>>,
    /// How many of them ended while no credential was proved.
    ended_unproved: AtomicUsize,
    /// Whether the API server chose HTTP/1.1 where it was offered both.
    has_only_http1: AtomicBool,
    http1: Arc<Http1Connections>,
}

/// An HTTP/2 connection, and where it leads.
struct Http2Connection {
    /// `None` once it takes no more requests. One that was handed over in that moment comes back
    /// when the last sender is dropped; see [`Http1Sender`](super::http1_sender::Http1Sender).
    sender: Option<http2::SendRequest<RequestBody>>,
    endpoint: Arc<Endpoint>,
    generation: u64,
}

/// What one request needs of it.
struct Http2Sender {
    sender: http2::SendRequest<RequestBody>,
    endpoint: Arc<Endpoint>,
}

/// What ALPN chose for an upstream connection.
enum Upstream {
    Http2(Http2Sender),
    Http1(Http1Connection),
}

/// The place of the HTTP/2 connection; whoever holds it dials.
type Slot<'s> = MutexGuard<'s, Option<Http2Connection>>;

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
            http2: Arc::default(),
            ended_unproved: AtomicUsize::new(0),
            has_only_http1: AtomicBool::new(false),
            http1: Arc::new(Http1Connections::new(protocol)),
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
        let asked = request.uri().clone();
        for repeats in 0..ATTEMPTS_MAX {
            let Http2Sender {
                mut sender,
                endpoint,
            } = match self.connection().await? {
                Upstream::Http2(sender) => sender,
                Upstream::Http1(open) => {
                    *request.uri_mut() = asked;
                    return self.send_http1(request, Some(open)).await;
                }
            };
            *request.uri_mut() = target::with_authority(&asked, &endpoint)?;
            *request.version_mut() = http::Version::HTTP_2;
            let again = copy(&request);
            let response = sender.try_send_request(request);
            drop(sender);
            match response.await {
                Ok(response) => return Ok(repeated(response, repeats)),
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

    /// A connection for a request that came over HTTP/2: the open one, one of HTTP/1.1 that nothing
    /// goes over now, or a new one.
    async fn connection(&self) -> Result<Upstream, SendError> {
        if let Some(idle) = self.idle_http1().await {
            return Ok(Upstream::Http1(idle));
        }
        let slot = self.http2.lock().await;
        if let Some(open) = self.open(&slot) {
            return Ok(Upstream::Http2(open));
        }
        if slot.is_some() {
            self.note_ended()?;
        }
        // Another one may have dialled, and its request may be done.
        if let Some(idle) = self.idle_http1().await {
            return Ok(Upstream::Http1(idle));
        }
        let before = slot.as_ref().map(|closed| Arc::clone(&closed.endpoint));
        let before = before.or_else(|| self.http1.endpoint());
        let before = before.as_ref();
        let overlaps = self.has_only_http1.load(Ordering::Relaxed);
        if !overlaps || !self.guard.is_authenticated() {
            let dialled = self.counted(self.dialer.dial_any(before).await)?;
            return self.begin(dialled, slot).await;
        }
        // Each request needs a connection of its own, and none waits for another's.
        drop(slot);
        let dialled = self.counted(self.dialer.dial_any(before).await)?;
        let slot = self.http2.lock().await;
        match self.open(&slot) {
            Some(open) => Ok(Upstream::Http2(open)),
            None => self.begin(dialled, slot).await,
        }
    }

    /// The HTTP/2 connection, if requests may go over it.
    fn open(&self, slot: &Slot<'_>) -> Option<Http2Sender> {
        let current = self.dialer.generation();
        let connection = slot.as_ref()?;
        let sender = connection.sender.as_ref()?;
        let is_open = connection.generation == current && !sender.is_closed();
        is_open.then(|| Http2Sender {
            sender: sender.clone(),
            endpoint: Arc::clone(&connection.endpoint),
        })
    }

    async fn idle_http1(&self) -> Option<Http1Connection> {
        if !self.has_only_http1.load(Ordering::Relaxed) {
            return None;
        }
        self.http1.take(self.dialer.generation()).await
    }

    /// Begins HTTP on a connection, by the protocol that ALPN chose.
    async fn begin(&self, dialled: Dialled, mut slot: Slot<'_>) -> Result<Upstream, SendError> {
        let has_only_http1 = !dialled.is_http2();
        self.has_only_http1.store(has_only_http1, Ordering::Relaxed);
        if has_only_http1 {
            *slot = None;
            drop(slot);
            return http1_connections::begin(dialled).await.map(Upstream::Http1);
        }
        let (executor, tasks) = one_task();
        let stream = Paced::new(ResponseHeads::new(TokioIo::new(dialled.stream)));
        let (sender, connection) = client::http2_builder(executor)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::handshake(&error))?;
        let guard = Arc::downgrade(&self.guard);
        let place = Arc::downgrade(&self.http2);
        // After GOAWAY this ends before the connection, whose last responses may take hours.
        let takes_requests = async move {
            let end = connection.await;
            if let Some(place) = place.upgrade() {
                drop_ended(&mut place.lock().await);
            }
            end
        };
        tokio::spawn(async move {
            tasks.run(takes_requests).await;
            if let Some(guard) = guard.upgrade() {
                guard.note_upstream_ended();
            }
        });
        *slot = Some(Http2Connection {
            sender: Some(sender.clone()),
            endpoint: Arc::clone(&dialled.endpoint),
            generation: dialled.generation,
        });
        Ok(Upstream::Http2(Http2Sender {
            sender,
            endpoint: dialled.endpoint,
        }))
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

    /// Sends a request over HTTP/1.1, over `first` if that is given. A connection that was used
    /// before may be closed by the server at any moment; then a fresh one is taken, if nothing was
    /// sent or if the request is one that clients repeat by themselves in this case.
    async fn send_http1(
        &self,
        mut request: Request<RequestBody>,
        first: Option<Http1Connection>,
    ) -> Result<Response<Incoming>, SendError> {
        let asked = request.uri().clone();
        http1_connections::prepare(&mut request);
        let mut next = match first {
            Some(first) => Some(first),
            None => self.http1.take(self.dialer.generation()).await,
        };
        for repeats in 0..ATTEMPTS_MAX {
            let open = match next.take() {
                Some(open) => open,
                None => self.fresh_http1().await?,
            };
            *request.uri_mut() = target::origin_form(&asked, open.endpoint())?;
            let again = open.may_be_closed_unheard(&request).then(|| copy(&request));
            match open.try_send(request).await {
                Ok((response, open)) => {
                    if let Some(open) = open {
                        self.http1.put(open);
                    }
                    return Ok(repeated(response, repeats));
                }
                Err(mut error) => match (error.take_message(), again) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(again)) if !error.error().is_parse() => request = again,
                    (None, _) => return Err(SendError::after_sending(&error.into_error())),
                },
            }
            count(&self.counters.repeated);
        }
        Err(SendError::unprocessed())
    }

    async fn fresh_http1(&self) -> Result<Http1Connection, SendError> {
        let before = self.http1.endpoint();
        let dialled = self.dialer.dial_http1(before.as_ref()).await;
        http1_connections::begin(self.counted(dialled)?).await
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

/// Among a response's extensions: how often its request was sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeats(pub(crate) u32);

fn repeated(mut response: Response<Incoming>, repeats: u32) -> Response<Incoming> {
    if repeats > 0 {
        response.extensions_mut().insert(Repeats(repeats));
    }
    response
}

/// Drops the sender of a connection that takes no more requests.
fn drop_ended(slot: &mut Slot<'_>) {
    if let Some(connection) = &mut **slot {
        connection.sender.take_if(|sender| sender.is_closed());
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
