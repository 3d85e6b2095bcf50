//! The books against the log where requests can't be told apart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    AuditEntry,
    findings::{Findings, Sides},
    matching::{is_nobodys, without_kubevirt},
};
use record::{CallRecord, Outcome, RunRecord};

/// From the first opening of the books to their last closing.
pub(super) type Window = (Timestamp, Timestamp);
/// What can be compared without audit IDs.
type CountKey = (String, CallRecord, Outcome);

/// Compares how often each call was answered within the window of the books.
pub(super) fn by_count(
    run: &RunRecord,
    log: &[AuditEntry],
    window: Option<Window>,
    found: &mut Findings,
) {
    let mut books: BTreeMap<CountKey, u64> = BTreeMap::new();
    let mut users = BTreeSet::new();
    let rows = run
        .proxies
        .iter()
        .flat_map(|proxy| proxy.difference.iter().map(move |row| (proxy, row)));
    for (proxy, row) in rows {
        if let Some(reason) = row.outcome.reason() {
            found.explain(&format!("no answer ({reason})"), row.answered);
            continue;
        }
        if is_nobodys(proxy, row) {
            found.explain(
                "not authenticated: comparable by audit ID only",
                row.answered,
            );
            continue;
        }
        users.insert(row.user.clone());
        let key = (
            row.user.clone(),
            without_kubevirt(&row.call),
            row.outcome.clone(),
        );
        *books.entry(key).or_default() += row.answered;
    }
    let mut logged: BTreeMap<CountKey, u64> = BTreeMap::new();
    for entry in log {
        if !window.is_some_and(|(from, to)| entry.staged >= from && entry.staged <= to) {
            continue;
        }
        if !users.contains(&entry.user) {
            found.not_through_the_proxy(&entry.user);
            continue;
        }
        let key = (
            entry.user.clone(),
            without_kubevirt(&entry.call),
            Outcome::Code(entry.code),
        );
        *logged.entry(key).or_default() += 1;
    }
    let keys: BTreeSet<&CountKey> = books.keys().chain(logged.keys()).collect();
    for key in keys {
        let (ours, theirs) = (
            books.get(key).copied().unwrap_or_default(),
            logged.get(key).copied().unwrap_or_default(),
        );
        found.equal(ours.min(theirs));
        if ours != theirs {
            let sides = Sides {
                user: key.0.clone(),
                call: key.1.clone(),
                books: format!("{ours} × {}", key.2),
                log: format!("{theirs} × {}", key.2),
            };
            found.differ(sides, ours.abs_diff(theirs), None);
        }
    }
}
