//! The history as series: runs that can be compared with each other, in order of time.

use std::collections::BTreeMap;

use record::{HistoryRun, Origin, label};

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

/// The runs of each series, oldest first.
pub fn series(runs: &[HistoryRun]) -> BTreeMap<SeriesKey, Vec<&HistoryRun>> {
    let mut series: BTreeMap<SeriesKey, Vec<&HistoryRun>> = BTreeMap::new();
    for run in runs {
        series.entry(SeriesKey::of(run)).or_default().push(run);
    }
    for runs in series.values_mut() {
        runs.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    }
    series
}
