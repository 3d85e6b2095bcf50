//! Reads along the heads of an API server's HTTP/2 responses, for what only requests have.
//!
//! A response has no pseudo-header but `:status` (RFC 9113, section 8.3.2). The HTTP library takes
//! others all the same, and an entry of `:path`, `:authority` or `:scheme` in HPACK's table keeps
//! the whole buffer that it was read from: a hundred entries could hold a hundred megabytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{CONTINUATION, FRAME_HEAD, HEADERS};

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Stream and weight, where a head has a priority.
const PRIORITY_BYTES: usize = 5;
/// `:status`, as text and in Huffman's code.
const STATUS: &[u8] = b":status";
const STATUS_HUFFMAN: &[u8] = b"\xb8\x84\x8d\x36\xa3";
/// The first pseudo-headers of the static table, which are those of requests.
const OF_REQUESTS: std::ops::RangeInclusive<usize> = 1..=7;
/// Longer integers are an error to the HTTP library as well.
const SHIFT_MAX: u32 = 21;

/// A connection to the API server that ends with the first such head.
pub(super) struct ResponseHeads<S> {
    inner: S,
    frames: Frames,
}

/// Where in the server's frames the next byte is.
#[derive(Default)]
struct Frames {
    head: [u8; FRAME_HEAD],
    filled: usize,
    /// Of the payload.
    left: usize,
    /// Whether its first byte tells its padding.
    tells_padding: bool,
    padding: usize,
    /// Bytes of a priority.
    priority: usize,
    block: Block,
}

/// Where in a header block the next byte is (RFC 7541, section 6).
#[derive(Default)]
struct Block {
    step: Step,
    /// The beginning of a name that is spelled out, and its whole length.
    name: [u8; STATUS.len()],
    length: usize,
    is_huffman: bool,
}

#[derive(Clone, Copy, Default)]
enum Step {
    #[default]
    Begin,
    Length(Part),
    Integer(Part, usize, u32),
    /// So many bytes are left of it.
    Text(Part, usize),
}

#[derive(Clone, Copy)]
enum Part {
    Indexed,
    TableSize,
    NameIndex,
    Name,
    Value,
}

/// What ends the connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoResponse {
    #[error("a response with a pseudo-header of requests")]
    PseudoHeader,
    #[error("a response with an integer that is too long")]
    Integer,
}

