//! A run as the history holds it: what it was, and its metrics by name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RunRecord;

/// The schema's name and version.
pub const HISTORY_SCHEMA: &str = "kubetoll.history/1";

/// Labels that Kubetoll itself gives to runs; users may add others.
pub mod label {
    /// The series that a run belongs to, such as a CI job. Runs of different jobs are not compared
    /// unless one asks for it.
    pub const JOB: &str = "job";
    /// `vmi`, `vm`, `instancetype`, or what `measure` was told.
    pub const SCENARIO: &str = "scenario";
    /// KubeVirt's version.
    pub const KUBEVIRT: &str = "kubevirt";
    /// The API server's version.
    pub const KUBERNETES: &str = "kubernetes";
    /// The commit of what was measured.
    pub const COMMIT: &str = "commit";
    /// The machine that it ran on.
    pub const MACHINE: &str = "machine";
}

/// Where the numbers of a run come from. Numbers of different origins are never mixed silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Counted on the wire by Kubetoll's proxies: exact.
    Counted,
    /// The same in a lab with simulated KubeVirt components.
    Simulated,
    /// Counted in kube-apiserver's audit log: exact.
    Audit,
    /// Prometheus's `increase()`: an estimate.
    Estimate,
}

impl Origin {
    /// Whether the numbers are counts and not estimates.
    pub fn is_exact(self) -> bool {
        self != Self::Estimate
    }
}

/// A run in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRun {
    /// Unique in a history. A run of Kubetoll has its own id, an imported one is named after what
    /// it was imported from, so that importing it again changes nothing.
    pub id: String,
    /// When it began; of an imported run, the time that its source gives.
    pub at: Timestamp,
    /// Where the numbers come from.
    pub origin: Origin,
    /// Whether the run's checks of itself held; of an imported run nothing is known, so true.
    pub valid: bool,
    /// What the run was: see [`label`].
    pub labels: BTreeMap<String, String>,
    /// How many objects were created, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// By KubeVirt's names, such as `CREATE-pods-count`. A metric that the run doesn't have is
    /// absent, which is not 0.
    pub values: BTreeMap<String, f64>,
    /// By component and metric, with subresources apart: `virt-controller` ->
    /// `PATCH-pods/status-count`. Empty for runs that were imported without them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, BTreeMap<String, f64>>,
    /// The raw record, if Kubetoll made the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RunRecord>>,
}

impl HistoryRun {
    /// A label's value, empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}
