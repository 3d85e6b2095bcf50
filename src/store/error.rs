//! What can go wrong with a history.

use std::error::Error;

/// Why the history could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or its file can't be opened.
    #[error("cannot open the history {location}: {reason}")]
    Unreachable {
        /// The file, or the URL without a password.
        location: String,
        /// The error of the system or of the database.
        reason: String,
    },
    /// It is something else.
    #[error(
        "{0} is no history of Kubetoll: name another place with --store, nothing was changed there"
    )]
    NotAHistory(String),
    /// It is of a newer version.
    #[error(
        "the history {location} has schema {found}, and this Kubetoll knows up to {known}: use the \
         newer Kubetoll that wrote it, nothing was changed there"
    )]
    Newer {
        /// The file, or the URL without a password.
        location: String,
        /// The version of its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// A run of that id is there with other content.
    #[error("the history has a run {0} with other content, and a run never changes")]
    Conflict(String),
    /// There is no such run.
    #[error("the history has no run {0}: `kubetoll runs list` shows what it has")]
    NotFound(String),
    /// Several runs begin or end so.
    #[error("several runs begin or end with {part}: {}", ids.join(", "))]
    Ambiguous {
        /// The part of an id that was given.
        part: String,
        /// Ids that begin or end so, at most five.
        ids: Vec<String>,
    },
    /// A label can't be so.
    #[error("{0}")]
    Label(String),
    /// What is stored can't be read.
    #[error("run {id} of the history is damaged: {reason}; `kubetoll runs check` finds all")]
    Damaged {
        /// The run's id.
        id: String,
        /// What is wrong with the stored bytes.
        reason: String,
    },
    /// A run can't be stored.
    #[error("run {id:?} can't be stored: {reason}")]
    Unstorable {
        /// The run's id.
        id: String,
        /// What of it can't be stored, or not be read again.
        reason: String,
    },
    /// The embedded database failed.
    #[error("the history failed: {0}")]
    Sqlite(rusqlite::Error),
    /// The shared database failed.
    #[error("the history failed: {}", with_causes(.0))]
    Postgres(::postgres::Error),
}

// Not as sources: their texts are in the message already.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<::postgres::Error> for StoreError {
    fn from(error: ::postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// An error of PostgreSQL's client with its causes, which its own text leaves out.
pub(super) fn with_causes(error: &::postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
