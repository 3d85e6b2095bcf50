//! Accepts connections, shakes hands, serves each by the protocol that ALPN chose, and drains.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Proxy, count,
    forward::{NoAnswer, forward},
    framing::Watched,
    guard::Guard,
    meter::ResponseBody,
    session::{Protocol, Session},
    tuning,
};
use std::sync::atomic::Ordering;

/// Longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most TLS handshakes at once. Only who has begun to shake hands counts: silent connections must
/// not keep others out.
const HANDSHAKES_MAX: usize = 1_024;
/// What Go's servers answer to plain HTTP on an HTTPS port.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Longest wait for what such a client has sent.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Wait after an error of accept, such as no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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
    let acceptor = TlsAcceptor::from(listener.tls);
    let connections = Arc::new(Semaphore::new(proxy.options.connections_max));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
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
        let connection = Connection {
            proxy: Arc::clone(&proxy),
            client,
            stop: stop.clone(),
        };
        let (acceptor, handshakes) = (acceptor.clone(), Arc::clone(&handshakes));
        let kill = kill.clone();
        tasks.spawn(async move {
            let closed = Arc::clone(&connection.proxy);
            let served = connection.serve(stream, acceptor, &handshakes);
            kill.run_until_cancelled(served).await;
            count(&closed.connections.closed);
            drop(permit);
        });
    }
    drop(listener.tcp);
    proxy.draining.store(true, Ordering::Relaxed);
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

struct Connection {
    proxy: Arc<Proxy>,
    client: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, acceptor: TlsAcceptor, handshakes: &Semaphore) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let shaken = {
            let shake = async {
                if is_plain_http(&stream).await? {
                    return refuse_plain_http(stream).await;
                }
                let _permit = handshakes.acquire().await;
                acceptor.accept(stream).await
            };
            timeout(HANDSHAKE_TIMEOUT, shake).await
        };
        match shaken {
            Ok(Ok(stream)) => self.serve_tls(stream).await,
            Ok(Err(error)) => {
                count(&self.proxy.connections.handshakes_failed);
                tracing::debug!(client = %self.client, %error, "TLS handshake failed");
            }
            Err(_) => count(&self.proxy.connections.handshakes_failed),
        }
    }

    async fn serve_tls(self, stream: TlsStream<TcpStream>) {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let protocol = if is_http2 {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        let session = Arc::new(Session::new(
            Arc::clone(&self.proxy),
            self.client.ip(),
            protocol,
        ));
        let guard = Arc::clone(&session.guard);
        let service = service_fn(move |request| forward(Arc::clone(&session), request));
        let stop = self.stop.child_token();
        let serving = serve_http(stream, is_http2, service, &guard, &stop);
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
    stream: TlsStream<TcpStream>,
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
        let stream = TokioIo::new(stream);
        let mut connection = pin!(tuning::server_http2().serve_connection(stream, service));
        tokio::select! {
            served = connection.as_mut() => served,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(guard)));
        let http1 = tuning::server_http1().serve_connection(stream, service);
        let mut connection = pin!(http1.with_upgrades());
        tokio::select! {
            served = connection.as_mut() => served,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }
}

/// Whether a client speaks HTTP where TLS is spoken, whose first byte is no letter.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    Ok(count == 1 && first[0].is_ascii_uppercase())
}

/// Says so in the words of Go's servers.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
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
