//! Accepts connections, shakes hands, serves each by the protocol that ALPN chose, and drains.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, server::Acceptor};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    Proxy,
    client_stream::ClientStream,
    count,
    forward::{NoAnswer, forward},
    framing::Watched,
    guard::Guard,
    handshakes::Handshakes,
    head_stream::HeadStream,
    passthrough,
    peer::Peer,
    response_body::ResponseBody,
    session::{Protocol, Session},
    tuning,
};

/// Longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What Go's servers answer to plain HTTP on an HTTPS port.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Longest wait for what such a client has sent.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Wait after an error of accept, such as no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Wait for the next request of an HTTP/1.1 connection when the proxy stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How often such errors are logged.
const TELL_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A client that acknowledges nothing for so long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A bound socket with its TLS configuration.
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// The server side of TLS.
    pub tls: Arc<ServerConfig>,
}

/// Serves until `stop`, then lets what is in flight end, at the longest [`Options::drain`].
///
/// [`Options::drain`]: super::Options
pub async fn serve(listener: Listener, proxy: Arc<Proxy>, stop: CancellationToken) {
    if let Ok(own) = listener.tcp.local_addr() {
        for dialer in proxy.front_proxy.iter().chain([&proxy.dialer]) {
            dialer.set_own_address(own);
        }
    }
    let connections = Arc::new(Semaphore::new(proxy.options.connections_max));
    let handshakes = Handshakes::new();
    let tasks = TaskTracker::new();
    let kill = CancellationToken::new();
    let mut pause = Pause::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.tcp.accept()).await {
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause.after(&error).await;
                continue;
            }
        };
        count(&proxy.connections.accepted);
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            count(&proxy.connections.turned_away);
            count(&proxy.connections.closed);
            continue;
        };
        let place = Arc::new(Place {
            proxy: Arc::clone(&proxy),
            kill: kill.clone(),
            _permit: permit,
            _task: tasks.token(),
        });
        let connection = Connection {
            proxy: Arc::clone(&proxy),
            client,
            stop: stop.clone(),
            place: Arc::clone(&place),
        };
        let (tls, handshakes) = (Arc::clone(&listener.tls), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let served = connection.serve(stream, tls, &handshakes);
            place.until_killed(served).await;
        });
    }
    drop(listener.tcp);
    proxy.leave();
    proxy.drain.cancel();
    tasks.close();
    if timeout(proxy.options.drain, tasks.wait()).await.is_err() {
        kill.cancel();
        tasks.wait().await;
    }
}

/// Waits where a connection can't be accepted, and says so now and then: without descriptors
/// each try fails, and their log must not be what fills the disk.
#[derive(Default)]
struct Pause {
    told: Option<Instant>,
}

