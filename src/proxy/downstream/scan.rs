//! Reads the heads of an HTTP/1.1 connection a second time, for flaws that the HTTP library hides.
//!
//! The library alone says where a message ends. This only says which request must be refused:
//! should the two ever disagree, one is refused that could have passed, or is passed as the
//! library framed it.

use super::guard::ConnectionGuard;
use crate::wire::framing::Flaw;

const CONTENT_LENGTH: &[u8; 15] = b"content-length:";
const TRANSFER_ENCODING: &[u8; NAME_KEPT] = b"transfer-encoding:";
/// What is kept of a line: enough for the names that matter here.
const NAME_KEPT: usize = 18;

/// Where in a message the next byte is.
#[derive(Debug, Default)]
pub(super) struct Scan {
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
    /// Behind a flaw or a broken chunk: the library ends the connection.
    Unreadable,
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
    has_fragment: bool,
}

/// The line that is being read. What is known of it does not depend on how its bytes come.
#[derive(Debug, Default)]
struct Line {
    length: usize,
    last: u8,
    /// Its first bytes.
    name: [u8; NAME_KEPT],
    /// The value of `Content-Length`, or a chunk's size.
    number: Number,
    in_target: bool,
    has_fragment: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Field,
    ChunkSize,
    Trailer,
}

impl Line {
    fn push(&mut self, bytes: &[u8], kind: Kind) {
        match kind {
            Kind::Request => self.push_request(bytes),
            Kind::Field => self.push_field(bytes),
            Kind::ChunkSize => self.push_size(bytes),
            Kind::Trailer => {}
        }
        self.length += bytes.len();
        if let Some(last) = bytes.last() {
            self.last = *last;
        }
    }

    /// Methods may have a `#`, too: only what is behind the first space counts.
    fn push_request(&mut self, bytes: &[u8]) {
        let space = bytes.iter().position(|&byte| byte == b' ');
        let target = match (self.in_target, space) {
            (true, _) => bytes,
            (false, Some(space)) => &bytes[space..],
            (false, None) => return,
        };
        self.in_target = true;
        self.has_fragment |= target.contains(&b'#');
    }

    fn push_field(&mut self, bytes: &[u8]) {
        let kept = self.length.min(NAME_KEPT);
        let room = &mut self.name[kept..];
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        let skipped = CONTENT_LENGTH.len().saturating_sub(self.length);
        let value = bytes.get(skipped..).unwrap_or_default();
        if !value.is_empty() && self.name_is(CONTENT_LENGTH) {
            for byte in value {
                self.number.push_spaced(*byte, 10);
            }
        }
    }

    fn push_size(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if matches!(self.number, Number::Ended(_) | Number::Invalid) {
                // An extension.
                return;
            }
            self.number.push_leading(*byte, 16);
        }
    }

    /// Whether it begins with this name, given in lower case with its colon.
    fn name_is(&self, name: &[u8]) -> bool {
        self.name[..name.len()].eq_ignore_ascii_case(name)
    }

    fn ends_with_return(&self) -> bool {
        self.length > 0 && self.last == b'\r'
    }

    fn is_empty(&self) -> bool {
        self.length == usize::from(self.ends_with_return())
    }
}

/// A number whose digits come one by one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Number {
    #[default]
    Empty,
    Digits(u64),
    /// Something else came behind the digits.
    Ended(u64),
    Invalid,
}

impl Number {
    /// Digits and nothing else.
    fn push(&mut self, byte: u8, radix: u32) {
        let before = match *self {
            Self::Empty => 0,
            Self::Digits(before) => before,
            Self::Ended(_) | Self::Invalid => {
                *self = Self::Invalid;
                return;
            }
        };
        let digit = char::from(byte).to_digit(radix).map(u64::from);
        let number = digit.and_then(|digit| {
            before
                .checked_mul(u64::from(radix))
                .and_then(|number| number.checked_add(digit))
        });
        *self = number.map_or(Self::Invalid, Self::Digits);
    }

    /// Digits with blanks around them.
    fn push_spaced(&mut self, byte: u8, radix: u32) {
        match *self {
            Self::Empty | Self::Ended(_) if byte.is_ascii_whitespace() => {}
            Self::Digits(number) if byte.is_ascii_whitespace() => *self = Self::Ended(number),
            _ => self.push(byte, radix),
        }
    }

    /// Digits, and behind them anything.
    fn push_leading(&mut self, byte: u8, radix: u32) {
        match *self {
            Self::Digits(number) if !char::from(byte).is_digit(radix) => {
                *self = Self::Ended(number);
            }
            Self::Ended(_) => {}
            _ => self.push(byte, radix),
        }
    }

    fn value(self) -> Option<u64> {
        match self {
            Self::Digits(value) | Self::Ended(value) => Some(value),
            Self::Empty | Self::Invalid => None,
        }
    }
}

