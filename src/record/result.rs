//! What a run's record comes to: `kubetoll run --output json`, and KubeVirt's own file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Bill, CallFinding, CallRecord, Check, ClusterRecord, CommandRecord, Crosscheck, DriverCall,
    Kept, Outcome, PerObject, PodRecord, RunFailure,
};

/// The result of a run, derived from its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's id.
    pub id: String,
    /// What was run: `vmi`, `vm`, `instancetype`, or what `measure` was told.
    pub scenario: String,
    /// Whether KubeVirt was simulated.
    pub simulated: bool,
    /// How many objects were created; 0 if the run created none.
    pub count: usize,
    /// Where the run took place.
    pub cluster: ClusterRecord,
    /// Whether the run came to its end and all checks hold.
    pub valid: bool,
    /// Why the run ended early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
    /// The run's checks of itself.
    pub checks: Vec<Check>,
    /// The proxies that took part.
    pub proxies: Vec<ProxyTook>,
    /// Calls by share, component, call and outcome, over all proxies and users.
    pub rows: Vec<ResultRow>,
    /// All of these calls together.
    #[serde(default)]
    pub total: Total,
    /// What they cost the API server by a price list, unless none was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
    /// The window before the run in which nothing was created, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Window>,
    /// What the deletion of the run's objects cost; not part of `rows` and `values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletion: Vec<ResultRow>,
    /// Which calls failed or could go, and why, if the run kept a journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<CallFinding>>,
    /// The same of the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_findings: Option<Vec<CallFinding>>,
    /// What single objects cost, if the run kept a journal and made some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_object: Option<PerObject>,
    /// `VERB-resource-count` over KubeVirt's components, by KubeVirt's rule.
    pub values: BTreeMap<String, u64>,
    /// From creation to Running.
    pub latency: Latency,
    /// The components' own metrics while the books were open, as in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crosscheck: Option<Crosscheck>,
    /// The driver's own calls, which are in no row.
    pub driver: Vec<DriverCall>,
    /// What became of the thresholds that were asked for.
    pub thresholds: Vec<ThresholdVerdict>,
    /// What became of the budgets that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetVerdict>,
    /// The exit code that the result alone gives: 0, 3 if a threshold or a budget is exceeded, 4 if
    /// the counts are not valid or a threshold can't be judged.
    pub exit_code: u8,
    /// The command that was run, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandRecord>,
    /// The exit code of the command that was run, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_exit_code: Option<u8>,
}

/// What became of a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetVerdict {
    /// The budget as it was given.
    pub budget: String,
    /// Requests that were counted for it.
    pub count: u64,
    /// What they cost, in tolls, if the budget is of that; by the number of objects if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolls: Option<f64>,
    /// Whether the count, or the cost, is within the budget; unknown if its name is none.
    pub kept: Kept,
    /// What nearly the same name counts, if that is another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherCount>,
    /// What may have been meant, in words, if its name is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meant: String,
}

/// The count of another name: `PATCH-pods` is a row of the books, and `PATCH-pods-count` KubeVirt's
/// value, over KubeVirt's components and with subresources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherCount {
    /// The other name.
    pub name: String,
    /// Requests that it counts.
    pub count: u64,
}

/// A proxy that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyTook {
    /// URL of its admin port.
    pub admin: String,
    /// The pod that it is in, if it was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRecord>,
    /// Random for each process of a proxy; empty in results of older versions.
    #[serde(default)]
    pub instance: String,
    /// When its process started.
    pub since: jiff::Timestamp,
    /// The component that it counts for, if it was given.
    pub component: Option<String>,
}

/// Calls of a window of time. What they would be in another window is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Length in seconds, of the proxy whose window was the longest.
    pub seconds: f64,
    /// Calls in the window, as in [`RunResult::rows`].
    pub rows: Vec<ResultRow>,
}

/// Whose cost a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// It named the run's namespace.
    Workload,
    /// Leases and watches: they come whether or not anything runs.
    Standing,
    /// The rest: other namespaces, nodes, cluster scope.
    Unattributed,
}

