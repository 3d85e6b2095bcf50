//! A run on the books: while it is open, the books also keep namespaces, names and audit IDs.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use dashmap::DashMap;

use super::{Answer, Books, Snapshot, Standing};

/// Most (row, namespace, name) triples that a run holds apart.
const OBJECTS_MAX: usize = 200_000;
/// Most lines of a run's journal for requests of authenticated clients.
const JOURNAL_MAX: usize = 1_000_000;
/// Most lines for all others, so that these can't fill the journal.
const JOURNAL_OTHERS_MAX: usize = 100_000;
/// Longest audit ID that is kept, in bytes. The API server makes UUIDs of 36, but repeats whatever
/// a client asks for.
const AUDIT_ID_MAX: usize = 128;

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
    /// The beginning of the API server's audit ID, 128 bytes at most; empty where no
    /// response came.
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
    /// Requests of authenticated clients that found the journal full.
    pub journal_lost: u64,
    /// Requests of others that found their part of it full.
    pub journal_lost_others: u64,
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
    /// About as many as `objects` has: two that come at once may both be counted as new.
    objects_known: AtomicUsize,
    objects_lost: AtomicU64,
    journal: Option<Mutex<Journal>>,
}

#[derive(Default)]
struct Journal {
    lines: Vec<JournalLine>,
    /// How many of the lines are of clients that are not authenticated.
    others: usize,
    lost: u64,
    lost_others: u64,
}

impl Journal {
    fn note(&mut self, row: u32, answer: &Answer<'_>) {
        let is_other = answer.standing != Standing::Authenticated;
        let (count, most, lost) = if is_other {
            (self.others, JOURNAL_OTHERS_MAX, &mut self.lost_others)
        } else {
            (self.lines.len() - self.others, JOURNAL_MAX, &mut self.lost)
        };
        if count >= most {
            *lost += 1;
            return;
        }
        self.others += usize::from(is_other);
        let audit_id = answer.audit_id.unwrap_or_default();
        self.lines.push(JournalLine {
            row,
            at_micros: answer.at_micros,
            audit_id: kept_audit_id(audit_id).into(),
        });
    }
}

impl OpenRun {
    fn new(id: &str, options: RunOptions) -> Self {
        Self {
            id: id.to_owned(),
            objects: DashMap::new(),
            objects_known: AtomicUsize::new(0),
            objects_lost: AtomicU64::new(0),
            journal: options.journal.then(Mutex::default),
        }
    }

    /// Keeps what an answer says beyond its row. Only authenticated clients name objects.
    pub(super) fn note(&self, row: u32, answer: &Answer<'_>) {
        let object = match answer.standing {
            Standing::Authenticated => (answer.object)(),
            Standing::Configured | Standing::Nobody => ObjectRef::default(),
        };
        self.note_object((row, object));
        if let Some(journal) = &self.journal {
            locked(journal).note(row, answer);
        }
    }

    fn note_object(&self, key: (u32, ObjectRef)) {
        if let Some(mut count) = self.objects.get_mut(&key) {
            *count += 1;
        } else if self.objects_known.load(Ordering::Relaxed) < OBJECTS_MAX {
            self.objects_known.fetch_add(1, Ordering::Relaxed);
            *self.objects.entry(key).or_default() += 1;
        } else {
            self.objects_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn detail(&self) -> RunDetail {
        let objects = self.objects.iter().map(|count| ObjectCount {
            row: count.key().0,
            object: count.key().1.clone(),
            count: *count.value(),
        });
        let mut journal = self.journal.as_ref().map(locked);
        RunDetail {
            objects: objects.collect(),
            objects_lost: self.objects_lost.load(Ordering::Relaxed),
            journal_lost: journal.as_ref().map_or(0, |journal| journal.lost),
            journal_lost_others: journal.as_ref().map_or(0, |journal| journal.lost_others),
            journal: journal
                .take()
                .map_or_else(Vec::new, |mut journal| std::mem::take(&mut journal.lines)),
        }
    }
}

/// What is kept of an audit ID: its first 128 bytes.
pub fn kept_audit_id(id: &str) -> &str {
    let mut end = id.len().min(AUDIT_ID_MAX);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    &id[..end]
}

fn locked(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    /// Opens a run and gives the snapshot of that instant.
    pub fn open_run(&self, id: &str, options: RunOptions) -> Result<Snapshot, RunError> {
        let mut counters = self.room_for_counters();
        {
            let mut desk = self.closed_desk();
            if let Some(run) = desk.as_ref() {
                return Err(RunError::Busy(run.id.clone()));
            }
            *desk = Some(Arc::new(OpenRun::new(id, options)));
            self.read(&mut counters);
        }
        Ok(counters.into_snapshot())
    }

    /// Closes a run: the snapshot of that instant, and what was kept since it was opened. The sum
    /// of its objects is the difference of the two snapshots.
    pub fn close_run(&self, id: &str) -> Result<(Snapshot, RunDetail), RunError> {
        let mut counters = self.room_for_counters();
        let run = {
            let mut desk = self.closed_desk();
            let run = desk
                .take_if(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            self.read(&mut counters);
            run
        };
        Ok((counters.into_snapshot(), run.detail()))
    }

    /// A snapshot while a run is open, and how many requests of the run named `namespace`.
    pub fn look_at_run(&self, id: &str, namespace: &str) -> Result<(Snapshot, u64), RunError> {
        let mut counters = self.room_for_counters();
        let run = {
            let desk = self.closed_desk();
            let run = desk
                .as_ref()
                .filter(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            self.read(&mut counters);
            Arc::clone(run)
        };
        let named = run
            .objects
            .iter()
            .filter(|count| *count.key().1.namespace == *namespace);
        Ok((
            counters.into_snapshot(),
            named.map(|count| *count.value()).sum(),
        ))
    }

    /// The id of the run that is open.
    pub fn run_id(&self) -> Option<String> {
        self.desk().as_ref().map(|run| run.id.clone())
    }
}