impl Scan {
    /// How many heads have ended.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.at == At::Head && (self.head.has_begun || self.line.length > 0)
    }

    /// Whether a message has ended and none has begun.
    pub(super) fn is_before_head(&self) -> bool {
        self.at == At::Head && !self.is_in_head()
    }

    /// Reads what came, however it was cut.
    pub(super) fn read(&mut self, mut bytes: &[u8], guard: &ConnectionGuard) {
        while !bytes.is_empty() && self.at != At::Unreadable {
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

    fn read_line<'a>(&mut self, bytes: &'a [u8], guard: &ConnectionGuard) -> &'a [u8] {
        let kind = match self.at {
            At::ChunkSize => Kind::ChunkSize,
            At::Trailers => Kind::Trailer,
            _ if self.head.has_begun => Kind::Field,
            _ => Kind::Request,
        };
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.push(bytes, kind);
            return &[];
        };
        self.line.push(&bytes[..end], kind);
        let line = std::mem::take(&mut self.line);
        match kind {
            Kind::ChunkSize => self.at = after_chunk_size(line.number),
            Kind::Trailer if line.is_empty() => self.at = At::Head,
            Kind::Trailer => {}
            Kind::Request | Kind::Field => self.head_line(&line, kind, guard),
        }
        &bytes[end + 1..]
    }

    fn head_line(&mut self, line: &Line, kind: Kind, guard: &ConnectionGuard) {
        if line.is_empty() && kind == Kind::Request {
            // Empty lines before a request line are nothing.
            return;
        }
        self.head.bare_line_feed |= !line.ends_with_return();
        if line.is_empty() {
            self.end_head(guard);
        } else if kind == Kind::Request {
            self.head.has_begun = true;
            self.head.has_fragment = line.has_fragment;
        } else if line.name_is(CONTENT_LENGTH) {
            let length = line.number.value().or(self.head.content_length);
            self.head.content_length = length.or(Some(0));
        } else if line.name_is(TRANSFER_ENCODING) {
            self.head.is_chunked = true;
        }
    }

    fn end_head(&mut self, guard: &ConnectionGuard) {
        let head = std::mem::take(&mut self.head);
        let flaw = if head.is_chunked && head.content_length.is_some() {
            Some(Flaw::TwoLengths)
        } else if head.bare_line_feed {
            Some(Flaw::BareLineFeed)
        } else if head.has_fragment {
            Some(Flaw::Fragment)
        } else {
            None
        };
        if let Some(flaw) = flaw {
            guard.note_flaw(self.heads, flaw);
        }
        self.heads += 1;
        self.at = match (flaw, head.is_chunked, head.content_length) {
            (Some(_), ..) => At::Unreadable,
            (None, true, _) => At::ChunkSize,
            (None, false, Some(length)) if length > 0 => At::Data(length, AfterData::Head),
            _ => At::Head,
        };
    }
}

fn after_chunk_size(size: Number) -> At {
    match size.value() {
        Some(0) => At::Trailers,
        // With the line end behind it.
        Some(size) if size < u64::MAX - 2 => At::Data(size + 2, AfterData::ChunkSize),
        _ => At::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// What is found in a connection's bytes that come in these pieces: where it ends, how many
    /// heads there are, and the first flaw.
    fn found<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (String, Option<(u64, Flaw)>) {
        let guard = ConnectionGuard::new(Arc::default());
        let mut scan = Scan::default();
        for piece in pieces {
            scan.read(piece, &guard);
        }
        (format!("{scan:?}"), first_flaw(&guard))
    }

    /// The first flaw of a connection's bytes, given in pieces of `size` bytes.
    fn flaw_of(bytes: &[u8], size: usize) -> Option<(u64, Flaw)> {
        found(bytes.chunks(size)).1
    }

    fn first_flaw(guard: &Arc<ConnectionGuard>) -> Option<(u64, Flaw)> {
        let requests: Vec<_> = (0..8).map(|_| guard.begin_request()).collect();
        let mut flaws = (0..).zip(&requests);
        flaws.find_map(|(number, request)| Some((number, request.flaw()?)))
    }

    #[test]
    fn flaws_are_found_in_heads_only() {
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
            (
                "DELETE /api/v1/pods#x HTTP/1.1\r\nHost: p\r\n\r\n",
                Some((3, Flaw::Fragment)),
            ),
            ("GET # HTTP/1.1\r\n\r\n", Some((3, Flaw::Fragment))),
            ("G#T / HTTP/1.1\r\nX: #\r\n\r\n", None),
        ] {
            let bytes = format!("{good}{tail}");
            for size in [1, 2, 3, 7, 64, usize::MAX] {
                assert_eq!(flaw_of(bytes.as_bytes(), size), expected, "{tail:?} {size}");
            }
        }
    }

    /// Parts of connections, with lines far longer than what is kept of one.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "(GET|G#T|DELETE) /[a-z#?]{0,90} HTTP/1\\.1\r?\n",
            "(Content-Length|content-length) ?:[ \t]{0,80}[0-9]{0,3}[ \t]{0,80}\r?\n",
            "Content-Length:[ \t]{0,2}0{0,90}[0-9]{0,25}[+, x]?\r?\n",
            "Content-Lengt[a-z]{0,90}: 5\r?\n",
            "(Transfer-Encoding|transfer-encoding):[ \t]{0,80}(chunked|x{0,90})\r?\n",
            "[A-Z]-?[a-z]{0,90}:[ \t]{0,80}[a-z:#]{0,90}\r?\n",
            "0{0,90}[0-9a-fA-F]{0,3}[ \t]{0,80}(;[a-z=\"]{0,90})?\r?\n",
            "[0-9a-f]{14,19}\r\n",
            "0\r\n\r\n",
            "\r{0,3}\n",
            "[a-z0-9\r\n: #;]{0,9}",
        ]
    }

    proptest! {
        #[test]
        fn what_is_found_does_not_depend_on_how_the_bytes_come(
            parts in proptest::collection::vec(part(), 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = parts.concat().into_bytes();
            let whole = found([&bytes[..]].into_iter());
            for at in 0..bytes.len() {
                let (one, other) = bytes.split_at(at);
                prop_assert_eq!(&found([one, other].into_iter()), &whole, "cut at {}", at);
            }
            prop_assert_eq!(&found(bytes.chunks(1)), &whole);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(&found(pieces), &whole, "cut at {:?}", cuts);
        }
    }
}
