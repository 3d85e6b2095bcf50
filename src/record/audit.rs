//! What `kubetoll audit` and `kubetoll verify` print as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CallRecord, PricesUsed};

/// Counts of an audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Requests by user, call and code; all users.
    pub counts: Vec<AuditCount>,
    /// `VERB-resource-count` of KubeVirt's components, by KubeVirt's rule.
    pub values: BTreeMap<String, Value>,
    /// What the log was.
    #[serde(default)]
    pub log: AuditLog,
    /// What the requests cost the API server, if a price list was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<AuditBill>,
}

/// What the requests of an audit log cost, each at the size that the price list was measured at: a
/// log has no sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditBill {
    /// Seconds of the API server's CPU.
    pub cpu_seconds: f64,
    /// Requests that the list has no price for.
    pub unpriced_calls: u64,
    /// The list.
    pub prices: PricesUsed,
}

/// What an audit log is, beside the requests that are counted in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Events by stage; a request has up to three.
    pub stages: BTreeMap<String, u64>,
    /// Requests by the level at which the policy has them logged: `Metadata`, `Request` (with the
    /// body of the request) or `RequestResponse` (with both).
    #[serde(default)]
    pub levels: BTreeMap<String, u64>,
    /// Events that were not lines by themselves, by the place where they were: `properties.log`.
    pub wrapped: BTreeMap<String, u64>,
    /// Stages that the API server's policy seems to leave out, so that requests are not counted:
    /// `ResponseComplete`, without which only watches and their like are, and `ResponseStarted`,
    /// without which those are missing that were open at the log's end.
    pub missing: Vec<String>,
}

impl AuditLog {
    /// Events of all stages.
    pub fn events(&self) -> u64 {
        self.stages.values().sum()
    }
}

/// A value as KubeVirt's results have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Requests.
    pub value: f64,
}

/// How often a user made a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditCount {
    /// The full user name; `USER as OTHER` where it impersonated another.
    pub component: String,
    /// kube-apiserver's verb.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource; empty for a non-resource request.
    pub resource: String,
    /// Subresource, such as `status`; empty if there is none.
    pub subresource: String,
    /// Class of the path of a non-resource request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The status code; 0 where the log has none.
    pub code: u16,
    /// Requests of that user with that code.
    pub count: u64,
    /// Microseconds of the API server's CPU that they cost, if a price list was given that has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_cpu_us: Option<f64>,
}

/// The comparison of a run's books with an audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Whether requests were compared one by one, by their audit IDs, or by counts.
    pub by_request: bool,
    /// Requests that are the same on both sides.
    pub equal: u64,
    /// Requests that differ for a known reason, by reason.
    pub explained: BTreeMap<String, u64>,
    /// Requests that differ and should not; those that differ in the same way together, most first.
    pub unexplained: Vec<Difference>,
    /// How many requests the list stands for.
    pub unexplained_count: u64,
    /// Users of the log that never came through the proxy, and their requests.
    pub not_through_the_proxy: BTreeMap<String, u64>,
    /// Whether the log covers any of the run.
    pub overlaps: bool,
}

/// A difference between the books and the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The user, or the component where the books know no user.
    pub user: String,
    /// What was called.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Code or reason in the books and how often; empty where the books have nothing.
    pub books: String,
    /// Code in the log and how often; empty where the log has nothing.
    pub log: String,
    /// How many requests differ in this way.
    pub count: u64,
    /// Audit IDs of the first of them, where requests were looked up by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit_ids: Vec<String>,
    /// When the first of them was received, or answered if the log doesn't have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The same of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}
