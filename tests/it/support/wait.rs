//! Waiting for what must happen, instead of for a time in which it should have.

use std::{ops::AsyncFnMut, time::Duration};

use tokio::time::{Instant, sleep};

/// Long enough for a machine that has much else to do; who waits in vain has found a fault.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; `what` says what did not come.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        sleep(PAUSE).await;
    }
}
