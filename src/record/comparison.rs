//! The comparison of two groups of runs: `kubetoll compare --output json`.

use serde::{Deserialize, Serialize};

use super::{Kept, Origin, is_default};

/// Two groups of runs, metric by metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The runs that are compared with.
    pub a: GroupInfo,
    /// The runs that are judged.
    pub b: GroupInfo,
    /// Whether numbers of different origins are compared, because that was asked for.
    pub mixed_origins: bool,
    /// The p below which a difference is called one.
    pub alpha: f64,
    /// One for each scenario that both groups have.
    pub scenarios: Vec<ScenarioComparison>,
    /// Scenarios that only one of the groups has; nothing is said about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// What became of each limit.
    pub limits: Vec<LimitVerdict>,
    /// The rates of the bounds that were learned, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
    /// The exit code: 0, 3 if a limit is exceeded, 4 if one can't be judged.
    pub exit_code: u8,
}

/// A group of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// As it was asked for.
    pub name: String,
    /// The runs' ids.
    pub runs: Vec<String>,
    /// How many of them are not valid and were taken in because that was asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub not_valid: usize,
    /// Where their numbers come from.
    pub origins: Vec<Origin>,
}

/// The comparison of the runs of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioComparison {
    /// `vmi`, `vm`, `instancetype`, or what `measure` was told.
    pub scenario: String,
    /// How many runs of it A has.
    pub a_runs: usize,
    /// How many runs of it B has.
    pub b_runs: usize,
    /// Objects of each run of A, if all have the same number.
    pub a_objects: Option<u64>,
    /// Objects of each run of B, if all have the same number.
    pub b_objects: Option<u64>,
    /// Whether counts are compared per object, since the runs have different numbers of them.
    pub per_object: bool,
    /// Calls without a price, which are in no cost: the median of A's runs that have a cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a_unpriced: Option<f64>,
    /// The same of B's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_unpriced: Option<f64>,
    /// Every metric that a run of either group has.
    pub metrics: Vec<MetricComparison>,
}

/// A metric in both groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// The metric; one of a component is `COMPONENT:METRIC`.
    pub metric: String,
    /// In the first group.
    pub a: Side,
    /// In the second group.
    pub b: Side,
    /// Median of B less that of A.
    pub difference: Option<f64>,
    /// The same in percent of A's.
    pub percent: Option<f64>,
    /// Hodges and Lehmann's estimate of the difference.
    pub shift: Option<f64>,
    /// Bootstrap interval of `difference`, 95 %.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p of the Mann-Whitney U test.
    pub p: Option<f64>,
    /// The smallest p that groups of this size can reach.
    pub smallest_p: Option<f64>,
    /// What the numbers say.
    pub verdict: Verdict,
}

impl MetricComparison {
    /// By how many tolls the metric's calls cost more in B; `None` unless both groups have a price.
    pub fn tolls(&self) -> Option<f64> {
        Some(self.b.tolls? - self.a.tolls?)
    }
}

/// A metric in one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Runs that have the metric.
    pub runs: usize,
    /// Median over these runs: a count, or seconds of a latency.
    pub median: Option<f64>,
    /// The smallest value of a run.
    pub min: Option<f64>,
    /// The greatest value of a run.
    pub max: Option<f64>,
    /// The median by the number of objects; `None` for what is no count and no cost.
    pub per_object: Option<f64>,
    /// What the calls that the metric counts cost, in tolls: the median over the runs that have a
    /// price for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolls: Option<f64>,
}

/// What the numbers of two groups say about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All runs of A have the same value, all of B have another: the change is certain.
    Changed,
    /// The groups differ by more than chance explains.
    Differs,
    /// The metric is in A and not in B. That may be an improvement or a counter that went blind.
    Missing,
    /// The metric is in B and not in A.
    New,
    /// There is a difference, and too few runs to know whether it is chance.
    Unknown,
    /// There is a difference, and chance explains it.
    Noise,
    /// All runs of both groups have the same value.
    Equal,
}

impl Verdict {
    /// The verdict's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::New => "new",
            Self::Unknown => "unknown",
            Self::Noise => "noise",
            Self::Equal => "equal",
        }
    }
}

/// What became of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitVerdict {
    /// The limit as it was given.
    pub limit: String,
    /// The scenario that it was judged for.
    pub scenario: String,
    /// The metric that it is on; one of a component is `COMPONENT:METRIC`.
    pub metric: String,
    /// What was found, in the unit of the limit; `None` if a group doesn't have the metric.
    pub found: Option<f64>,
    /// What was allowed, for people.
    pub allowed: String,
    /// Whether what was found is within what was allowed.
    #[serde(default)]
    pub kept: Kept,
    /// What may have been meant, in words, if no run has a metric of that name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meant: String,
}

/// Bounds learned from the runs of A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The false-alarm rate of one metric that was asked for, if nothing changed.
    pub rate: f64,
    /// Metrics that have a bound.
    pub bounds: usize,
    /// Of these, metrics that never varied and must not vary.
    pub equal: usize,
    /// Metrics whose history is too short for the rate.
    pub too_short: usize,
    /// Runs that the rate takes.
    pub runs_needed: usize,
    /// Sum of the rates of all bounds: the highest rate at which at least one of them gives a
    /// false alarm.
    pub rate_of_any: f64,
}
