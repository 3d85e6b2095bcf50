//! What a history asks of its database.

use std::collections::BTreeMap;

use super::{
    document::{Found, Row},
    error::StoreError,
    filter::Filter,
};
use record::Acknowledgement;

/// What a row came to when it was written.
pub(super) enum Written {
    New,
    /// A run of that id is there.
    Present(Box<Found>),
}

/// A database that holds a history: SQLite or PostgreSQL.
pub(super) trait Backend {
    /// Writes rows in one transaction, each unless its id is there. Durable when it returns.
    fn write(&mut self, rows: &[Row]) -> Result<Vec<Written>, StoreError>;

    /// Runs that are not removed, by time and id.
    fn select(&mut self, filter: &Filter, with_record: bool) -> Result<Vec<Found>, StoreError>;

    /// Ids that begin with `part`, or end with it after a slash, of removed runs or of the others:
    /// `part` itself if it is one, then the others in their order.
    fn ids(&mut self, part: &str, removed: bool) -> Result<Vec<String>, StoreError>;

    /// One run, removed or not, with its record.
    fn find(&mut self, id: &str) -> Result<Option<Found>, StoreError>;

    /// Enters labels of a run; `None` takes one away.
    fn label(
        &mut self,
        id: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError>;

    /// Enters that runs are removed, or are back.
    fn remove(&mut self, ids: &[String], removed: bool) -> Result<(), StoreError>;

    /// Enters an acknowledgement, or takes it back.
    fn acknowledge(&mut self, ack: &Acknowledgement, holds: bool) -> Result<(), StoreError>;

    /// The acknowledgements that hold.
    fn acknowledgements(&mut self) -> Result<Vec<Acknowledgement>, StoreError>;

    /// All ids in their order.
    fn all_ids(&mut self) -> Result<Vec<String>, StoreError>;

    /// What the database itself finds wrong with its file.
    fn self_check(&mut self) -> Result<Vec<String>, StoreError>;
}
