//! kube-burner's local metrics folder, with the metric profile of KubeVirt's density job.

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;

use super::{ImportError, Known, drop_missing_quantiles};
use record::{BurnerDocument, HistoryRun, Origin};

/// Counts by the labels `resource` and `verb`, which are KubeVirt's.
const COUNTS: &str = "resourceRequestCountsByOperation";
/// VMIs by the label `phase`.
const PHASES: &str = "phaseCount";
const SUMMARY: &str = "jobSummary";
/// kube-burner's own latencies, in milliseconds by its own clock.
const LATENCIES: &str = "vmiLatencyQuantilesMeasurement";

/// What is known of one job so far.
#[derive(Default)]
struct Job {
    at: Option<Timestamp>,
    summary: Option<BurnerDocument>,
    /// `None` where a metric has several values, so that it has none.
    values: BTreeMap<String, Option<f64>>,
}

/// The runs of a metrics folder, given the text of each of its JSON files: one for each job of each
/// run of kube-burner. Files that are not lists of its documents are passed over, as kube-burner
/// writes others too.
///
/// The names are perfscale-audit's: `VERB-resource-count` from `resourceRequestCountsByOperation`,
/// `PHASE-phase-count` from `phaseCount`, other instant queries by their own names. kube-burner's
/// own latencies are `vmiLatencyVMIRunningSecondsP50` and so on: its clock starts elsewhere than
/// `vmiCreationToRunningSecondsP50`, so they are never mixed. A query that gave several series is
/// left out: which is meant is not known.
///
/// # Errors
/// If no file has a document of a job.
pub fn burner_runs<'t>(
    files: impl IntoIterator<Item = &'t [u8]>,
    known: &Known,
) -> Result<Vec<HistoryRun>, ImportError> {
    let mut jobs: BTreeMap<(String, String), Job> = BTreeMap::new();
    for text in files {
        let documents: Vec<BurnerDocument> = serde_json::from_slice(text).unwrap_or_default();
        for document in documents {
            let name = match &document.job_config {
                Some(job) if document.job_name.is_empty() => job.name.clone(),
                _ => document.job_name.clone(),
            };
            if !document.uuid.is_empty() && !name.is_empty() {
                jobs.entry((document.uuid.clone(), name))
                    .or_default()
                    .add(document);
            }
        }
    }
    if jobs.is_empty() {
        return Err(ImportError::Empty);
    }
    let run = |((uuid, name), job): ((String, String), Job)| job.into_run(&uuid, &name, known);
    Ok(jobs.into_iter().filter_map(run).collect())
}

impl Job {
    fn add(&mut self, document: BurnerDocument) {
        if let Some(at) = document.timestamp {
            self.at = Some(self.at.map_or(at, |known| known.min(at)));
        }
        if document.metric_name == SUMMARY {
            self.summary = Some(document);
        } else if let (LATENCIES, Some(of)) = (&*document.metric_name, &document.quantile_name) {
            for (quantile, value) in [
                ("P50", document.p50),
                ("P95", document.p95),
                ("P99", document.p99),
            ] {
                let seconds = value.map(|milliseconds| milliseconds / 1000.0);
                self.enter(format!("vmiLatency{of}Seconds{quantile}"), seconds);
            }
        } else if let Some(name) = metric_name(&document) {
            // A NaN of Prometheus is written as 0 here too.
            let is_quantile = document.metric_name.contains("SecondsP");
            let value = document.value.filter(|value| !is_quantile || *value != 0.0);
            self.enter(name, value);
        }
    }

    fn enter(&mut self, name: String, value: Option<f64>) {
        let Some(value) = value else { return };
        match self.values.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(Some(value));
            }
            Entry::Occupied(mut entry) if *entry.get() != Some(value) => {
                entry.insert(None);
            }
            Entry::Occupied(_) => {}
        }
    }

    fn into_run(self, uuid: &str, name: &str, known: &Known) -> Option<HistoryRun> {
        let values = self.values.into_iter();
        let mut values = values
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        drop_missing_quantiles(&mut values);
        let summary = self.summary.unwrap_or_default();
        let mut labels = known.labels(name, "kube-burner");
        if let Some(version) = summary.version {
            labels.entry("kube-burner".to_owned()).or_insert(version);
        }
        Some(HistoryRun {
            id: format!("kube-burner/{uuid}/{name}"),
            at: summary.timestamp.or(self.at)?,
            origin: Origin::Estimate,
            valid: summary.passed.unwrap_or(true),
            labels,
            objects: None,
            values,
            components: BTreeMap::new(),
            record: None,
        })
    }
}

/// perfscale-audit's name of a query's result; `None` if it isn't one number of the whole run.
fn metric_name(document: &BurnerDocument) -> Option<String> {
    document.value?;
    let label = |name: &str| document.labels.as_ref()?.get(name).map(String::as_str);
    match &*document.metric_name {
        "" => None,
        COUNTS => Some(format!("{}-{}-count", label("verb")?, label("resource")?)),
        PHASES => Some(format!("{}-phase-count", label("phase")?.to_lowercase())),
        name => Some(name.to_owned()),
    }
}
