//! The metrics of a run: counts by KubeVirt's names, quantiles, and what findings count.

use std::collections::BTreeMap;

use jiff::Timestamp;

use classify::kubevirt::is_kubevirt_component;
use record::{CallFinding, Crosscheck, Latency, ObjectTimes, Quantiles, RunCost, RunRecord};
use stats::nearest_rank;

use crate::{
    budgets::finding_name::{finding_count, finding_names},
    run::{
        cost::{priced, run_cost},
        evaluate::{found, run_rows},
    },
};

/// The metrics of a run by KubeVirt's names: counts, and quantiles in seconds. Not what components
/// use: machines differ in that from run to run, and the history's runs are compared.
fn run_metrics(record: &RunRecord, findings: Option<&[CallFinding]>) -> BTreeMap<String, f64> {
    let mut metrics = metrics(&kubevirt_values(record), &latency(&record.objects), None);
    if let Some(findings) = findings {
        metrics.extend(finding_metrics(findings));
    }
    metrics
}

/// The same, and what the run's calls cost.
pub(crate) fn metrics_and_cost(record: &RunRecord) -> (BTreeMap<String, f64>, Option<RunCost>) {
    let findings = record
        .keeps_journal()
        .then(|| found(record, &findings::requests(record)));
    let findings = findings.as_deref();
    let priced = priced(&run_rows(record), findings);
    (run_metrics(record, findings), run_cost(&priced))
}

/// Calls by the kind of their findings, `why:no-op-write` and so on, and what could go. A kind that
/// was not found is 0: the journal tells.
fn finding_metrics(findings: &[CallFinding]) -> impl Iterator<Item = (String, f64)> + '_ {
    finding_names().map(|name| {
        let count = finding_count(&name, findings).unwrap_or_default();
        (name, count as f64)
    })
}

/// Everything answered by KubeVirt's components, by KubeVirt's rule.
pub(super) fn kubevirt_values(record: &RunRecord) -> BTreeMap<String, u64> {
    let mut values = BTreeMap::new();
    for row in record.rows() {
        if row.answered > 0 && is_kubevirt_component(&row.component) {
            let name = format!("{}-count", row.call.key());
            *values.entry(name).or_default() += row.answered;
        }
    }
    values
}

pub(super) fn metrics(
    values: &BTreeMap<String, u64>,
    latency: &Latency,
    usage: Option<&Crosscheck>,
) -> BTreeMap<String, f64> {
    let mut metrics: BTreeMap<String, f64> = values
        .iter()
        .map(|(name, count)| (name.clone(), *count as f64))
        .collect();
    if let Some(quantiles) = latency.by_status {
        for (name, value) in [
            ("P50", quantiles.p50),
            ("P95", quantiles.p95),
            ("P99", quantiles.p99),
        ] {
            metrics.insert(format!("vmiCreationToRunningSeconds{name}"), value);
        }
    }
    metrics.extend(usage.into_iter().flat_map(|usage| usage.values.clone()));
    metrics
}

pub(super) fn latency(objects: &[ObjectTimes]) -> Latency {
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    let by_status = objects
        .iter()
        .filter_map(|object| Some(seconds(object.created?, *object.phases.get("Running")?)));
    let by_driver = objects
        .iter()
        .filter_map(|object| Some(seconds(object.create_sent, object.running_seen?)));
    Latency {
        by_status: quantiles(&by_status.collect::<Vec<_>>()),
        by_driver: quantiles(&by_driver.collect::<Vec<_>>()),
    }
}

fn quantiles(samples: &[f64]) -> Option<Quantiles> {
    Some(Quantiles {
        p50: nearest_rank(samples, 50.0)?,
        p95: nearest_rank(samples, 95.0)?,
        p99: nearest_rank(samples, 99.0)?,
    })
}
