//! A history in the forms of others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{openmetrics, tables};
use record::{
    HISTORY_SCHEMA, HistoryLine, HistoryRun, KubevirtCiRun, KubevirtPoint, KubevirtWeek,
    KubevirtWeekData, Origin, PerfAuditResults, PerfAuditValue, label,
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

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files by their path below the folder of the export.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was left out, for people.
    pub left_out: Vec<String>,
}

/// Why runs can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A form that can't tell origins apart would mix them.
    #[error(
        "job {job:?}, scenario {scenario:?} has runs of several origins ({}): the form can't tell \
         them apart, so choose one with --origin",
        origins.join(", ")
    )]
    Mixed {
        /// The job.
        job: String,
        /// The scenario.
        scenario: String,
        /// Names of the origins.
        origins: Vec<&'static str>,
    },
    /// Two would be in one file.
    #[error("two runs or series would both be {0}: choose with --job or --scenario")]
    Twice(String),
    /// A table can't be written.
    #[error("cannot write a table: {0}")]
    Csv(#[from] csv::Error),
    /// A document can't be written.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A configuration can't be written.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

/// Writes `runs`, which are ordered by time.
///
/// # Errors
/// If origins would be mixed where the form can't tell them apart.
pub fn export(form: Export, runs: &[HistoryRun]) -> Result<Written, ExportError> {
    let mut written = Written::default();
    match form {
        Export::Json => written.add("runs.jsonl".to_owned(), lines(runs)?)?,
        Export::Csv => written.add("values.csv".to_owned(), tables::values(runs)?)?,
        Export::OpenMetrics => openmetrics::write(runs, &mut written)?,
        Export::Otava => tables::otava(&valid_series(runs, &mut written)?, &mut written)?,
        Export::KubevirtResults => results(&valid_series(runs, &mut written)?, &mut written)?,
        Export::KubevirtWeekly => {
            for (key, runs) in valid_series(runs, &mut written)? {
                weekly(&key, &runs, &mut written)?;
            }
        }
    }
    Ok(written)
}

/// Job and scenario.
pub(super) type SeriesKey = (String, String);
/// Runs by job and scenario, each of one origin.
pub(super) type Series<'r> = BTreeMap<SeriesKey, Vec<&'r HistoryRun>>;

impl Written {
    pub(super) fn add(&mut self, path: String, text: Vec<u8>) -> Result<(), ExportError> {
        match self.files.insert(path.clone(), text) {
            None => Ok(()),
            Some(_) => Err(ExportError::Twice(path)),
        }
    }

    fn leave_out(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.left_out.push(format!("{count} {what}"));
        }
    }
}

/// The runs whose counting is valid; a series has one origin, or none is written.
fn valid_series<'r>(
    runs: &'r [HistoryRun],
    written: &mut Written,
) -> Result<Series<'r>, ExportError> {
    let valid: Vec<&HistoryRun> = runs.iter().filter(|run| run.valid).collect();
    written.leave_out(runs.len() - valid.len(), "runs that are not valid");
    let mut series = Series::new();
    for run in valid {
        let key = (run.label(label::JOB), run.label(label::SCENARIO));
        let key = (key.0.to_owned(), key.1.to_owned());
        series.entry(key).or_default().push(run);
    }
    for ((job, scenario), runs) in &series {
        let origins: BTreeSet<Origin> = runs.iter().map(|run| run.origin).collect();
        if origins.len() > 1 {
            return Err(ExportError::Mixed {
                job: job.clone(),
                scenario: scenario.clone(),
                origins: origins.into_iter().map(Origin::as_str).collect(),
            });
        }
    }
    Ok(series)
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

/// KubeVirt's CI knows two scenarios.
fn is_kubevirts(scenario: &str) -> bool {
    ["vmi", "vm"].contains(&scenario)
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
    written.leave_out(others, "runs of scenarios that KubeVirt's CI doesn't know");
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
    let values = run.values.iter().map(|(name, value)| {
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
    if !is_kubevirts(scenario) {
        written.leave_out(
            runs.len(),
            "runs of scenarios that KubeVirt's CI doesn't know",
        );
        return Ok(());
    }
    for (metric, points) in by_metric(runs) {
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

/// The runs that have a metric, with its value, by metric.
pub(super) fn by_metric<'r>(
    runs: &[&'r HistoryRun],
) -> BTreeMap<&'r str, Vec<(&'r HistoryRun, f64)>> {
    let mut metrics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for run in runs {
        for (metric, value) in &run.values {
            metrics.entry(metric).or_default().push((*run, *value));
        }
    }
    metrics
}

/// As Go's `MarshalIndent` writes it.
fn json(value: &impl Serialize) -> Result<Vec<u8>, ExportError> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// A name that can be a folder: what else it has than letters, digits and `-_.+` becomes `_`.
pub(super) fn folder(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.+".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if plain(letter) { letter } else { '_' })
        .collect();
    if name.chars().all(|letter| letter == '.') {
        return format!("_{name}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        for (name, expected) in [
            (
                "periodic-kubevirt-e2e-k8s-1.31",
                "periodic-kubevirt-e2e-k8s-1.31",
            ),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..", "_.."),
            ("", "_"),
            ("/a\\b c\0ü", "_a_b_c__"),
        ] {
            assert_eq!(folder(name), expected);
        }
    }

    #[test]
    fn two_runs_are_never_written_to_one_file() {
        let run = |id: &str| HistoryRun {
            id: id.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::Counted,
            valid: true,
            labels: [("job", "a"), ("scenario", "vm")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            objects: None,
            values: BTreeMap::new(),
            components: BTreeMap::new(),
            record: None,
        };
        let refused = export(Export::KubevirtResults, &[run("x/1"), run("x_1")]);
        assert!(matches!(refused, Err(ExportError::Twice(path)) if path.contains("/x_1/")));
        let written = export(Export::KubevirtResults, &[run("x/1"), run("y")]).unwrap();
        assert_eq!(written.files.len(), 2);
    }
}
