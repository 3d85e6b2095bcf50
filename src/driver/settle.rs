//! Waits until nothing goes on any more.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    at_once::try_ask_all,
    proxies::{ProxyClient, ProxyError},
};
use record::{RowRecord, Snapshot};

/// How often the proxies are asked.
const PAUSE: Duration = Duration::from_millis(100);

/// How a run came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing but watches in flight, and silence for as long as was asked.
    Silent,
    /// Something still went on when the time was over.
    TimedOut {
        /// Requests in flight, but for watches.
        in_flight: u64,
    },
}

/// Waits until nothing but watches is in flight and no call was answered for `silence`: of those
/// that name `namespace`, or, where there is none, of all but leases and watches. What clients do
/// that the API server has not authenticated counts for nothing. At the longest `longest`.
pub async fn settle(
    proxies: &[ProxyClient],
    run: &str,
    namespace: &str,
    silence: Duration,
    longest: Duration,
) -> Result<Settled, ProxyError> {
    let deadline = Instant::now() + longest;
    let mut last = None;
    let mut silent_since = Instant::now();
    loop {
        let (mut in_flight, mut activity) = (0, 0);
        let looks = try_ask_all(proxies, |proxy| proxy.look_at_run(run, namespace)).await?;
        for progress in looks {
            in_flight += progress.snapshot.in_flight_but_watches();
            activity += if namespace.is_empty() {
                not_standing(&progress.snapshot)
            } else {
                progress.in_namespace
            };
        }
        if in_flight > 0 || last != Some(activity) {
            silent_since = Instant::now();
            last = Some(activity);
        }
        if silent_since.elapsed() >= silence && in_flight == 0 {
            return Ok(Settled::Silent);
        }
        if Instant::now() >= deadline {
            return Ok(Settled::TimedOut { in_flight });
        }
        sleep(PAUSE).await;
    }
}

fn not_standing(snapshot: &Snapshot) -> u64 {
    let rows = snapshot.rows.iter();
    let is_standing = |row: &RowRecord| row.call.verb == "watch" || row.call.resource == "leases";
    rows.filter(|row| !is_standing(row) && !row.is_nobodys())
        .map(|row| row.answered)
        .sum()
}
