//! A run on the books: opened and closed by a snapshot each.

use std::sync::{Arc, atomic::Ordering};

use super::{
    books::Books,
    open_run::{OpenRun, RunDetail, RunOptions},
    snapshot::Snapshot,
};

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

impl Books {
    /// Opens a run and gives the snapshot of that instant.
    pub fn open_run(&self, id: &str, options: RunOptions) -> Result<Snapshot, RunError> {
        let mut counters = self.reserve_counters();
        {
            let mut open = self.lock_for_snapshot();
            if let Some(run) = open.as_ref() {
                return Err(RunError::Busy(run.id.clone()));
            }
            *open = Some(Arc::new(OpenRun::new(id, options)));
            self.keeps_journal.store(options.journal, Ordering::Relaxed);
            self.read(&mut counters);
        }
        Ok(counters.into_snapshot())
    }

    /// Closes a run: the snapshot of that instant, and what was kept since it was opened. The sum
    /// of its objects is the difference of the two snapshots.
    pub fn close_run(&self, id: &str) -> Result<(Snapshot, RunDetail), RunError> {
        let mut counters = self.reserve_counters();
        let run = {
            let mut open = self.lock_for_snapshot();
            let run = open
                .take_if(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            self.keeps_journal.store(false, Ordering::Relaxed);
            self.read(&mut counters);
            run
        };
        Ok((counters.into_snapshot(), run.detail()))
    }

    /// A snapshot while a run is open, and how many requests of the run named `namespace`.
    pub fn look_at_run(&self, id: &str, namespace: &str) -> Result<(Snapshot, u64), RunError> {
        let mut counters = self.reserve_counters();
        let run = {
            let open = self.lock_for_snapshot();
            let run = open
                .as_ref()
                .filter(|run| run.id == id)
                .ok_or_else(|| RunError::Unknown(id.to_owned()))?;
            self.read(&mut counters);
            Arc::clone(run)
        };
        Ok((counters.into_snapshot(), run.count_in(namespace)))
    }

    /// The id of the run that is open.
    pub fn run_id(&self) -> Option<String> {
        self.lock_for_booking().as_ref().map(|run| run.id.clone())
    }
}
