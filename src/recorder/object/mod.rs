//! What a response says of its object, or of why there is none.

mod json;
#[cfg(test)]
mod partial_tests;
mod protobuf;
mod reading;
#[cfg(test)]
mod removed_tests;
#[cfg(test)]
pub(crate) mod tests;

use crate::{
    form::{Form, Unread},
    json::Tokenizer,
    protobuf::MessageReader,
};
use reading::Reading;

/// Bytes of a name; one that is longer is none of Kubernetes and is left out.
pub const NAME_MAX: usize = 253;
/// Bytes of a UID; one that is longer is left out.
pub const UID_MAX: usize = 64;
/// Bytes of a resource version; one that is longer is left out.
pub const RESOURCE_VERSION_MAX: usize = 64;
/// Bytes of a kind; one that is longer is left out.
pub const KIND_MAX: usize = 63;
/// Bytes of a reason, which is cut there.
pub const REASON_MAX: usize = 64;
/// Bytes of the field that a cause names, which is cut there.
pub const FIELD_MAX: usize = 256;
/// Causes that are kept of a failure.
pub const CAUSES_MAX: usize = 16;

/// What a response says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: a list, a table, or no object at all.
    #[default]
    Nothing,
    /// An object.
    Object(Object),
    /// A `Status`, of a failure or of a success that has no object.
    Status(Status),
}

/// The metadata of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The first owner that controls it.
    pub controller: Option<Owner>,
    /// Whether it is gone with this response: it was being deleted, and nothing keeps it any more.
    pub is_removed: bool,
}

/// An owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// A `Status`, without its message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `reason`, such as `Conflict`.
    pub reason: String,
    /// The first of `details.causes`.
    pub causes: Vec<Cause>,
}

/// One of the causes of a failure, without its message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// Why, such as `FieldValueInvalid`.
    pub reason: String,
    /// Which field.
    pub field: String,
}

/// Reads the body of a response.
#[derive(Debug)]
pub struct ObjectReader {
    source: Source,
    reading: Reading,
}

#[derive(Debug)]
enum Source {
    Json(Tokenizer),
    Protobuf(MessageReader),
    Unread(Unread),
}

impl ObjectReader {
    /// For a body of this form.
    pub fn new(form: Form) -> Self {
        Self {
            source: match form {
                Form::Json => Source::Json(Tokenizer::default()),
                Form::Protobuf => Source::Protobuf(MessageReader::behind_magic()),
                Form::Unread(unread) => Source::Unread(unread),
            },
            reading: Reading::default(),
        }
    }

    /// Reads on.
    pub fn read(&mut self, data: &[u8]) {
        let is_malformed = match &mut self.source {
            Source::Unread(_) => return,
            Source::Json(tokenizer) => {
                tokenizer.read(data, &mut json::Members(&mut self.reading));
                tokenizer.is_malformed()
            }
            Source::Protobuf(message) => {
                message.read(data, &mut protobuf::Messages(&mut self.reading));
                message.is_malformed()
            }
        };
        if is_malformed {
            self.source = Source::Unread(Unread::Malformed);
        }
    }

    /// Whether what follows of the body says nothing more.
    pub fn is_done(&self) -> bool {
        matches!(self.source, Source::Unread(_)) || self.reading.is_done()
    }

    /// Whether nothing is missing: all that is wanted of the object or `Status` was read, or its
    /// place was read to its end without it. Never so where there is neither.
    pub fn is_whole(&self) -> bool {
        self.reading.is_whole()
    }

    /// Why the body was not read, or not to its end.
    pub fn unread(&self) -> Option<Unread> {
        match self.source {
            Source::Unread(unread) => Some(unread),
            Source::Json(_) | Source::Protobuf(_) => None,
        }
    }

    /// What was found.
    pub fn finish(self) -> Seen {
        self.reading.finish()
    }
}
