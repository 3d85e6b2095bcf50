//! The heads of an API server's HTTP/2 responses must not have what only requests have.
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

use crate::wire::{
    header_blocks::{HeaderBlocks, Refused, Rule, Seen, Text},
    writes::writes_to_inner,
};

/// `:status`, as text and in Huffman's code.
const STATUS: &[u8] = b":status";
const STATUS_HUFFMAN: &[u8] = b"\xb8\x84\x8d\x36\xa3";
/// The first pseudo-headers of the static table, which are those of requests.
const OF_REQUESTS: std::ops::RangeInclusive<usize> = 1..=7;

/// A connection to the API server that ends with the first such head.
pub(super) struct ResponseHeads<S> {
    inner: S,
    blocks: HeaderBlocks<StatusOnly>,
}

#[derive(Default)]
struct StatusOnly;

impl<S> ResponseHeads<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            blocks: HeaderBlocks::new(0, StatusOnly),
        }
    }
}

impl Rule for StatusOnly {
    fn see(&mut self, seen: Seen<'_>) -> Result<(), Refused> {
        let is_of_requests = match seen {
            Seen::Field(index) | Seen::NameIndex(index) => OF_REQUESTS.contains(&index),
            Seen::Name(name) => is_of_requests(&name),
            Seen::Value { .. } => false,
        };
        if is_of_requests {
            return Err(Refused::PseudoHeader);
        }
        Ok(())
    }
}

fn is_of_requests(name: &Text<'_>) -> bool {
    let first = name.beginning.first();
    let (is_pseudo, status) = if name.is_huffman {
        // A colon has seven bits.
        let first = first.map(|byte| byte >> 1);
        (first == Some(STATUS_HUFFMAN[0] >> 1), STATUS_HUFFMAN)
    } else {
        (first == Some(&b':'), STATUS)
    };
    is_pseudo && (name.length > name.beginning.len() || name.beginning != status)
}

impl<S: AsyncRead + Unpin> AsyncRead for ResponseHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = self.blocks.read(&buffer.filled()[before..]);
        Poll::Ready(read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

writes_to_inner!(ResponseHeads<S>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header_blocks::testing::{self, read};

    fn literal(first: u8, name: &[u8], huffman: bool) -> Vec<u8> {
        testing::literal(first, name, huffman, &[2, 0x82, 0x82])
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
            assert_eq!(read::<StatusOnly>(&block), Ok(()), "{block:x?}");
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
            let read = read::<StatusOnly>(&block);
            assert_eq!(read, Err(Refused::PseudoHeader), "{block:x?}");
        }
        let endless = [0x88, 0xff, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(read::<StatusOnly>(&endless), Err(Refused::Integer));
    }
}
