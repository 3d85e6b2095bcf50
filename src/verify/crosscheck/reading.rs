//! One reading of a component's metrics endpoint.

use std::collections::BTreeMap;

use exchange::{ExpositionError, Sample, exposition_samples};

/// Names of the counter, the newer first: KubeVirt renamed it in 1.3.
const COUNTERS: [&str; 2] = [
    "kubevirt_rest_client_requests_total",
    "rest_client_requests_total",
];
const ADDS: &str = "kubevirt_workqueue_adds_total";
const DEPTH: &str = "kubevirt_workqueue_depth";
const WAITED: &str = "kubevirt_workqueue_queue_duration_seconds_bucket";
const CPU: &str = "process_cpu_seconds_total";
const MEMORY: &str = "process_resident_memory_bytes";
const STARTED: &str = "process_start_time_seconds";

/// A call by KubeVirt's rule: resource, verb, code.
pub(super) type Call = [String; 3];

/// What a page says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The name of the counter, if the page has it.
    pub(super) counter: Option<&'static str>,
    pub(super) calls: BTreeMap<Call, u64>,
    /// Seconds of CPU since the process started.
    pub(super) cpu: Option<f64>,
    /// Bytes of resident memory.
    pub(super) memory: Option<f64>,
    /// Unix time of the process's start.
    pub(super) started: Option<f64>,
    pub(super) queue: Option<Queue>,
}

/// All work queues of a process together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Queue {
    pub(super) adds: f64,
    pub(super) depth: f64,
    /// Upper bounds in seconds, and how many waited at most that long.
    pub(super) waited: Vec<(f64, f64)>,
}

impl Reading {
    /// Reads a page of Prometheus's text format.
    pub fn parse(page: &[u8]) -> Result<Self, ExpositionError> {
        let wanted = |name: &str| {
            COUNTERS.contains(&name) || [ADDS, DEPTH, WAITED, CPU, MEMORY, STARTED].contains(&name)
        };
        let samples = exposition_samples(page, wanted)?;
        let named = |name: &'static str| samples.iter().filter(move |one| one.name == name);
        let single = |name| named(name).next().map(|one: &Sample| one.value);
        // client-go's own counter has the older name, and no resource.
        let counter = COUNTERS
            .into_iter()
            .find(|name| named(name).any(|one| !one.label("resource").is_empty()));
        Ok(Self {
            counter,
            calls: counter.map(|name| calls(named(name))).unwrap_or_default(),
            cpu: single(CPU),
            memory: single(MEMORY),
            started: single(STARTED),
            queue: single(ADDS).map(|_| Queue {
                adds: named(ADDS).map(|one| one.value).sum(),
                depth: named(DEPTH).map(|one| one.value).sum(),
                waited: waited(named(WAITED)),
            }),
        })
    }

    /// Whether the process was started anew since `earlier`: its counters don't continue.
    pub(super) fn restarted_since(&self, earlier: &Self) -> bool {
        self.started != earlier.started
            || earlier
                .calls
                .iter()
                .any(|(call, then)| self.calls.get(call).is_none_or(|now| now < then))
    }
}

/// Over methods and hosts.
fn calls<'a>(samples: impl Iterator<Item = &'a Sample>) -> BTreeMap<Call, u64> {
    let mut calls = BTreeMap::new();
    for one in samples {
        let call = ["resource", "verb", "code"].map(|name| one.label(name).to_owned());
        // A float holds every count up to 2^53.
        *calls.entry(call).or_default() += one.value as u64;
    }
    calls
}

fn waited<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<(f64, f64)> {
    let mut waited: Vec<(f64, f64)> = Vec::new();
    for one in samples {
        let Ok(bound) = one.label("le").parse::<f64>() else {
            continue;
        };
        match waited.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, count)) => *count += one.value,
            None => waited.push((bound, one.value)),
        }
    }
    waited.sort_by(|one, other| one.0.total_cmp(&other.0));
    waited
}
