//! What the books keep while a run is open, besides rows: objects by name, and a line of each request.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use dashmap::DashMap;

use super::{
    answer::{Answer, ObjectRef, Standing},
    books::Books,
    pages::Ends,
};
use recorder::Line;

/// Most (row, namespace, name) triples that a run holds apart if it asks for no other number.
pub const OBJECTS_MAX: usize = 200_000;
/// The most that it can ask for.
const OBJECTS_MOST: usize = 2_000_000;
/// Most lines of a run's journal for requests of authenticated clients.
const JOURNAL_MAX: usize = 1_000_000;
/// Most lines for all others, so that these can't fill the journal. Nothing of what such a client
/// says is in them, so they are small.
const JOURNAL_OTHERS_MAX: usize = 100_000;
/// Most bytes of memory that the lines of authenticated clients take. Requests in flight may add to
/// it what their bodies say.
pub(super) const LINES_BYTES_MAX: usize = 1 << 30;

/// What a run asks of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Keep one line per request, with its audit ID.
    pub journal: bool,
    /// Most pairs of row and object that are held apart, [`OBJECTS_MAX`] by default.
    pub objects: usize,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            journal: false,
            objects: OBJECTS_MAX,
        }
    }
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

/// What the books kept for a run.
#[derive(Debug, Clone, Default)]
pub struct RunDetail {
    /// Counts by row and object, in no order.
    pub objects: Vec<ObjectCount>,
    /// Requests that found the table of objects full.
    pub objects_lost: u64,
    /// One line per request, if it was asked for.
    pub journal: Vec<Arc<Line>>,
    /// Requests of authenticated clients that found the journal full, of lines or of bytes.
    pub journal_lost: u64,
    /// Requests of others that found their part of it full.
    pub journal_lost_others: u64,
}

/// A run that is open.
pub(super) struct OpenRun {
    pub(super) id: String,
    objects: DashMap<(u32, ObjectRef), u64>,
    objects_most: usize,
    /// About as many as `objects` has: two that come at once may both be counted as new.
    objects_known: AtomicUsize,
    objects_lost: AtomicU64,
    pub(super) journal: Option<Mutex<Journal>>,
    pub(super) ends: Mutex<Ends>,
}

/// Where a line is kept, which takes more memory once it has ended.
#[derive(Default)]
pub(super) struct Keepers {
    /// The bytes of a journal.
    journal: Option<Arc<AtomicUsize>>,
    /// Its number among the last requests.
    recent: Option<u64>,
}

pub(super) struct Journal {
    pub(super) lines: Vec<Arc<Line>>,
    /// Bytes that the lines of authenticated clients take.
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
    /// How many of the lines are of clients that are not authenticated.
    others: usize,
    lost: u64,
    lost_others: u64,
}

impl Journal {
    fn new(most_bytes: usize) -> Self {
        Self {
            lines: Vec::new(),
            bytes: Arc::default(),
            most_bytes,
            others: 0,
            lost: 0,
            lost_others: 0,
        }
    }

    /// Adds a line of an authenticated client. Gives the count of bytes that its end adds to; nothing
    /// if there was no room for it.
    fn add(&mut self, line: &Arc<Line>) -> Option<Arc<AtomicUsize>> {
        let is_full = self.lines.len() - self.others >= JOURNAL_MAX
            || self.bytes.load(Ordering::Relaxed) >= self.most_bytes;
        if is_full {
            self.lost += 1;
            return None;
        }
        self.bytes.fetch_add(line.bytes(), Ordering::Relaxed);
        self.lines.push(Arc::clone(line));
        Some(Arc::clone(&self.bytes))
    }

    /// Adds a line of another one. Whether there was room for it.
    fn add_other(&mut self, line: &Arc<Line>) -> bool {
        if self.others >= JOURNAL_OTHERS_MAX {
            self.lost_others += 1;
            return false;
        }
        self.others += 1;
        self.lines.push(Arc::clone(line));
        true
    }
}

