//! Reading JSON as it streams past, in pieces that end anywhere.
//!
//! A visitor is told of each value as it begins and says what it wants: to enter it, to have it, or
//! neither. What it doesn't want is passed over without a look at more than quotes, backslashes and
//! brackets. So what is wrong in there stays unseen, and all else that is no JSON ends the reading.

mod skip;
mod string;
#[cfg(test)]
pub(crate) mod tests;

use crate::kept::{Kept, Want};
use skip::{Skip, Skipped};
use string::{Piece, StringReader};

/// How deep a document may be nested, as in Go.
const DEPTH_MAX: usize = 10_000;

/// Bytes of a key that a visitor gets at most. It is above all limits, so that what is cut is seen
/// to be too long.
pub(crate) const KEY_MAX: usize = 257;

/// Bytes of a number that a visitor gets at most.
const BARE_MAX: usize = 32;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object.
    Object,
    /// A list.
    List,
    /// A string.
    String,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// Null.
    Null,
}

/// Who is told what is read.
pub(crate) trait Visitor {
    /// A value begins: with its key, if what was last entered is an object.
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want;
    /// The value that was to be kept.
    fn kept(&mut self, value: &Kept);
    /// What was last entered has ended.
    fn left(&mut self) {}
    /// Whether nothing more is wanted of the document.
    fn is_done(&self) -> bool {
        false
    }
}

#[derive(Debug)]
enum State {
    /// Before a value, which may be missing in a list that was just opened.
    Value {
        may_close: bool,
    },
    /// Before a key, which may be missing in an object that was just opened.
    Key {
        may_close: bool,
    },
    InKey(StringReader),
    Colon,
    InString(StringReader),
    /// In a number, `true`, `false` or `null`.
    InBare {
        shape: Shape,
        is_wanted: bool,
    },
    Skip(Skip),
    /// Behind a value in a container.
    Comma,
    Ended,
    Malformed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    List,
}

/// Reads one document.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    state: State,
    /// What was entered and has not ended.
    open: Vec<Container>,
    text: Kept,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self {
            state: State::Value { may_close: false },
            open: Vec::new(),
            text: Kept::default(),
        }
    }
}

impl Tokenizer {
    /// Reads on, and says how much of it was read: less than all where the document ended, where it
    /// is none, or where nothing more is wanted of it.
    pub(crate) fn read(&mut self, data: &[u8], visitor: &mut impl Visitor) -> usize {
        let mut at = 0;
        while at < data.len() && !self.is_ended() && !self.is_malformed() && !visitor.is_done() {
            at += self.step(&data[at..], visitor);
        }
        at
    }

