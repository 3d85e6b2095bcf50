//! Single requests: what their bodies say as they stream past, and the lines that are kept of them.
//!
//! A body is read in whatever pieces it comes in, and none of it is kept but the few fields that
//! are wanted, each within a limit. What can't be read is never an error: it is left unread, and
//! the reader says why.
//!
//! Invariant: no clock, no IO, and no panic on any bytes.

mod clients;
#[cfg(test)]
mod encoder;
mod events;
mod form;
mod heap;
mod json;
mod kept;
mod line;
mod object;
mod protobuf;
mod sent;

pub use clients::{Client, Clients};
pub use events::{EventCounts, Events};
pub use form::{Form, Unread};
pub use line::{Asked, End, Line, Watched, kept_audit_id};
pub use object::{
    CAUSES_MAX, Cause, FIELD_MAX, KIND_MAX, NAME_MAX, Object, ObjectReader, Owner, REASON_MAX,
    RESOURCE_VERSION_MAX, Seen, Status, UID_MAX,
};
pub use sent::{Change, PATH_MAX, PATHS_MAX, Sent, SentReader};
