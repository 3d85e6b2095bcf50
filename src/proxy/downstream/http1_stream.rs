//! The bytes of a component's HTTP/1.1 connection: its heads are scanned for what the HTTP library
//! hides, none takes for ever, and a client that has only ended its side still gets its response.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use super::{guard::ConnectionGuard, head_deadline::HeadDeadline, scan::Scan};
use crate::wire::writes::writes_to_inner;

/// How long a request is still worked on whose client has ended its side of the connection. Who
/// has left altogether looks the same, and its request shall end too.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// An HTTP/1.1 connection of a component.
pub(super) struct Http1Stream<S> {
    inner: S,
    scan: Scan,
    guard: Arc<ConnectionGuard>,
    deadline: HeadDeadline,
    /// Set once the client has ended its side while its request was worked on.
    half_closed: Option<Pin<Box<Sleep>>>,
}

impl<S> Http1Stream<S> {
    pub(super) fn new(inner: S, guard: Arc<ConnectionGuard>) -> Self {
        Self {
            inner,
            scan: Scan::default(),
            guard,
            deadline: HeadDeadline::default(),
            half_closed: None,
        }
    }

    /// Whether the client's end must not be heard yet: the library would drop the request that is
    /// worked on, while Go's server still answers it.
    fn is_end_early(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_response_due() {
            return false;
        }
        let deadline = self
            .half_closed
            .get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED_MAX)));
        deadline.as_mut().poll(context).is_pending()
    }

    /// Whether all that came are whole messages, and one of them has yet to be answered. In a
    /// tunnel, whose request is open, nothing that looks like a head is one.
    fn is_response_due(&self) -> bool {
        let is_asked = if self.guard.is_idle() {
            self.scan.heads() > self.guard.requests_begun()
        } else {
            self.guard.answers_half_closed()
        };
        is_asked && self.scan.is_before_head()
    }

    /// Whether the head that is awaited took too long. While a request is open nothing is
    /// awaited: in a tunnel there are no heads.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let is_awaited = self.guard.is_new() || self.scan.is_in_head();
        self.deadline
            .has_passed(is_awaited && self.guard.is_idle(), context)
    }

    /// The response is given, or may not outlive its client: the client's end may be heard.
    fn end_half_close(&mut self, context: &mut Context<'_>) {
        if self.half_closed.is_some() && !self.is_response_due() {
            self.half_closed = None;
            context.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let this = &mut *self;
        let bytes = &buffer.filled()[before..];
        let is_end = bytes.is_empty() && matches!(read, Poll::Ready(Ok(())));
        this.scan.read(bytes, &this.guard);
        if this.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if is_end && this.is_end_early(context) {
            return Poll::Pending;
        }
        read
    }
}

writes_to_inner!(Http1Stream<S>, after_flush: end_half_close);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    /// How long the end of a client is kept back that sends this and ends its side.
    async fn kept_back(bytes: &[u8], guard: &Arc<ConnectionGuard>) -> Duration {
        let (mut client, stream) = duplex(1024);
        let mut stream = Http1Stream::new(stream, Arc::clone(guard));
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let start = Instant::now();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_client_is_heard_when_its_request_may_not_outlive_it() {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n";
        let idle = ConnectionGuard::new(Arc::default());
        assert_eq!(kept_back(b"", &idle).await, Duration::ZERO);
        assert_eq!(kept_back(&HEAD[..9], &idle).await, Duration::ZERO);
        // It has come, and nobody works on it yet.
        assert!(kept_back(HEAD, &idle).await >= HALF_CLOSED_MAX);
        let busy = ConnectionGuard::new(Arc::default());
        let _request = busy.begin_request();
        // As in a tunnel: what looks like a head is none.
        assert_eq!(kept_back(&HEAD.repeat(2), &busy).await, Duration::ZERO);
        busy.set_answers_half_closed(true);
        assert!(kept_back(HEAD, &busy).await >= HALF_CLOSED_MAX);
        assert_eq!(kept_back(&HEAD[..9], &busy).await, Duration::ZERO);
    }
}