impl<S> ResponseHeads<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            frames: Frames::default(),
        }
    }
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), NoResponse> {
        while !bytes.is_empty() {
            let is_head = self.left == 0;
            let wanted = if is_head {
                FRAME_HEAD - self.filled
            } else {
                self.left
            };
            let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
            if is_head {
                self.read_head(taken);
            } else {
                self.read_payload(taken)?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn read_head(&mut self, bytes: &[u8]) {
        self.head[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        if self.filled < FRAME_HEAD {
            return;
        }
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.tells_padding = kind == HEADERS && flags & PADDED != 0;
        self.padding = 0;
        self.priority = if kind == HEADERS && flags & PRIORITY != 0 {
            PRIORITY_BYTES
        } else {
            0
        };
        if kind == HEADERS {
            self.block = Block::default();
        }
    }

    fn read_payload(&mut self, bytes: &[u8]) -> Result<(), NoResponse> {
        let left = self.left;
        self.left -= bytes.len();
        if !matches!(self.head[3], HEADERS | CONTINUATION) {
            return Ok(());
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.tells_padding {
                self.tells_padding = false;
                self.padding = usize::from(*byte);
            } else if self.priority > 0 {
                self.priority -= 1;
            } else if left - at > self.padding {
                self.block.read(*byte)?;
            }
        }
        Ok(())
    }
}

impl Block {
    fn read(&mut self, byte: u8) -> Result<(), NoResponse> {
        match self.step {
            Step::Begin => {
                let (part, bits) = match byte {
                    0x80.. => (Part::Indexed, 7),
                    0x40.. => (Part::NameIndex, 6),
                    0x20.. => (Part::TableSize, 5),
                    _ => (Part::NameIndex, 4),
                };
                self.begin_integer(part, byte, bits)
            }
            Step::Length(part) => {
                if matches!(part, Part::Name) {
                    self.is_huffman = byte & 0x80 != 0;
                }
                self.begin_integer(part, byte, 7)
            }
            Step::Integer(part, value, shift) => {
                let value = value + (usize::from(byte & 0x7f) << shift);
                if byte & 0x80 == 0 {
                    return self.end_integer(part, value);
                }
                if shift >= SHIFT_MAX {
                    return Err(NoResponse::Integer);
                }
                self.step = Step::Integer(part, value, shift + 7);
                Ok(())
            }
            Step::Text(part, left) => {
                if matches!(part, Part::Name)
                    && let Some(place) = self.name.get_mut(self.length - left)
                {
                    *place = byte;
                }
                self.go_on(part, left - 1)
            }
        }
    }

    fn begin_integer(&mut self, part: Part, byte: u8, bits: u32) -> Result<(), NoResponse> {
        let most = (1 << bits) - 1;
        let value = usize::from(byte) & most;
        if value < most {
            return self.end_integer(part, value);
        }
        self.step = Step::Integer(part, value, 0);
        Ok(())
    }

    fn end_integer(&mut self, part: Part, value: usize) -> Result<(), NoResponse> {
        self.step = match part {
            Part::Indexed | Part::NameIndex if OF_REQUESTS.contains(&value) => {
                return Err(NoResponse::PseudoHeader);
            }
            Part::Indexed | Part::TableSize => Step::Begin,
            Part::NameIndex if value == 0 => Step::Length(Part::Name),
            Part::NameIndex => Step::Length(Part::Value),
            Part::Name | Part::Value => {
                self.length = value;
                return self.go_on(part, value);
            }
        };
        Ok(())
    }

    fn go_on(&mut self, part: Part, left: usize) -> Result<(), NoResponse> {
        self.step = match part {
            _ if left > 0 => Step::Text(part, left),
            Part::Name if self.is_of_requests() => return Err(NoResponse::PseudoHeader),
            Part::Name => Step::Length(Part::Value),
            _ => Step::Begin,
        };
        Ok(())
    }

    fn is_of_requests(&self) -> bool {
        let name = &self.name[..self.length.min(self.name.len())];
        let (is_pseudo, status) = if self.is_huffman {
            // A colon has seven bits.
            let first = name.first().map(|byte| byte >> 1);
            (first == Some(STATUS_HUFFMAN[0] >> 1), STATUS_HUFFMAN)
        } else {
            (name.first() == Some(&b':'), STATUS)
        };
        is_pseudo && (self.length > name.len() || name != status)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ResponseHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = self.frames.read(&buffer.filled()[before..]);
        Poll::Ready(read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

writes_to_inner!(ResponseHeads);

#[cfg(test)]
mod tests {
    use super::{super::frames::END_HEADERS, *};

    /// A head whose block is cut in two, with a priority and padding, in pieces of each size.
    fn read(block: &[u8]) -> Result<(), NoResponse> {
        let (first, second) = block.split_at(block.len() / 2);
        let first = [&[3, 0, 0, 0, 0, 9][..], first, &[0x82, 0x82, 0x82]].concat();
        let mut bytes = Vec::new();
        for (kind, flags, payload) in [
            (4, 0, &[0x82; 6][..]),
            (HEADERS, PADDED | PRIORITY, &first),
            (CONTINUATION, END_HEADERS, second),
            (0, PADDED, &[0x82; 100]),
        ] {
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            bytes.extend([0, length[0], length[1], kind, flags, 0, 0, 0, 1]);
            bytes.extend(payload);
        }
        let results = [1, 2, 7, 10_000].map(|size| {
            let mut frames = Frames::default();
            bytes
                .repeat(2)
                .chunks(size)
                .try_for_each(|piece| frames.read(piece))
        });
        let [result, others @ ..] = results;
        assert!(others.iter().all(|other| *other == result), "{block:?}");
        result
    }

    fn literal(first: u8, name: &[u8], huffman: bool) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap() | if huffman { 0x80 } else { 0 };
        [&[first, length], name, &[2, 0x82, 0x82]].concat()
    }

    #[test]
    fn a_response_has_headers_and_a_status_however_they_are_written() {
        let mut long = vec![0x0f, 0x10, 0x7f, 0x81, 0x01];
        long.extend([0x82; 256]);
        for block in [
            vec![0x88, 0x3f, 0xe1, 0x1f],
            vec![0x48, 3, b'1', b'0', b'3', 0xbe, 0xff, 0x80, 0x00],
            vec![0x08, 0, 0x5f, 1, b'x'],
            literal(0x40, STATUS, false),
            literal(0x10, STATUS_HUFFMAN, true),
            literal(0, b"x-kubernetes-pf-flowschema-uid", false),
            literal(0, b"", false),
            long,
        ] {
            assert_eq!(read(&block), Ok(()), "{block:x?}");
        }
    }

    #[test]
    fn what_only_requests_have_is_found_however_it_is_written() {
        let huffman_path = b"\xb9\x58\xd3\x3f";
        for block in [
            vec![0x88, 0x81],
            vec![0x88, 0x44, 1, b'/'],
            vec![0x88, 0x01, 1, b'p'],
            vec![0x88, 0x16, 1, b'p'],
            [literal(0, b"x", false), literal(0x40, b":path", false)].concat(),
            literal(0x10, b":authority", false),
            literal(0x40, b":status2", false),
            literal(0x40, huffman_path, true),
            literal(0x40, b"\xb8\x84\x8d\x36\xa3\xff", true),
        ] {
            assert_eq!(read(&block), Err(NoResponse::PseudoHeader), "{block:x?}");
        }
        let endless = [0x88, 0xff, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(read(&endless), Err(NoResponse::Integer));
    }
}
