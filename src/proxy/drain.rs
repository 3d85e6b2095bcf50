//! The time from the stop signal to the proxy's end.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Whether the proxy drains, and when its watches end.
pub(crate) struct Drain {
    begun: CancellationToken,
    watches: Duration,
}

impl Drain {
    /// A proxy that does not drain yet; once it does, all watches end within `watches`.
    pub(crate) fn new(watches: Duration) -> Arc<Self> {
        Arc::new(Self {
            begun: CancellationToken::new(),
            watches,
        })
    }

    /// The stop signal came.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether it came.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Returns when one watch has to end: at a moment of its own, so that not all clients come back
    /// at once.
    pub(crate) async fn end_of_watch(&self) {
        self.begun.cancelled().await;
        sleep(self.watches.mul_f64(rand::random())).await;
    }
}
