//! An audit log as a run.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{ImportError, Known};
use classify::kubevirt::component_of_user;
use record::{AuditCount, AuditReport, HistoryRun, Origin};

/// The run whose calls are in an audit log. `scenario` is what was run: the log doesn't tell.
///
/// # Errors
/// If the log has no request.
pub fn audit_run(
    id: String,
    at: Timestamp,
    scenario: &str,
    report: &AuditReport,
    known: &Known,
) -> Result<HistoryRun, ImportError> {
    if report.counts.is_empty() {
        return Err(ImportError::Empty);
    }
    let mut components: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for count in &report.counts {
        let component = component_of_user(&count.component).unwrap_or(&count.component);
        let metrics = components.entry(component.to_owned()).or_default();
        *metrics.entry(metric(count)).or_default() += count.count as f64;
    }
    let values = report.values.iter();
    Ok(HistoryRun {
        id,
        at,
        origin: Origin::Audit,
        valid: true,
        failure: None,
        labels: known.labels("audit", scenario),
        objects: None,
        values: values
            .map(|(name, value)| (name.clone(), value.value))
            .collect(),
        components,
        cost: None,
        record: None,
    })
}

fn metric(count: &AuditCount) -> String {
    record::component_metric(
        &count.verb,
        &count.resource,
        &count.subresource,
        &count.path,
    )
}
