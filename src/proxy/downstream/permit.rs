//! The permit of a downstream connection: one of as many as are allowed at once.

use std::{pin::pin, sync::Arc};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use crate::{
    counters::{ConnectionCounters, count},
    wakes::WhenWoken,
};

/// One of the connections that are allowed at once. It is held until nothing is left of the
/// connection: an upgraded one lives on as a tunnel. Dropped, the connection counts as closed.
pub(crate) struct ConnectionPermit {
    counters: Arc<ConnectionCounters>,
    kill: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _task: TaskTrackerToken,
}

impl ConnectionPermit {
    /// `kill` comes when the time to drain is over; `task` is what the drain waits for.
    pub(crate) fn new(
        counters: Arc<ConnectionCounters>,
        permit: OwnedSemaphorePermit,
        task: TaskTrackerToken,
        kill: CancellationToken,
    ) -> Self {
        Self {
            counters,
            kill,
            _permit: permit,
            _task: task,
        }
    }

    /// Runs something of this connection, at the longest until the time to drain is over.
    pub(crate) async fn run_until_killed(&self, task: impl Future<Output = ()>) {
        let killed = pin!(self.kill.cancelled());
        tokio::select! {
            biased;
            () = WhenWoken::new(killed) => {}
            () = task => {}
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        count(&self.counters.closed);
    }
}
