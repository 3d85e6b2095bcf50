//! Which runs of a history.

use std::collections::BTreeMap;

use jiff::Timestamp;

use record::{Origin, label};

/// Which runs; the default takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this job.
    pub job: Option<String>,
    /// Only of this scenario.
    pub scenario: Option<String>,
    /// Only with all of these labels. An empty value takes runs without the label.
    pub labels: BTreeMap<String, String>,
    /// Only at this time or later.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// Only of these origins; all if empty.
    pub origins: Vec<Origin>,
}

impl Filter {
    /// All labels that a run must have, job and scenario among them.
    pub(super) fn wanted(&self) -> BTreeMap<&str, &str> {
        let mut wanted: BTreeMap<&str, &str> = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        wanted.extend(self.job.as_deref().map(|job| (label::JOB, job)));
        let scenario = self.scenario.as_deref();
        wanted.extend(scenario.map(|scenario| (label::SCENARIO, scenario)));
        wanted
    }
}
