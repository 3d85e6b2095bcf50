//! The HTTP/1.1 connections to the API server of one downstream connection: each carries one request
//! at a time, and waits for the next.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::{task::yield_now, time::sleep};

use super::{
    client,
    dial::{Dialled, Endpoint},
    error::SendError,
    http1_sender::Http1Sender,
};
use crate::{accounting::request_body::RequestBody, downstream::handshake::Protocol};

/// How often connections that wait are looked at.
const ROUND: Duration = Duration::from_secs(20);
/// How many rounds in a row a connection may wait. It goes before kube-apiserver would close it,
/// which is after 90 s: a request that meets that close may be lost.
const ROUNDS_MAX: u8 = 3;

/// An HTTP/1.1 connection, and where it leads.
pub(super) struct Http1Connection {
    sender: Http1Sender<RequestBody>,
    endpoint: Arc<Endpoint>,
    /// The dialler's when it was made.
    generation: u64,
    /// Whether a request went over it before.
    is_used: bool,
    /// How many rounds it has waited.
    rounds: u8,
}

/// Begins HTTP/1.1 on a connection.
pub(super) async fn begin(dialled: Dialled) -> Result<Http1Connection, SendError> {
    let (sender, connection) = client::http1_builder()
        .handshake(dialled.stream)
        .await
        .map_err(|error| SendError::handshake(&error))?;
    Ok(Http1Connection {
        sender: Http1Sender::spawn(sender, connection),
        endpoint: dialled.endpoint,
        generation: dialled.generation,
        is_used: false,
        rounds: 0,
    })
}

/// Gives a request the form of HTTP/1.1, but for its target.
pub(super) fn prepare(request: &mut Request<RequestBody>) {
    *request.version_mut() = http::Version::HTTP_11;
    frame_body(request);
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

impl Http1Connection {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the server may close it as the request goes out, without having seen it, and nothing
    /// is done twice if the request is sent again. Go's client repeats the same requests.
    pub(super) fn may_be_closed_unheard(&self, request: &Request<RequestBody>) -> bool {
        self.is_used && request.method().is_safe() && request.body().is_end_stream()
    }

    /// Sends a request. Its response comes with the connection, unless that has ended; its error has
    /// the request where nothing of it was sent.
    pub(super) async fn try_send(
        self,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Option<Self>), TrySendError<Request<RequestBody>>> {
        let host = self.endpoint.host().clone();
        request.headers_mut().insert(header::HOST, host);
        let (response, sender) = self.sender.send(request).await?;
        Ok((response, sender.map(|sender| Self { sender, ..self })))
    }
}

/// Connections that carry a request or wait for one.
pub(super) struct Http1Connections {
    /// The protocol of the downstream connection.
    protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that was used last is the last one.
    open: Vec<Http1Connection>,
    /// Where the last one leads.
    endpoint: Option<Arc<Endpoint>>,
    is_pruned: bool,
}

impl Http1Connections {
    /// None yet, for a downstream connection that speaks `protocol`.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            state: Mutex::default(),
        }
    }

    /// Where the last request went.
    pub(super) fn endpoint(&self) -> Option<Arc<Endpoint>> {
        self.state().endpoint.clone()
    }

    /// Keeps a connection whose request has got the head of its response.
    pub(super) fn put(self: &Arc<Self>, mut connection: Http1Connection) {
        (connection.is_used, connection.rounds) = (true, 0);
        let mut state = self.state();
        state.endpoint = Some(Arc::clone(&connection.endpoint));
        state.open.push(connection);
        // A client of HTTP/1.1 has one at most, which goes when it goes.
        if self.protocol == Protocol::Http2 && !state.is_pruned {
            state.is_pruned = true;
            tokio::spawn(prune(Arc::downgrade(self)));
        }
    }

    /// A connection of the dialler's generation whose last response has ended, if there is one.
    pub(super) async fn take(&self, generation: u64) -> Option<Http1Connection> {
        loop {
            let waiting = self.take_waiting(generation);
            let mut connection = match waiting {
                Some(connection) => connection,
                None if self.state().open.is_empty() => return None,
                None => {
                    // The client may have the end of a response, and send the next request, a
                    // moment before the connection that brought it says that it is done.
                    yield_now().await;
                    self.take_waiting(generation)?
                }
            };
            // Its last response was delivered, so this takes no longer than finding a close.
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn take_waiting(&self, generation: u64) -> Option<Http1Connection> {
        let mut state = self.state();
        let open = &mut state.open;
        open.retain(|one| one.generation == generation && !one.sender.is_closed());
        match self.protocol {
            Protocol::Http1 => open.pop(),
            // Requests of one connection overlap: only one that is done may be used.
            Protocol::Http2 => {
                let ready = open.iter().rposition(|one| one.sender.is_ready())?;
                Some(open.remove(ready))
            }
        }
    }

    /// Closes what has waited too long, and says whether anything is left.
    fn prune(&self) -> bool {
        let mut state = self.state();
        state.open.retain_mut(|connection| {
            let waits = connection.sender.is_ready();
            connection.rounds = if waits { connection.rounds + 1 } else { 0 };
            !connection.sender.is_closed() && connection.rounds <= ROUNDS_MAX
        });
        state.is_pruned = !state.open.is_empty();
        state.is_pruned
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that wait too long, until none is left.
async fn prune(connections: Weak<Http1Connections>) {
    loop {
        sleep(ROUND).await;
        let Some(connections) = connections.upgrade() else {
            return;
        };
        if !connections.prune() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, DuplexStream, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    async fn connection() -> (Http1Connection, DuplexStream) {
        let (near, far) = duplex(64);
        let (sender, connection) = client::http1_builder()
            .handshake(TokioIo::new(near))
            .await
            .unwrap();
        let connection = Http1Connection {
            sender: Http1Sender::spawn(sender, connection),
            endpoint: Arc::new(Endpoint::new("https://127.0.0.1:1").unwrap()),
            generation: 0,
            is_used: false,
            rounds: 0,
        };
        (connection, far)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_closes_before_the_server_would_close_it() {
        let connections = Arc::new(Http1Connections::new(Protocol::Http2));
        for _ in 0..2 {
            let (connection, mut server) = connection().await;
            let put = Instant::now();
            connections.put(connection);
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
            let waited = put.elapsed();
            assert!(
                waited > 3 * ROUND && waited < Duration::from_secs(85),
                "{waited:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_used_now_and_then_stays_and_one_is_taken_at_a_time() {
        let connections = Arc::new(Http1Connections::new(Protocol::Http2));
        let (connection, mut server) = connection().await;
        connections.put(connection);
        for _ in 0..10 {
            sleep(2 * ROUND).await;
            let taken = connections.take(0).await.unwrap();
            assert!(connections.take(0).await.is_none());
            connections.put(taken);
        }
        // They go with the client.
        drop(connections);
        let end = timeout(Duration::from_secs(1), server.read(&mut [0])).await;
        assert_eq!(end.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_from_before_the_proxys_certificate_became_another_one_is_closed() {
        let connections = Arc::new(Http1Connections::new(Protocol::Http2));
        let (connection, mut server) = connection().await;
        connections.put(connection);
        assert!(connections.take(1).await.is_none());
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    }
}
