//! What of a run's books is checked in every run.

use super::settle::Settled;
use record::{Check, RowRecord, RunDetailRecord, Snapshot};

/// The name of the check that a proxy fails whose books could not be closed.
pub(super) const LATE_CHECK: &str = "the proxy gave its books when the run ended";

/// What was counted between two snapshots of a proxy, and whether all of it is there.
pub(super) fn books(
    url: &str,
    opened: &Snapshot,
    closed: &RunDetailRecord,
) -> (Vec<RowRecord>, Vec<Check>) {
    let difference = closed.snapshot.since(opened);
    let overflowed = closed.snapshot.overflowed.saturating_sub(opened.overflowed);
    let (objects, journal) = (closed.objects_lost, closed.journal_lost);
    let checks = vec![
        Check::new(
            "the proxy was not restarted",
            difference.is_ok(),
            match &difference {
                Ok(_) => format!("{url} has counted since {}", opened.proxy.started),
                Err(error) => format!("{url}: {error}"),
            },
        ),
        Check::new(
            "the books did not overflow",
            overflowed == 0 && objects == 0 && journal == 0,
            format!(
                "{url}: {overflowed} requests in the overflow row, {objects} without their \
                 object, {journal} without their journal line"
            ),
        ),
    ];
    (difference.unwrap_or_default(), checks)
}

/// Whether a run came to rest before its books were closed.
pub(super) fn settled(settled: &Settled) -> Check {
    let detail = match settled {
        Settled::Silent => "nothing but watches in flight, and silence".to_owned(),
        Settled::TimedOut { in_flight } => {
            format!("calls still came when the time was over, {in_flight} in flight")
        }
    };
    Check::new("the run came to rest", *settled == Settled::Silent, detail)
}
