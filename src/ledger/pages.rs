//! The journal of a run that is open, page by page.
//!
//! A line is given when it is there, and once more when its request has ended, if that came later.
//! Nothing is taken away: whoever closes the run gets all lines, and a page that did not arrive can be
//! asked for again.

use std::sync::{Arc, Mutex};

use super::{
    books::Books,
    open_run::{Journal, locked},
    run::RunError,
    snapshot::Snapshot,
};
use recorder::Line;

/// Most lines of a page that are new, and most that have ended since they were given.
pub const PAGE_MAX: usize = 2_000;
/// Lines that are copied at once. Who books a request meanwhile waits for no more than these.
const SLICE: usize = 256;

/// How far a reader of the journal has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Lines that it has.
    pub lines: usize,
    /// Ends that it has of lines that had none at first.
    pub ends: usize,
}

/// Some lines of the journal of an open run.
#[derive(Debug, Clone, Default)]
pub struct JournalPage {
    /// The books at an instant: they count each line up to the last one of `length`, and no other.
    /// Nothing where there is nothing new.
    pub snapshot: Option<Snapshot>,
    /// How many lines there were at that instant.
    pub length: usize,
    /// Lines with their places in the journal: those that are new, and then those that have ended.
    pub lines: Vec<(usize, Arc<Line>)>,
    /// Where the next page begins.
    pub next: Position,
    /// Whether there is more already.
    pub has_more: bool,
}

/// Which lines have ended after they were first looked at.
#[derive(Default)]
pub(super) struct Ends {
    /// How many lines were looked at.
    seen: usize,
    /// Lines without an end.
    open: Vec<(usize, Arc<Line>)>,
    /// The places of those that have ended since, in the order in which that was noticed.
    ended: Vec<u32>,
}

impl Books {
    /// The journal of an open run from a position on. No page where the run keeps none.
    pub fn journal_page(&self, id: &str, from: Position) -> Result<JournalPage, RunError> {
        let run = self.lock_for_booking().clone();
        let run = run.filter(|run| run.id == id);
        let run = run.ok_or_else(|| RunError::Unknown(id.to_owned()))?;
        let Some(journal) = &run.journal else {
            return Ok(JournalPage::default());
        };
        let mut ends = locked(&run.ends);
        let length = locked(journal).lines.len();
        ends.look(journal, length);
        if from.lines >= ends.seen && from.ends >= ends.ended.len() {
            return Ok(JournalPage {
                length: ends.seen,
                next: from,
                ..JournalPage::default()
            });
        }
        let (snapshot, length) = self.snapshot_with(journal);
        ends.look(journal, length);
        let mut page = ends.page(journal, from);
        page.snapshot = Some(snapshot);
        Ok(page)
    }

    /// The books, and how many lines there are at that instant.
    fn snapshot_with(&self, journal: &Mutex<Journal>) -> (Snapshot, usize) {
        let mut counters = self.reserve_counters();
        let length = {
            let _no_booking = self.lock_for_snapshot();
            self.read(&mut counters);
            locked(journal).lines.len()
        };
        (counters.into_snapshot(), length)
    }
}

impl Ends {
    /// Looks at the lines up to the one at `length`, and again at those that were open.
    fn look(&mut self, journal: &Mutex<Journal>, length: usize) {
        while self.seen < length {
            let slice = lines(journal, self.seen, length);
            if slice.is_empty() {
                break;
            }
            self.seen += slice.len();
            let open = slice
                .into_iter()
                .filter(|(_, line)| line.end.get().is_none());
            self.open.extend(open);
        }
        let ended = &mut self.ended;
        self.open.retain(|(place, line)| {
            let is_open = line.end.get().is_none();
            if !is_open && let Ok(place) = u32::try_from(*place) {
                ended.push(place);
            }
            is_open
        });
    }

    fn page(&self, journal: &Mutex<Journal>, from: Position) -> JournalPage {
        let (mut place, mut given) = (from.lines, Vec::new());
        let last = self.seen.min(from.lines.saturating_add(PAGE_MAX));
        while place < last {
            let slice = lines(journal, place, last);
            if slice.is_empty() {
                break;
            }
            place += slice.len();
            given.extend(slice);
        }
        let ended = self.ended.iter().skip(from.ends).take(PAGE_MAX);
        let ends = ended.len();
        let ended = ended.map(|place| *place as usize);
        given.extend(ended.flat_map(|place| lines(journal, place, place + 1)));
        let next = Position {
            lines: place,
            ends: from.ends + ends,
        };
        JournalPage {
            snapshot: None,
            length: self.seen,
            lines: given,
            has_more: next.lines < self.seen || next.ends < self.ended.len(),
            next,
        }
    }
}

/// At most a slice of the lines from one place up to another, with their places; none once the run has
/// been closed.
fn lines(journal: &Mutex<Journal>, from: usize, to: usize) -> Vec<(usize, Arc<Line>)> {
    let to = to.min(from.saturating_add(SLICE));
    let mut slice = Vec::with_capacity(to.saturating_sub(from));
    let journal = locked(journal);
    let some = journal.lines.get(from..to).unwrap_or_default();
    slice.extend((from..to).zip(some.iter().cloned()));
    slice
}
