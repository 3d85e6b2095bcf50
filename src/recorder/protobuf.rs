//! Reading protobuf as it streams past, in pieces that end anywhere.
//!
//! A visitor is told of each field as it begins and says what it wants of it. All else is passed
//! over by its length, without a look at it.

use crate::kept::{Kept, Want};

/// What Kubernetes writes before each document that is not of a stream.
pub(crate) const MAGIC: [u8; 4] = *b"k8s\0";

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A number or a bool.
    Number,
    /// A text or a message.
    Bytes,
}

/// Who is told what is read.
pub(crate) trait Fields {
    /// A field begins, in the message that was last entered.
    fn field(&mut self, number: u64, wire: Wire) -> Want;
    /// The text that was to be kept.
    fn kept(&mut self, text: &Kept);
    /// The number that was to be kept.
    fn number(&mut self, number: u64);
    /// The message that was last entered has ended, or the document, if its length is known.
    fn left(&mut self) {}
    /// Whether nothing more is wanted of the document.
    fn is_done(&self) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the magic bytes, so many of which were there.
    Magic(usize),
    /// In the number and kind of a field.
    Tag(Varint),
    Number {
        varint: Varint,
        is_wanted: bool,
    },
    Length {
        varint: Varint,
        want: Want,
    },
    /// In bytes of a field, which end there.
    Skip(u64),
    Keep(u64),
    Malformed,
}

/// A number of which there may be more bytes to come.
#[derive(Debug, Default, Clone, Copy)]
struct Varint {
    value: u64,
    shift: u32,
}

/// Reads one document.
#[derive(Debug)]
pub(crate) struct MessageReader {
    state: State,
    /// Bytes that were read.
    at: u64,
    /// Where each message ends that was entered, and the document, if that is known.
    ends: Vec<u64>,
    text: Kept,
}

impl MessageReader {
    /// Of a document behind its magic bytes. It ends with the body.
    pub(crate) fn behind_magic() -> Self {
        Self {
            state: State::Magic(0),
            at: 0,
            ends: Vec::new(),
            text: Kept::default(),
        }
    }

    /// Of a document of no length, until it begins anew.
    pub(crate) fn in_stream() -> Self {
        Self {
            state: State::Tag(Varint::default()),
            ..Self::behind_magic()
        }
    }

    /// Begins anew, with a document of this length without magic bytes.
    pub(crate) fn begin(&mut self, length: u64) {
        self.state = State::Tag(Varint::default());
        self.at = 0;
        self.ends.clear();
        self.ends.push(length);
    }

