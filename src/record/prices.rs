//! What one more call costs an API server: a price list, and the bill that is made with it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CallRecord;

/// The schema's name and version.
pub const PRICES_SCHEMA: &str = "kubetoll.prices/1";

/// What single calls cost an API server and its etcd, as one machine measured it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriceList {
    /// `kubetoll.prices/1`.
    pub schema: String,
    /// Kubetoll's version.
    pub kubetoll_version: String,
    /// The API server's version, such as `v1.34.4`.
    pub kubernetes_version: String,
    /// When measuring began.
    pub started: Timestamp,
    /// For how long it was measured.
    pub seconds: f64,
    /// How often each kind was measured.
    pub rounds: u64,
    /// Where it was measured.
    pub machine: Machine,
    /// One toll: microseconds of the API server's CPU that a get of one Lease takes there.
    pub toll_us: f64,
    /// How many times as much calls of many kinds in random order take as the same calls kind by kind:
    /// all that the API server's CPU is charged for calls is multiplied by it.
    #[serde(default = "one")]
    pub mixed: f64,
    /// Microseconds of the API server's CPU that a second takes in which nobody calls.
    pub idle_us_per_second: f64,
    /// By kind of call, outcome and size.
    pub prices: Vec<Price>,
    /// What is to be added for each call of an admission webhook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookPrice>,
    /// What is to be added for each event that a watch delivers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch_events: Vec<WatchEventPrice>,
}

fn one() -> f64 {
    1.0
}

/// A machine that something was measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processor's name, as `/proc/cpuinfo` has it.
    pub cpu: String,
    /// How many processors the measuring process could use.
    pub cpus: u64,
}

/// How a call ended, as far as the price depends on it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PricedOutcome {
    /// Answered 2xx, and it did something.
    #[default]
    Success,
    /// A write answered 2xx that changed nothing.
    NoOp,
    /// Answered 404.
    NotFound,
    /// Answered 409.
    Conflict,
    /// Answered 422.
    Invalid,
}

impl PricedOutcome {
    /// For people: a status code, or what it came to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NoOp => "no change",
            Self::NotFound => "404",
            Self::Conflict => "409",
            Self::Invalid => "422",
        }
    }
}

/// What a call of one kind costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What is called.
    #[serde(flatten)]
    pub call: PricedCall,
    /// How it ends.
    pub outcome: PricedOutcome,
    /// Bytes of both bodies of a call at which [`cpu_us`](Self::cpu_us) was measured.
    pub bytes: f64,
    /// Microseconds of the API server's CPU.
    pub cpu_us: Estimate,
    /// More of them for each KiB that a call has more of, where it was measured at two sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_kib: Option<Estimate>,
    /// Microseconds of etcd's CPU, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_cpu_us: Option<Estimate>,
    /// Bytes that the API server allocates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<f64>,
    /// Bytes that etcd writes to its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<f64>,
    /// How many calls were measured.
    pub calls: u64,
}

/// A kind of call, as a price names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PricedCall {
    /// kube-apiserver's verb.
    pub verb: String,
    /// API group, empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource; empty for a non-resource request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Subresource, such as `status`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// Class of the path of a non-resource request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// A measured mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
}

/// What a call of an admission webhook costs the API server beside the call that caused it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookPrice {
    /// Which kind of webhook.
    pub kind: WebhookKind,
    /// Whether for a custom resource, which is sent as it is; or for a built-in one, which is
    /// converted first.
    pub custom: bool,
    /// Bytes of the object as JSON at which [`cpu_us`](Self::cpu_us) was measured.
    pub bytes: f64,
    /// Microseconds of the API server's CPU.
    pub cpu_us: Estimate,
    /// More of them for each KiB of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_kib: Option<Estimate>,
}

/// What an admission webhook may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookKind {
    /// It can change the object.
    Mutating,
    /// It can only refuse it.
    Validating,
}

/// What it costs the API server that watches deliver an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchEventPrice {
    /// Whether of a custom resource, or of a built-in one.
    pub custom: bool,
    /// Bytes of the event's object as JSON at which the two were measured.
    pub bytes: f64,
    /// For the first watch that gets the event: it is encoded once.
    pub first_us: Estimate,
    /// For each further watch.
    pub further_us: Estimate,
    /// More of the first for each KiB of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_us_per_kib: Option<Estimate>,
    /// More for each further watch for each KiB of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_us_per_kib: Option<Estimate>,
}

/// What a run's calls cost an API server, by a price list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Seconds of CPU that the API server took while the books were open, where that could be read.
    pub measured_cpu_seconds: Option<f64>,
    /// Sum of the known [`parts`](Self::parts).
    pub explained_cpu_seconds: f64,
    /// What that was for.
    pub parts: BillParts,
    /// Calls without a price, which are in no part.
    pub unpriced_calls: u64,
    /// The same of calls that are not in the books, where the API server said which there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpriced_others: Option<u64>,
    /// The list that was used.
    pub prices: PricesUsed,
}

/// Seconds of an API server's CPU, by what they were for; `null` for what nothing tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BillParts {
    /// The calls of the books.
    pub calls: f64,
    /// Calls of admission webhooks.
    pub webhooks: Option<f64>,
    /// Events that watches delivered.
    pub watch_events: Option<f64>,
    /// Calls of others, which are in no books.
    pub others: Option<f64>,
    /// What the API server takes when nobody calls.
    pub baseline: f64,
}

/// Which price list a bill was made with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PricesUsed {
    /// The API server's version that it is of.
    pub kubernetes_version: String,
    /// The machine that it was measured on.
    pub machine: Machine,
    /// Microseconds of a toll there.
    pub toll_us: f64,
}

impl From<&PriceList> for PricesUsed {
    fn from(list: &PriceList) -> Self {
        Self {
            kubernetes_version: list.kubernetes_version.clone(),
            machine: list.machine.clone(),
            toll_us: list.toll_us,
        }
    }
}

impl BillParts {
    /// All that are known.
    pub fn sum(&self) -> f64 {
        let unsure = [self.webhooks, self.watch_events, self.others];
        self.calls + unsure.into_iter().flatten().sum::<f64>() + self.baseline
    }
}

impl PriceList {
    /// Which list it is: of which version, and measured when.
    pub fn name(&self) -> String {
        let (version, started) = (&self.kubernetes_version, self.started);
        format!("Kubernetes {version}, measured {started:.0}")
    }

    /// The price of such a call, if the list has it.
    pub fn price(&self, call: &PricedCall, outcome: PricedOutcome) -> Option<&Price> {
        let mut prices = self.prices.iter();
        prices.find(|price| price.outcome == outcome && price.call == *call)
    }
}

impl Price {
    /// Microseconds of the API server's CPU that a call costs whose bodies have so many bytes; at the
    /// size that was measured without them.
    pub fn cost_us(&self, bytes: Option<f64>) -> f64 {
        let more = bytes.map_or(0.0, |bytes| (bytes - self.bytes) / 1024.0);
        let slope = self.cpu_us_per_kib.map_or(0.0, |slope| slope.value);
        (self.cpu_us.value + slope * more).max(0.0)
    }
}

impl From<&CallRecord> for PricedCall {
    fn from(call: &CallRecord) -> Self {
        Self {
            verb: call.verb.clone(),
            group: call.group.clone(),
            resource: call.resource.clone(),
            subresource: call.subresource.clone(),
            path: call.path.clone(),
        }
    }
}
