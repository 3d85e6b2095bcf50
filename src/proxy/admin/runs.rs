//! Runs on the books, opened and closed over HTTP.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::Admin;
use ledger::{RunError, RunOptions};
use record::{OpenRun, RunDetailRecord, RunProgress, Snapshot};

/// How long a run stays open that nobody asks for: its driver has died.
const LEASE: Duration = Duration::from_secs(600);
/// Longest lease that can be asked for.
const LEASE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Until when a run is kept without being asked for.
pub(super) struct Lease {
    id: String,
    duration: Duration,
    ends: Instant,
}

impl Lease {
    fn new(id: &str, duration: Duration) -> Self {
        Self {
            id: id.to_owned(),
            duration,
            ends: Instant::now() + duration,
        }
    }
}

impl Admin {
    pub(super) fn open_run(&self, id: &str, asked: &OpenRun) -> Result<Snapshot, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expired) = lease.take_if(|lease| lease.ends <= Instant::now()) {
            // Its books are nobody's any more.
            let _ = self.proxy.books.close_run(&expired.id);
        }
        let options = RunOptions {
            journal: asked.journal,
        };
        let snapshot = self.proxy.books.open_run(id, options)?;
        let duration = match asked.lease_seconds {
            0 => LEASE,
            seconds => Duration::from_secs(seconds).min(LEASE_MAX),
        };
        *lease = Some(Lease::new(id, duration));
        Ok(self.record(snapshot))
    }

    pub(super) fn look_at_run(&self, id: &str, namespace: &str) -> Result<RunProgress, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let (snapshot, in_namespace) = self.proxy.books.look_at_run(id, namespace)?;
        if let Some(lease) = lease.as_mut() {
            lease.ends = Instant::now() + lease.duration;
        }
        Ok(RunProgress {
            snapshot: self.record(snapshot),
            in_namespace,
        })
    }

    pub(super) fn close_run(&self, id: &str) -> Result<RunDetailRecord, RunError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let (snapshot, detail) = self.proxy.books.close_run(id)?;
        *lease = None;
        Ok(RunDetailRecord::new(self.record(snapshot), detail))
    }
}
