//! One request in the books, from its head to the end of its body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    answer::{Answer, ObjectRef, Standing},
    books::Books,
    open_run::Keepers,
    row::{CallBook, Outcome, Reason, Row},
};
use classify::CallName;
use recorder::{EventCounts, Line, Unread};

/// How a request ended after it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The response body came to its end, with or without trailers.
    Complete,
    /// The response body failed.
    Failed,
    /// Nobody wanted the rest: the client went away, or the request was cancelled.
    Dropped,
}

/// An open request. It is closed exactly once: by [`close`](Self::close), or by being dropped,
/// which counts as a fault of the proxy where the request was not answered yet.
pub struct Entry {
    books: Arc<Books>,
    /// Where the request is in flight; once it is answered, that of its row.
    call: Arc<CallBook>,
    row: Option<Arc<Row>>,
    /// Of its line, if that is kept.
    keepers: Keepers,
    /// Those before the answer; [`close`](Self::close) adds them to the row.
    request_bytes: AtomicU64,
    closed: bool,
}

impl Books {
    /// Opens the entry of a request whose head was read. Where its client is known to be one that
    /// the API server authenticates, it is in flight by its own name, else by the folded one.
    pub fn open(self: &Arc<Self>, call: &CallName<'_>, is_known: bool) -> Entry {
        let book = if is_known {
            self.confirmed_call(call)
        } else {
            self.folded_call(call)
        };
        {
            let _lock = self.lock_for_booking();
            book.opened.fetch_add(1, Ordering::Relaxed);
        }
        Entry::new(Arc::clone(self), book)
    }
}

impl Entry {
    fn new(books: Arc<Books>, call: Arc<CallBook>) -> Self {
        Self {
            books,
            call,
            row: None,
            keepers: Keepers::default(),
            request_bytes: AtomicU64::new(0),
            closed: false,
        }
    }

    /// Whether the request has its row.
    pub fn is_answered(&self) -> bool {
        self.row.is_some()
    }

    /// Books the answer; only the first one counts. Gives its line, if a journal is kept. Who ends
    /// the line says what that takes: [`add_line_bytes`](Self::add_line_bytes).
    pub fn answer(&mut self, answer: Answer<'_>) -> Option<Arc<Line>> {
        if self.row.is_some() {
            return None;
        }
        let call = self.call_of(&answer);
        let row = self
            .books
            .row(answer.party, &call, answer.outcome, answer.standing);
        let kept = {
            let open_run = self.books.lock_for_booking();
            if !Arc::ptr_eq(&self.call, &row.call) {
                row.call.opened.fetch_add(1, Ordering::Relaxed);
                self.call.opened.fetch_sub(1, Ordering::Relaxed);
                self.call = Arc::clone(&row.call);
            }
            row.answered.fetch_add(1, Ordering::Relaxed);
            row.to_head.observe(answer.elapsed);
            self.books.note(open_run.as_deref(), row.id, &answer)
        };
        self.row = Some(row);
        let (line, keepers) = kept?;
        self.keepers = keepers;
        Some(line)
    }

    /// Counts bytes that its line takes more since the answer.
    pub fn add_line_bytes(&self, bytes: usize) {
        if bytes > 0 {
            self.books.add_line_bytes(&self.keepers, bytes);
        }
    }

    /// What the request is booked as.
    fn call_of(&self, answer: &Answer<'_>) -> Arc<CallBook> {
        let mut call = Arc::clone(&self.call);
        let books = &self.books;
        match (answer.standing, call.is_folded) {
            (Standing::Authenticated | Standing::Configured, false)
            | (Standing::Unauthenticated, true) => {}
            (Standing::Authenticated, true) => {
                (answer.name)(&mut |name| call = books.confirmed_call(name));
            }
            (Standing::Configured, true) => (answer.name)(&mut |name| {
                if let Some(known) = books.known_call(name) {
                    call = known;
                }
            }),
            (Standing::Unauthenticated, false) => {
                (answer.name)(&mut |name| call = books.folded_call(name));
            }
        }
        call
    }

    /// Adds bytes of the request's body, without the snapshot lock.
    pub fn add_request_bytes(&self, bytes: u64) {
        let counter = match &self.row {
            Some(row) => &row.request_bytes,
            None => &self.request_bytes,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes of the response's body; of an upgraded connection, those sent to the client.
    pub fn add_response_bytes(&self, bytes: u64) {
        if let Some(row) = &self.row {
            row.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Counts the events of a watch that have come since `before`, without the snapshot lock.
    pub fn add_events(&self, before: &EventCounts, now: &EventCounts) {
        if let Some(row) = &self.row {
            row.events.add(before, now);
        }
    }

    /// Counts a watch whose events can't be read.
    pub fn add_unread_watch(&self, why: Unread) {
        if let Some(row) = &self.row {
            row.events.add_unread(why);
        }
    }

    /// Closes the entry `elapsed` after the request's head was read; only the first time counts.
    pub fn close(&mut self, ending: Ending, elapsed: Duration) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let _lock = self.books.lock_for_booking();
        self.call.closed.fetch_add(1, Ordering::Relaxed);
        if let Some(row) = &self.row {
            row.closed.fetch_add(1, Ordering::Relaxed);
            row.request_bytes
                .fetch_add(*self.request_bytes.get_mut(), Ordering::Relaxed);
            row.to_end.observe(elapsed);
            if ending != Ending::Complete {
                row.cut_short.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if self.row.is_none() {
            let party = Arc::clone(self.books.unproven());
            self.answer(Answer {
                outcome: Outcome::NoAnswer(Reason::Internal),
                party: &party,
                standing: Standing::Configured,
                name: &|_| {},
                elapsed: Duration::ZERO,
                object: &ObjectRef::default,
                line: &|row| Line {
                    row,
                    ..Line::default()
                },
            });
        }
        self.close(Ending::Dropped, Duration::ZERO);
    }
}
