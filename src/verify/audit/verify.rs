//! The books of a run against the audit log of the API server.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::AuditEntry;
use record::{
    CallRecord, Difference, Outcome, ProxyRun, RowRecord, RunRecord, Verification, kept_audit_id,
};

/// Most differences that are listed one by one.
const LISTED_MAX: usize = 1_000;

/// Compares a run with the requests of an audit log.
///
/// Where the run has a journal, each request is looked up by its audit ID: it must be in the log
/// with the same user, call and code, and no row may count more or fewer than the journal has.
/// What the log has beyond that must be one of the requests that the books know without an answer.
/// Without a journal only counts are compared.
pub fn verify(run: &RunRecord, log: &[AuditEntry]) -> Verification {
    let mut found = Verification {
        by_request: run.proxies.iter().all(has_journal)
            && run
                .proxies
                .iter()
                .any(|proxy| !proxy.closed.journal.is_empty()),
        overlaps: window(run).is_some_and(|(from, to)| {
            log.iter()
                .any(|entry| entry.received >= from && entry.received <= to)
        }),
        ..Verification::default()
    };
    if found.by_request {
        by_request(run, log, &mut found);
    } else {
        by_count(run, log, &mut found);
    }
    found
}

/// Whether each request of a proxy can be looked up; one that answered nothing needs no journal.
fn has_journal(proxy: &ProxyRun) -> bool {
    let answered = proxy.difference.iter().any(|row| row.answered > 0);
    proxy.closed.journal_lost == 0 && !(answered && proxy.closed.journal.is_empty())
}

/// From the first opening to the last closing.
fn window(run: &RunRecord) -> Option<(Timestamp, Timestamp)> {
    let from = run.proxies.iter().map(|proxy| proxy.opened.taken).min()?;
    let to = run
        .proxies
        .iter()
        .map(|proxy| proxy.closed.snapshot.taken)
        .max()?;
    Some((from, to))
}

fn explain(found: &mut Verification, why: &str, count: u64) {
    if count > 0 {
        *found.explained.entry(why.to_owned()).or_default() += count;
    }
}

fn differ(found: &mut Verification, difference: Difference) {
    found.unexplained_count += difference.count;
    if found.unexplained.len() < LISTED_MAX {
        found.unexplained.push(difference);
    }
}

fn by_request(run: &RunRecord, log: &[AuditEntry], found: &mut Verification) {
    let mut unmatched: HashMap<&str, &AuditEntry> = log
        .iter()
        .map(|entry| (kept_audit_id(&entry.id), entry))
        .collect();
    let mut users = BTreeSet::new();
    let mut matched = BTreeSet::new();
    let mut unanswered: BTreeMap<CallRecord, Vec<&RowRecord>> = BTreeMap::new();
    for proxy in &run.proxies {
        count_journal(proxy, found);
        let rows: HashMap<u32, &RowRecord> =
            proxy.difference.iter().map(|row| (row.id, row)).collect();
        for line in &proxy.closed.journal {
            // A line of an unknown row was reported by the count.
            let Some(row) = rows.get(&line.row) else {
                continue;
            };
            if row.outcome.reason().is_some() {
                unanswered
                    .entry(without_kubevirt(&row.call))
                    .or_default()
                    .push(row);
                continue;
            }
            match unmatched.remove(line.audit_id.as_str()) {
                Some(entry) => {
                    if !is_nobodys(proxy, row) {
                        users.insert(entry.user.as_str());
                    }
                    matched.insert(kept_audit_id(&entry.id));
                    compare(row, entry, found);
                }
                None if matched.contains(line.audit_id.as_str()) => booked_twice(row, found),
                None => without_event(row, found),
            }
        }
    }
    let mut pending = pending_at_close(run);
    let window = window(run);
    for entry in unmatched.into_values() {
        let inside =
            window.is_some_and(|(from, to)| entry.received >= from && entry.received <= to);
        if inside {
            without_booking(entry, &users, &mut unanswered, &mut pending, found);
        }
    }
    for row in unanswered.into_values().flatten() {
        explain(
            found,
            &format!("no answer ({}), and no event", row.outcome),
            1,
        );
    }
}

