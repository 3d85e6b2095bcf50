//! Text for a terminal.

use std::fmt::Display;

use comfy_table::{CellAlignment, Table, presets};

use super::audit_counts;
use classify::kubevirt::component_of_user;
use record::{
    AuditCount, AuditLog, AuditReport, CallRecord, Difference, Verification, number_of,
    printable_line,
};

/// Stands for the user of a request that was not authenticated.
const NOBODY: &str = "(not authenticated)";

/// Counts of an audit log. Callers have the names of their components, as in the books. With prices the
/// dearest come first.
pub fn audit(report: &AuditReport) -> String {
    let mut text = audit_counts::counts(report);
    if let Some(bill) = &report.bill {
        text = text + "\n" + &audit_counts::callers(report, bill);
    }
    if !report.values.is_empty() {
        text.push_str("\nKubeVirt's components, by KubeVirt's rule:\n");
    }
    for (name, value) in &report.values {
        put_line!(text, "  {name}: {}", value.value);
    }
    log(&mut text, &report.log);
    text
}

/// Caller, verb and resource.
pub(crate) fn row_of(count: &AuditCount) -> [String; 3] {
    let resource = resource(
        &count.group,
        &count.resource,
        &count.subresource,
        &count.path,
    );
    [caller(&count.component), count.verb.clone(), resource]
}

/// The component of a user that called, who may have acted as another.
fn caller(user: &str) -> String {
    let short = |user: &str| match user {
        "" => NOBODY.to_owned(),
        user => component_of_user(user).unwrap_or(user).to_owned(),
    };
    match user.split_once(" as ") {
        Some((user, other)) => format!("{} as {}", short(user), short(other)),
        None => short(user),
    }
}

fn log(text: &mut String, log: &AuditLog) {
    if log.events() == 0 {
        return;
    }
    put_line!(text, "\nThe log has {}", number_of(log.events(), "event"));
    for (stage, count) in &log.stages {
        put_line!(text, "  {count:>6}  {stage}");
    }
    if !log.wrapped.is_empty() {
        text.push_str("Of these were unwrapped\n");
    }
    for (place, count) in &log.wrapped {
        put_line!(text, "  {count:>6}  {place}");
    }
}

/// What it means that an audit log has no event of a stage.
pub fn missing_stage(stage: &str) -> String {
    let what = match stage {
        "ResponseStarted" => {
            "watches, and what else stays open, are counted only if they ended within it"
        }
        _ => "how requests ended is not known, and only those that stay open are counted",
    };
    format!(
        "the log has no event of the stage {stage}: {what}; take {stage} out of omitStages in the \
         API server's audit policy"
    )
}

/// The comparison of a run with an audit log.
pub fn verification(found: &Verification) -> String {
    let how = if found.by_request {
        "request by request"
    } else {
        "by counts"
    };
    let mut text = format!("compared {how}\nequal        {}\n", found.equal);
    let explained: u64 = found.explained.values().sum();
    put_line!(text, "explained    {explained}");
    for (why, count) in &found.explained {
        put_line!(text, "  {count:>6}  {why}");
    }
    put_line!(text, "unexplained  {}", found.unexplained_count);
    for difference in &found.unexplained {
        unexplained(&mut text, difference);
    }
    if !found.not_through_the_proxy.is_empty() {
        text.push_str("not through the proxy:\n");
    }
    for (user, count) in &found.not_through_the_proxy {
        let user = if user.is_empty() { NOBODY } else { user };
        put_line!(text, "  {count:>6}  {user}");
    }
    if !found.overlaps {
        text.push_str("the log has nothing of the time of the run\n");
    }
    text
}

/// Requests that differ in one way, with the audit IDs of some.
fn unexplained(text: &mut String, difference: &Difference) {
    let or_nothing = |side: &str| match side {
        "" => "nothing".to_owned(),
        side => side.to_owned(),
    };
    put_line!(
        text,
        "  {:>6}  {} {}: books {}, log {}",
        difference.count,
        caller(&difference.user),
        call(&difference.call),
        or_nothing(&difference.books),
        or_nothing(&difference.log)
    );
    if let Some((first, last)) = difference.first.zip(difference.last) {
        put!(text, "          {first}");
        if last > first {
            put!(text, " to {last}");
        }
        for (between, id) in ["  ", ", ", ", "].iter().zip(&difference.audit_ids) {
            put!(text, "{between}{id}");
        }
        if difference.count > difference.audit_ids.len() as u64 {
            text.push_str(", …");
        }
        text.push('\n');
    }
}

/// `patch pods/status` or `get /version`.
pub(crate) fn call(call: &CallRecord) -> String {
    let resource = resource(&call.group, &call.resource, &call.subresource, &call.path);
    format!("{} {resource}", call.verb)
}

/// `virtualmachines.kubevirt.io/status`, or the class of a path.
pub(crate) fn resource(group: &str, resource: &str, subresource: &str, path: &str) -> String {
    if resource.is_empty() {
        return path.to_owned();
    }
    let mut text = resource.to_owned();
    if !group.is_empty() {
        put!(text, ".{group}");
    }
    if !subresource.is_empty() {
        put!(text, "/{subresource}");
    }
    text
}

/// Words of a line without its end. A line end that a name has is shown, so that nobody else makes
/// lines of a report; those before the words are the report's own.
pub(crate) fn words(words: std::fmt::Arguments<'_>) -> String {
    let words = words.to_string();
    let own = words.trim_start_matches('\n');
    let before = &words[..words.len() - own.len()];
    format!("{before}{}", printable_line(own))
}

/// A table without borders, as kubectl prints them. A name can't leave its cell.
pub(crate) struct Rows(Table);

pub(crate) fn table(head: &[&str]) -> Rows {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Rows(table)
}

pub(crate) fn align_right(table: &mut Rows, columns: &[usize]) {
    for &column in columns {
        if let Some(column) = table.0.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

impl Rows {
    /// Adds the table to a text, each line behind `indent`.
    pub(crate) fn put(&self, text: &mut String, indent: &str) {
        for line in self.to_string().lines() {
            put_line!(text, "{indent}{}", line.trim_end());
        }
    }

    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item: AsRef<str>>) {
        let cells = cells.into_iter();
        let cells = cells.map(|cell| printable_line(cell.as_ref()).into_owned());
        self.0.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Display for Rows {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
