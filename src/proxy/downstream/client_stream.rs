//! A client's TCP connection from its first byte on: it notes the progress of a handshake, and keeps
//! a ClientHello that may have to be passed through.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::handshake_slots::Progress;
use crate::wire::writes::writes_to_inner;

/// Longest ClientHello that is kept; those of today have about 2 KiB.
const HELLO_MAX: usize = 16 << 10;

/// A client's connection.
pub(crate) struct ClientStream {
    inner: TcpStream,
    /// During the handshake.
    progress: Option<Progress>,
    /// Everything that was read, as long as it may have to be passed through.
    hello: Option<Vec<u8>>,
}

impl ClientStream {
    /// Keeps what is read if `keeps_hello`.
    pub(super) fn new(tcp: TcpStream, progress: Progress, keeps_hello: bool) -> Self {
        Self {
            inner: tcp,
            progress: Some(progress),
            hello: keeps_hello.then(Vec::new),
        }
    }

    /// What was read of the connection, if all of that is still there. Nothing more is kept.
    pub(super) fn take_hello(&mut self) -> Option<Vec<u8>> {
        self.hello.take()
    }

    /// The connection as it is.
    pub(super) fn into_tcp(self) -> TcpStream {
        self.inner
    }

    /// The handshake is done.
    pub(super) fn end_handshake(&mut self) {
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

    fn note_progress(&self) {
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
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.keep(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

writes_to_inner!(ClientStream, before_write: note_progress);
