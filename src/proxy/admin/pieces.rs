//! Text in pieces, each with memory of its own.
//!
//! A text in one piece would be copied again and again as it grows, and an allocator keeps what one of
//! tens of megabytes has taken.

use std::{io, mem, vec};

use bytes::Bytes;

/// Bytes of a piece; the last one has fewer.
pub(super) const PIECE: usize = 64 << 10;

/// Pieces of a text, to be written.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    /// A text that is there already, in one piece.
    pub(super) fn one(text: &str) -> Self {
        Self {
            full: Vec::new(),
            last: text.as_bytes().to_vec(),
        }
    }

    /// Bytes of all.
    pub(super) fn length(&self) -> usize {
        self.full.len() * PIECE + self.last.len()
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == PIECE {
            let full = mem::replace(&mut self.last, Vec::with_capacity(PIECE));
            self.full.push(full.into());
        }
        let count = bytes.len().min(PIECE - self.last.len());
        self.last.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = vec::IntoIter<Bytes>;

    fn into_iter(mut self) -> Self::IntoIter {
        if !self.last.is_empty() {
            self.full.push(self.last.into());
        }
        self.full.into_iter()
    }
}
