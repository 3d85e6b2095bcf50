//! A client's TCP connection from its first byte on: it tells when a handshake goes on, and keeps
//! a ClientHello that may have to be passed on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::handshakes::Progress;

/// Longest ClientHello that is kept; those of today have about 2 KiB.
const HELLO_MAX: usize = 16 << 10;

/// A client's connection.
pub(super) struct ClientStream {
    tcp: TcpStream,
    /// As long as hands are shaken.
    progress: Option<Progress>,
    /// Everything that was read, as long as it may have to be passed on.
    hello: Option<Vec<u8>>,
}

impl ClientStream {
    /// Keeps what is read if `keeps_hello`.
    pub(super) fn new(tcp: TcpStream, progress: Progress, keeps_hello: bool) -> Self {
        Self {
            tcp,
            progress: Some(progress),
            hello: keeps_hello.then(Vec::new),
        }
    }

    /// The connection and what was read of it, if all of that is still there.
    pub(super) fn unread(&mut self) -> Option<Vec<u8>> {
        self.hello.take()
    }

    /// The connection as it is.
    pub(super) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Hands are shaken.
    pub(super) fn settle(&mut self) {
        self.progress = None;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(hello) = &mut self.hello {
            if hello.len() + bytes.len() > HELLO_MAX {
                self.hello = None;
            } else {
                hello.extend_from_slice(bytes);
            }
        }
    }

    fn note(&self) {
        if let Some(progress) = &self.progress {
            progress.note();
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(context, buffer))?;
        self.keep(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note();
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note();
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
