//! Reads along a connection's HTTP/2 frames and the header blocks in them, without HPACK's table:
//! where each frame begins, which names stand there by number or spelled out, and which values are
//! spelled out.

use super::http2_frame::{FRAME_HEADER, FrameHead, HEADERS};

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Stream and weight, where a head has a priority.
const PRIORITY_BYTES: usize = 5;
/// Longer integers are an error to the HTTP library as well.
const SHIFT_MAX: u32 = 21;
/// So much of a name is kept; no name that a rule looks for is longer.
const NAME_MAX: usize = 8;

/// What ends a connection: a head that must not be there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a response with a pseudo-header of requests")]
    PseudoHeader,
    #[error("a request whose target has a fragment")]
    Fragment,
    #[error("a head with an integer that is too long")]
    Integer,
}

/// What stands in a header block.
pub(crate) enum Seen<'a> {
    /// A whole field, by its number in the table.
    Field(usize),
    /// A name by its number; its value follows.
    NameIndex(usize),
    /// A name that is spelled out; its value follows.
    Name(Text<'a>),
    /// Of the value: the next bytes, whether those are Huffman's code, and whether they begin it.
    Value {
        bytes: &'a [u8],
        is_huffman: bool,
        is_first: bool,
    },
}

/// A string of HPACK, of which no more is at hand than its beginning.
pub(crate) struct Text<'a> {
    pub(crate) beginning: &'a [u8],
    /// Of all of it, in bytes.
    pub(crate) length: usize,
    pub(crate) is_huffman: bool,
}

/// What may stand in a connection's frames and header blocks.
pub(crate) trait Rule {
    fn begin_frame(&mut self, _: FrameHead) {}

    fn see(&mut self, seen: Seen<'_>) -> Result<(), Refused>;
}

/// Where in a peer's frames the next byte is.
pub(crate) struct HeaderBlocks<R> {
    /// Bytes before the first frame.
    preface: usize,
    /// Of a frame's head, the bytes that have come.
    partial: [u8; FRAME_HEADER],
    filled: usize,
    /// Of the frame that began last.
    frame: FrameHead,
    /// Of its payload.
    left: usize,
    /// Whether its first byte tells its padding.
    tells_padding: bool,
    padding: usize,
    /// Bytes of a priority.
    priority: usize,
    block: Block,
    rule: R,
}

/// Where in a header block the next byte is (RFC 7541, section 6).
#[derive(Default)]
struct Block {
    step: Step,
    /// The beginning of a name that is spelled out.
    name: [u8; NAME_MAX],
    /// Of the string that the next byte belongs to.
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
    Field,
    TableSize,
    NameIndex,
    Name,
    Value,
}

impl<R: Rule> HeaderBlocks<R> {
    /// `preface`: bytes before the first frame.
    pub(crate) fn new(preface: usize, rule: R) -> Self {
        Self {
            preface,
            partial: [0; FRAME_HEADER],
            filled: 0,
            frame: FrameHead::default(),
            left: 0,
            tells_padding: false,
            padding: 0,
            priority: 0,
            block: Block::default(),
            rule,
        }
    }

    pub(crate) fn rule(&self) -> &R {
        &self.rule
    }

    pub(crate) fn rule_mut(&mut self) -> &mut R {
        &mut self.rule
    }

    /// How many bytes there are at least until a frame's head or payload ends.
    pub(crate) fn piece(&self) -> usize {
        match (self.preface, self.left) {
            (0, 0) => FRAME_HEADER - self.filled,
            (0, left) => left,
            (preface, _) => preface,
        }
    }

