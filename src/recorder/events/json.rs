//! Events in JSON, one document after the other.
//!
//! kube-apiserver begins each with its type, ends it with a line end and has none inside. Of such
//! a line only the type is read, and the rest is a search for its end, so that it costs next to
//! nothing. A document that begins otherwise is read by the tokenizer, which finds its type and its
//! end wherever they are.

use super::{EventCounts, TYPE_MAX};
use crate::{
    json::{Shape, Tokenizer, Visitor},
    kept::{Kept, Want},
};

/// How kube-apiserver begins each event.
const BEGINNING: &[u8] = br#"{"type":""#;

#[derive(Debug)]
enum State {
    /// Between two events, or behind so many bytes of the beginning.
    Beginning(usize),
    /// In the type behind the beginning.
    Type,
    /// Behind the type, up to the end of the line. What was last there besides spaces.
    Line { last: u8 },
    /// In a document that begins otherwise.
    Document(Box<Document>),
    /// In what is no event, up to the end of the line.
    Lost,
}

#[derive(Debug, Default)]
struct Document {
    tokenizer: Tokenizer,
    event: Event,
}

/// Reads the events of a body.
#[derive(Debug)]
pub(super) struct Lines {
    state: State,
    kind: Kept,
    is_between: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            state: State::Beginning(0),
            kind: Kept::default(),
            is_between: true,
        }
    }
}

impl Lines {
    pub(super) fn is_between(&self) -> bool {
        self.is_between
    }

    /// Reads on; false if there was anything in it that is no event.
    pub(super) fn read(&mut self, mut data: &[u8], counts: &mut EventCounts) -> bool {
        if let Some(last) = data.last() {
            self.is_between = *last == b'\n';
        }
        let mut is_well = true;
        while !data.is_empty() {
            let length = match &mut self.state {
                State::Beginning(0) if data[0].is_ascii_whitespace() => 1,
                State::Beginning(count) => {
                    let count = *count;
                    self.begin(data, count)
                }
                State::Type => self.read_type(data, &mut is_well),
                State::Line { .. } => self.pass_line(data, counts, &mut is_well),
                State::Document(_) => self.read_document(data, counts, &mut is_well),
                State::Lost => self.pass_lost(data),
            };
            data = &data[length..];
        }
        is_well
    }

    fn begin(&mut self, data: &[u8], count: usize) -> usize {
        let expected = &BEGINNING[count..];
        let mut pairs = data.iter().zip(expected);
        let length = data.len().min(expected.len());
        if let Some(differing) = pairs.position(|(found, expected)| found != expected) {
            self.kind.begin(0);
            self.begin_document(&BEGINNING[..count + differing]);
            return differing;
        }
        if length == expected.len() {
            self.kind.begin(TYPE_MAX);
            self.state = State::Type;
        } else {
            self.state = State::Beginning(count + length);
        }
        length
    }

    /// Leaves a document to the tokenizer, of which this and what is known of the type was read.
    fn begin_document(&mut self, beginning: &[u8]) {
        let mut document = Box::<Document>::default();
        let Document { tokenizer, event } = &mut *document;
        tokenizer.read(beginning, event);
        tokenizer.read(self.kind.bytes(), event);
        self.state = State::Document(document);
    }

    fn read_type(&mut self, data: &[u8], is_well: &mut bool) -> usize {
        let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
        let end = data.iter().position(is_end).unwrap_or(data.len());
        self.kind.push(&data[..end]);
        match data.get(end) {
            None => end,
            Some(b'"') => {
                self.state = State::Line { last: b'"' };
                end + 1
            }
            // It is none of the known types, whatever is escaped in it.
            Some(b'\\') if self.kind.is_cut() => {
                self.state = State::Line { last: b'"' };
                end
            }
            Some(b'\\') => {
                self.begin_document(BEGINNING);
                end
            }
            Some(_) => {
                *is_well = false;
                self.state = State::Lost;
                end
            }
        }
    }

    fn pass_line(&mut self, data: &[u8], counts: &mut EventCounts, is_well: &mut bool) -> usize {
        let State::Line { last } = &mut self.state else {
            return 0;
        };
        let end = memchr::memchr(b'\n', data);
        let line = &data[..end.unwrap_or(data.len())];
        *last = *line.trim_ascii_end().last().unwrap_or(last);
        let Some(end) = end else { return data.len() };
        if *last == b'}' {
            counts.add(self.kind.bytes());
        } else {
            *is_well = false;
        }
        self.state = State::Beginning(0);
        end + 1
    }

    fn read_document(
        &mut self,
        data: &[u8],
        counts: &mut EventCounts,
        is_well: &mut bool,
    ) -> usize {
        let State::Document(document) = &mut self.state else {
            return 0;
        };
        let Document { tokenizer, event } = &mut **document;
        let length = tokenizer.read(data, event);
        if tokenizer.is_malformed() || event.is_wrong {
            *is_well = false;
            self.state = State::Lost;
        } else if tokenizer.is_ended() {
            counts.add(event.kind.bytes());
            self.state = State::Beginning(0);
        }
        length
    }

    fn pass_lost(&mut self, data: &[u8]) -> usize {
        let Some(end) = memchr::memchr(b'\n', data) else {
            return data.len();
        };
        self.state = State::Beginning(0);
        end + 1
    }
}

/// What is wanted of an event that the tokenizer reads: its type.
#[derive(Debug, Default)]
struct Event {
    is_begun: bool,
    is_wrong: bool,
    kind: Kept,
}

impl Visitor for Event {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        if !std::mem::replace(&mut self.is_begun, true) {
            self.is_wrong = shape != Shape::Object;
            return Want::Enter;
        }
        match (key, shape) {
            (Some(b"type"), Shape::String) => Want::Keep(TYPE_MAX),
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, value: &Kept) {
        self.kind.begin(TYPE_MAX);
        self.kind.push(value.bytes());
    }

    fn is_done(&self) -> bool {
        self.is_wrong
    }
}
