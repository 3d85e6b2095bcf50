//! Rows of a run as a table: which first, and how many.

use std::cmp::Ordering;

use crate::{
    number::bytes,
    text::{align_right, resource},
};
use record::{ResultRow, Took};

/// What of a run's rows is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// What comes first.
    pub by: RowOrder,
    /// How many rows of a table; all if `None`.
    pub top: Option<usize>,
}

/// The order of a table's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowOrder {
    /// What was called most often.
    #[default]
    Count,
    /// What moved most bytes.
    Bytes,
    /// What was waited for longest, all calls of the row together.
    Time,
    /// What cost the API server most; what has no price comes last.
    Cost,
    /// By component, verb and resource.
    Name,
}

const TITLES: [&str; 10] = [
    "COMPONENT",
    "VERB",
    "RESOURCE",
    "CODE",
    "COUNT",
    "PER OBJECT",
    "BYTES",
    "MEAN TIME",
    "API SERVER CPU",
    "",
];
/// Where a row's calls for each object stand in a table.
const PER_OBJECT: usize = 5;
/// Where its cost stands.
const COST: usize = 8;

/// A table with a title; nothing if there are no rows. Bytes and times are left out where calls of
/// one row of the books stand in two tables, calls for each object where there are no `objects`, and
/// costs where no row has a price.
pub(super) fn table<'r>(
    text: &mut String,
    title: &str,
    rows: impl Iterator<Item = &'r ResultRow>,
    objects: usize,
    shown: Shown,
) {
    let mut rows: Vec<&ResultRow> = rows.collect();
    if rows.is_empty() {
        return;
    }
    put_line!(text, "\n{title}");
    rows.sort_by(|one, other| order(one, other, shown.by));
    let top = shown.top.unwrap_or(rows.len()).min(rows.len());
    let is_priced = rows.iter().any(|row| row.cost_cpu_us.is_some());
    let shown_columns = |column: &usize| match *column {
        PER_OBJECT => objects > 0,
        COST => is_priced,
        _ => true,
    };
    let columns: Vec<usize> = (0..TITLES.len()).filter(shown_columns).collect();
    let titles: Vec<&str> = columns.iter().map(|&column| TITLES[column]).collect();
    let mut table = crate::text::table(&titles);
    for row in &rows[..top] {
        let cells = cells(row);
        table.add_row(columns.iter().map(|&column| &*cells[column]));
    }
    let numbers: Vec<usize> = (3..titles.len() - 1).collect();
    align_right(&mut table, &numbers);
    table.put(text, "  ");
    if top < rows.len() {
        let rest: u64 = rows[top..].iter().map(|row| row.count).sum();
        put_line!(
            text,
            "  and {} rows more with {rest} calls",
            rows.len() - top
        );
    }
    let all: u64 = rows.iter().map(|row| row.count).sum();
    let per_object: f64 = rows.iter().map(|row| row.per_object).sum();
    let s = if all == 1 { "" } else { "s" };
    // Of one object that would say the same again.
    if objects <= 1 {
        put_line!(text, "  {all} call{s}");
    } else {
        put_line!(text, "  {all} call{s}, {per_object:.2} per object");
    }
}

/// Names decide between equals, so that a run always looks the same.
fn order(one: &ResultRow, other: &ResultRow, by: RowOrder) -> Ordering {
    let took = |row: &ResultRow| row.took.unwrap_or_default();
    let bytes = |row: &ResultRow| took(row).request_bytes + took(row).response_bytes;
    let seconds = |row: &ResultRow| took(row).seconds_to_head;
    let cost = |row: &ResultRow| row.cost_cpu_us.unwrap_or_default();
    let most_first = match by {
        RowOrder::Count => other.count.cmp(&one.count),
        RowOrder::Bytes => bytes(other).cmp(&bytes(one)),
        RowOrder::Time => seconds(other).total_cmp(&seconds(one)),
        RowOrder::Cost => cost(other).total_cmp(&cost(one)),
        RowOrder::Name => Ordering::Equal,
    };
    let name = |row: &ResultRow| (row.component.clone(), row.call.clone(), row.outcome.clone());
    most_first.then_with(|| name(one).cmp(&name(other)))
}

fn cells(row: &ResultRow) -> [String; 10] {
    let mut notes = Vec::new();
    if row.wasted {
        notes.push("wasted");
    }
    if row.assumed {
        notes.push("assumed");
    }
    let moved = |took: Took| bytes((took.request_bytes + took.response_bytes) as f64);
    let mean = |took: Took| format!("{:.1} ms", 1e3 * took.seconds_to_head / row.count as f64);
    [
        row.component.clone(),
        row.call.verb.clone(),
        resource_of(row),
        row.outcome.to_string(),
        row.count.to_string(),
        format!("{:.2}", row.per_object),
        row.took.map_or_else(String::new, moved),
        row.took.map_or_else(String::new, mean),
        row.cost_cpu_us.map_or_else(String::new, milliseconds),
        notes.join(", "),
    ]
}

/// `12.3 ms`.
pub(super) fn milliseconds(us: f64) -> String {
    format!("{:.1} ms", us / 1e3)
}

pub(super) fn resource_of(row: &ResultRow) -> String {
    let call = &row.call;
    resource(&call.group, &call.resource, &call.subresource, &call.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Outcome, Share};

    fn row(resource: &str, count: u64, bytes: Option<u64>, seconds: f64) -> ResultRow {
        ResultRow {
            share: Share::Workload,
            component: "virt-controller".to_owned(),
            call: CallRecord {
                verb: "patch".to_owned(),
                resource: resource.to_owned(),
                ..CallRecord::default()
            },
            outcome: Outcome::Code(200),
            count,
            per_object: count as f64 / 100.0,
            wasted: resource == "nodes",
            assumed: false,
            took: bytes.map(|request_bytes| Took {
                request_bytes,
                response_bytes: 0,
                seconds_to_head: seconds,
            }),
            cost_cpu_us: None,
            cost_tolls: None,
        }
    }

    fn shown(by: RowOrder, top: Option<usize>) -> String {
        let rows = [
            row("pods", 100, Some(2_000), 0.5),
            row("events", 300, Some(1_000), 0.3),
            row("nodes", 100, None, 0.0),
        ];
        let mut text = String::new();
        table(&mut text, "Calls", rows.iter(), 100, Shown { by, top });
        text
    }

    #[test]
    fn the_most_expensive_rows_come_first_and_what_is_cut_is_said() {
        insta::assert_snapshot!(shown(RowOrder::Count, None), @r"
        Calls
          COMPONENT        VERB   RESOURCE  CODE  COUNT  PER OBJECT   BYTES  MEAN TIME
          virt-controller  patch  events     200    300        3.00  1.0 kB     1.0 ms
          virt-controller  patch  nodes      200    100        1.00                     wasted
          virt-controller  patch  pods       200    100        1.00  2.0 kB     5.0 ms
          500 calls, 5.00 per object
        ");
        insta::assert_snapshot!(shown(RowOrder::Bytes, Some(1)), @r"
        Calls
          COMPONENT        VERB   RESOURCE  CODE  COUNT  PER OBJECT   BYTES  MEAN TIME
          virt-controller  patch  pods       200    100        1.00  2.0 kB     5.0 ms
          and 2 rows more with 400 calls
          500 calls, 5.00 per object
        ");
        let first = |by| shown(by, None).lines().nth(3).unwrap().to_owned();
        assert!(first(RowOrder::Time).contains(" pods "));
        assert!(first(RowOrder::Name).contains(" events "));
    }
}