/// The rows, which are what is printed, against the journal, which is what is looked up.
fn count_journal(proxy: &ProxyRun, found: &mut Verification) {
    let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
    for line in &proxy.closed.journal {
        *lines.entry(line.row).or_default() += 1;
    }
    for row in &proxy.difference {
        let lines = lines.remove(&row.id).unwrap_or_default();
        if lines == row.answered {
            continue;
        }
        if lines < row.answered && is_nobodys(proxy, row) && proxy.closed.journal_lost_others > 0 {
            // Who has no credential fills a part of the journal of its own.
            let lost = row.answered - lines;
            explain(
                found,
                "not authenticated, and without a line in the journal",
                lost,
            );
        } else {
            differ(
                found,
                Difference {
                    user: user_of(row),
                    call: row.call.clone(),
                    books: format!("{} × {}", row.answered, describe(row)),
                    log: format!("{lines} in the run's journal"),
                    count: lines.abs_diff(row.answered),
                },
            );
        }
    }
    for (row, lines) in lines {
        differ(
            found,
            Difference {
                user: String::new(),
                call: CallRecord::default(),
                books: String::new(),
                log: format!(
                    "{lines} in the run's journal, of row {row}, which the run doesn't have"
                ),
                count: lines,
            },
        );
    }
}

/// Requests under way when the run was closed that had no answer yet, by call: in flight, less
/// what is in flight with an answer. A request that ended without being booked is none of them.
fn pending_at_close(run: &RunRecord) -> BTreeMap<CallRecord, u64> {
    let mut pending: BTreeMap<CallRecord, u64> = BTreeMap::new();
    for proxy in &run.proxies {
        let snapshot = &proxy.closed.snapshot;
        let mut answered: BTreeMap<&CallRecord, u64> = BTreeMap::new();
        for row in &snapshot.rows {
            *answered.entry(&row.call).or_default() += row.answered.saturating_sub(row.closed);
        }
        for call in &snapshot.calls {
            let answered = answered.get(&call.call).copied().unwrap_or_default();
            let in_flight = call.opened.saturating_sub(call.closed);
            *pending.entry(without_kubevirt(&call.call)).or_default() +=
                in_flight.saturating_sub(answered);
        }
    }
    pending
}

fn compare(row: &RowRecord, entry: &AuditEntry, found: &mut Verification) {
    let same_user = row.user.is_empty() || row.user == entry.user;
    let same_call = is_same_call(row, entry);
    let same_code = row.outcome == Outcome::Code(entry.code);
    if same_user && same_call && same_code {
        found.equal += 1;
    } else if same_user && same_call && row.outcome == Outcome::Code(504) {
        // The server's time-out answers; its handler finishes the event with a code of its own.
        explain(found, "answered 504 before the handler was done", 1);
    } else {
        differ(
            found,
            Difference {
                user: entry.user.clone(),
                call: row.call.clone(),
                books: describe(row),
                log: format!("{} {} {}", entry.user, entry.call.verb, entry.code),
                count: 1,
            },
        );
    }
}

fn booked_twice(row: &RowRecord, found: &mut Verification) {
    differ(
        found,
        Difference {
            user: user_of(row),
            call: row.call.clone(),
            books: format!("{} twice", describe(row)),
            log: "once".to_owned(),
            count: 1,
        },
    );
}

/// Answers that kube-apiserver gives before a request reaches the audit stage.
fn without_event(row: &RowRecord, found: &mut Verification) {
    match &row.outcome {
        _ if row.call.path == "*" => {
            explain(found, "OPTIONS *, answered by the HTTP server itself", 1);
        }
        Outcome::Code(code @ (400 | 429 | 431 | 500 | 504)) => {
            explain(found, &format!("answered {code} before the audit stage"), 1);
        }
        _ => differ(
            found,
            Difference {
                user: user_of(row),
                call: row.call.clone(),
                books: describe(row),
                log: String::new(),
                count: 1,
            },
        ),
    }
}

