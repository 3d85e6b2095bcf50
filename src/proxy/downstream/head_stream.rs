//! A client's bytes, of which heads that have not ended, and trailers, are counted: [`super::heads`]
//! says how many of those it may send, and no head takes for ever.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{
    frames::Frames, guard::ConnectionGuard, head_deadline::HeadDeadline, heads::BudgetExhausted,
    request_targets::NoFragment,
};
use crate::wire::{
    header_blocks::{HeaderBlocks, Refused, Rule, Seen},
    http2_frame::{FrameHead, PREFACE},
    writes::writes_to_inner,
};

/// A stream of which unfinished heads are counted.
pub(super) struct HeadStream<S> {
    inner: S,
    guard: Arc<ConnectionGuard>,
    reader: Reader,
    deadline: HeadDeadline,
    /// The poll of the connection in which it was given the end of a head.
    head_given_in: Option<u64>,
}

enum Reader {
    /// What is read while no request is open is a head: so much of it, behind so many requests.
    Http1 {
        bytes: usize,
        behind: u64,
    },
    Http2(HeaderBlocks<ClientHeads>),
}

/// What is asked of the frames of a client.
#[derive(Default)]
struct ClientHeads {
    frames: Frames,
    targets: NoFragment,
}

impl Rule for ClientHeads {
    fn begin_frame(&mut self, frame: FrameHead) {
        self.frames.begin_frame(frame);
    }

    fn see(&mut self, seen: Seen<'_>) -> Result<(), Refused> {
        self.targets.see(seen)
    }
}

impl<S> HeadStream<S> {
    pub(super) fn http1(inner: S, guard: Arc<ConnectionGuard>) -> Self {
        let reader = Reader::Http1 {
            bytes: 0,
            behind: 0,
        };
        Self::new(inner, guard, reader)
    }

    pub(super) fn http2(inner: S, guard: Arc<ConnectionGuard>) -> Self {
        let blocks = HeaderBlocks::new(PREFACE, ClientHeads::default());
        Self::new(inner, guard, Reader::Http2(blocks))
    }

    fn new(inner: S, guard: Arc<ConnectionGuard>, reader: Reader) -> Self {
        Self {
            inner,
            guard,
            reader,
            deadline: HeadDeadline::default(),
            head_given_in: None,
        }
    }

    /// An error ends the connection at once, whatever is open on it.
    fn inspect(&mut self, read: &[u8]) -> io::Result<()> {
        let before = self.unfinished();
        if let Reader::Http2(blocks) = &mut self.reader
            && let Err(error) = blocks.read(read)
        {
            self.guard.refuse_head();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let counted = self.count(read.len(), before);
        counted.map_err(|error| io::Error::new(io::ErrorKind::QuotaExceeded, error))
    }

    /// What an unfinished head of HTTP/2 may cost; 0 where there is none.
    fn unfinished(&self) -> usize {
        match &self.reader {
            Reader::Http1 { .. } => 0,
            Reader::Http2(blocks) => blocks.rule().frames.unfinished(),
        }
    }

    /// `read`: bytes. `before`: what [`Self::unfinished`] was without them.
    fn count(&mut self, read: usize, before: usize) -> Result<(), BudgetExhausted> {
        let unfinished = match &mut self.reader {
            Reader::Http1 { bytes, behind } => {
                let begun = self.guard.requests_begun();
                if *behind != begun || !self.guard.is_idle() {
                    (*bytes, *behind) = (0, begun);
                }
                if self.guard.is_idle() {
                    *bytes += read;
                }
                *bytes
            }
            Reader::Http2(blocks) => {
                let frames = &mut blocks.rule_mut().frames;
                let (retained, trailers) = (frames.take_retained(), frames.take_trailers());
                if retained > 0 {
                    self.guard.add_retained(retained)?;
                }
                if trailers > 0 {
                    self.guard.add_trailers(trailers)?;
                }
                if frames.unfinished() == 0 && before == 0 {
                    return Ok(());
                }
                frames.unfinished()
            }
        };
        self.guard.set_unfinished(unfinished)
    }

    /// Whether a head of HTTP/2 has been without its end for too long; those of HTTP/1.1 are
    /// watched where their lines are read.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        self.deadline.has_passed(self.unfinished() > 0, context)
    }
}

impl<S: AsyncRead + Unpin> HeadStream<S> {
    /// Reads no further than to the end of a frame, and in one poll of the connection no further
    /// than to that of a head: the library unpacks all that it can read before it takes up the
    /// first request, and what a request costs is only counted there.
    fn poll_piece(
        &mut self,
        piece: usize,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head_given_in == Some(self.guard.polls()) {
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

    /// How much may be read at once; `None`, for any number of bytes, over HTTP/1.1 and where the
    /// client has proved a credential.
    fn piece(&self) -> Option<usize> {
        match &self.reader {
            Reader::Http2(blocks) if !self.guard.is_authenticated() => Some(blocks.piece()),
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
            this.inspect(new)?;
            if matches!(&this.reader, Reader::Http2(blocks) if blocks.is_behind_head()) {
                this.head_given_in = Some(this.guard.polls());
            }
        }
        if this.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

writes_to_inner!(HeadStream<S>);
