//! The books: every request once, with who made it, what it was and how it ended.
//!
//! A request is an [`Entry`] with three moments: opened (its head was read), answered (the head of
//! a response came, or an error instead of one) and closed (its body ended, failed or was dropped).
//! The comparable count is the one at *answered*; what is in flight is opened less closed.
//!
//! Bookings hold the desk's lock for reading, a snapshot holds it for writing: a snapshot is one
//! instant of all rows, and the difference of two is exactly what was answered in between.
//!
//! Invariant: no clock, no IO. Times come in as values. Names come from [`CallName`] and are
//! bounded; beyond the caps a request is still counted, in the overflow row, and the books say so.

mod entry;
mod row;
mod run;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use dashmap::DashMap;

use crate::classify::CallName;

pub use entry::{Answer, Ending, Entry};
pub use row::{BUCKETS_SECONDS, Histogram, Outcome, Reason};
use row::{CallBook, Row};
use run::OpenRun;
pub use run::{JournalLine, ObjectCount, ObjectRef, RunDetail, RunError, RunOptions};
pub use snapshot::{CallCount, RowCount, Snapshot};

/// Most rows, and most calls, that the books hold apart.
pub const ROWS_MAX: usize = 20_000;
/// Most pairs of component and user that the books hold apart.
pub const PARTIES_MAX: usize = 1_024;

/// Who made a request: the component as shown, and the user as the API server accepted it.
#[derive(Debug, PartialEq, Eq)]
pub struct Party {
    id: u32,
    /// Name for display, such as `virt-controller`.
    pub component: Box<str>,
    /// User name such as `system:serviceaccount:kubevirt:kubevirt-controller`, empty if unknown.
    pub user: Box<str>,
}

/// The ledger of one proxy process.
pub struct Books {
    /// Held for reading by each booking, for writing by what needs one instant of everything.
    desk: RwLock<Option<Arc<OpenRun>>>,
    parties: DashMap<Box<str>, Arc<Party>>,
    calls: DashMap<Box<str>, Arc<CallBook>>,
    rows: DashMap<RowKey, Arc<Row>>,
    next_id: AtomicU32,
    overflow_party: Arc<Party>,
    overflow_call: Arc<CallBook>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RowKey {
    party: u32,
    call: u32,
    outcome: Outcome,
}

/// Separates the parts of a key; it can't occur in a part.
const SEPARATOR: char = '\t';

thread_local! {
    /// Keys are spelled out here, so that looking a known one up allocates nothing.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Default for Books {
    fn default() -> Self {
        Self::new()
    }
}

impl Books {
    /// Empty books.
    pub fn new() -> Self {
        Self {
            desk: RwLock::new(None),
            parties: DashMap::new(),
            calls: DashMap::new(),
            rows: DashMap::new(),
            next_id: AtomicU32::new(2),
            overflow_party: Arc::new(Party {
                id: 0,
                component: "(other)".into(),
                user: "".into(),
            }),
            overflow_call: Arc::new(CallBook::new(1, &CallName::OVERFLOW)),
        }
    }

    /// The party of that component and user; beyond [`PARTIES_MAX`] of them, `(other)`.
    pub fn party(&self, component: &str, user: &str) -> Arc<Party> {
        with_key([component, user], |key| {
            if let Some(party) = self.parties.get(key).map(|party| Arc::clone(&party)) {
                return party;
            }
            if self.parties.len() >= PARTIES_MAX {
                return Arc::clone(&self.overflow_party);
            }
            let party = self.parties.entry(key.into()).or_insert_with(|| {
                Arc::new(Party {
                    id: self.new_id(),
                    component: component.into(),
                    user: user.into(),
                })
            });
            Arc::clone(&party)
        })
    }

    /// Opens the entry of a request whose head was read.
    pub fn open(self: &Arc<Self>, call: &CallName<'_>) -> Entry {
        let book = self.call_book(call);
        {
            let _desk = self.desk();
            book.opened.fetch_add(1, Ordering::Relaxed);
        }
        Entry::new(Arc::clone(self), book)
    }

    fn desk(&self) -> RwLockReadGuard<'_, Option<Arc<OpenRun>>> {
        // Nothing that holds the lock can leave the books half written.
        self.desk
            .read()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn call_book(&self, name: &CallName<'_>) -> Arc<CallBook> {
        with_key(name.parts(), |key| {
            if let Some(book) = self.calls.get(key).map(|book| Arc::clone(&book)) {
                return book;
            }
            if self.calls.len() >= ROWS_MAX {
                return Arc::clone(&self.overflow_call);
            }
            let book = self
                .calls
                .entry(key.into())
                .or_insert_with(|| Arc::new(CallBook::new(self.new_id(), name)));
            Arc::clone(&book)
        })
    }

    fn row(&self, party: &Arc<Party>, call: &Arc<CallBook>, outcome: Outcome) -> Arc<Row> {
        let key = RowKey {
            party: party.id,
            call: call.id,
            outcome,
        };
        if let Some(row) = self.rows.get(&key).map(|row| Arc::clone(&row)) {
            return row;
        }
        let overflows = call.id == self.overflow_call.id || self.rows.len() >= ROWS_MAX;
        let (key, party, call) = if overflows {
            let (party, call) = (&self.overflow_party, &self.overflow_call);
            let key = RowKey {
                party: party.id,
                call: call.id,
                ..key
            };
            (key, party, call)
        } else {
            (key, party, call)
        };
        let new = || Arc::new(Row::new(self.new_id(), party, call, outcome));
        Arc::clone(&self.rows.entry(key).or_insert_with(new))
    }

    fn new_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

fn with_key<const N: usize, T>(parts: [&str; N], look_up: impl FnOnce(&str) -> T) -> T {
    KEY.with_borrow_mut(|key| {
        key.clear();
        for part in parts {
            key.push_str(part);
            key.push(SEPARATOR);
        }
        look_up(key)
    })
}
