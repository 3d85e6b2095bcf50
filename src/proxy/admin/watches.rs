//! The events of watches as metrics.

use std::collections::{BTreeMap, HashMap};

use prometheus::proto::MetricFamily;

use super::family::{counter, counter_family};
use ledger::{RowCount, Snapshot, WatchCount};

/// Component, group, version, resource; and the type of event, or why there is none.
type Series = BTreeMap<[String; 5], u64>;

/// The events that watches have delivered, by type.
pub(super) fn events(books: &Snapshot) -> MetricFamily {
    let series = series(books, |count| {
        let types = count.events.by_type().into_iter();
        types.filter(|(_, count)| *count > 0).collect()
    });
    family(
        "kubetoll_watch_events_total",
        "Events that watches have delivered, where they could be read.",
        "type",
        &series,
    )
}

/// The watches whose events could not be read, by the reason.
pub(super) fn unread(books: &Snapshot) -> MetricFamily {
    let series = series(books, |count| {
        let unread = count.unread.iter();
        unread.map(|(why, count)| (why.as_str(), *count)).collect()
    });
    family(
        "kubetoll_watches_unread_total",
        "Watches whose events could not be read, or not all of them.",
        "reason",
        &series,
    )
}

fn series(books: &Snapshot, of: impl Fn(&WatchCount) -> Vec<(&'static str, u64)>) -> Series {
    let rows: HashMap<u32, &RowCount> = books.rows.iter().map(|row| (row.id, row)).collect();
    let mut series = Series::new();
    for count in &books.events {
        let Some(row) = rows.get(&count.row) else {
            continue;
        };
        let name = row.name();
        let resource = if name.is_overflow() {
            "overflow"
        } else {
            name.resource
        };
        for (what, count) in of(count) {
            let key = [&row.component, name.group, name.version, resource, what];
            *series.entry(key.map(str::to_owned)).or_default() += count;
        }
    }
    series
}

fn family(name: &str, help: &str, last: &str, series: &Series) -> MetricFamily {
    let metrics = series.iter().map(|(key, count)| {
        let [component, group, version, resource, what] = key.each_ref().map(String::as_str);
        let labels = [
            ("component", component),
            ("group", group),
            ("version", version),
            ("resource", resource),
            (last, what),
        ];
        counter(&labels, *count)
    });
    counter_family(name, help, metrics.collect())
}
