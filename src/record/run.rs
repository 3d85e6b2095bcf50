//! The record of a run: everything raw, so that it can be evaluated again years later.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ApiServerUsage, ClientRecord, Crosscheck, JournalRecord, ObjectRecord, RowRecord,
    RunDetailRecord, RunFailure, Snapshot,
};

/// The schema's name and version.
pub const RUN_SCHEMA: &str = "kubetoll.run/1";

/// The name of the check that compares a run's books with the API server's own log.
pub const AUDIT_CHECK: &str = "the API server's own log agrees, request by request";

/// The same of a run without audit IDs.
pub const AUDIT_COUNT_CHECK: &str = "the API server's own log agrees, count by count";

/// The name of the check that no failed run passes.
pub const ENDED_CHECK: &str = "the run came to its end";

/// A run of a workload, or of a command: its books, its objects and its checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// `kubetoll.run/1`.
    pub schema: String,
    /// The run's id, also the label on its objects.
    pub id: String,
    /// What was run: `vmi`, `vm`, `instancetype`, or what `measure` was told.
    pub scenario: String,
    /// Whether KubeVirt was simulated.
    pub simulated: bool,
    /// Kubetoll's version.
    pub kubetoll_version: String,
    /// When the run began, before the preflight.
    pub started: Timestamp,
    /// When it was over, after the clean-up.
    pub finished: Timestamp,
    /// Where it took place.
    pub cluster: ClusterRecord,
    /// What was asked for.
    pub configuration: BTreeMap<String, String>,
    /// The books of each proxy that took part, before and after.
    pub proxies: Vec<ProxyRun>,
    /// The run's objects in the order of their creation.
    pub objects: Vec<ObjectTimes>,
    /// The driver's own calls, never part of any count above.
    pub driver: Vec<DriverCall>,
    /// The run's checks of itself.
    pub checks: Vec<Check>,
    /// The components' own metrics while the books were open, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crosscheck: Option<Crosscheck>,
    /// What the API server did and took while the books were open, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServerUsage>,
    /// The command that the run was made around, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandRecord>,
    /// Why the run ended early, if it did; it is not valid then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
}

/// A command that a run was made around. Its arguments may be secrets, and are not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The program's name, without its folder.
    pub program: String,
    /// How many arguments it had.
    pub arguments: u64,
    /// How long it ran.
    pub seconds: f64,
    /// What it knew of the API server's resources when it began, if its cache was ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryRecord>,
}

/// A command's discovery: its client asks the API server which resources there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryRecord {
    /// Whether the command began with what the user's own cache held.
    pub warm: bool,
    /// How many of the calls were for `/api`, `/apis` and what is below.
    pub calls: u64,
}

/// Where a run took place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The API server's URL.
    pub server: String,
    /// The kubeconfig's context, if there was one.
    pub context: String,
    /// The namespace of the run's objects.
    pub namespace: String,
    /// `gitVersion` of the API server.
    pub kubernetes_version: String,
    /// KubeVirt's version, empty if there is none.
    pub kubevirt_version: String,
}

/// One proxy's books around a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyRun {
    /// URL of its admin port.
    pub admin: String,
    /// The pod that it is in, if it was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRecord>,
    /// The books at the beginning of the baseline window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Snapshot>,
    /// The books when the run was opened.
    pub opened: Snapshot,
    /// The books when the run was closed, and the run's detail.
    pub closed: RunDetailRecord,
    /// What was counted between the two; rows without a request are left out.
    pub difference: Vec<RowRecord>,
    /// What was counted while the run's objects were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// The pod of a proxy that was found on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// KubeVirt's component, such as `virt-handler`.
    pub component: String,
    /// The pod's namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod: another one means that the pod was replaced.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// When the kubelet started the proxy's container, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// How often the kubelet restarted that container.
    pub restarts: u64,
    /// How its admin port was reached: `pod-network`, `port-forward` or `api-server`.
    pub via: String,
}

/// The books of the deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// The books when everything was gone.
    pub closed: Snapshot,
    /// Counted since the deletion began.
    pub difference: Vec<RowRecord>,
    /// By row and object.
    pub objects: Vec<ObjectRecord>,
    /// One line per request, if the run kept a journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<JournalRecord>,
    /// The programs that the journal's lines name by their place here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRecord>,
}

/// The times of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectTimes {
    /// Name of the VMI.
    pub name: String,
    /// UID of the VMI.
    pub uid: String,
    /// When the driver sent the create.
    pub create_sent: Timestamp,
    /// How long the create took, in milliseconds.
    pub create_ms: f64,
    /// The VMI's creationTimestamp.
    pub created: Option<Timestamp>,
    /// When the driver saw the phase Running.
    pub running_seen: Option<Timestamp>,
    /// `status.phaseTransitionTimestamps` of the VMI; whole seconds.
    pub phases: BTreeMap<String, Timestamp>,
}

/// A call of the driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DriverCall {
    /// kube-apiserver's verb.
    pub verb: String,
    /// Plural resource, with its subresource after a slash.
    pub resource: String,
    /// The status code or `error`.
    pub code: String,
    /// How many such calls.
    pub count: u64,
}

/// A check of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What should be so, such as `the proxy was not restarted`.
    pub name: String,
    /// Whether it is so.
    pub ok: bool,
    /// What was found, for people.
    pub detail: String,
}

impl Check {
    /// A check of this name, whether it holds, and what was found, for people.
    pub fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }
}

impl RunRecord {
    /// The rows of all proxies.
    pub fn rows(&self) -> impl Iterator<Item = &RowRecord> {
        self.proxies.iter().flat_map(|proxy| &proxy.difference)
    }

    /// How many objects it created, if it created any.
    pub fn object_count(&self) -> Option<u64> {
        (!self.objects.is_empty()).then_some(self.objects.len() as u64)
    }

    /// Whether the run kept a line of each request.
    pub fn keeps_journal(&self) -> bool {
        let mut proxies = self.proxies.iter();
        proxies.any(|proxy| !proxy.closed.journal.is_empty())
    }

    /// The same of the deletion of its objects.
    pub fn keeps_deletion_journal(&self) -> bool {
        let mut deletions = self
            .proxies
            .iter()
            .filter_map(|proxy| proxy.deletion.as_ref());
        deletions.any(|deletion| !deletion.journal.is_empty())
    }

    /// Whether the run came to its end and all checks hold.
    pub fn is_valid(&self) -> bool {
        self.failure.is_none() && self.checks.iter().all(|check| check.ok)
    }

    /// Makes it a failed run. A check says so too, to whoever reads nothing but checks.
    pub fn fail(&mut self, failure: RunFailure) {
        let (why, detail) = (failure.reason.sentence(), &failure.detail);
        let check = Check::new(ENDED_CHECK, false, format!("{why}: {detail}"));
        self.checks.insert(0, check);
        self.failure = Some(failure);
    }
}
