//! One request in the books, from its head to the end of its body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Books, Party,
    row::{CallBook, Outcome, Reason, Row},
    run::ObjectRef,
};

/// How the exchange ended after it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The response body came to its end, with or without trailers.
    Complete,
    /// The response body failed.
    Failed,
    /// Nobody wanted the rest: the client went away, or the request was cancelled.
    Dropped,
}

/// What is known when a request is answered.
pub struct Answer<'a> {
    /// The API server's status code, or why there is none.
    pub outcome: Outcome,
    /// Who made the request.
    pub party: &'a Arc<Party>,
    /// Time since the request's head was read.
    pub elapsed: Duration,
    /// The moment, in microseconds since 1970, for a journal.
    pub at_micros: i64,
    /// The API server's `Audit-Id` response header.
    pub audit_id: Option<&'a str>,
    /// Namespace and name of the object; asked for only while a run has detail open.
    pub object: &'a dyn Fn() -> ObjectRef,
}

/// An open request. It is closed exactly once: by [`close`](Self::close), or by being dropped,
/// which counts as a fault of the proxy where the request was not answered yet.
pub struct Entry {
    books: Arc<Books>,
    call: Arc<CallBook>,
    row: Option<Arc<Row>>,
    /// Those before the answer; [`close`](Self::close) adds them to the row.
    request_bytes: AtomicU64,
    closed: bool,
}

impl Entry {
    pub(super) fn new(books: Arc<Books>, call: Arc<CallBook>) -> Self {
        Self {
            books,
            call,
            row: None,
            request_bytes: AtomicU64::new(0),
            closed: false,
        }
    }

    /// Whether the request has its row.
    pub fn is_answered(&self) -> bool {
        self.row.is_some()
    }

    /// Books the answer; only the first one counts.
    pub fn answer(&mut self, answer: Answer<'_>) {
        if self.row.is_some() {
            return;
        }
        let row = self.books.row(answer.party, &self.call, answer.outcome);
        {
            let desk = self.books.desk();
            row.answered.fetch_add(1, Ordering::Relaxed);
            row.to_head.observe(answer.elapsed);
            if let Some(run) = desk.as_ref() {
                run.note(row.id, &answer);
            }
        }
        self.row = Some(row);
    }

    /// Adds bytes of the request's body.
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

    /// Closes the entry `elapsed` after the request's head was read; only the first time counts.
    pub fn close(&mut self, ending: Ending, elapsed: Duration) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let _desk = self.books.desk();
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
            let party = self.books.party("", "");
            self.answer(Answer {
                outcome: Outcome::NoAnswer(Reason::Internal),
                party: &party,
                elapsed: Duration::ZERO,
                at_micros: 0,
                audit_id: None,
                object: &ObjectRef::default,
            });
        }
        self.close(Ending::Dropped, Duration::ZERO);
    }
}
