//! The runs of a history by job and scenario, and their values by metric.

use std::collections::{BTreeMap, BTreeSet};

use super::written::ExportError;
use record::{HistoryRun, Origin, label};

/// Job and scenario of a series; either may be empty.
pub(super) type SeriesKey = (String, String);
/// Runs by job and scenario, each of one origin.
pub(super) type Series<'r> = BTreeMap<SeriesKey, Vec<&'r HistoryRun>>;

/// The runs by job and scenario; a series has one origin, or none is written.
pub(super) fn series(runs: &[HistoryRun]) -> Result<Series<'_>, ExportError> {
    let mut series = Series::new();
    for run in runs {
        let key = (run.label(label::JOB), run.label(label::SCENARIO));
        let key = (key.0.to_owned(), key.1.to_owned());
        series.entry(key).or_default().push(run);
    }
    for ((job, scenario), runs) in &series {
        let origins: BTreeSet<Origin> = runs.iter().map(|run| run.origin).collect();
        if origins.len() > 1 {
            return Err(ExportError::Mixed {
                job: job.clone(),
                scenario: scenario.clone(),
                origins: origins.into_iter().map(Origin::as_str).collect(),
            });
        }
    }
    Ok(series)
}

/// The runs that have a metric, with its value, by metric.
pub(super) fn by_metric<'r>(
    runs: &[&'r HistoryRun],
) -> BTreeMap<&'r str, Vec<(&'r HistoryRun, f64)>> {
    let mut metrics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for run in runs {
        for (metric, value) in &run.values {
            metrics.entry(metric).or_default().push((*run, *value));
        }
    }
    metrics
}
