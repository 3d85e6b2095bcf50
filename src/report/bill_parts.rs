//! What a bill is made of: who called, what was called, and what the API server did besides.

use std::collections::BTreeMap;

use crate::text::call;
use record::{Bill, BillParts, ResultRow};

/// How many parts have names of their own; the others are one.
const NAMED: usize = 5;

/// A part of a whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// In tolls, or in seconds of CPU; more than nothing.
    pub(crate) value: f64,
    /// Whether nothing tells what it was for.
    pub(crate) is_unexplained: bool,
}

impl Part {
    fn new(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            value,
            is_unexplained: false,
        }
    }
}

/// Tolls by component, the dearest first; calls without a price are in none.
pub(crate) fn by_component(rows: &[ResultRow]) -> Vec<Part> {
    by(rows, |row| row.component.clone())
}

/// Tolls by call, whoever made it, the dearest first.
pub(crate) fn by_call(rows: &[ResultRow]) -> Vec<Part> {
    by(rows, |row| call(&row.call))
}

fn by(rows: &[ResultRow], name: impl Fn(&ResultRow) -> String) -> Vec<Part> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for row in rows {
        if let Some(tolls) = row.cost_tolls.filter(|tolls| *tolls > 0.0) {
            *sums.entry(name(row)).or_default() += tolls;
        }
    }
    let parts = sums.into_iter().map(|(name, sum)| Part::new(name, sum));
    let mut parts: Vec<Part> = parts.collect();
    parts.sort_by(|one, other| other.value.total_cmp(&one.value));
    if parts.len() > NAMED + 1 {
        let others = parts.split_off(NAMED);
        let sum = others.iter().map(|part| part.value).sum();
        parts.push(Part::new(format!("{} others", others.len()), sum));
    }
    parts
}

/// What the API server did, in seconds of CPU; nothing where that has no price.
pub(crate) fn purposes(parts: &BillParts) -> [(&'static str, Option<f64>); 5] {
    [
        ("calls", Some(parts.calls)),
        ("webhooks", parts.webhooks),
        ("watch events", parts.watch_events),
        ("others' calls", parts.others),
        ("baseline", Some(parts.baseline)),
    ]
}

/// Seconds of CPU that the API server took, by what for, where that was measured. What is without a
/// price is in the unexplained rest, which is there if less is explained than was measured.
pub(crate) fn by_purpose(bill: &Bill) -> Option<Vec<Part>> {
    let measured = bill.measured_cpu_seconds?;
    let known = purposes(&bill.parts);
    let known = known.map(|(name, seconds)| Part::new(name, seconds.unwrap_or_default()));
    let rest = Part {
        is_unexplained: true,
        ..Part::new("unexplained", measured - bill.explained_cpu_seconds)
    };
    let all = known.into_iter().chain([rest]);
    Some(all.filter(|part| part.value > 0.0).collect())
}

/// All parts together.
pub(crate) fn whole(parts: &[Part]) -> f64 {
    parts.iter().map(|part| part.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Outcome, Share};

    fn row(component: &str, cost_tolls: Option<f64>) -> ResultRow {
        ResultRow {
            share: Share::Workload,
            component: component.to_owned(),
            call: CallRecord {
                verb: "get".to_owned(),
                resource: "pods".to_owned(),
                ..CallRecord::default()
            },
            outcome: Outcome::Code(200),
            count: 1,
            per_object: 0.0,
            wasted: false,
            assumed: false,
            took: None,
            cost_cpu_us: cost_tolls.map(|tolls| tolls * 1e3),
            cost_tolls,
        }
    }

    fn shown(parts: &[Part]) -> Vec<String> {
        let parts = parts.iter();
        parts
            .map(|part| format!("{} {:.2}", part.name, part.value))
            .collect()
    }

    #[test]
    fn the_dearest_parts_have_names_and_nothing_is_lost() {
        let costs = (0..8).map(|number| row(&format!("c{number}"), Some(f64::from(number))));
        let rows: Vec<ResultRow> = costs
            .chain([row("c7", Some(1.0)), row("d", None)])
            .collect();
        let parts = by_component(&rows);
        assert_eq!(
            shown(&parts),
            [
                "c7 8.00",
                "c6 6.00",
                "c5 5.00",
                "c4 4.00",
                "c3 3.00",
                "2 others 3.00"
            ]
        );
        assert_eq!(whole(&parts), 29.0);
        assert_eq!(shown(&by_call(&rows)), ["get pods 29.00"]);
    }

    #[test]
    fn what_is_unexplained_is_a_part_of_its_own() {
        let bill = |measured| Bill {
            measured_cpu_seconds: measured,
            explained_cpu_seconds: 3.0,
            parts: BillParts {
                calls: 2.0,
                webhooks: Some(0.0),
                watch_events: None,
                others: Some(0.75),
                baseline: 0.25,
            },
            ..Bill::default()
        };
        assert_eq!(by_purpose(&bill(None)), None);
        let more = by_purpose(&bill(Some(4.0))).unwrap();
        let explained = ["calls 2.00", "others' calls 0.75", "baseline 0.25"];
        assert_eq!(shown(&more[..3]), explained);
        assert_eq!(shown(&more[3..]), ["unexplained 1.00"]);
        assert!(more[3].is_unexplained && !more[0].is_unexplained);
        // A list of a slower machine explains more than there was.
        assert_eq!(shown(&by_purpose(&bill(Some(2.5))).unwrap()), explained);
    }
}
