//! The handshake of a downstream connection: TLS, or the reading of a ClientHello that is to be
//! passed through.

use std::{io, sync::Arc, time::Duration};

use rustls::{ServerConfig, server::Acceptor};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{client_stream::ClientStream, handshake_slots::HandshakeSlot};

/// What Go's servers answer to plain HTTP on an HTTPS port.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Longest wait for what such a client has sent.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A client that acknowledges nothing for so long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection whose TLS handshake is done.
pub(crate) type TlsConnection = Box<TlsStream<ClientStream>>;

/// What a connection turned out to be.
pub(crate) enum Accepted {
    Tls(TlsConnection),
    /// With what was read of it.
    PassThrough(TcpStream, Vec<u8>),
}

/// The version of HTTP that ALPN chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn of(stream: &TlsConnection) -> Self {
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Self::Http2
        } else {
            Self::Http1
        }
    }
}

/// Reads the ClientHello and shakes hands, or passes the connection through if the client asks for
/// one of the server names in `passed_through`.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] where `slot` went to another client; else what failed.
pub(crate) async fn accept(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    passed_through: &[Box<str>],
    slot: &HandshakeSlot,
) -> io::Result<Accepted> {
    let stream = ClientStream::new(stream, slot.progress(), !passed_through.is_empty());
    tokio::select! {
        biased;
        accepted = shake_hands(stream, tls, passed_through) => accepted,
        () = slot.evicted() => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn shake_hands(
    stream: ClientStream,
    tls: Arc<ServerConfig>,
    passed_through: &[Box<str>],
) -> io::Result<Accepted> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let unread = start.io.take_hello();
    if let Some(hello) = unread
        && is_passed_through(start.client_hello().server_name(), passed_through)
    {
        return Ok(Accepted::PassThrough(start.io.into_tcp(), hello));
    }
    let mut stream = start.into_stream(tls).await?;
    stream.get_mut().0.end_handshake();
    Ok(Accepted::Tls(Box::new(stream)))
}

/// Whether the client asks for one of `names`.
fn is_passed_through(asked: Option<&str>, names: &[Box<str>]) -> bool {
    asked.is_some_and(|asked| names.iter().any(|name| name.eq_ignore_ascii_case(asked)))
}

/// Whether a client speaks HTTP where TLS is expected: its first byte is a letter, which TLS's never
/// is.
pub(crate) async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    Ok(count == 1 && first[0].is_ascii_uppercase())
}

/// Answers in the words of Go's servers, and fails.
pub(crate) async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<Accepted> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    // Bytes that are left unread would reset the connection before the answer is read.
    let _ = timeout(REFUSAL_TIMEOUT, stream.read(&mut rest)).await;
    Err(io::Error::other("plain HTTP on the HTTPS port"))
}

/// Sends small writes at once, and finds clients that are gone.
pub(crate) fn set_socket_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEP_ALIVE)
            .with_interval(KEEP_ALIVE / 2),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
