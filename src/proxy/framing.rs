//! Reads the heads of an HTTP/1.1 connection a second time, for what the HTTP library takes and
//! no proxy should pass on, and lets no head take for ever.
//!
//! The library alone says where a message ends. This only says which request must be refused:
//! should the two ever disagree, one is refused that could have passed, or is passed as the
//! library framed it.

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

use super::guard::Guard;

/// Longest time from a head's first byte to its last, and from the handshake to the first
/// request; kube-apiserver's own.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(32);
/// What is kept of a line: enough for the names and values that matter here.
const LINE_KEPT: usize = 64;

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
}

/// What headers alone tell.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Flaw> {
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
/// none.
pub(super) fn check_response(headers: &HeaderMap) -> Result<(), Flaw> {
    check_encoding(headers)?;
    let is_both = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    if is_both {
        Err(Flaw::TwoLengths)
    } else {
        Ok(())
    }
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
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, guard: Arc<Guard>) -> Self {
        Self {
            inner,
            scan: Scan::default(),
            guard,
            deadline: None,
        }
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
        this.scan.read(&buffer.filled()[before..], &this.guard);
        if this.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Where in a message the next byte is.
#[derive(Debug, Default)]
struct Scan {
    heads: u64,
    at: At,
    head: Head,
    line: Line,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    /// In a head, or before one.
    #[default]
    Head,
    /// In bytes that mean nothing here: a body, or a chunk with its line end.
    Data(u64, AfterData),
    ChunkSize,
    Trailers,
    /// Behind a flaw or a chunk that can't be read: the library ends the connection.
    Nowhere,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum AfterData {
    Head,
    ChunkSize,
}

#[derive(Debug, Default)]
struct Head {
    has_begun: bool,
    content_length: Option<u64>,
    is_chunked: bool,
    bare_line_feed: bool,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    kept: Vec<u8>,
    length: usize,
    last: u8,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
        if let Some(last) = bytes.last() {
            self.last = *last;
        }
    }

    /// The line without its end, as far as it was kept, and whether it ended with CR LF.
    fn take(&mut self) -> (Vec<u8>, bool) {
        let mut line = std::mem::take(&mut self.kept);
        let has_return = self.length > 0 && self.last == b'\r';
        if has_return && self.length <= LINE_KEPT {
            line.pop();
        }
        self.length = 0;
        (line, has_return)
    }
}

impl Scan {
    /// Whether a head has begun and not ended.
    fn is_in_head(&self) -> bool {
        self.at == At::Head && (self.head.has_begun || self.line.length > 0)
    }

    fn read(&mut self, mut bytes: &[u8], guard: &Guard) {
        while !bytes.is_empty() && self.at != At::Nowhere {
            bytes = match self.at {
                At::Data(left, after) => self.skip(left, after, bytes),
                _ => self.read_line(bytes, guard),
            };
        }
    }

    fn skip<'a>(&mut self, left: u64, after: AfterData, bytes: &'a [u8]) -> &'a [u8] {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - taken as u64;
        self.at = match (left, after) {
            (0, AfterData::Head) => At::Head,
            (0, AfterData::ChunkSize) => At::ChunkSize,
            _ => At::Data(left, after),
        };
        &bytes[taken..]
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8], guard: &Guard) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.push(bytes);
            return &[];
        };
        let line = &bytes[..end];
        if self.line.length > 0 {
            self.line.push(line);
            let (line, has_return) = self.line.take();
            self.end_line(&line, has_return, guard);
        } else if let Some(line) = line.strip_suffix(b"\r") {
            self.end_line(line, true, guard);
        } else {
            self.end_line(line, false, guard);
        }
        &bytes[end + 1..]
    }

    fn end_line(&mut self, line: &[u8], has_return: bool, guard: &Guard) {
        match self.at {
            At::ChunkSize => self.at = after_chunk_size(line),
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Trailers => {}
            _ => self.head_line(line, has_return, guard),
        }
    }

    fn head_line(&mut self, line: &[u8], has_return: bool, guard: &Guard) {
        if line.is_empty() && !self.head.has_begun {
            // Empty lines before a request line are nothing.
            return;
        }
        self.head.bare_line_feed |= !has_return;
        if line.is_empty() {
            self.end_head(guard);
        } else if !self.head.has_begun {
            self.head.has_begun = true;
        } else if let Some(value) = value_of(line, b"content-length") {
            self.head.content_length = number(value, 10).or(self.head.content_length).or(Some(0));
        } else if value_of(line, b"transfer-encoding").is_some() {
            self.head.is_chunked = true;
        }
    }

    fn end_head(&mut self, guard: &Guard) {
        let head = std::mem::take(&mut self.head);
        let flaw = if head.is_chunked && head.content_length.is_some() {
            Some(Flaw::TwoLengths)
        } else if head.bare_line_feed {
            Some(Flaw::BareLineFeed)
        } else {
            None
        };
        if let Some(flaw) = flaw {
            guard.note_flaw(self.heads, flaw);
        }
        self.heads += 1;
        self.at = match (flaw, head.is_chunked, head.content_length) {
            (Some(_), ..) => At::Nowhere,
            (None, true, _) => At::ChunkSize,
            (None, false, Some(length)) if length > 0 => At::Data(length, AfterData::Head),
            _ => At::Head,
        };
    }
}

