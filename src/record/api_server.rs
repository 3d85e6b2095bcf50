//! What an API server did and took while a run's books were open, by its own counters.

use serde::{Deserialize, Serialize};

use super::{PricedCall, WebhookKind};

/// What an API server did and took while a run's books were open.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiServerUsage {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Seconds of its CPU.
    pub cpu_seconds: f64,
    /// Seconds of etcd's CPU, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_cpu_seconds: Option<f64>,
    /// Requests that it answered, by call and code; all clients'.
    pub requests: Vec<RequestsServed>,
    /// Calls of admission webhooks, by kind and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_calls: Vec<WebhookCalls>,
    /// Events that it sent to watches, by resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch_events: Vec<EventsSent>,
}

/// Requests of one kind that an API server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsServed {
    /// What was called.
    #[serde(flatten)]
    pub call: PricedCall,
    /// The status code.
    pub code: u16,
    /// How many.
    pub count: u64,
}

/// Calls of one admission webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCalls {
    /// Which kind of webhook.
    pub kind: WebhookKind,
    /// Its name in its configuration.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Events of one resource that went to watches; one that went to three watches counts as three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsSent {
    /// API group, empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource.
    pub resource: String,
    /// How many.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}
