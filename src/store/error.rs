//! What can go wrong with a history.

use std::error::Error;

use rusqlite::ErrorCode;

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
    /// The run is there, but was removed.
    #[error("run {0} is removed already: `kubetoll runs delete --undo {0}` brings it back")]
    Removed(String),
    /// The run is to be brought back, and was never away.
    #[error("run {0} is not removed: there is nothing to undo")]
    NotRemoved(String),
    /// Several runs begin or end so.
    #[error("several runs begin or end with {part}: {}{}", ids.join(", "), and_more(*.more))]
    Ambiguous {
        /// The part of an id that was given.
        part: String,
        /// Ids that begin or end so, at most five.
        ids: Vec<String>,
        /// How many there are beside these.
        more: usize,
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
    #[error("the history {location} failed: {error}{}", advice(error))]
    Sqlite {
        /// The file; empty until the store names it.
        location: String,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// The shared database failed.
    #[error("the history {location} failed: {}", with_causes(error))]
    Postgres {
        /// The URL without a password; empty until the store names it.
        location: String,
        /// What the server or the connection says.
        error: ::postgres::Error,
    },
}

impl StoreError {
    /// The same with the place of the history: what a database says doesn't name it.
    pub(super) fn at(mut self, place: &str) -> Self {
        if let Self::Sqlite { location, .. } | Self::Postgres { location, .. } = &mut self {
            place.clone_into(location);
        }
        self
    }
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// What to do about a file that SQLite can't make sense of.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => {
            ": the file is damaged. Bring it back from a copy, or name another with --store; \
             `sqlite3 FILE .recover` may save some of it"
        }
        _ => "",
    }
}

// Not as sources: their texts are in the message already.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite {
            location: String::new(),
            error,
        }
    }
}

impl From<::postgres::Error> for StoreError {
    fn from(error: ::postgres::Error) -> Self {
        Self::Postgres {
            location: String::new(),
            error,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_ids_the_first_are_named_and_the_others_counted() {
        let told = |more| {
            let ids = ["run-1", "run-2"].map(str::to_owned).into();
            let part = "run".to_owned();
            StoreError::Ambiguous { part, ids, more }.to_string()
        };
        let two = "several runs begin or end with run: run-1, run-2";
        assert_eq!(told(0), two);
        assert_eq!(told(7), format!("{two} and 7 more"));
    }
}
