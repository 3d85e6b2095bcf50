//! Rows of a run as a table: which first, and how many.

use std::cmp::Ordering;

use crate::{
    number::{bytes, share, tolls},
    text::{align_right, resource},
};
use record::{ResultRow, Took, number_of};

/// What of a run's rows is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// What comes first.
    pub by: RowOrder,
    /// How many rows of a table; all if `None`.
    pub top: Option<usize>,
    /// Whether the bill is drawn, for a terminal.
    pub bar: bool,
}

/// The order of a table's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowOrder {
    /// What cost the API server most; what has no price comes last, what was called most often first.
    #[default]
    Cost,
    /// What was called most often.
    Count,
    /// What moved most bytes.
    Bytes,
    /// What was waited for longest, all calls of the row together.
    Time,
    /// By component, verb and resource.
    Name,
}

/// What the rows of several tables are parts of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// The run's objects; 0 if it made none.
    pub(super) objects: usize,
    /// What all calls cost, in tolls; 0 if nothing has a price.
    pub(super) tolls: f64,
}

impl Whole {
    /// All of these rows.
    pub(super) fn of(rows: &[ResultRow], objects: usize) -> Self {
        let tolls = sum_of_tolls(rows.iter());
        Self { objects, tolls }
    }
}

/// What rows cost, as far as they have prices.
pub(super) fn sum_of_tolls<'r>(rows: impl Iterator<Item = &'r ResultRow>) -> f64 {
    // The sum of nothing is -0.
    rows.filter_map(|row| row.cost_tolls).sum::<f64>() + 0.0
}

const TITLES: [&str; 11] = [
    "COMPONENT",
    "VERB",
    "RESOURCE",
    "CODE",
    "COUNT",
    "PER OBJECT",
    "BYTES",
    "MEAN TIME",
    "TOLLS",
    "SHARE",
    "",
];
/// Where a row's calls for each object stand in a table.
const PER_OBJECT: usize = 5;
/// Where its tolls stand, of which those for each object are shown where there are some.
const TOLLS: usize = 8;
const TOLLS_PER_OBJECT: &str = "TOLLS/OBJECT";
/// Where its share of what all calls cost stands.
const SHARE: usize = 9;

/// A table with a title; nothing if there are no rows. Bytes and times are left out where calls of
/// one row of the books stand in two tables, calls for each object where there are no objects, and
/// costs where nothing has a price.
pub(super) fn table<'r>(
    text: &mut String,
    title: &str,
    rows: impl Iterator<Item = &'r ResultRow>,
    whole: Whole,
    shown: Shown,
) {
    let mut rows: Vec<&ResultRow> = rows.collect();
    if rows.is_empty() {
        return;
    }
    put_line!(text, "\n{title}");
    rows.sort_by(|one, other| order(one, other, shown.by));
    let top = shown.top.unwrap_or(rows.len()).min(rows.len());
    let shown_columns = |column: &usize| match *column {
        PER_OBJECT => whole.objects > 0,
        TOLLS | SHARE => whole.tolls > 0.0,
        _ => true,
    };
    let columns: Vec<usize> = (0..TITLES.len()).filter(shown_columns).collect();
    let title = |column: usize| match column {
        TOLLS if whole.objects > 0 => TOLLS_PER_OBJECT,
        column => TITLES[column],
    };
    let titles: Vec<&str> = columns.iter().map(|&column| title(column)).collect();
    let mut table = crate::text::table(&titles);
    for row in &rows[..top] {
        let cells = cells(row, whole);
        table.add_row(columns.iter().map(|&column| &*cells[column]));
    }
    let numbers: Vec<usize> = (3..titles.len() - 1).collect();
    align_right(&mut table, &numbers);
    table.put(text, "  ");
    if top < rows.len() {
        let rest: u64 = rows[top..].iter().map(|row| row.count).sum();
        put_line!(
            text,
            "  and {} more with {}",
            number_of((rows.len() - top) as u64, "row"),
            number_of(rest, "call")
        );
    }
    sum(text, &rows, whole);
}

/// All rows of a table in a line.
fn sum(text: &mut String, rows: &[&ResultRow], whole: Whole) {
    let all: u64 = rows.iter().map(|row| row.count).sum();
    let per_object: f64 = rows.iter().map(|row| row.per_object).sum();
    let s = if all == 1 { "" } else { "s" };
    put!(text, "  {all} call{s}");
    // Of one object that would say the same again.
    if whole.objects > 1 {
        put!(text, ", {per_object:.2} per object");
    }
    let cost = sum_of_tolls(rows.iter().copied());
    if cost > 0.0 {
        put!(text, "; {} tolls", tolls(cost));
        if whole.objects > 1 {
            put!(text, ", {} per object", tolls(cost / whole.objects as f64));
        }
    }
    text.push('\n');
}

