//! kube-burner's local metrics folder, with the metric profile of KubeVirt's density job.

use std::collections::{BTreeMap, HashSet, btree_map::Entry};

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{ImportError, Known, NotAllRunning, drop_missing_quantiles};
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

/// A file of kube-burner.
#[derive(Debug, Clone, Copy)]
pub struct BurnerFile<'t> {
    /// Its name, for what is said of it.
    pub name: &'t str,
    /// What is in it: a list of documents, or documents one after another, as in JSON lines.
    pub text: &'t [u8],
}

/// What the files of kube-burner come to.
#[derive(Debug, Default)]
pub struct BurnerRuns {
    /// One for each job of each run of kube-burner.
    pub runs: Vec<HistoryRun>,
    /// Files that could not be read to their end, each with what is wrong. The runs are incomplete
    /// then: they have ids of their own, so that the whole ones can still be imported, and are not
    /// valid.
    pub damaged: Vec<String>,
    /// What was left out though it could be read, each with the reason.
    pub left_out: Vec<String>,
}

/// The runs of a metrics folder, given each of its JSON files; `damaged` are others that could not
/// be read at all. Files without documents of
/// kube-burner are passed over, as it writes others too.
///
/// The names are perfscale-audit's: `VERB-resource-count` from `resourceRequestCountsByOperation`,
/// `PHASE-phase-count` from `phaseCount`, other instant queries by their own names. kube-burner's
/// own latencies are `vmiLatencyVMIRunningSecondsP50` and so on: its clock starts elsewhere than
/// `vmiCreationToRunningSecondsP50`, so they are never mixed. A query that gave several series is
/// left out: which is meant is not known. A document that is there twice is taken once.
///
/// # Errors
/// If no file has a document of a job.
pub fn burner_runs<'t>(
    files: impl IntoIterator<Item = BurnerFile<'t>>,
    damaged: Vec<String>,
    known: &Known,
) -> Result<BurnerRuns, ImportError> {
    let mut jobs = Jobs::default();
    jobs.found.damaged = damaged;
    for file in files {
        jobs.add(file);
    }
    if jobs.jobs.is_empty() {
        let damaged = jobs.found.damaged.join("; ");
        return Err(match damaged.as_str() {
            "" => ImportError::Empty,
            _ => ImportError::Unreadable(damaged),
        });
    }
    Ok(jobs.into_runs(known))
}

/// The jobs of all files so far, by run of kube-burner and name.
#[derive(Default)]
struct Jobs<'t> {
    jobs: BTreeMap<(String, String), Job>,
    seen: HashSet<&'t str>,
    found: BurnerRuns,
}

impl<'t> Jobs<'t> {
    fn add(&mut self, file: BurnerFile<'t>) {
        let (documents, problem) = documents(file.text);
        let (mut ours, mut again) = (0_u64, 0_u64);
        let mut problem = problem.map(|problem| format!("{}: {problem}", file.name));
        for text in documents {
            match serde_json::from_str::<BurnerDocument>(text) {
                Ok(document) if document.uuid.is_empty() => {}
                Ok(_) if self.seen.contains(text) => again += 1,
                Ok(document) => {
                    ours += 1;
                    self.seen.insert(text);
                    self.add_document(document);
                }
                Err(error) if is_of_kube_burner(text) => {
                    problem.get_or_insert(format!("{}: a document: {error}", file.name));
                }
                Err(_) => {}
            }
        }
        self.found.damaged.extend(problem);
        if again > 0 {
            self.found.left_out.push(format!(
                "{}: {again} of {} documents, which were there before",
                file.name,
                ours + again
            ));
        }
    }

    fn add_document(&mut self, document: BurnerDocument) {
        let name = match &document.job_config {
            Some(job) if document.job_name.is_empty() => job.name.clone(),
            _ => document.job_name.clone(),
        };
        if !name.is_empty() {
            let key = (document.uuid.clone(), name);
            self.jobs.entry(key).or_default().add(document);
        }
    }

    fn into_runs(mut self, known: &Known) -> BurnerRuns {
        let is_whole = self.found.damaged.is_empty();
        for ((uuid, name), job) in self.jobs {
            let several = job.values.iter().filter(|(_, value)| value.is_none());
            let several = several.map(|(metric, _)| {
                format!("{metric} of job {name}, which has several different values")
            });
            self.found.left_out.extend(several);
            if let Some(mut run) = job.into_run(&uuid, &name, known) {
                if !is_whole {
                    run.id.push_str("/incomplete");
                    run.valid = false;
                }
                self.found.runs.push(run);
            }
        }
        self.found
    }
}

/// The documents of a file as far as it can be read, and what is wrong with the rest.
fn documents(text: &[u8]) -> (Vec<&str>, Option<String>) {
    let mut documents = Vec::new();
    let mut problem = None;
    if text.trim_ascii().is_empty() {
        problem = Some("it is empty".to_owned());
    }
    for value in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        match value {
            Ok(value) => match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
                Ok(list) => documents.extend(list.into_iter().map(RawValue::get)),
                Err(_) => documents.push(value.get()),
            },
            Err(error) if error.is_eof() => {
                problem = Some(format!("it is cut off at line {}", error.line()));
            }
            Err(error) => problem = Some(format!("it is no JSON: {error}")),
        }
    }
    (documents, problem)
}

/// Whether a document is one of kube-burner's, whatever else is wrong with it.
fn is_of_kube_burner(text: &str) -> bool {
    let members: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(text);
    members.is_ok_and(|members| members.contains_key("uuid"))
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
        let all_running = NotAllRunning::of(&values, None).is_none();
        let summary = self.summary.unwrap_or_default();
        let mut labels = known.labels(name, "kube-burner");
        if let Some(version) = summary.version {
            labels.entry("kube-burner".to_owned()).or_insert(version);
        }
        Some(HistoryRun {
            id: format!("kube-burner/{uuid}/{name}"),
            at: summary.timestamp.or(self.at)?,
            origin: Origin::Estimate,
            valid: summary.passed.unwrap_or(true) && all_running,
            failure: None,
            labels,
            objects: None,
            values,
            components: BTreeMap::new(),
            cost: None,
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
