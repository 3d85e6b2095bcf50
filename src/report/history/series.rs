//! The history as series: runs that can be compared with each other, in order of time.

use std::collections::{BTreeMap, BTreeSet};

use record::{HistoryRun, Origin, label};

/// Between the component and the metric in the name of a component's metric.
const OF_COMPONENT: char = ':';

/// What runs must have in common to be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// The job, empty if its runs have none.
    pub job: String,
    /// The scenario, such as `vmi`.
    pub scenario: String,
    /// Where the numbers come from.
    pub origin: Origin,
    /// How many objects were created.
    pub objects: Option<u64>,
}

impl SeriesKey {
    /// The series that a run belongs to.
    pub fn of(run: &HistoryRun) -> Self {
        Self {
            job: run.label(label::JOB).to_owned(),
            scenario: run.label(label::SCENARIO).to_owned(),
            origin: run.origin,
            objects: run.objects,
        }
    }
}

/// The valid runs of each series, oldest first.
pub fn series(runs: &[HistoryRun]) -> BTreeMap<SeriesKey, Vec<&HistoryRun>> {
    let mut series: BTreeMap<SeriesKey, Vec<&HistoryRun>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.valid) {
        series.entry(SeriesKey::of(run)).or_default().push(run);
    }
    for runs in series.values_mut() {
        runs.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    }
    series
}

/// A metric's value: `PATCH-pods-count`, or `virt-controller:PATCH-pods/status-count`.
pub fn metric(run: &HistoryRun, name: &str) -> Option<f64> {
    let value = match name.split_once(OF_COMPONENT) {
        Some((component, name)) => run.components.get(component)?.get(name),
        None => run.values.get(name),
    };
    value.copied().filter(|value| value.is_finite())
}

/// The names of all metrics that one of the runs has; those of components only if asked for.
pub fn metric_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun>,
    of_components: bool,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for run in runs {
        names.extend(run.values.keys().cloned());
        for (component, metrics) in run.components.iter().filter(|_| of_components) {
            let own = metrics.keys();
            names.extend(own.map(|name| format!("{component}{OF_COMPONENT}{name}")));
        }
    }
    names
}

/// What a user calls a metric: `PATCH-pods` is `PATCH-pods-count`.
pub fn is_named(metric: &str, name: &str) -> bool {
    metric == name || metric.strip_suffix("-count") == Some(name)
}
