//! The tables of the books: parties, calls and rows, each bounded.

use std::{
    cell::RefCell,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;

use super::{
    answer::Standing,
    open_run::OpenRun,
    party::{Party, UNAUTHENTICATED, UNPROVEN},
    recent::Recent,
    row::{CallBook, Outcome, Row},
    snapshot::Snapshot,
};
use classify::{CallName, OTHER};
use recorder::Line;

/// Most rows of authenticated clients, and most of their calls, that the books hold apart.
pub const ROWS_MAX: usize = 20_000;
/// Most rows of clients that are not authenticated, and most folded calls. Beyond it they are
/// counted as one call for each party and outcome, of which there are few.
pub const FOLDED_ROWS_MAX: usize = 2_000;
/// Most pairs of component and user that the books hold apart.
pub const PARTIES_MAX: usize = 1_024;

/// The ledger of one proxy process.
pub struct Books {
    /// The snapshot lock, and the run that is open. A booking holds it for reading while it counts,
    /// a snapshot for writing while it copies.
    snapshot_lock: RwLock<Option<Arc<OpenRun>>>,
    pub(super) parties: DashMap<Box<str>, Arc<Party>>,
    /// Calls that an authenticated client has made.
    pub(super) calls: DashMap<Box<str>, Arc<CallBook>>,
    /// The others, by their folded names.
    pub(super) folded: DashMap<Box<str>, Arc<CallBook>>,
    pub(super) rows: DashMap<RowKey, Arc<Row>>,
    /// How many of the rows are of clients that are not authenticated.
    folded_rows: AtomicUsize,
    next_id: AtomicU32,
    /// Whether the open run keeps a journal.
    pub(super) keeps_journal: AtomicBool,
    pub(super) recent: Recent,
    pub(super) shared: SharedNames,
}

/// What requests are booked as that have no name of their own.
pub(super) struct SharedNames {
    pub(super) unauthenticated: Arc<Party>,
    pub(super) unproven: Arc<Party>,
    pub(super) overflow_party: Arc<Party>,
    pub(super) overflow_call: Arc<CallBook>,
    pub(super) other_call: Arc<CallBook>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RowKey {
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
        Self::with_recent(0)
    }

    /// The same, which keep the lines of the last so many requests.
    pub fn with_recent(lines: usize) -> Self {
        let shared = SharedNames::new();
        Self {
            snapshot_lock: RwLock::new(None),
            parties: DashMap::new(),
            calls: DashMap::new(),
            folded: DashMap::new(),
            rows: DashMap::new(),
            folded_rows: AtomicUsize::new(0),
            next_id: AtomicU32::new(shared.len()),
            keeps_journal: AtomicBool::new(false),
            recent: Recent::new(lines),
            shared,
        }
    }

    /// Whose requests the API server refused to authenticate, or that came without a credential.
    pub fn unauthenticated(&self) -> &Arc<Party> {
        &self.shared.unauthenticated
    }

    /// Whose credential no answer has proven.
    pub fn unproven(&self) -> &Arc<Party> {
        &self.shared.unproven
    }

    /// The party of that component and user; beyond [`PARTIES_MAX`] of them, `(other)`.
    pub fn party(&self, component: &str, user: &str) -> Arc<Party> {
        with_key([component, user], |key| {
            if let Some(party) = self.parties.get(key).map(|party| Arc::clone(&party)) {
                return party;
            }
            if self.parties.len() >= PARTIES_MAX {
                return Arc::clone(&self.shared.overflow_party);
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

    /// Whether lines are kept now, for which more is needed of a request than the books have.
    pub fn keeps_lines(&self) -> bool {
        self.recent.is_kept() || self.keeps_journal.load(Ordering::Relaxed)
    }

    /// The lines of the last requests, the oldest first, with the books that name them; nothing if
    /// none are kept.
    pub fn recent(&self) -> Option<(Snapshot, Vec<Arc<Line>>)> {
        let lines = self.recent.is_kept().then(|| self.recent.lines())?;
        Some((self.snapshot(), lines))
    }

    /// The run that is open, while something is booked. No snapshot is taken meanwhile.
    pub(super) fn lock_for_booking(&self) -> RwLockReadGuard<'_, Option<Arc<OpenRun>>> {
        // Nothing that holds the lock can leave the books half written.
        let lock = self.snapshot_lock.read();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that is open, while nothing is booked.
    pub(super) fn lock_for_snapshot(&self) -> RwLockWriteGuard<'_, Option<Arc<OpenRun>>> {
        let lock = self.snapshot_lock.write();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// The call by its own name, if an authenticated client has made it.
    pub(super) fn known_call(&self, name: &CallName<'_>) -> Option<Arc<CallBook>> {
        with_key(name.parts(), |key| {
            self.calls.get(key).map(|book| Arc::clone(&book))
        })
    }

    /// The call by its own name, since an authenticated client has made it.
    pub(super) fn confirmed_call(&self, name: &CallName<'_>) -> Arc<CallBook> {
        self.call_in(&self.calls, name, ROWS_MAX, &self.shared.overflow_call)
    }

    /// The call by its folded name.
    pub(super) fn folded_call(&self, name: &CallName<'_>) -> Arc<CallBook> {
        let (folded, other) = (name.folded(), &self.shared.other_call);
        self.call_in(&self.folded, &folded, FOLDED_ROWS_MAX, other)
    }

    fn call_in(
        &self,
        calls: &DashMap<Box<str>, Arc<CallBook>>,
        name: &CallName<'_>,
        most: usize,
        beyond: &Arc<CallBook>,
    ) -> Arc<CallBook> {
        with_key(name.parts(), |key| {
            if let Some(book) = calls.get(key).map(|book| Arc::clone(&book)) {
                return book;
            }
            if calls.len() >= most {
                return Arc::clone(beyond);
            }
            let new = || CallBook::new(self.new_id(), name, beyond.is_folded);
            let book = calls.entry(key.into()).or_insert_with(|| Arc::new(new()));
            Arc::clone(&book)
        })
    }

    /// The row of what was answered; beyond the caps, a shared one.
    pub(super) fn row(
        &self,
        party: &Arc<Party>,
        call: &Arc<CallBook>,
        outcome: Outcome,
        standing: Standing,
    ) -> Arc<Row> {
        let key = RowKey::new(party, call, outcome);
        if let Some(row) = self.rows.get(&key).map(|row| Arc::clone(&row)) {
            return row;
        }
        let folded_rows = self.folded_rows.load(Ordering::Relaxed);
        let shared = &self.shared;
        let (party, call) = if standing != Standing::Authenticated {
            let is_full = folded_rows >= FOLDED_ROWS_MAX;
            (party, if is_full { &shared.other_call } else { call })
        } else if call.id == shared.overflow_call.id
            || self.rows.len().saturating_sub(folded_rows) >= ROWS_MAX
        {
            (&shared.overflow_party, &shared.overflow_call)
        } else {
            (party, call)
        };
        let key = RowKey::new(party, call, outcome);
        let row = self.rows.entry(key).or_insert_with(|| {
            if standing != Standing::Authenticated {
                self.folded_rows.fetch_add(1, Ordering::Relaxed);
            }
            Arc::new(Row::new(self.new_id(), party, call, outcome))
        });
        Arc::clone(&row)
    }

    fn new_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

impl SharedNames {
    fn new() -> Self {
        let party = |id, component: &str| {
            Arc::new(Party {
                id,
                component: component.into(),
                user: "".into(),
            })
        };
        let other = CallName {
            verb: OTHER,
            resource: OTHER,
            kubevirt_verb: OTHER,
            kubevirt_resource: OTHER,
            ..CallName::OVERFLOW
        };
        Self {
            unauthenticated: party(0, UNAUTHENTICATED),
            unproven: party(1, UNPROVEN),
            overflow_party: party(2, OTHER),
            overflow_call: Arc::new(CallBook::new(3, &CallName::OVERFLOW, false)),
            other_call: Arc::new(CallBook::new(4, &other, true)),
        }
    }

    /// How many ids they have.
    fn len(&self) -> u32 {
        self.other_call.id + 1
    }
}

impl RowKey {
    fn new(party: &Party, call: &CallBook, outcome: Outcome) -> Self {
        Self {
            party: party.id,
            call: call.id,
            outcome,
        }
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
