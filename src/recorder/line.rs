//! The line of one request in a journal. It begins with the answer, and is whole at the end of the
//! response.

use std::sync::OnceLock;

use super::{events::EventCounts, form::Unread, object::Seen, sent::Sent};
use classify::RequestOptions;

/// Longest audit ID that is kept, in bytes. The API server makes UUIDs of 36, but repeats whatever
/// a client asks for.
const AUDIT_ID_MAX: usize = 128;

/// One request.
#[derive(Debug, Default)]
pub struct Line {
    /// The row that counts it.
    pub row: u32,
    /// When it was answered, in microseconds since 1970.
    pub at_micros: i64,
    /// The beginning of the API server's audit ID, 128 bytes at most; empty where no response came.
    pub audit_id: Box<str>,
    /// From the request's head to the response's, in microseconds.
    pub head_micros: u64,
    /// Of an authenticated client: what it asked for.
    pub asked: Option<Box<Asked>>,
    /// How it ended, once it has.
    pub end: OnceLock<End>,
}

/// What an authenticated client asked for, and what the answer's head said.
#[derive(Debug, Default)]
pub struct Asked {
    /// Namespace or empty.
    pub namespace: Box<str>,
    /// Name or empty.
    pub name: Box<str>,
    /// The number of the client's connection; 0 where it is not known.
    pub connection: u64,
    /// Which request of its connection it is, from 1; 0 where it is not known.
    pub stream: u64,
    /// Its place among the [`Clients`](super::Clients).
    pub client: u32,
    /// How often it was sent again.
    pub repeats: u32,
    /// Media type of its body, without parameters.
    pub content_type: Box<str>,
    /// Its options.
    pub options: RequestOptions,
    /// Of a read, the kind that it asked for in the place of the object's own, as
    /// `PartialObjectMetadata`; empty for none.
    pub as_kind: Box<str>,
    /// Whether the answer had a warning.
    pub warned: bool,
    /// Of a 429, UIDs of the flow schema and of the priority level.
    pub throttled_by: Option<Box<[Box<str>; 2]>>,
}

/// How a request ended.
#[derive(Debug, Default)]
pub struct End {
    /// From the request's head to the end of the response, in microseconds.
    pub micros: u64,
    /// Whether the response was cut short.
    pub cut_short: bool,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// What the request's body said, if it was read.
    pub sent: Option<Box<Sent>>,
    /// What the response's body said.
    pub seen: Seen,
    /// What a watch delivered, and who ended it.
    pub watch: Option<Box<Watched>>,
    /// Why a body that could have told more was not read.
    pub unread: Option<Unread>,
}

/// What a watch delivered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Its events.
    pub events: EventCounts,
    /// `server`, `client` or `failure`.
    pub ended_by: &'static str,
}

/// What is kept of an audit ID: its first 128 bytes.
pub fn kept_audit_id(id: &str) -> &str {
    beginning(id, AUDIT_ID_MAX)
}

/// The first `most` bytes of a text, or fewer where a character would be cut.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_audit_id_is_cut_between_characters() {
        let long = format!("x{}", "é".repeat(100));
        assert_eq!(kept_audit_id(&long).len(), 127);
        assert!(long.starts_with(kept_audit_id(&long)));
        assert_eq!(kept_audit_id("a-b-c"), "a-b-c");
    }
}
