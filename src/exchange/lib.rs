//! What others publish, read into runs of the history, and the history written back in their form.
//!
//! Invariant: pure: bytes come in, runs and files as bytes go out. A metric that a source doesn't
//! have stays absent; an estimate never becomes an exact number.

mod audit;
mod exposition;
mod kube_burner;
mod kubevirt;
mod openmetrics;
mod running;
mod series;
mod tables;
mod write;
mod written;

pub use self::{
    audit::audit_run,
    exposition::{ExpositionError, Sample, samples as exposition_samples},
    kube_burner::{BurnerFile, BurnerRuns, burner_runs},
    kubevirt::{ci_runs, graph_runs, perf_audit_run, scenario_of_file},
    running::NotAllRunning,
    write::{Export, export},
    written::{ExportError, Written},
};

use std::collections::BTreeMap;

use record::{PerfAuditResults, label};

/// What whoever imports knows of the runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Labels for each run; they replace what the source says.
    pub labels: BTreeMap<String, String>,
}

impl Known {
    /// The labels of a run of which the source gives job and scenario.
    fn labels(&self, job: &str, scenario: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (label::JOB.to_owned(), job.to_owned()),
            (label::SCENARIO.to_owned(), scenario.to_owned()),
        ]);
        labels.extend(self.labels.clone());
        labels
    }
}

/// Why a file can't be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON of that kind.
    #[error("it is no {what}: {reason}")]
    Format {
        /// What it should be.
        what: &'static str,
        /// What the parser says is wrong.
        reason: String,
    },
    /// Nothing of it can be read; each file with what is wrong.
    #[error("nothing of it can be read: {0}")]
    Unreadable(String),
    /// It is of that kind, and has no run that could be imported.
    #[error("it has no run")]
    Empty,
}

impl ImportError {
    fn format(what: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |error| Self::Format {
            what,
            reason: error.to_string(),
        }
    }
}

/// The values of perfscale-audit's results without those that it could not estimate.
///
/// Its histogram quantiles are NaN when nothing was observed, and it writes NaN as 0. A P50 of 0 is
/// also what interpolation gives if all fell into the first bucket, but then the P95 is above 0: so
/// where both are 0 all quantiles of that name are missing. A count of 0 is never written.
fn estimates(results: &PerfAuditResults) -> BTreeMap<String, f64> {
    let values = results.values.iter();
    let mut values: BTreeMap<String, f64> = values
        .map(|(name, value)| (name.clone(), value.value))
        .filter(|(_, value)| value.is_finite())
        .collect();
    drop_missing_quantiles(&mut values);
    values
}

/// Takes out the quantiles of each name whose P50 and P95 are 0.
fn drop_missing_quantiles(values: &mut BTreeMap<String, f64>) {
    let is_zero = |name: String| values.get(&name) == Some(&0.0);
    let missing: Vec<String> = values
        .keys()
        .filter_map(|name| name.strip_suffix("SecondsP50"))
        .filter(|name| is_zero(format!("{name}SecondsP50")) && is_zero(format!("{name}SecondsP95")))
        .map(str::to_owned)
        .collect();
    for name in missing {
        for quantile in ["P50", "P95", "P99"] {
            values.remove(&format!("{name}Seconds{quantile}"));
        }
    }
}
