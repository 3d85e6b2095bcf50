//! What a density run is to do.

use std::{collections::BTreeMap, time::Duration};

use crate::workload::Spec;

/// A density run as it was asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The scenario, and where its objects may run.
    pub spec: Spec,
    /// How many objects are created.
    pub count: usize,
    /// Pause after each create.
    pub pause: Duration,
    /// Longest wait for all to be Running.
    pub timeout: Duration,
    /// How long the namespace must be silent before the books are closed.
    pub settle: Duration,
    /// Length of the window before the run in which nothing is created.
    pub baseline: Duration,
    /// The namespace to use; otherwise one is made and removed again.
    pub namespace: Option<String>,
    /// Leaves the objects where they are.
    pub keep: bool,
    /// Creates and deletes one object first.
    pub primer: bool,
    /// Lets the proxies keep a line of each request.
    pub journal: bool,
    /// Whether KubeVirt is simulated.
    pub simulated: bool,
    /// More of what was asked for, for the record.
    pub configuration: BTreeMap<String, String>,
}

impl Plan {
    /// What was asked for, by name, as a run's record has it.
    pub(super) fn recorded(&self) -> BTreeMap<String, String> {
        let mut recorded = self.configuration.clone();
        let asked = [
            ("count", self.count.to_string()),
            ("pause_ms", self.pause.as_millis().to_string()),
            ("baseline_ms", self.baseline.as_millis().to_string()),
            ("settle_ms", self.settle.as_millis().to_string()),
            ("timeout_s", self.timeout.as_secs().to_string()),
            ("kwok", self.spec.kwok.to_string()),
            ("primer", self.primer.to_string()),
        ];
        recorded.extend(asked.map(|(name, value)| (name.to_owned(), value)));
        recorded
    }
}