    /// Whether the document has ended.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether it turned out to be none.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self.state, State::Malformed)
    }

    fn step(&mut self, data: &[u8], visitor: &mut impl Visitor) -> usize {
        let byte = data[0];
        match self.state {
            State::Ended | State::Malformed => data.len(),
            State::InKey(_) => self.in_key(data),
            State::InString(_) => self.in_string(data, visitor),
            State::InBare { shape, is_wanted } => self.in_bare(data, shape, is_wanted, visitor),
            State::Skip(_) => self.in_skipped(data),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => 1,
            State::Value { may_close } => self.before_value(byte, may_close, visitor),
            State::Key { may_close } => self.before_key(byte, may_close, visitor),
            State::Colon if byte == b':' => self.go(State::Value { may_close: false }),
            State::Colon => self.fail(0),
            State::Comma => self.behind_value(byte, visitor),
        }
    }

    /// Goes on behind one byte.
    fn go(&mut self, state: State) -> usize {
        self.state = state;
        1
    }

    /// The byte behind so many is not allowed there.
    fn fail(&mut self, at: usize) -> usize {
        self.state = State::Malformed;
        at
    }

    fn end_value(&mut self) {
        self.state = if self.open.is_empty() {
            State::Ended
        } else {
            State::Comma
        };
    }

    fn before_value(&mut self, byte: u8, may_close: bool, visitor: &mut impl Visitor) -> usize {
        let shape = match byte {
            b'{' => Shape::Object,
            b'[' => Shape::List,
            b'"' => Shape::String,
            b't' | b'f' => Shape::Bool,
            b'n' => Shape::Null,
            b'-' | b'0'..=b'9' => Shape::Number,
            b']' if may_close => return self.close(visitor),
            _ => return self.fail(0),
        };
        let is_member = self.open.last() == Some(&Container::Object);
        let want = visitor.value(is_member.then(|| self.text.bytes()), shape);
        match (shape, want) {
            (Shape::Object, _) => self.open(Container::Object, want),
            (Shape::List, _) => self.open(Container::List, want),
            (Shape::String, Want::Keep(limit)) => {
                self.text.begin(limit);
                self.go(State::InString(StringReader::default()))
            }
            (Shape::String, _) => self.go(State::Skip(Skip::string())),
            _ => {
                let is_wanted = matches!(want, Want::Keep(_));
                self.text.begin(BARE_MAX);
                self.state = State::InBare { shape, is_wanted };
                0
            }
        }
    }

    fn open(&mut self, container: Container, want: Want) -> usize {
        let room = DEPTH_MAX - self.open.len();
        if room == 0 {
            return self.fail(0);
        }
        if want != Want::Enter {
            return self.go(State::Skip(Skip::container(room)));
        }
        self.open.push(container);
        self.go(match container {
            Container::Object => State::Key { may_close: true },
            Container::List => State::Value { may_close: true },
        })
    }

    fn close(&mut self, visitor: &mut impl Visitor) -> usize {
        self.open.pop();
        self.end_value();
        visitor.left();
        1
    }

    fn before_key(&mut self, byte: u8, may_close: bool, visitor: &mut impl Visitor) -> usize {
        match byte {
            b'"' => {
                self.text.begin(KEY_MAX);
                self.go(State::InKey(StringReader::default()))
            }
            b'}' if may_close => self.close(visitor),
            _ => self.fail(0),
        }
    }

    fn in_key(&mut self, data: &[u8]) -> usize {
        let State::InKey(reader) = &mut self.state else {
            return 0;
        };
        match reader.read(data, &mut self.text) {
            Piece::Read(length) => length,
            Piece::Malformed(at) => self.fail(at),
            Piece::Closed(length) => {
                self.state = State::Colon;
                length
            }
        }
    }

    fn in_string(&mut self, data: &[u8], visitor: &mut impl Visitor) -> usize {
        let State::InString(reader) = &mut self.state else {
            return 0;
        };
        match reader.read(data, &mut self.text) {
            Piece::Read(length) => length,
            Piece::Malformed(at) => self.fail(at),
            Piece::Closed(length) => {
                self.end_value();
                visitor.kept(&self.text);
                length
            }
        }
    }

    fn in_bare(
        &mut self,
        data: &[u8],
        shape: Shape,
        is_wanted: bool,
        visitor: &mut impl Visitor,
    ) -> usize {
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let end = data.iter().position(|byte| !is_inside(byte));
        self.text.push(&data[..end.unwrap_or(data.len())]);
        let Some(end) = end else {
            return data.len();
        };
        if !is_bare(shape, &self.text) {
            return self.fail(end);
        }
        self.end_value();
        if is_wanted {
            visitor.kept(&self.text);
        }
        end
    }

    fn in_skipped(&mut self, data: &[u8]) -> usize {
        let State::Skip(skip) = &mut self.state else {
            return 0;
        };
        match skip.read(data) {
            Skipped::All => data.len(),
            Skipped::Malformed(at) => self.fail(at),
            Skipped::Ended(length) => {
                self.end_value();
                length
            }
        }
    }

    fn behind_value(&mut self, byte: u8, visitor: &mut impl Visitor) -> usize {
        match (byte, self.open.last()) {
            (b',', Some(Container::Object)) => self.go(State::Key { may_close: false }),
            (b',', Some(Container::List)) => self.go(State::Value { may_close: false }),
            (b'}', Some(Container::Object)) | (b']', Some(Container::List)) => self.close(visitor),
            _ => self.fail(0),
        }
    }
}

/// Whether this is what its first byte promised.
fn is_bare(shape: Shape, text: &Kept) -> bool {
    match (shape, text.bytes()) {
        (Shape::Bool, bytes) => matches!(bytes, b"true" | b"false"),
        (Shape::Null, bytes) => bytes == b"null",
        // Only the beginning was kept.
        (_, bytes) => text.is_cut() || is_number(bytes),
    }
}

fn is_number(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (whole, mut rest) = digits(bytes);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    if let Some(behind) = rest.strip_prefix(b".") {
        let (fraction, behind) = digits(behind);
        if fraction.is_empty() {
            return false;
        }
        rest = behind;
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => {
            !rest.is_empty() && digits(rest).1.is_empty()
        }
        _ => false,
    }
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    bytes.split_at(end.unwrap_or(bytes.len()))
}