fn without_booking(
    entry: &AuditEntry,
    users: &BTreeSet<&str>,
    unanswered: &mut BTreeMap<CallRecord, Vec<&RowRecord>>,
    pending: &mut BTreeMap<CallRecord, u64>,
    found: &mut Verification,
) {
    let names = [without_kubevirt(&entry.call), folded(&entry.call)];
    let same_user = |row: &&RowRecord| row.user.is_empty() || row.user == entry.user;
    for call in &names {
        if let Some(rows) = unanswered.get_mut(call)
            && let Some(at) = rows.iter().position(same_user)
        {
            let row = rows.swap_remove(at);
            explain(found, &format!("no answer ({})", row.outcome), 1);
            return;
        }
    }
    if !users.contains(entry.user.as_str()) {
        let count = found.not_through_the_proxy.entry(entry.user.clone());
        *count.or_default() += 1;
        return;
    }
    for call in &names {
        if let Some(pending) = pending.get_mut(call).filter(|pending| **pending > 0) {
            *pending -= 1;
            explain(found, "under way when the run was closed", 1);
            return;
        }
    }
    differ(
        found,
        Difference {
            user: entry.user.clone(),
            call: entry.call.clone(),
            books: String::new(),
            log: format!("{} at {}", entry.code, entry.received),
            count: 1,
        },
    );
}

/// Whether a row can be that of an event. Requests that the API server didn't authenticate are
/// counted by their folded names.
fn is_same_call(row: &RowRecord, entry: &AuditEntry) -> bool {
    let (ours, theirs) = (without_kubevirt(&row.call), without_kubevirt(&entry.call));
    ours == theirs || (row.user.is_empty() && ours == folded(&entry.call))
}

/// Whether no answer says whose requests a row counts; where the proxy names all clients, its own
/// component stands in the place of the two that say so.
fn is_nobodys(proxy: &ProxyRun, row: &RowRecord) -> bool {
    let given = proxy.opened.proxy.component.is_some();
    row.is_nobodys() || (given && row.user.is_empty())
}

fn folded(call: &CallRecord) -> CallRecord {
    without_kubevirt(&call.name().folded().into())
}

/// A call without KubeVirt's names: they follow from the method, which a log doesn't have.
fn without_kubevirt(call: &CallRecord) -> CallRecord {
    CallRecord {
        kubevirt_verb: String::new(),
        kubevirt_resource: String::new(),
        ..call.clone()
    }
}

fn describe(row: &RowRecord) -> String {
    match &row.outcome {
        Outcome::NoAnswer(reason) => reason.clone(),
        answered => format!("{} {} {answered}", user_of(row), row.call.verb),
    }
}

fn user_of(row: &RowRecord) -> String {
    if row.user.is_empty() {
        row.component.clone()
    } else {
        row.user.clone()
    }
}

/// What can be compared without audit IDs.
type CountKey = (String, CallRecord, Outcome);

fn by_count(run: &RunRecord, log: &[AuditEntry], found: &mut Verification) {
    let mut books: BTreeMap<CountKey, u64> = BTreeMap::new();
    let mut users = BTreeSet::new();
    let rows = run
        .proxies
        .iter()
        .flat_map(|proxy| proxy.difference.iter().map(move |row| (proxy, row)));
    for (proxy, row) in rows {
        if let Some(reason) = row.outcome.reason() {
            explain(found, &format!("no answer ({reason})"), row.answered);
            continue;
        }
        if is_nobodys(proxy, row) {
            explain(
                found,
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
    let window = window(run);
    for entry in log {
        if !window.is_some_and(|(from, to)| entry.staged >= from && entry.staged <= to) {
            continue;
        }
        if !users.contains(&entry.user) {
            *found
                .not_through_the_proxy
                .entry(entry.user.clone())
                .or_default() += 1;
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
        found.equal += ours.min(theirs);
        if ours != theirs {
            differ(
                found,
                Difference {
                    user: key.0.clone(),
                    call: key.1.clone(),
                    books: format!("{ours} × {}", key.2),
                    log: format!("{theirs} × {}", key.2),
                    count: ours.abs_diff(theirs),
                },
            );
        }
    }
}