    /// Whether it turned out to be no protobuf.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self.state, State::Malformed)
    }

    /// Whether a document of known length was read to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_between_fields() && self.ends.iter().all(|end| *end == self.at)
    }

    fn is_between_fields(&self) -> bool {
        matches!(self.state, State::Tag(Varint { shift: 0, .. }))
    }

    /// Reads on.
    pub(crate) fn read(&mut self, mut data: &[u8], fields: &mut impl Fields) {
        while !data.is_empty() && !self.is_malformed() && !fields.is_done() {
            let length = self.step(data, fields);
            data = &data[length..];
            self.leave(fields);
        }
    }

    /// Reads one byte, or as many as belong to a field's content.
    fn step(&mut self, data: &[u8], fields: &mut impl Fields) -> usize {
        match self.state {
            State::Skip(end) => self.content(data, end),
            State::Keep(end) => {
                let length = self.content(data, end);
                self.text.push(&data[..length]);
                if self.at == end {
                    fields.kept(&self.text);
                }
                length
            }
            _ => {
                self.at += 1;
                let next = self.next(data[0], fields);
                let is_inside = self.ends.last().is_none_or(|end| self.at <= *end);
                self.state = match next {
                    Some(next) if is_inside => next,
                    _ => State::Malformed,
                };
                1
            }
        }
    }

    /// How many of these bytes are of a content that ends there.
    fn content(&mut self, data: &[u8], end: u64) -> usize {
        let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let length = data.len().min(left);
        self.at += length as u64;
        if self.at == end {
            self.state = State::Tag(Varint::default());
        }
        length
    }

    /// Leaves the messages that end here.
    fn leave(&mut self, fields: &mut impl Fields) {
        while self.is_between_fields() && self.ends.last() == Some(&self.at) {
            self.ends.pop();
            fields.left();
        }
    }

    /// The state behind this byte, if the byte is allowed there.
    fn next(&mut self, byte: u8, fields: &mut impl Fields) -> Option<State> {
        let between = State::Tag(Varint::default());
        Some(match self.state {
            State::Magic(count) if byte != MAGIC[count] => return None,
            State::Magic(count) if count + 1 == MAGIC.len() => between,
            State::Magic(count) => State::Magic(count + 1),
            State::Tag(varint) => match varint.push(byte)? {
                Pushed::More(varint) => State::Tag(varint),
                Pushed::Whole(tag) => self.field(tag, fields)?,
            },
            State::Number { varint, is_wanted } => match varint.push(byte)? {
                Pushed::More(varint) => State::Number { varint, is_wanted },
                Pushed::Whole(number) => {
                    if is_wanted {
                        fields.number(number);
                    }
                    between
                }
            },
            State::Length { varint, want } => match varint.push(byte)? {
                Pushed::More(varint) => State::Length { varint, want },
                Pushed::Whole(length) => self.begin_bytes(length, want, fields)?,
            },
            State::Skip(_) | State::Keep(_) | State::Malformed => return None,
        })
    }

    /// The state behind a tag. Groups, which nobody writes any more, are not read.
    fn field(&mut self, tag: u64, fields: &mut impl Fields) -> Option<State> {
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD {
            return None;
        }
        let varint = Varint::default();
        Some(match tag & 7 {
            0 => State::Number {
                varint,
                is_wanted: matches!(fields.field(number, Wire::Number), Want::Keep(_)),
            },
            2 => State::Length {
                varint,
                want: fields.field(number, Wire::Bytes),
            },
            1 => self.skip(8)?,
            5 => self.skip(4)?,
            _ => return None,
        })
    }

    /// Where bytes end that begin here, if that is within the message they are in.
    fn end_of(&self, length: u64) -> Option<u64> {
        let end = self.at.checked_add(length)?;
        let is_inside = self.ends.last().is_none_or(|outer| end <= *outer);
        is_inside.then_some(end)
    }

    fn skip(&self, length: u64) -> Option<State> {
        Some(State::Skip(self.end_of(length)?))
    }

    fn begin_bytes(&mut self, length: u64, want: Want, fields: &mut impl Fields) -> Option<State> {
        let end = self.end_of(length)?;
        let between = State::Tag(Varint::default());
        Some(match want {
            Want::Enter => {
                self.ends.push(end);
                between
            }
            Want::Skip if length == 0 => between,
            Want::Skip => State::Skip(end),
            Want::Keep(limit) => {
                self.text.begin(limit);
                if length == 0 {
                    fields.kept(&self.text);
                    between
                } else {
                    State::Keep(end)
                }
            }
        })
    }
}

/// The highest number that a field may have.
const MAX_FIELD: u64 = (1 << 29) - 1;

enum Pushed {
    More(Varint),
    Whole(u64),
}

impl Varint {
    /// Adds a byte; nothing if the number would not fit in 64 bits.
    fn push(self, byte: u8) -> Option<Pushed> {
        let bits = u64::from(byte & 0x7f);
        if self.shift == 63 && byte > 1 {
            return None;
        }
        let value = self.value | bits << self.shift;
        Some(if byte < 0x80 {
            Pushed::Whole(value)
        } else {
            let shift = self.shift + 7;
            Pushed::More(Self { value, shift })
        })
    }
}
