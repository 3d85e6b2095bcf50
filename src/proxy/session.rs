//! One downstream connection and the upstream connections that belong to it alone.

use std::{
    error::Error,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};

use super::{
    Proxy,
    accept::Place,
    count,
    dial::{DialError, UpstreamStream},
    meter::RequestBody,
    target, tuning,
};
use crate::{
    identity::client::{ClientName, ClientNames},
    ledger::Reason,
};

/// How often a request that was provably not sent is given to a fresh connection.
const ATTEMPTS_MAX: usize = 3;

/// What ALPN chose for the downstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A downstream connection.
pub(super) struct Session {
    pub(super) proxy: Arc<Proxy>,
    pub(super) client: IpAddr,
    pub(super) place: Arc<Place>,
    names: Mutex<ClientNames>,
    protocol: Protocol,
    /// The connection that new requests go over; one that got GOAWAY drains by itself.
    http2: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
    http1: Mutex<Vec<http1::SendRequest<RequestBody>>>,
}

/// Why a request got no response.
#[derive(Debug)]
pub(super) struct SendError {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Session {
    pub(super) fn new(
        proxy: Arc<Proxy>,
        client: IpAddr,
        protocol: Protocol,
        place: Arc<Place>,
    ) -> Self {
        let names = ClientNames::new(proxy.options.component.clone());
        Self {
            proxy,
            client,
            place,
            names: Mutex::new(names),
            protocol,
            http2: tokio::sync::Mutex::new(None),
            http1: Mutex::new(Vec::new()),
        }
    }

    /// The name of the client that sent these headers.
    pub(super) fn client_name(&self, headers: &http::HeaderMap) -> ClientName {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.name(headers, &self.proxy.books)
    }

    /// Sends a request, over the protocol of the downstream connection where the server has it.
    pub(super) async fn send(
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
        let uri = target::with_authority(request.uri(), self.proxy.dialer.authority());
        let received = std::mem::replace(request.uri_mut(), uri);
        request.headers_mut().remove(http::header::HOST);
        *request.version_mut() = http::Version::HTTP_2;
        for _ in 0..ATTEMPTS_MAX {
            let mut sender = match self.http2_sender().await? {
                Dialled::Http2(sender) => sender,
                Dialled::Http1(stream) => {
                    *request.uri_mut() = received;
                    return self.send_http1(request, Some(*stream)).await;
                }
            };
            let again = copy_without_body(&request);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match (error.take_message(), again) {
                    (Some(unsent), _) => request = unsent,
                    (None, again) => {
                        let error = SendError::after_sending(&error.into_error());
                        request = again
                            .filter(|_| error.reason == Reason::Unprocessed)
                            .ok_or(error)?;
                    }
                },
            }
        }
        Err(SendError::unprocessed())
    }

