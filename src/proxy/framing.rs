//! What the HTTP library takes and no proxy should pass on: what headers alone tell, and what the
//! bytes of an HTTP/1.1 connection tell, which are read along. No head takes for ever.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Version, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{guard::Guard, scan::Scan};

/// Longest time from a head's first byte to its last, and from the handshake to the first
/// request; kube-apiserver's own.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(32);
/// How long a request is still worked on whose client has ended its side of the connection. Who
/// has left altogether looks the same, and its request shall end too.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// What is wrong with a head, so that its message may not be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// `Content-Length` and `Transfer-Encoding`: two readers could see two bodies.
    #[error("Content-Length and Transfer-Encoding are both given")]
    TwoLengths,
    /// A line that ends with LF alone.
    #[error("a line of the head does not end with CR LF")]
    BareLineFeed,
    /// Anything but one `Transfer-Encoding: chunked`.
    #[error("the only Transfer-Encoding is chunked, given once")]
    TransferEncoding,
    /// Not exactly one `Host`, or a list.
    #[error("the request has not exactly one Host")]
    Host,
    /// Anything but one number as `Content-Length`, given once or equally.
    #[error("Content-Length is not one number")]
    Length,
    /// `#` in a target: the library drops what follows, which would name something else.
    #[error("the request target has a fragment")]
    Fragment,
}

/// What headers alone tell. Of equal lengths one is left.
pub(super) fn check(version: Version, headers: &mut HeaderMap) -> Result<(), Flaw> {
    check_length(headers)?;
    if version > Version::HTTP_11 {
        return Ok(());
    }
    check_encoding(headers)?;
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_list = |host: &http::HeaderValue| host.as_bytes().iter().any(|b| b" ,\t".contains(b));
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !is_list(host) => Ok(()),
        (None, None) if version < Version::HTTP_11 => Ok(()),
        _ => Err(Flaw::Host),
    }
}

/// What headers of a response tell. Its lengths are both there: of a response the library hides
/// none. Of equal lengths one is left.
pub(super) fn check_response(headers: &mut HeaderMap) -> Result<(), Flaw> {
    check_length(headers)?;
    check_encoding(headers)?;
    let is_both = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    if is_both {
        Err(Flaw::TwoLengths)
    } else {
        Ok(())
    }
}

/// RFC 9112, 6.3: one number, and the same in each line. The library takes lists as well.
fn check_length(headers: &mut HeaderMap) -> Result<(), Flaw> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let length = digits(first.as_bytes()).ok_or(Flaw::Length)?;
    let mut is_alone = true;
    for line in lines {
        is_alone = false;
        if digits(line.as_bytes()) != Some(length) {
            return Err(Flaw::Length);
        }
    }
    if !is_alone {
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(())
}

/// Digits alone: no sign, no blank.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Flaw> {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Flaw::TransferEncoding),
    }
}

/// A stream whose heads are read along.
pub(super) struct Watched<S> {
    inner: S,
    scan: Scan,
    guard: Arc<Guard>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set once the client has ended its side while its request was worked on.
    half_closed: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, guard: Arc<Guard>) -> Self {
        Self {
            inner,
            scan: Scan::default(),
            guard,
            deadline: None,
            half_closed: None,
        }
    }

    /// Whether the client's end must not be heard yet: the library would drop the request that is
    /// worked on, while Go's server still answers it.
    fn is_end_early(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_answer_due() {
            return false;
        }
        let deadline = self
            .half_closed
            .get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED_MAX)));
        deadline.as_mut().poll(context).is_pending()
    }

    /// Whether all that came are whole messages, and one of them has yet to be answered. In a
    /// tunnel, whose request is open, nothing that looks like a head is one.
    fn is_answer_due(&self) -> bool {
        let is_asked = if self.guard.is_idle() {
            self.scan.heads() > self.guard.begun()
        } else {
            self.guard.answers_half_closed()
        };
        is_asked && self.scan.is_before_head()
    }

    /// Whether the head that is awaited took too long. While a request is open nothing is
    /// awaited: in a tunnel there are no heads.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let awaited = self.guard.is_new() || self.scan.is_in_head();
        if !awaited || !self.guard.is_idle() {
            self.deadline = None;
            return false;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(HEAD_TIMEOUT)));
        deadline.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if flushed.is_ready() && self.half_closed.is_some() && !self.is_answer_due() {
            // The answer is given, or may not outlive its client: the end may be heard.
            self.half_closed = None;
            context.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    /// How long the end of a client is kept back that sends this and ends its side.
    async fn kept_back(bytes: &[u8], guard: &Arc<Guard>) -> Duration {
        let (mut client, stream) = duplex(1024);
        let mut watched = Watched::new(stream, Arc::clone(guard));
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let start = Instant::now();
        let mut read = Vec::new();
        watched.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_client_is_heard_when_its_request_may_not_outlive_it() {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n";
        let idle = Guard::new(Arc::default());
        assert_eq!(kept_back(b"", &idle).await, Duration::ZERO);
        assert_eq!(kept_back(&HEAD[..9], &idle).await, Duration::ZERO);
        // It has come, and nobody works on it yet.
        assert!(kept_back(HEAD, &idle).await >= HALF_CLOSED_MAX);
        let busy = Guard::new(Arc::default());
        let _visit = busy.visit();
        // As in a tunnel: what looks like a head is none.
        assert_eq!(kept_back(&HEAD.repeat(2), &busy).await, Duration::ZERO);
        busy.answer_half_closed(true);
        assert!(kept_back(HEAD, &busy).await >= HALF_CLOSED_MAX);
        assert_eq!(kept_back(&HEAD[..9], &busy).await, Duration::ZERO);
    }

    #[test]
    fn one_host_and_one_chunked_are_asked_for_in_http1_only() {
        let headers = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        for (lines, expected) in [
            (&[("host", "p:1")][..], Ok(())),
            (&[], Err(Flaw::Host)),
            (&[("host", "a"), ("host", "a")], Err(Flaw::Host)),
            (&[("host", "a, b")], Err(Flaw::Host)),
            (&[("host", "p"), ("transfer-encoding", "Chunked")], Ok(())),
            (
                &[("host", "p"), ("transfer-encoding", "gzip, chunked")],
                Err(Flaw::TransferEncoding),
            ),
            (
                &[
                    ("host", "p"),
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                Err(Flaw::TransferEncoding),
            ),
        ] {
            assert_eq!(
                check(Version::HTTP_11, &mut headers(lines)),
                expected,
                "{lines:?}"
            );
        }
        assert_eq!(check(Version::HTTP_10, &mut headers(&[])), Ok(()));
        assert_eq!(check(Version::HTTP_2, &mut headers(&[])), Ok(()));
    }

    #[test]
    fn a_length_is_one_number() {
        for (lines, expected) in [
            (&[][..], Ok(())),
            (&["2"], Ok(())),
            (&["2", "2", "02"], Ok(())),
            (&["2", "3"], Err(Flaw::Length)),
            (&["2, 2"], Err(Flaw::Length)),
            (&["2,2"], Err(Flaw::Length)),
            (&["2", ""], Err(Flaw::Length)),
            (&[""], Err(Flaw::Length)),
            (&["+2"], Err(Flaw::Length)),
            (&["18446744073709551616"], Err(Flaw::Length)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_LENGTH, line.parse().unwrap());
            }
            assert_eq!(check_response(&mut headers), expected, "{lines:?}");
            assert!(expected.is_err() || headers.len() <= 1, "{headers:?}");
        }
    }
}
