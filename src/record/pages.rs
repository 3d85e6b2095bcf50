//! The journal of a run that is open: as a proxy gives it page by page, and as the driver keeps it until
//! the run's record is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClientRecord, JournalRecord, RunRecord, Snapshot};

/// The schema's name and version of [`SpoolHead`].
pub const SPOOL_SCHEMA: &str = "kubetoll.spool/1";

/// How far a reader of a journal has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPosition {
    /// Lines that it has.
    pub lines: usize,
    /// Ends that it has of lines that had none at first.
    pub ends: usize,
    /// Programs that it has.
    pub clients: usize,
}

/// Some lines of the journal of an open run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalPage {
    /// The books at an instant: they count each line up to the last one of `length`. Left out where there
    /// is nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// How many lines there were at that instant.
    pub length: usize,
    /// Lines with their places in the journal: those that are new, and then those that have ended.
    pub lines: Vec<(usize, JournalRecord)>,
    /// Further programs that lines name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRecord>,
    /// Where the next page begins.
    pub next: JournalPosition,
    /// Whether there is more already.
    pub has_more: bool,
}

impl JournalPage {
    /// A page from a position on, with all programs that its lines name by their places.
    pub fn new(
        snapshot: Option<Snapshot>,
        page: &ledger::JournalPage,
        clients: Vec<recorder::Client>,
        from: JournalPosition,
    ) -> Self {
        let next = JournalPosition {
            lines: page.next.lines,
            ends: page.next.ends,
            clients: clients.len(),
        };
        let lines = page.lines.iter();
        let clients = clients.into_iter().skip(from.clients);
        Self {
            snapshot,
            length: page.length,
            lines: lines
                .map(|(place, line)| (*place, JournalRecord::from(&**line)))
                .collect(),
            clients: clients.map(ClientRecord::from).collect(),
            next,
            has_more: page.has_more,
        }
    }
}

/// The first line of a spool file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpoolHead {
    /// `kubetoll.spool/1`.
    pub schema: String,
    /// The run as it was when its books were opened: of each proxy, `closed` is as `opened`.
    pub run: RunRecord,
}

/// Each further line of a spool file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpoolEntry {
    /// What a proxy gave.
    Page(Box<SpoolPage>),
    /// The deletion of the run's objects began: each proxy's books as they were then. The pages that
    /// follow are the deletion's.
    Deletion(Vec<Snapshot>),
}

/// What a proxy gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpoolPage {
    /// Its place among the run's proxies.
    pub proxy: usize,
    /// Its books, with those rows only that are not as they were in the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// Lines with their places in the journal. A line that comes again takes the place of the old one.
    pub lines: Vec<(usize, JournalRecord)>,
    /// Further programs that lines name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRecord>,
}

/// What is known of a proxy whose books are open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownBooks {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    lines: BTreeMap<usize, JournalRecord>,
    /// The programs that lines name by their places here.
    pub clients: Vec<ClientRecord>,
}

impl KnownBooks {
    /// Adds what the proxy gave next.
    pub fn add(&mut self, page: SpoolPage) {
        self.lines.extend(page.lines);
        self.clients.extend(page.clients);
        if let Some(snapshot) = page.snapshot {
            self.snapshot = Some(match self.snapshot.take() {
                Some(known) => known.updated(snapshot),
                None => snapshot,
            });
        }
    }

    /// The lines in the order of the journal.
    pub fn into_lines(self) -> Vec<JournalRecord> {
        self.lines.into_values().collect()
    }
}

impl Snapshot {
    /// The same without the rows that are in `earlier` as they are here, and without what is in flight.
    pub fn changed_since(&self, earlier: Option<&Self>) -> Self {
        let known = earlier.map_or(&[][..], |earlier| &earlier.rows);
        let known: BTreeMap<u32, _> = known.iter().map(|row| (row.id, row)).collect();
        let rows = self.rows.iter();
        let rows = rows.filter(|row| known.get(&row.id).is_none_or(|known| known != row));
        Self {
            rows: rows.cloned().collect(),
            calls: Vec::new(),
            schema: self.schema.clone(),
            proxy: self.proxy.clone(),
            watches: self.watches.clone(),
            ..*self
        }
    }

    /// These books with the rows that have changed since.
    fn updated(self, changed: Self) -> Self {
        let rows = self.rows.into_iter().chain(changed.rows);
        let rows: BTreeMap<u32, _> = rows.map(|row| (row.id, row)).collect();
        Self {
            rows: rows.into_values().collect(),
            ..changed
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{CallRecord, Durations, Outcome, ProxyInfo, RowRecord};

    fn snapshot(answered: &[u64]) -> Snapshot {
        let rows = (0..).zip(answered).map(|(id, answered)| RowRecord {
            id,
            component: "virt-api".to_owned(),
            user: String::new(),
            call: CallRecord::default(),
            outcome: Outcome::Code(200),
            answered: *answered,
            closed: *answered,
            cut_short: 0,
            request_bytes: 0,
            response_bytes: 0,
            to_head: Durations::default(),
            to_end: Durations::default(),
        });
        Snapshot {
            schema: "kubetoll.snapshot/1".to_owned(),
            proxy: ProxyInfo {
                instance: "one".to_owned(),
                started: Timestamp::UNIX_EPOCH,
                version: String::new(),
                component: None,
                upstream: String::new(),
            },
            taken: Timestamp::UNIX_EPOCH,
            overflowed: 0,
            rows: rows.collect(),
            calls: Vec::new(),
            watches: Vec::new(),
        }
    }

    fn line(at: i64, end_us: Option<u64>) -> JournalRecord {
        JournalRecord {
            at,
            end_us,
            ..JournalRecord::default()
        }
    }

    #[test]
    fn pages_add_up_to_the_books_and_the_journal() {
        let books = [vec![1, 5], vec![2, 5], vec![2, 7, 3]];
        let mut before: Option<Snapshot> = None;
        let mut known = KnownBooks::default();
        let mut pages = vec![
            vec![(0, line(10, None)), (1, line(20, Some(1)))],
            vec![(2, line(30, None)), (0, line(10, Some(9)))],
            vec![(2, line(30, Some(4)))],
        ];
        for (counts, changed) in books.iter().zip([2, 1, 2]) {
            let now = snapshot(counts);
            let page = SpoolPage {
                proxy: 0,
                snapshot: Some(now.changed_since(before.as_ref())),
                lines: pages.remove(0),
                clients: vec![ClientRecord::default()],
            };
            assert_eq!(page.snapshot.as_ref().unwrap().rows.len(), changed);
            let text = serde_json::to_string(&SpoolEntry::Page(Box::new(page))).unwrap();
            let Ok(SpoolEntry::Page(page)) = serde_json::from_str(&text) else {
                panic!("{text}");
            };
            known.add(*page);
            before = Some(now);
        }
        assert_eq!(known.snapshot, before);
        assert_eq!(known.clients.len(), 3);
        let lines = known.into_lines();
        let ends: Vec<_> = lines.iter().map(|line| (line.at, line.end_us)).collect();
        assert_eq!(ends, [(10, Some(9)), (20, Some(1)), (30, Some(4))]);
    }
}
