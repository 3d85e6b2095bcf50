//! What of a run's books is checked in every run.

use std::collections::BTreeMap;

use super::settle::Settled;
use record::{Check, JournalRecord, RowRecord, RunDetailRecord, Snapshot};

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
    let mut checks = vec![
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
    checks.extend(unread(url, &closed.journal));
    (difference.unwrap_or_default(), checks)
}

/// How many requests have a body that could not be read, by the reason: findings lack what it would have
/// told. Nothing if all were read.
fn unread(url: &str, journal: &[JournalRecord]) -> Option<Check> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for line in journal.iter().filter(|line| !line.unread.is_empty()) {
        *reasons.entry(&line.unread).or_default() += 1;
    }
    let count: usize = reasons.values().sum();
    let reasons = reasons.iter().map(|(why, count)| format!("{count} {why}"));
    let reasons: Vec<String> = reasons.collect();
    let detail = format!(
        "{url}: bodies of {count} of {} requests were not read: {}",
        journal.len(),
        reasons.join(", ")
    );
    // Findings say less, the counts are the same.
    (count > 0).then(|| Check::new("what bodies tell is in the journal", true, detail))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_were_not_read_are_counted_by_reason() {
        let line = |unread: &str| JournalRecord {
            unread: unread.to_owned(),
            ..JournalRecord::default()
        };
        assert_eq!(unread("proxy", &[line("")]), None);
        let journal = ["compressed", "", "never", "compressed"].map(line);
        let check = unread("proxy", &journal).unwrap();
        assert!(check.ok);
        let detail = "proxy: bodies of 3 of 4 requests were not read: 2 compressed, 1 never";
        assert_eq!(check.detail, detail);
    }
}
