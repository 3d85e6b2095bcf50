//! A history as OpenMetrics, with the time of each run.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt::Write as _,
};

use jiff::Timestamp;

use super::written::{ExportError, Written};
use record::{HistoryRun, label, number_of};

const FAMILY: &str = "kubetoll_run_value";

/// Labels of a series, in this order.
const NAMES: [&str; 7] = [
    "job",
    "scenario",
    "kubevirt",
    "kubernetes",
    "origin",
    "component",
    "metric",
];

/// One gauge with the samples of all runs. A series has one value at a time: of several runs at the
/// same time only the first is written.
pub(super) fn write(runs: &[HistoryRun], written: &mut Written) -> Result<(), ExportError> {
    let mut series: BTreeMap<[&str; 7], BTreeMap<Timestamp, f64>> = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    for run in runs {
        let components = run
            .components
            .iter()
            .map(|(name, values)| (name.as_str(), values));
        for (component, values) in std::iter::once(("", &run.values)).chain(components) {
            for (metric, value) in values {
                let samples = series.entry(labels(run, component, metric)).or_default();
                match samples.entry(run.at) {
                    Entry::Vacant(entry) => {
                        entry.insert(*value);
                    }
                    Entry::Occupied(_) => {
                        left_out.insert(&run.id);
                    }
                }
            }
        }
    }
    if !left_out.is_empty() {
        let runs = number_of(left_out.len() as u64, "run");
        written.left_out.push(format!(
            "values of {runs} at the time of another run of their series"
        ));
    }
    written.add("history.openmetrics".to_owned(), text(&series).into_bytes())
}

fn labels<'r>(run: &'r HistoryRun, component: &'r str, metric: &'r str) -> [&'r str; 7] {
    [
        run.label(label::JOB),
        run.label(label::SCENARIO),
        run.label(label::KUBEVIRT),
        run.label(label::KUBERNETES),
        run.origin.as_str(),
        component,
        metric,
    ]
}

fn text(series: &BTreeMap<[&str; 7], BTreeMap<Timestamp, f64>>) -> String {
    let mut text = format!(
        "# HELP {FAMILY} A metric of a run, at the time of the run.\n# TYPE {FAMILY} gauge\n"
    );
    for (labels, samples) in series {
        let labels = NAMES
            .iter()
            .zip(labels)
            .filter(|(_, value)| !value.is_empty());
        let labels: Vec<String> = labels
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = labels.join(",");
        for (at, value) in samples {
            let seconds = at.as_millisecond() as f64 / 1000.0;
            let _ = writeln!(text, "{FAMILY}{{{labels}}} {value} {seconds}");
        }
    }
    text.push_str("# EOF\n");
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