impl Pause {
    async fn after(&mut self, error: &io::Error) {
        // A connection that was reset before it was accepted is no reason to wait.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        ) {
            return;
        }
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(%error, "cannot accept connections");
            self.told = Some(Instant::now());
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// What a connection turned out to be.
enum Shaken {
    Tls(Box<TlsStream<ClientStream>>),
    /// With what was read of it.
    PassThrough(TcpStream, Vec<u8>),
}

/// A connection's place among those that are allowed. It is held until nothing is left of the
/// connection: an upgraded one lives on as a tunnel.
pub(super) struct Place {
    proxy: Arc<Proxy>,
    kill: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _task: TaskTrackerToken,
}

impl Place {
    /// Runs something of this connection, at the longest until the time to drain is over.
    pub(super) async fn until_killed(&self, task: impl Future<Output = ()>) {
        self.kill.run_until_cancelled(task).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        count(&self.proxy.connections.closed);
    }
}

struct Connection {
    proxy: Arc<Proxy>,
    client: SocketAddr,
    stop: CancellationToken,
    place: Arc<Place>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Arc<ServerConfig>, handshakes: &Arc<Handshakes>) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let shaken = {
            let shaking = self.shake_hands(stream, tls, handshakes);
            timeout(HANDSHAKE_TIMEOUT, shaking).await
        };
        match shaken {
            Ok(Ok(Shaken::Tls(stream))) => self.serve_tls(stream).await,
            Ok(Ok(Shaken::PassThrough(stream, hello))) => {
                passthrough::relay(&self.proxy, stream, hello).await;
            }
            Ok(Err(error)) => {
                count(&self.proxy.connections.handshakes_failed);
                tracing::debug!(client = %self.client, %error, "TLS handshake failed");
            }
            Err(_) => count(&self.proxy.connections.handshakes_failed),
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        handshakes: &Arc<Handshakes>,
    ) -> io::Result<Shaken> {
        if is_plain_http(&stream).await? {
            return refuse_plain_http(stream).await;
        }
        let names = &self.proxy.options.sni_passthrough;
        let place = handshakes.enter(self.client.ip()).await;
        let stream = ClientStream::new(stream, place.progress(), !names.is_empty());
        tokio::select! {
            biased;
            shaken = shake_hands(stream, tls, names) => shaken,
            () = place.given_up() => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn serve_tls(self, stream: Box<TlsStream<ClientStream>>) {
        let verified = self.proxy.front_proxy.is_some();
        let peer = Peer::of(stream.get_ref().1.peer_certificates(), verified);
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let protocol = if is_http2 {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        let session = Arc::new(Session::new(
            Arc::clone(&self.proxy),
            self.client.ip(),
            peer,
            protocol,
            Arc::clone(&self.place),
        ));
        let guard = Arc::clone(&session.guard);
        let service = service_fn(move |request| {
            // Boxed, so that its memory goes with the head of the response: hyper keeps the place of
            // a request's future as long as its stream, and watches last.
            Box::pin(forward(Arc::clone(&session), request))
        });
        let stop = self.stop.child_token();
        let mut serving = pin!(serve_http(stream, is_http2, service, &guard, &stop));
        let serving = poll_fn(|context| {
            guard.begin_turn();
            serving.as_mut().poll(context)
        });
        tokio::select! {
            served = serving => self.note_end(served),
            // Also where the connection was asked to end and doesn't.
            () = guard.must_end(&stop) => {}
        }
    }

    fn note_end(&self, served: hyper::Result<()>) {
        let Err(error) = served else { return };
        if error.is_parse() {
            count(&self.proxy.connections.unparsable);
        }
        tracing::debug!(client = %self.client, %error, "connection ended with an error");
    }
}

/// Serves requests until the connection's end, or until it has ended well after `stop`.
async fn serve_http<S>(
    stream: Box<TlsStream<ClientStream>>,
    is_http2: bool,
    service: S,
    guard: &Arc<Guard>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = ResponseBody, Error = NoAnswer>,
    S::Future: Send + 'static,
{
    if is_http2 {
        let stream = TokioIo::new(HeadStream::http2(stream, Arc::clone(guard)));
        let mut connection = pin!(tuning::server_http2().serve_connection(stream, service));
        tokio::select! {
            served = connection.as_mut() => served,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let stream = HeadStream::http1(stream, Arc::clone(guard));
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(guard)));
        let http1 = tuning::server_http1().serve_connection(stream, service);
        let mut connection = pin!(http1.with_upgrades());
        tokio::select! {
            served = connection.as_mut() => served,
            () = stop.cancelled() => {
                // HTTP/1.1 can't tell a client that a request came too late: those that come
                // soon are served, with the word that the connection ends.
                match timeout(LAST_REQUEST, connection.as_mut()).await {
                    Ok(served) => served,
                    Err(_) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
        }
    }
}

/// Reads the ClientHello, and goes on with it or passes it on.
async fn shake_hands(
    stream: ClientStream,
    tls: Arc<ServerConfig>,
    passed_through: &[Box<str>],
) -> io::Result<Shaken> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let unread = start.io.unread();
    if let Some(hello) = unread
        && passthrough::is_wanted(start.client_hello().server_name(), passed_through)
    {
        return Ok(Shaken::PassThrough(start.io.into_tcp(), hello));
    }
    let mut stream = start.into_stream(tls).await?;
    stream.get_mut().0.settle();
    Ok(Shaken::Tls(Box::new(stream)))
}

/// Whether a client speaks HTTP where TLS is spoken, whose first byte is no letter.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    Ok(count == 1 && first[0].is_ascii_uppercase())
}

/// Says so in the words of Go's servers.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<Shaken> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    // Bytes that nobody read would reset the connection before the answer is.
    let _ = timeout(REFUSAL_TIMEOUT, stream.read(&mut rest)).await;
    Err(io::Error::other("plain HTTP on the HTTPS port"))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEP_ALIVE)
            .with_interval(KEEP_ALIVE / 2),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
