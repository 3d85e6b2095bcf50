//! The books of a run against the audit log of the API server.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::{
    AuditEntry,
    by_count::{Window, by_count},
    findings::{Findings, Request, Sides},
    matching::{folded, is_nobodys, is_same_call, is_same_user, without_kubevirt},
};
use record::{
    CallRecord, JournalRecord, Outcome, ProxyRun, RowRecord, RunRecord, Verification, kept_audit_id,
};

/// Compares a run with the requests of an audit log.
///
/// Where the run has a journal, each request is looked up by its audit ID: it must be in the log
/// with the same user, call and code, and no row may count more or fewer than the journal has.
/// What the log has beyond that must be one of the requests that the books know without an answer.
/// Without a journal only counts are compared, and what was answered as the books were opened or
/// closed may be missing on either side.
pub fn verify(run: &RunRecord, log: &[AuditEntry]) -> Verification {
    let window = window(run);
    let mut found = Findings::from(Verification {
        by_request: run.proxies.iter().all(has_journal)
            && run
                .proxies
                .iter()
                .any(|proxy| !proxy.closed.journal.is_empty()),
        overlaps: window.is_some_and(|(from, to)| {
            log.iter()
                .any(|entry| entry.received >= from && entry.received <= to)
        }),
        ..Verification::default()
    });
    if found.is_by_request() {
        by_request(run, log, window, &mut found);
    } else {
        by_count(run, log, window, &mut found);
    }
    found.into()
}

/// Whether each request of a proxy can be looked up; one that answered nothing needs no journal.
fn has_journal(proxy: &ProxyRun) -> bool {
    let answered = proxy.difference.iter().any(|row| row.answered > 0);
    proxy.closed.journal_lost == 0 && !(answered && proxy.closed.journal.is_empty())
}

/// From the first opening to the last closing.
fn window(run: &RunRecord) -> Option<Window> {
    let from = run.proxies.iter().map(|proxy| proxy.opened.taken).min()?;
    let to = run
        .proxies
        .iter()
        .map(|proxy| proxy.closed.snapshot.taken)
        .max()?;
    Some((from, to))
}

fn by_request(run: &RunRecord, log: &[AuditEntry], window: Option<Window>, found: &mut Findings) {
    let mut unmatched = by_id(log);
    let mut users = BTreeSet::new();
    let mut matched = BTreeSet::new();
    let mut unanswered: BTreeMap<CallRecord, Vec<&RowRecord>> = BTreeMap::new();
    let mut unlike = Vec::new();
    for (proxy, row, line) in booked_lines(run, found) {
        let entries = unmatched.get_mut(line.audit_id.as_str());
        if row.outcome.reason().is_some() {
            let call = without_kubevirt(&row.call);
            unanswered.entry(call).or_default().push(row);
        } else if let Some(entry) = entries.and_then(|entries| take_like(entries, row)) {
            if !is_nobodys(proxy, row) {
                users.insert(entry.user.as_str());
            }
            matched.insert(kept_audit_id(&entry.id));
            found.equal(1);
        } else {
            unlike.push((proxy, row, line));
        }
    }
    for (proxy, row, line) in unlike {
        let entries = unmatched.get_mut(line.audit_id.as_str());
        match entries.and_then(Vec::pop) {
            Some(entry) => {
                if !is_nobodys(proxy, row) {
                    users.insert(entry.user.as_str());
                }
                matched.insert(kept_audit_id(&entry.id));
                differs(row, entry, found);
            }
            None if matched.contains(line.audit_id.as_str()) => booked_twice(row, line, found),
            None => without_event(row, line, found),
        }
    }
    let mut pending = pending_at_close(run);
    for entry in unmatched.into_values().flatten() {
        let inside =
            window.is_some_and(|(from, to)| entry.received >= from && entry.received <= to);
        if inside {
            without_booking(entry, &users, &mut unanswered, &mut pending, found);
        }
    }
    for row in unanswered.into_values().flatten() {
        found.explain(&format!("no answer ({}), and no event", row.outcome), 1);
    }
}

/// The requests of a log by their audit IDs. A client may give an ID, so that several have it.
fn by_id(log: &[AuditEntry]) -> HashMap<&str, Vec<&AuditEntry>> {
    let mut entries: HashMap<&str, Vec<&AuditEntry>> = HashMap::new();
    for entry in log {
        let id = kept_audit_id(&entry.id);
        entries.entry(id).or_default().push(entry);
    }
    entries
}

/// The lines of all journals with their rows.
fn booked_lines<'r>(
    run: &'r RunRecord,
    found: &mut Findings,
) -> Vec<(&'r ProxyRun, &'r RowRecord, &'r JournalRecord)> {
    let mut booked = Vec::new();
    for proxy in &run.proxies {
        count_journal(proxy, found);
        let rows: HashMap<u32, &RowRecord> =
            proxy.difference.iter().map(|row| (row.id, row)).collect();
        // A line of an unknown row was reported by the count.
        let lines = proxy.closed.journal.iter();
        booked.extend(lines.filter_map(|line| Some((proxy, *rows.get(&line.row)?, line))));
    }
    booked
}

