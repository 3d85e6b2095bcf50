//! A history in the forms of others.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    openmetrics,
    series::{Series, SeriesKey, by_metric, series},
    tables,
    written::{ExportError, Written, folder},
};
use record::{
    FINDING_METRICS, HISTORY_SCHEMA, HistoryLine, HistoryRun, KubevirtCiRun, KubevirtPoint,
    KubevirtWeek, KubevirtWeekData, PerfAuditResults, PerfAuditValue,
};
use stats::week::{monday_of, weekly_means};

/// A form to write a history in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// One JSON document a line, without raw records: `runs.jsonl`.
    Json,
    /// One line for each value of each run: `values.csv`.
    Csv,
    /// Apache Otava's configuration with one CSV file for each series.
    Otava,
    /// `history.openmetrics`, as `promtool tsdb create-blocks-from openmetrics` reads it.
    OpenMetrics,
    /// `results/<job>/<run>/results.json` of KubeVirt's CI.
    KubevirtResults,
    /// `weekly/<job>/<vmi|vm>/<metric>/<Monday>/data/results.json` of KubeVirt's CI.
    KubevirtWeekly,
}

/// Writes `runs`, which are ordered by time and all count.
///
/// # Errors
/// If origins would be mixed where the form can't tell them apart.
pub fn export(form: Export, runs: &[HistoryRun]) -> Result<Written, ExportError> {
    let mut written = Written::default();
    match form {
        Export::Json => written.add("runs.jsonl".to_owned(), lines(runs)?)?,
        Export::Csv => written.add("values.csv".to_owned(), tables::values(runs)?)?,
        Export::OpenMetrics => openmetrics::write(runs, &mut written)?,
        Export::Otava => tables::otava(&series(runs)?, &mut written)?,
        Export::KubevirtResults => results(&series(runs)?, &mut written)?,
        Export::KubevirtWeekly => {
            let mut others = 0;
            for (key, runs) in series(runs)? {
                if is_kubevirts(&key.1) {
                    weekly(&key, &runs, &mut written)?;
                } else {
                    others += runs.len();
                }
            }
            written.leave_out(others, OTHER_SCENARIO);
        }
    }
    Ok(written)
}

fn lines(runs: &[HistoryRun]) -> Result<Vec<u8>, ExportError> {
    let mut text = Vec::new();
    for run in runs {
        let line = HistoryLine {
            schema: HISTORY_SCHEMA.to_owned(),
            run: run.clone(),
        };
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Why runs are in none of the layouts of KubeVirt's CI.
const OTHER_SCENARIO: &str = "of a scenario that KubeVirt's CI doesn't know";

/// KubeVirt's CI knows two scenarios.
fn is_kubevirts(scenario: &str) -> bool {
    ["vmi", "vm"].contains(&scenario)
}

/// KubeVirt's tools know nothing of findings.
fn is_kubevirts_metric(name: &str) -> bool {
    !name.starts_with(FINDING_METRICS)
}

/// One file for each build, with the results of both scenarios.
fn results(series: &Series<'_>, written: &mut Written) -> Result<(), ExportError> {
    let mut builds: BTreeMap<String, KubevirtCiRun> = BTreeMap::new();
    let mut others = 0;
    for ((job, scenario), runs) in series {
        if !is_kubevirts(scenario) {
            others += runs.len();
            continue;
        }
        for run in runs {
            let path = format!(
                "results/{}/{}/results.json",
                folder(job),
                build(run, job, scenario)
            );
            let build = builds.entry(path.clone()).or_insert(KubevirtCiRun {
                at: run.at,
                vmi: None,
                vm: None,
            });
            let slot = if scenario == "vmi" {
                &mut build.vmi
            } else {
                &mut build.vm
            };
            if slot.replace(perf_audit(run)).is_some() {
                return Err(ExportError::Twice(path));
            }
        }
    }
    written.leave_out(others, OTHER_SCENARIO);
    for (path, build) in builds {
        written.add(path, json(&build)?)?;
    }
    Ok(())
}

/// The build that a run was imported from, or the run's own id, as a folder.
fn build(run: &HistoryRun, job: &str, scenario: &str) -> String {
    let id = run.id.strip_prefix("kubevirt-ci/").unwrap_or(&run.id);
    let id = id.strip_prefix(&format!("{job}/")).unwrap_or(id);
    folder(id.strip_suffix(&format!("/{scenario}")).unwrap_or(id))
}

fn perf_audit(run: &HistoryRun) -> PerfAuditResults {
    let values = run
        .values
        .iter()
        .filter(|(name, _)| is_kubevirts_metric(name));
    let values = values.map(|(name, value)| {
        let value = PerfAuditValue {
            value: *value,
            threshold_result: None,
        };
        (name.clone(), value)
    });
    PerfAuditResults {
        values: values.collect(),
    }
}

/// A folder for each week that has the metric.
fn weekly(
    (job, scenario): &SeriesKey,
    runs: &[&HistoryRun],
    written: &mut Written,
) -> Result<(), ExportError> {
    let metrics = by_metric(runs).into_iter();
    for (metric, points) in metrics.filter(|(metric, _)| is_kubevirts_metric(metric)) {
        let means = weekly_means(points.iter().map(|(run, value)| (run.at, *value)));
        for (monday, week) in means {
            let of_week = points.iter().filter(|(run, _)| monday_of(run.at) == monday);
            let points = of_week.map(|(run, value)| KubevirtPoint {
                value: *value,
                date: Some(run.at),
            });
            let file = KubevirtWeek {
                start: monday,
                days: 7,
                data: KubevirtWeekData {
                    average: week.mean,
                    points: points.collect(),
                },
            };
            let (job, metric) = (folder(job), folder(metric));
            let path = format!("weekly/{job}/{scenario}/{metric}/{monday}/data/results.json");
            written.add(path, json(&file)?)?;
        }
    }
    Ok(())
}

/// As Go's `MarshalIndent` writes it.
fn json(value: &impl Serialize) -> Result<Vec<u8>, ExportError> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Origin;

    fn run(id: &str) -> HistoryRun {
        HistoryRun {
            id: id.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::Counted,
            valid: true,
            failure: None,
            labels: [("job", "a"), ("scenario", "vm")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            objects: None,
            values: BTreeMap::new(),
            components: BTreeMap::new(),
            cost: None,
            record: None,
        }
    }

    #[test]
    fn what_is_left_out_is_counted_once() {
        let of = |id: &str, scenario: &str| {
            let mut run = run(id);
            run.labels
                .insert("scenario".to_owned(), scenario.to_owned());
            run
        };
        let runs = [of("a", "vm"), of("b", "instancetype"), of("c", "own")];
        for form in [Export::KubevirtResults, Export::KubevirtWeekly] {
            let written = export(form, &runs).unwrap();
            let why = "2 runs of a scenario that KubeVirt's CI doesn't know";
            assert_eq!(
                (written.left_out, written.runs_left_out),
                (vec![why.to_owned()], 2)
            );
        }
    }

    #[test]
    fn two_runs_are_never_written_to_one_file() {
        let refused = export(Export::KubevirtResults, &[run("x/1"), run("x_1")]);
        assert!(matches!(refused, Err(ExportError::Twice(path)) if path.contains("/x_1/")));
        let written = export(Export::KubevirtResults, &[run("x/1"), run("y")]).unwrap();
        assert_eq!(written.files.len(), 2);
    }
}