/// Names decide between equals, so that a run always looks the same.
fn order(one: &ResultRow, other: &ResultRow, by: RowOrder) -> Ordering {
    let took = |row: &ResultRow| row.took.unwrap_or_default();
    let bytes = |row: &ResultRow| took(row).request_bytes + took(row).response_bytes;
    let seconds = |row: &ResultRow| took(row).seconds_to_head;
    let cost = |row: &ResultRow| row.cost_cpu_us.unwrap_or(f64::NEG_INFINITY);
    let by_count = other.count.cmp(&one.count);
    let most_first = match by {
        RowOrder::Cost => cost(other).total_cmp(&cost(one)).then(by_count),
        RowOrder::Count => by_count,
        RowOrder::Bytes => bytes(other).cmp(&bytes(one)),
        RowOrder::Time => seconds(other).total_cmp(&seconds(one)),
        RowOrder::Name => Ordering::Equal,
    };
    let name = |row: &ResultRow| (row.component.clone(), row.call.clone(), row.outcome.clone());
    most_first.then_with(|| name(one).cmp(&name(other)))
}

fn cells(row: &ResultRow, whole: Whole) -> [String; 11] {
    let mut notes = Vec::new();
    if row.wasted {
        notes.push("wasted");
    }
    if row.assumed {
        notes.push("assumed");
    }
    let moved = |took: Took| bytes((took.request_bytes + took.response_bytes) as f64);
    let mean = |took: Took| format!("{:.1} ms", 1e3 * took.seconds_to_head / row.count as f64);
    let each = |cost: f64| match whole.objects {
        0 => format!("{cost:.1}"),
        objects => format!("{:.2}", cost / objects as f64),
    };
    let of_all = |cost: f64| share(cost, whole.tolls);
    [
        row.component.clone(),
        row.call.verb.clone(),
        resource_of(row),
        row.outcome.to_string(),
        row.count.to_string(),
        format!("{:.2}", row.per_object),
        row.took.map_or_else(String::new, moved),
        row.took.map_or_else(String::new, mean),
        row.cost_tolls.map_or_else(String::new, each),
        row.cost_tolls.map_or_else(String::new, of_all),
        notes.join(", "),
    ]
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
        let whole = Whole::of(&rows, 100);
        table(
            &mut text,
            "Calls",
            rows.iter(),
            whole,
            Shown {
                by,
                top,
                bar: false,
            },
        );
        text
    }

    fn priced(resource: &str, count: u64, cost: Option<f64>) -> ResultRow {
        ResultRow {
            cost_cpu_us: cost.map(|tolls| tolls * 1_000.0),
            cost_tolls: cost,
            ..row(resource, count, None, 0.0)
        }
    }

    #[test]
    fn the_dearest_rows_come_first_and_those_without_a_price_last() {
        let rows = [
            priced("leases", 900, None),
            priced("events", 300, Some(250.0)),
            priced("pods", 100, Some(750.0)),
            priced("nodes", 1_000, None),
        ];
        let shown = |objects| {
            let (mut text, whole) = (String::new(), Whole::of(&rows, objects));
            table(&mut text, "Calls", rows.iter(), whole, Shown::default());
            text
        };
        insta::assert_snapshot!(shown(100), @r"
        Calls
          COMPONENT        VERB   RESOURCE  CODE  COUNT  PER OBJECT  BYTES  MEAN TIME  TOLLS/OBJECT   SHARE
          virt-controller  patch  pods       200    100        1.00                            7.50  75.0 %
          virt-controller  patch  events     200    300        3.00                            2.50  25.0 %
          virt-controller  patch  nodes      200   1000       10.00                                          wasted
          virt-controller  patch  leases     200    900        9.00
          2300 calls, 23.00 per object; 1,000 tolls, 10 per object
        ");
        insta::assert_snapshot!(shown(0), @r"
        Calls
          COMPONENT        VERB   RESOURCE  CODE  COUNT  BYTES  MEAN TIME  TOLLS   SHARE
          virt-controller  patch  pods       200    100                    750.0  75.0 %
          virt-controller  patch  events     200    300                    250.0  25.0 %
          virt-controller  patch  nodes      200   1000                                   wasted
          virt-controller  patch  leases     200    900
          2300 calls; 1,000 tolls
        ");
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