/// Takes a request that is like the row: same user, call and code.
fn take_like<'l>(entries: &mut Vec<&'l AuditEntry>, row: &RowRecord) -> Option<&'l AuditEntry> {
    let like = |entry: &&AuditEntry| {
        is_same_user(row, entry)
            && is_same_call(row, entry)
            && row.outcome == Outcome::Code(entry.code)
    };
    let at = entries.iter().position(like)?;
    Some(entries.swap_remove(at))
}

/// The rows, which are what is printed, against the journal, which is what is looked up.
fn count_journal(proxy: &ProxyRun, found: &mut Findings) {
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
            found.explain("not authenticated, and without a line in the journal", lost);
        } else {
            let sides = Sides {
                user: user_of(row),
                call: row.call.clone(),
                books: format!("{} × {}", row.answered, describe(row)),
                log: format!("{lines} in the run's journal"),
            };
            found.differ(sides, lines.abs_diff(row.answered), None);
        }
    }
    for (row, lines) in lines {
        let sides = Sides {
            log: format!("{lines} in the run's journal, of row {row}, which the run doesn't have"),
            ..Sides::default()
        };
        found.differ(sides, lines, None);
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

/// A request that is not as the row has it.
fn differs(row: &RowRecord, entry: &AuditEntry, found: &mut Findings) {
    let is_same = is_same_user(row, entry) && is_same_call(row, entry);
    if is_same && row.outcome == Outcome::Code(504) {
        // The server's time-out answers; its handler finishes the event with a code of its own.
        found.explain("answered 504 before the handler was done", 1);
    } else {
        let sides = Sides {
            user: entry.user.clone(),
            call: row.call.clone(),
            books: describe(row),
            log: format!("{} {} {}", entry.user, entry.call.verb, entry.code),
        };
        found.differ(sides, 1, Some(request(entry)));
    }
}

fn request(entry: &AuditEntry) -> Request<'_> {
    Request {
        audit_id: kept_audit_id(&entry.id),
        at: Some(entry.received),
    }
}

/// The same of a line of the journal.
fn booked(line: &JournalRecord) -> Request<'_> {
    Request {
        audit_id: &line.audit_id,
        at: Timestamp::from_microsecond(line.at).ok(),
    }
}

fn booked_twice(row: &RowRecord, line: &JournalRecord, found: &mut Findings) {
    let sides = Sides {
        user: user_of(row),
        call: row.call.clone(),
        books: format!("{} twice", describe(row)),
        log: "once".to_owned(),
    };
    found.differ(sides, 1, Some(booked(line)));
}

/// Answers that kube-apiserver gives before a request reaches the audit stage.
fn without_event(row: &RowRecord, line: &JournalRecord, found: &mut Findings) {
    match &row.outcome {
        _ if row.call.path == "*" => {
            found.explain("OPTIONS *, answered by the HTTP server itself", 1);
        }
        Outcome::Code(code @ (400 | 429 | 431 | 500 | 504)) => {
            found.explain(&format!("answered {code} before the audit stage"), 1);
        }
        _ => {
            let sides = Sides {
                user: user_of(row),
                call: row.call.clone(),
                books: describe(row),
                log: String::new(),
            };
            found.differ(sides, 1, Some(booked(line)));
        }
    }
}

fn without_booking(
    entry: &AuditEntry,
    users: &BTreeSet<&str>,
    unanswered: &mut BTreeMap<CallRecord, Vec<&RowRecord>>,
    pending: &mut BTreeMap<CallRecord, u64>,
    found: &mut Findings,
) {
    let names = [without_kubevirt(&entry.call), folded(&entry.call)];
    let same_user = |row: &&RowRecord| is_same_user(row, entry);
    for call in &names {
        if let Some(rows) = unanswered.get_mut(call)
            && let Some(at) = rows.iter().position(same_user)
        {
            let row = rows.swap_remove(at);
            found.explain(&format!("no answer ({})", row.outcome), 1);
            return;
        }
    }
    if !users.contains(entry.user.as_str()) {
        found.not_through_the_proxy(&entry.user);
        return;
    }
    for call in &names {
        if let Some(pending) = pending.get_mut(call).filter(|pending| **pending > 0) {
            *pending -= 1;
            found.explain("under way when the run was closed", 1);
            return;
        }
    }
    let sides = Sides {
        user: entry.user.clone(),
        call: entry.call.clone(),
        books: String::new(),
        log: entry.code.to_string(),
    };
    found.differ(sides, 1, Some(request(entry)));
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
