//! Events in protobuf, each a `WatchEvent` behind its length in four bytes, big endian.

use super::{EventCounts, TYPE_MAX};
use crate::{
    kept::{Kept, Want},
    protobuf::{Fields, MessageReader, Wire},
};

/// Reads the events of a body.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the length, what was read of it.
    length: u32,
    digits: u8,
    /// Bytes of the frame that are still to come.
    left: u32,
    message: MessageReader,
    event: Event,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            length: 0,
            digits: 0,
            left: 0,
            message: MessageReader::in_stream(),
            event: Event::default(),
        }
    }
}

impl Frames {
    pub(super) fn is_between(&self) -> bool {
        self.digits == 0 && self.left == 0
    }

    /// Reads on; false if there was anything in it that is no event.
    pub(super) fn read(&mut self, mut data: &[u8], counts: &mut EventCounts) -> bool {
        let mut is_well = true;
        while !data.is_empty() {
            if self.left == 0 {
                data = self.read_length(data);
                if self.digits > 0 || self.left > 0 {
                    continue;
                }
            } else {
                data = self.read_content(data);
            }
            if self.left == 0 {
                is_well &= self.end_event(counts);
            }
        }
        is_well
    }

    /// Counts the event that ended; false if it could not be read.
    fn end_event(&self, counts: &mut EventCounts) -> bool {
        let is_well = self.message.is_ended();
        counts.add(if is_well {
            self.event.kind.bytes()
        } else {
            b""
        });
        is_well
    }

    fn read_length<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Some((digit, rest)) = data.split_first() else {
            return data;
        };
        self.length = self.length << 8 | u32::from(*digit);
        self.digits += 1;
        if self.digits == 4 {
            (self.left, self.length, self.digits) = (self.length, 0, 0);
            self.event.kind.begin(TYPE_MAX);
            self.message.begin(u64::from(self.left));
        }
        rest
    }

    fn read_content<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (content, rest) = data.split_at(data.len().min(left));
        self.message.read(content, &mut self.event);
        let taken = u32::try_from(content.len()).unwrap_or(self.left);
        self.left -= taken;
        rest
    }
}

/// What is wanted of an event: its type.
#[derive(Debug, Default)]
struct Event {
    kind: Kept,
}

impl Fields for Event {
    fn field(&mut self, number: u64, wire: Wire) -> Want {
        match (number, wire) {
            (1, Wire::Bytes) => Want::Keep(TYPE_MAX),
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, text: &Kept) {
        self.kind.begin(TYPE_MAX);
        self.kind.push(text.bytes());
    }

    fn number(&mut self, _: u64) {}
}
