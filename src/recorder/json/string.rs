//! The characters of a JSON string.

use crate::kept::Kept;

/// Where in an escape a string is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// Behind the backslash.
    Begun,
    /// In the digits of `\uXXXX`.
    Digits { value: u16, count: u8 },
}

/// Reads a string, escapes and all.
#[derive(Debug, Default)]
pub(super) struct StringReader {
    escape: Escape,
    /// The first half of a surrogate pair, until it is known whether the second follows.
    high: Option<u16>,
}

/// What became of a piece of a string.
pub(super) enum Piece {
    /// So many bytes were read, and the string goes on.
    Read(usize),
    /// So many bytes were read, the closing quote being the last.
    Closed(usize),
    /// The byte behind so many is not allowed there.
    Malformed(usize),
}

impl StringReader {
    /// Reads on, up to the next quote or backslash at most.
    pub(super) fn read(&mut self, data: &[u8], text: &mut Kept) -> Piece {
        if self.escape != Escape::None {
            return match data.first().map(|byte| self.read_escaped(*byte, text)) {
                Some(None) => Piece::Malformed(0),
                _ => Piece::Read(data.len().min(1)),
            };
        }
        let end = memchr::memchr2(b'"', b'\\', data).unwrap_or(data.len());
        let plain = &data[..end];
        if let Some(at) = plain.iter().position(|byte| *byte < b' ') {
            return Piece::Malformed(at);
        }
        if !plain.is_empty() {
            self.end_pair(text);
            text.push(plain);
        }
        match data.get(end) {
            None => Piece::Read(end),
            Some(b'"') => {
                self.end_pair(text);
                Piece::Closed(end + 1)
            }
            Some(_) => {
                self.escape = Escape::Begun;
                Piece::Read(end + 1)
            }
        }
    }

    fn read_escaped(&mut self, byte: u8, text: &mut Kept) -> Option<()> {
        match self.escape {
            Escape::Digits { value, count } => {
                let digit = u16::try_from(char::from(byte).to_digit(16)?).ok()?;
                let value = value << 4 | digit;
                if count == 3 {
                    self.escape = Escape::None;
                    self.push_unit(value, text);
                } else {
                    let count = count + 1;
                    self.escape = Escape::Digits { value, count };
                }
            }
            _ if byte == b'u' => self.escape = Escape::Digits { value: 0, count: 0 },
            _ => {
                let meant = escaped(byte)?;
                self.escape = Escape::None;
                self.end_pair(text);
                text.push(&[meant]);
            }
        }
        Some(())
    }

    /// Adds a unit of UTF-16.
    fn push_unit(&mut self, unit: u16, text: &mut Kept) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(character)) = char::decode_utf16([high, unit]).next() {
                return push_character(character, text);
            }
            push_character(char::REPLACEMENT_CHARACTER, text);
        }
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
        } else {
            let character = char::from_u32(u32::from(unit));
            push_character(character.unwrap_or(char::REPLACEMENT_CHARACTER), text);
        }
    }

    /// Nothing follows that could be the second half of a pair; half of one is replaced, as Go
    /// does.
    fn end_pair(&mut self, text: &mut Kept) {
        if self.high.take().is_some() {
            push_character(char::REPLACEMENT_CHARACTER, text);
        }
    }
}

fn push_character(character: char, text: &mut Kept) {
    text.push(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn escaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
