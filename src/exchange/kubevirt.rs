//! What KubeVirt's CI publishes.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{ImportError, Known, NotAllRunning, estimates};
use record::{HistoryRun, KubevirtCiRun, KubevirtGraphs, KubevirtTrace, Origin, PerfAuditResults};

/// How many objects KubeVirt's density tests create.
const OBJECTS: u64 = 100;
/// How many it was while each VMI had a container for its console's log that was too large.
const OBJECTS_FEWER: u64 = 90;
/// The time of the first job with fewer objects, and of the first that had all again: at midnight of
/// 2023-10-03, and between two jobs at 08:00 of 2023-10-20, in UTC.
const FEWER: [Timestamp; 2] = [
    Timestamp::constant(1_696_291_200, 0),
    Timestamp::constant(1_697_788_800, 0),
];

/// The runs of `results/<job>/<build>/results.json`: one for each scenario that has a result.
///
/// # Errors
/// If the text is no such file, or has a result of no scenario.
pub fn ci_runs(
    job: &str,
    build: &str,
    text: &[u8],
    known: &Known,
) -> Result<Vec<HistoryRun>, ImportError> {
    let run: KubevirtCiRun = serde_json::from_slice(text)
        .map_err(ImportError::format("results.json of KubeVirt's CI"))?;
    let results = [("vmi", run.vmi), ("vm", run.vm)];
    let runs = results.into_iter().filter_map(|(scenario, results)| {
        let values = estimates(&results?);
        let objects = asked_for(job, run.at);
        Some(HistoryRun {
            valid: NotAllRunning::of(&values, objects).is_none(),
            objects,
            ..estimate(
                format!("kubevirt-ci/{job}/{build}/{scenario}"),
                run.at,
                known.labels(job, scenario),
                values,
            )
        })
    });
    Ok(runs.collect())
}

/// How many objects a job asked for: the file doesn't tell, but the source of the tests does. Those
/// with kwok create as many as they are told to.
fn asked_for(job: &str, at: Timestamp) -> Option<u64> {
    let [first, after] = FEWER;
    let objects = if (first..after).contains(&at) {
        OBJECTS_FEWER
    } else {
        OBJECTS
    };
    (!job.contains("kwok")).then_some(objects)
}

/// The run of one results file of perfscale-audit. The file has no time.
///
/// # Errors
/// If the text is no such file, or is empty.
pub fn perf_audit_run(
    id: String,
    at: Timestamp,
    scenario: &str,
    text: &[u8],
    known: &Known,
) -> Result<HistoryRun, ImportError> {
    let results: PerfAuditResults = serde_json::from_slice(text)
        .map_err(ImportError::format("results file of perfscale-audit"))?;
    if results.values.is_empty() {
        return Err(ImportError::Empty);
    }
    let labels = known.labels("perfscale-audit", scenario);
    Ok(estimate(id, at, labels, estimates(&results)))
}

/// The scenario that a results file of KubeVirt's tests is of, by its name.
pub fn scenario_of_file(name: &str) -> Option<&'static str> {
    match name {
        "VMI-perf-audit-results.json" => Some("vmi"),
        "VM-perf-audit-results.json" => Some("vm"),
        "VM-instance-type-preference-perf-audit-results.json" => Some("instancetype"),
        _ => None,
    }
}

/// The points behind KubeVirt's graphs, each a run with one value.
///
/// What the graphs don't tell: which points are of one run (each metric is in an order of its own),
/// the time of the day, and whether a 0 was counted or is a metric that the run didn't have, since
/// KubeVirt's tool draws both as 0. The points are taken as they are drawn.
///
/// # Errors
/// If the text is no such file.
pub fn graph_runs(text: &[u8], known: &Known) -> Result<Vec<HistoryRun>, ImportError> {
    let graphs: KubevirtGraphs =
        serde_json::from_slice(text).map_err(ImportError::format("points of KubeVirt's graphs"))?;
    let mut runs = Vec::new();
    for (job, scenarios) in &graphs {
        for (scenario, titles) in scenarios {
            for (title, graph) in titles {
                let metric = metric_of(title).ok_or_else(|| ImportError::Format {
                    what: "graph of KubeVirt",
                    reason: format!("its title is {title:?}"),
                })?;
                runs.extend(points(job, scenario, metric, &graph.runs, known)?);
            }
        }
    }
    Ok(runs)
}

/// `Weekly METRIC for vmi` without what is around it.
fn metric_of(title: &str) -> Option<&str> {
    title.strip_prefix("Weekly ")?.split(" for ").next()
}

fn points(
    job: &str,
    scenario: &str,
    metric: &str,
    trace: &KubevirtTrace,
    known: &Known,
) -> Result<Vec<HistoryRun>, ImportError> {
    let mismatch = |reason: String| ImportError::Format {
        what: "graph of KubeVirt",
        reason,
    };
    if trace.x.len() != trace.y.len() {
        return Err(mismatch(format!(
            "{metric} has more dates than values, or less"
        )));
    }
    let mut of_day: BTreeMap<Date, u32> = BTreeMap::new();
    let run = |(day, value): (&Date, &f64)| {
        let number = of_day.entry(*day).or_default();
        *number += 1;
        let id = format!("kubevirt-graphs/{job}/{scenario}/{metric}/{day}/{number}");
        let at = day
            .to_zoned(TimeZone::UTC)
            .map_err(|error| mismatch(error.to_string()))?;
        let values = BTreeMap::from([(metric.to_owned(), *value)]);
        Ok(estimate(
            id,
            at.timestamp(),
            known.labels(job, scenario),
            values,
        ))
    };
    trace.x.iter().zip(&trace.y).map(run).collect()
}

fn estimate(
    id: String,
    at: Timestamp,
    labels: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
) -> HistoryRun {
    HistoryRun {
        id,
        at,
        origin: Origin::Estimate,
        valid: NotAllRunning::of(&values, None).is_none(),
        failure: None,
        labels,
        objects: None,
        values,
        components: BTreeMap::new(),
        cost: None,
        record: None,
    }
}
