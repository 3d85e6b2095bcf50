//! The formats of others that a history is read from and written to.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{HistoryRun, PerfAuditResults};

/// A line of an exported history: a run and the schema's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// [`HISTORY_SCHEMA`](super::HISTORY_SCHEMA).
    pub schema: String,
    /// The run, without its raw record.
    #[serde(flatten)]
    pub run: HistoryRun,
}

/// What a document says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SchemaName {
    /// Name and version, empty if there is none.
    #[serde(default)]
    pub schema: String,
}

/// `results/<job>/<build>/results.json`: one run of KubeVirt's CI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtCiRun {
    /// When the job's log was uploaded, which is its end.
    #[serde(rename = "JobDirCreationTime")]
    pub at: Timestamp,
    /// 100 VMIs; `None` if the test failed.
    #[serde(rename = "VMIResult")]
    pub vmi: Option<PerfAuditResults>,
    /// 100 VMs; `None` if the test failed.
    #[serde(rename = "VMResult")]
    pub vm: Option<PerfAuditResults>,
}

/// `weekly/<job>/<vmi|vm>/<metric>/<Monday>/data/results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtWeek {
    /// The Monday with which the week begins, in UTC.
    #[serde(rename = "StartDate")]
    pub start: Date,
    /// Always 7.
    #[serde(rename = "NumberOfDays")]
    pub days: u32,
    /// The runs of the week and their mean.
    #[serde(rename = "Data")]
    pub data: KubevirtWeekData,
}

/// The runs of a week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtWeekData {
    /// The arithmetic mean of the points' values.
    #[serde(rename = "Average")]
    pub average: f64,
    /// One for each run that has the metric, in the order of time.
    #[serde(rename = "DataPoints")]
    pub points: Vec<KubevirtPoint>,
}

/// A run in a week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtPoint {
    /// The metric's value: a count, or seconds.
    #[serde(rename = "Value")]
    pub value: f64,
    /// When the run's log was uploaded, if the file says so.
    #[serde(rename = "Date", default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
}

/// The points behind KubeVirt's graphs: by job, `vmi` or `vm`, and title.
pub type KubevirtGraphs = BTreeMap<String, BTreeMap<String, BTreeMap<String, KubevirtGraph>>>;

/// One graph: the runs as dots, and the mean of each week as a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtGraph {
    /// One point for each run.
    #[serde(rename = "individual metrics")]
    pub runs: KubevirtTrace,
    /// One point for each week.
    #[serde(rename = "weekly averages")]
    pub weeks: KubevirtTrace,
}

/// A trace of a graph: dates and values, one each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubevirtTrace {
    /// Days in UTC, of runs or of Mondays.
    pub x: Vec<Date>,
    /// A count or seconds for each of the days.
    pub y: Vec<f64>,
}

/// A document of kube-burner's local indexer. Each file of its metrics folder is a list of them:
/// results of queries (`value`, `labels`), quantiles of latencies (`quantileName`, `P50`, …) and the
/// summaries of jobs (`jobConfig`, `passed`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BurnerDocument {
    /// Name of the query, the latency or `jobSummary`.
    #[serde(default)]
    pub metric_name: String,
    /// Id of kube-burner's run, the same in all of its documents.
    #[serde(default)]
    pub uuid: String,
    /// The job, in newer versions.
    #[serde(default)]
    pub job_name: String,
    /// The time that kube-burner gives to the value, or to the job.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// Result of a query.
    #[serde(default)]
    pub value: Option<f64>,
    /// Labels of a query's result.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// What a latency is of, such as `VMIRunning`.
    #[serde(default)]
    pub quantile_name: Option<String>,
    /// Median of a latency, in milliseconds.
    #[serde(default, rename = "P50")]
    pub p50: Option<f64>,
    /// 95th percentile of a latency, in milliseconds.
    #[serde(default, rename = "P95")]
    pub p95: Option<f64>,
    /// 99th percentile of a latency, in milliseconds.
    #[serde(default, rename = "P99")]
    pub p99: Option<f64>,
    /// Whether the job passed; only in a summary.
    #[serde(default)]
    pub passed: Option<bool>,
    /// kube-burner's version; only in a summary.
    #[serde(default)]
    pub version: Option<String>,
    /// The job's configuration.
    #[serde(default)]
    pub job_config: Option<BurnerJob>,
}

/// What is read of a job's configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct BurnerJob {
    /// The job's name, for documents without `jobName`.
    #[serde(default)]
    pub name: String,
}

/// Apache Otava's configuration, as far as CSV files need it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OtavaConfig {
    /// By name of the test.
    pub tests: BTreeMap<String, OtavaTest>,
}

/// One series: the CSV file that has it, and what its columns are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtavaTest {
    /// `csv`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file, from the folder that Otava is started in.
    pub file: String,
    /// The column of times.
    pub time_column: String,
    /// Columns that tell runs apart.
    pub attributes: Vec<String>,
    /// By name of the metric.
    pub metrics: BTreeMap<String, OtavaMetric>,
    /// How the file is written.
    pub csv_options: OtavaCsv,
}

/// A metric of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtavaMetric {
    /// The column that has its values.
    pub column: String,
    /// -1: less is better.
    pub direction: i8,
    /// By how much values are multiplied: always 1.
    pub scale: f64,
}

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtavaCsv {
    /// What separates two values: a comma.
    pub delimiter: char,
    /// What encloses a value that has a delimiter: a quotation mark.
    pub quote_char: char,
}
