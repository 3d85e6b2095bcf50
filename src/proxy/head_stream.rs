//! A client's bytes, and how many of them are a head without an end, or trailers: nobody holds more
//! of those than [`super::heads`] allows, nor a head for ever.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    frames::{Frames, PREFACE},
    framing::HEAD_TIMEOUT,
    guard::Guard,
    header_blocks::HeaderBlocks,
    heads::NothingLeft,
    request_targets::NoFragment,
};

/// A stream of which unfinished heads are counted.
pub(super) struct HeadStream<S> {
    inner: S,
    guard: Arc<Guard>,
    reader: Reader,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The turn of the connection in which it was given the end of a head.
    given_in: Option<u64>,
}

enum Reader {
    /// What is read while no request is open is a head: so much of it, behind so many requests.
    Http1 {
        bytes: usize,
        behind: u64,
    },
    Http2(Frames, HeaderBlocks<NoFragment>),
}

impl<S> HeadStream<S> {
    pub(super) fn http1(inner: S, guard: Arc<Guard>) -> Self {
        let reader = Reader::Http1 {
            bytes: 0,
            behind: 0,
        };
        Self::new(inner, guard, reader)
    }

    pub(super) fn http2(inner: S, guard: Arc<Guard>) -> Self {
        let blocks = HeaderBlocks::new(PREFACE, NoFragment::default());
        Self::new(inner, guard, Reader::Http2(Frames::new(), blocks))
    }

    fn new(inner: S, guard: Arc<Guard>, reader: Reader) -> Self {
        Self {
            inner,
            guard,
            reader,
            deadline: None,
            given_in: None,
        }
    }

    /// That ends the connection at once, whatever is open on it.
    fn look_at(&mut self, read: &[u8]) -> io::Result<()> {
        if let Reader::Http2(_, blocks) = &mut self.reader {
            let blocks = blocks.read(read);
            blocks.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        let counted = self.count(read);
        counted.map_err(|error| io::Error::new(io::ErrorKind::QuotaExceeded, error))
    }

    fn count(&mut self, read: &[u8]) -> Result<(), NothingLeft> {
        let unfinished = match &mut self.reader {
            Reader::Http1 { bytes, behind } => {
                let begun = self.guard.begun();
                if *behind != begun || !self.guard.is_idle() {
                    (*bytes, *behind) = (0, begun);
                }
                if self.guard.is_idle() {
                    *bytes += read.len();
                }
                *bytes
            }
            Reader::Http2(frames, _) => {
                let before = frames.unfinished();
                frames.read(read);
                let (kept, trailers) = (frames.take_kept(), frames.take_trailers());
                if kept > 0 {
                    self.guard.head_is_kept(kept)?;
                }
                if trailers > 0 {
                    self.guard.trailers_end(trailers)?;
                }
                if frames.unfinished() == 0 && before == 0 {
                    return Ok(());
                }
                frames.unfinished()
            }
        };
        self.guard.head_grows(unfinished)
    }

    /// Whether a head of HTTP/2 has been without its end for too long; those of HTTP/1.1 are
    /// watched where their lines are read.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let is_awaited =
            matches!(&self.reader, Reader::Http2(frames, _) if frames.unfinished() > 0);
        if !is_awaited {
            self.deadline = None;
            return false;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(HEAD_TIMEOUT)));
        deadline.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> HeadStream<S> {
    /// Reads no further than to the end of a frame, and in one turn no further than to that of a
    /// head: the library unpacks all that it can read before it takes up the first request, and
    /// what a request costs is only counted there.
    fn poll_piece(
        &mut self,
        piece: usize,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given_in == Some(self.guard.turn()) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = piece.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(piece));
        let read = Pin::new(&mut self.inner).poll_read(context, &mut part);
        let count = part.filled().len();
        buffer.advance(count);
        read
    }

    /// How much may be read at once, if that matters: nobody knows yet who sends it.
    fn piece(&self) -> Option<usize> {
        match &self.reader {
            Reader::Http2(frames, _) if !self.guard.is_authenticated() => Some(frames.piece()),
            _ => None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = match this.piece() {
            Some(piece) => this.poll_piece(piece, context, buffer),
            None => Pin::new(&mut this.inner).poll_read(context, buffer),
        };
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            this.look_at(new)?;
            if matches!(&this.reader, Reader::Http2(frames, _) if frames.ends_head()) {
                this.given_in = Some(this.guard.turn());
            }
        }
        if this.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

writes_to_inner!(HeadStream);
