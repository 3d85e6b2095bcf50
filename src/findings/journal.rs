//! The requests of a run's journals.

use std::collections::HashMap;

use record::{ClientRecord, JournalRecord, Outcome, QueryRecord, RowRecord, RunRecord, Snapshot};

use super::{Answer, Known, Request};

/// What a request without options has.
static NO_OPTIONS: QueryRecord = QueryRecord {
    resource_version: None,
    limit: None,
    is_continued: false,
    timeout_seconds: None,
    initial_events: false,
    label_keys: Vec::new(),
    field_keys: Vec::new(),
    as_kind: String::new(),
};

/// The requests of a run in the order of time: one for each line of its journals, and one for each
/// kind of watch that was open as the books were opened. A line of a row that the run doesn't have
/// is left out.
pub fn requests(run: &RunRecord) -> Vec<Request<'_>> {
    let journals = run.proxies.iter().map(|proxy| Journal {
        opened: &proxy.opened,
        rows: &proxy.difference,
        lines: &proxy.closed.journal,
        clients: &proxy.closed.clients,
    });
    in_order(journals)
}

/// The same of the deletion of the run's objects.
pub fn deletion_requests(run: &RunRecord) -> Vec<Request<'_>> {
    let journals = run.proxies.iter().filter_map(|proxy| {
        let deletion = proxy.deletion.as_ref()?;
        Some(Journal {
            // Nothing is in between, but what came to rest.
            opened: &proxy.closed.snapshot,
            rows: &deletion.difference,
            lines: &deletion.journal,
            clients: &deletion.clients,
        })
    });
    in_order(journals)
}

/// A proxy's journal, and what its lines name by number.
struct Journal<'a> {
    /// The books as they were opened.
    opened: &'a Snapshot,
    rows: &'a [RowRecord],
    lines: &'a [JournalRecord],
    clients: &'a [ClientRecord],
}

fn in_order<'a>(journals: impl Iterator<Item = Journal<'a>>) -> Vec<Request<'a>> {
    let mut requests = Vec::new();
    for (journal, instance) in journals.zip(0..) {
        let rows = journal.rows.iter();
        let rows: HashMap<u32, &RowRecord> = rows.map(|row| (row.id, row)).collect();
        requests.extend(open_watches(journal.opened, instance));
        requests.extend(journal.lines.iter().filter_map(|line| {
            let row = rows.get(&line.row)?;
            Some(request(journal.clients, instance, row, line))
        }));
    }
    requests.sort_by(Request::order);
    requests
}

fn request<'a>(
    clients: &'a [ClientRecord],
    instance: u32,
    row: &'a RowRecord,
    line: &'a JournalRecord,
) -> Request<'a> {
    // Lines of older proxies have a row, a time and an audit ID, and nothing else.
    let is_full = line.connection > 0;
    let begun = line.at.saturating_sub_unsigned(line.head_us);
    let client = usize::try_from(line.client).ok().filter(|_| is_full);
    Request {
        begun,
        answered: line.at,
        ended: line.end_us.map(|us| begun.saturating_add_unsigned(us)),
        namespace: &line.namespace,
        name: name(row, line),
        audit_id: &line.audit_id,
        request_bytes: line.request_bytes,
        response_bytes: line.response_bytes,
        connection: line.connection,
        client: client.and_then(|client| clients.get(client)),
        query: line
            .query
            .as_deref()
            .or_else(|| is_full.then_some(&NO_OPTIONS)),
        sent: line.sent.as_deref(),
        object: line.object.as_deref(),
        failure: line.failure.as_deref(),
        watch: line.watch.as_deref(),
        dry_run: line.dry_run,
        repeats: line.repeats,
        warned: line.warned,
        known: known(line, is_full),
        ..of_row(row, instance)
    }
}

/// Nothing of a body that was not read is known, nor of one that had not ended.
fn known(line: &JournalRecord, is_full: bool) -> Known {
    let is_read = is_full && line.unread.is_empty() && line.end_us.is_some();
    Known {
        sent: is_read || line.sent.is_some(),
        object: is_read || line.object.is_some(),
        bytes: is_full,
    }
}

/// A create has no name in its URL, but for subresources.
fn name<'a>(row: &RowRecord, line: &'a JournalRecord) -> &'a str {
    match &line.object {
        Some(object) if line.name.is_empty() && row.call.verb == "create" => &object.name,
        _ => &line.name,
    }
}

/// What is known of a request by its row alone.
fn of_row(row: &RowRecord, instance: u32) -> Request<'_> {
    Request {
        instance,
        component: &row.component,
        user: &row.user,
        ..Request::bare(&row.call, answer(&row.outcome))
    }
}

fn answer(outcome: &Outcome) -> Answer<'_> {
    match outcome {
        Outcome::Code(code) => Answer::Code(*code),
        Outcome::NoAnswer(reason) => Answer::None(reason),
        Outcome::Other { code, .. } => Answer::None(code),
    }
}

/// The watches that were open as the books were opened, which have no line: one of each row.
fn open_watches(opened: &Snapshot, instance: u32) -> impl Iterator<Item = Request<'_>> {
    let rows = opened.rows.iter();
    let opened = opened.taken.as_microsecond();
    let open = rows
        .filter(|row| row.call.verb == "watch" && row.is_success() && row.answered > row.closed);
    open.map(move |row| Request {
        is_before: true,
        begun: opened,
        answered: opened,
        ..of_row(row, instance)
    })
}
