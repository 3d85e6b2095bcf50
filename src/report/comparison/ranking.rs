//! Which metrics of a comparison are shown, in which order, and what is only counted or named.

use super::tolls::{is_all, unsigned};
use crate::budgets::cost_name::is_cost_name;
use record::{MetricComparison, ScenarioComparison, Verdict};

/// Metrics that can't be told from chance and are shown all the same.
const UNKNOWN_SHOWN: usize = 10;
/// Metrics of one group only that are named.
const FOLDED_NAMED: usize = 5;

/// The metrics of the table, in its order: what all calls cost first, whatever becomes of it; then what
/// differs by more than chance, and of all the largest effect first, in tolls where both groups have a
/// price, then in percent. Without `all`, those that can't be told from chance are only the largest,
/// and what one group alone has is named in a line.
pub(super) fn shown(scenario: &ScenarioComparison, all: bool) -> Vec<&MetricComparison> {
    let mut metrics: Vec<&MetricComparison> = scenario.metrics.iter().collect();
    metrics.sort_by(|one, other| {
        is_all(other)
            .cmp(&is_all(one))
            .then(rank(one.verdict).cmp(&rank(other.verdict)))
            .then(unsigned(other).total_cmp(&unsigned(one)))
            .then(effect(other).total_cmp(&effect(one)))
            .then(one.metric.cmp(&other.metric))
    });
    if all {
        return metrics;
    }
    let mut unknown = 0;
    metrics.retain(|metric| match metric.verdict {
        _ if is_cost_name(&metric.metric) => true,
        Verdict::Changed | Verdict::Differs => true,
        Verdict::Unknown => {
            unknown += 1;
            unknown <= UNKNOWN_SHOWN
        }
        Verdict::Missing | Verdict::New | Verdict::Noise | Verdict::Equal => false,
    });
    metrics
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Changed | Verdict::Differs => 0,
        Verdict::Unknown => 1,
        Verdict::Missing => 2,
        Verdict::New => 3,
        Verdict::Noise => 4,
        Verdict::Equal => 5,
    }
}

/// How large a difference is, in percent; one from 0 is larger than any.
fn effect(metric: &MetricComparison) -> f64 {
    match (metric.percent, metric.difference) {
        (Some(percent), _) => percent.abs(),
        (None, Some(difference)) if difference != 0.0 => f64::INFINITY,
        (None, Some(_)) => 0.0,
        (None, None) if metric.verdict == Verdict::Unknown => -1.0,
        // In one group only: what was called most.
        (None, None) => metric.a.median.or(metric.b.median).unwrap_or_default(),
    }
}

/// What the table leaves out.
pub(super) fn folded(scenario: &ScenarioComparison, all: bool) -> Vec<String> {
    if all {
        return Vec::new();
    }
    let of = |verdict: Verdict| -> Vec<&MetricComparison> {
        let mut metrics: Vec<&MetricComparison> = scenario.metrics.iter().collect();
        metrics.retain(|metric| metric.verdict == verdict && !is_cost_name(&metric.metric));
        metrics.sort_by(|one, other| effect(other).total_cmp(&effect(one)));
        metrics
    };
    let mut lines = Vec::new();
    let unknown = of(Verdict::Unknown).len().saturating_sub(UNKNOWN_SHOWN);
    if unknown > 0 {
        lines.push(format!(
            "{unknown} more differ by less, and the runs are too few to tell that from chance (--all \
             shows them)"
        ));
    }
    for (verdict, what) in [
        (Verdict::Missing, "missing in B"),
        (Verdict::New, "new in B"),
    ] {
        let metrics = of(verdict);
        let names: Vec<&str> = metrics
            .iter()
            .map(|metric| metric.metric.as_str())
            .collect();
        let more = names.len().saturating_sub(FOLDED_NAMED);
        let named = names[..names.len() - more].join(", ");
        match (names.len(), more) {
            (0, _) => {}
            (count, 0) => lines.push(format!("{count} {what}: {named}")),
            (count, more) => lines.push(format!(
                "{count} {what}: {named} and {more} more (--all shows them)"
            )),
        }
    }
    lines
}
