//! Runs on the books, opened and closed over HTTP.

use std::sync::PoisonError;

use jiff::Timestamp;

use super::{lease::Lease, state::Admin};
use ledger::{OBJECTS_MAX, Position, RunError, RunOptions};
use record::{JournalPage, JournalPosition, OpenRun, RunDetailRecord, RunProgress, Snapshot};

impl Admin {
    pub(super) fn open_run(&self, id: &str, asked: &OpenRun) -> Result<Snapshot, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expired) = lease.take_if(|lease| lease.has_ended()) {
            // Its driver is gone, and nobody else wants the result.
            let _ = self.proxy.books.close_run(&expired.id);
        }
        let pairs = asked
            .pairs
            .map(|pairs| pairs.try_into().unwrap_or(usize::MAX));
        let options = RunOptions {
            journal: asked.journal,
            objects: pairs.unwrap_or(OBJECTS_MAX),
        };
        let snapshot = self.proxy.books.open_run(id, options)?;
        *lease = Some(Lease::new(id, asked.lease_seconds));
        Ok(self.record(snapshot))
    }

    pub(super) fn look_at_run(&self, id: &str, namespace: &str) -> Result<RunProgress, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let (snapshot, in_namespace) = self.proxy.books.look_at_run(id, namespace)?;
        if let Some(lease) = lease.as_mut() {
            lease.renew();
        }
        Ok(RunProgress {
            snapshot: self.record(snapshot),
            in_namespace,
        })
    }

    /// The journal of an open run from a position on.
    pub(super) fn journal_page(
        &self,
        id: &str,
        from: JournalPosition,
    ) -> Result<JournalPage, RunError> {
        let position = Position {
            lines: from.lines,
            ends: from.ends,
        };
        let mut page = self.proxy.books.journal_page(id, position)?;
        let snapshot = page.snapshot.take().map(|books| self.record(books));
        // Nothing new has no new client, either.
        let clients = match &snapshot {
            Some(_) => self.proxy.recorder.clients.all(),
            None => Vec::new(),
        };
        self.renew_lease();
        let mut page = JournalPage::new(snapshot, &page, clients, from);
        page.next.clients = page.next.clients.max(from.clients);
        Ok(page)
    }

    fn renew_lease(&self) {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = lease.as_mut() {
            lease.renew();
        }
    }

    pub(super) fn close_run(&self, id: &str) -> Result<RunDetailRecord, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the detail is copied, which takes a while where it is large.
        let taken = Timestamp::now();
        let (snapshot, detail) = self.proxy.books.close_run(id)?;
        *lease = None;
        let clients = if detail.journal.is_empty() {
            Vec::new()
        } else {
            self.proxy.recorder.clients.all()
        };
        let snapshot = self.record_at(snapshot, taken);
        Ok(RunDetailRecord::new(snapshot, detail, clients))
    }
}
