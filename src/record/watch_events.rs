//! The events of watches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The events that the watches of one row have delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchEvents {
    /// [`RowRecord::id`](super::RowRecord::id) of the row that counts the watches.
    pub row: u32,
    /// Events by their type, such as `MODIFIED`; `other` for a type that Kubernetes doesn't have.
    pub events: BTreeMap<String, u64>,
    /// Watches whose events could not be read, or not all of them, by the reason: `compressed`,
    /// `cbor`, `unknown_form`, `malformed`, `websocket`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, u64>,
}

impl From<&ledger::WatchCount> for WatchEvents {
    fn from(count: &ledger::WatchCount) -> Self {
        let types = count.events.by_type().into_iter();
        let types = types.filter(|(_, count)| *count > 0);
        let unread = count.unread.iter();
        Self {
            row: count.row,
            events: types
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            unread: unread
                .map(|(why, count)| (why.as_str().to_owned(), *count))
                .collect(),
        }
    }
}