    /// Whether what was read last is the end of a head or of trailers.
    pub(crate) fn is_behind_head(&self) -> bool {
        self.left == 0 && self.filled == 0 && self.frame.ends_head()
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        let before = self.preface.min(bytes.len());
        self.preface -= before;
        bytes = &bytes[before..];
        while !bytes.is_empty() {
            let is_head = self.left == 0;
            let wanted = if is_head {
                FRAME_HEADER - self.filled
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
        self.partial[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        if self.filled == FRAME_HEADER {
            self.filled = 0;
            self.begin_frame(FrameHead::new(self.partial));
        }
    }

    fn begin_frame(&mut self, frame: FrameHead) {
        self.frame = frame;
        self.left = frame.length;
        self.rule.begin_frame(frame);
        if !frame.is_of_head() {
            return;
        }
        let has = |flag| frame.kind == HEADERS && frame.flags & flag != 0;
        self.tells_padding = has(PADDED);
        self.padding = 0;
        self.priority = if has(PRIORITY) { PRIORITY_BYTES } else { 0 };
        if frame.kind == HEADERS {
            self.block = Block::default();
        }
    }

    /// `bytes`: of one frame's payload, at least one.
    fn read_payload(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        self.left -= bytes.len();
        if !self.frame.is_of_head() {
            return Ok(());
        }
        if self.tells_padding {
            self.tells_padding = false;
            self.padding = usize::from(bytes[0]);
            bytes = &bytes[1..];
        }
        let priority = self.priority.min(bytes.len());
        self.priority -= priority;
        // Those of the padding that are here: what of it is left of the payload is not.
        let padding = self.padding.saturating_sub(self.left);
        let end = bytes.len().saturating_sub(padding).max(priority);
        self.block.read(&bytes[priority..end], &mut self.rule)
    }
}

impl Block {
    fn read(&mut self, mut bytes: &[u8], rule: &mut impl Rule) -> Result<(), Refused> {
        while let Some(byte) = bytes.first().copied() {
            let taken = match self.step {
                Step::Text(part, left) => {
                    let taken = left.min(bytes.len());
                    self.read_text(part, left, &bytes[..taken], rule)?;
                    taken
                }
                _ => {
                    self.read_byte(byte, rule)?;
                    1
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn read_byte(&mut self, byte: u8, rule: &mut impl Rule) -> Result<(), Refused> {
        match self.step {
            Step::Length(part) => {
                self.is_huffman = byte & 0x80 != 0;
                self.begin_integer(part, byte, 7, rule)
            }
            Step::Integer(part, value, shift) => {
                let value = value + (usize::from(byte & 0x7f) << shift);
                if byte & 0x80 == 0 {
                    return self.end_integer(part, value, rule);
                }
                if shift >= SHIFT_MAX {
                    return Err(Refused::Integer);
                }
                self.step = Step::Integer(part, value, shift + 7);
                Ok(())
            }
            Step::Begin | Step::Text(..) => {
                let (part, bits) = match byte {
                    0x80.. => (Part::Field, 7),
                    0x40.. => (Part::NameIndex, 6),
                    0x20.. => (Part::TableSize, 5),
                    _ => (Part::NameIndex, 4),
                };
                self.begin_integer(part, byte, bits, rule)
            }
        }
    }

    fn begin_integer(
        &mut self,
        part: Part,
        byte: u8,
        bits: u32,
        rule: &mut impl Rule,
    ) -> Result<(), Refused> {
        let most = (1 << bits) - 1;
        let value = usize::from(byte) & most;
        if value < most {
            return self.end_integer(part, value, rule);
        }
        self.step = Step::Integer(part, value, 0);
        Ok(())
    }

    fn end_integer(
        &mut self,
        part: Part,
        value: usize,
        rule: &mut impl Rule,
    ) -> Result<(), Refused> {
        self.step = match part {
            Part::Field => {
                rule.see(Seen::Field(value))?;
                Step::Begin
            }
            Part::TableSize => Step::Begin,
            Part::NameIndex if value == 0 => Step::Length(Part::Name),
            Part::NameIndex => {
                rule.see(Seen::NameIndex(value))?;
                Step::Length(Part::Value)
            }
            Part::Name | Part::Value => {
                self.length = value;
                return self.go_on(part, value, rule);
            }
        };
        Ok(())
    }

    /// `left`: of the string, with these bytes.
    fn read_text(
        &mut self,
        part: Part,
        left: usize,
        bytes: &[u8],
        rule: &mut impl Rule,
    ) -> Result<(), Refused> {
        let at = self.length - left;
        match part {
            Part::Name => {
                let kept = self.name.iter_mut().skip(at);
                kept.zip(bytes).for_each(|(place, byte)| *place = *byte);
            }
            _ => rule.see(Seen::Value {
                bytes,
                is_huffman: self.is_huffman,
                is_first: at == 0,
            })?,
        }
        self.go_on(part, left - bytes.len(), rule)
    }

    fn go_on(&mut self, part: Part, left: usize, rule: &mut impl Rule) -> Result<(), Refused> {
        self.step = match part {
            _ if left > 0 => Step::Text(part, left),
            Part::Name => {
                rule.see(Seen::Name(Text {
                    beginning: &self.name[..self.length.min(NAME_MAX)],
                    length: self.length,
                    is_huffman: self.is_huffman,
                }))?;
                Step::Length(Part::Value)
            }
            _ => Step::Begin,
        };
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Header blocks in frames, read in pieces of each size.

    use super::*;
    use crate::wire::http2_frame::{CONTINUATION, END_HEADERS};

    /// A field whose name is spelled out; `value` is a string of HPACK.
    pub(crate) fn literal(first: u8, name: &[u8], huffman: bool, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap() | if huffman { 0x80 } else { 0 };
        [&[first, length], name, value].concat()
    }

    /// A head whose block is cut in two, with a priority and padding.
    fn frames(block: &[u8]) -> Vec<u8> {
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
        bytes
    }

    /// What `rule` says of the block, which must not depend on how the bytes come.
    pub(crate) fn read<R: Rule + Default>(block: &[u8]) -> Result<(), Refused> {
        let bytes = [&[0x84; 5][..], &frames(block).repeat(2)].concat();
        let results = [1, 2, 7, 10_000].map(|size| {
            let mut blocks = HeaderBlocks::new(5, R::default());
            bytes.chunks(size).try_for_each(|piece| blocks.read(piece))
        });
        let [result, others @ ..] = results;
        assert!(others.iter().all(|other| *other == result), "{block:x?}");
        result
    }
}