    /// The active HTTP/2 connection, or a new one.
    async fn http2_sender(&self) -> Result<Dialled, SendError> {
        let mut slot = self.http2.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Dialled::Http2(sender.clone()));
        }
        let (stream, is_http2) = self.counted(self.proxy.dialer.dial_any().await)?;
        if !is_http2 {
            return Ok(Dialled::Http1(Box::new(stream)));
        }
        let (sender, connection) = tuning::client_http2()
            .handshake(stream)
            .await
            .map_err(|error| SendError::handshake(&error))?;
        tokio::spawn(connection);
        *slot = Some(sender.clone());
        Ok(Dialled::Http2(sender))
    }

    async fn send_http1(
        &self,
        mut request: Request<RequestBody>,
        mut fresh: Option<UpstreamStream>,
    ) -> Result<Response<Incoming>, SendError> {
        let uri = target::origin_form(request.uri());
        *request.uri_mut() = uri;
        let host = self.proxy.dialer.host().clone();
        request.headers_mut().insert(http::header::HOST, host);
        *request.version_mut() = http::Version::HTTP_11;
        frame_body(&mut request);
        for _ in 0..ATTEMPTS_MAX {
            let mut sender = self.http1_sender(fresh.take()).await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.idle().push(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::after_sending(&error.into_error())),
                },
            }
        }
        Err(SendError::unprocessed())
    }

    /// An HTTP/1.1 connection that nobody uses, or a new one.
    async fn http1_sender(
        &self,
        fresh: Option<UpstreamStream>,
    ) -> Result<http1::SendRequest<RequestBody>, SendError> {
        if fresh.is_none()
            && let Some(sender) = self.idle_sender().await
        {
            return Ok(sender);
        }
        let stream = match fresh {
            Some(stream) => stream,
            None => self.counted(self.proxy.dialer.dial_http1().await)?,
        };
        let (sender, connection) = tuning::client_http1()
            .handshake(stream)
            .await
            .map_err(|error| SendError::handshake(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn idle_sender(&self) -> Option<http1::SendRequest<RequestBody>> {
        loop {
            let mut sender = {
                let mut idle = self.idle();
                idle.retain(|sender| !sender.is_closed());
                match self.protocol {
                    Protocol::Http1 => idle.pop()?,
                    // Requests of one connection overlap: only one that is done may be used.
                    Protocol::Http2 => {
                        let ready = idle.iter().position(http1::SendRequest::is_ready)?;
                        idle.swap_remove(ready)
                    }
                }
            };
            // Its last response was delivered, so this takes no longer than finding a close.
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<http1::SendRequest<RequestBody>>> {
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of its own for one upgrade.
    pub(super) async fn dial_for_upgrade(&self) -> Result<UpstreamStream, SendError> {
        self.counted(self.proxy.dialer.dial_http1().await)
    }

    fn counted<T>(&self, dialled: Result<T, DialError>) -> Result<T, SendError> {
        let connections = &self.proxy.connections;
        match dialled {
            Ok(stream) => {
                count(&connections.upstream_opened);
                Ok(stream)
            }
            Err(error) => {
                count(&connections.upstream_failed);
                tracing::warn!(reason = error.reason.as_str(), %error, "no upstream connection");
                Err(SendError {
                    reason: error.reason,
                    message: error.to_string(),
                })
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
        headers.insert(http::header::TRANSFER_ENCODING, chunked);
    }
}

/// A request that can be sent again, if it has no body: a server that closes its connection
/// gracefully says which requests it never looked at.
fn copy_without_body(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::none());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

enum Dialled {
    Http2(http2::SendRequest<RequestBody>),
    Http1(Box<UpstreamStream>),
}

impl SendError {
    /// Whether the request provably never reached the API server.
    pub(super) fn was_not_sent(&self) -> bool {
        matches!(
            self.reason,
            Reason::Connect | Reason::Tls | Reason::Unprocessed
        )
    }

    fn handshake(error: &hyper::Error) -> Self {
        Self {
            reason: Reason::Connect,
            message: format!("the API server's connection was lost at once: {error}"),
        }
    }

    fn unprocessed() -> Self {
        Self {
            reason: Reason::Unprocessed,
            message: "each connection to the API server was closed before the request was sent"
                .to_owned(),
        }
    }

    pub(super) fn after_sending(error: &hyper::Error) -> Self {
        let http2 = error
            .source()
            .and_then(|cause| cause.downcast_ref::<h2::Error>());
        // h2 gives the GOAWAY itself only to streams behind the last one that the server looked at;
        // the others see the connection's end.
        let refused = http2.is_some_and(|cause| {
            cause.is_remote()
                && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
        });
        let reason = if refused {
            Reason::Unprocessed
        } else if error.is_user() {
            Reason::RequestBody
        } else if error.is_parse() {
            Reason::BadResponse
        } else {
            Reason::UpstreamLost
        };
        Self {
            reason,
            message: format!("no response from the API server: {error}"),
        }
    }
}
