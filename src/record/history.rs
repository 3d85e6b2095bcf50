//! A run as the history holds it: what it was, and its metrics by name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FailureReason, RunRecord};

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

    /// Labels that tell what was run and on what: facts of the run itself, which nobody gives it
    /// another value for.
    pub const FACTS: [&str; 2] = [SCENARIO, KUBERNETES];

    /// Longest name of a label, in bytes.
    const NAME_MAX: usize = 63;
    /// Longest value of a label, in bytes.
    const VALUE_MAX: usize = 1024;

    /// Whether a run can carry the label `name` with `value`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn check(name: &str, value: &str) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
            return Err(format!(
                "a label's name has letters, digits, '-', '_', '.' and '/', at most {NAME_MAX}: {name:?}"
            ));
        }
        if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
            return Err(format!(
                "the value of label {name} is longer than {VALUE_MAX} bytes or has a control character"
            ));
        }
        Ok(())
    }
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
    /// Whether Kubetoll itself made the run, which then has a record.
    pub fn is_own(self) -> bool {
        matches!(self, Self::Counted | Self::Simulated)
    }

    /// Whether the numbers are counts and not estimates.
    pub fn is_exact(self) -> bool {
        self != Self::Estimate
    }

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Simulated => "simulated",
            Self::Audit => "audit",
            Self::Estimate => "estimate",
        }
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
    /// Whether the run's checks of itself held. An imported run is valid unless its source says that
    /// something failed in it, or could not be read as a whole.
    pub valid: bool,
    /// Why the run ended early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReason>,
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
    /// What its calls cost, if Kubetoll made the run and could price it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<RunCost>,
    /// The raw record, if Kubetoll made the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RunRecord>>,
}

impl HistoryRun {
    /// A label's value, empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// A copy without the raw record.
    pub fn without_record(&self) -> Self {
        Self {
            id: self.id.clone(),
            at: self.at,
            origin: self.origin,
            valid: self.valid,
            failure: self.failure,
            labels: self.labels.clone(),
            objects: self.objects,
            values: self.values.clone(),
            components: self.components.clone(),
            cost: self.cost.clone(),
            record: None,
        }
    }
}

/// What the calls of a run cost an API server, in tolls, by the price list that Kubetoll comes with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCost {
    /// Which list that was: [`PriceList::name`](super::PriceList::name). Costs by different lists are
    /// not compared.
    pub list: String,
    /// Of all calls of the books that have a price there.
    pub tolls: f64,
    /// Calls without a price, which are in no cost.
    pub unpriced_calls: u64,
    /// What the calls of each of [`HistoryRun::values`] cost, where they have a price.
    pub values: BTreeMap<String, f64>,
    /// The same of [`HistoryRun::components`].
    pub components: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A change in the history that somebody knows about: it is not reported again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The job of the series, empty if its runs have none.
    pub job: String,
    /// The scenario of the series.
    pub scenario: String,
    /// The metric; one of a component is `COMPONENT:METRIC`.
    pub metric: String,
    /// The time of the first run after the change.
    pub at: Timestamp,
}

/// What became of runs that were to be added to a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Runs that are in the history now and were not before.
    pub new: u64,
    /// Runs that were there already.
    pub known: u64,
    /// Runs that were there and have been removed; they stay so.
    pub removed: u64,
    /// Ids of runs that are there with other content, and were left as they are.
    pub conflicts: Vec<String>,
    /// Runs that can't be stored, each with the reason.
    pub refused: Vec<String>,
    /// Ids of runs that were there already with other labels, which stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_labels: Vec<String>,
}

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The runs that could be read.
    #[serde(flatten)]
    pub runs: Tally,
    /// Files that could not be, or not to their end, each with the reason.
    pub skipped: Vec<String>,
    /// What was left out of files that could be read, each with the reason.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Runs that are in the history and not valid, each with the reason.
    #[serde(default)]
    pub not_valid: Vec<String>,
}

impl ImportReport {
    /// Whether all runs that were given are in the history now, or were there before.
    pub fn is_complete(&self) -> bool {
        let runs = &self.runs;
        self.skipped.is_empty() && runs.conflicts.is_empty() && runs.refused.is_empty()
    }
}

/// What a check of a whole history found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Runs, removed ones too.
    pub runs: u64,
    /// Of these, removed ones.
    pub removed: u64,
    /// What is wrong, one line each.
    pub damage: Vec<String>,
}

/// What the names of metrics of findings begin with.
pub const FINDING_METRICS: &str = "why:";

/// The name of a component's metric in [`HistoryRun::components`]: kube-apiserver's verb in capitals,
/// resource and subresource, or the class of the path of a non-resource request.
pub fn component_metric(verb: &str, resource: &str, subresource: &str, path: &str) -> String {
    format!("{}-count", call_name(verb, resource, subresource, path))
}

/// What a call is called: `UPDATE-virtualmachines/status`, or verb and class of the path.
pub fn call_name(verb: &str, resource: &str, subresource: &str, path: &str) -> String {
    let verb = verb.to_uppercase();
    match (resource, subresource) {
        ("", _) => format!("{verb}-{path}"),
        (_, "") => format!("{verb}-{resource}"),
        _ => format!("{verb}-{resource}/{subresource}"),
    }
}
