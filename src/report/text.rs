//! Text for a terminal.

use std::fmt::Display;

use comfy_table::{CellAlignment, Table, presets};

use record::{AuditReport, CallRecord, Verification, printable_line};

/// Counts of an audit log.
pub fn audit(report: &AuditReport) -> String {
    let mut table = table(&["COMPONENT", "VERB", "RESOURCE", "CODE", "COUNT"]);
    for count in &report.counts {
        let resource = resource(
            &count.group,
            &count.resource,
            &count.subresource,
            &count.path,
        );
        table.add_row([
            count.component.clone(),
            count.verb.clone(),
            resource,
            count.code.to_string(),
            count.count.to_string(),
        ]);
    }
    align_right(&mut table, &[3, 4]);
    let mut text = format!("{table}\n");
    if !report.values.is_empty() {
        text.push_str("\nKubeVirt's components, by KubeVirt's rule:\n");
    }
    for (name, value) in &report.values {
        put_line!(text, "  {name}: {}", value.value);
    }
    text
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
        put_line!(
            text,
            "  {:>6}  {} {}: books {:?}, log {:?}",
            difference.count,
            difference.user,
            call(&difference.call),
            difference.books,
            difference.log
        );
    }
    if !found.not_through_the_proxy.is_empty() {
        text.push_str("not through the proxy:\n");
    }
    for (user, count) in &found.not_through_the_proxy {
        let user = if user.is_empty() {
            "(not authenticated)"
        } else {
            user
        };
        put_line!(text, "  {count:>6}  {user}");
    }
    if !found.overlaps {
        text.push_str("the log has nothing of the time of the run\n");
    }
    text
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
