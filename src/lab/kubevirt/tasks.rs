//! The tasks of a component, which all end together.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cache::{Cache, SYNC_WARNING};

/// Where a component's tasks run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it is done or the component is stopped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Cancels all tasks and waits for their end.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Waits until all caches have their first list, and says so if that takes long.
pub(crate) async fn all_synced(component: &str, caches: &[Arc<Cache>]) {
    for cache in caches {
        while tokio::time::timeout(SYNC_WARNING, cache.synced())
            .await
            .is_err()
        {
            tracing::warn!(component, "still waiting for the first list of a resource");
        }
    }
}
