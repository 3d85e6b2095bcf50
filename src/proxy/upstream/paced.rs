//! A connection that has always more bytes yields now and then to other tasks.
//!
//! h2 reads frames for as long as there are any, and only then is who waits for a response polled.
//! What no window limits, as the interim responses of a hostile API server, would pile up by the
//! tens of megabytes in one go.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::wire::writes::writes_to_inner;

/// How much is read before it yields: some records of TLS.
const YIELD_BYTES: usize = 128 << 10;

/// A stream whose reader yields after [`YIELD_BYTES`].
pub(super) struct Paced<S> {
    inner: S,
    left: usize,
}

impl<S> Paced<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            left: YIELD_BYTES,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.left = YIELD_BYTES;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_pending() {
            self.left = YIELD_BYTES;
        }
        ready!(read)?;
        let count = buffer.filled().len() - before;
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

writes_to_inner!(Paced<S>);