impl Books {
    /// Keeps what an answer says beyond its row, and gives its line, if any is kept.
    pub(super) fn note(
        &self,
        run: Option<&OpenRun>,
        row: u32,
        answer: &Answer<'_>,
    ) -> Option<(Arc<Line>, Keepers)> {
        if let Some(run) = run {
            run.note_answer(row, answer);
        }
        let journal = run.and_then(|run| run.journal.as_ref());
        if journal.is_none() && !self.recent.is_kept() {
            return None;
        }
        let line = Arc::new((answer.line)(row));
        if answer.standing != Standing::Authenticated {
            let is_kept = journal.is_some_and(|journal| locked(journal).add_other(&line));
            return is_kept.then(|| (line, Keepers::default()));
        }
        let keepers = Keepers {
            journal: journal.and_then(|journal| locked(journal).add(&line)),
            recent: self
                .recent
                .is_kept()
                .then(|| self.recent.add(&line, line.bytes())),
        };
        let is_kept = keepers.journal.is_some() || keepers.recent.is_some();
        is_kept.then_some((line, keepers))
    }

    /// A line that is kept takes so many bytes more.
    pub(super) fn add_line_bytes(&self, keepers: &Keepers, bytes: usize) {
        if let Some(journal) = &keepers.journal {
            journal.fetch_add(bytes, Ordering::Relaxed);
        }
        if let Some(number) = keepers.recent {
            self.recent.add_bytes(number, bytes);
        }
    }
}

impl OpenRun {
    pub(super) fn new(id: &str, options: RunOptions) -> Self {
        Self {
            id: id.to_owned(),
            objects: DashMap::new(),
            objects_most: options.objects.min(OBJECTS_MOST),
            objects_known: AtomicUsize::new(0),
            objects_lost: AtomicU64::new(0),
            journal: options
                .journal
                .then(|| Mutex::new(Journal::new(LINES_BYTES_MAX))),
            ends: Mutex::default(),
        }
    }

    /// Keeps what an answer says of its object. Only authenticated clients name objects.
    fn note_answer(&self, row: u32, answer: &Answer<'_>) {
        let object = match answer.standing {
            Standing::Authenticated => (answer.object)(),
            Standing::Configured | Standing::Unauthenticated => ObjectRef::default(),
        };
        self.note_object((row, object));
    }

    /// How many requests named `namespace`.
    pub(super) fn count_in(&self, namespace: &str) -> u64 {
        let objects = self.objects.iter();
        let named = objects.filter(|count| *count.key().1.namespace == *namespace);
        named.map(|count| *count.value()).sum()
    }

    fn note_object(&self, key: (u32, ObjectRef)) {
        if let Some(mut count) = self.objects.get_mut(&key) {
            *count += 1;
        } else if self.objects_known.load(Ordering::Relaxed) < self.objects_most {
            self.objects_known.fetch_add(1, Ordering::Relaxed);
            *self.objects.entry(key).or_default() += 1;
        } else {
            self.objects_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the journal, and copies everything else that was kept.
    pub(super) fn detail(&self) -> RunDetail {
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

pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_full_when_its_lines_take_all_its_bytes() {
        let line = Arc::new(Line::default());
        let mut journal = Journal::new(3 * line.bytes());
        for _ in 0..3 {
            assert!(journal.add(&line).is_some());
        }
        assert!(journal.add(&line).is_none());
        assert_eq!((journal.lines.len(), journal.lost), (3, 1));
        // Others have a part of their own.
        assert!(journal.add_other(&line));
        assert_eq!((journal.lines.len(), journal.lost_others), (4, 0));
    }

    #[test]
    fn what_bodies_said_counts_once_a_line_has_ended() {
        let line = Arc::new(Line::default());
        let mut journal = Journal::new(3 * line.bytes());
        let journal_bytes = journal.add(&line);
        let (books, keepers) = (
            Books::new(),
            Keepers {
                journal: journal_bytes,
                recent: None,
            },
        );
        books.add_line_bytes(&keepers, 2 * line.bytes());
        assert!(journal.add(&line).is_none());
        assert_eq!((journal.lines.len(), journal.lost), (1, 1));
    }
}
