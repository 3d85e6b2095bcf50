//! The events of a watch: how many of which type, and where one has ended and the next has not
//! begun.
//!
//! A watch may be ended there: its client goes on from the last event that it got. Ended anywhere
//! else it would end in the middle of a document.

mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use crate::form::{Form, Unread};
use json::Lines;
use protobuf::Frames;

/// How many events of each type were passed on whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Events of type ADDED.
    pub added: u64,
    /// Events of type MODIFIED.
    pub modified: u64,
    /// Events of type DELETED.
    pub deleted: u64,
    /// Events of type BOOKMARK.
    pub bookmarks: u64,
    /// Events of type ERROR.
    pub errors: u64,
    /// Events of any other type, of none, or of one that could not be read.
    pub other: u64,
}

impl EventCounts {
    /// Each type, as a metric names it, and its count.
    pub fn by_type(&self) -> [(&'static str, u64); 6] {
        [
            ("ADDED", self.added),
            ("MODIFIED", self.modified),
            ("DELETED", self.deleted),
            ("BOOKMARK", self.bookmarks),
            ("ERROR", self.errors),
            ("other", self.other),
        ]
    }

    /// The counts in the order of [`by_type`](Self::by_type).
    pub fn of_types([added, modified, deleted, bookmarks, errors, other]: [u64; 6]) -> Self {
        Self {
            added,
            modified,
            deleted,
            bookmarks,
            errors,
            other,
        }
    }

    fn add(&mut self, kind: &[u8]) {
        let count = match kind {
            b"ADDED" => &mut self.added,
            b"MODIFIED" => &mut self.modified,
            b"DELETED" => &mut self.deleted,
            b"BOOKMARK" => &mut self.bookmarks,
            b"ERROR" => &mut self.errors,
            _ => &mut self.other,
        };
        *count += 1;
    }
}

/// Bytes of a type that are kept; more than any type has that is counted apart.
const TYPE_MAX: usize = 16;

/// Reads the body of a watch's response.
#[derive(Debug)]
pub struct Events {
    source: Source,
    counts: EventCounts,
    is_malformed: bool,
}

#[derive(Debug)]
enum Source {
    Json(Lines),
    Protobuf(Frames),
    /// Whether there was any byte.
    Unread {
        reason: Unread,
        has_begun: bool,
    },
}

impl Events {
    /// Of a body of this form.
    pub fn new(form: Form) -> Self {
        let source = match form {
            Form::Json => Source::Json(Lines::default()),
            Form::Protobuf => Source::Protobuf(Frames::default()),
            Form::Unread(reason) => Source::Unread {
                reason,
                has_begun: false,
            },
        };
        Self {
            source,
            counts: EventCounts::default(),
            is_malformed: false,
        }
    }

    /// Reads along what is passed on.
    pub fn read(&mut self, data: &[u8]) {
        let is_well = match &mut self.source {
            Source::Json(lines) => lines.read(data, &mut self.counts),
            Source::Protobuf(frames) => frames.read(data, &mut self.counts),
            Source::Unread { has_begun, .. } => {
                *has_begun |= !data.is_empty();
                true
            }
        };
        self.is_malformed |= !is_well;
    }

    /// Whether what was passed on ends with the end of an event. Of JSON, whether it ends with a
    /// line; of what is not read, whether nothing was passed on.
    pub fn is_between(&self) -> bool {
        match &self.source {
            Source::Json(lines) => lines.is_between(),
            Source::Protobuf(frames) => frames.is_between(),
            Source::Unread { has_begun, .. } => !has_begun,
        }
    }

    /// The events that were passed on whole.
    pub fn counts(&self) -> EventCounts {
        self.counts
    }

    /// Why not all events were read; counting goes on behind one that is malformed.
    pub fn unread(&self) -> Option<Unread> {
        match self.source {
            Source::Unread { reason, .. } => Some(reason),
            _ => self.is_malformed.then_some(Unread::Malformed),
        }
    }
}
