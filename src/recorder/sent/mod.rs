//! What the body of a write says: which version of the object it is for, which fields it changes,
//! and of a delete whether it is a dry run. Never a value of a field.

mod deletion;
mod leaves;
mod object;
mod operations;
#[cfg(test)]
mod tests;

use crate::{
    form::{Form, Unread, media_type},
    json::Tokenizer,
    protobuf::MessageReader,
};
use deletion::Deletion;
use leaves::Leaves;
use object::ObjectSent;
use operations::Operations;

/// Paths that are kept of a patch, and tests.
pub const PATHS_MAX: usize = 64;
/// Bytes of a path; one that is longer is only counted.
pub const PATH_MAX: usize = 256;

/// How a body says what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is the object: a create or an update.
    Object,
    /// A list of operations: a JSON patch.
    Operations,
    /// A part of the object: a merge patch, a strategic merge patch, or an apply.
    Part,
    /// Nothing: it has the options of a delete.
    Deletion,
    /// Nothing: it is an eviction, which has the options of a delete.
    Eviction,
}

impl Change {
    /// How the body of a create, update or patch with this `Content-Type` does.
    pub fn of(content_type: &[u8]) -> Self {
        let media_type = media_type(content_type).to_ascii_lowercase();
        match &media_type[..] {
            b"application/json-patch+json" => Self::Operations,
            b"application/merge-patch+json"
            | b"application/strategic-merge-patch+json"
            | b"application/apply-patch+yaml"
            | b"application/apply-patch+cbor" => Self::Part,
            _ => Self::Object,
        }
    }
}

/// What the body of a write says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// `metadata.resourceVersion`, or of a delete that of its `preconditions`: the write fails
    /// unless this is still the object's.
    pub resource_version: String,
    /// Whether a delete or an eviction is a dry run.
    pub dry_run: bool,
    /// JSON pointers of what a patch changes, as it names them. A list is not entered. Identity
    /// and version of the object are not among what a part of it changes; an operation's path is
    /// always there, and of a move where it moves from.
    pub paths: Vec<String>,
    /// JSON pointers of the `test`s of a JSON patch.
    pub tests: Vec<String>,
    /// How many more paths or tests there were.
    pub more: u64,
}

impl Sent {
    /// Adds a path, or only counts it: where it is too long (nothing), or there are too many.
    fn add_path(&mut self, path: Option<&str>) {
        add(&mut self.paths, &mut self.more, path);
    }

    /// The same of a test.
    fn add_test(&mut self, path: Option<&str>) {
        add(&mut self.tests, &mut self.more, path);
    }
}

fn add(list: &mut Vec<String>, more: &mut u64, path: Option<&str>) {
    match path {
        Some(path) if list.len() < PATHS_MAX => list.push(path.to_owned()),
        _ => *more += 1,
    }
}

/// Reads the body of a write.
#[derive(Debug)]
pub struct SentReader {
    source: Source,
    sent: Sent,
}

#[derive(Debug)]
enum Source {
    Object(Tokenizer, ObjectSent),
    Operations(Tokenizer, Operations),
    Part(Tokenizer, Leaves),
    Protobuf(MessageReader, ObjectSent),
    Deletion(Tokenizer, Deletion),
    ProtobufDeletion(MessageReader, Deletion),
    Unread(Unread),
}

impl SentReader {
    /// For a body of this form that says so what it changes.
    pub fn new(form: Form, change: Change) -> Self {
        let tokenizer = Tokenizer::default();
        let source = match (form, change) {
            (Form::Json, Change::Object) => Source::Object(tokenizer, ObjectSent::default()),
            (Form::Json, Change::Operations) => {
                Source::Operations(tokenizer, Operations::default())
            }
            (Form::Json, Change::Part) => Source::Part(tokenizer, Leaves::default()),
            (Form::Json, Change::Deletion) => Source::Deletion(tokenizer, Deletion::default()),
            (Form::Json, Change::Eviction) => {
                Source::Deletion(tokenizer, Deletion::OutsideEviction)
            }
            (Form::Protobuf, Change::Eviction) => {
                let message = MessageReader::behind_magic();
                Source::ProtobufDeletion(message, Deletion::OutsideEviction)
            }
            (Form::Protobuf, Change::Deletion) => {
                Source::ProtobufDeletion(MessageReader::behind_magic(), Deletion::default())
            }
            (Form::Protobuf, _) => {
                Source::Protobuf(MessageReader::behind_magic(), ObjectSent::default())
            }
            (Form::Unread(unread), _) => Source::Unread(unread),
        };
        Self {
            source,
            sent: Sent::default(),
        }
    }

    /// Reads on.
    pub fn read(&mut self, data: &[u8]) {
        let sent = &mut self.sent;
        let is_malformed = match &mut self.source {
            Source::Unread(_) => return,
            Source::Object(tokenizer, object) => {
                tokenizer.read(data, &mut object.reading(sent));
                tokenizer.is_malformed()
            }
            Source::Operations(tokenizer, operations) => {
                tokenizer.read(data, &mut operations.reading(sent));
                tokenizer.is_malformed() || operations.is_wrong()
            }
            Source::Part(tokenizer, leaves) => {
                tokenizer.read(data, &mut leaves.reading(sent));
                tokenizer.is_malformed() || leaves.is_wrong()
            }
            Source::Protobuf(message, object) => {
                message.read(data, &mut object.reading(sent));
                message.is_malformed()
            }
            Source::Deletion(tokenizer, deletion) => {
                tokenizer.read(data, &mut deletion.reading(sent));
                tokenizer.is_malformed()
            }
            Source::ProtobufDeletion(message, deletion) => {
                message.read(data, &mut deletion.reading(sent));
                message.is_malformed()
            }
        };
        if is_malformed {
            self.source = Source::Unread(Unread::Malformed);
        }
    }

    /// Whether what follows of the body says nothing more.
    pub fn is_done(&self) -> bool {
        matches!(self.source, Source::Unread(_)) || self.is_whole()
    }

    /// Whether all that is wanted was read to its end.
    pub fn is_whole(&self) -> bool {
        match &self.source {
            Source::Object(tokenizer, object) => tokenizer.is_ended() || object.is_done(),
            Source::Operations(tokenizer, _) | Source::Part(tokenizer, _) => tokenizer.is_ended(),
            Source::Protobuf(_, object) => object.is_done(),
            Source::Deletion(_, deletion) | Source::ProtobufDeletion(_, deletion) => {
                deletion.is_done()
            }
            Source::Unread(_) => false,
        }
    }

    /// Why the body was not read, or not to its end.
    pub fn unread(&self) -> Option<Unread> {
        match self.source {
            Source::Unread(unread) => Some(unread),
            _ => None,
        }
    }

    /// What was found.
    pub fn finish(self) -> Sent {
        self.sent
    }
}