fn after_chunk_size(line: &[u8]) -> At {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    match number(&line[..digits.unwrap_or(line.len())], 16) {
        Some(0) => At::Trailers,
        // With the line end behind it.
        Some(size) if size < u64::MAX - 2 => At::Data(size + 2, AfterData::ChunkSize),
        _ => At::Nowhere,
    }
}

/// The value of a line of a head, if it has this name, given in lower case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found
        .eq_ignore_ascii_case(name)
        .then_some(value.trim_ascii())
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first flaw of a connection's bytes, given in pieces of `size` bytes.
    fn flaw_of(bytes: &[u8], size: usize) -> Option<(u64, Flaw)> {
        let guard = Guard::new(Arc::default());
        let mut scan = Scan::default();
        for piece in bytes.chunks(size) {
            scan.read(piece, &guard);
        }
        let visits: Vec<_> = (0..8).map(|_| guard.visit()).collect();
        let mut flaws = (0..).zip(&visits);
        flaws.find_map(|(number, visit)| Some((number, visit.flaw()?)))
    }

    #[test]
    fn two_lengths_and_bare_line_feeds_are_found_in_heads_only() {
        let body = "Content-Length: 1\nTransfer-Encoding: chunked\n\n";
        let length = body.len();
        let chunk = format!("{length:x};x=\"y\"\r\n{body}\r\n0\r\nContent-Length: 7\r\n\r\n");
        let good = format!(
            "\r\nPOST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {length}\r\n\r\n{body}\
             POST /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}\
             GET /c HTTP/1.1\r\nHost: p\r\nX-Long: {}\r\n\r\n",
            "x".repeat(1_000)
        );
        for (tail, expected) in [
            ("", None),
            (
                "GET / HTTP/1.1\r\nContent-Length: 6\r\nTRANSFER-encoding:chunked\r\n\r\n0\r\n\r\nG",
                Some((3, Flaw::TwoLengths)),
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length:\t6\r\n\r\n",
                Some((3, Flaw::TwoLengths)),
            ),
            (
                "GET / HTTP/1.1\r\nHost: p\n\r\n",
                Some((3, Flaw::BareLineFeed)),
            ),
            (
                "GET / HTTP/1.1\nHost: p\r\n\r\n",
                Some((3, Flaw::BareLineFeed)),
            ),
            (
                "GET / HTTP/1.1\r\nHost: p\r\n\n",
                Some((3, Flaw::BareLineFeed)),
            ),
        ] {
            let bytes = format!("{good}{tail}");
            for size in [1, 2, 3, 7, 64, usize::MAX] {
                assert_eq!(flaw_of(bytes.as_bytes(), size), expected, "{tail:?} {size}");
            }
        }
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
                check(Version::HTTP_11, &headers(lines)),
                expected,
                "{lines:?}"
            );
        }
        assert_eq!(check(Version::HTTP_10, &headers(&[])), Ok(()));
        assert_eq!(check(Version::HTTP_2, &headers(&[])), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_found_does_not_depend_on_how_the_bytes_come(
            parts in proptest::collection::vec(
                "(GET / HTTP/1.1\r\n|Content-Length: [0-9]{0,2}\r?\n|Transfer-Encoding: chunked\r\n|X: y\r?\n|\r\n|\n|[0-9a-f]{1,3}\r\n|0\r\n\r\n|[a-z\r\n:]{0,9})",
                0..12,
            ),
            size in 1_usize..9,
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(flaw_of(bytes.as_bytes(), size), flaw_of(bytes.as_bytes(), usize::MAX));
        }
    }
}
