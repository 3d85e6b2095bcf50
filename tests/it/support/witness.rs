//! The embedded server's own log against the books of a run, without a line of Kubetoll's own
//! comparison.

use std::collections::{BTreeMap, HashMap};

use lab::apiserver::LoggedRequest;
use record::{RowRecord, RunRecord};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests that are the same in both.
    pub equal: usize,
    /// What is wrong.
    pub different: Vec<String>,
    /// Requests that the books have without an answer.
    pub unanswered: usize,
    /// Requests that the server answered while the run was open, and the books have no answer of.
    pub unbooked: usize,
    /// Objects among them that were created, by their resource.
    pub unbooked_creates: BTreeMap<String, u64>,
}

/// A request's user, what it was, and its code.
fn books(row: &RowRecord) -> String {
    let call = &row.call;
    format!(
        "{} {} {}/{} {}/{} {}",
        row.user, call.verb, call.group, call.version, call.resource, call.subresource, row.outcome
    )
}

fn log(one: &LoggedRequest) -> String {
    format!(
        "{} {} {}/{} {}/{} {}",
        one.user,
        one.verb,
        one.group,
        one.version,
        one.resource,
        one.subresource,
        one.code.unwrap_or_default()
    )
}

/// Compares a run, which must have a journal, with the log.
pub fn compare(record: &RunRecord, logged: &[LoggedRequest]) -> Found {
    let mut found = Found::default();
    let mut logged_by_id: HashMap<&str, &LoggedRequest> = logged
        .iter()
        .map(|one| (one.audit_id.as_str(), one))
        .collect();
    let mut journal: BTreeMap<u32, u64> = BTreeMap::new();
    let run = &record.proxies[0];
    let rows: HashMap<u32, &RowRecord> = run.difference.iter().map(|row| (row.id, row)).collect();
    for line in &run.closed.journal {
        *journal.entry(line.row).or_default() += 1;
        let row = rows[&line.row];
        if row.outcome.reason().is_some() {
            found.unanswered += 1;
            continue;
        }
        match logged_by_id.remove(line.audit_id.as_str()).map(log) {
            Some(said) if said == books(row) => found.equal += 1,
            said => found
                .different
                .push(format!("{} but the log: {said:?}", books(row))),
        }
    }
    for (id, row) in &rows {
        let lines = journal.get(id).copied().unwrap_or_default();
        if lines != row.answered {
            let books = books(row);
            found
                .different
                .push(format!("{books}: {} counted, {lines} lines", row.answered));
        }
    }
    let (from, to) = (
        seconds(run.opened.taken),
        seconds(run.closed.snapshot.taken),
    );
    // The driver goes around the proxy.
    let inside = logged_by_id.into_values().filter(|one| {
        one.received >= from
            && one.answered <= to
            && one.user.starts_with("system:serviceaccount:")
            && one.code.is_some()
    });
    for one in inside {
        found.unbooked += 1;
        let is_created = one.verb == "create" && one.code == Some(201);
        if is_created && one.subresource.is_empty() {
            let creates = found.unbooked_creates.entry(one.resource.clone());
            *creates.or_default() += 1;
        }
    }
    found
}

fn seconds(time: jiff::Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
