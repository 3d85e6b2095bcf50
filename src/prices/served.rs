//! What an API server says of its work on `/metrics`.

use std::collections::BTreeMap;

use exchange::{ExpositionError, Sample, exposition_samples};
use record::{ApiServerUsage, EventsSent, PricedCall, RequestsServed, WebhookCalls, WebhookKind};

const REQUESTS: &str = "apiserver_request_total";
const WEBHOOKS: &str = "apiserver_admission_webhook_admission_duration_seconds_count";
const EVENTS: &str = "apiserver_watch_events_total";
const EVENT_BYTES: &str = "apiserver_watch_events_sizes_sum";
const CPU: &str = "process_cpu_seconds_total";
const STARTED: &str = "process_start_time_seconds";

/// What an API server has done since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Served {
    /// Seconds of its CPU; its clock ticks a hundred times a second.
    cpu_seconds: f64,
    /// Unix time of its start.
    started: f64,
    requests: BTreeMap<(PricedCall, u16), u64>,
    webhooks: BTreeMap<(WebhookKind, String), u64>,
    events: BTreeMap<(String, String), (u64, u64)>,
}

impl Served {
    /// Reads a page of Prometheus's text format.
    pub fn parse(page: &[u8]) -> Result<Self, ExpositionError> {
        let wanted =
            |name: &str| [REQUESTS, WEBHOOKS, EVENTS, EVENT_BYTES, CPU, STARTED].contains(&name);
        let mut served = Self::default();
        for sample in exposition_samples(page, wanted)? {
            served.add(&sample);
        }
        Ok(served)
    }

    fn add(&mut self, sample: &Sample) {
        // A float holds every count up to 2^53.
        let count = sample.value as u64;
        let label = |name| sample.label(name).to_owned();
        match &*sample.name {
            CPU => self.cpu_seconds = sample.value,
            STARTED => self.started = sample.value,
            REQUESTS => {
                let code = sample.label("code").parse().unwrap_or_default();
                *self.requests.entry((call(sample), code)).or_default() += count;
            }
            WEBHOOKS => {
                let kind = match sample.label("type") {
                    "validating" => WebhookKind::Validating,
                    _ => WebhookKind::Mutating,
                };
                *self.webhooks.entry((kind, label("name"))).or_default() += count;
            }
            name => {
                let of = (label("group"), label("resource"));
                let sent = self.events.entry(of).or_default();
                let number = if name == EVENTS {
                    &mut sent.0
                } else {
                    &mut sent.1
                };
                *number += count;
            }
        }
    }

    /// What it did in the seconds since `earlier`, by its own clock of CPU. `None` if it was started anew,
    /// or another one answered.
    pub fn since(&self, earlier: &Self, seconds: f64) -> Option<ApiServerUsage> {
        if self.started != earlier.started {
            return None;
        }
        let requests = difference(&self.requests, &earlier.requests)?.into_iter();
        let webhooks = difference(&self.webhooks, &earlier.webhooks)?.into_iter();
        let mut watch_events = Vec::new();
        for (of, (count, bytes)) in &self.events {
            let (count_then, bytes_then) = earlier.events.get(of).copied().unwrap_or_default();
            let count = count.checked_sub(count_then)?;
            if count > 0 {
                let (group, resource) = of.clone();
                watch_events.push(EventsSent {
                    group,
                    resource,
                    count,
                    bytes: bytes.checked_sub(bytes_then)?,
                });
            }
        }
        Some(ApiServerUsage {
            seconds,
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            etcd_cpu_seconds: None,
            requests: requests
                .map(|((call, code), count)| RequestsServed { call, code, count })
                .collect(),
            webhook_calls: webhooks
                .map(|((kind, name), count)| WebhookCalls { kind, name, count })
                .collect(),
            watch_events,
        })
    }
}

/// What was counted since `then`; `None` if a counter went down.
fn difference<K: Ord + Clone>(
    now: &BTreeMap<K, u64>,
    then: &BTreeMap<K, u64>,
) -> Option<Vec<(K, u64)>> {
    let mut counts = Vec::new();
    for (key, count) in now {
        let more = count.checked_sub(then.get(key).copied().unwrap_or_default())?;
        if more > 0 {
            counts.push((key.clone(), more));
        }
    }
    Some(counts)
}

/// The API server's metrics have verbs of their own.
fn call(sample: &Sample) -> PricedCall {
    let verb = match sample.label("verb") {
        "POST" => "create".to_owned(),
        "PUT" => "update".to_owned(),
        "APPLY" => "patch".to_owned(),
        verb => verb.to_lowercase(),
    };
    PricedCall {
        verb,
        group: sample.label("group").to_owned(),
        resource: sample.label("resource").to_owned(),
        subresource: sample.label("subresource").to_owned(),
        path: String::new(),
    }
}
