//! The books against the log where requests can't be told apart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    AuditEntry,
    findings::{Findings, Sides},
    matching::{is_nobodys, without_kubevirt},
};
use record::{CallRecord, Outcome, RunRecord};

/// From the first opening of the books to their last closing.
pub(super) type Window = (Timestamp, Timestamp);
/// How long before the proxy, or after it, the API server may have noted that it answered.
const EDGE: SignedDuration = SignedDuration::from_millis(100);
const AT_EDGE: &str = "answered as the books were opened or closed";

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
    let (logged, at_edge) = count_log(log, window, &users, found);
    let keys: BTreeSet<&CountKey> = books.keys().chain(logged.keys()).collect();
    for key in keys {
        let (ours, theirs) = (
            books.get(key).copied().unwrap_or_default(),
            logged.get(key).copied().unwrap_or_default(),
        );
        found.equal(ours.min(theirs));
        let at_edge = at_edge.get(key).copied().unwrap_or_default();
        if ours.abs_diff(theirs) <= at_edge {
            found.explain(AT_EDGE, ours.abs_diff(theirs));
        } else {
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

/// The log by what can be compared: what was answered while the books were open, and what was so
/// close to their opening or closing that it can be on either side.
fn count_log(
    log: &[AuditEntry],
    window: Option<Window>,
    users: &BTreeSet<String>,
    found: &mut Findings,
) -> (BTreeMap<CountKey, u64>, BTreeMap<CountKey, u64>) {
    let (mut inside, mut at_edge) = (BTreeMap::new(), BTreeMap::new());
    let Some((from, to)) = window else {
        return (inside, at_edge);
    };
    for entry in log {
        let is_inside = entry.staged >= from && entry.staged <= to;
        let is_near = |edge: Timestamp| entry.staged.duration_since(edge).abs() <= EDGE;
        let is_at_edge = is_near(from) || is_near(to);
        if !is_inside && !is_at_edge {
            continue;
        }
        if !users.contains(&entry.user) {
            if is_inside {
                found.not_through_the_proxy(&entry.user);
            }
            continue;
        }
        let key = (
            entry.user.clone(),
            without_kubevirt(&entry.call),
            Outcome::Code(entry.code),
        );
        *at_edge.entry(key.clone()).or_default() += u64::from(is_at_edge);
        *inside.entry(key).or_default() += u64::from(is_inside);
    }
    (inside, at_edge)
}
