//! A run on the books: while it is open, the books also keep namespaces, names and audit IDs.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;

use super::{Answer, Books, Snapshot};

/// Most (row, namespace, name) triples that a run holds apart.
const OBJECTS_MAX: usize = 200_000;
/// Most lines of a run's journal.
const JOURNAL_MAX: usize = 1_000_000;

/// What a run asks of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOptions {
    /// Keep one line per request, with its audit ID.
    pub journal: bool,
}

/// The object that a request names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Namespace or empty.
    pub namespace: Box<str>,
    /// Name or empty.
    pub name: Box<str>,
}

/// How often a row's requests named an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCount {
    /// The row's id in the snapshot.
    pub row: u32,
    /// The object.
    pub object: ObjectRef,
    /// Requests answered.
    pub count: u64,
}

/// One request of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// The row's id in the snapshot.
    pub row: u32,
    /// When it was answered, in microseconds since 1970.
    pub at_micros: i64,
    /// The API server's audit ID, empty where no response came.
    pub audit_id: Box<str>,
}

/// What the books kept for a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunDetail {
    /// Counts by row and object, in no order.
    pub objects: Vec<ObjectCount>,
    /// Requests that found the table of objects full.
    pub objects_lost: u64,
    /// One line per request, if it was asked for.
    pub journal: Vec<JournalLine>,
    /// Requests that found the journal full.
    pub journal_lost: u64,
}

/// Why a run can't be opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// One run at a time: their counts could not be told apart.
    #[error("run {0} is open on these books")]
    Busy(String),
    /// No such run is open.
    #[error("no run {0} is open on these books")]
    Unknown(String),
}

pub(super) struct OpenRun {
    id: String,
    objects: DashMap<(u32, ObjectRef), u64>,
    objects_lost: AtomicU64,
    journal: Option<Mutex<Vec<JournalLine>>>,
    journal_lost: AtomicU64,
}

impl OpenRun {
    fn new(id: &str, options: RunOptions) -> Self {
        Self {
            id: id.to_owned(),
            objects: DashMap::new(),
            objects_lost: AtomicU64::new(0),
            journal: options.journal.then(Mutex::default),
            journal_lost: AtomicU64::new(0),
        }
    }

    /// Keeps what an answer says beyond its row.
    pub(super) fn note(&self, row: u32, answer: &Answer<'_>) {
        let key = (row, (answer.object)());
        if self.objects.len() < OBJECTS_MAX || self.objects.contains_key(&key) {
            *self.objects.entry(key).or_default() += 1;
        } else {
            self.objects_lost.fetch_add(1, Ordering::Relaxed);
        }
        let Some(journal) = &self.journal else { return };
        let mut lines = journal.lock().unwrap_or_else(|poison| poison.into_inner());
        if lines.len() < JOURNAL_MAX {
            lines.push(JournalLine {
                row,
                at_micros: answer.at_micros,
                audit_id: answer.audit_id.unwrap_or_default().into(),
            });
        } else {
            self.journal_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn detail(&self) -> RunDetail {
        let objects = self.objects.iter().map(|count| ObjectCount {
            row: count.key().0,
            object: count.key().1.clone(),
            count: *count.value(),
        });
        let journal = self.journal.as_ref().map(|journal| {
            let lines = journal.lock().unwrap_or_else(|poison| poison.into_inner());
            lines.clone()
        });
        RunDetail {
            objects: objects.collect(),
            objects_lost: self.objects_lost.load(Ordering::Relaxed),
            journal: journal.unwrap_or_default(),
            journal_lost: self.journal_lost.load(Ordering::Relaxed),
        }
    }
}

impl Books {
    /// Opens a run and gives the snapshot of that instant.
    pub fn open_run(&self, id: &str, options: RunOptions) -> Result<Snapshot, RunError> {
        let mut desk = self.closed_desk();
        if let Some(run) = desk.as_ref() {
            return Err(RunError::Busy(run.id.clone()));
        }
        *desk = Some(Arc::new(OpenRun::new(id, options)));
        Ok(self.read_all())
    }

    /// Closes a run: the snapshot of that instant, and what was kept since it was opened. The sum
    /// of its objects is the difference of the two snapshots.
    pub fn close_run(&self, id: &str) -> Result<(Snapshot, RunDetail), RunError> {
        let (snapshot, run) = {
            let mut desk = self.closed_desk();
            let run = desk
                .take_if(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            (self.read_all(), run)
        };
        Ok((snapshot, run.detail()))
    }

    /// A snapshot while a run is open, and how many requests of the run named `namespace`.
    pub fn look_at_run(&self, id: &str, namespace: &str) -> Result<(Snapshot, u64), RunError> {
        let (snapshot, run) = {
            let desk = self.closed_desk();
            let run = desk
                .as_ref()
                .filter(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            (self.read_all(), Arc::clone(run))
        };
        let named = run
            .objects
            .iter()
            .filter(|count| *count.key().1.namespace == *namespace);
        Ok((snapshot, named.map(|count| *count.value()).sum()))
    }

    /// The id of the run that is open.
    pub fn run_id(&self) -> Option<String> {
        self.desk().as_ref().map(|run| run.id.clone())
    }
}