/// A row of the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Whose cost it is.
    pub share: Share,
    /// The component that called, as in the books.
    pub component: String,
    /// What was called.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The status code, or why no response came.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Requests with that outcome.
    pub count: u64,
    /// `count` by the number of objects; by 1 if there are none.
    pub per_object: f64,
    /// Whether it is work for nothing: answered 404, 409, 422 or 429.
    pub wasted: bool,
    /// Whether the simulation assumes it, rather than following a recording of the real thing.
    pub assumed: bool,
    /// What the calls took. `None` where calls of one row of the books are of two shares: which of
    /// them took what is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Took>,
    /// Microseconds of the API server's CPU that the calls cost by the price list. `None` if the list
    /// has no price for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_cpu_us: Option<f64>,
    /// The same in tolls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_tolls: Option<f64>,
}

/// What calls took on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// Bytes of the requests' bodies.
    pub request_bytes: u64,
    /// Bytes of the responses' bodies.
    pub response_bytes: u64,
    /// Seconds from the requests' heads to the responses' heads, summed.
    pub seconds_to_head: f64,
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, other: Self) {
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.seconds_to_head += other.seconds_to_head;
    }
}

/// All calls of a run together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// Calls, of all components.
    pub calls: u64,
    /// What they took.
    pub took: Took,
    /// For how many seconds the books were open, of the proxy whose window was the longest.
    pub seconds: f64,
}

/// Time from creation to Running, in seconds, by nearest rank over all objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// By `phaseTransitionTimestamps` less `creationTimestamp`: whole seconds, KubeVirt's way.
    pub by_status: Option<Quantiles>,
    /// By the driver's clock, from sending the create to seeing Running.
    pub by_driver: Option<Quantiles>,
}

/// Three quantiles, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of all samples don't exceed it.
    pub p50: f64,
    /// 95 of 100 samples don't exceed it.
    pub p95: f64,
    /// 99 of 100 samples don't exceed it.
    pub p99: f64,
}

/// perfscale-audit's `thresholdExpectations`, as its input file has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ThresholdFile {
    /// By name of the metric.
    #[serde(rename = "thresholdExpectations")]
    pub expectations: BTreeMap<String, ThresholdExpectation>,
}

/// What is expected of a metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThresholdExpectation {
    /// It must not exceed this.
    #[serde(default)]
    pub value: f64,
    /// Or: this metric…
    #[serde(default)]
    pub metric: String,
    /// …times this.
    #[serde(default)]
    pub ratio: f64,
}

/// What became of a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdVerdict {
    /// The metric that is judged.
    pub name: String,
    /// Its value; `None` if the run doesn't have it.
    pub value: Option<f64>,
    /// What it may be at the most; `None` if the metric that it depends on is missing.
    pub limit: Option<f64>,
    /// The threshold as its file has it.
    pub expected: ThresholdExpectation,
    /// Whether the value is within the limit.
    #[serde(default)]
    pub kept: Kept,
    /// What nearly the same name counts, if that is another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherCount>,
    /// What may have been meant, in words, if the run doesn't have it or what it depends on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meant: String,
}

/// perfscale-audit's results file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PerfAuditResults {
    /// By name of the metric.
    #[serde(rename = "Values")]
    pub values: BTreeMap<String, PerfAuditValue>,
}

/// A value of perfscale-audit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PerfAuditValue {
    /// A count, or seconds of a latency.
    pub value: f64,
    /// What became of its threshold.
    #[serde(
        rename = "thresholdResult",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub threshold_result: Option<PerfAuditThreshold>,
}

/// A threshold in perfscale-audit's results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerfAuditThreshold {
    /// What the value may be at the most.
    pub threshold_value: f64,
    /// The metric that the limit depends on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub threshold_metric: String,
    /// The value over that metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_ratio: Option<f64>,
    /// Whether the value is over its limit.
    pub threshold_exceeded: bool,
}
