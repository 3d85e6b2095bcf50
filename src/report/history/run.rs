//! From the record of a run to its entry in the history.

use std::collections::BTreeMap;

use crate::run::metrics::metrics_and_cost;
use record::{HistoryRun, Origin, RunRecord, component_metric, label};

/// The job of a run in a lab that was given none.
const LAB: &str = "lab";
/// The job of a run on a cluster that was given none.
const LOCAL: &str = "local";

/// The entry of a run with its record. `labels` replace what the record says.
pub fn history_run(record: RunRecord, labels: &BTreeMap<String, String>) -> HistoryRun {
    let (values, cost) = metrics_and_cost(&record);
    HistoryRun {
        id: record.id.clone(),
        at: record.started,
        origin: if record.simulated {
            Origin::Simulated
        } else {
            Origin::Counted
        },
        valid: record.is_valid(),
        failure: record.failure.as_ref().map(|failure| failure.reason),
        labels: all_labels(&record, labels),
        objects: record.object_count(),
        values,
        components: components(&record),
        cost,
        record: Some(Box::new(record)),
    }
}

fn all_labels(record: &RunRecord, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let job = if record.simulated { LAB } else { LOCAL };
    let cluster = &record.cluster;
    let known = [
        (label::JOB, job),
        (label::SCENARIO, &record.scenario),
        (label::KUBEVIRT, &cluster.kubevirt_version),
        (label::KUBERNETES, &cluster.kubernetes_version),
    ];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<String, String> = known
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    labels.extend(given.clone());
    labels
}

/// Everything answered, by component and call, all codes.
fn components(record: &RunRecord) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut components: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for row in record.rows().filter(|row| row.answered > 0) {
        let call = &row.call;
        let metric = component_metric(&call.verb, &call.resource, &call.subresource, &call.path);
        let metrics = components.entry(row.component.clone()).or_default();
        *metrics.entry(metric).or_default() += row.answered as f64;
    }
    components
}
