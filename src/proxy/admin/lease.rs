//! The lease of a run: it ends where its driver has died.

use std::time::{Duration, Instant};

/// How long a run stays open without a request of its driver, which must have died then.
const LEASE: Duration = Duration::from_secs(600);
/// Longest lease that can be asked for.
const LEASE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Until when a run stays open without a request of its driver.
pub(super) struct Lease {
    pub(super) id: String,
    duration: Duration,
    ends: Instant,
}

impl Lease {
    /// The lease of a run that is opened now; 0 seconds mean the default.
    pub(super) fn new(id: &str, seconds: u64) -> Self {
        let duration = match seconds {
            0 => LEASE,
            seconds => Duration::from_secs(seconds).min(LEASE_MAX),
        };
        Self {
            id: id.to_owned(),
            duration,
            ends: Instant::now() + duration,
        }
    }

    /// Its driver has asked for the run.
    pub(super) fn renew(&mut self) {
        self.ends = Instant::now() + self.duration;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ends <= Instant::now()
    }
}
